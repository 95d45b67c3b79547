"""Making pointers of a run's large files as it is committed: the bytes become an object here, once."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from gxt import git, layout, live
from gxt.errors import FileChangedError, GxtWarning
from gxt.large.objects import Objects, digest_of
from gxt.large.settings import WARN_FROM, Settings
from gxt.live import Piece, Snapshot
from gxt.pointers import SMALLEST, Pointer, is_pointer, read_attributes, write_attributes, write_pointer


def with_pointers(snapshot: Snapshot, settings: Callable[[], Settings], objects: Callable[[], Objects]) -> Snapshot:
    """A run as it is to be committed, its large artifacts as pointers; what stands behind them is an object by then.

    `settings` and `objects` are asked only if there is something that may be large. Where artifacts have no place to
    go, they stay files in git as long as hosts take them. Larger ones become pointers all the same; a warning says
    that nobody else has their bytes.

    Raises:
        FileChangedError: a file was written to meanwhile.
        OSError: the disk does not take a copy.
    """
    large = {
        path: piece
        for path, piece in snapshot.files.items()
        if isinstance(piece, Piece) and piece.size > SMALLEST and path.startswith(f"{layout.ARTIFACTS}/")
    }
    if not large:
        return snapshot
    chosen = settings()
    large = {path: piece for path, piece in large.items() if piece.size > min(chosen.threshold, chosen.blob_limit)}
    if not large:
        return snapshot
    known = live.digests(snapshot.folder)
    least = chosen.threshold if chosen.has_place else chosen.blob_limit
    pointers = {
        path: write_pointer(placed(snapshot.folder, path, known.get(path), objects()))
        for path, piece in large.items()
        if piece.size > least
    }
    _warn(snapshot, chosen, {path: piece.size for path, piece in large.items()}, set(pointers))
    return snapshot._replace(files={**snapshot.files, **pointers})


def placed(folder: Path, path: str, known: live.Digest | None, objects: Objects) -> Pointer:
    """Have a file in a run's folder be an object; `known` is what is noted of it.

    Raises:
        FileChangedError: it was written to meanwhile, or is gone.
        OSError: the disk does not take a copy.
    """
    file = folder / path
    try:
        about = os.stat(file)
        is_ours = known is not None and known.is_of(about)
        if known is not None and known.oid and is_ours:
            pointer = Pointer(known.oid, known.size)
        else:
            with open(file, "rb") as stream:
                pointer = digest_of(stream)
            with contextlib.suppress(OSError):  # it is then worked out again
                live.note_digest(folder, path, live.Digest(about.st_size, about.st_mtime_ns, pointer.oid))
        # What somebody else wrote into the folder of a run that records, they may go on writing to.
        objects.add(file, pointer, link=is_ours or folder.parent.name == "pending")
        after = os.stat(file)
    except FileNotFoundError:
        raise FileChangedError(f"{file} is gone") from None
    if (pointer.size, after.st_mtime_ns) != (about.st_size, about.st_mtime_ns):
        raise FileChangedError(f"{file} was written to while it was read")
    return pointer


_USER = 11  # calls up from here is the block of a run that ends


def _warn(snapshot: Snapshot, settings: Settings, sizes: Mapping[str, int], pointers: set[str]) -> None:
    if settings.has_place:
        return
    run, is_are = f"run {snapshot.run.name} ({snapshot.run.id})", "is" if len(pointers) == 1 else "are"
    what_to_do = "install git-lfs, or `gxt artifacts store URL`"
    if pointers:
        names = _names(pointers, sizes)
        warnings.warn(
            GxtWarning(
                f"{run}: {names} {is_are} too large for git hosts; the bytes are in this clone only, until there is "
                f"a place for them: {what_to_do}, then `gxt artifacts push`"
            ),
            stacklevel=_USER,
        )
    large = {path for path, size in sizes.items() if size > WARN_FROM and path not in pointers}
    if large:
        warnings.warn(
            GxtWarning(
                f"{run}: {_names(large, sizes)} went into git itself, which makes every clone larger for ever; for the "
                f"next ones {what_to_do}"
            ),
            stacklevel=_USER,
        )


def _names(paths: set[str], sizes: Mapping[str, int]) -> str:
    shown = [f"{path} ({sizes[path] / 1e6:.0f} MB)" for path in sorted(paths)[:3]]
    return ", ".join(shown) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")


def attributes_change(snapshot: Snapshot, before: bytes | None, settings: Callable[[], Settings]) -> bytes | None:
    """The run's .gitattributes as the commit of a snapshot changes it: empty to take it away, None for no change.

    It names the artifacts whose bytes are in Git LFS, so that git-lfs checks out these and leaves the others alone.
    `before` is what it is on the branch.
    """
    artifacts = {path for path in snapshot.files if path.startswith(f"{layout.ARTIFACTS}/")}
    pointers = {path for path in artifacts if isinstance(data := snapshot.files[path], bytes) and is_pointer(data)}
    old = read_attributes(before or b"")
    if not pointers and not old:
        return None
    in_lfs = pointers if pointers and settings().store is None and git.has_lfs() else set()
    new = (old - artifacts) | in_lfs
    return None if new == old else write_attributes(new)
