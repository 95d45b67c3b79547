"""gxt run: a command recorded while it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gxt import catalog
from gxt.git import Repository
from helpers import git

PYTHON = sys.executable


def gxt_run(work: Path, *arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [PYTHON, "-m", "gxt", "run", *arguments], cwd=work, capture_output=True, check=False, timeout=60, **options
    )  # type: ignore[call-overload, no-any-return]


def test_output_exit_code_and_joined_metrics(work: Path, repo: Repository) -> None:
    (work / "train.py").write_text(
        "import sys, gxt\n"
        "print('to stdout')\n"
        "print('to stderr', file=sys.stderr)\n"
        "with gxt.start_run() as run:\n"
        "    gxt.log_param('depth', 3)\n"
        "    gxt.log_metric('rmse', 6.3, step=1)\n"
        "sys.exit(int(sys.argv[1]))\n"
    )
    done = gxt_run(work, "-e", "taxi", "-p", "lr=0.1", "-t", "a=b", "--", PYTHON, "train.py", "3")
    assert done.returncode == 3
    assert done.stdout == b"to stdout\n" and done.stderr.startswith(b"to stderr\n")
    run = catalog.find(repo, "@last")
    assert len(catalog.listing(repo).runs) == 1
    assert (run.experiment, run.status, run.exit_code) == ("taxi", "failed", 3)
    assert run.params == {"lr": 0.1, "depth": 3} and run.tags == {"a": "b"}
    assert run.metrics["rmse"].last == 6.3
    assert run.source["entrypoint"] == "train.py" and run.source["command"].endswith("train.py 3")
    assert catalog.read_file(repo, run, "output.log") in (b"to stdout\nto stderr\n", b"to stderr\nto stdout\n")
    assert run.duration is not None and run.duration > 0


def test_success_is_finished_with_exit_code_0(work: Path, repo: Repository) -> None:
    assert gxt_run(work, "--", "true").returncode == 0
    run = catalog.find(repo, "@last")
    assert (run.status, run.exit_code) == ("finished", 0)


def test_later_runs_of_the_script_are_children(work: Path, repo: Repository) -> None:
    code = "import gxt\nfor i in range(3):\n    with gxt.start_run():\n        gxt.log_param('i', i)\n"
    assert gxt_run(work, "-n", "sweep", "--", PYTHON, "-c", code).returncode == 0
    runs = catalog.listing(repo).runs
    sweep = next(run for run in runs if run.name == "sweep")
    assert sweep.params == {"i": 0}
    assert sorted(run.params["i"] for run in runs if run.parent == sweep.id) == [1, 2]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, "killed"), (signal.SIGINT, "killed")])
def test_signals_are_passed_on(work: Path, repo: Repository, number: int, status: str) -> None:
    code = (
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: (print('got it', flush=True), sys.exit({128 + number})))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [PYTHON, "-m", "gxt", "run", "--", PYTHON, "-c", code],
        cwd=work,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert out == b"got it\n" and process.returncode == 128 + number
    run = catalog.find(repo, "@last")
    assert (run.status, run.exit_code) == (status, 128 + number)


def test_a_killed_command_exits_as_a_shell_says_it(work: Path, repo: Repository) -> None:
    done = gxt_run(work, "--", PYTHON, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert done.returncode == 137
    assert catalog.find(repo, "@last").status == "killed"


def test_no_such_command_records_nothing(work: Path, repo: Repository) -> None:
    done = gxt_run(work, "--", "no-such-command")
    assert done.returncode == 2 and b"no such command" in done.stderr
    assert not catalog.listing(repo).runs


def test_standard_input_reaches_the_command(work: Path) -> None:
    assert gxt_run(work, "--", "cat", input=b"hello").stdout == b"hello"


def test_bytes_pass_unchanged(work: Path, repo: Repository) -> None:
    code = "import os; os.write(1, bytes(range(256)))"
    assert gxt_run(work, "--", PYTHON, "-c", code).stdout == bytes(range(256))
    assert catalog.read_file(repo, catalog.find(repo, "@last"), "output.log") == bytes(range(256))


def test_system_metrics(work: Path, repo: Repository) -> None:
    assert gxt_run(work, "--system", "--", "true").returncode == 0
    samples = catalog.read_file(repo, catalog.find(repo, "@last"), "system.csv") or b""
    assert samples.startswith(b"time,metric,value\n") and b",cpu_percent," in samples


def test_git_gxt_is_the_same_command(work: Path) -> None:
    scripts = Path(PYTHON).parent
    done = subprocess.run(
        ["git", "gxt", "--version"],
        cwd=work,
        env=os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("gxt ")
    assert git("status", "--short", cwd=work) == ""
