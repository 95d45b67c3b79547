"""What a comparison shows is made of: cells, rows and parts, whatever shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

BULKY = 5
"""A longer list is folded."""


class Cell(NamedTuple):
    """A text and how it is meant: "better", "worse", "added", "removed", "place" (where in a file), or ""."""

    text: str
    tone: str = ""


class Row(NamedTuple):
    """A line of a part's table: what it is about, a value for each run, and what is said of the change."""

    mark: str
    name: str
    values: tuple[Cell, ...]
    change: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Part:
    """A section of a comparison.

    Attributes:
        title: such as "params", or a file's path.
        summary: what is in it: "2 changed, 1 added".
        about_change: titles of the columns after the runs', which say how a value changed.
        rows: what differs.
        same: how many are the same in all runs.
        remarks: sentences about it.
        lines: of a diff, or a list that belongs to it.
        bulky: whether it is folded where something can be unfolded.
        is_file: whether it is about the contents of a file.
    """

    title: str
    summary: str
    about_change: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    same: int = 0
    remarks: tuple[str, ...] = ()
    lines: tuple[Cell, ...] = ()
    bulky: bool = False
    is_file: bool = False


@dataclass(frozen=True)
class Outline:
    """A whole comparison.

    Attributes:
        labels: what the runs are called here: their names, with an id where names are not enough.
        head: what the runs are: ids, starts, durations.
        parts: what differs; parts in which nothing does are left out.
        same: what is the same throughout: "3 tags".
        verdict: says so where nothing differs; else empty.
    """

    labels: tuple[str, ...]
    head: tuple[Row, ...]
    parts: tuple[Part, ...]
    same: tuple[str, ...]
    verdict: str


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def many(count: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count} {noun}{'s' if count != 1 else ''}"
