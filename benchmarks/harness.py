"""What the benchmarks share: a place apart to run in, the run that they record, timing, and tables."""

from __future__ import annotations

import json
import os
import platform
import shutil
import site
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gxt

EXPERIMENT = "bench"
IDENTITY = "Ada Lovelace <ada@example.com>"


# --- a place apart --------------------------------------------------------------------------------------------------


@contextmanager
def sandbox() -> Iterator[Path]:
    """A temporary folder, with a home and a git configuration of its own that also programs started here see.

    TMPDIR says on which disk it is.
    """
    folder = Path(tempfile.mkdtemp(prefix="gxt-benchmark-"))
    before, environment = os.getcwd(), dict(os.environ)
    home = folder / "home"
    home.mkdir()
    config = home / "gitconfig"
    config.write_text("[user]\n\tname = Ada Lovelace\n\temail = ada@example.com\n[init]\n\tdefaultBranch = main\n")
    os.environ["PYTHONUSERBASE"] = site.getuserbase()  # gxt may be installed there, and it is found by HOME
    os.environ.update(HOME=str(home), XDG_CONFIG_HOME=str(home / ".config"))
    for name in list(os.environ):
        if name.startswith(("GIT_", "GXT_")):
            del os.environ[name]
    os.environ.update(GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL=str(config))
    try:
        yield folder
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(environment)
        _remove(folder)


def _remove(folder: Path) -> None:
    """git may still be repacking in the background, and make files while they are deleted."""
    for _ in range(100):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def repository(folder: Path) -> Path:
    """A new repository with one commit."""
    git("init", "-q", str(folder), cwd=folder.parent)
    (folder / "train.py").write_text("print('training')\n")
    git("add", "train.py", cwd=folder)
    git("commit", "-q", "-m", "first", cwd=folder)
    return folder


def git(*args: str, cwd: Path, stdin: bytes | None = None) -> bytes:
    """What git prints."""
    return subprocess.run(["git", *args], cwd=cwd, input=stdin, stdout=subprocess.PIPE, check=True).stdout


def gxt_command() -> list[str]:
    """The `gxt` of the Python that runs this."""
    found = shutil.which("gxt", path=sysconfig.get_path("scripts"))
    return [found] if found else [sys.executable, "-m", "gxt"]


# --- the run --------------------------------------------------------------------------------------------------------


def artifact(folder: Path, i: int) -> Path:
    """A file of 2 KB to record; every run's is another one."""
    path = folder / "note.txt"
    path.write_text((f"run {i}: " + "lorem ipsum dolor sit amet, " * 80)[:2048])
    return path


def tiny_run(i: int, file: Path) -> tuple[float, str]:
    """Record a run with 5 params, 3 metrics, a tag and a file.

    Returns the seconds from its start until it is committed, and its id.
    """
    began = time.perf_counter()
    with gxt.start_run(run_name=f"run-{i}") as run:
        gxt.log_params({"alpha": i / 1000, "depth": 3, "optimizer": "adam", "lr": 0.001, "shuffle": True})
        gxt.log_metric("rmse", 1 / (i + 3), step=0)
        gxt.log_metric("mae", 1 / (i + 7), step=0)
        gxt.log_metric("r2", 1 - 1 / (i + 11), step=0)
        gxt.set_tag("kind", "tiny")
        gxt.log_artifact(file)
    return time.perf_counter() - began, run.run_id


def files_of(repo: Path, run_folder: str) -> dict[str, bytes]:
    """The files of a run on the branch, by their path in the run's folder."""
    tree = git("rev-parse", f"gxt:{run_folder}", cwd=repo).decode().strip()
    names = git("ls-tree", "-r", "--name-only", "-z", tree, cwd=repo).decode().split("\0")[:-1]
    return {name: git("cat-file", "blob", f"{tree}:{name}", cwd=repo) for name in names}


def import_script(
    folder: str, files: Mapping[str, bytes], message: str, parent: str | None = "refs/heads/gxt^0"
) -> bytes:
    """What `git fast-import` reads to commit files in a folder of the branch gxt."""
    parts = [f"commit refs/heads/gxt\ncommitter {IDENTITY} {int(time.time())} +0000\n".encode()]
    parts += [_data(message.encode()), f"from {parent}\n".encode() if parent else b""]
    parts += [f"M 100644 inline {folder}/{name}\n".encode() + _data(data) for name, data in files.items()]
    return b"".join(parts)


def _data(content: bytes) -> bytes:
    return b"data %d\n" % len(content) + content + b"\n"


