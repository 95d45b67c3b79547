"""The folders of runs: that documents are well formed and agree, that git has every file as its id says."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gxt import doctor, git, layout, store
from gxt.cache import Progress
from gxt.errors import FormatError, GitError
from gxt.git import Changes, Repository, TreeFile
from gxt.model import RUN_ID, Run, experiment_name
from gxt.pointers import Pointer, may_be_pointer, other_attributes, read_attributes, read_pointer
from gxt.showing import one_line, shortened
from gxt.verify import form
from gxt.verify.findings import FAILED, FOLDER, OK, UNCHECKED, Finding
from gxt.verify.form import Odd
from gxt.yamltext import load_mapping


class Looked(NamedTuple):
    """Runs as they are on the branch.

    Attributes:
        findings: what was found of their folders.
        places: each run's folder, by id.
        names: each run's name, by id.
        runs: those whose documents can be read.
        pointers: the large artifacts of each run: path in its folder, and the pointer.
        changes: what the commits of the branch changed in each folder.
        patches: the blobs of the code.patch of runs, by the run's id.
    """

    findings: list[Finding]
    places: dict[str, str]
    names: dict[str, str]
    runs: list[Run]
    pointers: dict[str, dict[str, Pointer]]
    changes: dict[str, Changes]
    patches: dict[str, str]


_DEPTH = 3  # experiments/<experiment>/<run>
_FEW = 20  # runs, whose commits git looks for by their paths


def examine(
    repo: Repository, settings: Mapping[str, str], commit: str, ids: Sequence[str] | None, progress: Progress | None
) -> Looked:
    """Look at some runs' folders at a commit, or at all; and at what the branch and their experiments say."""
    wanted = None if ids is None else set(ids)
    files = _files(repo, commit, wanted)
    places = dict(sorted((path.rpartition("/")[2], path) for path in files))
    changes = git.changes_by_folder(repo, commit, list(files) if len(files) <= _FEW else None, _DEPTH) if files else {}
    around = {place.rpartition("/")[0] for place in places.values()}
    around |= {f"{folder}/{layout.EXPERIMENT_YAML}" for folder in around} | {layout.GXT_YAML}
    findings = [
        Finding(FOLDER, UNCHECKED if said.is_remark else FAILED, said.where, said.what, _advice(said.advice), said.run)
        for said in doctor.examine_branch(repo, commit, wanted)
        if (said.run in places if said.run is not None else said.where in around)
    ]
    odd: dict[str, list[Odd]] = {}
    texts: dict[str, set[str]] = {}
    for name, file in (item for some in files.values() for item in some.items()):
        if name in form.TEXTS:
            texts.setdefault(file.oid, set()).add(name)

    def look(oid: str, content: bytes) -> None:
        if found := [one for name in texts.get(oid, ()) for one in form.of_text(name, content)]:
            odd[oid] = found

    wrong = git.unsound(repo, settings, [file for some in files.values() for file in some.values()], progress, look)
    # What the doctor could not read has been said.
    said = {finding.where for finding in findings}
    for place, some in files.items() if wrong else ():
        for name, file in some.items():
            if file.oid in wrong and f"{place}/{name}" not in said:
                run_id = place.rpartition("/")[2]
                findings.append(Finding(FOLDER, FAILED, f"{place}/{name}", wrong[file.oid], store.FETCH, run_id))
    contents = _contents(repo, files)
    pointers: dict[str, dict[str, Pointer]] = {}
    names: dict[str, str] = {}
    runs: list[Run] = []
    for place, some in files.items():
        run_id = place.rpartition("/")[2]
        of_run = contents[place]
        found = {name: pointer for name, data in of_run.items() if (pointer := _pointer(name, data)) is not None}
        pointers[run_id] = found
        names[run_id] = run_id
        documents = _documents(of_run)
        about = documents.get(layout.RUN_YAML)
        if about is not None:
            names[run_id] = str(about.get("name") or run_id)
            source = about.get("source")
            experiment = experiment_name(place.split("/")[1])
            runs.append(Run(run_id, experiment, names[run_id], source=source if isinstance(source, dict) else {}))
        modes = {name: file.mode for name, file in some.items()}
        strange = [*form.of_documents(run_id, documents), *form.of_files(modes, documents)]
        strange += [
            one
            for name, file in some.items()
            for one in odd.get(file.oid, ())
            if one.name == name and f"{place}/{name}" not in said
        ]
        findings += [
            Finding(FOLDER, one.status, f"{place}/{one.name}", one.what, doctor.BY_HAND, run_id) for one in strange
        ]
        findings += _of_attributes(place, run_id, some, of_run, found)
        findings += _taken_away(place, run_id, some, changes.get(place))
    clean = places.keys() - {finding.run for finding in findings if finding.status == FAILED}
    findings += [Finding(FOLDER, OK, places[run_id], run=run_id) for run_id in sorted(clean)]
    patches = {
        place.rpartition("/")[2]: some[layout.CODE_PATCH].oid
        for place, some in files.items()
        if layout.CODE_PATCH in some and some[layout.CODE_PATCH].is_file
    }
    return Looked(findings, places, names, runs, pointers, changes, patches)


