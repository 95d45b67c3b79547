"""What runs came to, as git notes on the commits of the code that they ran.

Where a commit was rebased, amended or squashed, `git log` does not show it any more. So the commit that has taken its
place, found as `codehistory` does, has a note too, which says so. A note may hold what others wrote: gxt's part is
between two lines of its own, and all else stays as it is. What it says depends on the runs and on HEAD's history alone,
so that clones write the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

from gxt import catalog, codehistory, git, stats, store
from gxt.cache import Progress
from gxt.errors import RefMovedError
from gxt.git import CodeCommit, Repository
from gxt.model import Run
from gxt.showing import one_line

REF = "refs/notes/gxt"

_BEGIN, _END = b"Runs, by gxt:\n", b"(end of what gxt wrote)\n"
_PART = re.compile(rb"\n?^" + re.escape(_BEGIN) + rb"(?:.*\n)*?" + re.escape(_END), re.MULTILINE)
_MOST_COMMITS = 1000
_EACH, _METRICS = 3, 4
_WORDS = {codehistory.TREE: "same tree", codehistory.CHANGE: "same change"}
_AGAIN = re.compile(r", of a commit with the same (?:tree|change)\b.*: ")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_RUN_ID = re.compile(r"\b[0-9]{8}-[0-9]{6}-[0-9a-f]{8}\b")
_TRIES = 10


class Annotated(NamedTuple):
    """What became of the notes.

    Attributes:
        texts: what changes, or would: each commit's part of gxt as it is then, empty where it goes away.
        before: the same parts as they were, empty where there was none.
        same: how many commits had it so already.
        commit: the commit on refs/notes/gxt; None where nothing was to be written.
        unseen: the commits with a note that no branch or tag leads to, so that `git log` does not show them; those that
            are not here among them.
    """

    texts: Mapping[str, str]
    before: Mapping[str, str]
    same: int
    commit: str | None = None
    unseen: Sequence[str] = ()


def annotate(repo: Repository, *, dry_run: bool = False, progress: Progress | None = None) -> Annotated:
    """Have the notes of refs/notes/gxt say what the runs on the run branch came to, in one commit.

    Deleted runs, and those that are not on the branch yet, are left out.

    Raises:
        GitError: git does not take the commit.
    """
    store.check_writable(repo)
    settings = git.config(repo)
    history = _history(repo)
    wanted, listed = _wanted(repo, history, progress)
    for attempt in range(_TRIES):
        notes = git.read_notes(repo, REF)
        before = {commit: part for commit, text in notes.texts.items() if (part := _part_of(text))}
        full = wanted | {
            commit: [*wanted.get(commit, []), *lines]
            for commit in before.keys() - {one.id for one in history}
            if (lines := _found_elsewhere(before[commit], listed))
        }
        texts = {commit: _text(lines) for commit, lines in full.items()}
        changed = {c: texts.get(c, "") for c in {*texts, *before} if texts.get(c, "") != before.get(c, "")}
        done = Annotated(
            {c: changed[c] for c in sorted(changed)},
            {c: before.get(c, "") for c in sorted(changed)},
            len(texts.keys() - changed.keys()),
            unseen=git.unseen(repo, sorted(texts)),
        )
        if dry_run or not changed:
            return done
        whole = {c: _with_part(notes.texts.get(c, b""), part) or None for c, part in changed.items()}
        message = f"Runs of {len(changed)} commit{'' if len(changed) == 1 else 's'}\n"
        try:
            return done._replace(commit=git.write_notes(repo, REF, notes, whole, message, settings))
        except RefMovedError:
            if attempt == _TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _history(repo: Repository) -> list[CodeCommit]:
    """The commits on which notes are looked for, beside those that runs name."""
    (head,) = git.resolve_here(repo, ["HEAD"])
    return git.walk(repo, [head], _MOST_COMMITS) if head is not None else []


def _wanted(
    repo: Repository, history: Sequence[CodeCommit], progress: Progress | None
) -> tuple[dict[str, list[str]], set[str]]:
    """The lines about each commit; and the ids of the runs that there are."""
    found = catalog.listing(repo, progress=progress)
    listed = [run for run in found.runs if run.place == "branch"]
    by_commit: dict[str, list[_Noted]] = {}
    for run in listed:
        if _COMMIT.fullmatch(commit := str(run.source.get("commit") or "")):
            by_commit.setdefault(commit, []).append(_Noted(run))
    for commit, matches in codehistory.matched(repo, history, listed).items():
        for match in matches:
            if match.how in _WORDS and commit != codehistory.base_of(match.run):
                by_commit.setdefault(commit, []).append(_Noted(match.run, match.how, match.changed))
    goals = {experiment.name: experiment.goals for experiment in found.experiments}
    return {commit: _lines(runs, goals) for commit, runs in by_commit.items()}, {run.id for run in listed}


def _found_elsewhere(part: str, listed: Set[str]) -> list[str]:
    """What a note says of runs of other commits that this one has taken the place of, in a history that is not the
    present one: it stays as long as there are these runs, so that notes do not come and go with what is checked out."""
    lines = [line.removeprefix("  ") for line in part.splitlines() if _AGAIN.search(line)]
    return [line for line in lines if any(run_id in listed for run_id in _RUN_ID.findall(line))]


# --- what a note says -----------------------------------------------------------------------------------------------


class _Noted(NamedTuple):
    """A run under a commit: what that has in common with the run's own, where it is another; and whether there were
    changes beside."""

    run: Run
    how: str = codehistory.COMMIT
    changed: bool = True

    @property
    def what(self) -> str:
        """What is said of its code."""
        said = f", of a commit with the {_WORDS[self.how]}" if self.how in _WORDS else ""
        return said + (", with uncommitted changes" if self.run.source.get("dirty") and self.changed else "")


def _lines(noted: Sequence[_Noted], goals: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What is said about the runs of one commit; `goals` are those of each experiment.

    A line for each run, or for all of an experiment where there are many; runs with uncommitted changes, and those of
    other commits that this one has taken the place of, apart.
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for one in sorted(noted, key=lambda one: one.run.id):
        groups.setdefault((one.run.experiment, one.what), []).append(one.run)
    lines = []
    for (experiment, what), some in sorted(groups.items()):
        stated = goals.get(experiment, {})
        said = one_line(experiment) + what
        if len(some) <= _EACH:
            lines += [f"{said}: {_one(run, stated)}" for run in some]
        else:
            lines.append(f"{said}: {_many(some, stated)}")
    return lines


def _text(lines: Sequence[str]) -> str:
    """gxt's part of a note."""
    ordered = sorted(lines, key=lambda line: line.partition(": ")[0])
    return _BEGIN.decode() + "".join(f"  {line}\n" for line in ordered) + _END.decode()


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
