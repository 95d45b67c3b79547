"""Fetching from remotes and pushing to them, with what they say meanwhile and when they stay silent."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import IO, NamedTuple

from gxt.errors import GitError
from gxt.git.process import run, start
from gxt.git.refs import drop_ref, tracking_ref
from gxt.git.repository import Repository, Talk, to_origin

_WORD_AFTER = 10.0  # seconds of silence before somebody is told


class Pushed(NamedTuple):
    """What a remote said to a push.

    Attributes:
        landed: whether it took it, or had it.
        had: whether it had it.
        moved: whether somebody else was faster.
        stumbled: whether it could not store it, as a `git gc` at the same moment can make happen.
        words: its words.
        refused: of the refs that were sent along, those that it did not take, with its words.
        new: those of them that it did not have.
    """

    landed: bool
    had: bool
    moved: bool
    stumbled: bool
    words: str
    refused: Mapping[str, str] = MappingProxyType({})
    new: Sequence[str] = ()


# Nothing but what is asked for: no tags, no submodules, no FETCH_HEAD in the user's way.
# Without --refmap, git would also move what the remote's own configuration names: in a mirror, our branches themselves.
FETCH = (
    "fetch",
    "--refmap=",
    "--progress",
    "--no-tags",
    "--no-prune",
    "--recurse-submodules=no",
    "--no-write-fetch-head",
)
# As a pack, like what is committed: loose objects would be in the way of a repacking in the background, and it in
# theirs.
FETCH_PACK = ("-c", "fetch.unpackLimit=1", *FETCH, "--no-auto-maintenance")


def fetch(repo: Repository, remote: str, branch: str, talk: Talk) -> bool:
    """Bring a remote's branch here, and the ref that remembers it; False where the remote has none.

    Raises:
        GitError: the remote cannot be reached, refuses, or does not answer.
    """
    tracking = tracking_ref(remote, branch)
    code, _, err = talk_to(repo, [*FETCH_PACK, remote, f"+refs/heads/{branch}:{tracking}"], talk)
    if code and "couldn't find remote ref" in err:
        drop_ref(repo, tracking)
        return False
    if code:
        raise remote_error(remote, err)
    return True


def fetch_ref(repo: Repository, remote: str, source: str, target: str, talk: Talk) -> bool:
    """Bring a ref of a remote here, or a commit by its id; False where the remote has none, or gives out no such thing.

    Raises:
        GitError: the remote cannot be reached, or does not answer.
    """
    code, _, err = talk_to(repo, [*FETCH_PACK, remote, f"{source}:{target}"], talk)
    if code and not any(sign in err for sign in _NOT_THERE):
        raise remote_error(remote, err)
    return code == 0


def fetch_refs(repo: Repository, remote: str, refs: Sequence[str], talk: Talk) -> None:
    """Bring refs that a remote has, each to where it is there.

    Raises:
        GitError: it has one no more, cannot be reached, or does not answer.
    """
    code, _, err = talk_to(repo, [*FETCH_PACK, remote, *(f"{ref}:{ref}" for ref in refs)], talk)
    if code:
        raise remote_error(remote, err)


_NOT_THERE = ("couldn't find remote ref", "not our ref", "unadvertised object", "did not send all necessary objects")


def push(
    repo: Repository,
    remote: str,
    branch: str,
    commit: str,
    expected: str | None,
    talk: Talk,
    settings: Mapping[str, str],
    along: Sequence[str] = (),
) -> Pushed:
    """Move a remote's branch from one commit to another that descends from it; None for a branch that is not there.

    `along` are refspecs of what never moves there; they go first.

    Raises:
        GitError: the remote cannot be reached, or does not answer.
    """
    ref = f"refs/heads/{branch}"
    options = ["--porcelain", "--progress", "--no-follow-tags", "--recurse-submodules=no"]
    options.append(f"--force-with-lease={ref}:{expected or ''}")
    refs = [*along, f"{commit}:{ref}"]
    code, out, err = talk_to(repo, ["-c", f"remote.{remote}.mirror=false", "push", *options, remote, *refs], talk)
    reports = _reports(out)
    report = next((line for line in reports if f":{ref}\t" in line), "")
    refused, new = _along([line for line in reports if line != report])
    if report and not report.startswith("!") and (code == 0 or refused):
        tracking = tracking_ref(remote, branch)
        if (
            settings.get(f"remote.{remote}.fetch") != f"+refs/heads/*:{tracking_ref(remote, '*')}"
        ):  # else git has done it
            with contextlib.suppress(GitError):
                run(repo, "update-ref", tracking, commit)
        return Pushed(True, report.startswith("="), False, False, "", refused, new)
    if not report:
        raise remote_error(remote, err)
    words = report.rpartition("\t")[2]
    moved = any(sign in words for sign in _FASTER)
    return Pushed(False, False, moved, "unpacker error" in words, "\n".join([words, *_remote_words(err)]))


def _reports(out: str) -> list[str]:
    return [line for line in out.splitlines() if line[1:2] == "\t"]


def _along(reports: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The refs that a remote did not take, with its words, and those that it did not have."""
    split = [(line[0], line.split("\t")[1].partition(":")[2], line.rpartition("\t")[2]) for line in reports]
    return {ref: words for flag, ref, words in split if flag == "!"}, [ref for flag, ref, _ in split if flag == "*"]


