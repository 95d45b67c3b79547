"""The signatures of the commits that recorded or changed runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gxt import git
from gxt.cache import Progress
from gxt.git import Repository, Signature
from gxt.verify.findings import FAILED, OK, SIGNATURES, UNCHECKED, Finding

_WRONG = {git.BAD, git.REVOKED}
_DEPTH = 3  # experiments/<experiment>/<run>
_FEW = 20  # runs, whose commits git looks for by their paths


def examine(
    repo: Repository,
    settings: Mapping[str, str],
    commit: str,
    places: Mapping[str, str],
    required: bool,
    progress: Progress | None,
) -> Iterator[Finding]:
    """What the signatures of each run's commits are worth; unsigned is no failure unless it is `required`."""
    some = list(places.values()) if len(places) <= _FEW else None
    all_commits = git.commits_by_folder(repo, commit, some, _DEPTH) if places else {}
    commits, cut_off = _without(all_commits, git.beginnings(repo))
    wanted = dict.fromkeys(oid for place in places.values() for oid in commits.get(place, ()))
    found = git.signatures(repo, settings, list(wanted), progress)
    for run_id, place in places.items():
        for oid in commits.get(place, ()):
            yield _finding(run_id, oid, found[oid], required)
        if place in cut_off or place not in commits:
            what = "history was cut off when it was fetched: what recorded or changed the run before is not here"
            status = FAILED if required else UNCHECKED
            yield Finding(SIGNATURES, status, place, what, "`git fetch --unshallow` brings all of it", run_id)


def _without(commits: Mapping[str, list[str]], beginnings: set[str]) -> tuple[dict[str, list[str]], set[str]]:
    """The commits of each folder less those that history was cut off at, which seem to add all that there is; and the
    folders that these have."""
    cut_off = {place for place, oids in commits.items() if not beginnings.isdisjoint(oids)} if beginnings else set()
    left = {place: [oid for oid in oids if oid not in beginnings] for place, oids in commits.items()}
    return left, cut_off


def _finding(run_id: str, commit: str, about: Signature, required: bool) -> Finding:
    where = f"commit {commit[:12]}"
    by = f" by {about.signer}" if about.signer else ""
    key = f" ({about.key})" if about.key else ""
    if about.status == git.GOOD:
        return Finding(SIGNATURES, OK, where, f"signed{by}{key}", run=run_id, word=about.status)
    what, advice = {
        git.BAD: (
            "has a signature that is not of this commit",
            "somebody changed the commit, or took back the key",
        ),
        git.REVOKED: (f"is signed{by} with a key that was revoked{key}", ""),
        git.EXPIRED: (f"is signed{by} with a key, or by a signature, that has expired{key}", ""),
        git.UNKNOWN_KEY: (f"is signed{by} with a key that is not trusted here{key}", _trust(about)),
        git.UNSIGNED: ("is not signed", "`git config commit.gpgSign true` signs what is recorded from now on"),
        git.UNCHECKED: (f"is signed, and cannot be checked: {about.why}", _trust(about)),
    }[about.status]
    status = FAILED if required or about.status in _WRONG else UNCHECKED
    return Finding(SIGNATURES, status, where, what, advice, run_id, about.status)


def _trust(about: Signature) -> str:
    if about.kind == "ssh":
        return "git config gpg.ssh.allowedSignersFile names the file that lists whose keys are trusted"
    return "`gpg --import` takes a key in, and `gpg --edit-key` or a signature that is trusted makes it known"
