"""What a place for the bytes of large artifacts does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from gxt.errors import GxtError
from gxt.large.objects import Objects
from gxt.pointers import Pointer

Progress = Callable[[int, int], None]
"""Is told, from several threads, of bytes that went or came, and how many of artifacts that is in whole."""


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
    """What a clone notes under what it knows to be there."""

    def has(self, pointer: Pointer) -> bool | None:
        """Whether it has the bytes, by their number; None where that cannot be asked."""

    def send(self, pointers: Sequence[Pointer], objects: Objects, progress: Progress | None = None) -> Sent:
        """Have it keep what is here, unless it has it; several at once."""

    def confirmed(self, copies: Sequence[Pointer], objects: Objects) -> set[Pointer]:
        """Which of some copies here it has for certain, whole by their number of bytes: asked now, not remembered."""

    def fetch(self, pointer: Pointer, objects: Objects, progress: Progress | None = None) -> None:
        """Bring the bytes here, checked.

        Raises:
            NotFoundError: it does not have them.
        """
