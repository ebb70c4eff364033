"""Which converter serves a binding type.

The converters are azure-functions' own and those that the app's plugins registered. They are looked up when a value
is converted and never kept: an environment reload may rebuild the registry. A binding type without a converter follows
the generic rules: text and bytes pass as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

import azure.functions
from azure.functions.meta import Datum

from worker_ext.errors import AppError

GENERIC = "generic"


class Converter(Protocol):
    """What a converter class offers the worker."""

    def check_input_type_annotation(self, pytype: Any) -> bool:
        """Whether a parameter annotated so can take a value of this binding."""

    def check_output_type_annotation(self, pytype: Any) -> bool:
        """Whether a value of this type can go out through this binding."""

    def decode(self, data: Datum | None, *, trigger_metadata: Mapping[str, Any]) -> Any:
        """What the host sent, as the value the function gets."""

    def encode(self, obj: Any, *, expected_type: Any) -> Datum | None:
        """What the function gave, as a Datum."""

    def has_trigger_support(self) -> bool:
        """Whether `decode` reads the trigger's metadata."""


def converter_of(binding_type: str) -> Converter:
    """Return the converter registered for a binding type, or the generic one."""
    found = azure.functions.get_binding_registry().get(binding_type)  # type: ignore[no-untyped-call]
    return cast("Converter", GenericConverter if found is None else found)


def has_implicit_output(binding_type: str) -> bool:
    """Tell whether a function's return value goes to this binding without a `$return`."""
    converter = converter_of(binding_type)
    if converter is GenericConverter:
        return binding_type != "durableClient"
    return bool(getattr(converter, "has_implicit_output", lambda: False)())


def decode(binding_type: str, datum: Datum | None, trigger_metadata: Mapping[str, Any], target: str) -> Any:
    """Convert what the host sent; `target` says in an error what the value was for.

    Raises:
        TypeError: The binding cannot take a value of this kind.
    """
    converter = converter_of(binding_type)
    try:
        return converter.decode(datum, trigger_metadata=trigger_metadata if converter.has_trigger_support() else {})
    except NotImplementedError:
        kind = "nothing" if datum is None else f"a value of kind {datum.type!r}"
        raise TypeError(f"{target}: the host sent {kind}, which the binding {binding_type!r} cannot take") from None


def encode(binding_type: str, value: Any, annotation: Any, source: str) -> Datum | None:
    """Convert what the function gave; `source` says in an error where the value came from.

    Raises:
        TypeError: The binding cannot carry a value of this type.
    """
    encoder = getattr(converter_of(binding_type), "encode", None)
    if encoder is None:
        raise TypeError(f"{source}: the binding {binding_type!r} takes no output")
    try:
        return cast("Datum | None", encoder(value, expected_type=annotation))
    except NotImplementedError:
        found = "None" if value is None else f"a value of type {type(value).__name__!r}"
        raise TypeError(f"{source}: the binding {binding_type!r} cannot carry {found}{_advice(value)}") from None


def _advice(value: Any) -> str:
    if hasattr(value, "__await__"):
        return "; the function returned an awaitable: declare it with 'async def', or await the value in it"
    return ""


def accepts_input(binding_type: str, annotation: Any) -> bool:
    """Ask the converter whether a parameter of this binding may be annotated so.

    Raises:
        AppError: The converter cannot judge the annotation, or serves no input.
    """
    return _check(binding_type, annotation, "check_input_type_annotation", "input")


def accepts_output(binding_type: str, annotation: Any) -> bool:
    """Ask the converter whether an output of this binding may be annotated so.

    Raises:
        AppError: The converter cannot judge the annotation, or serves no output.
    """
    return _check(binding_type, annotation, "check_output_type_annotation", "output")


def _check(binding_type: str, annotation: Any, method: str, role: str) -> bool:
    check = getattr(converter_of(binding_type), method, None)
    if check is None:
        raise AppError(f"the binding {binding_type!r} cannot be used as {role}")
    try:
        return bool(check(annotation))
    except TypeError:  # converters call issubclass on whatever they are given
        return False


class GenericConverter:
    """Serves every binding type that has no converter of its own."""

    @staticmethod
    def has_trigger_support() -> bool:
        """Generic bindings read no metadata."""
        return False

    @staticmethod
    def check_input_type_annotation(pytype: Any) -> bool:
        """Text and bytes only."""
        return isinstance(pytype, type) and issubclass(pytype, (str, bytes))

    @staticmethod
    def check_output_type_annotation(pytype: Any) -> bool:
        """Text and bytes only."""
        return isinstance(pytype, type) and issubclass(pytype, (str, bytes, bytearray))

    @staticmethod
    def decode(data: Datum | None, *, trigger_metadata: Mapping[str, Any]) -> Any:
        """Pass text, JSON text and bytes as they are."""
        if data is None or data.type is None:
            return None
        if data.type not in {"string", "json", "bytes"}:
            raise NotImplementedError
        return data.value

    @staticmethod
    def encode(obj: Any, *, expected_type: Any) -> Datum:
        """Make a Datum of a plain value."""
        for kind, types in _GENERIC_KINDS:
            if isinstance(obj, types):
                return Datum(type=kind, value=bytes(obj) if isinstance(obj, bytearray) else obj)
        raise NotImplementedError


_GENERIC_KINDS: tuple[tuple[str | None, tuple[type, ...]], ...] = (
    ("string", (str,)),
    ("bytes", (bytes, bytearray)),
    (None, (type(None),)),
    ("dict", (dict,)),
    ("list", (list,)),
    ("bool", (bool,)),
    ("int", (int,)),
    ("double", (float,)),
)
