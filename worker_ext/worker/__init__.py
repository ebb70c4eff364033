"""The language worker: a process that serves the functions of one app to a Functions host over FunctionRpc."""
