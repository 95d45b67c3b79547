"""What a reviewer should know before trusting new runs: code that nobody can get back, other data, runs that failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gxt import git, store
from gxt.against import News
from gxt.git import Repository
from gxt.model import FINISHED, Run

DIRTY, MISSING_COMMIT, NO_COMMIT, OTHER_DATA = "dirty", "missing commit", "no commit", "other data"
NOT_FINISHED, NOT_A_NUMBER, UNREADABLE, NOT_PUSHED = "not finished", "NaN", "unreadable", "commit not pushed"


class Caution(NamedTuple):
    """Something to know about some of the new runs.

    Attributes:
        kind: which of those above.
        text: what is to be known of them, to follow how many they are, in plain text.
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
            "ran with uncommitted changes, which its commit does not have",
            "ran with uncommitted changes, which their commits do not have",
        ),
        _about(
            NO_COMMIT, runs, lambda run: not _commit(run), "names no commit of the code", "name no commit of the code"
        ),
        *_of_commits(repo, runs),
        *_other_data(runs, before),
    ]
    return [caution for caution in found if caution is not None]


def _about(
    kind: str, runs: Sequence[Run], concerns: Callable[[Run], bool], text: str, of_several: str | None = None
) -> Caution | None:
    """The caution about those of the runs that something concerns; `text` is of one run, and of several without
    `of_several`."""
    concerned = tuple(run for run in runs if concerns(run))
    return Caution(kind, of_several or text if len(concerned) > 1 else text, concerned) if concerned else None


def _has_nan(run: Run) -> bool:
    return any(summary.last != summary.last for summary in run.metrics.values())


def _commit(run: Run) -> str:
    """The commit of the code; empty for what is no object id, since others wrote it."""
    name = str(run.source.get("commit") or "")
    return name if re.fullmatch("[0-9a-f]{7,64}", name) else ""


def _of_commits(repo: Repository, runs: Sequence[Run]) -> list[Caution | None]:
    """The runs whose commit is not here, and those whose commit no remote has, as far as is known."""
    names = sorted({commit for run in runs if (commit := _commit(run))})
    there = dict(zip(names, git.resolve(repo, names), strict=True))
    is_shallow = git.is_shallow(repo)
    text = "ran a commit that is not in this repository: it was not pushed, or was rewritten"
    if is_shallow:
        text = "ran a commit that is not in this clone, whose history is cut off (fetch it in full to tell)"
    unpushed: set[str] = set()
    if not is_shallow and _knows_code_of_remotes(repo):
        unpushed = git.unpushed(repo, sorted({oid for oid in there.values() if oid}))
    return [
        _about(MISSING_COMMIT, runs, lambda run: bool(_commit(run)) and there[_commit(run)] is None, text),
        _about(
            NOT_PUSHED,
            runs,
            lambda run: there.get(_commit(run)) in unpushed,
            "ran a commit that is on no remote, as far as is known here: push the branch that has it",
        ),
    ]


def _knows_code_of_remotes(repo: Repository) -> bool:
    """Whether some remote-tracking branch is one of code: without any, nothing tells what was pushed."""
    refs = git.list_refs(repo, "refs/remotes/")
    commits = dict.fromkeys(refs.values())
    return any(not store.holds_runs(repo, commit) for commit in commits)


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
