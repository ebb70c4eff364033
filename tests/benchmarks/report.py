"""Rows of figures, as a table for people, TSV or JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Row:
    """One figure: the middle of its samples, and how far they went; none where there is no sample."""

    measure: str
    who: str
    unit: str
    median: float | None
    least: float | None
    most: float | None
    samples: int

    @classmethod
    def of(cls, measure: str, who: str, unit: str, samples: Sequence[float]) -> Row:
        """Sums up what was measured."""
        return cls(measure, who, unit, statistics.median(samples), min(samples), max(samples), len(samples))

    @classmethod
    def missing(cls, measure: str, who: str, reason: str) -> Row:
        """Says what was not measured, and why, where the unit would be."""
        return cls(measure, who, f"not measured: {reason}", None, None, None, 0)


FIELDS = ("measure", "who", "unit", "median", "least", "most", "samples")


def render(rows: Sequence[Row], form: str) -> str:
    """The rows as `table`, `tsv` or `json`."""
    if form == "json":
        return json.dumps([asdict(row) for row in rows], indent=2)
    cells = [FIELDS, *(tuple(_cell(getattr(row, field)) for field in FIELDS) for row in rows)]
    if form == "tsv":
        return "\n".join("\t".join(row) for row in cells)
    # A reason for nothing being measured may be long, and has its line to itself.
    measured = [row for row in cells if row[-1] != "0"]
    widths = [max(map(len, column)) for column in zip(*measured, strict=True)]
    return "\n".join(_line(row, widths) for row in cells)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    texts = [cell.ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True)]
    numbers = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
    return "  ".join([*texts, *numbers])


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)
