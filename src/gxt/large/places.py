"""What a place for the bytes of large artifacts does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from gxt.errors import GxtError
from gxt.large.objects import Objects
from gxt.pointers import Pointer

Progress = Callable[[int, int], None]
"""Is told, from several threads, of bytes that went or came, and how many of artifacts that is in whole."""

Shown = Callable[[int], AbstractContextManager[Progress | None]]
"""Is told, before anything moves, of how many bytes may, and gives who is told of each piece."""

IsNew = Callable[[Pointer], bool]
"""Whether no clone elsewhere can know yet that an artifact is in use; asked from several threads."""


class Sent(NamedTuple):
    """What became of artifacts that were to be sent: those that went, those that were there, and why others did not."""

    sent: list[Pointer]
    there: list[Pointer]
    failed: dict[Pointer, GxtError]


class Place(Protocol):
    """Something that keeps bytes by their digest. Errors are GxtErrors with its own words, and without secrets."""

    name: str
    """As it is shown: a URL without credentials, or a remote."""

    key: str
    """What a clone notes under what was there when it was last asked."""

    def has(self, pointer: Pointer) -> bool | None:
        """Whether it has the bytes, by their number; None where that cannot be asked."""

    def send(
        self,
        pointers: Sequence[Pointer],
        objects: Objects,
        progress: Progress | None = None,
        is_new: IsNew | None = None,
    ) -> Sent:
        """Have it keep what is here, unless it has it, which it is asked; several at once.

        What `is_new` and there from long ago is written anew, so that nobody clears it away meanwhile.
        """

    def confirmed(self, copies: Sequence[Pointer], objects: Objects, dry_run: bool = False) -> set[Pointer]:
        """Which of some copies here it has for certain, whole by their number of bytes: asked now, not remembered.

        Where it cannot be asked without sending something, a `dry_run` goes by what is remembered.
        """

    def fetch(self, pointer: Pointer, objects: Objects, progress: Progress | None = None) -> None:
        """Bring the bytes here, checked.

        Raises:
            NotFoundError: it does not have them.
        """
