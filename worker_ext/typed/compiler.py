"""Makes the reader of a type of the readers of its parts."""

from __future__ import annotations

import collections
import contextlib
import enum
import functools
import operator
import typing
from collections.abc import Callable
from typing import Any

import msgspec

from worker_ext.errors import PayloadError
from worker_ext.protocol import codec
from worker_ext.protocol.codec import JSON
from worker_ext.typed.faults import FaultError, Path, UnreadableTypeError, mismatch
from worker_ext.typed.hints import (
    DICT_CLASSES,
    DICTS,
    LISTS,
    SCALARS,
    SETS,
    UNIONS,
    fields_of,
    has_converters,
    hints_of,
    is_alias,
    is_anything,
    is_plain,
    is_pydantic,
    kind_of,
    name_of,
    unwrapped,
)
from worker_ext.typed.keys import key_of
from worker_ext.typed.reads import (
    Read,
    custom_object,
    dict_of,
    items_of,
    list_of,
    object_of,
    one_of,
    pydantic_model,
    scalar,
)
from worker_ext.typed.unions import by_names, shape_of, tagged, tags_of


class TypeReader:
    """Reads values of one type.

    Args:
        hint: The type.

    Attributes:
        is_plain: Whether its values are JSON values as they stand, so that nothing has to be made of them.

    Raises:
        UnreadableTypeError: Its values cannot be made of JSON.
    """

    def __init__(self, hint: Any) -> None:
        compiler = _Compiler()
        self._walk = compiler.compile(hint)
        self.is_plain: bool = is_plain(hint)
        self._decode: Callable[[str], Any] | None = None
        self._convert: Read | None = None
        if is_pydantic(hint):
            self._decode = hint.__pydantic_validator__.validate_json
        elif compiler.is_native:
            with contextlib.suppress(TypeError, KeyError, RecursionError):  # what it cannot read is walked
                self._decode = msgspec.json.Decoder(hint, dec_hook=in_struct).decode
                if not compiler.has_any:
                    self._convert = functools.partial(msgspec.convert, type=hint, str_keys=True, dec_hook=in_struct)

    def read_text(self, text: str) -> Any:
        """Makes a value of JSON text; text that is no JSON counts as a JSON string.

        Raises:
            PayloadError: It says something else; the error tells where, what was expected and what was found.
        """
        if self._decode is not None and "__class__" not in text:
            try:
                return self._decode(text)
            except (ValueError, TypeError, RecursionError):  # found and told below
                pass
        return self.read(codec.decode_plain(text))

    def read(self, value: JSON) -> Any:
        """Makes a value of a JSON value; of the one that it spells where it is JSON text, as clients send events.

        Raises:
            PayloadError: It is something else; the error tells where, what was expected and what was found.
        """
        if self._convert is not None:
            try:
                return self._convert(value)
            except (ValueError, TypeError, RecursionError):  # found and told below
                pass
        try:
            return self._walk(value)
        except FaultError as fault:
            if isinstance(value, str):
                try:
                    inner = codec.decode_json(value)
                except ValueError:
                    raise fault.error() from None
                return self._read_inner(inner, fault)
            raise fault.error() from None
        except RecursionError:
            raise PayloadError("$", "the value is nested too deeply") from None

    def _read_inner(self, value: JSON, outer: FaultError) -> Any:
        try:
            return self._walk(value)
        except FaultError as fault:
            raise (fault if isinstance(value, dict | list) else outer).error() from None


@functools.cache
def _cached_reader(hint: Any) -> TypeReader:
    return TypeReader(hint)


def reader(hint: Any) -> TypeReader:
    """The reader of a type.

    Raises:
        UnreadableTypeError: Values of the type cannot be made of JSON.
    """
    try:
        hash(hint)
    except TypeError:  # annotations may hold lists
        return TypeReader(hint)
    return _cached_reader(hint)


