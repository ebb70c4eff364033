"""PayloadConverter: how an app's values become JSON text and back, where it wants that otherwise.

    class Encrypted(df.PayloadConverter):
        def encode(self, value):
            return json.dumps(fernet.encrypt(super().encode(value).encode()).decode())

        def decode(self, text, expected_type):
            return super().decode(fernet.decrypt(json.loads(text)).decode(), expected_type)

    app = df.DFApp(payload_converter=Encrypted())

It is asked for inputs and outputs of orchestrations, activities and entity operations, for events and for entity state,
by the app's functions and by its clients. It is not asked for what is told to people: names, instance IDs, the custom
status, the texts of errors; nor for the bodies of durable HTTP requests. Data that were written before an app had a
converter, or come from elsewhere (a portal, curl), reach `decode` as they are.

What it does must not change while instances run, and an orchestrator is replayed: `decode` of the same text has to give
the same value.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from worker_ext import payloads
from worker_ext.errors import DurableError, PayloadError
from worker_ext.payloads import Decoder, Payloads
from worker_ext.protocol import codec
from worker_ext.protocol.codec import JSON


class PayloadConverter:
    """Values to JSON text and back as this package does it; an app's own is a subclass."""

    def encode(self, value: Any) -> str:
        """Writes a value as JSON text.

        Raises:
            TypeError: It is of no type that can be written.
        """
        return codec.encode_value(value)

    def decode(self, text: str, expected_type: Any) -> Any:
        """Reads a value.

        Args:
            text: The JSON text. What was not sent by this package may be any text.
            expected_type: The type that code names; None where it names none.

        Raises:
            PayloadError: It says something else.
        """
        if expected_type is None:
            return codec.decode_value(text)
        return payloads.decode_as(expected_type, text, is_checked=True)


class ConvertedPayloads(Payloads):
    """Payloads of an app that has a converter; every type is checked."""

    def __init__(self, converter: PayloadConverter) -> None:
        self._converter = converter

    def encode(self, value: Any) -> str:
        """Writes a value as the converter says.

        Raises:
            TypeError: The converter gives something else than JSON text, or cannot write the value.
        """
        text = self._converter.encode(value)
        try:
            codec.decode_json(text)
        except (TypeError, ValueError) as error:
            name = f"{type(self._converter).__qualname__}.encode"
            raise TypeError(
                f"{name} gave {text!r:.100}, which is no JSON text: {error}. Text of your own goes through json.dumps"
            ) from None
        return text

    encode_for_apps = encode

    def decoder(self, expected_type: Any, *, is_checked: bool = False) -> Decoder:
        """What reads values of a type, or any value where that is None."""
        return partial(self.decode_as, expected_type)

    def decode_as(self, expected_type: Any, text: str | None, *, is_checked: bool = True) -> Any:
        """Reads a value as the converter says.

        Raises:
            PayloadError: It cannot.
        """
        if text is None:
            return None
        try:
            return self._converter.decode(text, expected_type)
        except DurableError:
            raise
        except Exception as error:
            name = f"{type(self._converter).__qualname__}.decode"
            raise PayloadError("$", f"{name} raised {type(error).__name__}: {error}") from error

    def restore_as(self, expected_type: Any, value: JSON, *, is_checked: bool = True) -> Any:
        """The same for JSON that has been parsed."""
        return None if value is None else self.decode_as(expected_type, codec.encode_value(value))


def payloads_of(converter: PayloadConverter | None) -> Payloads:
    """How values are written and read where there may be a converter."""
    return payloads.PLAIN if converter is None else ConvertedPayloads(converter)


class ConverterSlot:
    """Where the functions of a blueprint find the converter: its own, or that of the app that took it in.

    Attributes:
        converter: The converter, if there is one.
        payloads: How values are written and read.
    """

    def __init__(self, converter: PayloadConverter | None) -> None:
        self.converter = converter
        self.payloads: Payloads = payloads_of(converter)

    def take_over(self, app: ConverterSlot) -> None:
        """Takes the app's converter where it has none of its own."""
        if self.converter is None:
            self.converter, self.payloads = app.converter, app.payloads
