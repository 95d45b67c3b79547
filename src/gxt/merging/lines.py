"""Points and samples of two sides, line by line."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence


def join_lines(ours: bytes, theirs: bytes, bases: Sequence[bytes], header: bytes, time_at: int) -> bytes:
    """A CSV file with the lines of both sides, in the order of their times; the same whichever side is called ours.

    A line that both have counts as often as in the one that has it more often. One that was there before and that a
    side has taken out stays out.

    Args:
        bases: the file where the sides parted.
        header: its first line.
        time_at: the column of the time.

    >>> join_lines(b"t\\n1\\n3\\n", b"t\\n1\\n2\\n", [b"t\\n1\\n"], b"t\\n", 0)
    b't\\n1\\n2\\n3\\n'
    """
    mine, others = _count(ours, header), _count(theirs, header)
    before: Counter[bytes] = Counter()
    for base in bases:
        before |= _count(base, header)
    joined: Counter[bytes] = Counter()
    for line in mine.keys() | others.keys():
        most, least, had = max(mine[line], others[line]), min(mine[line], others[line]), before[line]
        joined[line] = least if least < had and most <= had else most
    return header + b"".join(line + b"\n" for line in _in_order(joined.elements(), time_at))


def _count(data: bytes, header: bytes) -> Counter[bytes]:
    lines = Counter(data.split(b"\n"))
    del lines[b""], lines[header.rstrip(b"\n")]
    return lines


def _in_order(lines: Iterable[bytes], time_at: int) -> list[bytes]:
    """Lines by their times; then by their other columns, numbers by their value; what is no line of the kind, last."""

    def place(line: bytes) -> tuple[bool, int, list[tuple[int, str]], bytes]:
        try:
            text = line.decode()
            columns = next(csv.reader([text])) if '"' in text else text.split(",")
            when = int(columns.pop(time_at))
        except (ValueError, IndexError, csv.Error, StopIteration):
            return True, 0, [], line
        return False, when, [_column(column) for column in columns], line

    return sorted(lines, key=place)


def _column(text: str) -> tuple[int, str]:
    return (int(text), "") if text.lstrip("-").isdecimal() and len(text) < 20 else (0, text)
