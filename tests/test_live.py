from __future__ import annotations

import json
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gxt import layout, live, rescue
from gxt.errors import FormatError, NotFoundError, UsageError
from gxt.live import LiveRun
from gxt.model import Run
from helpers import run_python

RUN_ID = "20261123-083000-3f9a1c2e"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "gxt"


@pytest.fixture
def recording(root: Path) -> Iterator[LiveRun]:
    run = LiveRun.create(root, Run(RUN_ID, "taxi", "calm-otter", status="running", started=1000))
    yield run
    run.close()


def contents(snapshot: live.Snapshot) -> dict[str, bytes]:
    """What would be committed of a run."""
    return {path: data if isinstance(data, bytes) else data.read() for path, data in snapshot.files.items()}


# --- a live run -------------------------------------------------------------------------------------------------


def test_a_live_run_reads_as_it_stands(root: Path, recording: LiveRun) -> None:
    recording.record("params", values={"alpha": 0.1, "model": {"depth": 3}})
    recording.record("params", values={"alpha": 0.2, "model": {"leaves": 7}})
    recording.record("tags", values={"stage": "dev", "gone": "1"})
    recording.record("untag", key="gone")
    recording.record("set", values={"note": "first"})
    recording.record("set", values={"note": "second"})
    recording.record("input", name="green.parquet", values={"rows": 3})
    recording.record("source", values={"command": "python train.py"})
    recording.record("environment", values={"cpus": 2})
    recording.record("from a later version", anything=1)
    recording.metrics.append(b"0,rmse,2.5,7\n")
    run = live.read(recording.path)
    assert run == Run(
        id=RUN_ID,
        experiment="taxi",
        name="calm-otter",
        status="running",
        started=1000,
        params={"alpha": 0.1, "model": {"depth": 3, "leaves": 7}},
        tags={"stage": "dev"},
        note="second",
        inputs={"green.parquet": {"rows": 3}},
        source={"command": "python train.py"},
        environment={"cpus": 2},
        metrics=run.metrics,
        place="live",
    )
    assert run.metrics["rmse"].last == 2.5
    assert live.live_runs(root) == [recording.path] and live.pending_runs(root) == []


def test_the_journal_is_a_json_object_a_line(recording: LiveRun) -> None:
    recording.record("set", values={"note": "two\nlines, größer"})
    lines = (recording.path / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["op"] for line in lines] == ["run", "set"]
    assert "größer" in lines[1]


def test_a_finished_run_is_whole_and_pending(root: Path, recording: LiveRun) -> None:
    recording.record("params", values={"alpha": 0.1})
    recording.metrics.append(b"0,rmse,2.5,7\n")
    recording.write_file("artifacts/a/b.txt", lambda out: out.write(b"content"))
    folder = recording.finish("failed", exit_code=3)
    assert folder == live.pending_path(root, RUN_ID)
    assert live.live_runs(root) == [] and live.pending_runs(root) == [folder]
    files = contents(live.snapshot(folder))
    assert sorted(files) == ["artifacts/a/b.txt", "metrics.csv", "metrics.yaml", "params.yaml", "run.yaml"]
    run = layout.read_run("taxi", RUN_ID, files)
    assert (run.status, run.exit_code, run.params) == ("failed", 3, {"alpha": 0.1})
    assert run.ended is not None and run.metrics["rmse"].last == 2.5
    assert live.read(folder).place == "pending"


def test_ending_takes_what_is_no_artifact_and_no_document_along(recording: LiveRun) -> None:
    (recording.path / "output.log").write_text("hello\n")
    (recording.path / "half.tmp").write_text("half")
    recording.write_file("artifacts/kept.tmp", lambda out: out.write(b"mine"))
    recording.write_file("artifacts/lock", lambda out: out.write(b"mine"))
    recording.write_file("artifacts/journal.jsonl", lambda out: out.write(b"mine"))
    folder = recording.finish()
    assert [path for path in live.snapshot(folder).files if not path.endswith(".yaml")] == [
        "output.log",
        "artifacts/journal.jsonl",
        "artifacts/kept.tmp",
        "artifacts/lock",
    ]


