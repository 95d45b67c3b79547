"""git's configuration, and what it says of people and remotes."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from gxt.git.process import ask, git_error, run
from gxt.git.repository import ORIGIN, Repository


class Identity(NamedTuple):
    """Who an author or committer is."""

    name: str
    email: str

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"


def config(repo: Repository) -> dict[str, str]:
    """The whole git configuration in force; section and key in lower case, the last of several values."""
    known = _known.get(repo.git_dir)
    if known is None or known.seen is None or known.seen != _Seen.of(repo, known.files):
        known = _known[repo.git_dir] = _read(repo, known.files if known is not None else ())
    values = dict(known.values)
    if repo.origin is not None:
        values[f"remote.{ORIGIN}.url"] = repo.origin.url
    return values


class _Seen(NamedTuple):
    """What the configuration depends on, as far as files' own data tell."""

    environment: Mapping[str, str]
    files: Sequence[tuple[int, ...] | None]

    @classmethod
    def of(cls, repo: Repository, files: Iterable[str]) -> _Seen | None:
        """None where a file has changed just now: it may change again within the resolution of the system's clock."""
        about: list[tuple[int, ...] | None] = []
        newest = time.time_ns() - _RESOLUTION
        for file in files:
            try:
                found = os.stat(repo.git_dir / file)
            except OSError:
                about.append(None)
                continue
            if max(found.st_mtime_ns, found.st_ctime_ns) > newest:
                return None
            about.append((found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns))
        return cls({key: os.environ[key] for key in os.environ if key.startswith(_WHERE)}, about)


_WHERE = ("GIT_", "HOME", "XDG_CONFIG_HOME", "USERPROFILE")  # what says which files are read, or is read itself
_RESOLUTION = 2_000_000_000  # nanoseconds: FAT's


class _Known(NamedTuple):
    """A configuration as it was read; `seen` is None where it may be another the next time."""

    values: Mapping[str, str]
    files: Sequence[str]
    seen: _Seen | None


_known: dict[Path, _Known] = {}
"""Of each git directory. To ask git takes longer than all else that starting a run does."""


def _read(repo: Repository, more: Iterable[str]) -> _Known:
    files = list(dict.fromkeys([*_usual_files(repo), *more]))
    before = _Seen.of(repo, files)
    # In the work tree's own git directory, so that config.worktree counts.
    code, out, err = ask(repo.git_dir, "config", "-z", "--list", "--show-origin")
    if code:
        raise git_error(["config"], err)
    values: dict[str, str] = {}
    parts = out.decode("utf-8", "replace").split("\0")
    for origin, item in zip(parts[::2], parts[1::2], strict=False):
        key, equals, value = item.partition("\n")
        values[key] = value if equals else "true"  # `[commit] gpgSign` alone means true
        if origin.startswith("file:") and (file := origin.removeprefix("file:")) not in files:
            files.append(file)
            before = None  # nobody has looked at this one yet
    if any(key.startswith(("include.", "includeif.")) for key in values):
        return _Known(values, files, None)  # which depends on the branch, on what remotes there are, and on other files
    return _Known(values, files, before)


def _usual_files(repo: Repository) -> list[str]:
    """Where git looks for its configuration, whether anything is there or not: git-config(1), FILES."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    own = os.environ.get("GIT_CONFIG_GLOBAL")
    everybody = os.environ.get("GIT_CONFIG_SYSTEM", "/etc/gitconfig")
    users = [os.path.expanduser("~/.gitconfig"), os.path.join(home, "git", "config")] if own is None else [own]
    return [everybody, *users, str(repo.common_dir / "config"), str(repo.git_dir / "config.worktree")]


def config_values(repo: Repository, key: str) -> list[str]:
    """Every value that a key of git's configuration has."""
    code, out, _ = ask(repo.git_dir, "config", "-z", "--get-all", key)
    return out.decode("utf-8", "replace").split("\0")[:-1] if code == 0 else []


def set_config(repo: Repository, key: str, value: str | None) -> None:
    """Write a key to the repository's own configuration, or take it out."""
    change = ["--replace-all", key, value] if value is not None else ["--unset-all", key]
    code, _, err = ask(repo.git_dir, "config", "--local", *change)
    if code and not (value is None and code == 5):  # 5: it was not there
        raise git_error(["config"], err)


def add_config(repo: Repository, key: str, value: str) -> None:
    """Give a key in the configuration of this clone one more value."""
    run(repo, "config", "--local", "--add", key, value)


def remove_config_section(repo: Repository, section: str) -> None:
    """Take a section such as `branch.topic` out of the repository's own configuration, if it is there."""
    ask(repo.git_dir, "config", "--local", "--remove-section", section)


def is_true(value: str | None) -> bool:
    """git's reading of a boolean in its configuration."""
    return value is not None and value.lower() in ("true", "yes", "on", "1")


def whole_number(value: str | None, default: int) -> int:
    """git's reading of a number in its configuration: `10`, `1k`; the default for what is none."""
    match = re.fullmatch(r"([+-]?\d+)([kmg]?)", (value or "").strip().lower())
    return int(match[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[match[2]] if match else default


def knows_identity(settings: Mapping[str, str]) -> bool:
    """Whether anything says who the user is."""
    return all(_identity_part(settings, "author", part) for part in ("name", "email"))


def _identity_part(settings: Mapping[str, str], role: str, part: str) -> str | None:
    in_environment = os.environ.get(f"GIT_{role.upper()}_{part.upper()}")
    configured = in_environment or settings.get(f"{role}.{part}") or settings.get(f"user.{part}")
    return configured or (os.environ.get("EMAIL") if part == "email" else None)


def identity(settings: Mapping[str, str], role: str) -> Identity:
    """Who git would name as "author" or "committer"; `user@host` where nothing is set up. Never an error."""
    name, email = (_identity_part(settings, role, part) for part in ("name", "email"))
    if not (name and email):
        user, host = _user_and_host()
        name, email = name or user, email or f"{user}@{host}"
    # git strips these from a name, since the commit's own lines are made of them.
    drop = str.maketrans("", "", "<>\n\0")
    name, email = (text.encode("utf-8", "replace").decode().translate(drop).strip() for text in (name, email))
    return Identity(name or "unknown", email)


@lru_cache(maxsize=1)
def _user_and_host() -> tuple[str, str]:
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # no such user in a container, no HOME
        user = f"uid{os.getuid()}" if hasattr(os, "getuid") else "user"
    return user, socket.gethostname() or "localhost"


def remote_urls(settings: Mapping[str, str]) -> dict[str, str]:
    """Each remote's name and URL, as configured."""
    return {
        key[len("remote.") : -len(".url")]: value
        for key, value in settings.items()
        if key.startswith("remote.") and key.endswith(".url")
    }
