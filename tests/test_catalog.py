from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gxt import catalog, edits, recorder, store
from gxt.errors import NotFoundError, UsageError
from gxt.git import Repository
from helpers import record


@pytest.fixture
def ids(repo: Repository) -> Iterator[dict[str, str]]:
    """Three runs in two experiments, one more that records, by name."""
    found = {
        name: record(repo, experiment, name=name, metrics=metrics)
        for name, experiment, metrics in (
            ("calm-otter", "taxi", {"rmse": 6.3, "acc:top1": 0.5, "heat": 1.0}),
            ("bold-lynx", "taxi", {"rmse": 5.9}),
            ("warm-wren", "other", {"rmse": 7.0, "acc:top1": 0.9}),
        )
    }
    recording = recorder.begin(repo, "taxi", name="still-running")
    recording.log_metric("rmse", 9.0)
    yield found | {"still-running": recording.run_id}
    recording.end()


def test_every_run_is_listed_wherever_it_is(repo: Repository, ids: dict[str, str]) -> None:
    found = catalog.listing(repo)
    assert [(run.name, run.place, run.status) for run in found.runs] == [
        ("calm-otter", "branch", "finished"),
        ("bold-lynx", "branch", "finished"),
        ("warm-wren", "branch", "finished"),
        ("still-running", "live", "running"),
    ]
    assert sorted(experiment.name for experiment in found.experiments) == ["other", "taxi"]
    assert found.problems == []


def test_the_runs_of_some_experiments(repo: Repository, ids: dict[str, str]) -> None:
    assert [run.name for run in catalog.listing(repo, ["other"]).runs] == ["warm-wren"]
    assert len(catalog.listing(repo, ["taxi"]).runs) == 3
    assert len(catalog.listing(repo, ["taxi", "other"]).runs) == 4
    with pytest.raises(NotFoundError, match="did you mean taxi"):
        catalog.listing(repo, ["taxy"])


def test_an_empty_repository_has_no_runs(repo: Repository) -> None:
    assert catalog.listing(repo).runs == []
    with pytest.raises(NotFoundError):
        catalog.find(repo, "@last")
    with pytest.raises(NotFoundError):
        catalog.find(repo, "anything")
    with pytest.raises(NotFoundError):
        catalog.find(repo, "@best:rmse")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("calm-otter", "calm-otter"),
        ("@last", "still-running"),
        ("@best:rmse", "bold-lynx"),
        ("@best:rmse:min", "bold-lynx"),
        ("@best:rmse:max", "still-running"),
        ("@best:acc:top1:max", "warm-wren"),
        ("@best:acc:top1", "warm-wren"),
        ("taxi/@last", "still-running"),
        ("other/@last", "warm-wren"),
        ("other/@best:rmse", "warm-wren"),
    ],
)
def test_a_run_is_found_by_what_names_it(repo: Repository, ids: dict[str, str], text: str, name: str) -> None:
    assert catalog.find(repo, text).id == ids[name]


def test_a_run_is_found_by_its_id_and_by_beginnings_of_it(repo: Repository, ids: dict[str, str]) -> None:
    for name, run_id in ids.items():
        for text in (run_id, run_id.rsplit("-", 1)[1], run_id.rsplit("-", 1)[1][:6], run_id[:-1]):
            assert catalog.find(repo, text).name == name


@pytest.mark.parametrize("text", ["@first", "@best", "@best:", "@last:rmse", "other/@worst:rmse", "@"])
def test_what_names_no_run(repo: Repository, ids: dict[str, str], text: str) -> None:
    with pytest.raises((UsageError, NotFoundError)):
        catalog.find(repo, text)


def test_a_metric_that_nobody_has(repo: Repository, ids: dict[str, str]) -> None:
    with pytest.raises(NotFoundError, match="mae"):
        catalog.find(repo, "@best:mae")


