"""What a reviewer should know before trusting new runs: code that nobody can get back, other data, runs that failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gxt import git
from gxt.against import News
from gxt.git import Repository
from gxt.model import FINISHED, Run

DIRTY, MISSING_COMMIT, NO_COMMIT, OTHER_DATA = "dirty", "missing commit", "no commit", "other data"
NOT_FINISHED, NOT_A_NUMBER, UNREADABLE = "not finished", "NaN", "unreadable"

_DIRTY = "ran with uncommitted changes, which their commit does not have"


class Caution(NamedTuple):
    """Something to know about some of the new runs.

    Attributes:
        kind: which of those above.
        text: a sentence about it, in plain text.
        runs: the runs that it is about.
    """

    kind: str
    text: str
    runs: tuple[Run, ...]


def cautions_of(repo: Repository, news: News, before: Sequence[Run]) -> list[Caution]:
    """What there is to know of the new runs, beside the runs of the base."""
    runs = news.runs
    found = [
        _about(UNREADABLE, runs, lambda run: bool(run.problem), "cannot be read in full"),
        _about(NOT_FINISHED, runs, lambda run: not run.problem and run.status != FINISHED, "did not finish"),
        _about(NOT_A_NUMBER, runs, _has_nan, "ended with a metric that is NaN"),
        _about(
            DIRTY,
            runs,
            lambda run: run.source.get("dirty") is True,
            _DIRTY,
        ),
        _about(NO_COMMIT, runs, lambda run: not _commit(run), "name no commit of the code"),
        _missing_commits(repo, runs),
        *_other_data(runs, before),
    ]
    return [caution for caution in found if caution is not None]


def _about(kind: str, runs: Sequence[Run], concerns: Callable[[Run], bool], text: str) -> Caution | None:
    concerned = tuple(run for run in runs if concerns(run))
    return Caution(kind, text, concerned) if concerned else None


def _has_nan(run: Run) -> bool:
    return any(summary.last != summary.last for summary in run.metrics.values())


def _commit(run: Run) -> str:
    """The commit of the code; empty for what is no object id, since others wrote it."""
    name = str(run.source.get("commit") or "")
    return name if re.fullmatch("[0-9a-f]{7,64}", name) else ""


def _missing_commits(repo: Repository, runs: Sequence[Run]) -> Caution | None:
    names = sorted({commit for run in runs if (commit := _commit(run))})
    there = dict(zip(names, git.resolve(repo, names), strict=True))
    text = "ran a commit that is not in this repository: it was not pushed, or was rewritten"
    if git.is_shallow(repo):
        text = "ran a commit that is not in this clone, whose history is cut off (fetch it in full to tell)"
    return _about(MISSING_COMMIT, runs, lambda run: bool(_commit(run)) and there[_commit(run)] is None, text)


def _other_data(runs: Sequence[Run], before: Sequence[Run]) -> list[Caution]:
    """Datasets of a name that the base's runs of the same experiment used too, with digests that none of them had."""
    known: dict[tuple[str, str], set[str]] = {}
    for run in before:
        for name, digest in _digests(run).items():
            known.setdefault((run.experiment, name), set()).add(digest)
    changed: dict[str, list[Run]] = {}
    for run in runs:
        for name, digest in _digests(run).items():
            if digest not in known.get((run.experiment, name), {digest}):
                changed.setdefault(name, []).append(run)
    return [
        Caution(OTHER_DATA, f"used another version of the dataset {name} than any run of the base", tuple(concerned))
        for name, concerned in sorted(changed.items())
    ]


def _digests(run: Run) -> Mapping[str, str]:
    return {name: str(about["digest"]) for name, about in run.inputs.items() if about.get("digest")}
