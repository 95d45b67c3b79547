from __future__ import annotations

import resource
import warnings
from datetime import datetime, timezone
from pathlib import Path

import numpy
import pytest

from gxt import catalog, recorder, store
from gxt.errors import GxtError, GxtWarning, NotFoundError, UsageError
from gxt.git import Repository
from gxt.recorder import ActiveRun
from helpers import git, record


@pytest.fixture
def run(repo: Repository) -> ActiveRun:
    return recorder.begin(repo, "taxi", name="calm-otter")


# --- params -----------------------------------------------------------------------------------------------------


def test_params_keep_their_types_and_nesting(run: ActiveRun, repo: Repository) -> None:
    params = {"alpha": 0.1, "n": 3, "flag": True, "none": None, "text": "1e-3", "model": {"depth": 3, "dims": [64, 32]}}
    run.log_params(params)
    assert run.log_param("seed", numpy.int64(7)) == 7
    run.end()
    assert store.read_run(repo, run.run_id).params == params | {"seed": 7}


def test_a_param_logged_again_with_the_same_value_is_fine(run: ActiveRun) -> None:
    run.log_param("alpha", 0.1)
    run.log_param("alpha", 0.1)
    run.log_param("nan", float("nan"))
    run.log_param("nan", float("nan"))
    run.log_params({"model": {"depth": 3}})
    run.log_params({"model": {"leaves": 7}})
    run.log_params({"model": {"depth": 3}})
    assert run.record.params["model"] == {"depth": 3, "leaves": 7}


@pytest.mark.parametrize(
    "again",
    [
        {"alpha": 0.2},
        {"alpha": "0.1"},
        {"alpha": {"a": 1}},
        {"model": {"depth": 4}},
        {"model": 3},
        {"model.depth": 4},
        {"model": {"sub": 1}},
    ],
)
def test_a_param_logged_again_with_another_value_raises(run: ActiveRun, again: dict[str, object]) -> None:
    before = {"alpha": 0.1, "model": {"depth": 3, "sub": {"x": 1}}}
    run.log_params(before)
    with pytest.raises(UsageError, match="already"):
        run.log_params({"fresh": 1, **again})
    assert run.record.params == before


def test_what_another_process_logged_counts_too(run: ActiveRun, repo: Repository) -> None:
    other = recorder.join(repo, run.run_id)
    other.log_param("alpha", 0.1)
    with pytest.raises(UsageError, match="already"):
        run.log_param("alpha", 0.2)
    other.end()


def test_params_of_a_resumed_run_still_count(run: ActiveRun, repo: Repository) -> None:
    run.log_param("alpha", 0.1)
    run.end()
    again = recorder.resume(repo, run.run_id)
    with pytest.raises(UsageError, match="already"):
        again.log_param("alpha", 0.2)
    again.log_param("beta", 1)
    again.end()
    assert store.read_run(repo, run.run_id).params == {"alpha": 0.1, "beta": 1}


@pytest.mark.parametrize("name", ["", " ", "a\nb", 3, None])
def test_names_that_cannot_be_are_refused_at_the_call(run: ActiveRun, name: str) -> None:
    with pytest.raises(UsageError):
        run.log_param(name, 1)
    with pytest.raises(UsageError):
        run.log_metric(name, 1)
    with pytest.raises(UsageError):
        run.log_metrics({name: 1})
    with pytest.raises(UsageError):
        run.set_tag(name, 1)


def test_secrets_are_masked(run: ActiveRun, repo: Repository) -> None:
    run.log_params({"api_key": "hunter2", "db": {"password": "hunter2"}, "eos_token": "</s>", "pin_password": 12345})
    run.log_param("url", "postgres://ada:hunter2@host/db")
    run.set_tag("hf_token", "hunter2")
    run.end()
    folder = f"gxt:experiments/taxi/{run.run_id}"
    for name in ("run.yaml", "params.yaml"):
        text = git("show", f"{folder}/{name}")
        assert "hunter2" not in text and "12345" not in text
    params = store.read_run(repo, run.run_id).params
    assert params["api_key"] == "***" and params["eos_token"] == "</s>"
    assert params["url"] == "postgres://ada@host/db"


