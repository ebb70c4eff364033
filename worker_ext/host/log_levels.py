"""Which logs are shown, by `logging.logLevel` of host.json: a level a category, the longest that fits counts.

Categories are the Functions host's: `Function.NAME.User` for what a function logs, `Function.NAME` for what the host
says of it, `Host...` for the rest. One without an entry of its own has that of what it begins with, else that of
`default`.

Source: Azure Functions' documentation of log levels and categories.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

NAMES = ("Trace", "Debug", "Information", "Warning", "Error", "Critical", "None")
_DEFAULT = "default"
_RANKS = {name.lower(): rank for rank, name in enumerate(NAMES)}
_OWN = {"debug": "debug", "info": "information", "warning": "warning", "error": "error"}


class LogLevels(Struct, frozen=True):
    """The lowest level that is shown, by category."""

    lowest: Mapping[str, int] = field(default_factory=lambda: {_DEFAULT: _RANKS["information"]})

    @classmethod
    def of(cls, names: Mapping[str, str]) -> LogLevels:
        """Reads levels by name.

        Raises:
            ValueError: One is no level; the message has the category in front.
        """
        lowest: dict[str, int] = {}
        for category, name in names.items():
            if name.lower() not in _RANKS:
                raise ValueError(f'{category}: expected one of {", ".join(NAMES)}, found "{name}"')
            lowest[category.lower()] = _RANKS[name.lower()]
        return cls(lowest)

    def shows(self, level: str, category: str, *, verbose: bool = False) -> bool:
        """Whether an entry is shown: `level` is debug, info, warning or error; `verbose` shows debug entries too."""
        rank = _RANKS[_OWN[level]]
        return rank >= self._lowest(category.lower()) or (verbose and rank >= _RANKS["debug"])

    @property
    def has_debug(self) -> bool:
        """Whether debug entries of any category are shown."""
        return any(rank <= _RANKS["debug"] for rank in self.lowest.values())

    def _lowest(self, category: str) -> int:
        fitting = [name for name in self.lowest if name != _DEFAULT and f"{category}.".startswith(f"{name}.")]
        return self.lowest.get(max(fitting, key=len, default=_DEFAULT), _RANKS["information"])
