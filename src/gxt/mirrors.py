"""Looking at another repository's runs by its URL: a partial copy of its run branch in the user's cache directory.

    <cache>/gxt/repositories/<name>-<hash of the URL>/

The copy holds commits and trees; files come when somebody reads them. It can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gxt import git, sharing, store
from gxt.errors import GitError, GxtError, NotFoundError, UsageError
from gxt.git import Origin, Repository, Talk
from gxt.masking import mask_urls

OFFLINE_VARIABLE = "GXT_OFFLINE"

_SCHEMES = ("https", "http", "ssh", "git", "git+ssh", "ssh+git")
_SCP = re.compile(r"(?:[^\s/:@]+@)?[^\s/:@-][^\s/:@]+:(?!:)\S+")  # git@example.com:team/taxi.git
_LOCK_TIMEOUT = 600.0

Remark = Callable[[str], None]


def is_url(text: str) -> bool:
    """Whether a text is the address of a repository elsewhere, and no path.

    >>> [is_url(text) for text in ("https://example.com/taxi.git", "git@example.com:taxi.git", "../taxi", "C:/taxi")]
    [True, True, False, False]
    """
    scheme, separator, _ = text.partition("://")
    if separator:  # a tracking server's address has no path
        return scheme.lower() in _SCHEMES and bool(urlsplit(text).path.strip("/"))
    return bool(_SCP.fullmatch(text)) and not os.path.lexists(text)


def locate(
    place: str,
    talk: Talk | None = None,
    remark: Remark = lambda text: None,
    offline: bool | None = None,
) -> Repository:
    """The repository that a path, a `file://` URL or the URL of one elsewhere names.

    Args:
        talk: how one elsewhere is talked to.
        remark: is told why one elsewhere is shown as it was the last time.
        offline: fetch nothing; what GXT_OFFLINE says where it is None.

    Raises:
        NotARepositoryError, UsageError: there is none at a path, or the address cannot be one.
        GitError, NotFoundError: one elsewhere cannot be reached, and was never before; or it has no run branch.
    """
    if is_url(place):
        if offline is None:
            offline = git.is_true(os.environ.get(OFFLINE_VARIABLE))
        return _copy(place, talk or Talk(), remark, offline)
    scheme, separator, _ = place.partition("://")
    if separator and scheme.lower() != "file":
        known = ", ".join(f"{name}://" for name in ("https", "ssh", "git", "file"))
        raise UsageError(
            f"{mask_urls(place)!r} is no address of a git repository", f"a path, or {known}, git@host:path"
        )
    return git.find(Path(unquote(urlsplit(place).path) if separator else place).expanduser())


def refreshed(repo: Repository, age: float, remark: Remark = lambda text: None) -> Repository:
    """A copy that was brought up to date within so many seconds; any other repository as it is."""
    if repo.origin is None or repo.origin.talk is None or time.time() - (_last_fetched(repo.common_dir) or 0) < age:
        return repo
    return _copy(repo.origin.url, repo.origin.talk, remark, offline=False)


# --- the copy -----------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where copies are kept: in $XDG_CACHE_HOME, %LOCALAPPDATA% or ~/.cache."""
    said = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    return (Path(said) if said else Path.home() / ".cache") / "gxt" / "repositories"


def _copy(url: str, talk: Talk, remark: Remark, offline: bool) -> Repository:
    shown = mask_urls(url)
    # Credentials are no part of which repository it is, and are not to be guessed from a hash either.
    last = re.sub(r"[^A-Za-z0-9._-]", "-", re.split(r"[/:]", shown.rstrip("/"))[-1].removesuffix(".git"))[:40]
    path = cache_folder() / f"{last}-{hashlib.sha256(shown.encode()).hexdigest()[:12]}"
    origin = Origin(shown, url, None if offline else talk)
    if offline:
        if not path.is_dir():
            raise NotFoundError(f"nothing was fetched yet from {shown}", "leave --offline and GXT_OFFLINE out once")
        return Repository(path, path, None, origin)
    from filelock import FileLock, Timeout  # here for start-up time

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=_LOCK_TIMEOUT):
            return _refresh(path, origin, remark)
    except Timeout:
        raise GitError(f"another process has been fetching from {shown} for {_LOCK_TIMEOUT:.0f} seconds") from None
    except OSError as error:
        raise GxtError(
            f"the copy of {shown} cannot be written: {error}", "XDG_CACHE_HOME names another place"
        ) from None


def _refresh(path: Path, origin: Origin, remark: Remark) -> Repository:
    repo = Repository(path, path, None, origin)
    if not path.is_dir():
        return _begin(path, origin)
    settings = git.config(repo)
    branch = store.branch_name(settings)
    try:
        commit = git.refresh(replace(repo, origin=_prepared(origin, settings)), branch)
    except GitError as error:
        here = store.tip(repo, settings).commit
        when = _last_fetched(path)
        if here is None or when is None:
            raise
        ago = time.strftime("%Y-%m-%d %H:%M", time.localtime(when))
        remark(f"shown as it was on {ago}, the last time that it was fetched: {error}")
        return repo
    if commit is None:
        raise _no_branch(origin, branch)
    _note_fetched(path)
    return repo


def _begin(path: Path, origin: Origin) -> Repository:
    """The first copy; it is there when it is whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        for object_format in git.OBJECT_FORMATS:
            shutil.rmtree(beside, ignore_errors=True)
            made = replace(git.make_bare(beside, object_format), origin=origin)
            settings = git.config(made)
            branch = store.branch_name(settings)
            try:
                if git.refresh(replace(made, origin=_prepared(origin, settings)), branch) is None:
                    raise _no_branch(origin, branch)
                break
            except GitError as error:
                if "mismatched algorithms" not in error.message or object_format == git.OBJECT_FORMATS[-1]:
                    raise GitError(error.message, error.hint or _NO_SERVER) from None
        _note_fetched(beside)
        beside.replace(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Repository(path, path, None, origin)


_NO_SERVER = "the address of a git repository is meant, as for `git clone`; a tracking server's is none"


def _prepared(origin: Origin, settings: Mapping[str, str]) -> Origin:
    """What is said without secrets, and for how long nothing may be said."""
    talk = origin.talk
    assert talk is not None
    said = talk.said
    masked = None if said is None else lambda text: said(mask_urls(text))
    return replace(origin, talk=replace(talk, said=masked, timeout=sharing.timeout(settings)))


def _no_branch(origin: Origin, branch: str) -> NotFoundError:
    hint = "git config --global gxt.branch NAME looks at a run branch of another name"
    return NotFoundError(f"{origin.name} has no branch {branch}, so no runs", hint)


def _note_fetched(path: Path) -> None:
    (path / "fetched").touch()


def _last_fetched(path: Path) -> float | None:
    with contextlib.suppress(OSError):
        return (path / "fetched").stat().st_mtime
    return None
