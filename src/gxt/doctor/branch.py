"""Looking through every file of the run branch that gxt reads, and working out what mends it.

Mended is only what loses nothing: documents that follow from others, and lines that every reader passes over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from gxt import git, layout, store
from gxt.cache import Progress
from gxt.doctor.findings import Finding
from gxt.errors import FormatError, GitError
from gxt.git import Repository, TreeFile
from gxt.layout import Documents, Unread
from gxt.model import (
    RUN_ID,
    STATUSES,
    UNREADABLE,
    Experiment,
    MetricPoint,
    Run,
    Summary,
    clean_text,
    experiment_folder,
    experiment_name,
    new_experiment_id,
    parse_time,
    summarise,
)
from gxt.pointers import POINTER_SIZE, is_pointer, pointer_problem, read_pointer
from gxt.showing import one_line, quoted
from gxt.store import Changes

_BATCH = 32 << 20  # bytes of files read at once
BY_HAND = "mend it by hand"
_RECORD_AGAIN = "record the artifact again, or take the file away"

Files = Mapping[str, TreeFile]


class _Artifact(NamedTuple):
    """Where a file is on the branch, and its run's id."""

    path: str
    run_id: str


@dataclass
class Examination:
    """What was found on the branch.

    Attributes:
        changes: what mends the findings that are fixable.
        has_pointers: whether any artifact is a pointer of Git LFS.
        pointers: where each digest is named with each number of bytes.
    """

    findings: list[Finding] = field(default_factory=list)
    changes: Changes = field(default_factory=list)
    runs: int = 0
    experiments: int = 0
    has_pointers: bool = False
    pointers: dict[str, dict[int, list[_Artifact]]] = field(default_factory=dict)

    def add(self, finding: Finding, content: bytes | None = None) -> None:
        """Something found; with the content that mends it."""
        if content is not None:
            finding = finding._replace(fixable=True)
            self.changes.append((finding.where, content))
        self.findings.append(finding)


def examine(
    repo: Repository, commit: str | None, progress: Progress | None = None, only: Collection[str] | None = None
) -> Examination:
    """Everything on the branch at a commit; with `only`, of no other runs than these."""
    found = Examination()
    if commit is None:
        return found
    files = _files(repo, commit, found)
    runs, documents = _sorted_out(files, found)
    _examine_itself(repo, files, found)
    _examine_experiments(repo, runs, documents, found)
    _examine_ids(runs, found)
    if only is not None:
        runs = {place: some for place, some in runs.items() if place.run_id in only}
    found.runs, found.experiments = len(runs), len(documents)
    _examine_runs(repo, runs, found, progress)
    _examine_pointers(found)
    if not _can_be_written(repo, files):  # then no commit would be made
        found.findings = [finding._replace(fixable=False) for finding in found.findings]
        found.changes = []
    found.findings.sort(key=lambda finding: (finding.is_remark, finding.where))
    return found


def _files(repo: Repository, commit: str, found: Examination) -> dict[str, TreeFile]:
    """Every file of the branch that git can give the folder of; what it cannot give is a finding."""
    try:
        listed = git.list_files(repo, commit)
    except GitError:
        listed, lost = git.list_what_is_left(repo, f"{commit}^{{tree}}")
        for path in lost:
            found.add(Finding(one_line(path), "is a folder that git lacks, or finds damaged", store.FETCH))
    return {file.path: file for file in listed}


class _Place(NamedTuple):
    """Where a run is on the branch: its experiment's folder, and its id."""

    folder: str
    run_id: str

    @property
    def path(self) -> str:
        """The run's folder on the branch."""
        return f"{layout.EXPERIMENTS}/{self.folder}/{self.run_id}"


