"""What runs came to, as git notes on the commits of the code that they ran.

A note may hold what others wrote too: gxt's part is between two lines of its own, and all else stays as it is. What it
says depends on the runs alone, so that every clone writes the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gxt import catalog, git, stats, store
from gxt.cache import Progress
from gxt.errors import RefMovedError
from gxt.git import Repository
from gxt.model import Run
from gxt.showing import one_line

REF = "refs/notes/gxt"

_BEGIN, _END = b"Runs, by gxt:\n", b"(end of what gxt wrote)\n"
_PART = re.compile(rb"\n?^" + re.escape(_BEGIN) + rb"(?:.*\n)*?" + re.escape(_END), re.MULTILINE)
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_EACH, _METRICS = 3, 4
_TRIES = 10


class Annotated(NamedTuple):
    """What became of the notes.

    Attributes:
        texts: what changes, or would: each commit's part of gxt as it is then, empty where it goes away.
        before: the same parts as they were, empty where there was none.
        same: how many commits had it so already.
        commit: the commit on refs/notes/gxt; None where nothing was to be written.
    """

    texts: Mapping[str, str]
    before: Mapping[str, str]
    same: int
    commit: str | None = None


def annotate(repo: Repository, *, dry_run: bool = False, progress: Progress | None = None) -> Annotated:
    """Have the notes of refs/notes/gxt say what the runs on the run branch came to, in one commit.

    Deleted runs, and those that are not on the branch yet, are left out.

    Raises:
        GitError: git does not take the commit.
    """
    store.check_writable(repo)
    settings = git.config(repo)
    wanted = _wanted(repo, progress)
    for attempt in range(_TRIES):
        notes = git.read_notes(repo, REF)
        before = {commit: part for commit, text in notes.texts.items() if (part := _part_of(text))}
        changed = {c: wanted.get(c, "") for c in {*wanted, *before} if wanted.get(c, "") != before.get(c, "")}
        done = Annotated(
            {c: changed[c] for c in sorted(changed)},
            {c: before.get(c, "") for c in sorted(changed)},
            len(wanted.keys() - changed.keys()),
        )
        if dry_run or not changed:
            return done
        texts = {c: _with_part(notes.texts.get(c, b""), part) or None for c, part in changed.items()}
        message = f"Runs of {len(changed)} commit{'' if len(changed) == 1 else 's'}\n"
        try:
            return done._replace(commit=git.write_notes(repo, REF, notes, texts, message, settings))
        except RefMovedError:
            if attempt == _TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _wanted(repo: Repository, progress: Progress | None) -> dict[str, str]:
    found = catalog.listing(repo, progress=progress)
    by_commit: dict[str, list[Run]] = {}
    for run in found.runs:
        commit = str(run.source.get("commit") or "")
        if run.place == "branch" and _COMMIT.fullmatch(commit):
            by_commit.setdefault(commit, []).append(run)
    goals = {experiment.name: experiment.goals for experiment in found.experiments}
    return {commit: text_of(runs, goals) for commit, runs in by_commit.items()}


# --- what a note says -----------------------------------------------------------------------------------------------


def text_of(runs: Sequence[Run], goals: Mapping[str, Mapping[str, str]]) -> str:
    """What gxt writes about the runs of one commit; `goals` are those of each experiment.

    A line for each run, or for all of an experiment where there are many; runs with uncommitted changes apart.
    """
    groups: dict[tuple[str, bool], list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.id):
        groups.setdefault((run.experiment, bool(run.source.get("dirty"))), []).append(run)
    lines = []
    for (experiment, dirty), some in sorted(groups.items()):
        stated = goals.get(experiment, {})
        said = one_line(experiment) + (", with uncommitted changes" if dirty else "")
        if len(some) <= _EACH:
            lines += [f"{said}: {_one(run, stated)}" for run in some]
        else:
            lines.append(f"{said}: {_many(some, stated)}")
    return _BEGIN.decode() + "".join(f"  {line}\n" for line in lines) + _END.decode()


def _one(run: Run, stated: Mapping[str, str]) -> str:
    values = [f"{one_line(name)}={run.metrics[name].last:.6g}" for name in _chosen([run], stated)]
    status = "" if run.status == "finished" else f" {one_line(run.status)}"
    return " ".join([f"{one_line(run.name or run.id)}{status}", *values, f"({run.id})"])


def _many(runs: Sequence[Run], stated: Mapping[str, str]) -> str:
    said = [f"{len(runs)} runs"]
    for name in _chosen(runs, stated):
        goal = stats.goal_of(name, stated)
        having = [run for run in runs if name in run.metrics and run.metrics[name].last == run.metrics[name].last]
        if not having:
            continue
        values = {run.id: run.metrics[name].last for run in having}
        if goal is None:
            said.append(f"{one_line(name)} {min(values.values()):.6g} to {max(values.values()):.6g}")
            continue
        best = (min if goal == "min" else max)(having, key=lambda run: values[run.id])
        said.append(f"best {one_line(name)}={values[best.id]:.6g} by {one_line(best.name or best.id)} ({best.id})")
    return ", ".join(said)


def _chosen(runs: Sequence[Run], stated: Mapping[str, str]) -> list[str]:
    """The metrics to name: those that somebody gave a goal, those whose name implies one, then the others."""
    names = {name for run in runs for name in run.metrics}
    return sorted(names, key=lambda name: (name not in stated, stats.goal_of(name, stated) is None, name))[:_METRICS]


def _part_of(text: bytes) -> str:
    match = _PART.search(text)
    return match[0].removeprefix(b"\n").decode("utf-8", "replace") if match else ""


def _with_part(text: bytes, part: str) -> bytes:
    """A note with gxt's part in it, or without; what others wrote comes first."""
    rest = _PART.sub(b"", text)
    if not part:
        return rest
    if rest and not rest.endswith(b"\n"):
        rest += b"\n"
    return rest + (b"\n" if rest else b"") + part.encode()
