"""Writing commits by `git fast-import`, signed where the user's git signs."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from gxt.errors import FileChangedError, GitError, RefLockedError, RefMovedError
from gxt.git.process import KILLED_AT_START, call, git_error, one_line, run, scratch, start
from gxt.git.refs import drop_ref, resolve
from gxt.git.repository import Repository
from gxt.git.settings import Identity, identity, is_true

UNSIGNED = "refs/gxt/unsigned"

# Set for a commit's git, and so for its hooks: one that calls gxt must not wait for the commit that waits for it.
IN_COMMIT = "GXT_IN_COMMIT"


class Entry(NamedTuple):
    """A file or a folder that is in the repository already, by its object id."""

    oid: str
    is_tree: bool


class Node(NamedTuple):
    """What a tree has at a path, with its mode: a file's or link's bytes, or the commit of a submodule (160000)."""

    mode: str
    content: bytes | str


Content = bytes | tuple[Path, int | None] | Entry | Node | None
"""A path's new content: bytes, a file and how many of its bytes (None for all), what another tree has, a node of any
mode, or None to take the path away."""


def commit_files(
    repo: Repository,
    ref: str,
    old: str | None,
    parent: str | None,
    changes: Iterable[tuple[str, Content]],
    message: str,
    settings: Mapping[str, str],
    joined: str | None = None,
) -> str:
    """Commit changes on top of `parent` and move `ref` from `old` to the new commit, all in one `git fast-import`.

    Nothing is checked out and no index is used. `old` is None for a ref that does not exist yet. The ref moves only
    if that is a fast-forward; where `commit.gpgSign` is set, the commit is signed as `git commit` would. `joined` is a
    second parent; the changes are those against the first.

    Raises:
        RefMovedError: somebody else moved the ref; read its new tip and try again.
        FileChangedError: a file is gone or shorter than was said.
        GitError: git refused for another reason (a hook, a lock, a full disk, no signing key).
    """
    sign = is_true(settings.get("commit.gpgsign"))
    author, committer = identity(settings, "author"), identity(settings, "committer")
    when = f"{max(0, int(time.time()))} {time.strftime('%z')}"  # git has no date before 1970
    # A commit to be signed is first made beside the branch: fast-import cannot sign.
    target = f"{UNSIGNED}/{os.getpid()}" if sign else ref
    head_lines = [f"commit {target}", "mark :1", f"author {author} {when}", f"committer {committer} {when}"]
    script = "\n".join(head_lines).encode() + b"\n" + _data(message.encode())
    if parent is not None:
        script += f"from {parent}\n".encode()
    if joined is not None:
        script += f"merge {joined}\n".encode()
    command = [f"--git-dir={repo.common_dir}", *FAST_IMPORT]
    if sign:
        command.append("--force")  # a crash may have left the private ref behind
    commit = fast_import(repo, command, script, changes, ref, old)
    parents = [known for known in (parent, joined) if known is not None]
    return _sign(repo, ref, target, commit, old, parents, message, (author, committer, when)) if sign else commit


# Kept as a pack, which git marks `.keep` until the ref has moved: a `git gc --prune=now` meanwhile would take loose
# objects away, since nothing reaches them yet.
FAST_IMPORT = ["-c", "fastimport.unpackLimit=1", "-c", "core.bigFileThreshold=32m"]
FAST_IMPORT += ["fast-import", "--quiet", "--done", "--date-format=raw"]


def fast_import(
    repo: Repository,
    command: list[str],
    script: bytes,
    changes: Iterable[tuple[str, Content]],
    ref: str,
    old: str | None,
) -> str:
    words = scratch()
    begun = time.time()
    process = start(command, repo.common_dir, subprocess.PIPE, {IN_COMMIT: "1"}, words)
    assert process.stdin and process.stdout
    with words, process:
        try:
            process.stdin.write(script)
            for path, content in changes:
                _write_change(process.stdin, path, content)
            process.stdin.write(b"\nget-mark :1\ndone\n")
            process.stdin.close()
        except BrokenPipeError:  # git gave up; its reason is on stderr
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        except BaseException:
            process.kill()
            with contextlib.suppress(BrokenPipeError):  # of what was not written yet; it would hide the reason
                process.stdin.close()
            raise
        commit = process.stdout.read().decode().strip()
        process.wait()
        words.seek(0)
        err = words.read().decode("utf-8", "replace")
    if process.returncode == 0:
        return commit
    with contextlib.suppress(OSError):
        (repo.common_dir / f"fast_import_crash_{process.pid}").unlink()
    if process.returncode in KILLED_AT_START:
        raise RefMovedError(f"git was told to end while it committed to {ref}")
    if any(words in err for words in _NO_ROOM):
        _remove_half_packs(repo, begun)
        raise GitError("the disk has no room for the commit", "make room; then `gxt recover` commits what waits")
    if resolve(repo, [ref])[0] != old or "does not contain" in err or any(words in err for words in _PASSING):
        raise RefMovedError(f"{ref} has moved: {one_line(err)[-300:]}")
    if lock := re.search(r"Unable to create '([^']+\.lock)': File exists", err):
        raise RefLockedError(
            f"{ref} is locked: {lock[1]} exists", "if no git command is running, a crash left it behind: remove it"
        )
    raise git_error(["fast-import"], err)


# What fast-import says when a `git gc` repacks under its hands; the next try succeeds.
_PASSING = ("cannot store pack file", "cannot create keep file", "cannot store index file")


# What it says of a full disk, some of it in other words; what it had written so far would keep the disk full.
_NO_ROOM = ("No space left on device", "Out of diskspace", "Unexpected checksum", "Disk quota exceeded")


def _remove_half_packs(repo: Repository, since: float) -> None:
    for file in (repo.common_dir / "objects" / "pack").glob("tmp_*"):
        with contextlib.suppress(OSError):
            if file.stat().st_mtime >= since - 1:
                file.unlink()


def _data(content: bytes) -> bytes:
    return b"data %d\n" % len(content) + content + b"\n"


def _write_change(stream: IO[bytes], path: str, content: Content) -> None:
    write = stream.write
    quoted = b'"' + os.fsencode(path).replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'
    if content is None:
        write(b"D " + quoted + b"\n")
        return
    if isinstance(content, Entry):
        mode = b"040000" if content.is_tree else b"100644"
        write(b"M " + mode + b" " + content.oid.encode() + b" " + quoted + b"\n")
        return
    if isinstance(content, Node):
        what = content.content if isinstance(content.content, str) else "inline"
        write(f"M {content.mode} {what} ".encode() + quoted + b"\n")
        if isinstance(content.content, bytes):
            write(_data(content.content))
        return
    write(b"M 100644 inline " + quoted + b"\n")
    if isinstance(content, bytes):
        write(_data(content))
        return
    file, size = content
    try:
        source = file.open("rb")
    except FileNotFoundError:
        raise FileChangedError(f"{file} is gone") from None
    with source:
        left = os.fstat(source.fileno()).st_size if size is None else size
        write(b"data %d\n" % left)
        while left and (piece := source.read(min(left, 1 << 20))):
            write(piece)
            left -= len(piece)
        if left:
            raise FileChangedError(f"{file} became shorter while it was read")
        write(b"\n")


_SIGNING_TIMEOUT = 60.0  # seconds: an agent that asks somebody who is not there would stop the run from ending


def _sign(
    repo: Repository,
    ref: str,
    unsigned_ref: str,
    unsigned: str,
    old: str | None,
    parents: Sequence[str],
    message: str,
    by: tuple[Identity, Identity, str],
) -> str:
    author, committer, when = by
    environment = {
        "GIT_AUTHOR_NAME": author.name,
        "GIT_AUTHOR_EMAIL": author.email,
        "GIT_AUTHOR_DATE": when,
        "GIT_COMMITTER_NAME": committer.name,
        "GIT_COMMITTER_EMAIL": committer.email,
        "GIT_COMMITTER_DATE": when,
    }
    tree = ["commit-tree", "-S", f"{unsigned}^{{tree}}", *(part for parent in parents for part in ("-p", parent))]
    command = [f"--git-dir={repo.common_dir}", *tree]
    try:
        code, out, err = call(command, repo.common_dir, message.encode(), environment, _SIGNING_TIMEOUT)
    except GitError as error:
        code, out, err = -1, b"", error.message
    if code:
        drop_ref(repo, unsigned_ref)
        raise GitError(
            f"the commit could not be signed: {one_line(err)}",
            "commit.gpgSign is set: check user.signingKey and your agent",
        )
    signed = out.decode().strip()
    update = f"start\nupdate {ref} {signed} {old or '0' * len(signed)}\ndelete {unsigned_ref}\nprepare\ncommit\n"
    try:
        run(repo, "update-ref", "--stdin", stdin=update.encode())
    except GitError as error:
        drop_ref(repo, unsigned_ref)
        raise RefMovedError(error.message) from None
    return signed
