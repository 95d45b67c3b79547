from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import gxt
from gxt import catalog, fluent, store
from gxt.errors import GxtWarning, NotARepositoryError, NotFoundError, UsageError
from gxt.git import Repository
from helpers import git, record, run_python, write_script


def the_run(repo: Repository) -> gxt.Run:
    (run,) = catalog.listing(repo).runs
    return run


# --- where and what ---------------------------------------------------------------------------------------------


def test_the_whole_of_it_in_ten_lines(repo: Repository) -> None:
    gxt.set_experiment("nyc-taxi")
    with gxt.start_run(run_name="baseline", tags={"developer": "cristian"}, description="a note") as run:
        gxt.log_param("alpha", 0.1)
        gxt.log_params({"beta": 1})
        gxt.log_metric("rmse", 6.3, step=1)
        gxt.log_metrics({"mae": 4.0})
        gxt.log({"loss": 1.0})
        gxt.set_tag("stage", "dev")
        gxt.set_tags({"gone": "x"})
        gxt.delete_tag("gone")
        gxt.log_text("hello", "a.txt")
        assert gxt.active_run() is run
    assert gxt.active_run() is None
    found = the_run(repo)
    assert (found.id, found.name, found.experiment, found.status) == (run.run_id, "baseline", "nyc-taxi", "finished")
    assert (found.params, found.note) == ({"alpha": 0.1, "beta": 1}, "a note")
    assert found.tags == {"developer": "cristian", "stage": "dev"}
    assert {name: summary.last for name, summary in found.metrics.items()} == {"rmse": 6.3, "mae": 4.0, "loss": 1.0}


def test_logging_starts_a_run(repo: Repository) -> None:
    gxt.log_metric("rmse", 1)
    active = gxt.active_run()
    assert active is not None and active.experiment == "default"
    gxt.log_metric("rmse", 2, step=1)
    gxt.end_run()
    assert the_run(repo).metrics["rmse"].count == 2


def test_end_run_takes_a_status_and_no_run(repo: Repository) -> None:
    gxt.end_run()
    gxt.start_run()
    gxt.end_run("FAILED")
    assert the_run(repo).status == "failed"


@pytest.mark.parametrize(
    "uri",
    [
        "http://localhost:5000",
        "https://mlflow.example.com",
        "sqlite:///mlflow.db",
        "databricks://x",
        "postgresql://h/db",
    ],
)
def test_a_server_s_address_is_refused(repo: Repository, uri: str) -> None:
    with pytest.raises(UsageError, match="no address of a git repository"):
        gxt.set_tracking_uri(uri)


