"""Converters of the four durable bindings: what a Functions worker asks to turn a Datum into a value and back.

`register()` puts them in the place of the converters that azure-functions brings. That is done when an app object is
built and again at each decorator, never at import: a worker may reload azure-functions after this module was imported,
and whoever registers last wins.

A worker hands in a Datum class of its own, so only `.value` and `.type` are looked at, and no Datum at all where the
host sent null. A converter sees neither the function nor its annotations: typed values belong to the wrappers that
`worker_ext.decorators` installs.

Source: Functions worker protocol, "Taking over the four durable bindings".
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, TypeAlias

import azure.functions
from azure.functions import meta

from worker_ext.errors import AppError, PayloadError
from worker_ext.protocol import codec

if TYPE_CHECKING:
    from collections.abc import Mapping

_Datum: TypeAlias = Any
"""The worker's own pair of `value` and `type`, or None."""

_TRIGGER: Any = True
"""What makes workers pass a trigger's metadata along; the SDK declares a text here and gives True itself."""


def _text(data: _Datum, binding: str) -> str | None:
    """The text that came for a binding, None where nothing came."""
    if data is None or data.type is None:
        return None
    if data.type in {"string", "json"}:
        return str(data.value)
    if data.type == "bytes":
        return bytes(data.value).decode()
    raise PayloadError(binding, f"expected text (string, json or bytes), found data of the type {data.type!r}")


def _json(text: Any, what: str) -> meta.Datum:
    """A reply that a wrapper has already written as JSON."""
    if not isinstance(text, str):
        raise AppError(
            f"the {what} answered with {type(text).__name__}, not with the text its wrapper makes. Declare it with the "
            f"decorators of DFApp or Blueprint; in the function.json model export what `create(function)` returns"
        )
    return meta.Datum(text, "json")


class OrchestrationTriggerConverter(meta.InConverter, meta.OutConverter, binding=None, trigger=_TRIGGER):
    """The orchestration trigger: a carrier whose `body` is the context payload; the reply is the state as JSON."""

    @classmethod
    def check_input_type_annotation(cls, pytype: Any) -> bool:
        """Takes azure-functions' carrier, text, and contexts; the functions that decorators install say nothing."""
        return _takes(pytype, azure.functions.OrchestrationContext)

    @classmethod
    def check_output_type_annotation(cls, pytype: Any) -> bool:
        """Takes anything: the wrapper answers, not the function that was annotated."""
        return True

    @classmethod
    def decode(
        cls, data: _Datum, *, trigger_metadata: Mapping[str, Any] | None
    ) -> azure.functions.OrchestrationContext:
        """Carries the payload to the wrapper; an absent one is the empty text, which no payload is."""
        return azure.functions.OrchestrationContext(_text(data, "orchestrationTrigger") or "")

    @classmethod
    def encode(cls, obj: Any, *, expected_type: type | None) -> meta.Datum:
        """Passes the wrapper's JSON on.

        Raises:
            AppError: No wrapper was there: the function was not declared with this package.
        """
        return _json(obj, "orchestrator")

    @classmethod
    def has_implicit_output(cls) -> bool:
        """The return value answers the trigger."""
        return True


class EntityTriggerConverter(meta.InConverter, meta.OutConverter, binding=None, trigger=_TRIGGER):
    """The entity trigger: a carrier whose `body` is the batch; the reply is the entity's state as JSON."""

    @classmethod
    def check_input_type_annotation(cls, pytype: Any) -> bool:
        """Takes azure-functions' carrier, text, and contexts; the functions that decorators install say nothing."""
        return _takes(pytype, azure.functions.EntityContext)

    @classmethod
    def check_output_type_annotation(cls, pytype: Any) -> bool:
        """Takes anything: the wrapper answers, not the function that was annotated."""
        return True

    @classmethod
    def decode(cls, data: _Datum, *, trigger_metadata: Mapping[str, Any] | None) -> azure.functions.EntityContext:
        """Carries the batch to the wrapper; an absent one is the empty text, which no batch is."""
        return azure.functions.EntityContext(_text(data, "entityTrigger") or "")

    @classmethod
    def encode(cls, obj: Any, *, expected_type: type | None) -> meta.Datum:
        """Passes the wrapper's JSON on.

        Raises:
            AppError: No wrapper was there: the function was not declared with this package.
        """
        return _json(obj, "entity")

    @classmethod
    def has_implicit_output(cls) -> bool:
        """The return value answers the trigger."""
        return True


