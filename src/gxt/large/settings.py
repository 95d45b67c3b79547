"""From which size on an artifact is large, and where its bytes go: git's configuration, then the team's gxt.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gxt import git, layout
from gxt.errors import UsageError
from gxt.pointers import SMALLEST

THRESHOLD = 1 << 20
WARN_FROM = 10 << 20
BLOB_LIMIT = 100_000_000
"""Hosts refuse files of 100 MB in a push."""


@dataclass(frozen=True)
class Settings:
    """How a clone keeps large artifacts.

    Attributes:
        threshold: an artifact of more bytes becomes a pointer, where there is a place for it.
        store: the URL of a store; None where none is set, and Git LFS is used if it is installed.
        blob_limit: an artifact of more bytes is never put into git itself, place or not.
        objects: the folder that git-lfs keeps its objects in, and gxt too.
    """

    threshold: int
    store: str | None
    blob_limit: int
    objects: Path

    @property
    def has_place(self) -> bool:
        """Whether artifacts over the threshold have somewhere to go."""
        return self.store is not None or git.has_lfs()


def read_settings(common_dir: Path, config: Mapping[str, str], document: bytes | None) -> Settings:
    """The settings from git's configuration (keys in lower case) and gxt.yaml, None where the branch has none.

    Raises:
        UsageError: a size is none, or the store's URL cannot be one.
        FormatError: gxt.yaml cannot be read.
    """
    team = layout.read_artifact_settings(document) if document else {}
    threshold = _size(config.get("gxt.artifactthreshold"), "git config gxt.artifactThreshold")
    if threshold is None:
        threshold = _size(team.get("threshold"), "gxt.yaml: artifacts: threshold")
    limit = _size(config.get("gxt.artifactbloblimit"), "git config gxt.artifactBlobLimit")
    store = config.get("gxt.artifactstore") or team.get("store")
    storage = Path(config.get("lfs.storage") or "lfs")  # git-lfs(1): relative to the git directory
    return Settings(
        max(SMALLEST, THRESHOLD if threshold is None else threshold),
        checked_url(str(store)) if store else None,
        BLOB_LIMIT if limit is None else limit,
        common_dir / storage / "objects",
    )


def _size(value: Any, where: str) -> int | None:
    """A number of bytes: 4096, 512k, "10 MB"; k, M and G are 1024, as git has them."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d+)\s*([kmgt]?)(i?b)?", str(value).strip().lower())
    if not match:
        raise UsageError(f"{where}: {value!r} is no size", "a number of bytes, such as 512k, 10m or 2g")
    return int(match[1]) << {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}[match[2]]


def checked_url(url: str) -> str:
    """A store's URL or absolute path, without a slash at its end.

    Raises:
        UsageError: it is a relative path, which would mean another folder wherever one stands.
    """
    if "://" not in url:
        path = Path(url).expanduser()
        if not path.is_absolute():
            raise UsageError(f"the artifact store {shown_url(url)!r} is neither a URL nor an absolute path", EXAMPLES)
        return str(path)
    return url.rstrip("/")


def shared_url(url: str) -> str:
    """A store's URL as it may stand on the branch.

    Raises:
        UsageError: as `checked_url`, and where it holds a user, a password or a query, which everybody would read.
    """
    checked = checked_url(url)
    if shown_url(checked) != checked:
        raise UsageError(
            f"the URL of {shown_url(checked)} holds credentials, which everybody who has the branch could read",
            "leave them to the store's library, or set git config gxt.artifactStore for this clone alone",
        )
    return checked


EXAMPLES = "s3://bucket/folder, gs://bucket/folder, file:///mnt/team/artifacts, /mnt/team/artifacts"


def shown_url(url: str) -> str:
    """A URL without what may be secret in it: user, password, query.

    >>> shown_url("sftp://ada:secret@host/artifacts?key=1")
    'sftp://host/artifacts'
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    host, slash, path = re.split(r"[?#]", rest)[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