def test_a_tracking_uri_is_a_path(repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = Path(gxt.get_tracking_uri())
    assert work.samefile(Path.cwd())
    (work / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    for uri in (str(work), work, str(work / "sub"), work.as_uri(), work / "train.py"):
        fluent._process.repo = None
        gxt.set_tracking_uri(uri)
        assert gxt.get_tracking_uri() == str(work)
    gxt.start_run()
    gxt.end_run()
    assert len(catalog.listing(repo).runs) == 1
    with pytest.raises(UsageError, match="no such directory"):
        gxt.set_tracking_uri("missing")
    (tmp_path / "bare folder").mkdir()
    with pytest.raises(NotARepositoryError):
        gxt.set_tracking_uri(tmp_path / "bare folder")


def test_a_file_uri_may_hold_escapes(tmp_path: Path) -> None:
    folder = tmp_path / "my project"
    git("init", "-q", str(folder))
    gxt.set_tracking_uri(folder.as_uri())
    assert gxt.get_tracking_uri() == str(folder)


def test_outside_of_a_repository_the_first_call_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotARepositoryError, match="git init"):
        gxt.start_run()


def test_where_runs_go_by_precedence(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fluent.current_experiment() == "default"
    git("config", "gxt.experiment", "from config")
    assert fluent.current_experiment() == "from config"
    monkeypatch.setenv("GXT_EXPERIMENT_NAME", "from environment")
    assert fluent.current_experiment() == "from environment"
    gxt.set_experiment("set")
    assert fluent.current_experiment() == "set"
    with gxt.start_run(experiment_name="given") as run:
        assert run.experiment == "given"


def test_the_repository_can_be_named_by_the_environment(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GXT_TRACKING_URI", str(Path.cwd()))
    monkeypatch.chdir(tmp_path)
    gxt.start_run()
    gxt.end_run()
    assert len(catalog.listing(repo).runs) == 1


def test_experiments_by_name_and_id(repo: Repository) -> None:
    experiment = gxt.set_experiment("nyc-taxi")
    assert experiment.experiment_id == experiment.id
    assert gxt.get_experiment_by_name("nyc-taxi") == experiment
    assert git("for-each-ref", "refs/heads/gxt") == ""
    gxt.set_experiment("other")
    assert gxt.set_experiment(experiment_id=experiment.id).name == "nyc-taxi"
    with gxt.start_run():
        pass
    assert the_run(repo).experiment == "nyc-taxi"
    assert gxt.set_experiment("nyc-taxi").id == experiment.id
    with gxt.start_run(experiment_id=gxt.create_experiment("third", description="d", tags={"a": 1})) as run:
        assert run.experiment == "third"
    third = gxt.get_experiment_by_name("third")
    assert third is not None and (third.description, third.tags) == ("d", {"a": "1"})
    assert gxt.get_experiment_by_name("missing") is None


def test_mistakes_about_experiments(repo: Repository) -> None:
    with pytest.raises(UsageError):
        gxt.set_experiment()
    with pytest.raises(UsageError):
        gxt.set_experiment("a", experiment_id="b")
    with pytest.raises(UsageError):
        gxt.set_experiment(" ")
    with pytest.raises(NotFoundError):
        gxt.set_experiment(experiment_id="0123456789abcdef")
    with pytest.raises(NotFoundError):
        gxt.start_run(experiment_id="0123456789abcdef")
    gxt.create_experiment("taxi")
    with pytest.raises(UsageError, match="exists"):
        gxt.create_experiment("taxi")


def delete_experiment(repo: Repository, name: str) -> None:
    from dataclasses import replace

    store.edit_experiment(repo, store.experiment(repo, name), lambda known: replace(known, deleted=1), "deleted")


def test_a_deleted_experiment_takes_no_runs(repo: Repository) -> None:
    record(repo, "taxi")
    delete_experiment(repo, "taxi")
    with pytest.raises(UsageError, match="deleted"):
        gxt.set_experiment("taxi")
    assert fluent.current_experiment() == "default"
    with pytest.raises(UsageError, match="deleted"):
        gxt.start_run(experiment_name="taxi")


def test_an_experiment_s_name_is_refused_or_recorded_at_its_full_length(repo: Repository) -> None:
    """83 characters of three bytes are within the 250 bytes of a name; their folder is longer than a file name."""
    try:
        gxt.set_experiment("数" * 83)
    except UsageError:
        return
    with gxt.start_run():
        gxt.log_metric("a", 1)
    assert git("for-each-ref", "refs/heads/gxt") != ""


# --- one active run ---------------------------------------------------------------------------------------------


def test_a_second_run_needs_to_be_nested(repo: Repository) -> None:
    first = gxt.start_run(run_name="first")
    with pytest.raises(UsageError, match=r"first.*active already"):
        gxt.start_run()
    assert gxt.active_run() is first
    gxt.end_run()
    with gxt.start_run():
        pass
    assert len(catalog.listing(repo).runs) == 2


def test_nested_runs_are_children_in_the_same_experiment(repo: Repository) -> None:
    with gxt.start_run(experiment_name="sweep") as parent:
        for number in range(2):
            with gxt.start_run(nested=True, run_name=f"child-{number}") as child:
                gxt.log_param("number", number)
                with gxt.start_run(nested=True, run_name=f"grandchild-{number}"):
                    pass
                assert gxt.active_run() is child
        gxt.log_metric("best", 1)
        assert gxt.active_run() is parent
    runs = {run.name: run for run in catalog.listing(repo).runs}
    assert {run.experiment for run in runs.values()} == {"sweep"}
    assert runs["child-1"].parent == parent.run_id
    assert runs["grandchild-1"].parent == runs["child-1"].id
    assert runs[parent.name].parent is None and set(runs[parent.name].metrics) == {"best"}


def test_a_parent_can_be_named(repo: Repository) -> None:
    first = record(repo)
    with gxt.start_run(parent_run_id=first):
        pass
    assert catalog.find(repo, "@last").parent == first


def test_a_child_left_open_ends_with_its_parent(repo: Repository) -> None:
    with gxt.start_run() as parent:
        child = gxt.start_run(nested=True)
        parent.end("failed")
        assert gxt.active_run() is None
    assert catalog.find(repo, child.run_id).status == "failed"
    assert catalog.find(repo, parent.run_id).status == "failed"


def test_runs_that_are_not_active_can_be_many(repo: Repository) -> None:
    runs = [gxt.create_run(run_name=f"run-{number}", tags={"n": number}, description="d") for number in range(3)]
    assert gxt.active_run() is None
    for number, run in enumerate(runs):
        run.log_metric("number", number)
    for run in runs:
        run.end()
    found = {run.name: run for run in catalog.listing(repo).runs}
    assert [found[f"run-{n}"].metrics["number"].last for n in range(3)] == [0.0, 1.0, 2.0]
    assert found["run-2"].tags == {"n": "2"} and found["run-2"].note == "d"


def test_the_last_active_run(repo: Repository) -> None:
    assert gxt.last_active_run() is None
    with gxt.start_run() as run:
        gxt.log_metric("a", 1)
        assert gxt.last_active_run().id == run.run_id
    last = gxt.last_active_run()
    assert (last.id, last.status, last.data.metrics) == (run.run_id, "finished", {"a": 1.0})
    assert last.info.run_id == run.run_id


def test_where_artifacts_are(repo: Repository) -> None:
    with gxt.start_run():
        gxt.log_text("x", "a.txt")
        assert Path(gxt.get_artifact_uri("a.txt")).read_text() == "x"


# --- resuming ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["id", "name", "@last"])
def test_a_run_is_resumed_by_what_names_it(repo: Repository, by: str) -> None:
    run_id = record(repo, name="calm-otter", metrics={"a": 1})
    with gxt.start_run(run_id={"id": run_id, "name": "calm-otter"}.get(by, by)) as run:
        assert run.run_id == run_id
        gxt.log_metric("b", 2)
    assert set(the_run(repo).metrics) == {"a", "b"}
    assert the_run(repo).status == "finished"


def test_resume_from_a_step(repo: Repository) -> None:
    with gxt.start_run() as run:
        for step in range(10):
            gxt.log_metric("loss", 10 - step, step=step)
    with gxt.start_run(run_id=run.run_id, resume_from_step=4):
        gxt.log({"loss": 0.5})
    points = catalog.points(repo, the_run(repo))
    assert [p.step for p in points] == [0, 1, 2, 3, 4, 5] and points[-1].value == 0.5


def test_a_crashed_run_can_be_resumed(repo: Repository, work: Path) -> None:
    run_python(code="import os, gxt; gxt.start_run(); gxt.log_metric('a', 1); os.kill(os.getpid(), 9)", check=False)
    (crashed,) = catalog.listing(repo).runs
    with gxt.start_run(run_id=crashed.id):
        gxt.log_metric("a", 2, step=1)
    assert (the_run(repo).status, the_run(repo).metrics["a"].count) == ("finished", 2)


def test_a_run_that_still_records_is_joined(repo: Repository) -> None:
    elsewhere = gxt.create_run()
    with gxt.start_run(run_id=elsewhere.run_id) as joined:
        assert not joined.owner
        gxt.log_metric("a", 1)
    elsewhere.log_metric("b", 1)
    with pytest.raises(UsageError, match="still recording"):
        gxt.start_run(run_id=elsewhere.run_id, resume_from_step=1)
    elsewhere.end()
    assert set(the_run(repo).metrics) == {"a", "b"}


def test_a_run_that_is_not_there_cannot_be_resumed(repo: Repository) -> None:
    with pytest.raises(NotFoundError):
        gxt.start_run(run_id="20200101-000000-00000000")
    with pytest.raises(NotFoundError):
        gxt.start_run(run_id="no-such-run")
    assert gxt.active_run() is None


# --- threads ----------------------------------------------------------------------------------------------------


def in_thread(function: object) -> None:
    errors: list[BaseException] = []

    def body() -> None:
        try:
            function()  # type: ignore[operator]
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def test_a_thread_logs_to_the_main_thread_s_run(repo: Repository) -> None:
    with gxt.start_run() as run:
        in_thread(lambda: gxt.log_metric("from_thread", 1))
        in_thread(lambda: gxt.log_param("from_thread", 1))
        assert gxt.active_run() is run
    assert set(the_run(repo).metrics) == {"from_thread"}


def test_threads_may_have_runs_of_their_own(repo: Repository) -> None:
    both_open = threading.Barrier(2)

    def trial(number: int) -> None:
        with gxt.start_run(run_name=f"trial-{number}"):
            both_open.wait(timeout=30)
            gxt.log_metric("number", number)
            both_open.wait(timeout=30)

    threads = [threading.Thread(target=trial, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gxt.active_run() is None
    assert {run.name: run.metrics["number"].last for run in catalog.listing(repo).runs} == {
        "trial-0": 0.0,
        "trial-1": 1.0,
    }


# --- other processes --------------------------------------------------------------------------------------------


def test_a_child_process_joins_the_run(repo: Repository, work: Path) -> None:
    with gxt.start_run() as run:
        run_python(
            code="""
            import gxt
            gxt.log_metric("child", 1)
            assert not gxt.active_run().owner
            gxt.end_run()
            """
        )
        gxt.log_metric("parent", 1)
    found = the_run(repo)
    assert (found.id, found.status, set(found.metrics)) == (run.run_id, "finished", {"child", "parent"})


def test_a_child_in_another_folder_finds_the_repository(repo: Repository, tmp_path: Path) -> None:
    with gxt.start_run():
        run_python(code="import gxt; gxt.log_metric('child', 1)", cwd=tmp_path)
    assert set(the_run(repo).metrics) == {"child"}


def test_a_child_s_first_run_joins_and_its_next_is_a_child(repo: Repository, work: Path) -> None:
    with gxt.start_run(run_name="outer") as run:
        run_python(
            code="""
            import gxt
            with gxt.start_run():
                gxt.log_metric("joined", 1)
            with gxt.start_run(run_name="inner"):
                gxt.log_metric("own", 1)
            """
        )
    runs = {found.name: found for found in catalog.listing(repo).runs}
    assert set(runs) == {"outer", "inner"}
    assert runs["inner"].parent == run.run_id and set(runs["outer"].metrics) == {"joined"}


def test_a_child_that_fails_does_not_end_the_run(repo: Repository, work: Path) -> None:
    with gxt.start_run():
        done = run_python(code="import gxt; gxt.start_run(); raise ValueError", check=False)
        assert done.returncode == 1
        gxt.log_metric("after", 1)
    assert the_run(repo).status == "finished"


def test_a_name_given_to_a_joined_run_warns(repo: Repository, work: Path) -> None:
    with gxt.start_run(run_name="outer"):
        done = run_python(code="import gxt; gxt.start_run(run_name='inner')")
        assert "joined the run outer" in done.stderr
    assert the_run(repo).name == "outer"


def test_after_the_run_its_environment_is_gone(repo: Repository, work: Path) -> None:
    before = dict(os.environ)
    with gxt.start_run() as run:
        assert os.environ["GXT_RUN_ID"] == run.run_id
        with gxt.start_run(nested=True) as child:
            assert os.environ["GXT_RUN_ID"] == child.run_id
        assert os.environ["GXT_RUN_ID"] == run.run_id
    assert dict(os.environ) == before


def test_a_stale_run_id_in_the_environment_does_no_harm(repo: Repository, work: Path) -> None:
    run_python(code="import gxt; gxt.start_run(); gxt.end_run()", GXT_RUN_ID="20200101-000000-00000000")
    assert the_run(repo).status == "finished"


FORKS = """
    import os, gxt
    run = gxt.start_run(run_name="outer")
    gxt.log_metric("before", 1)
    child = os.fork()
    if child == 0:
        gxt.log_metric("child", 1)
        gxt.end_run()          # ends nothing: the run is the parent's
        {then}
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (0, 1)
    gxt.log_metric("after", 1)
    gxt.end_run()
"""


@pytest.mark.parametrize("then", ["os._exit(0)", "raise SystemExit(0)", "raise ValueError('in the child')"])
def test_a_forked_child_logs_to_the_run_and_does_not_end_it(repo: Repository, work: Path, then: str) -> None:
    run_python(code=FORKS.format(then=then))
    found = the_run(repo)
    assert (found.status, set(found.metrics)) == ("finished", {"before", "child", "after"})


def test_a_forked_child_inside_a_with_block(repo: Repository, work: Path) -> None:
    run_python(
        code="""
        import os, gxt
        with gxt.start_run():
            child = os.fork()
            gxt.log_metric("child" if child == 0 else "parent", 1)
            if child:
                os.waitpid(child, 0)
        """
    )
    found = the_run(repo)
    assert (found.status, set(found.metrics)) == ("finished", {"child", "parent"})


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_workers_log_to_the_run(repo: Repository, work: Path, tmp_path: Path, method: str) -> None:
    script = write_script(
        tmp_path / "pool.py",
        f"""
        import multiprocessing
        import gxt

        def train(number):
            gxt.log_metric(f"worker_{{number}}", number)
            return number

        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            with gxt.start_run():
                with context.Pool(2) as pool:
                    assert pool.map(train, range(4)) == [0, 1, 2, 3]
                gxt.log_metric("done", 1)
        """,
    )
    run_python(str(script))
    found = the_run(repo)
    assert found.status == "finished"
    assert set(found.metrics) == {"worker_0", "worker_1", "worker_2", "worker_3", "done"}


def test_spawned_workers_may_have_nested_runs(repo: Repository, work: Path, tmp_path: Path) -> None:
    script = write_script(
        tmp_path / "pool.py",
        """
        import multiprocessing
        import gxt

        def trial(number):
            with gxt.start_run(run_name=f"trial-{number}", nested=True):
                gxt.log_metric("number", number)

        if __name__ == "__main__":
            with gxt.start_run(run_name="study", experiment_name="sweep"):
                with multiprocessing.get_context("spawn").Pool(2) as pool:
                    pool.map(trial, range(3))
        """,
    )
    run_python(str(script))
    runs = {run.name: run for run in catalog.listing(repo).runs}
    assert set(runs) == {"study", "trial-0", "trial-1", "trial-2"}
    assert {runs[f"trial-{n}"].parent for n in range(3)} == {runs["study"].id}
    assert all(run.status == "finished" for run in runs.values())


# --- MLflow's lesson --------------------------------------------------------------------------------------------

LESSON = """
    import pickle

    import gxt as mlflow
    import pandas as pd
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import Lasso
    from sklearn.metrics import root_mean_squared_error

    mlflow.set_tracking_uri(".")
    mlflow.set_experiment("nyc-taxi-experiment")


    def read_dataframe(filename):
        df = pd.read_csv(filename)
        df["duration"] = pd.to_datetime(df.lpep_dropoff_datetime) - pd.to_datetime(df.lpep_pickup_datetime)
        df["duration"] = df.duration.apply(lambda td: td.total_seconds() / 60)
        df = df[(df.duration >= 1) & (df.duration <= 60)]
        df["PU_DO"] = df["PULocationID"].astype(str) + "_" + df["DOLocationID"].astype(str)
        return df


    df_train = read_dataframe("data/green_tripdata_2021-01.csv")
    df_val = read_dataframe("data/green_tripdata_2021-02.csv")
    dv = DictVectorizer(sparse=False)
    X_train = dv.fit_transform(df_train[["PU_DO", "trip_distance"]].to_dict(orient="records"))
    X_val = dv.transform(df_val[["PU_DO", "trip_distance"]].to_dict(orient="records"))
    y_train = df_train["duration"].values
    y_val = df_val["duration"].values

    with mlflow.start_run():
        mlflow.set_tag("developer", "cristian")
        mlflow.log_param("train-data-path", "./data/green_tripdata_2021-01.csv")
        mlflow.log_param("valid-data-path", "./data/green_tripdata_2021-02.csv")
        alpha = 0.1
        mlflow.log_param("alpha", alpha)
        lr = Lasso(alpha)
        lr.fit(X_train, y_train)
        y_pred = lr.predict(X_val)
        rmse = root_mean_squared_error(y_val, y_pred)
        mlflow.log_metric("rmse", rmse)
        with open("models/lin_reg.bin", "wb") as f_out:
            pickle.dump((dv, lr), f_out)
        mlflow.log_artifact(local_path="models/lin_reg.bin", artifact_path="models_pickle")
"""


def test_the_lesson_s_script_runs_with_its_import_changed(repo: Repository, work: Path) -> None:
    (work / "data").mkdir()
    (work / "models").mkdir()
    rows = ["lpep_pickup_datetime,lpep_dropoff_datetime,PULocationID,DOLocationID,trip_distance"]
    rows += [f"2021-01-01 00:00:00,2021-01-01 00:{n % 50 + 2:02}:30,{n % 7},{n % 5},{n / 10}" for n in range(60)]
    for month in ("01", "02"):
        (work / "data" / f"green_tripdata_2021-{month}.csv").write_text("\n".join(rows) + "\n")
    write_script(work / "lesson.py", LESSON)
    run_python("lesson.py")
    found = the_run(repo)
    assert (found.experiment, found.status, found.tags) == (
        "nyc-taxi-experiment",
        "finished",
        {"developer": "cristian"},
    )
    assert found.params == {
        "train-data-path": "./data/green_tripdata_2021-01.csv",
        "valid-data-path": "./data/green_tripdata_2021-02.csv",
        "alpha": 0.1,
    }
    assert found.metrics["rmse"].last > 0
    assert found.source["entrypoint"] == "lesson.py" and found.source["command"].endswith("lesson.py")
    assert (
        catalog.read_file(repo, found, "artifacts/models_pickle/lin_reg.bin")
        == (work / "models" / "lin_reg.bin").read_bytes()
    )


def test_a_broken_repository_does_not_stop_set_experiment(repo: Repository, work: Path) -> None:
    fluent.repository()
    (work / ".git" / "HEAD").rename(work / ".git" / "HEAD.gone")
    with pytest.warns(GxtWarning):
        assert gxt.set_experiment("taxi").name == "taxi"
    (work / ".git" / "HEAD.gone").rename(work / ".git" / "HEAD")


def test_two_scripts_after_another_in_one_process_group_are_two_runs(repo: Repository, work: Path) -> None:
    code = textwrap.dedent("import gxt; gxt.start_run(); gxt.log_metric('a', 1)")
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=True)
    assert [run.status for run in catalog.listing(repo).runs] == ["finished", "finished"]
