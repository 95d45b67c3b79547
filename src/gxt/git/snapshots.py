"""A commit of what a work tree has that HEAD has not, without a trace in anybody's index, branches or files.

`write` puts what was chosen of it on top of HEAD: with an index of these files alone git reads them as `git add` would
(line ends, filters, modes), into objects of its own; `git fast-import` then makes the commit. So the time grows with
the changes, not with the tree.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from gxt.errors import GitError
from gxt.git.commits import FAST_IMPORT, Content, Node, fast_import
from gxt.git.process import call, git_error, one_line, run, scratch, start
from gxt.git.refs import drop_ref, list_refs
from gxt.git.repository import Repository
from gxt.git.status import OPTIONS, Change, Deadline, in_work_tree, read_work_tree

CODE = "refs/gxt/code/"
HOLD = "refs/gxt/hold/"

_SUBMODULE = "160000"


# --- the commit -------------------------------------------------------------------------------------------------------


class Written(NamedTuple):
    """A snapshot: its commit, HEAD itself where nothing differs; what could not be read, and why; and the commits of
    submodules that differ from HEAD's."""

    commit: str
    failed: Mapping[str, str]
    submodules: Mapping[str, str]


def write(
    repo: Repository, commit: str | None, changes: Sequence[Change], folder: Path, deadline: Deadline
) -> Written | None:
    """A commit with these changes on top of another, the same for the same files, kept by a ref of its own.

    No git configuration has a say in it but what says how files are read; it is not signed, and no hook runs.

    Args:
        commit: what the changes are relative to; None before the first commit.
        folder: for what is needed meanwhile; made here, and not removed.

    Returns:
        None where there is nothing at all.

    Raises:
        GitError: git does not take it, or takes too long.
    """
    if not changes:
        if commit is not None:
            keep(repo, commit)
        return Written(commit, {}, {}) if commit is not None else None
    hold = f"{HOLD}{int(time.time())}-{os.urandom(4).hex()}"
    try:
        if commit is not None:  # an amend and a `git gc` at this very moment would take its objects away
            _update_refs(repo, f"create {hold} {commit}\n")
        for attempt in range(_TRIES):
            try:
                return _write(repo, hold, commit, changes, folder / str(attempt), deadline, attempt > 0)
            except GitError:
                # A `git gc` at the same moment gets in the way; and it may take what was staged and is no more.
                if attempt == _TRIES - 1 or deadline.is_over:
                    raise
                changes = [change._replace(is_as_staged=change.mode is None) for change in changes]
    finally:
        drop_hold(repo, hold)
    raise AssertionError("unreachable")


_TRIES = 4


def _write(
    repo: Repository,
    hold: str,
    commit: str | None,
    changes: Sequence[Change],
    folder: Path,
    deadline: Deadline,
    is_again: bool,
) -> Written | None:
    (folder / "objects").mkdir(parents=True)
    own = own_objects(repo, folder)
    nodes, failed = _read_files(repo, changes, own, deadline)
    wanted = {change.path: nodes.get(change.path) for change in changes if change.path not in failed}
    heads = {change.path: change.head for change in changes if change.head is not None}
    wanted = {path: node for path, node in wanted.items() if node != heads.get(path)}
    submodules = {path: node[1] for path, node in wanted.items() if node is not None and node[0] == _SUBMODULE}
    if not wanted:
        if commit is None:
            return None
        keep(repo, commit)
        return Written(commit, failed, {})
    made = _commit(repo, hold, commit, wanted, own, is_again)
    keep(repo, made, f"delete {hold} {made}\n")
    return Written(made, failed, submodules)


def own_objects(repo: Repository, folder: Path) -> dict[str, str]:
    """What has git put objects into a folder of ours, where nobody prunes them."""
    theirs = str(repo.common_dir / "objects")
    if os.pathsep in theirs or theirs.startswith('"'):
        theirs = '"' + theirs.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return {
        "GIT_INDEX_FILE": str(folder / "few"),
        "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": theirs,
    }


_MOST_FAILURES = 20


