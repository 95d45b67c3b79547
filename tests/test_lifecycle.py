"""How runs end with the process, the notebook cell or the signal that ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import gxt
from gxt import catalog, layout, live, recorder, store
from gxt.git import Repository
from helpers import git, run_python


def end_of(repo: Repository, code: str) -> tuple[int, gxt.Run]:
    """The exit code of a process that runs this, and the run that it left on the branch."""
    done = run_python(code=code, check=False)
    run = catalog.find(repo, "@last")
    assert run.place == "branch", done.stderr
    return done.returncode, run


@pytest.mark.parametrize(
    ("last_words", "code", "status"),
    [
        ("pass", 0, "finished"),
        ("sys.exit()", 0, "finished"),
        ("raise ValueError('training diverged')", 1, "failed"),
        ("raise KeyboardInterrupt", -2, "killed"),
        ("os.kill(os.getpid(), signal.SIGINT)", -2, "killed"),
        ("os.kill(os.getpid(), signal.SIGTERM)", 143, "killed"),
    ],
)
@pytest.mark.parametrize("where", ["with", "left open"])
def test_the_end_of_a_process_is_the_end_of_its_run(
    repo: Repository, work: Path, where: str, last_words: str, code: int, status: str
) -> None:
    opening = "with gxt.start_run():" if where == "with" else "gxt.start_run()\nif True:"
    found_code, run = end_of(
        repo, f"import os, signal, sys\nimport gxt\n{opening}\n    gxt.log_metric('a', 1)\n    {last_words}\n"
    )
    assert (run.status, run.metrics["a"].last) == (status, 1.0)
    assert found_code == code or (code == -2 and found_code in (-2, 130, 1))


def test_an_exit_code_marks_a_with_block_failed(repo: Repository, work: Path) -> None:
    code, run = end_of(repo, "import sys, gxt\nwith gxt.start_run():\n    sys.exit(3)")
    assert (code, run.status) == (3, "failed")


def test_a_caught_exception_does_not_mark_the_run(repo: Repository, work: Path) -> None:
    _, run = end_of(repo, "import gxt\ngxt.start_run()\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    pass")
    assert run.status == "finished"


def test_nested_runs_left_open_all_end(repo: Repository, work: Path) -> None:
    end_of(repo, "import gxt\ngxt.start_run()\ngxt.start_run(nested=True)\nraise ValueError")
    assert [run.status for run in catalog.listing(repo).runs] == ["failed", "failed"]


def test_a_program_s_own_sigterm_handler_stays(repo: Repository, work: Path) -> None:
    done = run_python(
        code="""
        import os, signal, gxt
        heard = []
        signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
        with gxt.start_run():
            os.kill(os.getpid(), signal.SIGTERM)
            gxt.log_metric("heard", len(heard))
        """
    )
    assert done.returncode == 0
    run = catalog.find(repo, "@last")
    assert (run.status, run.metrics["heard"].last) == ("finished", 1.0)


def test_sigterm_after_the_run_ends_the_process(repo: Repository, work: Path) -> None:
    code, run = end_of(
        repo, "import os, signal, gxt\nwith gxt.start_run():\n    pass\nos.kill(os.getpid(), signal.SIGTERM)"
    )
    assert (code, run.status) == (143, "finished")


def test_a_forked_worker_ends_by_sigterm_at_once_and_without_a_word(repo: Repository, work: Path) -> None:
    done = run_python(
        code="""
        import multiprocessing, time, gxt
        with gxt.start_run():
            context = multiprocessing.get_context("fork")
            child = context.Process(target=time.sleep, args=(10,))
            child.start()
            child.terminate()
            child.join()
            assert child.exitcode == -15, child.exitcode
        """
    )
    assert done.stderr == ""
    assert catalog.find(repo, "@last").status == "finished"


def test_ending_needs_no_current_directory(repo: Repository, work: Path, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    _, run = end_of(
        repo,
        f"""
