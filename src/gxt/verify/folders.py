"""The folders of runs: that documents are well formed and agree, that git has every file as its id says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from gxt import doctor, git, layout, store
from gxt.cache import Progress
from gxt.errors import FormatError, GitError
from gxt.git import Repository, TreeFile
from gxt.model import RUN_ID, Run, experiment_name
from gxt.pointers import Pointer, may_be_pointer, read_attributes, read_pointer
from gxt.verify.findings import FAILED, FOLDER, OK, UNCHECKED, Finding
from gxt.yamltext import load_mapping


class Looked(NamedTuple):
    """Runs as they are on the branch.

    Attributes:
        findings: what was found of their folders.
        places: each run's folder, by id.
        names: each run's name, by id.
        runs: those whose documents can be read.
        pointers: the large artifacts of each run: path in its folder, and the pointer.
    """

    findings: list[Finding]
    places: dict[str, str]
    names: dict[str, str]
    runs: list[Run]
    pointers: dict[str, dict[str, Pointer]]


def examine(
    repo: Repository, settings: Mapping[str, str], commit: str, ids: Sequence[str] | None, progress: Progress | None
) -> Looked:
    """Look at some runs' folders at a commit, or at all."""
    wanted = None if ids is None else set(ids)
    files = _files(repo, commit, wanted)
    places = dict(sorted((path.rpartition("/")[2], path) for path in files))
    findings = [
        Finding(FOLDER, UNCHECKED if said.is_remark else FAILED, said.where, said.what, _advice(said.advice), said.run)
        for said in doctor.examine_runs(repo, commit, wanted)
        if said.run in places
    ]
    wrong = git.unsound(repo, settings, [file for some in files.values() for file in some.values()], progress)
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
        about = _about(of_run.get(layout.RUN_YAML))
        if about is not None:
            names[run_id] = str(about.get("name") or run_id)
            source = about.get("source")
            experiment = experiment_name(place.split("/")[1])
            runs.append(Run(run_id, experiment, names[run_id], source=source if isinstance(source, dict) else {}))
        findings += _of_folder(place, run_id, some, of_run, about, found)
    clean = places.keys() - {finding.run for finding in findings if finding.status == FAILED}
    findings += [Finding(FOLDER, OK, places[run_id], run=run_id) for run_id in sorted(clean)]
    return Looked(findings, places, names, runs, pointers)


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


_READ = (layout.RUN_YAML, layout.GITATTRIBUTES)


def _contents(repo: Repository, files: Mapping[str, Mapping[str, TreeFile]]) -> dict[str, dict[str, bytes]]:
    """run.yaml and .gitattributes of each folder, and what may be a pointer."""
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


def _about(data: bytes | None) -> dict[str, object] | None:
    try:
        return None if data is None else load_mapping(data, layout.RUN_YAML)
    except FormatError:  # which the doctor has found
        return None


def _of_folder(
    place: str,
    run_id: str,
    files: Mapping[str, TreeFile],
    contents: Mapping[str, bytes],
    about: Mapping[str, object] | None,
    pointers: Mapping[str, Pointer],
) -> list[Finding]:
    def failed(name: str, what: str, advice: str = doctor.BY_HAND) -> Finding:
        return Finding(FOLDER, FAILED, f"{place}/{name}", what, advice, run_id)

    found = []
    if about is not None and (said := about.get("id")) not in (None, run_id):
        found.append(failed(layout.RUN_YAML, f"says that the id is {said}; the folder's name is what counts"))
    attributes = contents.get(layout.GITATTRIBUTES)
    for path in sorted(read_attributes(attributes) if attributes is not None else ()):
        if path not in files:
            found.append(failed(layout.GITATTRIBUTES, f"names {path}, which is not there"))
        elif path not in pointers:
            found.append(failed(layout.GITATTRIBUTES, f"names {path}, which is no pointer"))
    return found