def _read_files(
    repo: Repository, changes: Sequence[Change], own: Mapping[str, str], deadline: Deadline
) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """The modes and object ids of the files, as `git add` reads them; and those that it cannot read, with why."""
    # What the index has says how line ends are read, and the mode where the file system has none.
    known = [(change.path, change.staged) for change in changes if change.staged is not None]
    if known:
        lines = [f"{mode} {oid}\t{path}".encode("utf-8", "surrogateescape") for path, (mode, oid) in known]
        stdin = b"".join(line + b"\0" for line in lines)
        code, _, err = call(in_work_tree(repo, "update-index", "-z", "--index-info"), repo.work_tree, stdin, own)
        if code:
            raise git_error(["update-index"], err)
    paths = [change.path for change in changes if not change.is_as_staged]
    failed: dict[str, str] = {}
    while paths:
        stdin = b"".join(os.fsencode(path) + b"\0" for path in paths)
        options = ["--add", "--remove", "--replace", "-z", "--stdin"]
        code, _, err = read_work_tree(repo, deadline, "update-index", *options, stdin=stdin, environment=own)
        if not code:
            break
        # One that git cannot read stops it before it has written anything.
        path = max((path for path in paths if path in err), key=len, default=None)
        if path is None or len(failed) >= _MOST_FAILURES:
            raise git_error(["update-index"], err)
        failed[path] = _why(err, path)
        paths.remove(path)
    code, out, err = call(in_work_tree(repo, "ls-files", "-s", "-z"), repo.work_tree, environment=own)
    if code:
        raise git_error(["ls-files"], err)
    nodes = {}
    for line in os.fsdecode(out).split("\0")[:-1]:
        about, _, path = line.partition("\t")
        mode, oid, _ = about.split(" ")
        nodes[path] = (mode, oid)
    return nodes, failed


def _why(err: str, path: str) -> str:
    """What git says of a file that it cannot read, without the file's name and its own last words."""
    lines = [line.partition(": ")[2] for line in err.splitlines() if line.startswith(("error: ", "fatal: "))]
    said = [line for line in lines if not line.startswith("Unable to process path")]
    return one_line((said or lines or ["git cannot read it"])[0].removeprefix(f"{path}: "))


SNAPSHOT_AUTHOR = "gxt <gxt@localhost>"
_MESSAGE = "The code as it ran, uncommitted changes included\n"


def _commit(
    repo: Repository,
    ref: str,
    parent: str | None,
    wanted: Mapping[str, tuple[str, str] | None],
    own: Mapping[str, str],
    is_again: bool,
) -> str:
    gone = sorted(path for path, node in wanted.items() if node is None)
    there = sorted((path, node) for path, node in wanted.items() if node is not None)
    asked = [*([parent] if parent else []), *(oid for _, (mode, oid) in there if mode != _SUBMODULE)]
    with scratch() as source, scratch() as words:
        source.write("".join(f"{oid}\n" for oid in asked).encode())
        source.seek(0)
        reader = start([f"--git-dir={repo.common_dir}", "cat-file", "--batch"], repo.common_dir, source, own, words)
        with reader:
            assert reader.stdout
            try:
                when = _date(_next_object(reader.stdout)) if parent else 0
                # git names the pack by its objects, and one of that name may have been left by a try that was killed.
                script = f"blob\ndata 16\n{os.urandom(8).hex()}\n" if is_again else ""
                by = f"{SNAPSHOT_AUTHOR} {when} +0000"
                script += f"commit {ref}\nmark :1\nauthor {by}\ncommitter {by}\n"
                script += f"data {len(_MESSAGE)}\n{_MESSAGE}\n" + (f"from {parent}\n" if parent else "")
                command = [f"--git-dir={repo.common_dir}", *OPTIONS, *FAST_IMPORT]
                nodes = _nodes(gone, there, reader.stdout)
                return fast_import(repo, command, script.encode(), nodes, ref, parent)
            finally:
                reader.kill()


def _nodes(
    gone: Sequence[str], there: Sequence[tuple[str, tuple[str, str]]], contents: IO[bytes]
) -> Iterator[tuple[str, Content]]:
    for path in gone:  # first: a folder may have come where a file was
        yield path, None
    for path, (mode, oid) in there:
        yield path, Node(mode, oid if mode == _SUBMODULE else _next_object(contents))


def _next_object(stream: IO[bytes]) -> bytes:
    header = stream.readline()
    _, _, size = header.rpartition(b" ")
    if not size.strip().isdigit():
        raise GitError(f"an object of the snapshot is gone: {one_line(header.decode('utf-8', 'replace'))}")
    content = stream.read(int(size))
    stream.read(1)
    return content


def _date(commit: bytes) -> int:
    found = re.search(rb"^committer .*> (\d+) ", commit, re.MULTILINE)
    return int(found[1]) if found else 0


# --- the refs -----------------------------------------------------------------------------------------------------


