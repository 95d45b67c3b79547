"""Whether runs can be trusted: that they are whole, who signed them, that their code is there, that nothing was undone.

findings    one thing that was looked at
folders     run.yaml and the rest against the run's folder, and the objects that git has of it
form        the documents and files of a run against docs/format.md
signed      the signatures of the commits that recorded or changed a run
code        the commits of the code that runs name
patches     code.patch against these commits
history     the run branch against where it was seen before
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from gxt import git, store
from gxt.cache import Progress
from gxt.errors import NotFoundError
from gxt.git import Repository, Talk
from gxt.verify import artifacts, code, folders, history, patches, signed
from gxt.verify.findings import CHECKS, FAILED, FOLDER, HISTORY, OK, UNCHECKED, Finding, worst

__all__ = ["CHECKS", "FAILED", "FOLDER", "HISTORY", "OK", "UNCHECKED", "Finding", "Report", "verify", "worst"]


class Report(NamedTuple):
    """What came of it.

    Attributes:
        runs: the runs that were looked at: id to name, the id again where that cannot be read.
        findings: of the branch first, then of each run.
        commit: the commit of the run branch that was looked at.
    """

    runs: dict[str, str]
    findings: list[Finding]
    commit: str | None

    @property
    def failed(self) -> list[Finding]:
        """What is wrong."""
        return [finding for finding in self.findings if finding.status == FAILED]


def verify(
    repo: Repository,
    ids: Sequence[str] | None,
    talk: Talk,
    *,
    require_signatures: bool = False,
    progress: Callable[[str], Progress | None] = lambda what: None,
) -> Report:
    """Look at some runs on the run branch, or at all of them; deleted ones too.

    A copy of a large artifact that is not what its pointer says is set aside, as `gxt artifacts verify` does.

    Args:
        ids: the runs' ids; None for all.
        talk: how remotes are asked for code that is not here.
        require_signatures: fail runs of which a commit has no good signature.
        progress: gives, for each part of the work by its name, what is told how far it is.

    Raises:
        NotFoundError: a run is not on the branch.
    """
    store.check_writable(repo)
    settings = git.config(repo)
    tip = store.tip(repo, settings)
    findings = list(history.examine(repo, settings, tip))
    if tip.commit is None:
        return Report({}, findings, None)
    looked = folders.examine(repo, settings, tip.commit, ids, progress("files"))
    if ids is not None and (missing := [run_id for run_id in ids if run_id not in looked.places]):
        raise NotFoundError(f"run {missing[0]} is not on the run branch", "`gxt status` shows runs that wait")
    findings += looked.findings
    findings += signed.examine(
        repo, settings, looked.changes, looked.places, require_signatures, progress("signatures")
    )
    findings += artifacts.examine(repo, looked, every=ids is None)
    findings += code.examine(repo, settings, looked.runs, talk)
    findings += patches.examine(repo, settings, looked)
    return Report({run_id: looked.names[run_id] for run_id in looked.places}, findings, tip.commit)
