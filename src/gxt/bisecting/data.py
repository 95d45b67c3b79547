"""Whether recorded runs read the same data: what one came to on other data says nothing of a commit."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gxt import datasets, git
from gxt.errors import GxtError, UsageError
from gxt.git import Repository
from gxt.model import Run
from gxt.showing import one_line


@dataclass(frozen=True)
class Data:
    """The files that runs read and that are no code.

    Attributes:
        readers: of each, by its source as inputs.yaml has it, the latest run that read it.
        digests: what counts as the same of each: what is here, where a command is to read it; else what the latest
            run read. Without what has no digest.
        gone: those that are not here, where a command is to read them.
    """

    readers: Mapping[str, Run]
    digests: Mapping[str, str]
    gone: Sequence[str] = ()

    def other(self, run: Run) -> str | None:
        """An input of which a run read something else."""
        for source, digest in _inputs(run):
            if digest is not None and self.digests.get(source, digest) != digest:
                return source
        return None

    def check(self, links: Sequence[str]) -> None:
        """Raises UsageError where a file of the work tree is not what the latest run read, and is none of the `links`,
        nor in one."""
        for source, run in sorted(self.readers.items()):
            path, then = PurePosixPath(source), dict(_inputs(run)).get(source)
            is_passed_over = path.is_absolute() or any(path.is_relative_to(link) for link in links)
            if not is_passed_over and then is not None and self.digests.get(source, then) != then:
                raise UsageError(
                    f"{one_line(source)} is not what run {run.name} read: its content has changed",
                    f"bring it back as it was; --link {shlex.quote(source)} takes it as it is",
                )


def data_of(repo: Repository, runs: Sequence[Run], is_read: bool) -> Data:
    """The data of some runs, in the order in which they were started.

    Args:
        is_read: whether a command is to read it now.
    """
    readers, digests = {}, {}
    for run in runs:
        for source, digest in _inputs(run):
            readers[source] = run
            if digest is not None:
                digests[source] = digest
    for source in [source for source in readers if git.is_indexed(repo, source)]:  # it is code: each commit has its own
        del readers[source]
        digests.pop(source, None)
    if not is_read or repo.work_tree is None:
        return Data(readers, digests)
    gone = []
    for source in readers:
        place = repo.work_tree / source
        if not _is_pattern(source, place) and not place.exists():
            gone.append(source)
        elif source in digests and (now := _digest(place)) is not None:
            digests[source] = now
    return Data(readers, digests, gone)


def _inputs(run: Run) -> Iterator[tuple[str, str | None]]:
    for about in run.inputs.values():
        source, digest = str(about.get("source") or ""), about.get("digest")
        if source and not datasets.is_url(source) and ".." not in PurePosixPath(source).parts:
            yield source, digest if isinstance(digest, str) else None


def _is_pattern(source: str, place: Path) -> bool:
    return any(sign in source for sign in "*?[") and not place.exists()


def _digest(place: Path) -> str | None:
    try:
        digest = datasets.describe(str(place))[1].get("digest")
    except (GxtError, OSError):
        return None
    return digest if isinstance(digest, str) else None


def files_of(data: Data, top: Path) -> list[str]:
    """The files and folders of a work tree that runs read, relative to its top; those that fit, of a pattern."""
    found = []
    for source in sorted(data.readers):
        if not PurePosixPath(source).is_absolute():
            place = top / source
            places = sorted(top.glob(source)) if _is_pattern(source, place) else [place]
            found += [path.relative_to(top).as_posix() for path in places]
    return found