# --- metrics ----------------------------------------------------------------------------------------------------


def test_metrics_are_in_the_file_when_the_call_returns(run: ActiveRun) -> None:
    for step in range(3):
        run.log_metric("rmse", step / 3, step=step)
        lines = (run.folder / "metrics.csv").read_bytes().splitlines()
        assert len(lines) == step + 2


def test_values_steps_and_times(run: ActiveRun, repo: Repository) -> None:
    moment = datetime(2026, 11, 23, 8, 30, tzinfo=timezone.utc)
    run.log_metric("a", 1)
    run.log_metric("a", numpy.float32(0.5), step=numpy.int64(3), timestamp=7)
    run.log_metric("a", numpy.array(0.25), step=4.0, timestamp=moment)
    run.log_metric("a", float("nan"), step=-5)
    run.log_metric("b", float("inf"))
    run.log_metrics({"c,d": 1, 'say "x"': 2, "größe": 3}, step=1, timestamp=9)
    run.end()
    found = store.read_run(repo, run.run_id)
    points = catalog.points(repo, found)
    assert [(p.step, p.metric, repr(p.value)) for p in points] == [
        (0, "a", "1.0"),
        (3, "a", "0.5"),
        (4, "a", "0.25"),
        (-5, "a", "nan"),
        (0, "b", "inf"),
        (1, "c,d", "1.0"),
        (1, 'say "x"', "2.0"),
        (1, "größe", "3.0"),
    ]
    assert [p.time for p in points[1:3]] == [7, 1_795_422_600_000] and points[-1].time == 9
    assert set(found.metrics) == {"a", "b", "c,d", 'say "x"', "größe"}
    assert (found.metrics["a"].last, found.metrics["a"].min, found.metrics["a"].count) == (0.25, 0.25, 4)


@pytest.mark.parametrize("value", ["1", None, [1, 2], 1j, numpy.array([1, 2])])
def test_what_is_no_number_is_refused(run: ActiveRun, value: object) -> None:
    with pytest.raises(UsageError):
        run.log_metric("a", value)
    with pytest.raises(UsageError):
        run.log_metrics({"good": 1, "a": value})
    with pytest.raises(UsageError):
        run.log_metric("a", 1, step=1.5)  # type: ignore[arg-type]
    assert run.record.metrics == {}


def test_log_counts_steps_and_joins_nested_names(run: ActiveRun) -> None:
    run.log({"loss": 1.0, "val": {"loss": 2.0}})
    run.log({"loss": 0.5})
    run.log({"loss": 0.4}, step=10)
    run.log({"loss": 0.3})
    metrics = run.record.metrics
    assert (metrics["loss"].step, metrics["loss"].count, metrics["val.loss"].last) == (11, 4, 2.0)


def test_names_that_are_no_text_are_refused_by_log_too(run: ActiveRun) -> None:
    with pytest.raises(UsageError):
        run.log({3: 1.0})  # type: ignore[dict-item]


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_log_goes_on_counting_in_a_resumed_run(run: ActiveRun, repo: Repository, steps: int) -> None:
    for _ in range(steps):
        run.log({"loss": 1.0})
    run.end()
    again = recorder.resume(repo, run.run_id)
    again.log({"loss": 0.5})
    again.end()
    assert store.read_run(repo, run.run_id).metrics["loss"].step == steps


# --- tags, note, artifacts --------------------------------------------------------------------------------------