import os, gxt
gxt.start_run()
os.chdir({str(tmp_path / "gone")!r})
os.rmdir({str(tmp_path / "gone")!r})
gxt.log_metric("a", 1)
""",
    )
    assert run.status == "finished"


def test_what_is_recorded_in_the_background_is_no_sign_that_a_run_goes_on(repo: Repository) -> None:
    run = recorder.begin(repo, "taxi")
    run.log_metric("loss", 1)
    run._stop_threads()
    before = live.last_logged(run.folder)
    time.sleep(0.01)
    assert run.provenance is not None
    run.provenance.begin(None, None, False, run._live.record)
    (run.folder / layout.SYSTEM_CSV).write_text("sample")
    assert live.last_logged(run.folder) == before < live.last_sign_of_life(run.folder)
    for log in (lambda: run.log_metric("loss", 0), lambda: run.set_tag("a", "b"), lambda: run.log_text("x", "y.txt")):
        time.sleep(0.01)
        log()
        assert live.last_logged(run.folder) > before
        before = live.last_logged(run.folder)
    run.end()


def test_a_notebook_s_failed_cell_ends_its_run_at_the_next_start(
    repo: Repository, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("JPY_SESSION_NAME", "lesson.ipynb")
    monkeypatch.setenv("IPYTHONDIR", os.environ["HOME"])
    monkeypatch.setenv("JUPYTER_PATH", f"{sys.prefix}/share/jupyter")
    cells = [
        "import gxt\ngxt.set_experiment('notebook')\ngxt.start_run(run_name='first')\ngxt.log_metric('a', 1)",
        "raise ValueError('in a cell')",
        "with gxt.start_run(run_name='second'):\n    gxt.log_metric('b', 2)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, kernel_name="python3", allow_errors=True, timeout=60).execute()
    assert "left open by a cell that raised" in str(notebook.cells[2].outputs)
    assert not any(output.output_type == "error" for output in notebook.cells[2].outputs)
    runs = {run.name: run for run in catalog.listing(repo).runs}
    assert {name: run.status for name, run in runs.items()} == {"first": "failed", "second": "finished"}
    assert all(run.source["entrypoint"] == "lesson.ipynb" for run in runs.values())
    assert all(run.experiment == "notebook" for run in runs.values())


def test_a_run_goes_on_over_cells_that_do_not_raise(
    repo: Repository, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IPython in a process of its own, without a kernel: two cells, one run."""
    pytest.importorskip("IPython")
    monkeypatch.setenv("IPYTHONDIR", os.environ["HOME"])
    cells = "import gxt; run = gxt.start_run()\ngxt.log_metric('a', 1)\ngxt.log_metric('a', 2, step=1)\ngxt.end_run()\n"
    subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--simple-prompt", "--colors=NoColor"],
        input=cells,
        text=True,
        capture_output=True,
        check=True,
    )
    (run,) = catalog.listing(repo).runs
    assert (run.status, run.metrics["a"].count) == ("finished", 2)


def test_what_waits_after_the_end_of_a_process_is_on_the_branch(repo: Repository, work: Path) -> None:
    run_python(code="import gxt\nfor _ in range(3):\n    gxt.start_run()\n    gxt.end_run()")
    assert git("rev-list", "--count", "gxt") == "3"
    assert not list((store.root(repo) / "pending").iterdir())


def test_workers_forked_while_git_runs_do_not_hold_it_up(repo: Repository, work: Path) -> None:
    """A forked process has copies of the pipes to a git that is running; the run must not wait for its end."""
    done = run_python(
        code="""
        import multiprocessing, time, gxt
        context = multiprocessing.get_context("fork")
        workers = []
        for _ in range(20):
            with gxt.start_run():  # git runs in the background from here on
                workers.append(context.Process(target=time.sleep, args=(100,), daemon=True))
                workers[-1].start()
        for worker in workers:
            worker.kill()
        """
    )
    assert done.stderr == ""
    runs = catalog.listing(repo).runs
    assert [run.status for run in runs] == ["finished"] * 20
    assert all("dirty" in run.source for run in runs)


def test_a_worker_that_outlives_its_killed_owner_does_not_make_the_run_look_alive(repo: Repository, work: Path) -> None:
    done = run_python(
        code="""
        import os, time, gxt
        gxt.start_run(run_name="victim")
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, b"x")  # by now it has let go of what it inherited
            os.close(1), os.close(2)
            time.sleep(100)
        os.read(reader, 1)
        print(child, flush=True)
        os.kill(os.getpid(), 9)
        """,
        check=False,
        leave_children=True,
    )
    worker = int(done.stdout)
    try:  # a git that it was just starting has what it inherited for a moment longer
        deadline = time.monotonic() + 20
        while catalog.find(repo, "victim").status != "crashed" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert catalog.find(repo, "victim").status == "crashed"
    finally:
        os.kill(worker, 9)
