"""The durable extension's JSON contract as data, in both directions."""