def test_tags_and_note(run: ActiveRun, repo: Repository) -> None:
    run.set_tags({"stage": "dev", "version": 3, "mlflow.note.content": "a note"})
    run.set_tag("stage", "prod")
    run.set_tag("gone", "x")
    run.delete_tag("gone")
    with pytest.raises(NotFoundError):
        run.delete_tag("gone")
    assert run.data.tags == {"stage": "prod", "version": "3"}
    run.end()
    found = store.read_run(repo, run.run_id)
    assert (found.tags, found.note) == ({"stage": "prod", "version": "3"}, "a note")


def test_artifacts_files_folders_and_contents(run: ActiveRun, repo: Repository, work: Path) -> None:
    (work / "models" / "sub").mkdir(parents=True)
    (work / "models" / "a.bin").write_bytes(b"a")
    (work / "models" / "sub" / "b.bin").write_bytes(b"\x00b\r\n")
    run.log_artifact("models/a.bin")
    run.log_artifact(work / "models" / "a.bin", "copies/deep")
    run.log_artifact("models")
    run.log_artifacts("models", "contents")
    run.log_text("größe", "notes/a.txt")
    run.end()
    found = store.read_run(repo, run.run_id)
    assert [path for path in catalog.files(repo, found) if path.startswith("artifacts/")] == [
        "artifacts/a.bin",
        "artifacts/contents/a.bin",
        "artifacts/contents/sub/b.bin",
        "artifacts/copies/deep/a.bin",
        "artifacts/models/a.bin",
        "artifacts/models/sub/b.bin",
        "artifacts/notes/a.txt",
    ]
    assert catalog.read_file(repo, found, "artifacts/contents/sub/b.bin") == b"\x00b\r\n"
    assert catalog.read_file(repo, found, "artifacts/notes/a.txt") == "größe".encode()


def test_an_artifact_is_kept_as_it_was_when_it_was_logged(run: ActiveRun, repo: Repository, work: Path) -> None:
    (work / "a.txt").write_text("then")
    run.log_artifact("a.txt")
    (work / "a.txt").write_text("now")
    run.end()
    assert catalog.read_file(repo, store.read_run(repo, run.run_id), "artifacts/a.txt") == b"then"


def test_mistakes_about_artifacts_raise(run: ActiveRun, work: Path) -> None:
    for path in ("missing.txt", "/no/such/folder"):
        with pytest.raises(UsageError):
            run.log_artifact(path)
    with pytest.raises(UsageError):
        run.log_artifacts("train.py")
    with pytest.raises(UsageError):
        run.log_artifact("train.py", "../out")
    with pytest.raises(UsageError):
        run.log_text("x", "con.txt")
    run.log_text("x", "a")
    with pytest.raises(UsageError):
        run.log_text("x", "a/b")


def test_where_artifacts_are(run: ActiveRun) -> None:
    run.log_text("hello", "a/b.txt")
    assert Path(run.get_artifact_uri("a/b.txt")).read_text() == "hello"
    run.end()
    assert git("show", run.get_artifact_uri("a/b.txt")) == "hello"


# --- the end ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"), [("finished", "finished"), ("FINISHED", "finished"), ("Failed", "failed"), ("KILLED", "killed")]
)
def test_how_a_run_ends(run: ActiveRun, repo: Repository, given: str, kept: str) -> None:
    run.end(given)
    found = store.read_run(repo, run.run_id)
    assert found.status == kept
    assert found.started is not None and found.ended is not None and found.started <= found.ended
    run.end("failed")
    assert store.read_run(repo, run.run_id).status == kept


@pytest.mark.parametrize("status", ["running", "SCHEDULED", "crashed", ""])
def test_how_a_run_cannot_end(run: ActiveRun, status: str) -> None:
    with pytest.raises(UsageError):
        run.end(status)
    run.log_metric("still", 1)


