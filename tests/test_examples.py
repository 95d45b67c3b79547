"""The examples and the demo do what they say, run as a reader would run them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gxt import catalog
from gxt.git import Repository, find
from helpers import git

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(*command: str, cwd: Path) -> str:
    """Run a command with this Python's scripts in PATH; what it prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_training_loop(work: Path, repo: Repository) -> None:
    run(sys.executable, str(EXAMPLES / "training_loop.py"), cwd=work)
    runs = catalog.listing(repo).runs
    assert runs and all(r.status == "finished" for r in runs)
    assert max(summary.count for summary in runs[-1].metrics.values()) > 10


def test_shell_sweep(work: Path, repo: Repository) -> None:
    run("bash", str(EXAMPLES / "shell" / "sweep.sh"), cwd=work)
    runs = catalog.listing(repo).runs
    assert len(runs) >= 3 and all(r.status == "finished" and r.metrics for r in runs)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_node(work: Path, repo: Repository) -> None:
    run("node", str(EXAMPLES / "node" / "train.mjs"), cwd=work)
    runs = catalog.listing(repo).runs
    assert runs and all(r.status == "finished" and r.metrics for r in runs)


@pytest.mark.slow
def test_taxi_lesson_on_generated_trips(work: Path, repo: Repository) -> None:
    for arguments in ([], ["--model", "lasso", "--alpha", "0.1"]):
        run(sys.executable, str(EXAMPLES / "nyc_taxi" / "train.py"), *arguments, cwd=work)
    linear, lasso = catalog.listing(repo).runs
    assert linear.metrics["rmse"].last < lasso.metrics["rmse"].last
    assert "artifacts/models_pickle/lin_reg.bin" in catalog.files(repo, linear)


@pytest.mark.slow
def test_taxi_notebook(work: Path, repo: Repository) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(EXAMPLES / "nyc_taxi" / "notebook.ipynb", as_version=4)
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(work)}}).execute()
    runs = catalog.listing(repo).runs
    assert runs and all(r.status == "finished" for r in runs)


@pytest.mark.slow
def test_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = run("gxt", "demo", cwd=tmp_path)
    repo = find(tmp_path / "gxt-demo")
    runs = catalog.listing(repo).runs
    assert len(runs) == 8 and {r.status for r in runs} == {"finished"}
    assert all("rmse" in r.metrics for r in runs) and all(r.name in out for r in runs)
    assert any(r.metrics["rmse"].count > 10 for r in runs)
    names = [path for r in runs for path in catalog.files(repo, r)]
    assert any(name.endswith(".bin") for name in names) and any(name.endswith(".png") for name in names)
    assert git("status", "--short", cwd=tmp_path / "gxt-demo") == ""
    run(sys.executable, "train.py", "--alpha", "0.3", cwd=tmp_path / "gxt-demo")
    assert len(catalog.listing(repo).runs) == 9
    refused = subprocess.run(
        [sys.executable, "-m", "gxt", "demo"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2 and "exists already" in refused.stderr
