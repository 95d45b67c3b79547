"""A table as values: what each format then writes in its own way."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple


class Column(NamedTuple):
    """A table's column.

    Attributes:
        title: what people read above it.
        kind: how its cells are shown: "text", "number", "time" (milliseconds since 1970 UTC), "duration" (seconds),
            "size" (bytes) or "status".
        name: what programs call it, whatever else is in the table; the title where this is empty.
        rank: where a terminal has no room for all, columns of a lower rank are kept first.
    """

    title: str
    kind: str = "text"
    name: str = ""
    rank: int = 0

    @property
    def is_numeric(self) -> bool:
        """Whether its cells stand at the right."""
        return self.kind in ("number", "duration", "size")


class Spread(NamedTuple):
    """A cell for several numbers: their mean, and their sample standard deviation where there are two or more."""

    mean: float
    std: float | None


class Table(NamedTuple):
    """Columns and rows of plain values; None is an empty cell.

    Attributes:
        best: the cells to mark, as (row, column).
        depths: how far below the outermost each row's run is nested; nothing where no run is.
        same: what all rows have alike and no column shows, each as `params.seed=1`.
        notes: what has to be known to read the table, a sentence each.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    best: Collection[tuple[int, int]] = frozenset()
    depths: Sequence[int] = ()
    same: Sequence[str] = ()
    notes: Sequence[str] = ()
