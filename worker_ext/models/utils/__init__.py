"""Where azure-functions-durable 1.7.0 has `EntityId`."""
