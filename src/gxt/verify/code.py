"""The commits of the code that runs name: here, kept by a ref, or at a remote."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from gxt import git, sharing, snapshots
from gxt.errors import GitError
from gxt.git import Repository, Talk
from gxt.model import Run
from gxt.verify.findings import CODE, FAILED, OK, UNCHECKED, Finding

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def examine(repo: Repository, settings: Mapping[str, str], runs: Sequence[Run], talk: Talk) -> Iterator[Finding]:
    """Whether the code of each run is to be had, and how; remotes are asked for what is not here."""
    named = list(dict.fromkeys(commit for run in runs for commit in (_code(run), _head(run)) if commit))
    here = {commit for commit, found in zip(named, git.resolve(repo, named), strict=True) if found is not None}
    loose = git.unreached(repo, sorted(here))
    missing = [commit for commit in named if commit not in here]
    elsewhere, unasked = _at_remotes(repo, settings, talk) if missing else ({}, [])
    shallow = git.is_shallow(repo)
    for run in runs:
        commit, head = _code(run), _head(run)
        if not commit:
            why = str(run.source.get("problem") or "the run names no commit of code")
            yield Finding(CODE, UNCHECKED, run.name, why, run=run.id)
        elif commit not in here:
            yield _missing(run, commit, elsewhere.get(commit), unasked, shallow)
        elif commit in loose:
            what = f"{commit[:12]} is here, and no ref leads to it: git may take it away"
            yield Finding(
                CODE, UNCHECKED, run.name, what, f"`git update-ref {git.CODE}{commit} {commit}` keeps it", run.id
            )
        elif run.source.get("dirty") and commit == head:
            yield Finding(CODE, UNCHECKED, run.name, f"had changes beside {commit[:12]} that no commit has", run=run.id)
        else:
            yield Finding(CODE, OK, run.name, f"{commit[:12]} is here", run=run.id)


def _code(run: Run) -> str:
    """The commit that has the code as it ran, or all that is known of it."""
    commit = str(run.source.get("snapshot") or "")
    return commit if _COMMIT.fullmatch(commit) else _head(run)


def _head(run: Run) -> str:
    commit = str(run.source.get("commit") or "")
    return commit if _COMMIT.fullmatch(commit) else ""


def _at_remotes(repo: Repository, settings: Mapping[str, str], talk: Talk) -> tuple[dict[str, str], list[str]]:
    """The snapshots that remotes keep, with the remote's name; and what remotes that cannot be asked said."""
    found: dict[str, str] = {}
    unasked = []
    patient = replace(talk, timeout=sharing.timeout(settings))
    for remote in git.remote_urls(settings):
        try:
            refs = git.remote_refs(repo, remote, f"{git.CODE}*", patient)
        except GitError as error:
            unasked.append(error.message)
            continue
        for ref in refs:
            found.setdefault(ref.removeprefix(git.CODE), remote)
    return found, unasked


def _missing(run: Run, commit: str, remote: str | None, unasked: Sequence[str], shallow: bool) -> Finding:
    if remote is not None:
        fetch = f"`git fetch {remote} {snapshots.ref_of(commit)}:{snapshots.ref_of(commit)}` brings it"
        return Finding(CODE, OK, run.name, f"{commit[:12]} is at {remote}", fetch, run.id)
    if shallow:
        what = f"{commit[:12]} is not here, where history was cut off"
        return Finding(CODE, UNCHECKED, run.name, what, "`git fetch --unshallow` brings all of it", run.id)
    if unasked:
        what = f"{commit[:12]} is not here, and a remote could not be asked: {unasked[0]}"
        return Finding(CODE, UNCHECKED, run.name, what, run=run.id)
    by = f" ({run.source['branch']})" if run.source.get("branch") else ""
    what = f"{commit[:12]} is not here, and no remote keeps it for the run"
    advice = f"`git fetch --all` brings the branches that it may be on{by}; else whoever recorded the run has it"
    return Finding(CODE, FAILED, run.name, what, advice, run.id)
