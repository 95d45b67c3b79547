"""The benchmarks still run. What they measure is no matter of a test: machines differ, and are busy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
@pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="not a checkout")
def test_the_benchmark_of_large_artifacts_runs(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "large.py"), "--size", "0.01", "--blob", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.count("the end of the run, commit") == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="not a checkout")
@pytest.mark.parametrize(
    ("script", "arguments", "results"),
    [
        ("ratios.py", ["all", "--rounds", "1"], {"log-metric", "import", "tiny-run", "cli-append", "parallel"}),
        (
            "sharing.py",
            "all --clones 3 --runs 3 --size 60 --new 40 --kills 4 --rounds 2".split(),
            {"crowd", "large", "parted", "killed"},
        ),
        ("curve.py", ["--sizes", "10,60", "--window", "3"], {"curve"}),
        ("trust.py", ["all", "--runs", "20", "--signed", "5"], {"unsigned", "signed"}),
        ("data.py", ["--size", "8", "--rounds", "1"], {"large-file", "folder", "table"}),
        ("queries.py", ["curve", "--sizes", "50", "--rounds", "1"], {"queries"}),
    ],
)
def test_benchmarks_run(tmp_path: Path, script: str, arguments: list[str], results: set[str]) -> None:
    found = tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *arguments, "--json", str(found)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode in (0, 1), done.stderr  # 1: a promise that did not hold this once
    text = found.read_text(encoding="utf-8")
    assert json.loads(text) and all(name in text for name in results)
