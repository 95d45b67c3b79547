"""What is asked of commits, and the answers."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple

from gxt import capture, catalog, query
from gxt.errors import UsageError
from gxt.git import CodeCommit, Repository
from gxt.model import Run
from gxt.query import And, Comparison, Expression, Field, In, IsNull, Match, Not, Or
from gxt.query.fields import PARTS
from gxt.replaying.plan import is_python

GOOD, BAD, SKIP = "good", "bad", "skip"
TAG = "bisect"
"""The tag of runs that a bisection recorded; its value is that of all runs of one question."""


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


# --- the experiment ---------------------------------------------------------------------------------------------------


def find_experiment(repo: Repository, text: str, command: Sequence[str], cwd: str, otherwise: str) -> str:
    """The experiment whose runs answer, where nobody says it: a program may have chosen its own, which is known once it
    has recorded a run.

    It is that of the latest run with a metric of the condition that ran the command; else, that ran its program; else
    the one that has such runs.

    Args:
        text: the condition.
        otherwise: the experiment where there are no such runs, or in several of them it too.

    Raises:
        UsageError: several have, and `otherwise` has none.
    """
    names = set(_names(query.parse_filter(text, query.KnownOf([]), True)))
    runs = [run for run in catalog.listing(repo, order_by=["started:desc"]).runs if names & run.metrics.keys()]
    same = [run for run in runs if command and is_same_command(run, command, cwd)]
    program = {PurePosixPath(word).name for word in command}
    like = [run for run in runs if PurePosixPath(str(run.source.get("entrypoint") or "")).name in program]
    if same or like:
        return (same or like)[0].experiment
    having = list(dict.fromkeys(run.experiment for run in runs))
    if otherwise in having or not having:
        return otherwise
    if len(having) > 1:
        raise UsageError(f"runs of several experiments have {', '.join(sorted(names))}", f"-e {' or -e '.join(having)}")
    return having[0]


def is_same_command(run: Run, command: Sequence[str], cwd: str) -> bool:
    """Whether a run ran a command in a folder, relative to the top of the code; by which Python does not count."""
    recorded = run.source.get("command")
    if not isinstance(recorded, str) or run.source.get("cwd", ".") != cwd:
        return False
    try:
        words = shlex.split(recorded)
    except ValueError:
        return False
    return _plain(words) == _plain(shlex.split(capture.command_text(command)))


def _plain(words: Sequence[str]) -> list[str]:
    """A command without the path and version of its Python."""
    return ["python", *words[1:]] if words and is_python(words[0]) else list(words)
