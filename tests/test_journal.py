"""The journal: what commits of the run branch say happened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import gxt
from gxt import catalog, edits, journal, recorder, store
from gxt.errors import NotFoundError, UsageError
from gxt.git import Identity, LogEntry, Repository
from gxt.journal import Event
from helpers import git, put_on_branch, record


def told(repo: Repository, **options: object) -> list[tuple[str, str | None, str]]:
    events, _ = journal.journal(repo, **options)  # type: ignore[arg-type]
    return [(event.kind, event.experiment, event.text) for event in events]


def test_a_run_s_life(repo: Repository) -> None:
    run_id = record(repo, "taxi", name="one", metrics={"rmse": 6.3})
    run = catalog.find(repo, "one")
    edits.tag(repo, run, {"stage": "prod"})
    edits.note(repo, run, "good")
    edits.delete(repo, run)
    store.mark_deleted(repo, run_id, False)
    assert told(repo) == [
        ("restored", "taxi", "one restored"),
        ("deleted", "taxi", "one deleted"),
        ("noted", "taxi", "one noted"),
        ("tagged", "taxi", "one tagged stage=prod"),
        ("finished", "taxi", "one finished, rmse=6.3"),
        ("created", "taxi", "experiment created"),
    ]
    events, more = journal.journal(repo)
    assert {event.run for event in events} == {run_id, None} and not more
    assert {event.author for event in events} == {"Ada Lovelace <ada@example.com>"}
    assert events[0].commit == git("rev-parse", "gxt")
    assert events[0].time == int(git("log", "-1", "--format=%ct", "gxt")) * 1000


@pytest.mark.parametrize("status", ["failed", "killed"])
def test_how_runs_end(repo: Repository, status: str) -> None:
    record(repo, "taxi", name="a run, finished", status=status)
    ((kind, _, _), _) = told(repo)
    assert kind == status


def test_runs_committed_together_are_told_one_by_one(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(store, "commit_pending", lambda *args: [])
        ids = [record(repo, "taxi", name="one", status="failed"), record(repo, "rides: new", name="two")]
    store.commit_pending(repo)
    events, _ = journal.journal(repo)
    by_run = {event.run: event for event in events}
    assert by_run[ids[0]].kind == "failed" and by_run[ids[1]].kind == "finished"
    assert [event.experiment for event in events if event.kind == "created"] == ["rides: new", "taxi"]


def test_experiments(repo: Repository) -> None:
    gxt.create_experiment("a: b", description="two parts")
    experiment = catalog.find_experiment(repo, "a: b")
    edits.delete_experiment(repo, experiment)
    edits.restore_experiment(repo, experiment)
    assert told(repo) == [
        ("restored", "a: b", "experiment restored"),
        ("deleted", "a: b", "experiment deleted"),
        ("created", "a: b", "experiment created"),
    ]


def test_purged_runs_are_named(repo: Repository) -> None:
    ids = [record(repo, "taxi", name=name) for name in ("one", "two")]
    for run_id in ids:
        store.mark_deleted(repo, run_id, True)
    store.purge(repo, ids)
    assert sorted(told(repo)[:2]) == [("purged", "taxi", "one purged"), ("purged", "taxi", "two purged")]
    store.mark_deleted(repo, record(repo, "taxi", name="three"), True)
    store.purge(repo, [catalog.find(repo, "three", deleted=True).id])
    assert told(repo)[0] == ("purged", "taxi", "three purged")


def test_checkpoints(repo: Repository) -> None:
    run = recorder.begin(repo, "taxi", name="long")
    run.log_metric("rmse", 6.5)
    run.commit()
    run.end()
    assert [kind for kind, _, _ in told(repo)] == ["finished", "running", "created"]


def test_hands_and_merges_are_shown_by_their_subject(repo: Repository, work: Path) -> None:
    record(repo, "taxi", name="one")
    first = git("rev-parse", "gxt")
    put_on_branch("README.md", "our runs\n")
    ours = git("rev-parse", "gxt")
    git("update-ref", "refs/heads/gxt", first)
    record(repo, "taxi", name="two")
    tree = git("rev-parse", "gxt^{tree}")
    merge = git("commit-tree", tree, "-p", "gxt", "-p", ours, "-m", "Merge the readme: done")
    git("update-ref", "refs/heads/gxt", merge)
    kinds = told(repo)
    assert kinds[0] == ("merge", None, "Merge the readme: done")
    assert ("other", None, "by hand") in kinds
    assert sorted(kind for kind, _, _ in kinds) == ["created", "finished", "finished", "merge", "other"]


def test_some_experiments_and_no_more_than_asked(repo: Repository) -> None:
    for experiment in ("taxi", "rides", "taxi"):
        record(repo, experiment, name="x")
    assert [experiment for _, experiment, _ in told(repo, experiments=["rides"])] == ["rides", "rides"]
    assert len(told(repo, experiments=["taxi"])) == 3
    events, more = journal.journal(repo, limit=2)
    assert len(events) == 2 and more
    assert not journal.journal(repo, limit=5)[1]
    with pytest.raises(NotFoundError, match="txi"):
        journal.journal(repo, ["txi"])


def test_times(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    record(repo, "taxi", name="now")
    environment = {"GIT_COMMITTER_DATE": "2020-01-02T12:00:00Z", "GIT_AUTHOR_DATE": "2020-01-02T12:00:00Z"}
    for key, value in environment.items():
        monkeypatch.setitem(os.environ, key, value)
    old = git("commit-tree", "gxt^{tree}", "-m", "long ago")
    git("update-ref", "refs/heads/gxt", old)
    assert told(repo, until="2020-01-02") == [("other", None, "long ago")]
    assert told(repo, since="2020-01-03") == []
    assert told(repo, since="2020-01-02", until="2020-01-02") == [("other", None, "long ago")]
    with pytest.raises(UsageError, match="no time"):
        journal.journal(repo, since="soon")


def test_nothing_yet(repo: Repository) -> None:
    assert journal.journal(repo) == ([], False)


def entry(subject: str, body: str = "", *trailers: tuple[str, str]) -> LogEntry:
    return LogEntry("1" * 40, Identity("Ada", "ada@example.com"), 0, 1, subject, body, list(trailers))


RUN = ("Gxt-Run", "20261123-083000-3f9a1c2e")


@pytest.mark.parametrize(
    ("one", "kind", "experiment"),
    [
        (entry("taxi: one tagged text=it finished", "", RUN), "tagged", "taxi"),
        (entry("taxi: one tagged -stage", "", RUN), "tagged", "taxi"),
        (entry("taxi: one ended as killed", "", RUN), "killed", "taxi"),
        (entry("taxi: finished finished", "", RUN), "finished", "taxi"),
        (entry("taxi: one renamed two", "", RUN), "edited", "taxi"),
        (entry("no colon", "", RUN), "edited", None),
        (entry("2 runs", "", RUN, RUN), "edited", None),
        (entry("purge everything"), "other", None),
        (entry("docs: created a page"), "other", None),
        (entry("taxi: created"), "created", "taxi"),  # as commits were before there was a trailer
        (entry("taxi: goal set", "", ("Gxt-Experiment", "taxi")), "edited", "taxi"),
        (entry("Begin the run branch"), "other", None),
        (entry(""), "other", None),
    ],
)
def test_what_a_message_tells(one: LogEntry, kind: str, experiment: str | None) -> None:
    (event,) = journal.events_of(one)
    assert (event.kind, event.experiment) == (kind, experiment)
    assert isinstance(event, Event)
