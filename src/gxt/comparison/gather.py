"""Reading what a comparison needs of each run, wherever the run is, and no more than that."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

from gxt import catalog, codehistory, git, large, layout, live, stats
from gxt.catalog import Content, LargeFile
from gxt.comparison import findings
from gxt.comparison.curves import comparable, curve_differences, read_curves
from gxt.comparison.files import MOST_BYTES, FileDifference, file_difference, too_large
from gxt.comparison.findings import Blob, CodeChange, Findings
from gxt.comparison.packages import package_differences
from gxt.comparison.values import NOTHING, Differences
from gxt.errors import NotFoundError, UsageError
from gxt.git import Repository
from gxt.model import Run

_MOST_COMMITS = 1000

Files = Mapping[str, Content]


def compare_runs(
    repo: Repository,
    runs: Sequence[Run],
    goals: Mapping[str, str],
    with_files: bool,
    tolerance: float,
    also_at: str | None = None,
) -> Findings:
    """Everything that differs between runs, metrics by more than the tolerance.

    With `with_files`, also the contents of the artifacts of two of them. `also_at` is a commit where the files of those
    are that the branch has not.

    Raises:
        NotFoundError: a goal is for a metric that no run has.
        UsageError: a goal is neither min nor max, or the contents of more than two runs are asked for.
    """
    stated = _stated_goals(repo, runs, goals)
    files = [catalog.contents(repo, run, also_at) for run in runs]
    environments = _read(repo, [of_run.get(layout.ENVIRONMENT_TXT) for of_run in files])
    return Findings(
        runs=tuple(runs),
        attributes=findings.attributes(runs),
        params=findings.params(runs),
        metrics=findings.metrics(runs, stated, tolerance),
        curves=_curves(repo, runs, files, tolerance),
        tags=findings.tags(runs),
        inputs=findings.inputs(runs),
        source=findings.source(runs),
        code=_code(repo, runs),
        environment=findings.environment(runs),
        packages=package_differences(environments),
        artifacts=findings.artifacts(_blobs(repo, files)),
        files=_file_differences(repo, runs, files, _is_artifact) if with_files else (),
    )


def compare_files(repo: Repository, runs: Sequence[Run], paths: Sequence[str]) -> Findings:
    """What differs in some files of two runs: by path in the run's folder or below artifacts/, a folder, or a pattern.

    Raises:
        NotFoundError: neither run has such a file.
        UsageError: there are more than two runs.
    """
    files = [catalog.contents(repo, run) for run in runs]
    known = sorted({path for of_run in files for path in of_run})
    for wanted in paths:
        if not any(_matches(path, wanted) for path in known):
            names = " nor ".join(dict.fromkeys(run.name or run.id for run in runs))
            raise NotFoundError(f"neither {names} has a file {wanted!r}", f"`gxt show {runs[0].id}` lists artifacts")
    chosen = _file_differences(repo, runs, files, lambda path: any(_matches(path, wanted) for wanted in paths))
    return Findings(tuple(runs), files=chosen)


def _matches(path: str, wanted: str) -> bool:
    folder = wanted.rstrip("/")
    inside = path.removeprefix(f"{layout.ARTIFACTS}/")
    return any(name == folder or name.startswith(f"{folder}/") or fnmatchcase(name, wanted) for name in (path, inside))


# --- goals --------------------------------------------------------------------------------------------------------


def _stated_goals(repo: Repository, runs: Sequence[Run], goals: Mapping[str, str]) -> dict[str, str]:
    """What is better of which metric: as the caller says, else as the runs' experiments do where they agree."""
    known = {name for run in runs for name in run.metrics}
    for metric, goal in goals.items():
        stats.check_goal(metric, goal)
        if metric not in known:
            raise NotFoundError(f"no run compared has the metric {metric!r}", f"they have {', '.join(sorted(known))}")
    # Asked for one run, so that only that one is read.
    found = catalog.listing(repo, run_id=runs[0].id).experiments
    names = {run.experiment for run in runs}
    return stats.agreed_goals(experiment for experiment in found if experiment.name in names) | dict(goals)


# --- files --------------------------------------------------------------------------------------------------------


def _read(repo: Repository, contents: Sequence[Content | None]) -> list[bytes | None]:
    """Files whole, those on the branch by one process, large ones fetched where they are not here; None stays None."""
    oids = list(dict.fromkeys(content.oid for content in contents if isinstance(content, git.TreeFile)))
    blobs = dict(zip(oids, git.read_objects(repo, oids), strict=True))

    def read(content: Content | None) -> bytes | None:
        if isinstance(content, git.TreeFile):
            return blobs[content.oid]
        if isinstance(content, LargeFile):
            return catalog.read_large(repo, content)
        return content.read() if isinstance(content, live.Piece) else content

    return [read(content) for content in contents]


def _is_artifact(path: str) -> bool:
    return path.startswith(f"{layout.ARTIFACTS}/")