def test_a_file_appears_whole_or_not_at_all(recording: LiveRun) -> None:
    def fail(out: object) -> None:
        out.write(b"half")  # type: ignore[attr-defined]
        raise RuntimeError("while it was written")

    with pytest.raises(RuntimeError):
        recording.write_file("artifacts/a.txt", fail)
    assert sorted(path.name for path in recording.path.rglob("*") if "lock" not in path.name) == [
        "journal.jsonl",
        "metrics.csv",
    ]
    recording.write_file("artifacts/a.txt", lambda out: out.write(b"old"))
    with pytest.raises(RuntimeError):
        recording.write_file("artifacts/a.txt", fail)
    assert (recording.path / "artifacts/a.txt").read_bytes() == b"old"


def test_a_path_is_a_file_or_a_folder(recording: LiveRun) -> None:
    recording.write_file("artifacts/a", lambda out: out.write(b"file"))
    with pytest.raises(UsageError, match="both"):
        recording.write_file("artifacts/a/b", lambda out: out.write(b"below a file"))
    recording.write_file("artifacts/folder/b", lambda out: out.write(b"x"))
    with pytest.raises(UsageError, match="both"):
        recording.write_file("artifacts/folder", lambda out: out.write(b"a folder"))
    assert not list(recording.path.glob("*.tmp"))


def test_a_run_can_be_joined_while_it_is_live(root: Path, recording: LiveRun) -> None:
    joined = LiveRun(root, RUN_ID)
    joined.metrics.append(b"0,rmse,1,7\n")
    joined.close_files()
    assert live.is_alive(recording.path)
    recording.finish()
    with pytest.raises(NotFoundError, match="not recording"):
        LiveRun(root, RUN_ID)
    with pytest.raises(NotFoundError):
        LiveRun(root, "20200101-000000-00000000")
    assert not live.live_path(root, RUN_ID).exists()


def test_params_of_other_processes_are_learned_incrementally(recording: LiveRun) -> None:
    found, offset = live.params_since(recording.path, 0)
    assert [values for values in found if values] == []
    recording.record("params", values={"a": 1})
    recording.record("tags", values={"no": "param"})
    found, offset = live.params_since(recording.path, offset)
    assert found == [{"a": 1}]
    assert live.params_since(recording.path, offset) == ([], offset)


# --- the end of a process ---------------------------------------------------------------------------------------


def test_a_run_whose_process_is_gone_counts_as_crashed(root: Path) -> None:
    run_python(
        code=f"""
        import os, pathlib
        from gxt.live import LiveRun
        from gxt.model import Run
        run = LiveRun.create(pathlib.Path({str(root)!r}), Run({RUN_ID!r}, "taxi", status="running", started=1))
        run.metrics.append(b"0,rmse,1,7\\n")
        os._exit(0)
        """
    )
    folder = live.live_path(root, RUN_ID)
    assert not live.is_alive(folder)
    assert live.read(folder).status == "crashed"
    pending = live.recover(root, RUN_ID)
    assert pending == live.pending_path(root, RUN_ID)
    run = live.read(pending)
    assert (run.status, run.place, run.metrics["rmse"].count) == ("killed", "pending", 1)
    assert run.ended is not None and run.ended >= 1


def test_a_run_that_lives_is_not_recovered(root: Path, recording: LiveRun) -> None:
    assert live.is_alive(recording.path)
    assert live.recover(root, RUN_ID) is None
    assert live.read(recording.path).status == "running"


def test_recovering_a_run_that_is_gone_leaves_nothing_behind(root: Path, recording: LiveRun) -> None:
    recording.finish()
    assert live.recover(root, RUN_ID) is None
    assert live.live_runs(root) == []


def test_a_run_without_an_owner_is_alive_until_it_is_ended(root: Path) -> None:
    run = LiveRun.create(root, Run(RUN_ID, "taxi", status="running"), owned=False)
    run.close()
    assert live.is_alive(live.live_path(root, RUN_ID)) and not live.is_owned(live.live_path(root, RUN_ID))
    LiveRun(root, RUN_ID).finish()
    assert live.pending_runs(root) == [live.pending_path(root, RUN_ID)]


