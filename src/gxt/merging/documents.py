"""YAML documents of two sides, key by key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gxt import layout
from gxt.errors import FormatError
from gxt.merging.edits import Edit, Rank, choose
from gxt.showing import one_line, shortened
from gxt.yamltext import load_mapping

Path = tuple[str, ...]
Values = dict[Path, Any]

# How a run ended is one thing: its status, when, and with which code.
_TOGETHER = {
    layout.RUN_YAML: {"ended": "status", "exit_code": "status"},
    layout.EXPERIMENT_YAML: {"created": "id"},
}


class Lost(NamedTuple):
    """A value that gave way: where it stood, what it was, and what is there now."""

    key: str
    lost: str
    kept: str


def join_documents(
    name: str,
    ours: bytes,
    theirs: bytes,
    edits: Sequence[Edit],
    read: Callable[[str], bytes],
    rank: Rank,
) -> tuple[bytes, list[Lost]]:
    """One document of two; each key as it was set last, and what gave way to that.

    A document that cannot be read gives way to one that can.

    Args:
        name: the file's name, which says how keys belong together.
        edits: what each side did to it since they parted.
        read: gives a version's content by its id.
    """
    ours_keys, theirs_keys = _keys(name, ours), _keys(name, theirs)
    if ours_keys is None or theirs_keys is None:
        if ours_keys is None and theirs_keys is None:
            return max(ours, theirs), []
        return (theirs if ours_keys is None else ours), [Lost("", "a document that cannot be read", "the other side's")]
    versions: dict[str | None, dict[Path, Values]] = {None: {}}

    def version(oid: str | None) -> dict[Path, Values]:
        if oid not in versions:
            assert oid is not None
            versions[oid] = _keys(name, read(oid)) or {}
        return versions[oid]

    def setters(key: Path, value: Values | None, on_our_side: bool) -> list[str]:
        wanted = repr(value)
        return [
            edit.commit
            for edit in edits
            if edit.ours == on_our_side
            and repr(version(edit.after).get(key)) == wanted
            and all(repr(version(before).get(key)) != wanted for before in edit.before)
        ]

    kept: dict[Path, Values] = {}
    lost = []
    for key in sorted(ours_keys.keys() | theirs_keys.keys()):
        mine, other = ours_keys.get(key), theirs_keys.get(key)
        taken = mine
        if repr(mine) != repr(other):
            if (name, key) in _RULES:
                taken = _RULES[name, key](mine, other)
            else:
                tie = repr(mine) > repr(other)
                chosen = choose(setters(key, mine, True), setters(key, other, False), tie, rank)
                taken, given_up = (mine, other) if chosen.ours else (other, mine)
                if chosen.contested and not _alike(name, given_up, taken):
                    lost.append(Lost(".".join(key), _shown(given_up), _shown(taken)))
        if taken is not None:
            kept[key] = taken
    values = {path: value for group in kept.values() for path, value in group.items()}
    return layout.write_document(name, _unfold(values, _order(ours), _order(theirs))), lost


def _keys(name: str, data: bytes) -> dict[Path, Values] | None:
    """A document's values by what decides on them together; None where it cannot be read."""
    try:
        document = load_mapping(data, name)
    except FormatError:
        return None
    together = _TOGETHER.get(name, {})
    groups: dict[Path, Values] = {}
    for path, value in _fold(document, whole=name == layout.INPUTS_YAML):
        first = together.get(path[0])
        groups.setdefault((first,) if first else path, {})[path] = value
    return groups


def _fold(document: Mapping[str, Any], whole: bool, above: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The values in a document with the keys that lead to each; `whole` takes what is under a key as one value."""
    for key, value in document.items():
        path = (*above, str(key))
        if isinstance(value, Mapping) and value and not whole:
            yield from _fold(value, whole, path)
        else:
            yield path, value


def _unfold(values: Values, *orders: list[Path]) -> dict[str, Any]:
    """The document with these values; where a key has both a value and keys below it, the latter stay.

    Keys that are not sorted when they are written keep their order where both sides have the same.
    """
    agreed = {path: place for place, path in enumerate(orders[0])} if orders[0] == orders[1] else {}
    inner = {path[:length] for path in values for length in range(1, len(path))}
    document: dict[str, Any] = {}
    for path in sorted(values, key=lambda path: (agreed.get(path, len(agreed)), path)):
        if path in inner:
            continue
        inside = document
        for key in path[:-1]:
            inside = inside.setdefault(key, {})
        inside[path[-1]] = values[path]
    return document


_UNSORTED = ("source", "environment")


def _order(data: bytes) -> list[Path]:
    document = load_mapping(data, "")
    return [path for path, _ in _fold(document, whole=False) if path[0] in _UNSORTED]


def _earlier(one: Values | None, other: Values | None) -> Values | None:
    """The identity of the experiment that was begun first."""
    present = [values for values in (one, other) if values is not None]
    return min(present, key=lambda values: (str(values.get(("created",), "~")), repr(values)))


def _greater(one: Values | None, other: Values | None) -> Values | None:
    def place(values: Values) -> tuple[int, str]:
        (number,) = values.values()
        return number if isinstance(number, int) else 0, repr(number)

    return max((values for values in (one, other) if values is not None), key=place)


_RULES: dict[tuple[str, Path], Callable[[Values | None, Values | None], Values | None]] = {
    (layout.EXPERIMENT_YAML, ("id",)): _earlier,
    (layout.GXT_YAML, ("format",)): _greater,
}


def _alike(name: str, one: Values | None, other: Values | None) -> bool:
    """Whether two versions say the same of how a run ended, but for the moment: nobody misses the one that gave way."""
    if name != layout.RUN_YAML or one is None or other is None:
        return False
    rest_of_one, rest_of_other = (
        {path: value for path, value in values.items() if path != ("ended",)} for values in (one, other)
    )
    return ("status",) in one and repr(rest_of_one) == repr(rest_of_other)


_LONGEST = 60


def _shown(values: Values | None) -> str:
    if values is None:
        return "nothing"
    return shortened(one_line(" ".join(", ".join(str(value) for value in values.values()).split())), _LONGEST)
