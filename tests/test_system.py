from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

import gxt
from gxt import catalog
from gxt.git import Repository
from gxt.layout import SYSTEM_HEADER
from gxt.system import SystemSampler
from helpers import git, run_python

psutil = pytest.importorskip("psutil")


def samples(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode())))


def test_a_sample_is_taken_at_once_and_at_the_end(tmp_path: Path) -> None:
    sampler = SystemSampler(tmp_path / "system.csv", SYSTEM_HEADER, interval=3600)
    sampler.start()
    sampler.stop()
    rows = samples((tmp_path / "system.csv").read_bytes())
    assert {"cpu_percent", "memory_percent", "process_memory_mb"} <= {row["metric"] for row in rows}
    assert [row["metric"] for row in rows].count("cpu_percent") in (1, 2)
    assert all(float(row["value"]) >= 0 and int(row["time"]) > 0 for row in rows)


def test_a_sampler_that_never_started_can_be_stopped(tmp_path: Path) -> None:
    SystemSampler(tmp_path / "system.csv", SYSTEM_HEADER).stop()
    assert (tmp_path / "system.csv").read_bytes() == SYSTEM_HEADER


def test_a_run_is_sampled_when_asked(repo: Repository) -> None:
    with gxt.start_run(log_system_metrics=True):
        pass
    rows = samples(catalog.read_file(repo, catalog.find(repo, "@last"), "system.csv") or b"")
    assert "cpu_percent" in {row["metric"] for row in rows}


def test_git_s_configuration_may_ask_for_it(repo: Repository) -> None:
    git("config", "gxt.systemMetrics", "true")
    with gxt.start_run():
        pass
    assert catalog.read_file(repo, catalog.find(repo, "@last"), "system.csv") is not None
    with gxt.start_run(log_system_metrics=False):
        pass
    assert catalog.read_file(repo, catalog.find(repo, "@last"), "system.csv") is None


def test_a_resumed_run_s_samples_are_added(repo: Repository) -> None:
    with gxt.start_run(log_system_metrics=True) as run:
        pass
    with gxt.start_run(run_id=run.run_id, log_system_metrics=True):
        pass
    data = catalog.read_file(repo, catalog.find(repo, "@last"), "system.csv") or b""
    assert data.count(SYSTEM_HEADER) == 1
    assert [row["metric"] for row in samples(data)].count("cpu_percent") >= 2


def test_without_psutil_only_a_call_that_asks_fails(work: Path, repo: Repository) -> None:
    git("config", "gxt.systemMetrics", "true", cwd=work)
    done = run_python(
        code="""
        import sys
        sys.modules["psutil"] = None  # as if it were not installed
        import gxt
        with gxt.start_run(run_name="configured"):
            pass
        try:
            gxt.start_run(run_name="asked", log_system_metrics=True)
        except ImportError as error:
            print(error)
        """
    )
    assert "gxt.systemMetrics is set, but" in done.stderr and "pip install 'git-gxt[system]'" in done.stdout
    assert [(run.name, run.status) for run in catalog.listing(repo).runs] == [("configured", "finished")]
