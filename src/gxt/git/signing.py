"""What signatures of commits are worth, by git and the keys that this clone trusts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gxt.git.objects import object_id, read_objects
from gxt.git.process import call
from gxt.git.repository import Repository

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
        why: git's words where it cannot tell; of one that is BAD, what is, if not the signature.
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
    known: Mapping[str, Signature] | None = None,
) -> dict[str, Signature]:
    """The signature of each commit, by git and the keys that its configuration trusts (gpg.ssh.allowedSignersFile, the
    keyring of gpg). `progress` is told how many of the signed ones are done, and how many there are.

    What `known` has is taken from there for commits that are what their ids say: what they were worth when the keys
    were the same (`trusted_state`).
    """
    known = known or {}
    kinds, spoiled = _kinds(repo, settings, commits)
    found = {commit: Signature(UNSIGNED) for commit in commits if commit not in kinds} | spoiled
    found |= {commit: known[commit] for commit in kinds if commit in known and known[commit].kind == kinds[commit]}
    from concurrent.futures import ThreadPoolExecutor  # here for start-up time

    signed = [commit for commit in kinds if commit not in found]
    parts = [signed[start : start + _AT_ONCE] for start in range(0, len(signed), _AT_ONCE)]
    trusted = _absolute(repo, settings)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for some in pool.map(lambda part: _checked(repo, settings, trusted, part, kinds), parts):
            found |= some
            if progress is not None:
                progress(sum(commit in found for commit in signed), len(signed))
    return found


_SIGNED = re.compile(rb"^gpgsig(?:-sha256)? -----BEGIN (SSH SIGNATURE|PGP SIGNATURE|PGP MESSAGE|[A-Z ]+)-----", re.M)
_KIND = {b"SSH SIGNATURE": "ssh", b"PGP SIGNATURE": "openpgp", b"PGP MESSAGE": "openpgp"}


def _kinds(
    repo: Repository, settings: Mapping[str, str], commits: Sequence[str]
) -> tuple[dict[str, str], dict[str, Signature]]:
    """Which commits are signed, and how: git says of one that it cannot check that it is not signed. And those that are
    not what their ids say, as damage or `git replace` makes them, whatever is signed in them.
    """
    found, spoiled = {}, {}
    for commit, content in zip(commits, read_objects(repo, commits), strict=True):
        data = content or b""
        if object_id("commit", [data], len(data), settings) != commit:
            spoiled[commit] = Signature(BAD, why="is not what its id says: damaged, or replaced by `git replace`")
        elif match := _SIGNED.search(data.partition(b"\n\n")[0]):
            found[commit] = _KIND.get(match[1], "x509")
    return found, spoiled


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
    found: dict[str, Signature] = {}
    while rest := [commit for commit in commits if commit not in found]:
        asked = "".join(f"{commit}\n" for commit in rest).encode()
        _, out, err = call([*command, "--no-show-signature", form], repo.common_dir, asked)
        for text in out.decode("utf-8", "replace").split("\0"):
            if text.count("\n") < 4:
                continue
            commit, letter, key, fingerprint, signer = text.split("\n", 4)
            status, why = _MEANS.get(letter, UNCHECKED), ""
            is_alone = kinds[commit] == "ssh" and bool(_no_list_of_keys(repo, settings))
            if status == UNCHECKED or (status == UNKNOWN_KEY and is_alone):
                status, why = UNCHECKED, _why(repo, settings, kinds[commit], err)
            found[commit] = Signature(status, kinds[commit], signer.strip(), fingerprint.strip() or key.strip(), why)
        stopped = next((commit for commit in rest if commit not in found), None)
        if stopped is not None:  # git ends where what it starts does something that it does not expect
            found[stopped] = Signature(UNCHECKED, kinds[stopped], why=_why(repo, settings, kinds[stopped], err))
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
    return (
        "" if _named(repo, path).is_file() else f"there is no {path}, which git config gpg.ssh.allowedSignersFile names"
    )


# --- whose keys are trusted -----------------------------------------------------------------------------------------

_KEYRING = ("pubring.kbx", "pubring.gpg", "public-keys.d/pubring.db", "trustdb.gpg", "tofu.db", "gpg.conf")


def trusted_state(repo: Repository, settings: Mapping[str, str], kind: str) -> str:
    """What a good signature of a kind depends on, in a text that changes with it; empty where that cannot be told.

    Of SSH, the lists of keys. Of OpenPGP, the keyring and the day, since keys expire; not where another program than
    gpg is set up. Of X.509 it cannot be told.
    """
    import datetime
    import hashlib  # these here for start-up time

    state = [f"{key}={value}" for key, value in sorted(settings.items()) if key.startswith("gpg.")]
    try:
        if kind == "ssh":
            for key in ("gpg.ssh.allowedsignersfile", "gpg.ssh.revocationfile"):
                data = _named(repo, settings[key]).read_bytes() if settings.get(key) else b""
                if b"valid-" in data.lower():  # until when a key counts
                    state.append(datetime.date.today().isoformat())
                state.append(hashlib.sha256(data).hexdigest())
        elif kind == "openpgp" and not any(settings.get(key) for key in ("gpg.program", "gpg.openpgp.program")):
            home = Path(os.environ.get("GNUPGHOME") or Path.home() / ".gnupg")
            state += [datetime.date.today().isoformat(), str(home), *(_stamp(home / name) for name in _KEYRING)]
        else:
            return ""
    except OSError:
        return ""
    return hashlib.sha256("\0".join([kind, *state]).encode()).hexdigest()


def _stamp(path: Path) -> str:
    try:
        about = path.stat()
    except FileNotFoundError:
        return ""
    return f"{about.st_size} {about.st_mtime_ns} {about.st_ino}"


def _named(repo: Repository, path: str) -> Path:
    """The file that a path in git's configuration means."""
    return (repo.work_tree or repo.common_dir) / os.path.expanduser(path)
