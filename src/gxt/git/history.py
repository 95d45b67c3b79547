"""Questions about commits: which lead to which, what each changed, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gxt.git.objects import read_batch
from gxt.git.process import ask, git_error, run
from gxt.git.repository import Repository
from gxt.git.settings import Identity


class CommitAt(NamedTuple):
    """The commit that a revision names, and its parents."""

    id: str
    parents: list[str]


def commits_at(repo: Repository, revisions: Sequence[str]) -> list[CommitAt | None]:
    """As `resolve`, with each commit's parents, since most often these tell already what goes on from what."""
    found = read_batch(repo, [f"{revision}^{{commit}}" for revision in revisions])
    return [CommitAt(commit.oid, _parents(commit.content)) if commit else None for commit in found]


def _parents(commit: bytes) -> list[str]:
    head = commit.partition(b"\n\n")[0].decode("ascii", "replace")
    return [line.removeprefix("parent ") for line in head.split("\n") if line.startswith("parent ")]


def goes_on_from(repo: Repository, later: CommitAt, commit: str) -> bool:
    """Whether a commit is another or has it in its history."""
    return commit in later.parents or is_ancestor(repo, commit, later.id)


def merge_bases(repo: Repository, one: str, other: str) -> list[str]:
    """The commits that two histories have in common last: none, one, or several where they crossed."""
    code, out, err = ask(repo.common_dir, "merge-base", "--all", one, other)
    if code not in (0, 1):
        raise git_error(["merge-base"], err)
    return out.decode().split()


def is_ancestor(repo: Repository, one: str, other: str) -> bool:
    """Whether `other` has `one` in its history; False also where `one` is not there any more."""
    return one == other or ask(repo.common_dir, "merge-base", "--is-ancestor", one, other)[0] == 0


def commits_that_change(repo: Repository, lack: str | None, have: str, paths: Sequence[str]) -> list[str]:
    """The commits that `have` contains and `lack` does not, in which something at one of some paths is another than
    before."""
    asked = [have, *([f"^{lack}"] if lack else [])]
    found: dict[str, None] = {}
    for start in range(0, len(paths), _MOST_PATHS):
        out = run(
            repo, "rev-list", "--full-history", *asked, "--", *(f":(literal){p}" for p in paths[start:][:_MOST_PATHS])
        )
        found |= dict.fromkeys(out.decode().split())
    return list(found)


def count_commits(repo: Repository, have: str, lack: str | None = None) -> int:
    """How many commits `have` contains that `lack` does not."""
    return int(run(repo, "rev-list", "--count", f"{lack}..{have}" if lack else have))


def commit_before(repo: Repository, commit: str, seconds: int) -> str | None:
    """The last commit not made after a time (seconds since 1970 UTC), on the history of a commit's first parents."""
    return run(repo, "rev-list", "-1", "--first-parent", f"--min-age={seconds}", commit).decode().strip() or None


def unpushed(repo: Repository, commits: Sequence[str]) -> set[str]:
    """Those of some commits that no remote-tracking branch has in its history."""
    if not commits:
        return set()
    asked = "".join(f"{commit}\n" for commit in commits).encode()
    found = run(repo, "rev-list", "--stdin", "--not", "--remotes", stdin=asked).decode().split()
    return set(commits).intersection(found)


class Commit(NamedTuple):
    """A commit as a log shows it; `time` is the author's, in milliseconds since 1970 UTC."""

    id: str
    author: str
    time: int
    subject: str


def commits_between(repo: Repository, lack: str, have: str, limit: int) -> list[Commit]:
    """The commits that `have` contains and `lack` does not, the latest first, at most so many."""
    form = ["-z", "--no-show-signature", f"--max-count={limit}", "--format=%H%n%an%n%at%n%s"]
    out = run(repo, "log", *form, f"{lack}..{have}", "--")
    commits = []
    for entry in out.decode("utf-8", "replace").split("\0"):
        if entry:
            oid, author, seconds, subject = entry.split("\n", 3)
            commits.append(Commit(oid, author, int(seconds) * 1000, subject.strip()))
    return commits


class LogEntry(NamedTuple):
    """A commit with all that its message says.

    Attributes:
        time: when it was committed, in milliseconds since 1970 UTC.
        parents: how many it has.
        body: the message without the subject.
        trailers: those at the end of the message, in their order: name and value.
    """

    id: str
    author: Identity
    time: int
    parents: int
    subject: str
    body: str
    trailers: list[tuple[str, str]]


