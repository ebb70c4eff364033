"""The embedded local host: the Functions host and the Durable extension for one machine."""