def test_a_run_that_has_ended_takes_nothing_more(run: ActiveRun) -> None:
    run.log_metric("a", 1)
    run.end()
    attempts = [
        lambda: run.log_metric("a", 1),
        lambda: run.log_metrics({"a": 1}),
        lambda: run.log({"a": 1}),
        lambda: run.log_param("a", 1),
        lambda: run.set_tag("a", 1),
        lambda: run.set_note("a"),
        lambda: run.log_text("a", "a.txt"),
        lambda: run.log_artifact("train.py"),
        lambda: run.log_dict({}, "a.json"),
        lambda: run.log_input("train.py"),
        lambda: run.log_table({"a": [1]}, "a.json"),
    ]
    for attempt in attempts:
        with pytest.raises(UsageError, match="has ended"):
            attempt()
    assert "ended" in repr(run)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "finished"),
        (ValueError("x"), "failed"),
        (KeyboardInterrupt(), "killed"),
        (SystemExit(), "finished"),
        (SystemExit(0), "finished"),
        (SystemExit(1), "failed"),
        (SystemExit("message"), "failed"),
        (SystemExit(143), "killed"),
    ],
)
def test_what_leaves_a_with_block_decides_the_status(
    run: ActiveRun, repo: Repository, error: BaseException | None, status: str
) -> None:
    def body() -> None:
        with run:
            run.log_metric("a", 1)
            if error is not None:
                raise error

    if error is None:
        body()
    else:
        with pytest.raises(type(error)):
            body()
    assert store.read_run(repo, run.run_id).status == status


def test_a_joined_run_goes_on_when_it_is_left(run: ActiveRun, repo: Repository) -> None:
    with recorder.join(repo, run.run_id) as joined:
        joined.log_metric("from_elsewhere", 1)
        assert not joined.owner
    run.log_metric("here", 1)
    run.end()
    assert set(store.read_run(repo, run.run_id).metrics) == {"from_elsewhere", "here"}
    with pytest.raises(NotFoundError):
        recorder.join(repo, run.run_id)


def test_a_discarded_run_leaves_nothing(run: ActiveRun, repo: Repository) -> None:
    run.log_metric("a", 1)
    run.discard()
    assert catalog.listing(repo).runs == []
    assert store.commit_pending(repo) == []


# --- resuming ---------------------------------------------------------------------------------------------------


def test_a_resumed_run_adds_to_what_it_had(run: ActiveRun, repo: Repository) -> None:
    run.log_metric("a", 1, step=1)
    run.log_text("kept", "a.txt")
    run.set_tag("stage", "dev")
    run.end("failed")
    before = store.read_run(repo, run.run_id)
    again = recorder.resume(repo, run.run_id)
    (listed,) = catalog.listing(repo).runs
    assert (listed.status, listed.place, listed.ended) == ("running", "live", None)
    again.log_metric("a", 2, step=2)
    again.log_text("new", "b.txt")
    again.end()
    found = store.read_run(repo, run.run_id)
    assert (found.status, found.started, found.tags) == ("finished", before.started, {"stage": "dev"})
    assert [p.value for p in catalog.points(repo, found)] == [1.0, 2.0]
    assert found.metrics["a"].count == 2
    assert catalog.read_file(repo, found, "artifacts/a.txt") == b"kept"
    assert catalog.read_file(repo, found, "artifacts/b.txt") == b"new"
    assert len(catalog.listing(repo).runs) == 1


def test_resuming_from_a_step_drops_later_points(run: ActiveRun, repo: Repository) -> None:
    for step in range(5):
        run.log_metrics({"a": step, "b": -step}, step=step)
    run.end()
    again = recorder.resume(repo, run.run_id, from_step=2)
    again.log({"a": 30})
    again.end()
    found = store.read_run(repo, run.run_id)
    assert [(p.step, p.value) for p in catalog.points(repo, found) if p.metric == "a"] == [
        (0, 0.0),
        (1, 1.0),
        (2, 2.0),
        (3, 30.0),
    ]
    assert (found.metrics["b"].last, found.metrics["b"].count) == (-2.0, 3)


