"""The run branch, here and on remotes, against where this clone has seen it before: history only grows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gxt import git, sharing, store
from gxt.git import Repository
from gxt.model import format_time
from gxt.store import Tip
from gxt.verify.findings import FAILED, HISTORY, OK, UNCHECKED, Finding


def examine(repo: Repository, settings: Mapping[str, str], tip: Tip) -> Iterator[Finding]:
    """What was on the branch once, and is not in its history now."""
    branch = store.branch_name(settings)
    seen = {name: commit for name, commit in sharing.last_seen(repo).items() if name.endswith(f"/{branch}")}
    refs = dict(git.remote_branches(repo, branch, settings))
    last = store.last_commit(repo, tip.ref)
    if tip.local_commit is not None or last:
        if tip.local_commit is not None:
            refs = {tip.ref: tip.local_commit, **refs}
        else:
            what = f"is gone; this clone's last commit left it at {last[:12]}"
            yield Finding(HISTORY, FAILED, tip.ref, what, f"`git branch {branch} {last[:12]}` brings it back")
    for ref, commit in refs.items():
        known = last if ref == tip.ref else seen.get(ref.removeprefix("refs/remotes/"), "")
        yield from _of_ref(repo, ref, commit, known)
    for ref, commit in git.list_refs(repo, "refs/gxt/kept/").items():
        is_of_branch = ref.rpartition("-")[0] == f"refs/gxt/kept/{branch}"
        if is_of_branch and tip.commit is not None and git.not_in_history(repo, tip.commit, [commit]):
            what = f"keeps {commit[:12]}, which the branch had before it was rewritten or deleted"
            advice = f"`gxt diff` tells what was lost; `git update-ref -d {ref}` takes it as it is"
            yield Finding(HISTORY, FAILED, ref, what, advice)


def _of_ref(repo: Repository, ref: str, commit: str, known: str) -> Iterator[Finding]:
    if known and git.not_in_history(repo, commit, [known]) | _gone(repo, known):
        what = f"was rewritten: it has no longer {known[:12]}, which it had when this clone last saw it"
        yield Finding(HISTORY, FAILED, ref, what, _ways(ref, commit, known))
        return
    log = git.reflog(repo, ref)
    lost = git.not_in_history(repo, commit, list({entry.commit for entry in log}))
    told = git.in_histories(repo, store.noted_as_lost(repo), sorted(lost))
    for status, some in ((FAILED, lost - told), (UNCHECKED, told)):
        gone = next((entry for entry in log if entry.commit in some), None)  # the latest of those in a line has all
        if gone is not None:
            when = format_time(gone.time * 1000)[:10]
            what = f"was rewritten: it has no longer {gone.commit[:12]}, which it had on {when}"
            forget = f"`git reflog expire --expire-unreachable=now {ref}` takes it as it is"
            yield Finding(HISTORY, status, ref, what, f"{_ways(ref, commit, gone.commit)}; {forget}")
    is_well = not lost
    if is_well and (known or len(log) > 1):
        yield Finding(HISTORY, OK, ref, f"{commit[:12]} goes on from all that it was seen at")
    elif is_well:
        yield Finding(HISTORY, UNCHECKED, ref, "nothing here remembers where it was before")


def _ways(ref: str, commit: str, lost: str) -> str:
    shown = f"`git log {commit[:12]}..{lost[:12]}` shows what was taken away"
    return f"{shown}, `gxt sync` the ways out" if ref.startswith("refs/remotes/") else shown


def _gone(repo: Repository, commit: str) -> set[str]:
    """A commit that git has no more, which no history can have then."""
    return {commit} if git.resolve(repo, [commit])[0] is None else set()