def test_a_near_miss_comes_with_a_suggestion(repo: Repository, ids: dict[str, str]) -> None:
    with pytest.raises(NotFoundError, match="did you mean calm-otter"):
        catalog.find(repo, "clam-otter")
    with pytest.raises(NotFoundError, match="no experiment 'taxy'"):
        catalog.find(repo, "taxy/@last")


def test_an_ambiguous_name_lists_its_candidates(repo: Repository) -> None:
    twins = [record(repo, experiment, name="twin") for experiment in ("taxi", "other")]
    with pytest.raises(NotFoundError) as caught:
        catalog.find(repo, "twin")
    assert all(run_id in caught.value.message for run_id in twins)
    assert "taxi" in caught.value.message and "other" in caught.value.message
    with pytest.raises(NotFoundError, match="2 runs"):
        catalog.find(repo, twins[0][:4])


def test_many_candidates_are_counted(repo: Repository) -> None:
    for _ in range(7):
        record(repo, name="twin")
    with pytest.raises(NotFoundError, match=r"names 7 runs.*and 2 more"):
        catalog.find(repo, "twin")


def test_fewer_than_four_characters_are_no_beginning_of_an_id(repo: Repository) -> None:
    run_id = record(repo, name="only")
    short = run_id.rsplit("-", 1)[1]
    assert catalog.find(repo, short[:4]).id == run_id
    for text in (short[:3], short[:2], "202"):
        with pytest.raises(NotFoundError, match=f"no run '{text}'") as caught:
            catalog.find(repo, text)
        assert caught.value.hint == f"say 4 characters of an id or more: {short}"
    named = record(repo, name=short[:2])
    assert catalog.find(repo, short[:2]).id == named


def test_a_name_wins_over_the_beginning_of_an_id(repo: Repository) -> None:
    first = record(repo)
    prefix = first.rsplit("-", 1)[1][:5]
    named = record(repo, name=prefix)
    assert catalog.find(repo, prefix).id == named


def test_goals_say_which_is_best(repo: Repository, ids: dict[str, str]) -> None:
    experiment = store.experiment(repo, "other")
    record(repo, "other", name="other-low", metrics={"rmse": 1.0})
    edits.set_goals(repo, experiment, {"rmse": "max"})
    assert catalog.find(repo, "other/@best:rmse").name == "warm-wren"
    assert catalog.find(repo, "taxi/@best:rmse").name == "bold-lynx"
    with pytest.raises(UsageError, match="differ"):
        catalog.find(repo, "@best:rmse")
    assert catalog.find(repo, "@best:rmse:min").name == "other-low"


def test_deleted_runs_are_apart(repo: Repository, ids: dict[str, str]) -> None:
    gone = ids["bold-lynx"]
    store.mark_deleted(repo, gone, True)
    assert catalog.find(repo, "@best:rmse").name == "calm-otter"
    with pytest.raises(NotFoundError, match="restore"):
        catalog.find(repo, gone)
    assert catalog.find(repo, gone, deleted=True).id == gone
    with pytest.raises(NotFoundError, match="not deleted"):
        catalog.find(repo, ids["calm-otter"], deleted=True)


def test_a_deleted_experiment_hides_its_runs(repo: Repository, ids: dict[str, str]) -> None:
    store.edit_experiment(repo, store.experiment(repo, "other"), lambda known: replace(known, deleted=1), "deleted")
    assert "warm-wren" not in [run.name for run in catalog.listing(repo).runs]
    assert [run.name for run in catalog.listing(repo, deleted=True).runs] == ["warm-wren"]


def test_a_run_never_drops_out_of_sight_on_its_way_to_the_branch(repo: Repository) -> None:
    begun: list[str] = []
    done = threading.Event()

    def write() -> None:
        try:
            for number in range(25):
                run = recorder.begin(repo, "taxi")
                begun.append(run.run_id)
                run.log_metric("number", number)
                run.end()
        finally:
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    missed: set[str] = set()
    problems: list[Exception] = []
    while not done.is_set():
        known = set(begun)
        found = catalog.listing(repo)
        missed |= known - {run.id for run in found.runs}
        problems += found.problems
    writer.join()
    assert (missed, problems) == (set(), [])


