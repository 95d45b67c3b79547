"""What is wrong with the run branch and with this clone, what can be done about it, and doing it.

findings    one thing that is wrong, or worth knowing
branch      the files on the branch
clone       what is in the git directory, and around it
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from gxt import cache, git, layout, store
from gxt.cache import Progress
from gxt.doctor import branch, clone
from gxt.doctor.branch import BY_HAND
from gxt.doctor.findings import Finding
from gxt.git import Repository
from gxt.store import Changes, Tip

__all__ = ["BY_HAND", "Finding", "Mended", "Report", "examine", "examine_branch", "mend"]


class Report(NamedTuple):
    """What was found, of the branch first; and how much there is on the branch."""

    findings: list[Finding]
    runs: int
    experiments: int

    @property
    def problems(self) -> list[Finding]:
        """What is wrong; the other findings are remarks."""
        return [finding for finding in self.findings if not finding.is_remark]

    @property
    def fixable(self) -> list[Finding]:
        """What `mend` mends."""
        return [finding for finding in self.findings if finding.fixable]


def examine(repo: Repository, progress: Progress | None = None) -> Report:
    """Look at everything; changes nothing.

    `progress` is called with how many runs have been looked at, and how many there are.
    """
    at = store.tip(repo, git.config(repo))
    found = branch.examine(repo, at.commit, progress)
    findings = [*found.findings, *clone.examine(repo, at, found.has_pointers)]
    return Report(findings, found.runs, found.experiments)


def examine_branch(
    repo: Repository, commit: str, ids: Collection[str] | None = None, progress: Progress | None = None
) -> list[Finding]:
    """What is wrong with the branch at a commit, and remarks; of runs, with some or with all of them."""
    return branch.examine(repo, commit, progress, ids).findings


class Mended(NamedTuple):
    """The commit that mended files, None where none needed it; the files; and what was cleared away."""

    commit: str | None
    files: list[str]
    removed: list[Path]


def mend(repo: Repository) -> Mended:
    """Mend all that can be mended without losing anything: files in one commit, and what crashes left behind.

    Raises:
        GitError: git does not take the commit, or the run branch is checked out.
    """
    tip = store.tip(repo, git.config(repo))
    first = branch.examine(repo, tip.commit)
    mended: list[str] = []

    def plan(at: Tip) -> tuple[Changes, str]:
        found = first if at.commit == tip.commit else branch.examine(repo, at.commit)  # somebody was faster
        mended[:] = sorted({finding.where for finding in found.findings if finding.fixable})
        said = f"mend {len(mended)} file{'' if len(mended) == 1 else 's'}"
        lines = [f"{finding.where}: {finding.what}" for finding in found.findings if finding.fixable]
        runs = sorted({finding.run for finding in found.findings if finding.fixable and finding.run})
        trailers = "".join(f"{layout.RUN_TRAILER}: {run}\n" for run in runs)
        return found.changes, "\n\n".join(part for part in (said, "\n".join(lines), trailers) if part)

    commit = None
    if any(finding.fixable for finding in first.findings):
        commit = store.change(repo, plan)
    with store.committing(repo):
        removed = store.clean_up(repo)
        if cache.problem(store.root(repo)):
            removed.append(cache.remove(store.root(repo)))
    return Mended(commit, mended, removed)