def push_refs(repo: Repository, remote: str, refs: Sequence[str], talk: Talk) -> Pushed:
    """Send refs that never move, by refspecs; what the remote does not take is in `refused`.

    Raises:
        GitError: the remote cannot be reached, or does not answer.
    """
    options = ["--porcelain", "--progress", "--no-follow-tags", "--recurse-submodules=no"]
    code, out, err = talk_to(repo, ["-c", f"remote.{remote}.mirror=false", "push", *options, remote, *refs], talk)
    refused, new = _along(_reports(out))
    if code and not refused:
        raise remote_error(remote, err)
    return Pushed(not refused, not new, False, False, "", refused, new)


def delete_remote_refs(repo: Repository, remote: str, refs: Mapping[str, str], talk: Talk) -> None:
    """Take refs off a remote where they are at these commits.

    Raises:
        GitError: one is not, the remote refuses, cannot be reached, or does not answer.
    """
    options = ["--porcelain", "--progress", "--recurse-submodules=no"]
    options += [f"--force-with-lease={ref}:{commit}" for ref, commit in refs.items()]
    deleted = [f":{ref}" for ref in refs]
    code, out, err = talk_to(repo, ["-c", f"remote.{remote}.mirror=false", "push", *options, remote, *deleted], talk)
    refused, _ = _along(_reports(out))
    if refused:
        ref, words = next(iter(refused.items()))
        raise GitError(f"{remote} does not let {ref} be deleted: {'; '.join([words, *_remote_words(err)])[:400]}")
    if code:
        raise remote_error(remote, err)


# What a push comes back with when somebody else's has landed since, or is landing.
_FASTER = ("stale info", "fetch first", "non-fast-forward", "cannot lock ref", "failed to update ref", "incorrect old")


def _remote_words(err: str) -> list[str]:
    """What the remote's own hooks and programs said."""
    lines = [line.removeprefix("remote:").strip() for line in re.split(r"[\r\n]+", err) if line.startswith("remote:")]
    return [line for line in lines if line and not _PROGRESS.match(line)]


_PROGRESS = re.compile(r"(Enumerating|Counting|Compressing|Resolving|Unpacking|Total|Updating|Writing)\b.*\d")


def remote_error(remote: str, err: str) -> GitError:
    lines = [line.strip() for line in re.split(r"[\r\n]+", err) if line.strip()]
    said = [line for line in lines if line.startswith(("fatal:", "error:", "ssh:")) or "ermission denied" in line]
    said += _remote_words(err)
    words = (
        "; ".join(dict.fromkeys(line.removeprefix("fatal: ").removeprefix("error: ") for line in said)) or "no message"
    )
    hint = None
    if any(sign in err for sign in _NOT_ALLOWED):
        hint = f"git asks for what it needs in `git fetch {remote}`; see gitcredentials(7)"
    return GitError(f"{remote}: {words[:500]}", hint)


