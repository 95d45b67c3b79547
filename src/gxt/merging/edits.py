"""What each of two sides did to a file since they parted, and which of two edits counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Rank = Callable[[str], Any]
"""A commit's place among all commits: whoever edits what another has written comes after it."""


class Edit(NamedTuple):
    """What one commit made of a file.

    Attributes:
        commit: which one.
        ours: whether it is on our side; else on theirs.
        before: the file in the commit's parents, None where it is not there. Those of a merge are several.
        after: the file in the commit, None where it took the file away.
    """

    commit: str
    ours: bool
    before: Sequence[str | None]
    after: str | None


class Chosen(NamedTuple):
    """Which of two sides' values counts: ours, or theirs; and whether the other was an edit that lost."""

    ours: bool
    contested: bool


def choose(ours: list[str], theirs: list[str], tie: bool, rank: Rank) -> Chosen:
    """Whose value counts, by the commits that set it on each side; `tie` says whether ours does where nothing tells.

    A side whose value nobody set since the two parted had it from before, and gives way.
    """
    if not ours or not theirs:
        return Chosen(ours=tie if bool(ours) == bool(theirs) else bool(ours), contested=False)
    our_last, their_last = max(map(rank, ours)), max(map(rank, theirs))
    return Chosen(ours=tie if our_last == their_last else our_last > their_last, contested=True)
