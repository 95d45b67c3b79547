from __future__ import annotations

from pathlib import Path

import pytest

import gxt
from gxt import edits, store
from gxt.errors import NotFoundError, UsageError
from gxt.git import Repository
from helpers import git, record


@pytest.fixture
def runs(repo: Repository) -> list[str]:
    """Three runs of the current experiment, one of another."""
    gxt.set_experiment("taxi")
    ids = [
        record(repo, name="a", params={"alpha": 0.1, "model": {"depth": 3}}, metrics={"rmse": 6.3}, tags={"t": "x"}),
        record(repo, name="b", params={"alpha": 0.01}, metrics={"rmse": 5.9, "mae": 4.0}, status="failed"),
        record(repo, name="c", params={"alpha": "auto"}, metrics={"rmse": float("nan")}),
    ]
    record(repo, "other", name="d", metrics={"rmse": 1.0})
    return ids


def test_a_dataframe_with_mlflow_s_columns(repo: Repository, runs: list[str]) -> None:
    frame = gxt.search_runs(order_by=["run_name"])
    assert list(frame.columns) == [
        "run_id",
        "run_name",
        "experiment_id",
        "experiment_name",
        "status",
        "artifact_uri",
        "start_time",
        "end_time",
        "metrics.mae",
        "metrics.rmse",
        "params.alpha",
        "params.model.depth",
        "tags.mlflow.runName",
        "tags.t",
    ]
    assert list(frame["run_id"]) == runs
    assert list(frame["status"]) == ["FINISHED", "FAILED", "FINISHED"]
    assert list(frame["params.alpha"]) == [0.1, 0.01, "auto"]
    assert frame.loc[1, "metrics.mae"] == 4.0 and frame["metrics.mae"].isna().sum() == 2
    experiment = gxt.get_experiment_by_name("taxi")
    assert experiment is not None and set(frame["experiment_id"]) == {experiment.id}
    assert str(frame["start_time"].dtype).startswith("datetime64") and "UTC" in str(frame["start_time"].dtype)
    assert (frame["end_time"] >= frame["start_time"]).all()
    assert frame.loc[0, "artifact_uri"] == f"gxt:experiments/taxi/{runs[0]}/artifacts"


@pytest.mark.parametrize(
    ("order", "names"),
    [
        (["metrics.rmse"], ["b", "a", "c"]),
        (["metrics.rmse DESC"], ["a", "b", "c"]),
        (["metrics.mae DESC", "run_name"], ["b", "a", "c"]),
        (["params.alpha"], ["b", "a", "c"]),
        (["attributes.status", "run_name DESC"], ["b", "c", "a"]),
        (["name"], ["a", "b", "c"]),
    ],
)
def test_the_order_of_runs(repo: Repository, runs: list[str], order: list[str], names: list[str]) -> None:
    assert [run.name for run in gxt.search_runs(order_by=order, output_format="list")] == names
    assert list(gxt.search_runs(order_by=order)["run_name"]) == names


def test_the_latest_come_first_and_may_be_limited(repo: Repository) -> None:
    for name in "ab":
        record(repo, "default", name=name)
    found = gxt.search_runs(output_format="list")
    starts = [run.started for run in found]
    assert starts == sorted(starts, reverse=True)
    assert len(gxt.search_runs(max_results=1)) == 1
    assert len(gxt.search_runs(max_results=0)) == 0


def test_which_experiments(repo: Repository, runs: list[str]) -> None:
    assert len(gxt.search_runs()) == 3
    assert list(gxt.search_runs(experiment_names=["other"])["run_name"]) == ["d"]
    assert len(gxt.search_runs(search_all_experiments=True)) == 4
    other = gxt.get_experiment_by_name("other")
    assert other is not None
    assert list(gxt.search_runs([other.id])["run_name"]) == ["d"]
    assert len(gxt.search_runs([other.id], experiment_names=["taxi"])) == 4
    with pytest.raises(NotFoundError):
        gxt.search_runs(experiment_names=["missing"])
    with pytest.raises(NotFoundError):
        gxt.search_runs(["missing"])


def test_mistakes_are_named(repo: Repository, runs: list[str]) -> None:
    with pytest.raises(NotFoundError, match="rmse"):
        gxt.search_runs(order_by=["metrics.rmes"])
    with pytest.raises(UsageError):
        gxt.search_runs(output_format="xml")


@pytest.mark.parametrize(
    ("filter_string", "names"),
    [
        ("metrics.rmse < 6", ["b"]),
        ("params.alpha = '0.1' or params.alpha = 'auto'", ["a", "c"]),
        ("attributes.status = 'FAILED'", ["b"]),
        ("tags.t = 'x' and params.model.depth = 3", ["a"]),
        ("tags.mlflow.runName LIKE '%'", ["a", "b", "c"]),
        ("", ["a", "b", "c"]),
    ],
)
def test_filters(repo: Repository, runs: list[str], filter_string: str, names: list[str]) -> None:
    assert list(gxt.search_runs(filter_string=filter_string, order_by=["name"])["run_name"]) == names


def test_arguments_come_in_mlflow_s_order(repo: Repository, runs: list[str]) -> None:
    store.mark_deleted(repo, runs[0], True)
    found = gxt.search_runs(None, "metrics.rmse > 0", 3, 2, ["run_name"], "list", True)
    assert [run.name for run in found] == ["a", "b"]
    names = gxt.search_runs(None, "", "DELETED_ONLY", None, None, "list", False, ["taxi"])
    assert [run.name for run in names] == ["a"]
    assert len(gxt.search_runs(run_view_type="ALL")) == 3
    with pytest.raises(UsageError, match="ACTIVE_ONLY"):
        gxt.search_runs(run_view_type=4)


