"""What gxt costs beside the least that the same thing could cost, measured in turns in one process.

    python benchmarks/ratios.py [log-metric | import | tiny-run | cli-append | parallel | all] [--rounds N]
                                [--json FILE]

The exit code is 1 where a promise does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import harness
from harness import EXPERIMENT, Limit, Result, difference, git, interleave, ratio, repository, seconds, tiny_run

import gxt

_CALLS = 2000
_WORKERS, _RUNS = 8, 200


def log_metric(folder: Path, rounds: int = 100) -> Result:
    """One `log_metric` beside an f-string and an `os.write` to a file opened for appending."""
    chance = random.Random(1)
    values = [chance.random() for _ in range(_CALLS)]
    now = time.time_ns() // 1_000_000
    lines = [f"{step},loss,{value},{now}\n".encode() for step, value in enumerate(values)]
    fd = os.open(folder / "bare.csv", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    other = os.open(folder / "formatted.csv", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def bare(_: int) -> float:
        write, began = os.write, time.perf_counter()
        for line in lines:
            write(fd, line)
        return _us_per_call(began)

    def formatted(_: int) -> float:
        write, began = os.write, time.perf_counter()
        for step, value in enumerate(values):
            write(other, f"{step},loss,{value},{time.time_ns() // 1_000_000}\n".encode())
        return _us_per_call(began)

    def method(_: int) -> float:
        log, began = run.log_metric, time.perf_counter()
        for step, value in enumerate(values):
            log("loss", value, step)
        return _us_per_call(began)

    def function(_: int) -> float:
        log, began = gxt.log_metric, time.perf_counter()
        for step, value in enumerate(values):
            log("loss", value, step)
        return _us_per_call(began)

    gxt.set_tracking_uri(repository(folder / "work"))
    gxt.set_experiment(EXPERIMENT)
    with gxt.start_run() as run:
        found = interleave(
            {
                "os.write of a ready line": bare,
                "the line formatted, and os.write": formatted,
                "run.log_metric": method,
                "gxt.log_metric": function,
            },
            rounds,
        )
    os.close(fd)
    os.close(other)
    written = gxt.get_run(run.run_id).metrics["loss"].count
    assert written == 2 * _CALLS * (rounds + 1), f"{written} points"
    least, with_format, by_method, by_function = found.values()
    return Result(
        "log-metric",
        "us a call",
        list(found.values()),
        [
            ratio("run.log_metric / the line formatted, and os.write", by_method, with_format, 2.5),
            ratio("gxt.log_metric / the line formatted, and os.write", by_function, with_format, 2.5),
        ],
        {
            "run.log_metric / os.write of a ready line": round(by_method.median / least.median, 2),
            "gxt.log_metric / os.write of a ready line": round(by_function.median / least.median, 2),
        },
    )


def _us_per_call(began: float) -> float:
    return (time.perf_counter() - began) / _CALLS * 1e6


def importing(folder: Path, rounds: int = 40) -> Result:
    """`import gxt` in a new Python beside a Python that does nothing."""

    def python(code: str) -> Callable[[int], float]:
        return lambda _: seconds([sys.executable, "-c", code], folder) * 1e3

    found = interleave(
        {
            "python -c pass": python("pass"),
            'python -c "import gxt"': python("import gxt"),
            "the same, and what recording needs": python("import gxt; gxt.start_run"),
        },
        rounds,
    )
    bare, package, _ = found.values()
    heavy = "import gxt, json, sys; print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    loaded = set(json.loads(subprocess.check_output([sys.executable, "-c", heavy], cwd=folder)))
    unwanted = sorted(loaded & {"pandas", "git", "sklearn"})
    return Result(
        "import",
        "ms",
        list(found.values()),
        [
            difference("import gxt - bare Python", package, bare, 30, "ms"),
            Limit("of pandas, GitPython and sklearn loaded", len(unwanted), 0),
        ],
    )


def tiny(folder: Path, rounds: int = 100) -> Result:
    """A tiny run from its start until it is committed, beside one `git fast-import` of the very files it committed."""
    work = repository(folder / "work")
    gxt.set_tracking_uri(work)
    gxt.set_experiment(EXPERIMENT)
    by_hand = {name: repository(folder / name) for name in ("packed", "plain")}
    scripts: list[bytes] = []

    def recorded(i: int) -> float:
        file = harness.artifact(folder, i)
        took, run_id = tiny_run(i, file)
        path = f"experiments/{EXPERIMENT}/{run_id}"
        parent = "refs/heads/gxt^0" if i else None
        scripts.append(harness.import_script(path, harness.files_of(work, path), f"run {i}\n", parent))
        return took * 1e3

    def imported(repo: Path, *options: str) -> Callable[[int], float]:
        def once(i: int) -> float:
            if i % 25 == 24:  # as gxt has done for its repository, in the background
                git("repack", "-a", "-d", "-q", cwd=repo)
            began = time.perf_counter()
            git(*options, "fast-import", "--quiet", cwd=repo, stdin=scripts[-1])
            return (time.perf_counter() - began) * 1e3

        return once

    found = interleave(
        {
            "gxt": recorded,
            "git fast-import, kept as a pack": imported(by_hand["packed"], "-c", "fastimport.unpackLimit=1"),
            "git fast-import": imported(by_hand["plain"]),
        },
        rounds,
        warm_up=3,
    )
    runs = _run_trees(work)
    assert all(_run_trees(repo) == runs for repo in by_hand.values()), "by hand, other files were committed"
    whole, packed, plain = found.values()
    return Result(
        "tiny-run",
        "ms",
        list(found.values()),
        [ratio("gxt / git fast-import", whole, plain, 4)],
        {"gxt / git fast-import, kept as a pack": round(whole.median / packed.median, 2)},
    )


def _run_trees(repo: Path) -> list[str]:
    """The experiment's run folders with their ids, which are those of their content."""
    entries = git("ls-tree", f"gxt:experiments/{EXPERIMENT}", cwd=repo).decode().splitlines()
    return [entry for entry in entries if " tree " in entry]


