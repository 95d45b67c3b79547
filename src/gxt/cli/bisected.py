"""What `gxt bisect` says: each answer as it comes, and the commit that was found."""

from __future__ import annotations

from typing import Any

from gxt import bisecting, git
from gxt.bisecting import BAD, GOOD, SKIP, Answer, Outcome, Question
from gxt.cli import output
from gxt.cli.runs import SHORT, commit_json, metric_text
from gxt.git import CodeCommit, Repository
from gxt.model import Run
from gxt.showing import one_line

_LISTED = 20  # commits that cannot be told apart
_STYLES = {GOOD: "green", BAD: "red", SKIP: "yellow"}


class Teller:
    """Says how far it has come."""

    def __init__(self, question: Question, as_json: bool) -> None:
        self._question, self._is_quiet = question, as_json

    def begins(self, result: str, commit: CodeCommit, known: Answer | None) -> None:
        """One end of the search, which somebody named or recorded runs tell of."""
        self.tells(known if known is not None else Answer(commit, result, []), None, is_said=known is None)

    def tells(self, answer: Answer, steps: int | None, is_said: bool = False) -> None:
        """An answer, and about how many are to come; or, if it `is_said`, what nobody has tested."""
        if self._is_quiet:
            return
        result = output.paint(f"{answer.result:<4}", _STYLES[answer.result])
        to_go = f"about {steps} to go" if steps and answer.result != SKIP else ""
        remark = "not tested: taken as said" if is_said else to_go
        more = output.paint(f"  ({remark})", "bright_black") if remark else ""
        commit = answer.commit
        output.say(
            f"{result}  {commit.id[:SHORT]} {one_line(commit.subject)}  {_told(self._question, answer)}{more}".rstrip()
        )


def _told(question: Question, answer: Answer) -> str:
    said = [answer.why] if answer.why else []
    for run in answer.runs:
        values = [] if answer.why else _values(question, run)
        said.append(" ".join([*values, f"({run.name or run.id})"]))
    if answer.runs:
        said.append("recorded" if not answer.ran else f"ran {answer.ran}" if answer.ran > 1 else "ran")
    return ", ".join(said)


def _values(question: Question, run: Run) -> list[str]:
    """The values that the condition is about."""
    found = []
    for one in dict.fromkeys(bisecting.fields_of(question.expression)):
        value = one.value(run)
        if one.kind == "metrics" and not one.part and one.name in run.metrics:
            found.append(metric_text(run, one.name))
        elif value is not None:
            found.append(f"{str(one).removeprefix('metrics.')} {one_line(str(value))}")
    return found


def report(repo: Repository, question: Question, outcome: Outcome) -> None:
    first = outcome.first_bad
    output.say("")
    if first is None:
        said = "only commits are left that could not be tested" if question.command else "no recorded run tells of more"
        output.say(f"{said}; the first bad one is among")
        shown = outcome.possible if len(outcome.possible) <= _LISTED else outcome.possible[: _LISTED - 1]
        for commit in shown:
            output.say(f"  {commit.id[:SHORT]} {one_line(commit.subject)}")
        if len(shown) < len(outcome.possible):
            output.say(f"  and {len(outcome.possible) - len(shown)} more")
        if question.command:
            output.note("what git ignores is not there when the command runs; --link PATH brings it")
        else:
            output.note("a command after -- tests them")
        return
    output.say(f"{output.paint('first bad commit:', 'bold')} {output.paint(first.id, 'yellow')}")
    output.say(f"  {one_line(first.subject)} ({one_line(first.author)})")
    for change in _changes(repo, first):
        counts = "binary" if change.added is None else f"+{change.added} -{change.removed}"
        output.say(f"  {one_line(change.path)}  {counts}")
    for word, answer in (("before", outcome.of(first.parents)), ("since", outcome.of([first.id]))):
        if answer is not None:
            output.say(f"{word:<6}  {answer.commit.id[:SHORT]}  {_told(question, answer)}")


def _changes(repo: Repository, commit: CodeCommit) -> list[git.FileChange]:
    before = commit.parents[0] if commit.parents else git.empty_tree(git.config(repo))
    return git.changed_files(repo, before, commit.id)


def json_of(repo: Repository, question: Question, outcome: Outcome) -> dict[str, Any]:
    first = outcome.first_bad
    before = outcome.of(first.parents) if first else None
    since = outcome.of([first.id]) if first else None
    return {
        "condition": question.text,
        "experiment": question.experiment,
        "tag": question.id,
        "good": outcome.good,
        "bad": outcome.bad,
        "first_bad": commit_json(first) if first else None,
        "files": [change._asdict() for change in _changes(repo, first)] if first else [],
        "before": [run.id for run in before.runs] if before else [],
        "since": [run.id for run in since.runs] if since else [],
        "possible": [commit.id for commit in outcome.possible],
        "steps": [_step_json(answer) for answer in outcome.answers],
    }


def _step_json(answer: Answer) -> dict[str, Any]:
    return {
        "commit": answer.commit.id,
        "subject": answer.commit.subject,
        "result": answer.result,
        "runs": [run.id for run in answer.runs],
        "ran": answer.ran,
        "why": answer.why,
    }
