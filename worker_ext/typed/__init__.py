"""Readers of JSON values by the types that code names.

A type is compiled once. What msgspec reads alone it reads in one go; anything else is walked here: unions of several
classes, pydantic models inside other types, custom objects, enums of other values than text and integers. A value that
does not fit is walked in any case, to find the place.

No type is chosen by data beyond the members of a union that code names. Members have to differ in JSON: by their kind
(number, text, list, object); objects by a field that is a `Literal` or by the names of their fields. A union whose
members cannot be told apart cannot be read.

The JSON of each type is what `protocol.plain_values` writes.
"""

from worker_ext.typed.compiler import TypeReader, reader
from worker_ext.typed.faults import UnreadableTypeError
from worker_ext.typed.hints import is_plain

__all__ = ["TypeReader", "UnreadableTypeError", "is_plain", "reader"]