class _Compiler:
    """Makes the reader of one type and of every type in it; classes may contain themselves.

    Attributes:
        is_native: Whether msgspec reads all that was compiled so far as well.
        has_any: Whether something may have any value, custom objects among them.
    """

    def __init__(self) -> None:
        self.is_native = True
        self.has_any = False
        self._named: dict[Any, Read] = {}

    def compile(self, hint: Any) -> Read:
        if is_alias(hint):
            return self._once(hint, hint.__value__, self.compile)
        hint = unwrapped(hint)
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if is_anything(hint):
            self.has_any = True
            return codec.restore
        if origin is typing.Annotated:
            return self._annotated(hint, arguments[0])
        if origin in UNIONS:
            return self._union(hint, [unwrapped(member) for member in arguments])
        if origin is typing.Literal and any(isinstance(value, enum.Enum) for value in arguments):
            self.is_native = False
            return one_of(arguments)
        if hint in SCALARS or hint is None or origin is typing.Literal:
            return scalar(hint)
        container = self._container(origin or hint, arguments)
        if container is not None:
            return container
        if isinstance(hint, str | typing.ForwardRef):
            raise UnreadableTypeError(
                f"a type is named by the text {name_of(hint)!r}, which cannot be looked up here. Name the type itself"
            )
        if not isinstance(origin or hint, type):
            raise UnreadableTypeError(f"values of type {name_of(hint)} cannot be made of JSON")
        return self._once(hint, hint, self._class)

    def _annotated(self, hint: Any, inner: Any) -> Read:
        """With what it is annotated by where msgspec understands that, such as `msgspec.Meta(gt=0)`."""
        others, self.is_native = self.is_native, True
        read = self.compile(inner)
        is_native, self.is_native = self.is_native, self.is_native and others
        if not is_native or unwrapped(inner) not in SCALARS:
            return read
        return scalar(hint)

    # -- containers --------------------------------------------------------------------------------------------------

    def _container(self, origin: Any, arguments: tuple[Any, ...]) -> Read | None:
        if origin in LISTS:
            return list_of(self.compile(*arguments or (Any,)), list)
        if origin in SETS:
            return list_of(self.compile(*arguments or (Any,)), set)
        if origin is frozenset:
            return list_of(self.compile(*arguments or (Any,)), frozenset)
        if origin is tuple:
            return self._tuple(arguments or (Any, ...))
        if origin in DICTS:
            key, value = arguments or (Any, Any)
            return dict_of(key_of(key), self.compile(value))
        if origin is collections.deque:
            self.is_native = False
            return list_of(self.compile(*arguments or (Any,)), collections.deque)
        if origin in DICT_CLASSES:
            self.is_native = False
            key, value = (*(arguments or (Any,)), int) if origin is collections.Counter else arguments or (Any, Any)
            return dict_of(key_of(key), self.compile(value), _maker(origin, value))
        return None

    def _tuple(self, arguments: tuple[Any, ...]) -> Read:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return list_of(self.compile(arguments[0]), tuple)
        return items_of([self.compile(argument) for argument in arguments if argument != ()], tuple)

    # -- classes -----------------------------------------------------------------------------------------------------

    def _once(self, name: Any, hint: Any, compile_: Callable[[Any], Read]) -> Read:
        """Compiles what may contain itself."""
        if name in self._named:
            return functools.partial(self._read_later, name)
        self._named[name] = codec.restore
        read = self._named[name] = compile_(hint)
        return read

    def _read_later(self, hint: Any, value: JSON) -> Any:
        return self._named[hint](value)

    def _class(self, hint: Any) -> Read:
        cls = typing.get_origin(hint) or hint
        if callable(getattr(cls, "from_json", None)):
            self.is_native = False
            return custom_object(cls, self._fields_reader(hint, cls))
        read = self._fields_reader(hint, cls)
        if read is None:
            raise UnreadableTypeError(
                f"values of type {name_of(hint)} cannot be made of JSON. Make it a dataclass, a TypedDict, a pydantic, "
                "attrs or msgspec class, or give it `to_json(obj)` and `from_json(data)`"
            )
        return read

    def _fields_reader(self, hint: Any, cls: type[Any]) -> Read | None:
        if is_pydantic(cls):
            self.is_native = False
            return pydantic_model(cls)
        if issubclass(cls, enum.Enum):
            return self._enum(cls)
        if issubclass(cls, msgspec.Struct):
            return struct(hint)
        if issubclass(cls, tuple) and hasattr(cls, "_fields"):
            return self._named_tuple(hint, cls)
        fields = fields_of(hint, cls)
        if fields is None:
            return None
        self.is_native &= not has_converters(cls)
        return object_of(cls, [(field, self.compile(field.hint)) for field in fields])

    def _named_tuple(self, hint: Any, cls: Any) -> Read:
        hints = hints_of(hint, cls)
        reads = [self.compile(hints.get(name, Any)) for name in cls._fields]
        return items_of(reads, lambda items: cls(*items), len(reads) - len(cls._field_defaults))

    def _enum(self, cls: type[enum.Enum]) -> Read:
        try:
            msgspec.json.Decoder(cls)
        except TypeError:
            self.is_native = False
            return one_of(tuple(cls))
        return scalar(cls)

    # -- unions ------------------------------------------------------------------------------------------------------

    def _union(self, hint: Any, members: list[Any]) -> Read:
        objects = [member for member in members if kind_of(member) == "object"]
        arrays = [member for member in members if kind_of(member) == "array"]
        others = [member for member in members if member not in objects and member not in arrays]
        if any(member in (Any, object) for member in members):
            return self.compile(Any)
        read_object = self._object_member(hint, objects) if objects else None
        if len(arrays) > 1:
            raise UnreadableTypeError(f"the members of {name_of(hint)} cannot be told apart: several are lists in JSON")
        read_array = self.compile(arrays[0]) if arrays else None
        read_other = self._scalar_member(hint, others) if others else None

        def read(value: JSON) -> Any:
            if read_object is not None and isinstance(value, dict):
                return read_object(value)
            if read_array is not None and isinstance(value, list | tuple | set | frozenset):
                return read_array(value)
            if read_other is not None and not isinstance(value, dict | list):
                return read_other(value)
            for member in objects:
                if isinstance(member, type) and isinstance(value, member):  # made already
                    return value
            raise mismatch(name_of(hint), value)

        return read

    def _scalar_member(self, hint: Any, members: list[Any]) -> Read:
        reads = [self.compile(member) for member in members]
        if len(reads) == 1:
            return reads[0]
        union = functools.reduce(operator.or_, members)
        try:
            msgspec.json.Decoder(union)
        except TypeError as error:
            raise UnreadableTypeError(f"the members of {name_of(hint)} cannot be told apart in JSON: {error}") from None
        return scalar(union)

    def _object_member(self, hint: Any, members: list[Any]) -> Read:
        """Chooses by a field that is a different Literal in each, else by the names of the fields."""
        reads = [self.compile(member) for member in members]
        if len(members) == 1:
            return reads[0]
        self.is_native = False
        shapes = [shape_of(member) for member in members]
        tags = tags_of(shapes)
        if tags is not None:
            return tagged(*tags, reads)
        if any(shape.is_open for shape in shapes) or len({frozenset(shape.names) for shape in shapes}) < len(shapes):
            raise UnreadableTypeError(
                f"the members of {name_of(hint)} cannot be told apart: their fields have the same names. Give each a "
                "field such as `kind: Literal['...']`"
            )
        return by_names(hint, shapes, reads)


