"""What a repository is: one here, one elsewhere that it is a copy of, and how a remote is talked to."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Talk:
    """How a remote is talked to.

    Attributes:
        said: called with what git says meanwhile, line by line; a line that ends in a carriage return is followed by
            another in its place. None to say nothing.
        silent: called with the seconds for which the remote has been silent, ten by ten.
        timeout: after so many seconds of silence it is given up; 0 waits for ever.
        asks: whether git may ask for a password on the terminal.
    """

    said: Callable[[str], None] | None = None
    silent: Callable[[float], None] = lambda seconds: None
    timeout: float = 120.0
    asks: bool = False


@dataclass(frozen=True)
class Origin:
    """The repository elsewhere that one here is a copy of, which lacks what nobody has asked for yet.

    Attributes:
        name: its URL as it may be shown.
        url: its URL, which may hold credentials: it is kept in memory alone, and reaches git by its environment.
        talk: how it is talked to; None where nothing may be fetched.
    """

    name: str
    url: str = dataclasses.field(repr=False)
    talk: Talk | None = dataclasses.field(default=None, repr=False)


@dataclass(frozen=True)
class Repository:
    """A repository as found from some path in it.

    Attributes:
        common_dir: the git directory that all linked work trees share; refs and gxt's own files are under it.
        git_dir: this work tree's own git directory, where its HEAD is; the same as common_dir but in linked ones.
        work_tree: the top of the work tree, None in a bare repository.
        origin: for a copy of a repository elsewhere, which is only read: that one.
    """

    common_dir: Path
    git_dir: Path
    work_tree: Path | None
    origin: Origin | None = None


ORIGIN = "origin"
FILTER = "blob:none"


def to_origin(repo: Repository, partly: bool = True) -> dict[str, str]:
    """What tells git in its environment where a copy's objects come from; arguments could be read by other users.

    Without `partly`, git takes what is not here for damage, and brings all of it.
    """
    if repo.origin is None:
        return {}
    said = {"url": repo.origin.url} | ({"promisor": "true", "partialclonefilter": FILTER} if partly else {})
    text = os.environ.get("GIT_CONFIG_COUNT", "")
    first = int(text) if text.isdigit() else 0
    environment = {"GIT_CONFIG_COUNT": str(first + len(said))}
    for at, (key, value) in enumerate(said.items(), first):
        environment |= {f"GIT_CONFIG_KEY_{at}": f"remote.{ORIGIN}.{key}", f"GIT_CONFIG_VALUE_{at}": value}
    return environment