# --- what is in a run -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["live", "pending", "branch"])
def test_a_run_s_files_are_read_wherever_it_is(repo: Repository, tmp_path: Path, place: str) -> None:
    run = recorder.begin(repo, "taxi")
    run.log_metric("rmse", 1.5, step=2)
    run.log_text("hello", "models/a.txt")
    run.log_text("other", "models.txt")
    if place == "pending":
        run._live.finish("finished")
    elif place == "branch":
        run.end()
    found = catalog.find(repo, run.run_id)
    assert found.place == place
    files = catalog.files(repo, found)
    assert files["artifacts/models/a.txt"] == 5
    run_yaml = catalog.read_file(repo, found, "run.yaml")
    assert run_yaml is not None and len(run_yaml) == files["run.yaml"] and run.run_id.encode() in run_yaml
    assert catalog.read_file(repo, found, "artifacts/models/a.txt") == b"hello"
    assert catalog.read_file(repo, found, "artifacts/missing") is None
    assert [(p.step, p.value) for p in catalog.points(repo, found)] == [(2, 1.5)]
    assert catalog.export(repo, found, tmp_path / "out", "artifacts/models") == ["artifacts/models/a.txt"]
    assert (tmp_path / "out" / "artifacts" / "models" / "a.txt").read_text() == "hello"
    assert not (tmp_path / "out" / "artifacts" / "models.txt").exists()
    assert catalog.export(repo, found, tmp_path / "none", "artifacts/nothing") == []
    everything = catalog.export(repo, found, tmp_path / "all")
    assert everything == list(catalog.files(repo, found))


def test_a_resumed_run_s_files_are_those_of_before_and_now(repo: Repository, tmp_path: Path) -> None:
    run = recorder.begin(repo, "taxi")
    run.log_text("old", "a.txt")
    run.log_text("old", "b.txt")
    run.end()
    again = recorder.resume(repo, run.run_id)
    again.log_text("new", "b.txt")
    found = catalog.find(repo, run.run_id)
    assert found.place == "live"
    assert {"artifacts/a.txt", "artifacts/b.txt", "environment.txt"} <= set(catalog.files(repo, found))
    assert catalog.read_file(repo, found, "artifacts/a.txt") == b"old"
    assert catalog.read_file(repo, found, "artifacts/b.txt") == b"new"
    catalog.export(repo, found, tmp_path)
    assert (tmp_path / "artifacts" / "b.txt").read_text() == "new"
    again.end()


def test_the_best_run_says_how_it_was_chosen(repo: Repository, ids: dict[str, str]) -> None:
    found = catalog.best(repo, "rmse", experiments=["taxi"])
    assert (found.run.name, found.goal, found.said) == ("bold-lynx", "min", True)
    assert not catalog.best(repo, "heat", experiments=["taxi"]).said
    assert catalog.best(repo, "metrics.rmse.last", "min", ["taxi"]).run.name == "bold-lynx"
    edits.set_goals(repo, store.experiment(repo, "taxi"), {"rmse": "min"})
    assert catalog.best(repo, "rmse", experiments=["taxi"]).said
    with pytest.raises(UsageError, match="best by"):
        catalog.best(repo, "rmse", "least")
    with pytest.raises(NotFoundError):
        catalog.best(repo, "missing")


def test_the_earliest_of_equals_is_best_and_nan_never_is(repo: Repository) -> None:
    for name, value in (("nan", float("nan")), ("first", 1.0), ("second", 1.0), ("more", 2.0)):
        record(repo, name=name, metrics={"m": value})
    assert catalog.best(repo, "m").run.name == "first"
    assert catalog.best(repo, "m", "max").run.name == "more"
    with pytest.raises(NotFoundError, match="no run has a value"):
        catalog.best(repo, "m", where="name = 'nan'")
