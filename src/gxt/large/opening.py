"""Reading what a pointer stands for: from the copy here, else fetched; its digest is checked each time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO

from gxt.errors import FormatError, GxtError, NotFoundError
from gxt.large.objects import PIECE, Objects
from gxt.large.places import Place, Progress
from gxt.pointers import Pointer


def fetch(pointer: Pointer, objects: Objects, places: Sequence[Place], progress: Progress | None = None) -> None:
    """Bring the bytes here from the first place that has them.

    Raises:
        NotFoundError: no place has them.
        FormatError: the bytes of its digest are here, and are not as many as the pointer says.
        GxtError: one that may have them cannot be reached.
    """
    if not objects.has(pointer) and objects.is_whole(pointer.oid):
        # git-lfs would take the pointer's word for it, and the object for damaged.
        raise FormatError(f"the pointer to sha256:{pointer.oid[:12]} says {pointer.size} bytes, and it has others")
    trouble: list[GxtError] = []
    for place in places:
        try:
            place.fetch(pointer, objects, progress)
            return
        except GxtError as error:
            trouble.append(error)
    what = f"the bytes of sha256:{pointer.oid[:12]} ({pointer.size} bytes) are not here"
    if not places:
        raise NotFoundError(
            f"{what}, and this clone knows no place to fetch them from", "install git-lfs, or name the store: " + _NAME
        )
    reasons = "; ".join(error.message for error in trouble)
    hint = next((error.hint for error in trouble if error.hint), None)
    if all(isinstance(error, NotFoundError) for error in trouble):
        raise NotFoundError(f"{what}: {reasons}", "who recorded them has not sent them: `gxt artifacts push` there")
    raise GxtError(f"{what}: {reasons}", hint)


_NAME = "git config gxt.artifactStore URL"


def save_content(
    pointer: Pointer, out: IO[bytes], objects: Objects, places: Sequence[Place], progress: Progress | None = None
) -> None:
    """Write the bytes that a pointer stands for into an empty file, as `fetch` where they are not here.

    A damaged copy is set aside and fetched again.

    Raises:
        NotFoundError, GxtError: as `fetch`.
    """
    if objects.has(pointer):
        if _copied(pointer, out, objects):
            return
        bad = objects.set_aside(pointer.oid)
        try:
            fetch(pointer, objects, places, progress)
        except GxtError as error:
            raise GxtError(
                f"the copy of sha256:{pointer.oid[:12]} was damaged and is now {bad}; {error.message}", error.hint
            ) from None
        out.seek(0)
        out.truncate()
    else:
        fetch(pointer, objects, places, progress)
    if not _copied(pointer, out, objects):
        raise GxtError(f"{objects.path(pointer.oid)} does not keep what is written to it", "look at the disk")


def _copied(pointer: Pointer, out: IO[bytes], objects: Objects) -> bool:
    import hashlib  # here for start-up time

    digest = hashlib.sha256()
    with open(objects.path(pointer.oid), "rb") as source:
        while piece := source.read(PIECE):
            digest.update(piece)
            out.write(piece)
    return digest.hexdigest() == pointer.oid