def test_a_forked_child_that_ends_does_not_end_the_run(root: Path, recording: LiveRun) -> None:
    child = os.fork()
    if child == 0:
        recording.metrics.append(b"0,rmse,1,7\n")
        recording.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert live.is_alive(recording.path)
    assert live.recover(root, RUN_ID) is None


def test_lines_that_a_crash_cut_are_dropped_and_the_rest_is_kept(root: Path, recording: LiveRun) -> None:
    recording.record("params", values={"alpha": 0.1})
    recording.metrics.append(b"0,rmse,1,7\n1,rmse,2,7\n2,rm")
    with open(recording.path / "journal.jsonl", "ab") as journal:
        journal.write(b'{"op":"params","val')
    recording.close()
    folder = live.recover(root, RUN_ID)
    assert folder is not None
    files = contents(live.snapshot(folder))
    assert files["metrics.csv"] == b"step,metric,value,time\n0,rmse,1,7\n1,rmse,2,7\n"
    run = layout.read_run("taxi", RUN_ID, files)
    assert (run.params, run.status, run.metrics["rmse"].count) == ({"alpha": 0.1}, "killed", 2)


def test_recovery_can_be_interrupted_and_begun_again(root: Path, recording: LiveRun) -> None:
    recording.record("end", status="finished", exit_code=None, time=2000)  # the process died before the rename
    recording.close()
    folder = live.recover(root, RUN_ID)
    assert folder is not None and live.read(folder).status == "finished"


def test_runs_that_end_while_others_look_for_crashed_ones_are_left_in_peace(root: Path) -> None:
    """Each run that ends looks for crashed ones: it must neither take a run that is just ending for one, nor fail."""
    ids = [f"20261123-083000-{number:08x}" for number in range(100)]
    done = threading.Event()
    problems: list[BaseException] = []

    def end_runs() -> None:
        try:
            for run_id in ids:
                LiveRun.create(root, Run(run_id, "taxi", status="running", started=1)).finish("finished")
        except BaseException as error:
            problems.append(error)
        done.set()

    def recover_runs() -> None:
        try:
            while not done.is_set():
                for folder in live.live_runs(root):
                    if not live.is_alive(folder):
                        live.recover(root, folder.name)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=end_runs), *(threading.Thread(target=recover_runs) for _ in range(2))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert live.live_runs(root) == []
    assert [live.read(folder).status for folder in live.pending_runs(root)] == ["finished"] * len(ids)


def test_a_folder_without_its_first_line_is_named(root: Path, recording: LiveRun) -> None:
    (recording.path / "journal.jsonl").write_bytes(b'{"op":"params"}\n')
    with pytest.raises(FormatError, match=r"journal\.jsonl"):
        live.read(recording.path)


def test_last_step(recording: LiveRun) -> None:
    assert live.last_step(recording.path) is None
    recording.metrics.append(b"4,rmse,1,7\n2,rmse,1,7\n")
    assert live.last_step(recording.path) == 4


def test_folders_that_are_no_runs_are_passed_over(root: Path, recording: LiveRun) -> None:
    (root / "live" / "notes").mkdir()
    (root / "live" / ".DS_Store").write_bytes(b"")
    assert live.live_runs(root) == [recording.path]


# --- experiments to come ----------------------------------------------------------------------------------------