def _blobs(repo: Repository, files: Sequence[Files]) -> list[dict[str, Blob]]:
    """Each run's artifacts: path below artifacts/, size and object id; for one that some run has large, its SHA-256.

    What is not on the branch has no id yet; it gets one where another run has a file of the same path and size.
    """
    settings: dict[str, str] = {}

    def identity(path: str, content: Content, size: int) -> str | None:
        nonlocal settings
        if isinstance(content, LargeFile):
            return content.pointer.oid
        like = [other[path] for other in files if _has_size(other.get(path), size)]
        if any(isinstance(other, LargeFile) for other in like):
            return _sha256(repo, content)
        if isinstance(content, git.TreeFile):
            return content.oid
        if isinstance(content, live.Piece) and len(like) > 1:
            settings = settings or git.config(repo)
            return git.blob_id(content.chunks(), size, settings)
        return None

    blobs: list[dict[str, Blob]] = []
    for of_run in files:
        found = {}
        for path, content in of_run.items():
            if not _is_artifact(path):
                continue
            size = catalog.size_of(content)
            found[path.removeprefix(f"{layout.ARTIFACTS}/")] = Blob(size, identity(path, content, size))
        blobs.append(found)
    return blobs


def _sha256(repo: Repository, content: Content) -> str:
    with tempfile.TemporaryFile() as copy:
        catalog.write(repo, content, copy)
        return large.digest_of(copy).oid


def _has_size(content: Content | None, size: int) -> bool:
    return content is not None and catalog.size_of(content) == size


def _file_differences(
    repo: Repository, runs: Sequence[Run], files: Sequence[Files], wanted: Callable[[str], bool]
) -> tuple[FileDifference, ...]:
    if len(runs) > 2:
        raise UsageError("the contents of files are compared between two runs", f"{len(runs)} were named")
    one, other = files
    found = []
    for path in sorted(path for path in one.keys() | other.keys() if wanted(path)):
        pair = one.get(path), other.get(path)
        sizes = _size(pair[0]), _size(pair[1])
        if _is_same_blob(*pair):
            continue
        if max(sizes[0] or 0, sizes[1] or 0) > MOST_BYTES:
            found.append(too_large(path, sizes))
            continue
        old, new = _read(repo, pair)
        if old != new:
            found.append(file_difference(path, old, new))
    return tuple(found)


def _size(content: Content | None) -> int | None:
    return None if content is None else catalog.size_of(content)


def _is_same_blob(one: Content | None, other: Content | None) -> bool:
    if isinstance(one, LargeFile) and isinstance(other, LargeFile):
        return one.pointer == other.pointer
    return isinstance(one, git.TreeFile) and isinstance(other, git.TreeFile) and one.oid == other.oid


# --- curves -------------------------------------------------------------------------------------------------------


def _curves(repo: Repository, runs: Sequence[Run], files: Sequence[Files], tolerance: float) -> Differences:
    """How far curves are apart. Histories are read only where some run shares one with the first."""
    wanted = comparable(runs)
    if not wanted:
        return NOTHING
    contents = [of_run.get(layout.METRICS_CSV) for of_run in files]
    if all(_is_same_blob(contents[0], content) for content in contents[1:]):
        return Differences((), len(wanted))
    histories = [data or b"" for data in _read(repo, contents)]
    for run, content, data in zip(runs, contents, histories, strict=True):
        if isinstance(content, git.TreeFile):
            catalog.remark_broken_lines(run, data)
    read = map(layout.read_points, histories)
    return curve_differences([read_curves(points, wanted) for points in read], tolerance)


# --- code ---------------------------------------------------------------------------------------------------------


def _code(repo: Repository, runs: Sequence[Run]) -> tuple[CodeChange, ...]:
    """What lies between the code of the first run and that of each other: of their snapshots where both are here, else
    of their commits."""
    pairs = [(codehistory.base_of(run), codehistory.code_of(run)) for run in runs]
    named = list(dict.fromkeys(oid for pair in pairs for oid in pair if oid is not None))
    here = {oid for oid, found in zip(named, git.resolve(repo, named), strict=True) if found is not None}
    first = pairs[0]
    changes = (_code_change(repo, here, first, pair, i) for i, pair in enumerate(pairs) if pair != first)
    return tuple(change for change in changes if change is not None)


_Code = tuple[str | None, str | None]
"""The commit that a run began from, and the one that has its code as it ran."""


def _code_change(repo: Repository, here: set[str], first: _Code, other: _Code, run: int) -> CodeChange | None:
    """None where what is known of the two tells no difference."""
    commits, codes = ((one, two) if one and two else None for one, two in zip(first, other, strict=True))
    asked = dict.fromkeys(oid for pair in (commits, codes) for oid in pair or ())
    as_it_ran = codes is not None and here.issuperset(codes)
    only_here: list[git.Commit] = []
    only_first: list[git.Commit] = []
    files: list[git.FileChange] = []
    if commits is not None and commits[0] != commits[1] and here.issuperset(commits):
        only_here = git.commits_between(repo, *commits, _MOST_COMMITS)
        only_first = git.commits_between(repo, *commits[::-1], _MOST_COMMITS)
        files = git.changed_files(repo, *commits) if not as_it_ran else files
    if codes is not None and as_it_ran:
        files = git.changed_files(repo, *codes)
    missing = tuple(oid for oid in asked if oid not in here)
    if not (as_it_ran or missing or only_here or only_first or files):
        return None
    return CodeChange(
        run=run,
        only_here=tuple(only_here),
        only_first=tuple(only_first),
        files=tuple(files),
        missing=missing,
        as_it_ran=as_it_ran,
    )
