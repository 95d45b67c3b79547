"""Large artifacts against their pointers: by digest where there is a copy here, else as the place for them says."""

from __future__ import annotations

from collections.abc import Iterator

from gxt import transfer
from gxt.errors import GxtError
from gxt.git import Repository
from gxt.model import Run, experiment_name
from gxt.transfer import Whereabouts
from gxt.verify.findings import ARTIFACTS, FAILED, OK, UNCHECKED, Finding
from gxt.verify.folders import Looked


def examine(repo: Repository, looked: Looked, every: bool) -> Iterator[Finding]:
    """What is wrong with the large artifacts of runs; a run without any has no finding."""
    if not any(looked.pointers.values()):
        return
    try:
        about = {one.pointer: one for one in transfer.verify(repo, None if every else _runs(looked))}
    except GxtError as error:  # the place for them cannot be opened
        for run_id, some in looked.pointers.items():
            if some:
                yield Finding(ARTIFACTS, UNCHECKED, looked.places[run_id], error.message, error.hint or "", run_id)
        return
    for run_id, some in looked.pointers.items():
        for path, pointer in sorted(some.items()):
            yield _finding(f"{looked.places[run_id]}/{path}", run_id, about.get(pointer))


def _runs(looked: Looked) -> list[Run]:
    return [
        Run(run_id, experiment_name(looked.places[run_id].split("/")[1]))
        for run_id, some in looked.pointers.items()
        if some
    ]


def _finding(where: str, run_id: str, about: Whereabouts | None) -> Finding:
    if about is None:
        return Finding(ARTIFACTS, UNCHECKED, where, "was not looked at", run=run_id)
    if about.problem is not None:
        advice = "`gxt artifacts push` from a clone that has it brings it back"
        return Finding(ARTIFACTS, FAILED, where, about.problem, advice, run_id)
    if about.here:
        return Finding(ARTIFACTS, OK, where, "the copy here is what the pointer says", run=run_id)
    if about.place is not None:
        return Finding(ARTIFACTS, OK, where, f"in {about.place}, which has so many bytes of it", run=run_id)
    return Finding(ARTIFACTS, UNCHECKED, where, "is not here", "`gxt artifacts pull` fetches and checks it", run_id)