def _advice(text: str) -> str:
    return f"`gxt doctor --fix` {text.removeprefix('--fix ')}" if text.startswith("--fix ") else text


def _files(repo: Repository, commit: str, wanted: Collection[str] | None) -> dict[str, dict[str, TreeFile]]:
    """The files of each run's folder, by the folder."""
    folders = [(entry.folder, entry.run_id) for entry in store.list_runs(repo, commit)]
    places = [
        f"{layout.EXPERIMENTS}/{folder}/{run_id}" for folder, run_id in folders if wanted is None or run_id in wanted
    ]
    found: dict[str, dict[str, TreeFile]] = {place: {} for place in places}
    for file in _listed(repo, commit, places if wanted is not None else [""]):
        parts = file.path.split("/", 3)
        if len(parts) == 4 and RUN_ID.fullmatch(parts[2]) and (place := "/".join(parts[:3])) in found:
            found[place][parts[3]] = file
    return found


def _listed(repo: Repository, commit: str, below: Sequence[str]) -> Iterator[TreeFile]:
    """Every file below some folders, by its whole path, also where git lacks some."""
    for place in below:
        try:
            files = git.list_files(repo, f"{commit}:{place}")
        except GitError:
            files, _ = git.list_what_is_left(repo, f"{commit}:{place}")
            sizes = git.sizes(repo, [file.oid for file in files])
            files = [file._replace(size=sizes.get(file.oid, 0)) for file in files]
        yield from (file._replace(path=f"{place}/{file.path}" if place else file.path) for file in files)


_READ = (*layout.RUN_DOCUMENTS, layout.GITATTRIBUTES)


def _contents(repo: Repository, files: Mapping[str, Mapping[str, TreeFile]]) -> dict[str, dict[str, bytes]]:
    """The documents and .gitattributes of each folder, and what may be a pointer."""
    wanted = [
        (place, name, file.oid)
        for place, some in files.items()
        for name, file in some.items()
        if file.is_file and (name in _READ or (name.startswith(f"{layout.ARTIFACTS}/") and may_be_pointer(file.size)))
    ]
    found: dict[str, dict[str, bytes]] = {place: {} for place in files}
    contents = git.read_objects(repo, [oid for _, _, oid in wanted], skip_damaged=True)
    for (place, name, _), content in zip(wanted, contents, strict=True):
        if content is not None:
            found[place][name] = content
    return found


def _pointer(name: str, data: bytes) -> Pointer | None:
    return read_pointer(data) if name.startswith(f"{layout.ARTIFACTS}/") else None


def _documents(contents: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    """The documents of a run that can be read; the doctor has found the others."""
    found = {}
    for name in layout.RUN_DOCUMENTS:
        with contextlib.suppress(FormatError, KeyError):
            found[name] = load_mapping(contents[name], name)
    return found


def _of_attributes(
    place: str,
    run_id: str,
    files: Mapping[str, TreeFile],
    contents: Mapping[str, bytes],
    pointers: Mapping[str, Pointer],
) -> Iterator[Finding]:
    attributes = contents.get(layout.GITATTRIBUTES, b"")
    for line in other_attributes(attributes):
        what = f"has a line that gxt writes for no large artifact: {shortened(one_line(line), 80)}"
        yield Finding(FOLDER, FAILED, f"{place}/{layout.GITATTRIBUTES}", what, doctor.BY_HAND, run_id)
    for path in sorted(read_attributes(attributes)):
        if path not in pointers:
            what = f"names {path}, which is {'no pointer' if path in files else 'not there'}"
            yield Finding(FOLDER, FAILED, f"{place}/{layout.GITATTRIBUTES}", what, doctor.BY_HAND, run_id)


def _taken_away(place: str, run_id: str, files: Mapping[str, TreeFile], changes: Changes | None) -> Iterator[Finding]:
    """Files that a run was recorded with, and has no more: gxt never takes one away, but for those that follow from
    others."""
    for name, commit in sorted(changes.removed.items()) if changes is not None else ():
        is_recorded = name.startswith(f"{layout.ARTIFACTS}/") or name in layout.RUN_FILES
        if name not in files and is_recorded and name not in _FOLLOW:
            what = f"was taken away by commit {commit[:12]}"
            advice = f"`git show {commit[:12]}^:{place}/{name}` shows it"
            yield Finding(FOLDER, FAILED, f"{place}/{name}", what, advice, run_id)


_FOLLOW = {*layout.RUN_DOCUMENTS[:3], layout.METRICS_CSV, layout.GITATTRIBUTES}
"""What is looked at in other ways: it has to be there, or follows from what is."""
