"""Refs: what names mean, and making, moving and deleting refs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from gxt.errors import GitError, RefMovedError
from gxt.git.process import ask, run
from gxt.git.repository import Repository
from gxt.git.settings import remote_urls


def resolve(repo: Repository, revisions: Sequence[str]) -> list[str | None]:
    """The commit that each revision names, None where there is none; one process for all of them."""
    asked = "".join(f"{revision}^{{commit}}\n" for revision in revisions)
    out = run(repo, "cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=asked.encode())
    answers = [line.split(" ") for line in out.decode("utf-8", "replace").splitlines()]
    return [answer[0] if answer[-1] == "commit" else None for answer in answers]


def resolve_here(repo: Repository, revisions: Sequence[str]) -> list[str | None]:
    """As `resolve`, where HEAD and the like are those of this work tree."""
    found = []
    for revision in revisions:
        code, out, _ = ask(repo.git_dir, "rev-parse", "--verify", "-q", f"{revision}^{{commit}}")
        found.append(out.decode().strip() if code == 0 else None)
    return found


def resolve_one(repo: Repository, revision: str) -> tuple[str | None, str]:
    """The commit that a revision of any kind names, None where there is none; and git's words where it has some."""
    if not revision.isprintable() or revision.startswith("-"):
        return None, ""
    code, out, err = ask(repo.common_dir, "rev-parse", "--verify", f"{revision}^{{commit}}")
    if not code:
        return out.decode().strip(), ""
    said = [line.removeprefix("fatal: ") for line in err.splitlines() if line.startswith("fatal: ")]
    return None, next((words for words in said if words != "Needed a single revision"), "")


def remote_branches(repo: Repository, branch: str, settings: Mapping[str, str]) -> dict[str, str]:
    """The remote-tracking refs of a branch on the configured remotes: ref name to commit, `origin`'s first."""
    wanted = [f"refs/remotes/{remote}/{branch}" for remote in remote_urls(settings)]
    if not wanted:
        return {}
    out = run(repo, "for-each-ref", "--format=%(refname) %(objectname)", *wanted)
    found = dict(line.split(" ", 1) for line in out.decode("utf-8", "replace").splitlines())
    return dict(sorted(found.items(), key=lambda item: (item[0] != f"refs/remotes/origin/{branch}", item[0])))


def list_refs(repo: Repository, prefix: str) -> dict[str, str]:
    """The refs below a prefix such as `refs/gxt/kept/`, and what they are at."""
    out = run(repo, "for-each-ref", "--format=%(refname) %(objectname)", prefix)
    return dict(line.split(" ", 1) for line in out.decode("utf-8", "replace").splitlines())


def tips(repo: Repository) -> list[str]:
    """The commits that any ref or HEAD is at, each once; tags of other things are left out."""
    form = "%(objectname) %(objecttype) %(*objectname) %(*objecttype)"
    lines = run(repo, "for-each-ref", f"--format={form}").decode().splitlines()
    found = [fields for line in lines for fields in (line.split(" ")[:2], line.split(" ")[2:])]
    commits = [fields[0] for fields in found if fields[1:] == ["commit"]]
    detached = resolve(repo, ["HEAD"])[0]
    return list(dict.fromkeys([*commits, *([detached] if detached else [])]))


def ref_exists(repo: Repository, ref: str) -> bool:
    """Whether there is a ref of that name, be it a broken one."""
    return ask(repo.common_dir, "rev-parse", "--verify", "-q", ref)[0] == 0


def create_ref(repo: Repository, ref: str, commit: str) -> None:
    """Make a ref that does not exist yet. Raises RefMovedError where it does."""
    move_ref(repo, ref, None, commit)


def move_ref(repo: Repository, ref: str, old: str | None, new: str) -> None:
    """Move a ref from one commit to another; `old` is None for one that does not exist yet.

    Raises:
        RefMovedError: it is not, or no more, where it was said to be.
    """
    try:
        run(repo, "update-ref", ref, new, old or "0" * len(new))
    except GitError as error:
        raise RefMovedError(error.message) from None


def tracking_ref(remote: str, branch: str) -> str:
    """Where this clone remembers a remote's branch."""
    return f"refs/remotes/{remote}/{branch}"


def default_refs(remote: str) -> list[str]:
    """The refs of which the first that is here tells where a remote's default branch stands, as far as is known: what
    the remote's HEAD names, else main or master."""
    return [tracking_ref(remote, name) for name in ("HEAD", "main", "master")]


def default_tip(repo: Repository, remote: str) -> str | None:
    """Where a remote's default branch stands, as far as is known here."""
    return next((commit for commit in resolve(repo, default_refs(remote)) if commit is not None), None)


def delete_ref(repo: Repository, ref: str, commit: str) -> None:
    """Take a ref away that is at a commit. Raises RefMovedError where it is at another."""
    try:
        run(repo, "update-ref", "-d", ref, commit)
    except GitError as error:
        raise RefMovedError(error.message) from None


def drop_ref(repo: Repository, ref: str) -> None:
    """Delete a ref, if there is one and git lets us."""
    with contextlib.suppress(GitError):  # `remove_leftovers` takes it later
        run(repo, "update-ref", "-d", ref)