def test_resuming_from_before_the_first_step_drops_all(run: ActiveRun, repo: Repository) -> None:
    run.log_metric("a", 1, step=5)
    run.end()
    recorder.resume(repo, run.run_id, from_step=0).end()
    assert "metrics.csv" not in git("ls-tree", "--name-only", f"gxt:experiments/taxi/{run.run_id}")
    assert store.read_run(repo, run.run_id).metrics == {}


def test_what_cannot_be_resumed(run: ActiveRun, repo: Repository) -> None:
    with pytest.raises(NotFoundError):
        recorder.resume(repo, "20200101-000000-00000000")
    run.end()
    store.mark_deleted(repo, run.run_id, True)
    with pytest.raises(UsageError, match="deleted"):
        recorder.resume(repo, run.run_id)


def test_amending_keeps_status_and_end(run: ActiveRun, repo: Repository) -> None:
    run.end("failed", exit_code=3)
    before = store.read_run(repo, run.run_id)
    late = recorder.amend(repo, run.run_id)
    late.log_metric("late", 1)
    late.end()
    after = store.read_run(repo, run.run_id)
    assert (after.status, after.exit_code, after.ended) == ("failed", 3, before.ended)
    assert after.metrics["late"].last == 1.0


# --- training comes first ---------------------------------------------------------------------------------------


def test_a_full_disk_warns_once_and_keeps_what_comes_after(run: ActiveRun, repo: Repository) -> None:
    run.log_metric("a", 0, step=0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((run.folder / "metrics.csv").stat().st_size + 3, before[1]))
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for step in range(1, 4):
                run.log_metric("a", step, step=step)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [warning.category for warning in caught] == [GxtWarning]
    assert "gxt recover" in str(caught[0].message) and caught[0].filename == __file__
    run.log_metric("a", 4, step=4)
    run.end()
    points = catalog.points(repo, store.read_run(repo, run.run_id))
    assert [(p.step, p.value) for p in points] == [(step, float(step)) for step in range(5)]


def test_an_artifact_that_the_disk_refuses_warns(run: ActiveRun, repo: Repository) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.warns(GxtWarning, match=r"big\.bin was not recorded"):
            run.log_text("x" * 200_000, "big.bin")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    run.end()
    assert "artifacts" not in git("ls-tree", "--name-only", f"gxt:experiments/taxi/{run.run_id}")


def test_a_run_that_cannot_be_recorded_is_refused_before_training(repo: Repository) -> None:
    (repo.common_dir / "gxt").write_text("a file is in the way")
    with pytest.raises(GxtError, match="cannot record"):
        recorder.begin(repo, "taxi")


# --- provenance -------------------------------------------------------------------------------------------------


def test_a_run_knows_where_it_comes_from(repo: Repository, work: Path) -> None:
    git("remote", "add", "origin", "https://ada:hunter2@example.com/team/taxi.git")
    (work / "new.py").write_text("untracked\n")
    run_id = record(repo)
    found = store.read_run(repo, run_id)
    assert found.author == "Ada Lovelace <ada@example.com>"
    assert found.source["commit"] == git("rev-parse", "HEAD") and found.source["branch"] == "main"
    assert found.source["dirty"] is True
    assert found.source["remote"] == "https://example.com/team/taxi.git"
    assert "command" in found.source
    assert found.environment["python"].count(".") == 2 and found.environment["cpus"] >= 1
    packages = catalog.read_file(repo, found, "environment.txt")
    assert packages is not None and b"\npytest==" in packages


def test_a_command_s_origin_is_recorded_for_it(repo: Repository) -> None:
    run = recorder.begin(repo, "taxi", origin={"command": "./train.sh", "entrypoint": "train.sh"}, owned=False)
    run.end()
    store.commit_pending(repo)
    (found,) = catalog.listing(repo).runs
    assert (found.source["command"], found.status, found.place) == ("./train.sh", "running", "live")
    assert found.source["commit"] == git("rev-parse", "HEAD")