def _sorted_out(
    files: Files, found: Examination
) -> tuple[dict[_Place, dict[str, TreeFile]], dict[str, TreeFile | None]]:
    """Each run's files by their path in it, and each experiment's document; what belongs to neither is a remark."""
    runs: dict[_Place, dict[str, TreeFile]] = {}
    documents: dict[str, TreeFile | None] = {}
    strange: set[str] = set()
    for path, file in files.items():
        top, _, rest = path.partition("/")
        folder, _, inside = rest.partition("/")
        run_id, _, name = inside.partition("/")
        if top == layout.EXPERIMENTS and RUN_ID.fullmatch(run_id) and name:
            runs.setdefault(_Place(folder, run_id), {})[name] = file
            documents.setdefault(folder, None)
        elif top == layout.EXPERIMENTS and inside == layout.EXPERIMENT_YAML:
            documents[folder] = file
        elif path == layout.EXPERIMENTS:
            found.add(Finding(path, "is not a folder: there are no runs", f"{BY_HAND}: an earlier commit may have it"))
        elif path not in (layout.GXT_YAML, layout.GITATTRIBUTES):
            # A foreign folder is one remark, however much is in it.
            parts = path.split("/")
            depth = 1 if top != layout.EXPERIMENTS else 3
            strange.add("/".join(parts[:depth]) + ("/" if len(parts) > depth else ""))
    for shown in strange:
        found.add(Finding(clean_text(shown), "is not gxt's; readers pass over it", is_remark=True))
    return runs, documents


# --- the branch itself ----------------------------------------------------------------------------------------------


def _examine_itself(repo: Repository, files: Files, found: Examination) -> None:
    if layout.GXT_YAML not in files:
        # The commit that mends adds it, as any commit of runs does; with a .gitattributes, but a team's own stays.
        found.add(Finding(layout.GXT_YAML, "is missing", "--fix writes it", fixable=True))
        if layout.GITATTRIBUTES in files:
            (data,) = git.read_objects(repo, [files[layout.GITATTRIBUTES].oid])
            found.changes.append((layout.GITATTRIBUTES, data))
    elif layout.GITATTRIBUTES not in files:
        finding = Finding(layout.GITATTRIBUTES, "is missing: git merges would not know metrics.csv", "--fix writes it")
        found.add(finding, layout.GITATTRIBUTES_TEXT)
    try:
        version = _format(repo, files)
    except FormatError as error:
        what = _less(error.message, layout.GXT_YAML)
        found.add(Finding(layout.GXT_YAML, f"{what}; nothing can be recorded", f"{BY_HAND}: format: {layout.FORMAT}"))
        return
    if version > layout.FORMAT:
        said = (
            f"says format {version}, this gxt knows format {layout.FORMAT}: what is new is not shown, nothing written"
        )
        found.add(Finding(layout.GXT_YAML, said, "upgrade: pip install -U git-gxt"))


def _format(repo: Repository, files: Files) -> int:
    if layout.GXT_YAML not in files:
        return layout.FORMAT
    (data,) = store.read_entries(repo, [files[layout.GXT_YAML]])
    if isinstance(data, Unread):
        raise FormatError(f"{layout.GXT_YAML} {data.why}")
    return layout.read_format(data or b"")


def _can_be_written(repo: Repository, files: Files) -> bool:
    try:
        return _format(repo, files) <= layout.FORMAT
    except FormatError:
        return False


def _less(message: str, where: str) -> str:
    """An error's words without the path that they begin with."""
    return message.removeprefix(where).lstrip(":, ")


# --- experiments ----------------------------------------------------------------------------------------------------


def _examine_experiments(
    repo: Repository,
    runs: Mapping[_Place, Files],
    documents: Mapping[str, TreeFile | None],
    found: Examination,
) -> None:
    there = {folder: file for folder, file in documents.items() if file is not None}
    contents = dict(zip(there, store.read_entries(repo, list(there.values())), strict=True))
    first: dict[str, str] = {}
    for folder, run_id in runs:
        first[folder] = min(run_id, first.get(folder, run_id))
    for folder in documents:
        _examine_experiment(folder, contents.get(folder), first.get(folder), found)


def _examine_experiment(folder: str, data: bytes | Unread | None, first_run: str | None, found: Examination) -> None:
    where = f"{layout.EXPERIMENTS}/{folder}/{layout.EXPERIMENT_YAML}"
    name = experiment_name(folder)
    if experiment_folder(name) != folder:
        what = f"is not how gxt writes the name {clean_text(name)!r}: runs there can be seen but not changed"
        advice = f"{BY_HAND}: rename it to {experiment_folder(clean_text(name))}"
        found.add(Finding(f"{layout.EXPERIMENTS}/{clean_text(folder)}", what, advice))
        return
    if data is None:
        made = Experiment(name=name, id=new_experiment_id(), created=_start(first_run))
        found.add(Finding(where, "is missing", "--fix writes it"), layout.experiment_document(made))
        return
    try:
        experiment = layout.read_experiment(folder, data)
        written = layout.written_name(data, where) if isinstance(data, bytes) else None
    except FormatError as error:
        found.add(Finding(where, _less(error.message, where), _advice(data)))
        return
    mended = experiment
    if written != name:
        said = f"says that the name is {written!r}" if written else "says no name"
        found.add(
            Finding(where, f"{said}; the folder says {name!r}, which counts", "--fix writes the folder's", fixable=True)
        )
    if not experiment.id:
        mended = replace(mended, id=new_experiment_id())
        found.add(Finding(where, "has no id", "--fix gives it one", fixable=True))
    if mended != experiment or written != name:
        found.changes.append((where, layout.experiment_document(mended)))
    for metric, goal in experiment.goals.items():
        if goal not in ("min", "max"):
            found.add(Finding(where, f"the goal of {metric} is {goal!r}, neither min nor max", BY_HAND))


