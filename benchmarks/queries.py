"""What asking costs: tables, DataFrames and plots of many runs, in processes of their own, beside Python's own start.

    python benchmarks/queries.py [table | many | build | points | all] [--rounds N] [--json FILE]
    python benchmarks/queries.py curve [--sizes 100,1000,10000,100000]

Runs have 10 params, 10 metrics, a tag, a command and an environment, and lie in two experiments; `git fast-import` puts
them on the branch, in the files that gxt writes. The exit code is 1 where a promise does not hold.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import harness
from harness import Limit, Result, Series, difference, git, interleave, ratio, repository

import gxt
from gxt import layout
from gxt.model import Experiment, Run, Summary

_FIRST = 1_767_225_600_000  # 2026-01-01
_EXPERIMENTS = "taxi", "other"
_QUESTION = ["table", "-n", "20", "--where", "rmse < 5 and params.model = 'xgb'", "--sort", "metric3:desc"]
_POINTS = 1_000_000
_FRAME = "import gxt; print(len(gxt.search_runs(search_all_experiments=True)))"


# --- the runs -------------------------------------------------------------------------------------------------------


def filled(folder: Path, runs: int) -> Path:
    """A repository with so many runs on its branch, and one more commit that changes the tag of one of them."""
    repo = repository(folder)
    chance = random.Random(1)
    made = [_run(i, chance) for i in range(runs)]
    script = [*_commit("runs"), b"M 100644 inline gxt.yaml\n", _data(layout.gxt_document())]
    for name in _EXPERIMENTS:
        experiment = Experiment(name, name.ljust(8, "0"), _FIRST)
        script += _file(layout.experiment_path(name), layout.experiment_document(experiment))
    for run in made:
        script += _files(run)
    script += [*_commit("a tag"), *_files(replace(made[0], tags={"developer": "grace"}))]
    git("fast-import", "--quiet", cwd=repo, stdin=b"".join(script))
    return repo


def _run(i: int, chance: random.Random) -> Run:
    started = _FIRST + i * 1000
    values = [chance.random() * 10 for _ in range(10)]
    names = ["rmse", *(f"metric{k}" for k in range(1, 10))]
    params = {f"p{k}": chance.choice([chance.random(), chance.randint(0, 100), "auto"]) for k in range(7)}
    return Run(
        time.strftime("%Y%m%d-%H%M%S", time.gmtime(started / 1000)) + f"-{chance.getrandbits(32):08x}",
        _EXPERIMENTS[i % 2],
        f"run-{i}",
        "finished",
        started,
        started + chance.randint(10, 100_000),
        author=harness.IDENTITY,
        tags={"developer": "ada"},
        source={
            "command": f"python train.py --seed {i}",
            "commit": f"{chance.getrandbits(160):040x}",
            "branch": "main",
        },
        environment={"python": "3.11.7", "platform": "Linux-6.1-x86_64", "cpus": 2},
        params=params | {"model": chance.choice(["xgb", "lasso", "forest"]), "opt": {"lr": 10.0 ** -(i % 5), "k": i}},
        metrics={name: Summary(v, v - 1, v + 1, v + 1, 10, 11) for name, v in zip(names, values, strict=True)},
    )


def _files(run: Run, points: bytes = b"0,rmse,1,1\n") -> Iterator[bytes]:
    files = layout.run_files(run) | {layout.METRICS_CSV: layout.METRICS_HEADER + points}
    for name, content in files.items():
        yield from _file(f"{layout.run_path(run.experiment, run.id)}/{name}", content)


def _file(path: str, content: bytes) -> list[bytes]:
    return [f"M 100644 inline {path}\n".encode(), _data(content)]


def _commit(message: str) -> list[bytes]:
    head = f"commit refs/heads/gxt\ncommitter {harness.IDENTITY} {_FIRST // 1000} +0000\n"
    return [head.encode(), _data(message.encode())]


def _data(content: bytes) -> bytes:
    return b"data %d\n" % len(content) + content + b"\n"


# --- the questions --------------------------------------------------------------------------------------------------


def table(folder: Path, rounds: int) -> Result:
    """10,000 runs: a filtered and sorted table at the tip and at the commit before, a DataFrame of all."""
    repo = filled(folder / "work", 10_000)
    frame = [sys.executable, "-c", _FRAME]
    found = interleave(
        {
            "python -c pass": _timed([sys.executable, "-c", "pass"], repo),
            "gxt table": _timed(_gxt(*_QUESTION), repo),
            "gxt table --at gxt~1": _timed(_gxt(*_QUESTION, "--at", "gxt~1"), repo),
            "python -c 'import pandas'": _timed([sys.executable, "-c", "import pandas"], repo),
            "search_runs() of all": _timed(frame, repo),
            "gxt table, one run more": _after_one_more(repo),
        },
        rounds,
        warm_up=2,
    )
    start, tip, older, pandas, whole, more = found.values()
    return Result(
        "table",
        "ms",
        list(found.values()),
        [
            difference("10,000 runs: gxt table - python -c pass", tip, start, 250, "ms"),
            ratio("--at gxt~1 / the tip", older, tip, 1.1),
            difference("one run more - none", more, tip, 20, "ms"),
        ],
        {"search_runs() - import pandas [ms]": round(whole.median - pandas.median)},
    )


def _after_one_more(repo: Path) -> Callable[[int], float]:
    ask = _timed(_gxt(*_QUESTION), repo)

    def once(i: int) -> float:
        gxt.set_tracking_uri(repo)
        gxt.set_experiment("taxi")
        with gxt.start_run():
            gxt.log_params({"model": "xgb", **{f"p{k}": k for k in range(9)}})
            gxt.log_metrics({"rmse": 1 / (i + 1), **{f"metric{k}": k for k in range(1, 10)}})
        return ask(i)

    return once


def many(folder: Path, rounds: int) -> Result:
    """100,000 runs: the same table, and the memory that it takes."""
    repo = filled(folder / "work", 100_000)
    found = interleave(
        {
            "python -c pass": _timed([sys.executable, "-c", "pass"], repo),
            "gxt table": _timed(_gxt(*_QUESTION), repo),
        },
        rounds,
    )
    start, whole = found.values()
    memory = _peak_memory(_gxt(*_QUESTION), repo)
    return Result(
        "many",
        "ms",
        list(found.values()),
        [
            difference("100,000 runs: gxt table - python -c pass", whole, start, 1000, "ms"),
            Limit("memory, at most", memory, 600, "MB"),
        ],
    )


def build(folder: Path, rounds: int) -> Result:
    """The first table of 10,000 runs, when nothing is in the cache."""
    repo = filled(folder / "work", 10_000)
    found = interleave({"gxt table, no cache": _built(repo), "gxt table": _timed(_gxt(*_QUESTION), repo)}, rounds)
    first, warm = found.values()
    extra = difference("", first, warm, 0, "ms")
    assert extra.spread
    low, high = extra.spread
    limit = Limit("first build, a run", extra.value / 1e4, 0.5, "ms", (low / 1e4, high / 1e4))
    return Result("build", "ms", list(found.values()), [limit])


def _built(repo: Path) -> Callable[[int], float]:
    ask = _timed(_gxt(*_QUESTION), repo)

    def once(i: int) -> float:
        for file in (repo / ".git" / "gxt").glob("cache.db*"):
            file.unlink()
        return ask(i)

    return once


def points(folder: Path, rounds: int) -> Result:
    """One run with a million points of one metric."""
    repo = repository(folder / "work")
    chance = random.Random(1)
    run = replace(_run(0, chance), metrics={"rmse": Summary(1, 0, 1, 1, _POINTS - 1, _POINTS)})
    rows = "".join(f"{i},rmse,{chance.random()!r},{_FIRST + i}\n" for i in range(_POINTS))
    git("fast-import", "--quiet", cwd=repo, stdin=b"".join([*_commit("a long run"), *_files(run, rows.encode())]))
    found = interleave(
        {
            "python -c pass": _timed([sys.executable, "-c", "pass"], repo),
            "gxt show": _timed(_gxt("show", run.id), repo),
            "gxt plot, in the terminal": _timed(_gxt("plot", "rmse", run.id), repo),
            "gxt plot -o rmse.png": _timed(_gxt("plot", "rmse", run.id, "-o", str(folder / "rmse.png")), repo),
            "gxt plot -o rmse.html": _timed(_gxt("plot", "rmse", run.id, "-o", str(folder / "rmse.html")), repo),
        },
        rounds,
    )
    _, show, *plots = found.values()
    limits = [Limit("gxt show", show.median / 1e3, 0.3, "s")]
    limits += [Limit(plot.name, plot.median / 1e3, 3, "s") for plot in plots]
    return Result("points", "ms", list(found.values()), limits)


def curve(folder: Path, rounds: int, sizes: Sequence[int]) -> Result:
    """The same table and DataFrame as the number of runs grows."""
    series: list[Series] = []
    rows = []
    for size in sizes:
        repo = filled(folder / str(size), size)
        first = _timed(_gxt(*_QUESTION), repo)(0)
        found = interleave(
            {
                f"{size} runs: python -c pass": _timed([sys.executable, "-c", "pass"], repo),
                f"{size} runs: gxt table": _timed(_gxt(*_QUESTION), repo),
                f"{size} runs: gxt list": _timed(_gxt("list"), repo),
                f"{size} runs: gxt show @last": _timed(_gxt("show", "@last"), repo),
                f"{size} runs: search_runs() of all": _timed([sys.executable, "-c", _FRAME], repo),
            },
            rounds,
        )
        memory = _peak_memory(_gxt(*_QUESTION), repo)
        cache = (repo / ".git" / "gxt" / "cache.db").stat().st_size / 1e6
        series += found.values()
        rows.append(
            [size, f"{first:.0f}", *(f"{s.median:.0f}" for s in found.values()), f"{memory:.0f}", f"{cache:.1f}"]
        )
    head = ["runs", "first table", "python", "table", "list", "show @last", "search_runs", "MB memory", "MB cache"]
    print("\n".join(harness.table(head, rows)) + "\n")
    return Result("queries", "ms", series, [])


# --- timing ---------------------------------------------------------------------------------------------------------


def _gxt(*arguments: str) -> list[str]:
    return [*harness.gxt_command(), *arguments]


def _timed(command: Sequence[str], repo: Path) -> Callable[[int], float]:
    return lambda _: _milliseconds(command, repo)


def _milliseconds(command: Sequence[str], repo: Path) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=repo, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return (time.perf_counter() - began) * 1e3


_MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def _peak_memory(command: Sequence[str], repo: Path) -> float:
    """The most memory that a program ever had, in MB."""
    # By a small process: a program's peak begins with that of the one that starts it.
    measured = subprocess.run([sys.executable, "-c", _MEASURE, *command], cwd=repo, stdout=subprocess.PIPE, check=True)
    peak = int(measured.stdout)
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3  # bytes or kilobytes: getrusage(2) of each


def main() -> int:
    works: dict[str, Callable[[Path, int], Result]] = {"table": table, "many": many, "build": build, "points": points}
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="?", default="all", choices=[*works, "curve", "all"])
    parser.add_argument("--rounds", type=int, default=10, help="how often each is timed (default: %(default)s)")
    parser.add_argument("--sizes", default="100,1000,10000,100000", help="runs, for the curve (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="also write it as JSON, every sample included")
    given = parser.parse_args()
    results = []
    for name, work in works.items():
        if given.what in (name, "all"):
            with harness.sandbox() as folder:
                results.append(work(folder, given.rounds))
    if given.what in ("curve", "all"):
        with harness.sandbox() as folder:
            results.append(curve(folder, given.rounds, [int(size) for size in given.sizes.split(",")]))
    return harness.report(results, given.json)


if __name__ == "__main__":
    sys.exit(main())