def keep(repo: Repository, commit: str, also: str = "") -> None:
    """Have a ref keep a commit, with all that leads to it; `also` goes into the same transaction."""
    if not also and (repo.common_dir / CODE / commit).exists():
        return
    try:
        _update_refs(repo, f"update {CODE}{commit} {commit}\n{also}")
    except GitError:
        if not also:
            raise
        _update_refs(repo, f"update {CODE}{commit} {commit}\n")


def kept(repo: Repository) -> dict[str, float]:
    """The commits that are kept, and when each was last said to be: seconds since 1970, 0 of long ago."""
    found = {}
    for ref in list_refs(repo, CODE):
        found[ref.removeprefix(CODE)] = 0.0
        with contextlib.suppress(OSError):  # it is among the packed ones
            found[ref.removeprefix(CODE)] = (repo.common_dir / ref).stat().st_mtime
    return found


def let_go(repo: Repository, commits: Sequence[str]) -> None:
    """Keep these commits no more."""
    _update_refs(repo, "".join(f"delete {CODE}{commit} {commit}\n" for commit in commits))


_LONGEST_HOLD = 3600.0  # seconds


def drop_old_holds(repo: Repository) -> None:
    """Let go of what processes held that died while they made a snapshot."""
    for ref in list_refs(repo, HOLD):
        when = ref.removeprefix(HOLD).partition("-")[0]
        if not when.isdigit() or time.time() - int(when) > _LONGEST_HOLD:
            drop_ref(repo, ref)


def _update_refs(repo: Repository, lines: str) -> None:
    run(repo, *OPTIONS, "update-ref", "--stdin", stdin=lines.encode())


def drop_hold(repo: Repository, hold: str) -> None:
    """Let go of what was held while a snapshot was made, if it was."""
    with contextlib.suppress(GitError):
        if (repo.common_dir / hold).exists():
            drop_ref(repo, hold)


# --- the change as text ---------------------------------------------------------------------------------------------


class Patch(NamedTuple):
    """A change as text, and how many files were left out of it."""

    text: bytes
    left_out: int


_BEGINS = b"diff --git "
_PIECE = 1 << 16
_MOST_LEFT_OUT = 100


def patch(repo: Repository, old: str, new: str, limit: int) -> Patch:
    """What two commits or trees differ in, as text; of binary files, that they differ.

    At most `limit` bytes of it: then as many files as fit, in their order. Of the others, the first hundred have a
    line in their place, with what their part begins with and how long it would be.
    """
    options = ["-p", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv", "-M", "-l100"]
    with start([f"--git-dir={repo.common_dir}", *OPTIONS, "diff-tree", *options, old, new], repo.common_dir) as process:
        assert process.stdout and process.stderr
        kept = _Fitting(limit)
        begins = True
        while line := process.stdout.readline(_PIECE):
            kept.add(line, begins and line.startswith(_BEGINS))
            begins = line.endswith(b"\n")
        err = process.stderr.read().decode("utf-8", "replace")
    if process.returncode:
        raise git_error(["diff-tree"], err)
    return kept.patch()


class _Fitting:
    """The parts of a patch, a file each, of which the longest go where all are too long: so most files stay."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._total = 0
        self._parts: list[list[bytes]] = []
        self._sizes: list[int] = []
        self._longest: list[tuple[int, int]] = []  # a heap of those that are whole and kept: size, number; negative

    def add(self, line: bytes, begins_file: bool) -> None:
        if begins_file:
            self._end()
            self._parts.append([])
            self._sizes.append(0)
        self._sizes[-1] += len(line)
        if self._sizes[-1] <= self._limit or not self._parts[-1]:
            self._parts[-1].append(line)
        else:
            del self._parts[-1][1:]

    def _end(self) -> None:
        """The last part is whole."""
        if not self._parts or self._sizes[-1] > self._limit:
            return
        self._total += self._sizes[-1]
        heapq.heappush(self._longest, (-self._sizes[-1], 1 - len(self._parts)))
        while self._total > self._limit:
            size, number = heapq.heappop(self._longest)
            self._total += size
            del self._parts[-number][1:]

    def patch(self) -> Patch:
        self._end()
        kept = {-number for _, number in self._longest}
        texts: list[bytes] = []
        gone = 0
        for number, part in enumerate(self._parts):
            if number in kept:
                texts += part
                continue
            gone += 1
            if gone <= _MOST_LEFT_OUT:
                # One line, which `git apply` passes over.
                texts.append(b"Left out: %s (%d bytes)\n" % (part[0].rstrip(b"\n"), self._sizes[number]))
        return Patch(b"".join(texts), gone)