def test_earlier_states_and_unknown_names(repo: Repository, runs: list[str]) -> None:
    assert list(gxt.search_runs(at="gxt~2", order_by=["name"])["run_name"]) == ["a", "b"]
    with pytest.raises(NotFoundError, match="nothing"):
        gxt.search_runs(filter_string="metrics.nothing > 1")
    assert len(gxt.search_runs(filter_string="metrics.nothing > 1", allow_unknown=True)) == 0
    gxt.set_experiment("new")
    assert len(gxt.search_runs(filter_string="metrics.nothing > 1")) == 0


def test_an_empty_answer_has_mlflow_s_columns_too(repo: Repository) -> None:
    gxt.set_experiment("new")
    frame = gxt.search_runs()
    assert len(frame) == 0
    assert {"run_id", "experiment_id", "status", "artifact_uri", "start_time", "end_time"} <= set(frame.columns)


def test_live_runs_are_found_and_deleted_ones_are_not(repo: Repository, runs: list[str]) -> None:
    store.mark_deleted(repo, runs[0], True)
    with gxt.start_run(run_name="live"):
        gxt.log_metric("rmse", 3.0)
        frame = gxt.search_runs(order_by=["run_name"])
        assert list(frame["run_name"]) == ["b", "c", "live"]
        assert list(frame["status"])[-1] == "RUNNING"
        assert frame["end_time"].isna().sum() == 1


def test_a_run_by_anything_that_names_it(repo: Repository, runs: list[str]) -> None:
    assert gxt.get_run(runs[0]).data.params == {"alpha": 0.1, "model.depth": 3}
    assert gxt.get_run("taxi/@best:rmse").name == "b"
    assert gxt.get_run("b").info.status == "FAILED"
    with pytest.raises(NotFoundError):
        gxt.get_run("missing")


def test_the_best_run(repo: Repository) -> None:
    record(repo, "default", name="low", params={"model": "a"}, metrics={"acc": 0.1})
    record(repo, "default", name="high", params={"model": "b"}, metrics={"acc": 0.9})
    record(repo, "other", name="higher", metrics={"acc": 1.0})
    assert gxt.best_run("acc").name == "higher", "of all experiments, where none was set"
    assert len(gxt.search_runs(output_format="list")) == 3
    gxt.set_experiment("default")
    assert len(gxt.search_runs(output_format="list")) == 2
    assert gxt.best_run("acc", "max").name == "high"
    assert gxt.best_run("acc", "min").name == "low"
    assert gxt.best_run("acc", "max", filter_string="model = 'a'").name == "low"
    assert gxt.best_run("acc", "max", search_all_experiments=True).name == "higher"
    assert gxt.best_run("acc", experiment_names=["other"]).name == "higher"
    edits.set_goals(repo, store.experiment(repo, "default"), {"acc": "max"})
    assert gxt.best_run("acc").name == "high"
    with pytest.raises(NotFoundError, match="no run has 'missing'"):
        gxt.best_run("missing")


def test_tables_of_several_runs_in_one(repo: Repository) -> None:
    for alpha in (0.1, 0.2):
        with gxt.start_run(run_name=f"run-{alpha}"):
            gxt.log_param("alpha", alpha)
            gxt.log_table({"x": [1, 2], "y": ["a", None]}, "eval/t.json")
    with gxt.start_run():
        pass
    frame = gxt.load_table("eval/t.json", extra_columns=["name", "params.alpha", "run_id"])
    assert list(frame.columns) == ["x", "y", "name", "params.alpha", "run_id"]
    assert list(frame["name"]) == ["run-0.1", "run-0.1", "run-0.2", "run-0.2"]
    assert list(frame["params.alpha"]) == [0.1, 0.1, 0.2, 0.2]
    assert len(gxt.load_table("eval/t.json", ["run-0.1"])) == 2
    with pytest.raises(NotFoundError, match=r"missing\.json"):
        gxt.load_table("missing.json")


@pytest.mark.parametrize("live", [True, False])
def test_artifacts_are_downloaded(repo: Repository, tmp_path: Path, live: bool) -> None:
    run = gxt.create_run(run_name="a")
    run.log_text("one", "models/a.txt")
    run.log_text("two", "models/sub/b.txt")
    run.log_text("three", "c.txt")
    if not live:
        run.end()
    everything = Path(gxt.download_artifacts("a", dst_path=tmp_path / "all"))
    assert sorted(p.relative_to(everything).as_posix() for p in everything.rglob("*") if p.is_file()) == [
        "c.txt",
        "models/a.txt",
        "models/sub/b.txt",
    ]
    assert Path(gxt.download_artifacts("a", "c.txt", tmp_path / "one")).read_text() == "three"
    folder = Path(gxt.download_artifacts("a", "models"))
    assert (folder / "sub" / "b.txt").read_text() == "two"
    with pytest.raises(NotFoundError, match="missing"):
        gxt.download_artifacts("a", "missing")
    assert not list(tmp_path.rglob(".gxt-*"))
    run.end()


def test_a_run_without_artifacts_says_so(repo: Repository, tmp_path: Path) -> None:
    record(repo, name="a")
    with pytest.raises(NotFoundError, match="no artifact"):
        gxt.download_artifacts("a")


def test_reading_writes_nothing(repo: Repository, runs: list[str]) -> None:
    before = git("for-each-ref")
    gxt.search_runs()
    gxt.get_run("@last")
    assert git("for-each-ref") == before