def _start(run_id: str | None) -> int | None:
    text = layout.start_in_id(run_id) if run_id else "null"
    return None if text == "null" else parse_time(text)


# --- runs -----------------------------------------------------------------------------------------------------------


def _examine_ids(runs: Mapping[_Place, Files], found: Examination) -> None:
    places: dict[str, list[_Place]] = {}
    for place in runs:
        places.setdefault(place.run_id, []).append(place)
    for run_id, several in places.items():
        for place in several[1:]:
            what = f"is the id of a run in {several[0].path} too"
            found.add(Finding(place.path, what, f"{BY_HAND}: take one away", run=run_id))


def _examine_runs(
    repo: Repository, runs: Mapping[_Place, Files], found: Examination, progress: Progress | None
) -> None:
    done = 0
    for batch in _batches(runs):
        if progress is not None:
            progress(done, len(runs))
        wanted = [(place, name) for place in batch for name in _to_read(runs[place])]
        contents = store.read_entries(repo, [runs[place][name] for place, name in wanted])
        of_run: dict[_Place, dict[str, bytes | Unread]] = {place: {} for place in batch}
        for (place, name), content in zip(wanted, contents, strict=True):
            of_run[place][name] = content or b""
        for place in batch:
            _examine_run(place, runs[place], of_run[place], found)
        done += len(batch)
    if progress is not None and runs:
        progress(done, len(runs))


def _to_read(files: Files) -> list[str]:
    documents = [name for name in (*layout.RUN_DOCUMENTS, layout.METRICS_CSV) if name in files]
    return documents + [name for name in files if name.startswith("artifacts/") and files[name].size <= POINTER_SIZE]


def _batches(runs: Mapping[_Place, Files]) -> Iterator[list[_Place]]:
    batch: list[_Place] = []
    size = 0
    for place in sorted(runs):
        batch.append(place)
        size += sum(runs[place][name].size for name in _to_read(runs[place]))
        if size > _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _examine_run(place: _Place, files: Files, contents: Documents, found: Examination) -> None:
    def say(name: str, what: str, advice: str = "", content: bytes | None = None, is_remark: bool = False) -> None:
        where = clean_text(f"{place.path}/{name}")
        found.add(Finding(where, what, advice, is_remark=is_remark, run=place.run_id), content)

    points = contents.get(layout.METRICS_CSV)
    run, problems = layout.examine_run("", place.run_id, contents)
    for name, why, is_missing in problems:
        if name == layout.METRICS_YAML and (is_missing or isinstance(points, bytes)):
            continue  # it can be made from metrics.csv
        if not is_missing:
            say(name, why.lstrip(":, "), _advice(contents[name]))
        elif name == layout.RUN_YAML:
            say(name, why, f"{BY_HAND}: an earlier commit may have it")
        else:
            say(name, why, "--fix writes an empty one", _documents({})[name])
    if run.status not in (*STATUSES, UNREADABLE):
        say(layout.RUN_YAML, f"the status is {quoted(run.status)}, none of {', '.join(STATUSES)}", BY_HAND)
    known = None if any(problem.document == layout.METRICS_YAML for problem in problems) else run.metrics
    for finding in _points_findings(points, known, layout.METRICS_YAML in files):
        say(*finding)
    for name in files:
        if name.startswith(f"{layout.ARTIFACTS}/"):
            data = contents.get(name, b"")
            if isinstance(data, Unread):
                say(name, data.why, _advice(data))
                continue
            found.has_pointers |= is_pointer(data)
            if (pointer := read_pointer(data)) is not None:
                sizes = found.pointers.setdefault(pointer.oid, {})
                sizes.setdefault(pointer.size, []).append(_Artifact(clean_text(f"{place.path}/{name}"), place.run_id))
            if (problem := pointer_problem(data)) is not None:
                say(name, problem, _RECORD_AGAIN)
        elif name not in layout.RUN_FILES:
            say(name, "is not gxt's; readers pass over it", is_remark=True)


