"""Routes of HTTP triggers: templates as ASP.NET Core reads them, and which of them a path means.

`a/{id}`, `{id?}`, `{id=5}`, `{id:int:min(1)}`, `{name}.{ext}`, `{*rest}`; braces in a literal are doubled. Paths are
matched without regard to case, values keep theirs. Among the routes that match, literal segments win over constrained
ones, those over free ones, those over catch-all. Not here: `{id:file}`, `{id:nonfile}`, `[controller]` tokens.

Source: worker protocol, section on routing; ASP.NET Core's documentation of route templates and their precedence.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote

from worker_ext.errors import HostError
from worker_ext.host.route_constraints import Constraint, parse_constraint

T = TypeVar("T")

_PARAMETER_NAME = re.compile(r"[^/{}*?=:]+")


@dataclass(frozen=True)
class Parameter:
    """One `{...}` of a template."""

    name: str
    constraints: tuple[Constraint, ...] = ()
    default: str | None = None
    is_optional: bool = False
    is_catch_all: bool = False

    def accepts(self, value: str) -> bool:
        """Whether a value satisfies every constraint."""
        return all(constraint(value) for constraint in self.constraints)


@dataclass(frozen=True)
class Segment:
    """What stands between two slashes: literals and parameters in turn."""

    parts: tuple[str | Parameter, ...]
    pattern: re.Pattern[str] = field(repr=False)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters in it."""
        return tuple(part for part in self.parts if isinstance(part, Parameter))

    @property
    def sole(self) -> Parameter | None:
        """The parameter that is the whole segment, if it is one."""
        first = self.parts[0]
        return first if len(self.parts) == 1 and isinstance(first, Parameter) else None

    @property
    def precedence(self) -> int:
        """Smaller is tried first."""
        parameter = self.sole
        if parameter is None:
            return 1 if not self.parameters else 2
        return (5 if parameter.is_catch_all else 3) - bool(parameter.constraints)

    def match(self, text: str) -> dict[str, str] | None:
        """The values in one segment of a path, or None if it is not this segment."""
        found = self.pattern.fullmatch(text)
        if found is None:
            return None
        values = {
            parameter.name: value
            for index, parameter in enumerate(self.parameters)
            if (value := found[f"p{index}"]) is not None
        }
        return values if all(p.accepts(values[p.name]) for p in self.parameters if p.name in values) else None


@dataclass(frozen=True)
class RouteTemplate:
    """A parsed template."""

    text: str
    segments: tuple[Segment, ...]

    @classmethod
    def parse(cls, text: str) -> RouteTemplate:
        """Reads a template.

        Raises:
            HostError: It breaks the rules of templates.
        """
        trimmed = text.removeprefix("~").strip("/")
        segments = tuple(_parse_segment(text, part) for part in _split(text, trimmed, "/")) if trimmed else ()
        names = [parameter.name.lower() for segment in segments for parameter in segment.parameters]
        if len(set(names)) < len(names):
            raise _fault(text, "expected each parameter once")
        for segment in segments[:-1]:
            if any(parameter.is_catch_all or parameter.is_optional for parameter in segment.parameters):
                raise _fault(text, "expected catch-all and optional parameters at the end")
        return cls(text, segments)

    @property
    def precedence(self) -> tuple[int, ...]:
        """Smaller is tried first."""
        return tuple(segment.precedence for segment in self.segments)

    def match(self, parts: Sequence[str]) -> dict[str, str] | None:
        """The values of a path, given as its decoded segments; None if the path is not of this route."""
        values: dict[str, str] = {}
        for index, segment in enumerate(self.segments):
            sole = segment.sole
            if sole is not None and sole.is_catch_all:
                return values if _put_rest(values, sole, "/".join(parts[index:])) else None
            if index < len(parts):
                found = segment.match(parts[index])
                if found is None:
                    return None
                values |= found
            elif sole is None or not (sole.is_optional or sole.default is not None):
                return None
            elif sole.default is not None:
                values[sole.name] = sole.default
        return values if len(parts) <= len(self.segments) else None


def _put_rest(values: dict[str, str], parameter: Parameter, rest: str) -> bool:
    value = rest or parameter.default
    if value is None:
        return True
    values[parameter.name] = value
    return parameter.accepts(value)


@dataclass(frozen=True)
class Route(Generic[T]):
    """A template with the methods it takes (none: any, in upper case) and what it leads to."""

    template: RouteTemplate
    methods: frozenset[str]
    target: T


