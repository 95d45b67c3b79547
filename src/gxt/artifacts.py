"""Files that a run keeps: which ones a path stands for, what they are called in the run, and their content."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO

from gxt.errors import GxtWarning, UsageError
from gxt.large import cloned
from gxt.model import check_artifact_path
from gxt.pointers import Pointer

_TRIES = 3


def files_of(local_path: Path, folder: str | None, contents_only: bool = False) -> list[tuple[Path, str]]:
    """The files at a path, each with the artifact path it gets below `folder`.

    A file keeps its name. A folder keeps its name too, unless `contents_only`. Symbolic links are followed; one that
    leads back to a folder around it is refused.

    Raises:
        UsageError: nothing is there, it cannot be read, or a name cannot be a path on every system.
    """
    prefix = f"{folder}/" if folder else ""
    try:
        is_file = local_path.is_file()
    except (OSError, ValueError) as error:
        raise UsageError(f"artifact {str(local_path)[:40] + '…'!r} is no path: {error}") from None
    if is_file:
        _check_readable(local_path)
        return [(local_path, check_artifact_path(prefix + local_path.name))]
    if not local_path.is_dir():
        what = "is not a file or folder" if local_path.exists() else "does not exist"
        raise UsageError(f"artifact {str(local_path)!r} {what}", f"looked in {Path.cwd()}")
    top = prefix if contents_only else f"{prefix}{local_path.resolve().name}/"
    found = []
    for file in _walk(local_path, (local_path.resolve(),)):
        _check_readable(file)
        found.append((file, check_artifact_path(top + file.relative_to(local_path).as_posix())))
    return found


def _check_readable(file: Path) -> None:
    if not os.access(file, os.R_OK):
        raise UsageError(f"artifact {str(file)!r} cannot be read: Permission denied")


def _walk(folder: Path, around: tuple[Path, ...]) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UsageError(f"artifact folder {str(folder)!r} cannot be read: {error.strerror}") from None
    files: list[Path] = []
    for entry in entries:
        if entry.is_dir():
            real = entry.resolve()
            if real in around:
                raise UsageError(f"artifact folder {str(entry)!r} is a link to a folder around it")
            files += _walk(entry, (*around, real))
        elif entry.is_file():
            files.append(entry)
        else:
            what = "a broken link" if entry.is_symlink() else "not a regular file"
            raise UsageError(f"artifact {str(entry)!r} is {what}")
    return files


def copier(source: Path) -> Callable[[IO[bytes]], Pointer | None]:
    """A function that copies a file's content into an open file, and returns its digest.

    Where the file system can have two files share their blocks, nothing is copied or read, and it returns None.

    Raises:
        UsageError: the source cannot be read. (The target's errors are its own, as OSError.)
    """

    def fill(out: IO[bytes]) -> Pointer | None:
        try:
            stream = open(source, "rb")  # noqa: SIM115 (its errors are told apart from those of `out`)
        except OSError as error:
            raise UsageError(f"artifact {str(source)!r} cannot be read: {error.strerror}") from None
        with stream:
            if cloned(stream, out):
                return None
            for _ in range(_TRIES):
                out.seek(0)
                out.truncate()
                pointer, is_whole = _copy(stream, out)
                if is_whole:
                    return pointer
        warnings.warn(GxtWarning(f"{str(source)!r} was being written while it was copied"), stacklevel=5)
        return pointer

    return fill


def _copy(source: IO[bytes], out: IO[bytes]) -> tuple[Pointer, bool]:
    """Copy a file from its beginning. Its digest, and False where somebody wrote to it meanwhile."""
    before = os.fstat(source.fileno())
    digest, size = hashlib.sha256(), 0
    source.seek(0)
    while piece := source.read(1 << 20):
        digest.update(piece)
        out.write(piece)
        size += len(piece)
    after = os.fstat(source.fileno())
    is_whole = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    return Pointer(digest.hexdigest(), size), is_whole