class ActivityTriggerConverter(meta.InConverter, meta.OutConverter, binding=None, trigger=_TRIGGER):
    """The activity trigger: the input as a value, the result as JSON."""

    @classmethod
    def check_input_type_annotation(cls, pytype: Any) -> bool:
        """Takes anything: an activity says itself what it takes."""
        return True

    @classmethod
    def check_output_type_annotation(cls, pytype: Any) -> bool:
        """Takes anything; what cannot be written as JSON fails when it is returned."""
        return True

    @classmethod
    def decode(cls, data: _Datum, *, trigger_metadata: Mapping[str, Any] | None) -> Any:
        """Reads the input: JSON text is the value it spells, other text is itself, nothing is None.

        Raises:
            PayloadError: The input holds a custom object whose class the app does not have.
        """
        return codec.decode_value(_text(data, "activityTrigger"))

    @classmethod
    def encode(cls, obj: Any, *, expected_type: type | None) -> meta.Datum:
        """Writes the result as JSON.

        Raises:
            TypeError: The result, or something in it, cannot be written as JSON.
            ValueError: The result is nested too deeply, or too long for a message.
        """
        return meta.Datum(codec.check_size(codec.encode_value(obj)), "json")

    @classmethod
    def has_implicit_output(cls) -> bool:
        """The return value answers the trigger."""
        return True


class DurableClientConverter(meta.InConverter, meta.OutConverter, binding=None):
    """The client binding: its text, from which the wrapper makes a `DurableOrchestrationClient`.

    There is no `trigger` keyword in the class statement: workers take any value of it, False too, as trigger support.
    """

    @classmethod
    def check_input_type_annotation(cls, pytype: Any) -> bool:
        """Takes text only, because text is what arrives; the wrapper hides the annotation of the client."""
        return isinstance(pytype, type) and issubclass(pytype, str | bytes)

    @classmethod
    def check_output_type_annotation(cls, pytype: Any) -> bool:
        """Takes nothing: the binding is an input."""
        return False

    @classmethod
    def decode(cls, data: _Datum, *, trigger_metadata: Mapping[str, Any] | None) -> str | None:
        """The binding's text."""
        return _text(data, "durableClient")

    @classmethod
    def encode(cls, obj: Any, *, expected_type: type | None) -> meta.Datum:
        """Refuses: the binding is an input.

        Raises:
            AppError: Always.
        """
        raise AppError("the durable client is an input binding; nothing can be returned through it")

    @classmethod
    def has_implicit_output(cls) -> bool:
        """The return value belongs to another binding."""
        return False


CONVERTERS: dict[str, Any] = {
    "orchestrationTrigger": OrchestrationTriggerConverter,
    "entityTrigger": EntityTriggerConverter,
    "activityTrigger": ActivityTriggerConverter,
    "durableClient": DurableClientConverter,
}
"""The converter of each binding type."""


def register() -> None:
    """Makes the converters above the ones that workers use; costs next to nothing when they already are.

    Warns when a third package had put its own converters there: both cannot serve one app.

    Raises:
        AppError: This version of azure-functions keeps its converters where they cannot be found.
    """
    registry: Any = azure.functions.get_binding_registry()  # type: ignore[no-untyped-call]
    for binding, converter in CONVERTERS.items():
        current = registry.get(binding)
        if current is converter:
            continue
        if current is not None and not current.__module__.startswith(("azure.functions.", "worker_ext.")):
            warnings.warn(
                f"{current.__module__} had registered its own converter for {binding!r}; it is replaced, and functions "
                "that were declared through that package will not work in this app. Use one of the two",
                RuntimeWarning,
                stacklevel=3,
            )
        _register(registry, binding, converter)


def _register(registry: Any, binding: str, converter: type) -> None:
    """Publicly where azure-functions lets us (2.x), else in its private table (1.x)."""
    public = getattr(azure.functions, "register_converter", None)
    if public is not None:
        public(binding, converter, overwrite=True)
        return
    table = getattr(registry, "_bindings", None)
    if not isinstance(table, dict):
        raise AppError(
            "this version of azure-functions has neither `register_converter` nor the table of converters that its 1.x "
            "versions have; install a version that worker-ext supports (azure-functions>=1.20)"
        )
    table[binding] = converter


def _takes(pytype: Any, carrier: type) -> bool:
    """Whether a context trigger may be annotated so; this package's contexts are known without importing them."""
    if pytype is Any:
        return True
    if not isinstance(pytype, type):
        return False
    return issubclass(pytype, (carrier, str)) or any(
        base.__module__.startswith("worker_ext.") for base in pytype.__mro__
    )
