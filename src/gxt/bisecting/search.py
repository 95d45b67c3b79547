"""The search: which commit to test next, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gxt import git
from gxt.bisecting.question import BAD, GOOD, SKIP, Answer, Outcome
from gxt.bisecting.recorded import Recorded, verdict
from gxt.errors import GxtError
from gxt.git import CodeCommit, Repository
from gxt.model import Run


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
    possible: Sequence[str] = ()
    while state.next is not None:
        answer = _asked(recorded, _commit(repo, commits, state.next), test)
        if test is None and answer.result == SKIP and state.next in commits:  # nor do they tell of any other
            possible = _left(repo, outcome)
            break
        state = mark(answer)
    if state.first_bad is not None:
        outcome.first_bad = _commit(repo, commits, state.first_bad)
    outcome.possible = [_commit(repo, commits, one) for one in possible or state.possible]
    return outcome


def _commit(repo: Repository, commits: Mapping[str, CodeCommit], oid: str) -> CodeCommit:
    return commits[oid] if oid in commits else git.code_of(repo, [oid])[oid]  # a merge base is in neither side


def _best_known(
    repo: Repository, outcome: Outcome, recorded: Recorded, commits: Mapping[str, CodeCommit]
) -> Answer | None:
    """Of the commits that are left and that recorded runs tell of, that which leaves least."""
    known = (recorded.answer(commits[oid]) for oid in _left(repo, outcome)[1:] if oid in commits)
    return next((answer for answer in known if answer is not None and answer.result != SKIP), None)


def _left(repo: Repository, outcome: Outcome) -> list[str]:
    """The commits that may be the first bad one: that which is known to be bad, and those that lead to it."""
    bad = next((one.commit.id for one in reversed(outcome.answers) if one.result == BAD), outcome.bad)
    good = [outcome.good, *(one.commit.id for one in outcome.answers if one.result == GOOD)]
    return [bad, *git.halving(repo, bad, good)]


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
        brings = "--link PATH brings what git ignores, -e NAME what the runs of an experiment read"
        hint = f"{brings}; {option} COMMIT names another; --no-check-ends takes your word"
        raise GxtError(f"{commit.id[:12]} cannot be tested: {answer.why}", hint)
    return answer
