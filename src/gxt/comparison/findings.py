"""What differs between runs, section by section, worked out from what was read of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from gxt import git, stats
from gxt.comparison.files import FileDifference
from gxt.comparison.values import NOTHING, Difference, Differences, difference, differences, same_value
from gxt.model import Run, Summary, flatten


class Blob(NamedTuple):
    """An artifact's bytes: how many, and their git object id; None where the size alone tells it from the others."""

    size: int
    oid: str | None


@dataclass(frozen=True)
class CodeChange:
    """What lies between the first run's code and another run's.

    Attributes:
        run: the other run's position.
        only_here: commits that its code has and the first run's has not, the latest first.
        only_first: the other way round.
        files: what changes from the first run's code to its own.
        as_it_ran: whether `files` compares the snapshots, with uncommitted changes; else the commits.
        missing: commits and snapshots of the two that are not in this repository, so that they are not compared.
    """

    run: int
    only_here: tuple[git.Commit, ...] = ()
    only_first: tuple[git.Commit, ...] = ()
    files: tuple[git.FileChange, ...] = ()
    missing: tuple[str, ...] = ()
    as_it_ran: bool = False


@dataclass(frozen=True)
class Findings:
    """What differs between runs. Values come in the order of the runs, changes are from the first run.

    Attributes:
        runs: what is compared, two or more.
        attributes: experiment, status, exit code, author, note.
        params: nested ones as one level, `model.depth`.
        metrics: last values; `rmse.min` or `rmse.max` beside them where the goal's end of the curve was another value.
        curves: histories by step; each value is a Divergence from the first run's.
        tags: by name.
        inputs: datasets; the same where their digests are.
        source: command, entrypoint, commit, branch, whether the code had uncommitted changes, remote,
            and the code as it ran where it differed.
        code: for each other run with another commit or snapshot, the commits and files in between.
        environment: Python, the machine, variables, the kind of container, CI or job.
        packages: versions; empty where some run did not record them.
        artifacts: path to Blob.
        files: contents of files, where they were asked for.
    """

    runs: tuple[Run, ...]
    attributes: Differences = NOTHING
    params: Differences = NOTHING
    metrics: Differences = NOTHING
    curves: Differences = NOTHING
    tags: Differences = NOTHING
    inputs: Differences = NOTHING
    source: Differences = NOTHING
    code: tuple[CodeChange, ...] = ()
    environment: Differences = NOTHING
    packages: Differences = NOTHING
    artifacts: Differences = NOTHING
    files: tuple[FileDifference, ...] = ()

    @property
    def different(self) -> bool:
        """Whether anything differs, ids, names and times aside."""
        return any(getattr(self, field.name) for field in fields(Findings) if field.name != "runs")


# --- what a run's documents say ----------------------------------------------------------------------------------

_ATTRIBUTES = ("experiment", "status", "exit_code", "author", "note")


def attributes(runs: Sequence[Run]) -> Differences:
    """What run.yaml says of a run, but for its id, name, parent and times, which runs do not share."""
    known = [{name: getattr(run, name) for name in _ATTRIBUTES} for run in runs]
    return differences([{name: value for name, value in of_run.items() if value is not None} for of_run in known])


def params(runs: Sequence[Run]) -> Differences:
    """Params by name, nested ones joined by dots."""
    return differences([flatten(run.params) for run in runs], by_name=True)


def tags(runs: Sequence[Run]) -> Differences:
    """Tags by name."""
    return differences([run.tags for run in runs], by_name=True)


def inputs(runs: Sequence[Run]) -> Differences:
    """Datasets by name: the same where their digests are, or, without digests, all that is known of them."""

    def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        if one.get("digest") and other.get("digest"):
            return bool(one["digest"] == other["digest"])
        return same_value(one, other)

    return differences([run.inputs for run in runs], same, by_name=True)


def source(runs: Sequence[Run]) -> Differences:
    """Where the runs came from, as run.yaml has it."""
    # Where each snapshot is the commit itself, it says nothing more.
    says_more = any(run.source.get("snapshot") not in (None, run.source.get("commit")) for run in runs)
    return differences(
        [{key: value for key, value in run.source.items() if key != "snapshot" or says_more} for run in runs]
    )


def environment(runs: Sequence[Run]) -> Differences:
    """The machines, as run.yaml has them, but for what no two runs share: ids of containers and jobs, CI's addresses.

    Memory is compared by whole GiB, since machines of one kind differ by less.
    """
    return differences([_machine(run) for run in runs])


_OF_ONE_RUN = re.compile(r"container\.(?!kind$|image$)|ci\.(?!kind$|job$|workflow$|image$)|job\.(?!kind$|partition$)")


def _machine(run: Run) -> dict[str, Any]:
    known = {name: value for name, value in flatten(run.environment).items() if not _OF_ONE_RUN.match(name)}
    if isinstance(known.get("memory"), int):
        known["memory"] = f"{known['memory'] / 2**30:.0f} GiB"
    return known


def artifacts(blobs: Sequence[Mapping[str, Blob]]) -> Differences:
    """Files below artifacts/, by path there: the same where their bytes are."""
    return differences(blobs, lambda one, other: one == other, by_name=True)


# --- metrics ------------------------------------------------------------------------------------------------------


def metrics(runs: Sequence[Run], goals: Mapping[str, str], tolerance: float = 0.0) -> Differences:
    """Metrics by name; `goals` has those that somebody stated. Values may differ by a share of the greater one."""
    found: list[Difference] = []
    same = 0
    for name in sorted({name for run in runs for name in run.metrics}):
        summaries = [run.metrics.get(name) for run in runs]
        different = _metric(name, summaries, stats.goal_of(name, goals), tolerance)
        found += different
        same += not different
    return Differences(tuple(found), same)


def _values(summary: Summary | None) -> Mapping[str, Any]:
    return vars(summary) if summary is not None else {}


def _metric(name: str, summaries: Sequence[Summary | None], goal: str | None, tolerance: float) -> list[Difference]:
    """A metric's last value, its best one where that is another, and else whatever part of the summary differs."""
    absent = [i for i, summary in enumerate(summaries) if summary is None]
    parts = {
        part: [_values(summary).get(part) for summary in summaries]
        for part in ("last", "min", "max", "first", "step", "count")
    }
    differ = [
        part for part, values in parts.items() if not _all_same(values, 0 if part in ("step", "count") else tolerance)
    ]
    found = []
    if "last" in differ:
        found.append(difference(name, parts["last"], absent, goal))
    if goal is not None and goal in differ and not same_value(parts[goal], parts["last"]):
        found.append(difference(f"{name}.{goal}", parts[goal], absent, goal))
    return found or [difference(f"{name}.{part}", parts[part], absent) for part in differ]


def _all_same(values: Sequence[Any], tolerance: float) -> bool:
    return all(same_value(values[0], value, tolerance) for value in values[1:])