_LOG_FORMAT = "%H%n%an%n%ae%n%ct%n%P%n%s%n%(trailers:only=true,unfold=true,separator=%x1f)%n%b"


def log(
    repo: Repository,
    commit: str,
    *,
    since: int | None = None,
    until: int | None = None,
    paths: Sequence[str] = (),
    limit: int | None = None,
) -> list[LogEntry]:
    """The history of a commit, the latest first: of a time (seconds since 1970 UTC, both ends in it), of some paths."""
    options = ["-z", "--no-show-signature", "--encoding=UTF-8", "--full-history", f"--format={_LOG_FORMAT}"]
    options += [f"--max-age={since}"] if since is not None else []
    options += [f"--min-age={until}"] if until is not None else []
    options += [f"--max-count={limit}"] if limit is not None else []
    out = run(repo, "log", *options, commit, "--", *(f":(literal){path}" for path in paths))
    entries = []
    for text in out.decode("utf-8", "replace").split("\0"):
        if text:
            oid, name, email, seconds, parents, subject, trailers, body = text.split("\n", 7)
            pairs = (line.partition(": ") for line in trailers.split("\x1f") if line)
            entries.append(
                LogEntry(
                    oid,
                    Identity(name, email),
                    int(seconds) * 1000,
                    len(parents.split()),
                    subject,
                    body,
                    [(key, value) for key, _, value in pairs],
                )
            )
    return entries


class FileChange(NamedTuple):
    """A file that two commits have differently.

    Attributes:
        added, removed: lines, None for a binary file.
        kind: "new", "deleted", "renamed", "mode" (the content is the same), or "changed".
        was: what it was called before, where it was renamed.
    """

    path: str
    added: int | None
    removed: int | None
    kind: str = "changed"
    was: str | None = None


# Whatever a user's configuration says of renames; among more files than these, only whole ones are recognised.
_RENAMES = ["-M", "-l400"]


def changed_files(repo: Repository, one: str, other: str) -> list[FileChange]:
    """What changes from one commit's tree to another's, by path."""
    form = ["-r", "-z", "--raw", "--numstat", "--no-ext-diff", "--no-textconv"]
    out = run(repo, "diff-tree", *form, *_RENAMES, one, other)
    fields = iter(out.decode("utf-8", "replace").split("\0")[:-1])
    kinds: list[str] = []
    changes: list[FileChange] = []
    for field in fields:  # all files with their modes and objects, then all with their lines
        if field.startswith(":"):
            kinds.append(_kind(field[1:].split(" ")))
            for _ in range(2 if field.split(" ")[-1][0] in "RC" else 1):
                next(fields)
            continue
        added, removed, path = field.split("\t", 2)
        was = None if path else next(fields)
        lines = [int(n) if n.isdigit() else None for n in (added, removed)]
        changes.append(FileChange(path or next(fields), lines[0], lines[1], kinds[len(changes)], was))
    return changes


def _kind(about: Sequence[str]) -> str:
    old_mode, new_mode, old, new, letter = about
    if letter == "M" and old == new and old_mode != new_mode:
        return "mode"
    return {"A": "new", "D": "deleted", "R": "renamed"}.get(letter[0], "changed")


class Step(NamedTuple):
    """A commit that only one of two histories has.

    Attributes:
        ours: whether it is in the first of the two.
        time: when it was written, in seconds since 1970 UTC.
        trailers: those of its message: name and value.
    """

    commit: str
    ours: bool
    parents: list[str]
    time: int
    trailers: list[tuple[str, str]]


def steps_apart(repo: Repository, ours: str, theirs: str) -> list[Step]:
    """The commits that only one of two histories has, the latest first."""
    form = "--format=%m %H %P%n%at%n%(trailers:only=true,unfold=true,separator=%x1f)"
    out = run(repo, "log", "-z", "--no-show-signature", "--encoding=UTF-8", "--left-right", form, f"{ours}...{theirs}")
    steps = []
    for text in out.decode("utf-8", "replace").split("\0"):
        if text.strip():
            commits, time_, trailers = text.split("\n", 2)
            side, commit, *parents = commits.split()
            pairs = (line.strip().partition(": ") for line in trailers.split("\x1f") if line.strip())
            steps.append(Step(commit, side == "<", parents, int(time_), [(key, value) for key, _, value in pairs]))
    return steps


