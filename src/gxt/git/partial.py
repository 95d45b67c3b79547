"""Copies of repositories elsewhere that lack what nobody has asked for yet.

git calls them partial clones: commits and trees are there, and blobs come when they are asked for. By itself it would
fetch them one by one, wherever it meets one. So a copy's configuration does not say where to fetch from, git
takes what is not here for missing, and what is asked for is fetched at once by `bring`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from gxt.errors import GitError
from gxt.git.process import call, git_error, run, scratch
from gxt.git.refs import drop_ref, list_refs, move_ref, resolve
from gxt.git.remotes import FETCH, remote_error, talk_to
from gxt.git.repository import FILTER, ORIGIN, Repository
from gxt.masking import mask_urls

OBJECT_FORMATS = ("sha1", "sha256")


def make_bare(path: Path, object_format: str, objects: Path | None = None) -> Repository:
    """Make an empty bare repository, which may borrow the objects of another from their folder."""
    code, _, err = call(["init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", str(path)])
    if code:
        raise git_error(["init"], err)
    if objects is not None:
        (path / "objects" / "info").mkdir(exist_ok=True)
        (path / "objects" / "info" / "alternates").write_bytes(os.fsencode(objects) + b"\n")
    return Repository(path, path, None)


def refresh(repo: Repository, branch: str) -> str | None:
    """Bring a copy's branch up to date, all but files; its commit, None where the repository has no such branch.

    A server that cannot leave files out sends all of them.

    Raises:
        GitError: it cannot be reached, refuses, or does not answer.
    """
    ref = f"refs/heads/{branch}"
    code, err = _from_origin(repo, [f"--filter={FILTER}"], [f"+{ref}:{ref}"])
    if code and "couldn't find remote ref" in err:
        drop_ref(repo, ref)
        return None
    if code:
        raise _origin_failure(repo, err)
    return resolve(repo, [ref])[0]


def _from_origin(
    repo: Repository, options: Sequence[str], refs: Sequence[str], stdin: IO[bytes] | None = None, partly: bool = True
) -> tuple[int, str]:
    assert repo.origin is not None
    if repo.origin.talk is None:
        raise GitError(f"files of {repo.origin.name} are needed that were not fetched yet", "leave --offline out")
    # What is named by its id is all that comes then; and nothing is spared that may be here.
    alone = [] if refs and partly else ["-c", "fetch.negotiationAlgorithm=noop"]
    args = [*alone, *FETCH, *options, ORIGIN, *refs]
    code, _, err = talk_to(repo, args, repo.origin.talk, stdin, partly)
    return code, err


def bring(repo: Repository, oids: Sequence[str]) -> None:
    """Have those of some objects here that are not, in one go."""
    missing = _missing(repo, oids)
    if not missing:
        return
    with scratch() as source:
        source.write("".join(f"{oid}\n" for oid in missing).encode())
        source.seek(0)
        code, err = _from_origin(repo, [f"--filter={FILTER}", "--no-auto-maintenance", "--stdin"], [], source)
    if code and "unadvertised object" in err:  # the server gives whole histories only, as in git's older protocol
        code, err = _bring_all(repo)
    if code:
        raise _origin_failure(repo, err)
    if left := _missing(repo, missing):
        assert repo.origin is not None
        raise GitError(f"{repo.origin.name} does not give what its runs consist of: {left[0]}")


def _missing(repo: Repository, oids: Sequence[str]) -> list[str]:
    asked = "".join(f"{oid}\n" for oid in dict.fromkeys(oids)).encode()
    lines = run(repo, "cat-file", "--batch-check", stdin=asked).decode().splitlines() if oids else []
    return [line.split(" ")[0] for line in lines if line.endswith(" missing")]


def _bring_all(repo: Repository) -> tuple[int, str]:
    refs = list_refs(repo, "refs/heads/")
    for ref in refs:  # else git asks for nothing that these already lead to
        drop_ref(repo, ref)
    code, err = -1, ""
    try:
        code, err = _from_origin(repo, [], [f"+{ref}:{ref}" for ref in refs], partly=False)
    finally:
        for ref, commit in refs.items() if code else ():
            move_ref(repo, ref, None, commit)
    return code, err


def _origin_failure(repo: Repository, err: str) -> GitError:
    assert repo.origin is not None
    plain = mask_urls(err.replace(repo.origin.url, repo.origin.name))
    failure = remote_error(repo.origin.name, plain)
    # git's own hint would name a remote that only this process knows of.
    hint = failure.hint and "credentials are found as `git clone` of the same URL finds them; see gitcredentials(7)"
    return GitError(failure.message, hint)
