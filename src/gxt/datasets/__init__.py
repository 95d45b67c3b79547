"""What is recorded of a dataset: name, digest, source, size, rows and columns. Never the data itself.

`files` finds and hashes files, with the digests that are known already kept in `digests`; `formats` looks into CSV and
Parquet files, `tracked` asks DVC and Git LFS; `tables` and `arrays` are for data in memory. `usage` says which runs saw
which data, and whether it is still here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gxt.errors import UsageError
from gxt.git import Repository
from gxt.masking import mask_text
from gxt.model import clean_text
from gxt.showing import one_line

if TYPE_CHECKING:  # what reads files loads with the first of them, for start-up time
    from gxt.datasets.files import Member, Progress

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_FILE = "file://"
_NAME = re.compile(r"([^=/\\:?*\[]+)=(.+)", re.DOTALL)
_CONTEXT = re.compile(r"(.+):([A-Za-z][\w.-]*)", re.DOTALL)


class Asked(NamedTuple):
    """A dataset as a command line names it; what it does not say is None."""

    name: str | None
    path: str
    context: str | None


def parse(text: str) -> Asked:
    """What `[NAME=]PATH[:CONTEXT]` says. What is there under the whole text is meant by it, as `year=2021` may be.

    >>> parse("train=data/green.csv:train")
    Asked(name='train', path='data/green.csv', context='train')
    >>> parse("https://example.com:8080/green.csv?v=2")
    Asked(name=None, path='https://example.com:8080/green.csv?v=2', context=None)
    """
    name, path, context = None, text, None
    if not _is_there(path) and (match := _CONTEXT.fullmatch(path)):
        path, context = match.groups()
    if not _is_there(path) and (match := _NAME.fullmatch(text)):
        name, path = match.groups()
        context = None
        if not _is_there(path) and (match := _CONTEXT.fullmatch(path)):
            path, context = match.groups()
    return Asked(name, path, context)


def _is_there(text: str) -> bool:
    from gxt.datasets import files

    return not is_url(text) and files.is_there(text)


def describe(
    dataset: Any, repo: Repository | None = None, progress: Progress | None = None
) -> tuple[str, dict[str, Any]]:
    """A dataset's name, and what inputs.yaml says of it. Paths in the repository's work tree are relative to its top.

    Args:
        dataset: a path of a file or folder, a glob pattern, a URL, a DataFrame or Series of pandas, a table of pyarrow
            or polars, a numpy array.
        progress: is told of bytes as they are read, and of how many there are in all; from several threads.

    Raises:
        UsageError: no such file, one that cannot be read or changes meanwhile, or nothing that a digest can be made of.

    >>> describe("https://me:secret@example.com/data/green.parquet")
    ('green.parquet', {'source': 'https://example.com/data/green.parquet'})
    """
    if isinstance(dataset, str) and is_url(dataset):
        source = mask_text(dataset)
        return clean_text(source.partition("?")[0].rstrip("/").rsplit("/", 1)[-1] or source), {"source": source}
    if isinstance(dataset, (str, Path)):
        return _describe_files(str(dataset).removeprefix(_FILE), repo, progress)
    try:
        return _describe_in_memory(dataset)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # What its own library cannot do with it: cells that hold themselves, a type that Arrow does not have.
        why = one_line(str(error))[:200]
        raise UsageError(
            f"cannot record this {type(dataset).__name__} as an input: {why}", "name the file that it is from"
        ) from error


def is_url(source: str) -> bool:
    """Whether a dataset's source is elsewhere, where nothing is asked for."""
    return bool(_URL.match(source)) and not source.startswith(_FILE)


def _describe_in_memory(dataset: Any) -> tuple[str, dict[str, Any]]:
    kind = type(dataset)
    origins = {each.__module__.partition(".")[0] for each in kind.__mro__}
    if origins & {"pandas", "polars", "pyarrow"} and (hasattr(kind, "columns") or hasattr(kind, "to_frame")):
        from gxt.datasets import tables  # needs numpy

        return "dataframe", tables.describe(dataset)
    if hasattr(dataset, "__array__"):
        from gxt.datasets import arrays

        return "array", arrays.describe(dataset)
    raise UsageError(
        f"cannot record a {type(dataset).__name__} as an input",
        "a path, a glob pattern, a URL, a table of pandas, polars or pyarrow, or a numpy array",
    )


def _describe_files(text: str, repo: Repository | None, progress: Progress | None) -> tuple[str, dict[str, Any]]:
    from gxt.datasets import files, formats, tracked
    from gxt.datasets.digests import Digests

    path, members = files.members(text)
    known = Digests.beside(repo)
    base = repo.work_tree if repo is not None else None
    by_dvc = tracked.by_dvc(path, base)
    found = files.digests(members, known, by_dvc is not None, progress)
    values: dict[str, Any] = {
        "digest": files.digest_of(path, members, found),
        "source": clean_text(files.source(path, base)),
        "size": sum(one.size for one in found),
    }
    if not _is_one(path, members):
        values["files"] = len(members)
    values |= formats.of_files(members, known)
    if by_dvc is not None and (oid := tracked.dvc_id(by_dvc, members, found, _is_one(path, members))) is not None:
        values["dvc"] = oid
    if repo is not None and _is_one(path, members) and (oid := tracked.lfs_id(repo, path, found[0].sha256)) is not None:
        values["lfs"] = oid
    return clean_text(path.name or text), values


def _is_one(path: Path, members: list[Member]) -> bool:
    """Whether a dataset is a single file, rather than a folder or what a pattern matches."""
    return len(members) == 1 and members[0].path == path


def is_as_recorded(about: Mapping[str, Any], repo: Repository, progress: Progress | None = None) -> bool | None:
    """Whether the source of a recorded dataset has the digest here that it had then; None where nothing is there.

    Raises:
        UsageError: it cannot be read.
    """
    from gxt.datasets import files
    from gxt.datasets.digests import Digests

    source = str(about["source"])
    path = Path(source) if repo.work_tree is None else repo.work_tree / source
    if not files.is_there(str(path)):
        return None
    path, members = files.members(str(path))
    if isinstance(about.get("size"), int) and files.size_of(members) != about["size"]:
        return False  # without reading it
    found = files.digests(members, Digests.beside(repo), False, progress)
    return files.digest_of(path, members, found) == str(about["digest"])


def label(values: Mapping[str, Any], name: str, known: Mapping[str, Mapping[str, Any]]) -> str:
    """The name under which a run keeps a dataset: `name`, or `name (2)` where another one has that already."""
    found, number = name, 2
    while found in known and known[found].get("digest") != values.get("digest"):
        found, number = f"{name} ({number})", number + 1
    return found
