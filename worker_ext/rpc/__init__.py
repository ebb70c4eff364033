"""FunctionRpc, the protocol between the Functions host and a worker: messages (`pb`) and stream (`service`)."""
