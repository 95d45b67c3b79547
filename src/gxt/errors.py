"""What can go wrong, as exceptions: each has an exit code, a message and, where there is one, a way on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gxt.showing import one_line, shortened

_LONGEST = 1000  # characters of a message about what others wrote


def did_you_mean(name: str, known: Iterable[str], spelled: Mapping[str, str] | None = None) -> str | None:
    """A hint with the known names that are near one that is not known, as they are to be spelled; None without any.

    >>> did_you_mean("rmze", ["rmse", "mae"])
    'did you mean rmse?'
    """
    import difflib  # here for start-up time

    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join((spelled or {}).get(found, found) for found in near)}?" if near else None


class GxtError(Exception):
    """Something gxt can explain.

    Attributes:
        message: one line that says what is wrong and where.
        hint: what to do about it, or None.
        exit_code: what the command line exits with.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(GxtError, ValueError):
    """The call itself is wrong: a bad name, a value of the wrong type, a run that is already finished."""

    exit_code = 2


class NotFoundError(GxtError, LookupError):
    """No run, experiment or artifact answers to that name, or more than one does."""

    exit_code = 3


class NotARepositoryError(GxtError):
    """There is no git repository at or above the path."""

    exit_code = 4


class GitError(GxtError):
    """git refused or failed; the message carries git's own words."""

    exit_code = 5


class NoGitError(GitError):
    """There is no git in PATH."""


class RefMovedError(GitError):
    """Somebody else committed to the run branch first. Callers start again from the new tip."""


class RefLockedError(GitError):
    """Another git command holds the run branch's lock, or a crash left it behind."""


class FileChangedError(GitError):
    """A file became shorter, or went away, while it was committed. Callers look at it again."""


class FormatError(GxtError):
    """Something on the run branch, or given as input, cannot be read as what it claims to be.

    What it says comes from others: the message is on one line, printable, and never long.
    """

    exit_code = 6

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(shortened(one_line(message), _LONGEST), hint)


class MissingPackageError(GxtError, ImportError):
    """An optional package is needed for this call."""

    exit_code = 7

    def __init__(self, package: str, purpose: str, extra: str | None = None) -> None:
        requirement = f"'git-gxt[{extra}]'" if extra else package
        super().__init__(f"{purpose} needs the package {package}", f"pip install {requirement}")


class GxtWarning(UserWarning):
    """Recording goes on, but something underneath did not work; the text says how to recover."""
