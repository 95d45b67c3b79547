"""git-lfs, where it is installed: sending and fetching what pointers stand for."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from gxt.errors import GitError
from gxt.git.finding import read_head
from gxt.git.process import ask, call, scratch, start
from gxt.git.repository import Repository, to_origin
from gxt.masking import mask_urls


def has_lfs() -> bool:
    """Whether git-lfs is installed."""
    import shutil  # here for start-up time

    return shutil.which("git-lfs") is not None or call(["lfs", "version"])[0] == 0


_MOST_OIDS = 1000  # on one command line


def lfs_push(repo: Repository, remote: str, oids: Sequence[str], progress: bool) -> None:
    """Have git-lfs send objects to a remote's server, less those that it has; with `progress`, shown on stderr.

    Raises:
        GitError: it could not, in git-lfs's words.
    """
    for first in range(0, len(oids), _MOST_OIDS):
        _lfs(repo, ["push", "--object-id", remote, *oids[first : first + _MOST_OIDS]], b"", progress)


def lfs_fetch(repo: Repository, remote: str, pointer: bytes, progress: bool) -> None:
    """Have git-lfs bring what a pointer stands for from a remote's server into its objects. Raises as `lfs_push`."""
    options = ["-c", f"remote.lfsdefault={remote}", "-c", "lfs.fetchexclude="]
    branch = read_head(repo.git_dir).decode("utf-8", "replace").strip().removeprefix("ref: refs/heads/")
    if branch:  # its own remote would count before the default one
        options += ["-c", f"branch.{branch}.remote={remote}"]
    _lfs(repo, ["smudge"], pointer, progress, options)


def lfs_endpoints(repo: Repository, remote: str, settings: Mapping[str, str]) -> tuple[str, str]:
    """Where git-lfs fetches a remote's objects from, and where it sends them: what its settings say, else the remote.

    See git-lfs-config(5); what .lfsconfig says counts after git's configuration.
    """
    known = dict(settings)
    file = (repo.work_tree or repo.common_dir) / ".lfsconfig"
    if file.is_file():
        _, out, _ = ask(repo.common_dir, "config", "-z", "--file", str(file), "--list")
        pairs = [item.partition("\n") for item in out.decode("utf-8", "replace").split("\0")]
        known = {key: value for key, _, value in pairs} | known
    both = ("lfs.url", f"remote.{remote}.lfsurl")
    sending = ("lfs.pushurl", "lfs.url", f"remote.{remote}.lfspushurl", both[1], f"remote.{remote}.pushurl")
    there = settings.get(f"remote.{remote}.url", remote)
    fetching, to = (next((known[key] for key in keys if key in known), there) for keys in (both, sending))
    return fetching, to


def has_lfs_hook(repo: Repository, settings: Mapping[str, str]) -> bool:
    """Whether a plain `git push` has git-lfs send what belongs to it."""
    folder = Path(settings.get("core.hookspath", "hooks")).expanduser()
    with contextlib.suppress(OSError):
        return b"git lfs pre-push" in (repo.common_dir / folder / "pre-push").read_bytes()
    return False


def _lfs(repo: Repository, args: Sequence[str], stdin: bytes, progress: bool, options: Sequence[str] = ()) -> None:
    # In the work tree, where its .lfsconfig is.
    where = repo.work_tree or repo.common_dir
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(scratch())
        source.write(stdin)
        source.seek(0)
        words = stack.enter_context(scratch())
        environment = {} if progress else {"GIT_TERMINAL_PROMPT": "0"}  # else it may ask on the terminal who one is
        process = stack.enter_context(
            start(
                [*options, "lfs", *args],
                where,
                source,
                environment | {"GIT_LFS_SKIP_SMUDGE": "0"} | to_origin(repo),
                None if progress else words,
                asks=progress,
                stdout=subprocess.DEVNULL,
            )
        )
        process.wait()
        words.seek(0)
        err = words.read().decode("utf-8", "replace").strip()
    if process.returncode:
        raise GitError(f"git-lfs: {_lfs_words(err)}", "`git lfs logs last` may say more")


_LFS_CHATTER = (
    "Uploading",
    "Downloading",
    "hint:",
    "Errors logged",
    "Use `git lfs logs",
    "Locking support",
    "warning: current Git remote",
)


def _lfs_words(err: str) -> str:
    """What git-lfs says is wrong, in a line: without its progress, and without secrets."""
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    said = [re.sub(r"^Error downloading .*Error downloading [^:]*: ", "", line) for line in lines]
    text = "; ".join(line for line in said if not line.startswith(_LFS_CHATTER))
    return mask_urls(text)[:400] or "it said why above"
