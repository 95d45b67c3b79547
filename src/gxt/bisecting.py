"""Looking for the commit that made a metric worse: what recorded runs say of commits, and which commit to test next.

git chooses: first among the commits that recorded runs tell of, by what halves the rest best, and then by `git bisect`.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gxt import capture, catalog, codehistory, git, query
from gxt.errors import GxtError, NotFoundError, UsageError
from gxt.git import CodeCommit, Repository
from gxt.model import FAILED, FINISHED, Run
from gxt.query import And, Comparison, Expression, Field, In, IsNull, Match, Not, Or
from gxt.query.fields import PARTS
from gxt.replaying.plan import is_python
from gxt.showing import one_line

GOOD, BAD, SKIP = "good", "bad", "skip"
TAG = "bisect"
"""The tag of runs that a bisection recorded; its value is that of all runs of one question."""

_FURTHEST = 20_000  # commits that are looked through for a good one


@dataclass(frozen=True)
class Question:
    """What is asked of each commit.

    Attributes:
        text: the condition, in the language of filters.
        expression: the same, understood.
        experiment: whose runs answer.
        command: what is run; nothing where recorded runs alone are to answer, whatever they ran.
        cwd: the folder in which it is run, relative to the top of the work tree.
        runs: how many runs decide; most of them have to be good.
        fail_is_bad: whether a command that fails says that the commit is bad.
    """

    text: str
    expression: Expression
    experiment: str
    command: Sequence[str] = ()
    cwd: str = "."
    runs: int = 1
    fail_is_bad: bool = False

    @property
    def id(self) -> str:
        """Eight digits that are the same whenever the same is asked."""
        parts = [self.text, self.experiment, capture.command_text(self.command), self.cwd]
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:8]


class Answer(NamedTuple):
    """What is known of a commit.

    Attributes:
        result: GOOD, BAD or SKIP.
        runs: those that say so.
        ran: how many of them were run for it now.
        why: why it is skipped.
    """

    commit: CodeCommit
    result: str
    runs: Sequence[Run]
    ran: int = 0
    why: str | None = None


@dataclass
class Outcome:
    """What came of a bisection.

    Attributes:
        good, bad: the commits that it began with.
        first_bad: the commit that was looked for; None where those that may be it cannot be told apart.
        possible: these.
        answers: of every commit that was asked about, in that order.
    """

    good: str
    bad: str
    first_bad: CodeCommit | None = None
    possible: list[CodeCommit] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def of(self, commits: Iterable[str]) -> Answer | None:
        """The answer about the first of some commits that was asked about."""
        known = {answer.commit.id: answer for answer in self.answers}
        return next((known[commit] for commit in commits if commit in known), None)


def parse_condition(repo: Repository, experiment: str, text: str) -> Expression:
    """A condition on runs of an experiment.

    Raises:
        UsageError, NotFoundError: as `query.parse_filter`; where no run has a metric yet, any name may be one.
    """
    if not text.strip():
        raise UsageError("--metric is empty", "such as --metric 'rmse <= 6.5'")
    known = {one.name for one in catalog.all_experiments(repo)}
    runs = catalog.listing(repo, [experiment]).runs if experiment in known else []
    if any(run.metrics for run in runs):
        return query.parse_filter(text, query.KnownOf(runs))
    return query.parse_filter(text, query.KnownMetrics(_names(query.parse_filter(text, query.KnownOf([]), True))))


def _names(expression: Expression) -> Iterator[str]:
    for one in fields_of(expression):
        metric, dot, part = one.name.rpartition(".")
        yield metric if dot and part in PARTS else one.name


def fields_of(expression: Expression) -> Iterator[Field]:
    """The fields that a condition asks about."""
    if isinstance(expression, (And, Or)):
        for operand in expression.operands:
            yield from fields_of(operand)
    elif isinstance(expression, Not):
        yield from fields_of(expression.operand)
    elif isinstance(expression, (Comparison, In, IsNull, Match)):
        yield expression.field


class Recorded:
    """What recorded runs say of commits."""

    def __init__(self, repo: Repository, question: Question) -> None:
        self.question = question
        self._by_tree: dict[str, list[Run]] = {}
        self._by_commit: dict[str, list[Run]] = {}
        known = {one.name for one in catalog.all_experiments(repo)}
        found = catalog.listing(repo, [question.experiment]).runs if question.experiment in known else []
        runs = [run for run in found if codehistory.code_of(run) is not None and _answers(question, run)]
        codes = git.code_of(repo, [code for run in runs if (code := codehistory.code_of(run)) is not None])
        for run in runs:
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


def _answers(question: Question, run: Run) -> bool:
    """Whether a run was one of what is asked: a command that failed is one only where a bisection saw it fail."""
    tagged = run.tags.get(TAG) == question.id
    if run.status != FINISHED and not (tagged and run.status == FAILED):
        return False
    return tagged or not question.command or _is_same_command(run, question)


def _is_same_command(run: Run, question: Question) -> bool:
    command = run.source.get("command")
    if not isinstance(command, str) or run.source.get("cwd", ".") != question.cwd:
        return False
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    return _plain(words) == _plain(shlex.split(capture.command_text(question.command)))


def _plain(words: Sequence[str]) -> list[str]:
    """A command without the path and version of its Python."""
    return ["python", *words[1:]] if words and is_python(words[0]) else list(words)


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


def latest_good(repo: Repository, recorded: Recorded, bad: str) -> CodeCommit:
    """The latest commit in the history of a bad one that recorded runs call good.

    Raises:
        NotFoundError: there is none.
    """
    for commit in git.walk(repo, [bad], _FURTHEST):
        answer = recorded.answer(commit)
        if commit.id != bad and answer is not None and answer.result == GOOD:
            return commit
    raise NotFoundError(
        f"no recorded run of {recorded.question.experiment} is known to be good: {recorded.question.text}",
        "--good COMMIT says where it was",
    )


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


# --- the search -------------------------------------------------------------------------------------------------------


def bisect(
    repo: Repository,
    folder: Path,
    good: str,
    bad: str,
    recorded: Recorded,
    test: Callable[[CodeCommit], Run] | None,
    said: Callable[[Answer, int | None], None],
) -> Outcome:
    """Look for the first bad commit.

    Args:
        folder: a linked work tree, for git's own notes.
        test: runs the command on a commit's code and gives the run; None where recorded runs alone are to answer.
        said: told each answer, and how many more there are about.

    Raises:
        GitError: the good and the bad commit do not belong together, or answers contradict each other.
    """
    outcome = Outcome(good, bad)
    commits = {one.id: one for one in git.walk(repo, [bad, f"^{good}"])}
    state = git.bisect_start(folder, bad, good)

    def mark(answer: Answer) -> git.Bisection:
        outcome.answers.append(answer)
        now = git.bisect_mark(folder, answer.result, answer.commit.id)
        said(answer, now.steps)
        return now

    while state.next is not None and (answer := _best_known(repo, outcome, recorded, commits)) is not None:
        state = mark(answer)
    while state.next is not None:
        state = mark(_asked(recorded, _commit(repo, commits, state.next), test))
    if state.first_bad is not None:
        outcome.first_bad = _commit(repo, commits, state.first_bad)
    outcome.possible = [_commit(repo, commits, one) for one in state.possible]
    return outcome


def _commit(repo: Repository, commits: Mapping[str, CodeCommit], oid: str) -> CodeCommit:
    return commits[oid] if oid in commits else git.code_of(repo, [oid])[oid]  # a merge base is in neither side


def _best_known(
    repo: Repository, outcome: Outcome, recorded: Recorded, commits: Mapping[str, CodeCommit]
) -> Answer | None:
    """Of the commits that are left and that recorded runs tell of, that which leaves least."""
    bad = next((one.commit.id for one in reversed(outcome.answers) if one.result == BAD), outcome.bad)
    good = [outcome.good, *(one.commit.id for one in outcome.answers if one.result == GOOD)]
    known = (recorded.answer(commits[oid]) for oid in git.halving(repo, bad, good) if oid in commits)
    return next((answer for answer in known if answer is not None and answer.result != SKIP), None)


def _asked(recorded: Recorded, commit: CodeCommit, test: Callable[[CodeCommit], Run] | None) -> Answer:
    """The answer about a commit, from runs that are there and as many more as it takes."""
    runs, ran = list(recorded.runs(commit)), 0
    while True:
        answer = verdict(recorded.question, commit, runs, ran)
        if answer is not None:
            return answer
        if test is None:
            return Answer(commit, SKIP, [], why="no recorded run")
        runs.append(test(commit))
        ran += 1


def ask(recorded: Recorded, commit: CodeCommit, test: Callable[[CodeCommit], Run] | None, option: str) -> Answer:
    """As the search does, of one commit; `option` is what names another on the command line.

    Raises:
        GxtError: nothing can be said of it.
    """
    answer = _asked(recorded, commit, test)
    if answer.result == SKIP:
        hint = f"--link PATH brings what git ignores; {option} COMMIT names another; --no-check-ends takes your word"
        raise GxtError(f"{commit.id[:12]} cannot be tested: {answer.why}", hint)
    return answer
