"""Files that a run read and that are no code: data that git ignores is in the user's work tree alone.

Each is copied, so that a program that writes where it read changes nothing of the user's; blocks are shared where the
file system can. What is large altogether is linked instead.

The names are what somebody's run says: os.path has no such file where one is too long for the system, pathlib raises.
"""

from __future__ import annotations

import errno
import glob
import itertools
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from gxt import codehistory, datasets, large, snapshots
from gxt.errors import GxtError, UsageError
from gxt.model import Run

_MOST_COPIED = 1 << 30  # bytes; what is more is linked

SAME, CHANGED, GONE, UNKNOWN = "same", "changed", "gone", "unknown"


class Supply(NamedTuple):
    """A file, folder or pattern that a run read.

    Attributes:
        path: as inputs.yaml has it, or relative to the top of the work tree.
        state: SAME, CHANGED or GONE by its digest; UNKNOWN where none was recorded.
        brought: whether it was brought to the folder, or was there with the code.
        linked: whether it is a link to the user's own, or links to its files.
        left_out: whether it was left out of the snapshot; whether the run read it is not known.
    """

    path: str
    state: str
    brought: bool = True
    linked: bool = False
    left_out: bool = False


def supply(run: Run, top: Path | None, folder: Path, also: Sequence[str] = ()) -> list[Supply]:
    """Bring what a run read into a folder with its code, from the user's work tree.

    Those are its inputs, what was left out of the snapshot, and what else somebody names.

    Args:
        top: the user's work tree.
        also: paths relative to the current directory.

    Raises:
        UsageError: a path of `also` is not there, or not in the work tree.
    """
    bringer = _Bringer(top, folder)
    found: dict[str, Supply] = {}
    for path in also:
        inside = _inside(path, top)
        linked = bringer.bring(inside)
        found[inside] = Supply(inside, UNKNOWN, linked=linked)
    for about in run.inputs.values():
        source, digest = about.get("source"), about.get("digest")
        if isinstance(source, str) and source and "://" not in source and source not in found:
            found[source] = _input(source, digest if isinstance(digest, str) else None, bringer)
    for path, about in codehistory.not_kept(run).items():
        if path not in found:
            found |= _left_out(path, about, bringer)
    return list(found.values())


def _input(source: str, digest: str | None, bringer: _Bringer) -> Supply:
    path = PurePosixPath(source)
    if path.is_absolute():
        return Supply(source, state_of(Path(source), digest), brought=False)
    if ".." in path.parts:
        return Supply(source, UNKNOWN, brought=False)
    if bringer.leads_out(source):  # a link of the code's own: what it leads to is the user's
        return Supply(source, state_of(bringer.folder / source, digest), brought=False, linked=True)
    linked = False
    if "*" in source or "?" in source or "[" in source:
        for one in bringer.matching(source):
            linked = bringer.bring(one) or linked
    else:
        linked = bringer.bring(source)
    return Supply(source, state_of(bringer.folder / source, digest), linked=linked)


def state_of(path: Path, digest: str | None) -> str:
    """Whether data is what it was, by its digest: SAME, CHANGED or GONE; UNKNOWN where none was recorded."""
    if digest is None:
        return UNKNOWN
    try:
        _, now = datasets.describe(str(path))
    except UsageError:
        return GONE
    except (GxtError, OSError):
        return UNKNOWN
    return SAME if now.get("digest") == digest else CHANGED


def _left_out(path: str, about: Mapping[str, Any], bringer: _Bringer) -> dict[str, Supply]:
    """A file that was too large for the snapshot, or whose kind holds secrets, such as .env; or a folder of too many.

    A folder's files are linked: copies of that many would take long, and a link to the folder itself is not what
    programs walk through that look for files.
    """
    inside = PurePosixPath(path)
    if bringer.top is None or not inside.parts or inside.is_absolute() or ".." in inside.parts:
        return {}
    theirs, there = bringer.top / path, bringer.folder / path
    if bringer.leads_out(path):
        return {path: Supply(path, UNKNOWN, brought=False, linked=True, left_out=True)}
    if os.path.isdir(theirs) and "size" not in about:
        return {path: Supply(path, UNKNOWN, linked=bringer.bring(path, copies=False), left_out=True)}
    if not os.path.isfile(theirs):
        is_told = not os.path.exists(theirs) and about.get("problem") != snapshots.SECRET
        return {path: Supply(path, GONE, brought=False, left_out=True)} if is_told else {}
    if isinstance(about.get("size"), int) and theirs.stat().st_size != about["size"]:
        return {path: Supply(path, CHANGED, brought=False, left_out=True)}
    if os.path.isfile(there) or os.path.islink(there):  # as the commit has it
        there.unlink()
    return {path: Supply(path, UNKNOWN, linked=bringer.bring(path), left_out=True)}


