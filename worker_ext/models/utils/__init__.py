"""Where azure-functions-durable 1.7.0 has `EntityId`."""

from worker_ext.models.utils import entity_utils  # noqa: F401 - an attribute of this package