def test_everybody_who_asks_gets_the_same_new_experiment(root: Path) -> None:
    found = []
    threads = [threading.Thread(target=lambda: found.append(live.new_experiment(root, "NYC/taxi"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({experiment.id for experiment in found}) == 1
    assert [experiment.name for experiment in live.new_experiments(root)] == ["NYC/taxi"]
    live.forget_experiment(root, "NYC/taxi")
    live.forget_experiment(root, "NYC/taxi")
    assert live.new_experiments(root) == []


def test_a_run_keeps_unknown_fields_through_the_journal(root: Path) -> None:
    run = Run(RUN_ID, "taxi", status="running", extra={"zodiac": "lion"}, params={"a": [1, {"b": None}]})
    recording = LiveRun.create(root, run)
    read = live.read(recording.finish())
    assert (read.extra, read.params) == ({"zodiac": "lion"}, {"a": [1, {"b": None}]})


# --- a disk that is full ------------------------------------------------------------------------------------------


def test_a_run_whose_process_died_with_the_disk_full_is_complete_once_there_is_room(
    root: Path, recording: LiveRun
) -> None:
    recording.metrics.append(b"0,rmse,1,7\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file of the run can grow any more. Beginning elsewhere still works.
    sizes = [path.stat().st_size for path in recording.path.iterdir() if path.name != "lock"]
    limit = min(sizes)
    assert limit > 20
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(OSError):
            recording.metrics.append(b"1,rmse,2,7\n")
        with pytest.raises(OSError):
            recording.write_file("artifacts/a.txt", lambda out: out.write(b"x" * 10_000))
        with pytest.raises(OSError):
            recording.finish("finished")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    recording.close()
    folder = live.recover(root, RUN_ID)
    assert folder is not None
    run = live.read(folder)
    assert run.metrics["rmse"].count == 2
    assert live.snapshot(folder).files["metrics.csv"]


def test_lines_that_were_written_after_all_are_not_taken_twice(root: Path, recording: LiveRun) -> None:
    kept = rescue.KeptLines(RUN_ID, "metrics.csv")
    assert kept.append(b"0,rmse,1,7\n1,rmse,2,7\n1,rmse,2,7\n2,rm")
    kept.begin_flush(len(layout.METRICS_HEADER))
    recording.metrics.append(b"0,rmse,1,7\n1,rmse,2,7\n")
    kept.leave()
    recording.close()
    folder = live.recover(root, RUN_ID)
    assert folder is not None
    assert (folder / "metrics.csv").read_bytes() == b"step,metric,value,time\n0,rmse,1,7\n1,rmse,2,7\n1,rmse,2,7\n"


def test_files_that_were_kept_elsewhere_are_taken_but_not_over_later_ones(root: Path, recording: LiveRun) -> None:
    first = rescue.keep_file(RUN_ID, "artifacts/a/b.txt", lambda out: out.write(b"kept"))
    assert first is not None
    old = rescue.keep_file(RUN_ID, "artifacts/c.txt", lambda out: out.write(b"old"))
    assert old is not None
    os.utime(old, (1, 1))
    recording.write_file("artifacts/c.txt", lambda out: out.write(b"new"))
    live.take_back_rescued(recording.path)
    assert (recording.path / "artifacts/a/b.txt").read_bytes() == b"kept"
    assert (recording.path / "artifacts/c.txt").read_bytes() == b"new"
    assert not first.exists() and not list(recording.path.glob("*.tmp"))


@pytest.mark.parametrize(
    ("one", "other"), [("a.txt", "A.txt"), ("models/x", "Models/y"), ("caf\u00e9.txt", "cafe\u0301.txt")]
)
def test_artifacts_that_some_file_systems_take_for_one_are_refused(recording: LiveRun, one: str, other: str) -> None:
    recording.write_file(f"artifacts/{one}", lambda out: out.write(b"1"))
    with pytest.raises(UsageError, match="only in case, or in how accents are encoded"):
        recording.write_file(f"artifacts/{other}", lambda out: out.write(b"2"))
    recording.write_file(f"artifacts/{one}", lambda out: out.write(b"3"))
    assert (recording.path / "artifacts" / one).read_bytes() == b"3"


def test_lines_that_their_process_will_still_write_itself_are_left_to_it(root: Path, recording: LiveRun) -> None:
    kept = rescue.KeptLines(RUN_ID, "metrics.csv")
    assert kept.append(b"0,rmse,1,7\n")
    live.take_back_rescued(recording.path)
    assert list(live._points(recording.path)[0]) == []
    kept.leave()
    live.take_back_rescued(recording.path)
    assert len(live._points(recording.path)[0]) == 1 and list(rescue.kept_lines(RUN_ID)) == []