_NOT_ALLOWED = (
    "Authentication failed",
    "could not read Username",
    "could not read Password",
    "terminal prompts disabled",
    "error: 403",
    "Permission denied",
)


def talk_to(
    repo: Repository, args: Sequence[str], talk: Talk, stdin: IO[bytes] | None = None, partly: bool = True
) -> tuple[int, str, str]:
    """Run a command that talks to a remote; its output, and what it said."""
    # Where the user's own git would: a remote's path may be relative to the top of the work tree.
    where = repo.work_tree or repo.common_dir
    environment = ({} if talk.asks else {"GIT_TERMINAL_PROMPT": "0"}) | to_origin(repo, partly)
    source = subprocess.DEVNULL if stdin is None else stdin
    process = start([f"--git-dir={repo.git_dir}", *args], where, source, environment, asks=talk.asks)
    heard: queue.SimpleQueue[tuple[bool, bytes]] = queue.SimpleQueue()
    for stream, is_out in ((process.stdout, True), (process.stderr, False)):
        assert stream is not None
        threading.Thread(target=_listen, args=(stream, is_out, heard), daemon=True).start()
    out, err, shown = b"", b"", 0
    ended, silence, told = 0, 0.0, _WORD_AFTER
    try:
        while ended < 2:
            try:
                is_out, data = heard.get(timeout=min(1.0, talk.timeout or 1.0))
            except queue.Empty:
                silence += min(1.0, talk.timeout or 1.0)
                if process.poll() is not None and silence > 2:  # something that it left behind has its pipes
                    break
                if talk.timeout and silence >= talk.timeout:
                    raise GitError(
                        f"{repo.origin.name if repo.origin else args[-2]} has said nothing for {silence:.0f} seconds",
                        "`git config gxt.timeout SECONDS` waits longer; nothing is lost, try again",
                    ) from None
                if silence >= told:
                    talk.silent(silence)
                    told += _WORD_AFTER
                continue
            silence, told = 0.0, _WORD_AFTER
            if not data:
                ended += 1
            elif is_out:
                out += data
            else:
                err += data
                shown = _say(err, shown, talk)
        process.wait()
    finally:
        _end(process, own_group=not talk.asks)
    _say(err + b"\n" if err[shown:] else err, shown, talk)
    return process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


def _listen(stream: IO[bytes], is_out: bool, heard: queue.SimpleQueue[tuple[bool, bytes]]) -> None:
    with contextlib.suppress(OSError), stream:
        while data := os.read(stream.fileno(), 1 << 16):
            heard.put((is_out, data))
    heard.put((is_out, b""))


def _say(err: bytes, shown: int, talk: Talk) -> int:
    """Pass on whole lines, so that nothing that is to be masked in them comes in two pieces."""
    end = max(err.rfind(b"\n"), err.rfind(b"\r")) + 1
    if end > shown and talk.said is not None:
        talk.said(err[shown:end].decode("utf-8", "replace"))
    return max(end, shown)


def _end(process: subprocess.Popen[bytes], own_group: bool) -> None:
    """End a git that is still at work, and what it has started."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError):
            if own_group and hasattr(os, "killpg"):
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)


def delete_remote_branch(repo: Repository, remote: str, branch: str, commit: str, talk: Talk) -> None:
    """Take a branch off a remote where it is at a commit there.

    Raises:
        GitError: it is not, the remote refuses, cannot be reached, or does not answer.
    """
    ref = f"refs/heads/{branch}"
    options = ["--progress", "--recurse-submodules=no", f"--force-with-lease={ref}:{commit}"]
    code, _, err = talk_to(repo, ["-c", f"remote.{remote}.mirror=false", "push", *options, remote, f":{ref}"], talk)
    if code:
        raise remote_error(remote, err)
    drop_ref(repo, tracking_ref(remote, branch))
