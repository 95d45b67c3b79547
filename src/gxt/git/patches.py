"""What commits have as their code, and what they change in it, whatever they are called: trees and patch ids."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from gxt.errors import GitError
from gxt.git.process import ask, git_error, run, scratch, start
from gxt.git.refs import list_refs, resolve, resolve_here
from gxt.git.repository import Repository


class CodeCommit(NamedTuple):
    """A commit and its code: `tree` is the same id wherever the files are the same; `time` is when it was written, in
    milliseconds since 1970 UTC."""

    id: str
    tree: str
    parents: list[str]
    author: str
    time: int
    subject: str


_FORMAT = "--format=%H %T %at %P%n%an%n%s"


def walk(repo: Repository, revisions: Sequence[str], limit: int | None = None) -> list[CodeCommit]:
    """The commits that some revisions lead to (`main`, `A..B`, `^A`), the latest first, at most so many.

    HEAD is this work tree's.

    Raises:
        GitError: git does not understand a revision.
    """
    options = ["-z", "--topo-order", "--no-show-signature", "--encoding=UTF-8", "--end-of-options"]
    options[:0] = [f"--max-count={limit}"] if limit is not None else []
    args = ["log", _FORMAT, *options, *revisions, "--"]
    code, out, err = ask(repo.git_dir, *args)
    if code:
        raise git_error(args, err)
    return _code_commits(out)


def unseen(repo: Repository, commits: Sequence[str]) -> list[str]:
    """Those of some commits that no branch, tag or HEAD leads to, or that are not here."""
    known = resolve(repo, commits)
    here = [commit for commit, found in zip(commits, known, strict=True) if found is not None]
    if not here:
        return list(commits)
    asked = "".join(f"{commit}\n" for commit in here).encode()
    (head,) = resolve_here(repo, ["HEAD"])
    lead = ["--not", "--branches", "--tags", "--remotes", *([head] if head else [])]
    found = run(repo, "rev-list", "--stdin", *lead, stdin=asked).decode().split()
    seen = set(here).difference(found)
    return [commit for commit in commits if commit not in seen]


def code_of(repo: Repository, commits: Iterable[str]) -> dict[str, CodeCommit]:
    """Those of some commits that are here."""
    asked = list(dict.fromkeys(commits))
    if not asked:
        return {}
    found = run(
        repo, "cat-file", "--batch-check=%(objectname) %(objecttype)", stdin="".join(f"{c}\n" for c in asked).encode()
    )
    here = [line.split(b" ")[0].decode() for line in found.splitlines() if line.endswith(b" commit")]
    if not here:
        return {}
    options = ["-z", "--no-walk=unsorted", "--no-show-signature", "--encoding=UTF-8", "--stdin"]
    out = run(repo, "log", _FORMAT, *options, stdin="".join(f"{commit}\n" for commit in here).encode())
    return {commit.id: commit for commit in _code_commits(out)}


def _code_commits(out: bytes) -> list[CodeCommit]:
    commits = []
    for entry in out.decode("utf-8", "replace").split("\0"):
        if entry:
            ids, author, subject = entry.split("\n", 2)
            oid, tree, seconds, *parents = ids.split()
            commits.append(CodeCommit(oid, tree, parents, author, int(seconds) * 1000, subject.strip()))
    return commits


def is_branch(repo: Repository, name: str) -> bool:
    """Whether a name is that of a branch, here or as it is known of a remote."""
    return any(name_ref in list_refs(repo, name_ref) for name_ref in (f"refs/heads/{name}", f"refs/remotes/{name}"))


# A patch id is to depend on the commit alone, and on nobody's configuration.
_PATCH = ["diff-tree", "--stdin", "-p", "-r", "--root", "--no-renames", "--full-index", "--no-ext-diff"]
_PATCH += ["--no-textconv", "--no-color", "--diff-algorithm=myers", "-U3"]
_PATCH += ["--src-prefix=a/", "--dst-prefix=b/"]


def patch_ids(repo: Repository, commits: Sequence[str]) -> dict[str, str]:
    """What each commit changes in its parent, as an id that does not depend on where in history it does so.

    A merge, and a commit that changes no line, has none. See git-patch-id(1).
    """
    return _ids(repo, "".join(f"{commit}\n" for commit in commits))


def patch_ids_of_pairs(repo: Repository, pairs: Mapping[str, str]) -> dict[str, str]:
    """The same for all that changes from one commit to another, by the later one: later to earlier."""
    # git takes what follows a commit for its parents.
    return _ids(repo, "".join(f"{later} {earlier}\n" for later, earlier in pairs.items()))


def _ids(repo: Repository, asked: str) -> dict[str, str]:
    if not asked:
        return {}
    where = [f"--git-dir={repo.common_dir}"]
    with scratch() as wanted, scratch() as words:
        wanted.write(asked.encode())
        wanted.seek(0)
        with start([*where, *_PATCH], repo.common_dir, wanted, stderr=words) as patches:
            ids = start(
                [*where, "patch-id", "--stable"], repo.common_dir, patches.stdout or subprocess.DEVNULL, stderr=words
            )
            assert patches.stdout is not None
            patches.stdout.close()  # it is the other's now
            with ids:
                out, _ = ids.communicate()
        words.seek(0)
        err = words.read().decode("utf-8", "replace").strip()
    if patches.returncode or ids.returncode:
        raise git_error(_PATCH, err) if err else GitError("git patch-id failed")
    pairs = (line.split() for line in out.decode().splitlines())
    return {commit: patch for patch, commit in pairs}
