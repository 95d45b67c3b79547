"""Questions of trust: what signatures of commits are worth, who changed what, what was seen before, what is whole."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from gxt.git.objects import TreeFile, blob_id, read_batch, read_objects
from gxt.git.process import ask, call, run
from gxt.git.remotes import remote_error, talk_to
from gxt.git.repository import Repository, Talk

GOOD, BAD, REVOKED, EXPIRED, UNKNOWN_KEY, UNSIGNED, UNCHECKED = (
    "good",
    "bad",
    "revoked key",
    "expired",
    "unknown key",
    "unsigned",
    "unchecked",
)

# https://git-scm.com/docs/pretty-formats, of %G?
_MEANS = {"G": GOOD, "B": BAD, "R": REVOKED, "X": EXPIRED, "Y": EXPIRED, "U": UNKNOWN_KEY, "E": UNKNOWN_KEY}


class Signature(NamedTuple):
    """What git says of a commit's signature.

    Attributes:
        status: GOOD, BAD, REVOKED (the key was), EXPIRED (the key, or the signature), UNKNOWN_KEY (it is nobody's whom
            this clone trusts), UNSIGNED, or UNCHECKED (git cannot tell here).
        kind: "ssh", "openpgp" or "x509"; empty where there is none.
        signer: who signed, as the list of keys calls them.
        key: the key's fingerprint or id.
        why: git's words where it cannot tell.
    """

    status: str
    kind: str = ""
    signer: str = ""
    key: str = ""
    why: str = ""


_AT_ONCE = 64  # commits, for which one git starts ssh-keygen or gpg in turn


def signatures(
    repo: Repository,
    settings: Mapping[str, str],
    commits: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Signature]:
    """The signature of each commit, by git and the keys that its configuration trusts (gpg.ssh.allowedSignersFile, the
    keyring of gpg). `progress` is told how many of the signed ones are done, and how many there are.
    """
    found = dict.fromkeys(commits, Signature(UNSIGNED))
    kinds = _kinds(repo, commits)
    signed = list(kinds)
    parts = [signed[start : start + _AT_ONCE] for start in range(0, len(signed), _AT_ONCE)]
    trusted = _absolute(repo, settings)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for some in pool.map(lambda part: _checked(repo, settings, trusted, part, kinds), parts):
            found |= some
            if progress is not None:
                done = sum(found[commit].kind != "" for commit in signed)
                progress(done, len(signed))
    return found


_SIGNED = re.compile(rb"^gpgsig(?:-sha256)? -----BEGIN (SSH SIGNATURE|PGP SIGNATURE|PGP MESSAGE|[A-Z ]+)-----", re.M)
_KIND = {b"SSH SIGNATURE": "ssh", b"PGP SIGNATURE": "openpgp", b"PGP MESSAGE": "openpgp"}


def _kinds(repo: Repository, commits: Sequence[str]) -> dict[str, str]:
    """Which commits are signed, and how: git says of one that it cannot check that it is not signed."""
    found = {}
    for commit, content in zip(commits, read_objects(repo, commits), strict=True):
        match = _SIGNED.search((content or b"").partition(b"\n\n")[0])
        if match:
            found[commit] = _KIND.get(match[1], "x509")
    return found


def _absolute(repo: Repository, settings: Mapping[str, str]) -> list[str]:
    """Paths of lists of keys may be relative to the top of the work tree, and git does not stand there here."""
    options = []
    for key in ("gpg.ssh.allowedsignersfile", "gpg.ssh.revocationfile"):
        path = settings.get(key)
        if path and not path.startswith("~") and not os.path.isabs(path) and repo.work_tree is not None:
            options += ["-c", f"{key}={repo.work_tree / path}"]
    return options


def _checked(
    repo: Repository,
    settings: Mapping[str, str],
    trusted: Sequence[str],
    commits: Sequence[str],
    kinds: Mapping[str, str],
) -> dict[str, Signature]:
    form = "--format=%H%n%G?%n%GK%n%GF%n%GS"
    command = [f"--git-dir={repo.common_dir}", *trusted, "log", "--no-walk=unsorted", "--stdin", "-z"]
    asked = "".join(f"{commit}\n" for commit in commits).encode()
    _, out, err = call([*command, "--no-show-signature", form], repo.common_dir, asked)
    found = {}
    for text in out.decode("utf-8", "replace").split("\0"):
        if text:
            commit, letter, key, fingerprint, signer = text.split("\n", 4)
            status, why = _MEANS.get(letter, UNCHECKED), ""
            is_alone = kinds[commit] == "ssh" and bool(_no_list_of_keys(repo, settings))
            if status == UNCHECKED or (status == UNKNOWN_KEY and is_alone):
                status, why = UNCHECKED, _why(repo, settings, kinds[commit], err)
            found[commit] = Signature(status, kinds[commit], signer.strip(), fingerprint.strip() or key.strip(), why)
    return found


def _why(repo: Repository, settings: Mapping[str, str], kind: str, err: str) -> str:
    if kind == "ssh" and (lacks := _no_list_of_keys(repo, settings)):
        return lacks
    said = [line for line in err.splitlines() if line.strip()]
    return said[-1].removeprefix("error: ").removeprefix("fatal: ") if said else f"git cannot start what checks {kind}"


def _no_list_of_keys(repo: Repository, settings: Mapping[str, str]) -> str:
    """Why there is nothing to check SSH signatures against; empty where there is. To git, all keys are unknown then."""
    path = settings.get("gpg.ssh.allowedsignersfile")
    if not path:
        return "git config gpg.ssh.allowedSignersFile names no list of keys"
    there = (repo.work_tree or repo.common_dir) / os.path.expanduser(path)
    return "" if there.is_file() else f"there is no {path}, which git config gpg.ssh.allowedSignersFile names"


# --- history --------------------------------------------------------------------------------------------------------


def commits_by_folder(repo: Repository, commit: str, folders: Sequence[str] | None, depth: int) -> dict[str, list[str]]:
    """The commits in a history that changed something in a folder so many levels deep, the latest first, by the folder.

    Of a merge, only what it has otherwise than all of its parents. None for all folders.
    """
    below = ["--", *folders] if folders is not None else []
    commits = run(repo, "--literal-pathspecs", "rev-list", "--full-history", commit, *below)
    if not commits:
        return {}
    form = ["--stdin", "-r", "-c", "--root", "--name-only", "--no-renames", "-z"]
    out = run(repo, "--literal-pathspecs", "diff-tree", *form, *below, stdin=commits)
    known = set(commits.decode().split())
    found: dict[str, dict[str, None]] = {}
    at = ""
    for field in out.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        if field in known:
            at = field
        elif len(parts := field.split("/", depth)) > depth:
            found.setdefault("/".join(parts[:depth]), {})[at] = None
    return {folder: list(commits_) for folder, commits_ in found.items()}


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
) -> dict[str, str]:
    """What is wrong with the objects of files, by id: git lacks one, or it is not what its id says."""
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


def remote_refs(repo: Repository, remote: str, pattern: str, talk: Talk) -> dict[str, str]:
    """A remote's refs that fit a pattern, and what they are at. Raises GitError where it cannot be asked."""
    code, out, err = talk_to(repo, ["ls-remote", "--refs", remote, pattern], talk)
    if code:
        raise remote_error(remote, err)
    return {ref: oid for oid, _, ref in (line.partition("\t") for line in out.splitlines())}
