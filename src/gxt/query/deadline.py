"""How long a question may take: filters come from untrusted places too."""

from __future__ import annotations

import time

from gxt.errors import UsageError

LIMIT = 60.0
"""Seconds."""


class Deadline:
    """The moment by which the answer to a question asked now has to be there."""

    def __init__(self) -> None:
        self._until = time.monotonic() + LIMIT

    def is_over(self) -> bool:
        """Whether the moment has passed."""
        return time.monotonic() > self._until

    def check(self) -> None:
        """Raise UsageError where it has."""
        if self.is_over():
            raise self.error()

    def error(self) -> UsageError:
        """What to say then."""
        return UsageError(f"this filter takes longer than {LIMIT:.0f} seconds", "ask for less")
