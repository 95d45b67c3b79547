"""One thing that was looked at, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

OK, UNCHECKED, FAILED = "ok", "unchecked", "failed"
"""Looked at and right; could not be looked at, or says nothing; wrong."""

HISTORY, FOLDER, SIGNATURES, ARTIFACTS, CODE = CHECKS = ("history", "folder", "signatures", "artifacts", "code")
"""What is looked at: the first of the branch, the others of each run."""


class Finding(NamedTuple):
    """What was looked at.

    Attributes:
        check: one of CHECKS.
        status: OK, UNCHECKED or FAILED.
        where: a run's file, a commit, a ref.
        what: what was found; empty where all is well.
        advice: what to do about it.
        run: the run's id; None for what is of the branch.
        word: the status in a word that says more; empty where none does.
    """

    check: str
    status: str
    where: str = ""
    what: str = ""
    advice: str = ""
    run: str | None = None
    word: str = ""


def worst(statuses: Iterable[str]) -> str:
    """The status that counts for all."""
    return max(statuses, key=(OK, UNCHECKED, FAILED).index, default=UNCHECKED)