def _inside(path: str, top: Path | None) -> str:
    full = Path(os.path.normpath(Path(path).absolute()))
    if top is None or not full.is_relative_to(top):
        raise UsageError(f"{path} is not in the work tree", "an absolute path in the command needs nothing")
    if not full.exists():
        raise UsageError(f"no such file or folder: {path}")
    return full.relative_to(top).as_posix()


_FULL = (errno.ENOSPC, errno.EDQUOT)


class _Bringer:
    """Copies files from one folder to another, where they are not there yet, or links them."""

    def __init__(self, top: Path | None, folder: Path) -> None:
        self.top, self.folder = top, folder
        self._copied = 0

    def matching(self, pattern: str) -> list[str]:
        """The files of the work tree that a pattern names."""
        if self.top is None:
            return []
        return sorted(Path(path).as_posix() for path in glob.glob(pattern, root_dir=self.top, recursive=True))

    def leads_out(self, inside: str) -> bool:
        """Whether a path in the folder leads elsewhere, by a link in the code: nothing is written or removed there. So
        do git's own files."""
        parts = PurePosixPath(inside).parts
        fixed = list(itertools.takewhile(lambda part: not any(sign in part for sign in "*?["), parts))
        if any(part.lower() == ".git" for part in parts):
            return True
        place = self.folder
        for part in fixed:
            place /= part
            if os.path.islink(place) and not Path(os.path.realpath(place)).is_relative_to(
                os.path.realpath(self.folder)
            ):
                return True
        return False

    def bring(self, inside: str, copies: bool = True) -> bool:
        """Have a file or folder there too, if it is here; whether any of it is a link.

        Raises:
            GxtError: it cannot be read, or there is no room for it.
        """
        if self.top is None or self.leads_out(inside):
            return False
        try:
            return self._bring(self.top, inside, copies)
        except OSError as error:
            raise GxtError(
                f"{inside} cannot be brought to {self.folder}: {error.strerror or error}",
                "TMPDIR names another folder for temporary work trees" if error.errno in _FULL else None,
            ) from None

    def _bring(self, top: Path, inside: str, copies: bool) -> bool:
        linked = False
        if os.path.isdir(top / inside) and not os.path.lexists(self.folder / inside):
            (self.folder / inside).mkdir(parents=True)  # an empty one too
        for source, target in self._lacking(top / inside, self.folder / inside):
            target.parent.mkdir(parents=True, exist_ok=True)
            if not copies:
                target.symlink_to(source.resolve())
                linked = True
                continue
            size = source.stat().st_size
            with open(source, "rb") as stream, open(target, "xb") as out:
                if large.cloned(stream, out):
                    shutil.copymode(source, target)
                    continue
                if self._copied + size <= _MOST_COPIED:
                    self._copied += size
                    shutil.copyfileobj(stream, out, 1 << 20)
                    shutil.copymode(source, target)
                    continue
            target.unlink()
            target.symlink_to(source.resolve())
            linked = True
        return linked

    def _lacking(self, source: Path, target: Path) -> Iterator[tuple[Path, Path]]:
        if os.path.isfile(source):
            if not os.path.lexists(target):
                yield source, target
        elif os.path.isdir(source):
            for folder, folders, files in os.walk(source):
                folders[:] = sorted(name for name in folders if name != ".git")
                for name in sorted(files):
                    file = Path(folder, name)
                    place = target / file.relative_to(source)
                    if file.is_file() and not os.path.lexists(place):
                        yield file, place


def excludes(supplies: Sequence[Supply]) -> str:
    """What was brought as patterns that have git ignore it: a run there has no more code than the one before."""
    names = [supply.path for supply in supplies if supply.brought and supply.state != GONE]
    return "".join("/" + re.sub(r"([\\!#])", r"\\\1", name) + "\n" for name in names if "\n" not in name)