# --- timing ---------------------------------------------------------------------------------------------------------


@dataclass
class Series:
    """One thing that was measured, again and again."""

    name: str
    samples: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def summary(self) -> dict[str, Any]:
        low, high = spread(self.samples)
        return {"median": self.median, "p10": low, "p90": high, "n": len(self.samples), "samples": self.samples}


def spread(samples: Sequence[float]) -> tuple[float, float]:
    """The tenth and the ninetieth percentile; of a few samples, the least and the greatest."""
    if len(samples) < 10:
        return min(samples), max(samples)
    deciles = statistics.quantiles(samples, n=10, method="inclusive")
    return deciles[0], deciles[-1]


def interleave(actions: Mapping[str, Callable[[int], float]], rounds: int, warm_up: int = 1) -> dict[str, Series]:
    """Measure each action once a round, so that what disturbs the machine disturbs all of them.

    An action takes the number of the round and gives what it measured. The first rounds do not count.
    """
    series = {name: Series(name) for name in actions}
    for i in range(-warm_up, rounds):
        for name, action in actions.items():
            measured = action(i + warm_up)
            if i >= 0:
                series[name].samples.append(measured)
    return series


def seconds(command: Sequence[str], cwd: Path) -> float:
    """How long a program takes, from its start until it has ended."""
    began = time.perf_counter()
    subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


# --- what is reported -----------------------------------------------------------------------------------------------


@dataclass
class Limit:
    """A promise, and what was measured of it."""

    what: str
    value: float
    at_most: float
    unit: str = "x"
    spread: tuple[float, float] | None = None

    @property
    def holds(self) -> bool:
        return self.value <= self.at_most

    def line(self) -> str:
        between = f" ({_figure(self.spread[0])} to {_figure(self.spread[1])})" if self.spread else ""
        verdict = "holds" if self.holds else "DOES NOT HOLD"
        unit = "" if self.unit == "x" else f" {self.unit}"
        return f"{self.what}: {_figure(self.value)}{between}{unit}, at most {self.at_most:g}{unit}: {verdict}"


def ratio(what: str, measured: Series, baseline: Series, at_most: float) -> Limit:
    """The ratio of two medians; its spread is that of the ratios within each round."""
    each = [a / b for a, b in zip(measured.samples, baseline.samples, strict=True)]
    return Limit(what, measured.median / baseline.median, at_most, spread=spread(each))


def difference(what: str, measured: Series, baseline: Series, at_most: float, unit: str) -> Limit:
    """The difference of two medians; its spread is that of the differences within each round."""
    each = [a - b for a, b in zip(measured.samples, baseline.samples, strict=True)]
    return Limit(what, measured.median - baseline.median, at_most, unit, spread(each))


@dataclass
class Result:
    """What a benchmark found: what was timed, in `unit`, the promises that bear on it, and what else there is."""

    name: str
    unit: str
    series: list[Series]
    limits: list[Limit]
    facts: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)  # only in the JSON

    @property
    def holds(self) -> bool:
        return all(limit.holds for limit in self.limits)

    def text(self) -> str:
        rows = []
        for series in self.series:
            low, high = spread(series.samples)
            rows.append(
                (series.name, _figure(series.median), f"{_figure(low)} to {_figure(high)}", len(series.samples))
            )
        lines = [f"{self.name} [{self.unit}]", *table(("", "median", "10 % to 90 %", "n"), rows)]
        lines += [limit.line() for limit in self.limits]
        lines += [f"{name}: {value}" for name, value in self.facts.items()]
        return "\n".join(lines) + "\n"

    def document(self) -> dict[str, Any]:
        return {
            "unit": self.unit,
            "series": {series.name: series.summary() for series in self.series},
            "limits": [vars(limit) | {"holds": limit.holds} for limit in self.limits],
            **self.facts,
            **self.details,
        }


def table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> list[str]:
    """Rows as aligned text: the first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]


def _figure(value: float) -> str:
    """Three significant digits, or whole where there are more before the point."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def machine() -> dict[str, Any]:
    """Where the figures come from, in general terms."""
    version = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    return {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "git": version,
        "gxt": gxt.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def report(results: Sequence[Result], json_file: str | None) -> int:
    """Print what was found, and write it to a file as JSON; the exit code says whether every promise held."""
    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()) + "\n")
    print("\n".join(result.text() for result in results))
    if json_file:
        found = {"machine": about, "results": {result.name: result.document() for result in results}}
        Path(json_file).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0 if all(result.holds for result in results) else 1