def _examine_pointers(found: Examination) -> None:
    """Of pointers to the same bytes that say how many these are differently, at most one kind is right."""
    for sizes in found.pointers.values():
        for size, artifacts in sizes.items():
            others = [(other, some[0].path) for other, some in sizes.items() if other != size]
            for artifact in artifacts if others else ():
                what = f"is a pointer to {size} bytes; {others[0][1]} says that the same ones are {others[0][0]}"
                found.add(Finding(artifact.path, what, f"{_RECORD_AGAIN}, the one that is wrong", run=artifact.run_id))


def _advice(data: bytes | Unread | None) -> str:
    return store.FETCH if isinstance(data, Unread) and data.is_lost else BY_HAND


def _points_findings(
    data: bytes | Unread | None, known: Mapping[str, Summary] | None, has_summary: bool
) -> Iterator[tuple[str, str, str, bytes | None, bool]]:
    """What is wrong with a run's points and their summary, where `known` is None if it is unreadable: the file, what,
    advice, what mends it, and whether it is only a remark.
    """
    if isinstance(data, Unread):
        yield layout.METRICS_CSV, data.why, _advice(data), None, False
        return
    points = list(layout.read_points(data or b""))
    if data is not None and (mended := _mended_points(data, len(points))) is not None:
        yield layout.METRICS_CSV, *mended, False
    if data is not None or not has_summary:
        summary = _mended_summary(points, known, has_summary)
        if summary is not None:
            yield layout.METRICS_YAML, *summary, False
    elif known:
        what = "has metrics whose points are not there: metrics.csv is missing"
        yield layout.METRICS_YAML, what, "", None, True


def _documents(metrics: Mapping[str, Summary]) -> dict[str, bytes]:
    return layout.run_files(Run(id="", experiment="", metrics=metrics))


def _mended_points(data: bytes, points: int) -> tuple[str, str, bytes] | None:
    """What is wrong with a metrics.csv, what mends it, and how it is then; `points` is how many are in it."""
    header = data.startswith(layout.METRICS_HEADER)
    if header and data.endswith(b"\n") and data.count(b"\n") == points + 1:
        return None
    lines = data.split(b"\n")
    body, rest = lines[1 if header else 0 : -1], lines[-1]
    broken = [(at, line) for at, line in enumerate(body, 2 if header else 1) if not _is_point(line)]
    if rest:
        broken.append((len(lines), rest))
    said = [f"line {at} is no whole point: {line.decode('utf-8', 'replace')[:40]!r}" for at, line in broken[:3]]
    does = [] if not broken else ["takes the line away"] if len(broken) == 1 else ["takes the lines away"]
    if len(broken) > 3:
        said.append(f"so are {len(broken) - 3} more")
    if not header:
        said.append("there is no header")
        does.append("writes the header")
    kept = [line for line in body if _is_point(line)]
    content = layout.METRICS_HEADER + b"".join(line + b"\n" for line in kept)
    return "; ".join(said), f"--fix {' and '.join(does)}", content


def _is_point(line: bytes) -> bool:
    return any(True for _ in layout.read_points(line + b"\n"))


def _mended_summary(
    points: Sequence[MetricPoint], known: Mapping[str, Summary] | None, is_there: bool
) -> tuple[str, str, bytes] | None:
    """What is wrong with a metrics.yaml, what mends it, and how it is then; `known` is None where it is unreadable."""
    right = _documents(summarise(points))[layout.METRICS_YAML]
    if known is not None:
        written = _documents(known)[layout.METRICS_YAML]
        if written == right:
            return None
        what = f"does not agree with metrics.csv: {_differing(written, right)}"
    else:
        what = "cannot be read" if is_there else "is missing"
    return what, "--fix computes it from metrics.csv" if points else "--fix writes an empty one", right


def _differing(written: bytes, right: bytes) -> str:
    """The first metrics whose lines differ."""
    lines = sorted(set(written.splitlines()) ^ set(right.splitlines()))
    names = dict.fromkeys(line.split(b": {")[0].decode().strip('"') for line in lines if line != b"{}")
    shown = list(names)[:3]
    return ", ".join(shown) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
