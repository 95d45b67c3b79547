"""Sharing runs from Python: what `gxt sync`, `push` and `pull` do, for notebooks and for scripts that train."""

from __future__ import annotations

from gxt import fluent, git, sharing, store
from gxt.git import Talk
from gxt.sharing import Outcome


def sync(remote: str | None = None) -> Outcome:
    """Bring a remote's runs here, and send it ours. Where both sides have new ones, they are joined.

    Runs that have ended go; those that record go when they have ended, or with their next checkpoint.

    Args:
        remote: its name. Without one, as for `gxt sync`: what git's configuration says, the only one, or origin.

    Returns what went and came: `received` and `sent` are the runs, each with `run` (its id) and `what` ("new",
    "changed" or "gone").

    Raises:
        NotFoundError: no such remote, or nothing tells which.
        GxtError: it cannot be reached, refuses, or does not answer. Runs stay here, committed.

    >>> len(gxt.sync().sent)  # doctest: +SKIP
    1
    """
    return _share(remote)


def push(remote: str | None = None) -> Outcome:
    """Send a remote our runs. Where it has some that are not here, they are brought and joined first; see `sync`."""
    return _share(remote, receive=False)


def pull(remote: str | None = None) -> Outcome:
    """Bring a remote's runs here, and join them with ours; see `sync`."""
    return _share(remote, send=False)


def _share(remote: str | None, receive: bool = True, send: bool = True) -> Outcome:
    repo = fluent.repository()
    store.commit_pending(repo)
    settings = git.config(repo)
    name = remote or sharing.default_remote(settings)
    return sharing.sync(repo, name, Talk(), receive=receive, send=send, settings=settings)
