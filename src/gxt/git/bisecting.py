"""`git bisect` in a linked work tree, whose state git keeps apart from that of all others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gxt.errors import GitError
from gxt.git.process import call, git_error, one_line, run
from gxt.git.repository import Repository
from gxt.git.worktrees import OPTIONS, check_out_by, gitlinks

_FOUND = re.compile(r"^# first bad commit: \[([0-9a-f]+)\]", re.MULTILINE)
_POSSIBLE = re.compile(r"^# possible first bad commit: \[([0-9a-f]+)\]", re.MULTILINE)
_ONLY_SKIPPED_LEFT, _BAD_BASE = 2, 3


class Bisection(NamedTuple):
    """How far a bisection has come.

    Attributes:
        next: the commit to test; None at the end.
        first_bad: the commit that was looked for, once it is found.
        possible: where only commits are left that could not be tested: those that it may be.
        steps: how many more tests there are about.
    """

    next: str | None
    first_bad: str | None = None
    possible: Sequence[str] = ()
    steps: int | None = None


def bisect_start(folder: Path, bad: str, good: str) -> Bisection:
    """Begin to look for the first bad commit, in a linked work tree. Nothing is checked out.

    Raises:
        GitError: the two do not belong together.
    """
    return _bisect(folder, "start", "--no-checkout", bad, good)


def bisect_mark(folder: Path, how: str, commit: str) -> Bisection:
    """Say of a commit that it is "good" or "bad", or cannot be tested: "skip".

    Raises:
        GitError: that cannot be, since a good commit is a descendant of a bad one.
    """
    return _bisect(folder, how, commit)


def _bisect(folder: Path, *args: str) -> Bisection:
    code, out, err = call([*OPTIONS, "bisect", *args], folder)
    words = out.decode("utf-8", "replace")
    if code == _BAD_BASE:
        raise GitError(f"git bisect: {one_line((err or words).strip())}")
    if code not in (0, _ONLY_SKIPPED_LEFT):
        raise git_error(["bisect"], err or words)
    _, log, _ = call([*OPTIONS, "bisect", "log"], folder)
    said = log.decode("utf-8", "replace")
    if found := _FOUND.search(said):
        return Bisection(None, found[1])
    if code == _ONLY_SKIPPED_LEFT:
        return Bisection(None, possible=_POSSIBLE.findall(said))
    code, at, err = call(["rev-parse", "--verify", "BISECT_HEAD"], folder)
    if code:
        raise git_error(["bisect"], err)
    steps = re.search(r"roughly (\d+) step", words)
    return Bisection(at.decode().strip(), steps=int(steps[1]) + 1 if steps else None)


def halving(repo: Repository, bad: str, good: Sequence[str]) -> list[str]:
    """The commits that a bad one leads to and good ones do not, that which halves them best first, without the bad."""
    out = run(repo, "rev-list", "--bisect-all", bad, *(f"^{commit}" for commit in good)).decode()
    return [commit for line in out.splitlines() if (commit := line.split(" ", 1)[0]) != bad]


def check_out(folder: Path, commit: str, settings: Mapping[str, str]) -> None:
    """Have a linked work tree hold a commit's files and nothing else.

    Raises:
        GitError: git cannot write them.
    """
    check_out_by(OPTIONS, ["checkout", "-q", "--force", "--detach", commit], folder, settings)
    _clean(folder)
    tracked = call(["ls-tree", "-r", "-z", commit], folder)[1]
    for path in gitlinks(tracked):  # `foreach` at the top fails of one that .gitmodules does not name
        if (folder / path / ".git").exists():
            _succeed(folder / path, "reset", "-q", "--hard")
            _clean(folder / path)
            again = "git reset -q --hard && git clean -q -ffdx"
            _succeed(folder / path, "submodule", "--quiet", "foreach", "--recursive", again)


def _clean(folder: Path) -> None:
    """Take away what the last test left: stale bytecode, outputs."""
    _succeed(folder, "clean", "-q", "-ffdx")


def _succeed(folder: Path, *args: str) -> None:
    code, _, err = call([*OPTIONS, *args], folder)
    if code:
        raise git_error(args, err)
