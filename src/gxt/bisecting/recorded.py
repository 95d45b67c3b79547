"""What recorded runs say of commits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gxt import catalog, codehistory, git, query
from gxt.bisecting.data import data_of
from gxt.bisecting.question import BAD, GOOD, SKIP, TAG, Answer, Question, fields_of, is_same_command
from gxt.errors import NotFoundError, UsageError
from gxt.git import CodeCommit, Repository
from gxt.model import FAILED, FINISHED, Run
from gxt.query import Not
from gxt.showing import one_line, shortened

_FURTHEST = 20_000  # commits that are looked through for a good one
_LONGEST = 60  # characters of what is said of a run
OTHER_DATA = "read other data"
_NOT_ALL = "ran changes that were not kept", ""


class Recorded:
    """What recorded runs say of commits.

    Attributes:
        data: what they read.
        passed_over: those that do not answer, each with the reason, and what it is about.
    """

    def __init__(self, repo: Repository, question: Question) -> None:
        self.question = question
        self._by_tree: dict[str, list[Run]] = {}
        self._by_commit: dict[str, list[Run]] = {}
        known = {one.name for one in catalog.all_experiments(repo)}
        found = catalog.listing(repo, [question.experiment]).runs if question.experiment in known else []
        found = sorted(found, key=lambda run: (run.started or 0, run.id))
        said = {run.id: _why_silent(question, run) for run in found}
        said |= dict.fromkeys(codehistory.inexact(repo, [run for run in found if said[run.id] is None]), _NOT_ALL)
        readers = [run for run in found if said[run.id] is None] if not question.command else found
        self.data = data_of(repo, readers, is_read=bool(question.command))
        for run in found:
            if said[run.id] is None and (source := self.data.other(run)) is not None:
                said[run.id] = OTHER_DATA, source
        self.passed_over = [(run, *why) for run in found if (why := said[run.id]) is not None]
        self.answering = [run for run in found if said[run.id] is None]
        codes = git.code_of(repo, [code for run in found if (code := codehistory.code_of(run)) is not None])
        for run in self.answering:
            code = codehistory.code_of(run)
            assert code is not None
            self._by_commit.setdefault(code, []).append(run)
            if code in codes:
                self._by_tree.setdefault(codes[code].tree, []).append(run)

    def runs(self, commit: CodeCommit) -> list[Run]:
        """The runs of a commit's files, oldest first."""
        return self._by_tree.get(commit.tree) or self._by_commit.get(commit.id, [])

    def answer(self, commit: CodeCommit) -> Answer | None:
        """What they say of a commit; None where they do not tell enough."""
        return verdict(self.question, commit, self.runs(commit))

    def why_none_is_good(self, bad: str) -> str:
        """Why the good runs that there are do not count, in a line; nothing where there are none. `bad` is the name of
        the commit in whose history none of them is."""
        reasons: Counter[str] = Counter()
        examples: dict[str, str] = {}
        elsewhere = f"ran code that is not in the history of {bad}"
        others = [(run, elsewhere, _uncommitted(run)) for run in self.answering]
        for run, why, about in [*self.passed_over, *others]:
            if run.status == FINISHED and query.matches(self.question.expression, run):
                reasons[why] += 1
                examples[why] = shortened(one_line(about), _LONGEST)
        if not reasons:
            return ""
        told = [f"{count} {why}{f' ({examples[why]})' if examples[why] else ''}" for why, count in reasons.items()]
        return f"of {reasons.total()} that {'is' if reasons.total() == 1 else 'are'}, {', '.join(told)}"


def _uncommitted(run: Run) -> str:
    return "with uncommitted changes" if run.source.get("dirty") else ""


def _why_silent(question: Question, run: Run) -> tuple[str, str] | None:
    """Why a run does not answer what is asked, and what that is about; None where it does. A command that failed
    answers only where a bisection saw it fail."""
    tagged = run.tags.get(TAG) == question.id
    if codehistory.code_of(run) is None:
        return "ran code that was not kept", ""
    if run.status != FINISHED and not (tagged and run.status == FAILED):
        return "did not finish", ""
    if tagged or not question.command or is_same_command(run, question.command, question.cwd):
        return None
    if is_same_command(run, question.command, str(run.source.get("cwd", "."))):
        return "ran in another folder", str(run.source.get("cwd", "."))
    return "ran another command", str(run.source.get("command", ""))


def verdict(question: Question, commit: CodeCommit, runs: Sequence[Run], ran: int = 0) -> Answer | None:
    """What some runs of a commit say of it, the latest of them where there are more than enough; None for too few."""
    said = [(run, _holds(question, run)) for run in runs[-question.runs :]]
    good, bad = sum(holds is True for _, holds in said), sum(holds is False for _, holds in said)
    if 2 * good > question.runs or 2 * bad >= question.runs:
        return Answer(commit, GOOD if 2 * good > question.runs else BAD, [run for run, _ in said], ran)
    untold = next((run for run, holds in said if holds is None), None)
    if untold is None:
        return None
    return Answer(commit, SKIP, [untold], ran, _why(question, untold))


def _holds(question: Question, run: Run) -> bool | None:
    """Whether a run is good; None where it does not tell."""
    if run.status != FINISHED:
        return False if question.fail_is_bad else None
    if query.matches(question.expression, run):
        return True
    return False if query.matches(Not(question.expression), run) else None


def _why(question: Question, run: Run) -> str:
    if run.status != FINISHED:
        if run.exit_code is not None:
            return f"failed with exit code {run.exit_code}"
        return one_line(run.note or run.status)
    lacking = [str(one) for one in fields_of(question.expression) if one.value(run) is None]
    return f"no {' and no '.join(lacking)}" if lacking else "it does not tell"


# --- where to begin ---------------------------------------------------------------------------------------------------


def latest_good(repo: Repository, recorded: Recorded, bad: str, name: str) -> CodeCommit:
    """The latest commit in the history of a bad one that recorded runs call good; `name` is the bad one's.

    Raises:
        NotFoundError: there is none.
    """
    for commit in git.walk(repo, [bad], _FURTHEST):
        answer = recorded.answer(commit)
        if commit.id != bad and answer is not None and answer.result == GOOD:
            return commit
    question = recorded.question
    why = recorded.why_none_is_good(name)
    said = f"no recorded run of {question.experiment} is known to be good: {question.text}"
    raise NotFoundError(f"{said}; {why}" if why else said, "--good COMMIT says where it was")


def check_end(recorded: Recorded, commit: CodeCommit, result: str, name: str) -> Answer | None:
    """What recorded runs say of a commit that somebody calls good or bad.

    Raises:
        UsageError: the opposite.
    """
    answer = recorded.answer(commit)
    if answer is None or answer.result == SKIP:
        return None
    if answer.result != result:
        runs = ", ".join(run.name or run.id for run in answer.runs)
        raise UsageError(f"{name} is {answer.result} by what was recorded ({runs}), not {result}")
    return answer
