"""Looking at what a clone has beside the branch: git, the branch's ref, runs that wait, what crashes left behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gxt import cache, git, live, store
from gxt.doctor.findings import Finding
from gxt.errors import FormatError, GxtError
from gxt.git import Repository
from gxt.store import Tip

_LISTED = 3


def examine(repo: Repository, at: Tip, has_pointers: bool) -> Iterator[Finding]:
    """What is wrong with a clone, and remarks; `has_pointers` says whether it needs git-lfs."""
    settings = git.config(repo)
    yield from _git_itself(repo, settings, has_pointers)
    if holder := git.checked_out_in(repo, at.ref, settings):
        what = f"is checked out in {holder}: runs wait until another branch is"
        yield Finding(f"branch {store.branch_name(settings)}", what, f"git -C {holder} switch -")
    yield from _waiting(repo)
    found = store.leftovers(repo)
    if found:
        shown = ", ".join(map(str, found[:_LISTED])) + (
            f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        )
        yield Finding("left behind by a crash", shown, "--fix takes it away", fixable=True)
    if problem := cache.problem(store.root(repo)):
        yield Finding("cache", problem, "--fix takes it away; the next listing makes it anew", fixable=True)
    for ref, commit in git.list_refs(repo, "refs/gxt/kept/").items():
        what = f"keeps what the branch held before it was rewritten or deleted ({commit[:10]})"
        yield Finding(ref, what, f"git update-ref -d {ref} lets it go", is_remark=True)
    if not git.knows_identity(settings):
        what = f"git does not know who you are: runs are recorded as by {git.identity(settings, 'author')}"
        yield Finding("identity", what, 'git config --global user.name "…", and user.email', is_remark=True)


def _git_itself(repo: Repository, settings: Mapping[str, str], has_pointers: bool) -> Iterator[Finding]:
    version = git.version()
    if version < git.OLDEST:
        said, needed = (".".join(map(str, numbers)) for numbers in (version, git.OLDEST))
        yield Finding("git", f"is version {said}, older than {needed}", "upgrade git")
    try:
        in_store = store.artifact_settings(repo, settings).store is not None
    except GxtError as error:
        yield Finding("large artifacts", error.message, error.hint or "")
        return
    if not has_pointers or in_store:
        return
    if not git.has_lfs():
        yield Finding(
            "git-lfs",
            "is not installed, and runs on the branch have large artifacts, which it would carry",
            "install it, or `gxt artifacts store URL`",
        )
    elif not git.has_lfs_hook(repo, settings) and git.remote_urls(settings):
        what = "has no hook here: a plain `git push` sends no large artifacts"
        yield Finding("git-lfs", what, "git lfs install --local", is_remark=True)


def _waiting(repo: Repository) -> Iterator[Finding]:
    base = store.root(repo)
    for kind, folders in (("live", live.live_runs(base)), ("pending", live.pending_runs(base))):
        for folder in folders:
            try:
                run = live.read(folder, summary=False)
                is_lost = kind == "live" and not live.is_alive(folder)
            except FormatError as error:
                yield Finding(str(folder), error.message, "look at its journal.jsonl", run=folder.name)
            except FileNotFoundError:  # it has just moved on
                continue
            else:
                if kind == "pending" or is_lost:
                    what = "crashed while it recorded" if is_lost else "waits to be committed"
                    yield Finding(f"run {run.name} ({run.id})", what, "gxt recover commits it", run=run.id)
