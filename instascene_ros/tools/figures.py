"""Measured figures: medians with their spread, tables of them, and what they were measured on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Median of repeated measurements, and their 10th and 90th percentile."""

    median: float
    p10: float
    p90: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(*(float(v) for v in np.percentile(values, [50, 10, 90])))

    def __str__(self) -> str:
        return f"{self.median:.1f} ({self.p10:.1f}-{self.p90:.1f})"


Cell = str | float | int | Spread


@dataclass(frozen=True)
class Table:
    """Rows with the same columns; the units stand in the names of the columns."""

    title: str
    rows: Sequence[Mapping[str, Cell]]
    printed: bool = True  # or for JSON only

    def markdown(self) -> str:
        """The table as text that reads well in a terminal too."""
        if not self.rows:
            return f"{self.title}: nothing measured"
        cells = [list(self.rows[0]), *([_text(value) for value in row.values()] for row in self.rows)]
        widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
        lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in cells]
        lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
        return f"{self.title}\n\n" + "\n".join(lines)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"title": self.title, "rows": [{name: _plain(value) for name, value in r.items()} for r in self.rows]}


@dataclass(frozen=True)
class Budget:
    """A promise, and what this machine does."""

    what: str
    most: float
    measured: float
    unit: str

    def row(self) -> dict[str, Cell]:
        kept = "yes" if self.measured <= self.most else "no"
        most, measured = f"{self.most:g} {self.unit}", f"{self.measured:.3g} {self.unit}"
        return {"budget": self.what, "at most": most, "measured": measured, "kept": kept}


def _text(value: Cell) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _plain(value: Cell) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