def _maker(origin: Any, value: Any) -> Callable[[dict[Any, Any]], Any]:
    """What makes a dict of a class of the standard library; a `defaultdict[str, list[int]]` fills in lists."""
    if origin is not collections.defaultdict:
        made: Callable[[dict[Any, Any]], Any] = origin
        return made
    filled_in = typing.get_origin(value) or value
    return functools.partial(collections.defaultdict, filled_in if filled_in in _EMPTY else None)


_EMPTY = frozenset({bool, dict, float, int, list, set, str, tuple})


def struct(hint: Any) -> Read:
    """Reads a msgspec class as msgspec does."""
    try:
        msgspec.json.Decoder(hint)
    except (TypeError, KeyError) as error:
        raise UnreadableTypeError(f"msgspec cannot read {name_of(hint)}: {error}") from None

    def read(value: JSON) -> Any:
        try:
            return msgspec.convert(value, hint, str_keys=True, dec_hook=in_struct)
        except msgspec.ValidationError as error:
            what, path = codec.fault_of(error)
            inner = getattr(error.__cause__, "__cause__", None)
            raise FaultError(what, [*(inner.path if isinstance(inner, FaultError) else ()), Path(path)]) from None

    return read


def in_struct(cls: type[Any], value: JSON) -> Any:
    """Reads what msgspec does not know inside of what it does."""
    try:
        return reader(cls)._walk(value)
    except FaultError as fault:
        raise ValueError(fault) from fault  # to which msgspec adds the place