class RouteTable(Generic[T]):
    """The routes of an app, in the order in which they are tried."""

    def __init__(self, routes: Iterable[Route[T]] = ()) -> None:
        self.routes = sorted(routes, key=lambda route: route.template.precedence)

    def find(self, method: str, raw_path: str) -> tuple[T, dict[str, str]] | None:
        """What a request leads to, with the route's values.

        Args:
            method: The method in upper case.
            raw_path: The path below the prefix, percent-encoded.
        """
        trimmed = raw_path.strip("/")
        parts = [unquote(part) for part in trimmed.split("/")] if trimmed else []
        for route in self.routes:
            if route.methods and method not in route.methods:
                continue
            values = route.template.match(parts)
            if values is not None:
                return route.target, values
        return None


def make_route(template: str, methods: Collection[str], target: T) -> Route[T]:
    """A route from its template's text.

    Raises:
        HostError: The template breaks the rules.
    """
    return Route(RouteTemplate.parse(template), frozenset(method.upper() for method in methods), target)


# ---------------------------------------------------------------- reading templates


def _fault(template: str, what: str) -> HostError:
    return HostError(f"route {template!r}: {what}")


def _split(template: str, text: str, separator: str) -> list[str]:
    """Splits at a separator that is outside braces and parentheses."""
    parts, depth, start = [], 0, 0
    for index, character in enumerate(text):
        if character in "{(":
            depth += 1
        elif character in "})":
            depth -= 1
        elif character == separator and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    if depth:
        raise _fault(template, "expected every brace and parenthesis to be closed")
    return [*parts, text[start:]]


def _parse_segment(template: str, text: str) -> Segment:
    if not text:
        raise _fault(template, "expected something between two slashes")
    parts: list[str | Parameter] = [
        _parse_parameter(template, token[1:-1]) if _is_parameter(token) else _literal(token)
        for token in _tokens(template, text)
    ]
    parameters = [part for part in parts if isinstance(part, Parameter)]
    if len(parts) > 1 and any(parameter.is_catch_all for parameter in parameters):
        raise _fault(template, "expected a catch-all parameter to be a segment of its own")
    return Segment(tuple(parts), re.compile(_pattern(parts), re.IGNORECASE | re.DOTALL))


def _tokens(template: str, text: str) -> Iterable[str]:
    """Literals and parameters in turn. A brace inside a parameter is one of a regular expression, and doubled."""
    position = 0
    while position < len(text):
        if text[position] == "{" and text[position : position + 2] != "{{":
            end = _end_of_parameter(template, text, position)
        else:
            end = position
            while end < len(text) and (text[end] not in "{}" or text[end : end + 2] in ("{{", "}}")):
                end += 2 if text[end] in "{}" else 1
            if end == position:
                raise _fault(template, "found a closing brace without an opening one")
        yield text[position:end]
        position = end


def _end_of_parameter(template: str, text: str, start: int) -> int:
    position = start + 1
    while position < len(text):
        pair = text[position : position + 2]
        if pair in ("{{", "}}") and "(" in text[start:position] and text[position + 2 :].find("}") >= 0:
            position += 2
        elif text[position] == "}":
            return position + 1
        else:
            position += 1
    raise _fault(template, "expected every brace to be closed")


def _is_parameter(token: str) -> bool:
    return token.startswith("{") and not token.startswith("{{")


def _literal(token: str) -> str:
    return token.replace("{{", "{").replace("}}", "}")


def _parse_parameter(template: str, text: str) -> Parameter:
    inner = text.lstrip("*")
    is_catch_all = inner != text
    default: str | None = None
    head, *tail = _split(template, inner, "=")
    if tail:
        inner, default = head, "=".join(tail)
    is_optional = text.endswith("?")
    name, *constraints = _split(template, inner.removesuffix("?"), ":")
    if not _PARAMETER_NAME.fullmatch(name):
        raise _fault(template, f"expected a parameter's name, found {name!r}")
    if is_optional and (default is not None or is_catch_all):
        raise _fault(template, f"parameter {name!r} is optional, so it takes neither a default nor `*`")
    try:
        parsed = tuple(parse_constraint(_literal(constraint)) for constraint in constraints)
    except ValueError as error:
        raise _fault(template, f"parameter {name!r}: {error}") from None
    return Parameter(name, parsed, default, is_optional, is_catch_all)


def _pattern(parts: Sequence[str | Parameter]) -> str:
    """A regular expression of a segment; an optional last parameter takes the dot before it along, the last of them."""
    pattern, count = "", 0
    for part in parts:
        if isinstance(part, str):
            pattern += re.escape(part)
        elif part.is_optional and pattern.endswith(r"\."):
            pattern = pattern[:-2].replace(".+", ".+?") + rf"(?:\.(?P<p{count}>[^.]+))?"
        else:
            pattern += f"(?P<p{count}>.+)"
            count += 1
    return pattern