def ages(repo: Repository, commits: Sequence[str]) -> dict[str, tuple[int, int]]:
    """For every commit in these histories, two numbers, compared in turn, of which a descendant's are always greater.

    They are the latest time in its history, and how long the longest line of its ancestors is: so who wrote later is
    later, and nobody's wrong clock puts an edit before what it was an edit of.
    """
    out = run(repo, "log", "--topo-order", "--reverse", "--no-show-signature", "--format=%at %H %P", *commits, "--")
    found: dict[str, tuple[int, int]] = {}
    for line in out.decode().splitlines():
        time_, commit, *parents = line.split(" ")
        known = [found[parent] for parent in parents if parent in found]
        latest = max((when for when, _ in known), default=0)
        found[commit] = (max(int(time_), latest), 1 + max((length for _, length in known), default=0))
    return found


class FileEdit(NamedTuple):
    """What a commit makes of a file: its object ids in the commit's parents, None where it is not there, and in it."""

    commit: str
    path: str
    before: list[str | None]
    after: str | None


def edits_apart(repo: Repository, ours: str, theirs: str, paths: Sequence[str]) -> list[FileEdit]:
    """What the commits that only one of two histories has changed in these files and folders, the latest first.

    Of a merge, only the files that it has otherwise than all of its parents.
    """
    asked = "\n".join([f"{ours}...{theirs}", "--", *paths]) + "\n"
    names = asked.encode("utf-8", "surrogateescape")
    commits = run(repo, "--literal-pathspecs", "rev-list", "--full-history", "--stdin", stdin=names)
    if not commits:
        return []
    form = ["--stdin", "-r", "-c", "--raw", "--root", "--no-renames", "--no-abbrev", "-z"]
    below = ["--", *paths] if len(paths) <= _MOST_PATHS else []
    out = run(repo, "--literal-pathspecs", "diff-tree", *form, *below, stdin=commits)
    edits, commit = [], ""
    fields = iter(out.decode("utf-8", "surrogateescape").split("\0")[:-1])
    for field in fields:
        if not field.startswith(":"):
            commit = field
            continue
        count = len(field) - len(field.lstrip(":"))
        parts = field[count:].split(" ")
        oids = [oid if set(oid) != {"0"} else None for oid in parts[count + 1 : 2 * count + 2]]
        edits.append(FileEdit(commit, next(fields), oids[:-1], oids[-1]))
    return edits


_MOST_PATHS = 200  # on a command line; beyond, git names more than was asked for


def changed_paths(repo: Repository, old: str, new: str, below: str | None = None) -> list[tuple[str, str]]:
    """The files that two commits or trees differ in, everywhere or in a folder, each with A where it was added, D
    deleted, else M."""
    inside = [below] if below is not None else []
    out = run(repo, "diff-tree", "-r", "-z", "--name-status", "--no-renames", old, new, "--", *inside)
    fields = out.decode("utf-8", "surrogateescape").split("\0")[:-1]
    return list(zip(fields[::2], fields[1::2], strict=True))


def not_reached(repo: Repository, commits: Sequence[str], refs: Sequence[str]) -> list[str]:
    """Those of some commits that are here and that none of some refs or commits leads to."""
    if not commits:
        return []
    asked = "".join(f"{commit}\n" for commit in commits) + "".join(f"^{ref}\n" for ref in refs)
    # Nothing is walked where there is nothing to stop at.
    walk = [] if refs else ["--no-walk=unsorted"]
    out = run(repo, "rev-list", "--ignore-missing", *walk, "--stdin", stdin=asked.encode())
    found = set(out.decode().split())
    return [commit for commit in commits if commit in found]


def find_text(repo: Repository, commits: Sequence[str], text: str, paths: str) -> set[str]:
    """What fits an extended regular expression in files of some commits, of those whose paths fit a pattern."""
    found: set[str] = set()
    for first in range(0, len(commits), 200):
        some = commits[first : first + 200]
        options = ["-h", "-o", "-a", "-E", "--no-color", "-e", text]
        code, out, err = ask(repo.common_dir, "grep", *options, *some, "--", f":(top,glob){paths}")
        if code > 1:
            raise git_error(["grep"], err)
        found.update(out.decode("utf-8", "replace").splitlines())
    return found
