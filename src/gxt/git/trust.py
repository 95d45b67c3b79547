"""Questions of trust: who changed what, what was seen before, what is whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from gxt.git.objects import TreeFile, blob_id, read_batch, read_objects
from gxt.git.process import ask, run
from gxt.git.refs import resolve
from gxt.git.remotes import remote_error, talk_to
from gxt.git.repository import Repository, Talk


class Changes(NamedTuple):
    """What changed in a folder: the commits, the latest first; and what was taken from it, by its path in the folder,
    with the latest commit that did."""

    commits: list[str]
    removed: dict[str, str]


def changes_by_folder(repo: Repository, commit: str, folders: Sequence[str] | None, depth: int) -> dict[str, Changes]:
    """What the commits of a history changed in folders so many levels deep, by the folder.

    Of a merge, only what it has otherwise than all of its parents. None for all folders.
    """
    below = ["--", *folders] if folders is not None else []
    commits = run(repo, "--literal-pathspecs", "rev-list", "--full-history", commit, *below)
    if not commits:
        return {}
    form = ["--stdin", "-r", "-c", "--root", "--name-status", "--no-renames", "-z"]
    out = run(repo, "--literal-pathspecs", "diff-tree", *form, *below, stdin=commits)
    known = set(commits.decode().split())
    found: dict[str, Changes] = {}
    at = ""
    fields = iter(out.decode("utf-8", "surrogateescape").split("\0")[:-1])
    for field in fields:
        if field in known:
            at = field
            continue
        path = next(fields)  # behind what became of it, a letter for each parent
        if len(parts := path.split("/", depth)) > depth:
            changes = found.setdefault("/".join(parts[:depth]), Changes([], {}))
            if changes.commits[-1:] != [at]:
                changes.commits.append(at)
            if not field.strip("D"):
                changes.removed.setdefault(parts[depth], at)
    return found


def beginnings(repo: Repository) -> set[str]:
    """The commits at which history was cut off when it was fetched."""
    try:
        return set((repo.common_dir / "shallow").read_text().split())
    except OSError:
        return set()


def last_change(repo: Repository, commit: str, path: str) -> str | None:
    """The last commit in a history that changed something at a path; None where none did, as far as it is here."""
    return run(repo, "--literal-pathspecs", "rev-list", "-1", commit, "--", path).decode().strip() or None


def subjects(repo: Repository, commits: Sequence[str]) -> dict[str, str]:
    """The first line of each commit's message; those that are not here are left out."""
    wanted = [commit for commit in commits if re.fullmatch(r"[0-9a-f]{40,64}", commit)]
    found = {}
    for commit, read in zip(wanted, read_batch(repo, wanted), strict=True):
        if read is not None and read.kind == "commit":
            found[commit] = read.content.partition(b"\n\n")[2].decode("utf-8", "replace").partition("\n")[0].strip()
    return found


def unreached(repo: Repository, commits: Sequence[str]) -> set[str]:
    """Those of some commits, all of them here, that no ref leads to."""
    if not commits:
        return set()
    asked = "".join(f"{commit}\n" for commit in commits).encode()
    found = run(repo, "rev-list", "--ignore-missing", "--stdin", "--not", "--all", stdin=asked).decode().split()
    return set(commits).intersection(found)


class Seen(NamedTuple):
    """Where a ref stood once: the commit, when (seconds since 1970 UTC), and what moved it there."""

    commit: str
    time: int
    words: str


def reflog(repo: Repository, ref: str) -> list[Seen]:
    """Where a ref has stood, the latest first; nothing where git keeps no log of it."""
    form = ["--format=%H%x00%gd%x00%gs", "--date=unix", "--no-show-signature"]
    code, out, _ = ask(repo.common_dir, "log", "-g", *form, ref, "--")
    if code:
        return []
    found = []
    for line in out.decode("utf-8", "replace").splitlines():
        commit, name, words = line.split("\0", 2)
        when = re.search(r"@\{(\d+)\}", name)
        found.append(Seen(commit, int(when[1]) if when else 0, words))
    # Where it stood before the first thing that the log tells: a clone begins with a ref and no log.
    code, out, _ = ask(repo.common_dir, "rev-parse", "--verify", "-q", f"{ref}@{{{len(found)}}}")
    if found and code == 0 and (first := out.decode().strip()) not in {entry.commit for entry in found}:
        found.append(Seen(first, found[-1].time, ""))
    return found


def in_histories(repo: Repository, commits: Sequence[str], others: Sequence[str]) -> set[str]:
    """Those of some commits that any of others has in its history, as far as git has these."""
    there = [found for found in resolve(repo, commits) if found is not None]
    if not there or not others:
        return set()
    asked = "".join(f"{other}\n" for other in others) + "".join(f"^{commit}\n" for commit in there)
    return set(others) - set(run(repo, "rev-list", "--stdin", stdin=asked.encode()).decode().split())


def not_in_history(repo: Repository, commit: str, others: Sequence[str]) -> set[str]:
    """Those of some commits that another one does not have in its history."""
    if not others:
        return set()
    asked = "".join(f"{other}\n" for other in others) + f"^{commit}\n"
    found = run(repo, "rev-list", "--ignore-missing", "--stdin", stdin=asked.encode()).decode().split()
    return set(others).intersection(found)


# --- objects --------------------------------------------------------------------------------------------------------

_BATCH = 32 << 20  # bytes held in memory


def unsound(
    repo: Repository,
    settings: Mapping[str, str],
    files: Iterable[TreeFile],
    progress: Callable[[int, int], None] | None = None,
    look: Callable[[str, bytes], None] = lambda oid, content: None,
) -> dict[str, str]:
    """What is wrong with the objects of files, by id: git lacks one, or it is not what its id says.

    `look` is given each that is as it should be, once.
    """
    wanted = list({file.oid: file for file in files if file.is_file}.values())
    found: dict[str, str] = {}
    start = 0
    while start < len(wanted):
        end, size = start, 0
        while end < len(wanted) and (end == start or size + wanted[end].size <= _BATCH):
            size += wanted[end].size
            end += 1
        some = [file.oid for file in wanted[start:end]]
        for oid, content in zip(some, read_objects(repo, some, skip_damaged=True), strict=True):
            if content is None:
                found[oid] = "git lacks it, or finds it damaged"
            elif blob_id([content], len(content), settings) != oid:
                found[oid] = "its content is not what its id says"
            else:
                look(oid, content)
        start = end
        if progress is not None:
            progress(end, len(wanted))
    return found


def sizes(repo: Repository, oids: Sequence[str]) -> dict[str, int]:
    """How many bytes each object has; those that git lacks are left out."""
    if not oids:
        return {}
    asked = "".join(f"{oid}\n" for oid in oids).encode()
    lines = run(repo, "cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=asked).decode().splitlines()
    return {oid: int(size) for oid, _, size in (line.partition(" ") for line in lines) if size.isdigit()}


def remote_refs(repo: Repository, remote: str, patterns: Sequence[str], talk: Talk) -> dict[str, str]:
    """A remote's refs that fit any of some patterns, and what they are at. Raises GitError where it cannot be asked."""
    code, out, err = talk_to(repo, ["ls-remote", "--refs", remote, *patterns], talk)
    if code:
        raise remote_error(remote, err)
    return {ref: oid for oid, _, ref in (line.partition("\t") for line in out.splitlines())}
