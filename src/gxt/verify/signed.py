"""The signatures of the commits that recorded or changed runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from gxt import git, store, textmap
from gxt.cache import Progress
from gxt.git import Changes, Repository, Signature
from gxt.verify.findings import FAILED, OK, SIGNATURES, UNCHECKED, Finding

_WRONG = {git.BAD, git.REVOKED}
_FILE = "signatures.json"


def examine(
    repo: Repository,
    settings: Mapping[str, str],
    changes: Mapping[str, Changes],
    places: Mapping[str, str],
    required: bool,
    progress: Progress | None,
) -> Iterator[Finding]:
    """What the signatures of the commits that changed each run are worth; unsigned is a failure where `required`.

    Good ones are remembered in the git directory.
    """
    commits, cut_off = _without({place: one.commits for place, one in changes.items()}, git.beginnings(repo))
    wanted = dict.fromkeys(oid for place in places.values() for oid in commits.get(place, ()))
    states = {kind: git.trusted_state(repo, settings, kind) for kind in ("ssh", "openpgp")}
    remembered = _remembered(repo, states)
    found = git.signatures(repo, settings, list(wanted), progress, remembered)
    _remember(repo, states, remembered, found)
    for run_id, place in places.items():
        for oid in commits.get(place, ()):
            yield _finding(run_id, oid, found[oid], required)
        if place in cut_off or place not in commits:
            what = "history was cut off when it was fetched: what recorded or changed the run before is not here"
            status = FAILED if required else UNCHECKED
            yield Finding(SIGNATURES, status, place, what, "`git fetch --unshallow` brings all of it", run_id)


# Each good signature takes git a few milliseconds, and stays good while the same keys are trusted.


def _remembered(repo: Repository, states: Mapping[str, str]) -> dict[str, Signature]:
    """The signatures that were good when the keys were as they are now."""
    found = {}
    for commit, text in textmap.read(store.root(repo) / _FILE).items():
        kind, state, signer, key = (*text.split("\t"), "", "", "", "")[:4]
        if state and states.get(kind) == state:
            found[commit] = Signature(git.GOOD, kind, signer, key)
    return found


def _remember(
    repo: Repository,
    states: Mapping[str, str],
    before: Mapping[str, Signature],
    found: Mapping[str, Signature],
) -> None:
    good = {commit: one for commit, one in found.items() if one.status == git.GOOD and states.get(one.kind)}
    if good.items() <= before.items():
        return
    lines = {
        commit: "\t".join((one.kind, states[one.kind], one.signer.replace("\t", " "), one.key))
        for commit, one in {**before, **good}.items()
    }
    with contextlib.suppress(OSError):  # then they are checked again
        store.root(repo).mkdir(exist_ok=True)
        textmap.write(store.root(repo) / _FILE, lines)


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
    if about.status == git.BAD and about.why:
        what, advice = about.why, "`git replace -l` lists what is replaced, `git fsck` what is damaged"
    status = FAILED if required or about.status in _WRONG else UNCHECKED
    return Finding(SIGNATURES, status, where, what, advice, run_id, about.status)


def _trust(about: Signature) -> str:
    if about.kind == "ssh":
        return "git config gpg.ssh.allowedSignersFile names the file that lists whose keys are trusted"
    if about.kind == "x509":
        return "`gpgsm --import` takes a certificate in, and gpgsm's trustlist.txt says which roots are trusted"
    return "`gpg --import` takes a key in, and `gpg --edit-key` or a signature that is trusted makes it known"