def cli_append(folder: Path, rounds: int = 40) -> Result:
    """`gxt log --run` to a run that `gxt start` began, beside a Python that imports click."""
    work = repository(folder / "work")
    command = harness.gxt_command()
    run_id = subprocess.check_output([*command, "start", "-e", EXPERIMENT], cwd=work, text=True).strip()

    def append(i: int) -> float:
        return seconds([*command, "log", "--run", run_id, "-m", f"loss={1 / (i + 1)}", "--step", str(i)], work) * 1e3

    found = interleave(
        {
            "python -c pass": lambda _: seconds([sys.executable, "-c", "pass"], work) * 1e3,
            'python -c "import click"': lambda _: seconds([sys.executable, "-c", "import click"], work) * 1e3,
            "gxt log --run": append,
        },
        rounds,
    )
    subprocess.run([*command, "finish", run_id], cwd=work, check=True, stdout=subprocess.DEVNULL)
    gxt.set_tracking_uri(work)
    written = gxt.get_run(run_id).metrics["loss"].count
    assert written == rounds + 1, f"{written} points"
    _, click, whole = found.values()
    return Result("cli-append", "ms", list(found.values()), [ratio("gxt log --run / import click", whole, click, 2)])


def parallel(folder: Path, rounds: int = 3) -> Result:
    """200 tiny runs by 8 processes at once, beside 200 by one; the time from the word go until the last is committed.

    What Python and gxt need to start is not in it.
    """
    counted: list[int] = []

    def record(workers: int) -> Callable[[int], float]:
        def once(i: int) -> float:
            work = repository(folder / f"{workers}-{i}")
            processes = [
                subprocess.Popen(
                    [sys.executable, __file__, "worker", str(work), str(_RUNS // workers)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                for _ in range(workers)
            ]
            for process in processes:
                assert process.stdout and process.stdout.readline() == "ready\n"
            began = time.perf_counter()
            for process in processes:
                assert process.stdin
                process.stdin.write("go\n")
                process.stdin.flush()
            for process in processes:
                assert process.stdout and process.stdout.readline() == "done\n"
            took = time.perf_counter() - began
            for process in processes:
                process.communicate()
            counted.append(_complete(work))
            return took

        return once

    found = interleave(
        {"1 process, 200 runs": record(1), "8 processes, 25 runs each": record(_WORKERS)}, rounds, warm_up=0
    )
    alone, together = found.values()
    return Result(
        "parallel",
        "s",
        list(found.values()),
        [
            ratio("8 processes / 1 process", together, alone, 1),
            Limit(f"runs of {_RUNS} that are not whole on the branch, the worst time", _RUNS - min(counted), 0),
        ],
    )


def worker(repo: str, runs: str) -> None:
    """One of the processes of `parallel`."""
    gxt.set_tracking_uri(repo)
    gxt.set_experiment(EXPERIMENT)
    folder = Path(repo).parent / f"worker-{os.getpid()}"
    folder.mkdir()
    files = [harness.artifact(folder, i).rename(folder / f"{i}.txt") for i in range(int(runs))]
    print("ready", flush=True)
    sys.stdin.readline()
    for i, file in enumerate(files):
        tiny_run(i, file)
    print("done", flush=True)


def _complete(repo: Path) -> int:
    """How many runs stand finished on the branch with all their files, as git itself sees it."""
    listed = git("ls-tree", "-r", "--name-only", f"gxt:experiments/{EXPERIMENT}", cwd=repo).decode().splitlines()
    runs: dict[str, set[str]] = {}
    for path in listed:
        run, _, name = path.partition("/")
        runs.setdefault(run, set()).add(name)
    gxt.set_tracking_uri(repo)
    found = gxt.search_runs(experiment_names=[EXPERIMENT], output_format="list")
    finished = {run.id for run in found if run.status == "finished" and len(run.params) == 5 and len(run.metrics) == 3}
    needed = {"run.yaml", "params.yaml", "metrics.yaml", "metrics.csv"}
    return sum(
        needed <= files and any(name.startswith("artifacts/") for name in files) and run in finished
        for run, files in runs.items()
    )


BENCHMARKS: dict[str, Callable[..., Result]] = {
    "log-metric": log_metric,
    "import": importing,
    "tiny-run": tiny,
    "cli-append": cli_append,
    "parallel": parallel,
}


def main() -> int:
    if sys.argv[1:2] == ["worker"]:
        worker(*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("benchmark", choices=[*BENCHMARKS, "all"], nargs="?", default="all")
    parser.add_argument("--rounds", type=int, help="how often each is measured; each benchmark has its own default")
    parser.add_argument("--json", metavar="FILE", help="also write it as JSON, every sample included")
    given = parser.parse_args()
    names = list(BENCHMARKS) if given.benchmark == "all" else [given.benchmark]
    results = []
    for name in names:
        with harness.sandbox() as folder:
            results.append(BENCHMARKS[name](folder, **({"rounds": given.rounds} if given.rounds else {})))
    return harness.report(results, given.json)


if __name__ == "__main__":
    sys.exit(main())
