"""The commits of the code that runs name: here, kept by a ref, or at a remote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from gxt import git, sharing, snapshots
from gxt.codehistory import base_of, code_of, later_codes
from gxt.errors import GitError
from gxt.git import Repository, Talk
from gxt.model import Run
from gxt.verify.findings import CODE, FAILED, OK, UNCHECKED, Finding


def examine(repo: Repository, settings: Mapping[str, str], runs: Sequence[Run], talk: Talk) -> Iterator[Finding]:
    """Whether the code of each run is to be had, and how; remotes are asked for what is not here."""
    named = [commit for run in runs for commit in (_named(run), base_of(run), *later_codes(run)) if commit]
    named = list(dict.fromkeys(named))
    here = {commit for commit, found in zip(named, git.resolve(repo, named), strict=True) if found is not None}
    loose = git.unreached(repo, sorted(here))
    remotes = _ask_remotes(repo, settings, talk) if len(here) < len(named) else _Remotes({}, {}, [])
    heads = _heads(repo, [commit for run in runs if (commit := code_of(run)) != base_of(run) and commit in here])
    shallow = git.is_shallow(repo)
    for run in runs:
        commit = _named(run)
        if not commit:
            why = str(run.source.get("problem") or "the run names no commit of code")
            yield Finding(CODE, UNCHECKED, run.name, why, run=run.id)
        elif commit not in here:
            yield _missing(run, commit, remotes, shallow)
        else:
            yield _there(run, commit, heads.get(commit), commit in loose)
        yield from (_missing(run, later, remotes, shallow) for later in later_codes(run) if later not in here)


def _named(run: Run) -> str | None:
    """The commit that has the code as it ran, or all that is known of it."""
    return code_of(run) or base_of(run)


def _heads(repo: Repository, commits: Sequence[str]) -> dict[str, str]:
    """What commits say beside their messages."""
    wanted = list(dict.fromkeys(commits))
    contents = git.read_objects(repo, wanted)
    heads = ((content or b"").partition(b"\n\n")[0].decode("utf-8", "replace") for content in contents)
    return dict(zip(wanted, heads, strict=True))


def _is_snapshot(head: str, base: str | None) -> bool:
    """Whether a commit is as docs/format.md says of snapshots: gxt's own, on top of the run's commit."""
    lines = head.split("\n")
    parents = [line.removeprefix("parent ") for line in lines if line.startswith("parent ")]
    return parents == ([base] if base else []) and any(
        line.startswith(f"author {git.SNAPSHOT_AUTHOR} ") for line in lines
    )


def _there(run: Run, commit: str, said: str | None, is_loose: bool) -> Finding:
    head = base_of(run)
    if said is not None and not _is_snapshot(said, head):
        what = f"{commit[:12]} is no snapshot of changes to {head[:12]}" if head else f"{commit[:12]} is no snapshot"
        return Finding(CODE, FAILED, run.name, what, "somebody changed run.yaml", run.id)
    if is_loose:
        what = f"{commit[:12]} is here, and no ref leads to it: git may take it away"
        keep = f"`git update-ref {git.CODE}{commit} {commit}` keeps it"
        return Finding(CODE, UNCHECKED, run.name, what, keep, run.id)
    if run.source.get("dirty") and commit == head:
        return Finding(CODE, UNCHECKED, run.name, f"had changes beside {commit[:12]} that no commit has", run=run.id)
    return Finding(CODE, OK, run.name, f"{commit[:12]} is here", run=run.id)


class _Remotes(NamedTuple):
    """What remotes say of the code.

    Attributes:
        at: what their refs are at, with the remote's name: snapshots that they keep, and tips of branches and tags.
        beyond: of each remote that has them, branches, tags and snapshots that this clone has not fetched.
        unasked: what remotes that cannot be asked said.
    """

    at: dict[str, str]
    beyond: dict[str, list[str]]
    unasked: list[str]


_PATTERNS = (f"{git.CODE}*", "refs/heads/*", "refs/tags/*")


def _ask_remotes(repo: Repository, settings: Mapping[str, str], talk: Talk) -> _Remotes:
    found = _Remotes({}, {}, [])
    patient = replace(talk, timeout=sharing.timeout(settings))
    for remote in git.remote_urls(settings):
        try:
            refs = git.remote_refs(repo, remote, _PATTERNS, patient)
        except GitError as error:
            found.unasked.append(error.message)
            continue
        for oid in refs.values():
            found.at.setdefault(oid, remote)
        here = git.resolve(repo, list(refs.values()))
        missing = [ref for ref, commit in zip(refs, here, strict=True) if commit is None]
        beyond = [ref.split("/", 2)[2] for ref in missing if not ref.startswith(git.CODE)]
        if len(beyond) < len(missing):  # the commits that they are changes to are below them
            beyond.append("other snapshots")
        if beyond:
            found.beyond[remote] = beyond
    return found


def _missing(run: Run, commit: str, remotes: _Remotes, shallow: bool) -> Finding:
    remote = remotes.at.get(commit)
    if remote is not None:
        fetch = f"`git fetch {remote} {commit}:{snapshots.ref_of(commit)}` brings it"
        return Finding(CODE, OK, run.name, f"{commit[:12]} is at {remote}", fetch, run.id)
    if shallow:
        what = f"{commit[:12]} is not here, where history was cut off"
        return Finding(CODE, UNCHECKED, run.name, what, "`git fetch --unshallow` brings all of it", run.id)
    if remotes.beyond:
        remote, branches = next(iter(remotes.beyond.items()))
        named = branches[0] + (f" and {len(branches) - 1} more" if len(branches) > 1 else "")
        what = f"{commit[:12]} is not here, and may be on what was not fetched from {remote}: {named}"
        advice = f"`gxt code {run.id}` brings it if it is there"
        return Finding(CODE, UNCHECKED, run.name, what, advice, run.id)
    if remotes.unasked:
        what = f"{commit[:12]} is not here, and a remote could not be asked: {remotes.unasked[0]}"
        return Finding(CODE, UNCHECKED, run.name, what, run=run.id)
    by = f" ({run.source['branch']})" if run.source.get("branch") else ""
    what = f"{commit[:12]} is not here, and no remote has it"
    advice = f"who recorded the run may have it{by}: `gxt push` from there sends it"
    return Finding(CODE, FAILED, run.name, what, advice, run.id)
