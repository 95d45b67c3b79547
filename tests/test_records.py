"""gxt blame: which runs moved the best value of a metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from gxt import catalog, recorder, records, store
from gxt import git as questions
from gxt.errors import NotFoundError, UsageError
from gxt.git import Repository
from gxt.model import Run
from helpers import git, record


def names(found: Sequence[records.Line]) -> dict[str, list[str]]:
    return {line.experiment: [record.run.name for record in line.records] for line in found}


def test_records_in_the_order_of_their_ends(repo: Repository) -> None:
    early = recorder.begin(repo, "taxi", name="began-first")
    early.log_metric("rmse", 5)
    for name, rmse in (("a", 9.0), ("b", 9.0), ("c", 10.0), ("nan", float("nan")), ("d", 6.0)):
        record(repo, name=name, metrics={"rmse": rmse})
    assert names(records.lines(repo, "rmse")) == {"taxi": ["a", "d"]}  # what still records may change
    early.end("finished")
    (line,) = records.lines(repo, "rmse")
    assert [one.run.name for one in line.records] == ["a", "d", "began-first"]
    assert [(one.value, one.before, one.change) for one in line.records] == [
        (9.0, None, None),
        (6.0, 9.0, -3.0),
        (5.0, 6.0, -1.0),
    ]
    assert line.records[1].percent == pytest.approx(-100 / 3)
    assert line.records[-1].subject == "first"
    assert (line.goal, line.said, line.runs) == ("min", True, 5)


def test_goals_parts_filters_and_experiments(repo: Repository) -> None:
    for experiment, score in (("taxi", 1), ("taxi", 3), ("bus", 3), ("bus", 1), ("taxi", 2)):
        record(repo, experiment, name=f"{experiment}{score}", metrics={"score": score})
    assert names(records.lines(repo, "score")) == {"bus": ["bus3", "bus1"], "taxi": ["taxi1"]}
    assert not records.lines(repo, "score")[0].said
    taxi = catalog.find_experiment(repo, "taxi")
    store.edit_experiment(repo, taxi, lambda known: replace(known, goals={"score": "max"}), "edited")
    assert names(records.lines(repo, "score")) == {"bus": ["bus3", "bus1"], "taxi": ["taxi1", "taxi3"]}
    assert names(records.lines(repo, "score", "max")) == {"bus": ["bus3"], "taxi": ["taxi1", "taxi3"]}
    assert names(records.lines(repo, "score.min", "min", ["bus"])) == {"bus": ["bus3", "bus1"]}
    assert names(records.lines(repo, "score", where="name != 'taxi3'"))["taxi"] == ["taxi1", "taxi2"]
    with pytest.raises(NotFoundError):
        records.lines(repo, "scor")
    with pytest.raises(UsageError):
        records.lines(repo, "score", "most")


def test_deleted_runs_hold_no_record(repo: Repository) -> None:
    record(repo, name="a", metrics={"rmse": 9})
    best = record(repo, name="b", metrics={"rmse": 1})
    record(repo, name="c", metrics={"rmse": 5})
    store.mark_deleted(repo, best, True)
    assert names(records.lines(repo, "rmse")) == {"taxi": ["a", "c"]}


def test_a_commit_that_is_not_here_has_no_subject(repo: Repository) -> None:
    record(repo, name="a", metrics={"rmse": 9})
    commit = git("rev-parse", "HEAD")
    found = questions.subjects(repo, [commit, "0" * 40, "no commit"])
    assert found == {commit: "first"}


def test_a_first_value_of_zero_gives_no_percentage() -> None:
    one = records.Record(Run("20261123-131600-5424d951", "taxi"), 1.0, 0.0)
    assert (one.change, one.percent) == (1.0, None)
