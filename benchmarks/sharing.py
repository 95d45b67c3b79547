"""Sharing under load: many clones at once, large branches, long partings, processes that are killed.

    python benchmarks/sharing.py [crowd|large|parted|killed|all] [--clones 16] [--runs 50] [--size 10000] [--new 1000]
                                 [--kills 100] [--rounds 15] [--json FILE]

crowd   clones that record and sync after each run, all at once, against one remote
large   a sync of one new run in a repository that has many, beside a plain `git push` of one commit there
parted  the merge of two clones, each with many new runs
killed  syncs in which gxt, git, or the remote's side of it is killed at a random moment

The exit code is 1 where a promise does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import harness
from harness import EXPERIMENT, Limit, Result, Series, git, import_script, ratio, seconds

import gxt
from gxt import git as gxt_git
from gxt import sharing, store

_CLONE = """
import json, sys, time, warnings
from pathlib import Path
import gxt
from gxt import git, sharing
name, runs = sys.argv[1], int(sys.argv[2])
repo = git.find(Path("."))
tries = merges = 0
longest = 0.0
for number in range(runs):
    with gxt.start_run(experiment_name="bench", run_name=f"{name}-{number}"):
        gxt.log_params({"clone": name, "number": number})
        gxt.log_metric("loss", 1 / (number + 1))
    began = time.perf_counter()
    done = sharing.sync(repo, "origin", git.Talk())
    longest = max(longest, time.perf_counter() - began)
    tries, merges = tries + done.tries, merges + done.merges
print(json.dumps({"tries": tries, "merges": merges, "longest": longest}))
"""


def _hub(folder: Path) -> Path:
    hub = folder / "hub.git"
    git("init", "-q", "--bare", str(hub), cwd=folder)
    return hub


def _clone(hub: Path, name: str) -> Path:
    git("init", "-q", str(hub.parent / name), cwd=hub.parent)
    git("remote", "add", "origin", str(hub), cwd=hub.parent / name)
    return hub.parent / name


def _runs(repo: Path, ref: str = "gxt") -> set[str]:
    commit = git("rev-parse", ref, cwd=repo).decode().strip()
    return {run.run_id for run in store.list_runs(gxt_git.find(repo), commit)}


def crowd(folder: Path, options: argparse.Namespace) -> Result:
    """Clones that record and sync all at once."""
    import json

    hub = _hub(folder)
    names = [f"clone-{number:02}" for number in range(options.clones)]
    clones = [_clone(hub, name) for name in names]
    began = time.perf_counter()
    started = [
        subprocess.Popen([sys.executable, "-c", _CLONE, name, str(options.runs)], cwd=clone, stdout=subprocess.PIPE)
        for name, clone in zip(names, clones, strict=True)
    ]
    said = [json.loads(process.communicate()[0] or "{}") for process in started]
    whole = time.perf_counter() - began
    wanted = options.clones * options.runs
    there = len(_runs(hub))
    git("fsck", "--strict", "--no-dangling", cwd=hub)
    tries = sum(one.get("tries", 0) for one in said)
    facts = {
        "runs on the remote": f"{there} of {wanted}",
        "pushes": f"{tries}, {tries - wanted} of them again because another clone was faster",
        "merges": sum(one.get("merges", 0) for one in said),
        "the longest sync": f"{max(one.get('longest', 0) for one in said):.1f} s",
        "in all": f"{whole:.0f} s, {whole / wanted * 1000:.0f} ms a run",
    }
    return Result("crowd", "s", [Series("all clones", [whole])], [Limit("runs lost", wanted - there, 0, "runs")], facts)


def large(folder: Path, options: argparse.Namespace) -> Result:
    """One new run where there are many, beside a plain push."""
    hub = _hub(folder)
    one, two = _clone(hub, "one"), _clone(hub, "two")
    _fill(one, options.size, "a")
    subprocess.run([*harness.gxt_command(), "sync", "-q"], cwd=one, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*harness.gxt_command(), "sync", "-q"], cwd=two, check=True, stdout=subprocess.DEVNULL)
    for repo in (hub, one, two):
        git("gc", "-q", cwd=repo)
    command = [*harness.gxt_command(), "sync", "-q"]

    def record(repo: Path) -> None:
        subprocess.run(
            [*harness.gxt_command(), "log", "-e", EXPERIMENT, "-m", "rmse=1"],
            cwd=repo,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def push(_: int) -> float:
        record(one)
        return seconds(["git", "push", "-q", "origin", "gxt"], one)

    def ours(_: int) -> float:
        record(one)
        return seconds(command, one)

    def theirs(_: int) -> float:
        subprocess.run(command, cwd=two, check=True, stdout=subprocess.DEVNULL)
        record(two)
        subprocess.run(command, cwd=two, check=True, stdout=subprocess.DEVNULL)
        return seconds(command, one)

    def both(_: int) -> float:
        record(two)
        subprocess.run(command, cwd=two, check=True, stdout=subprocess.DEVNULL)
        record(one)
        return seconds(command, one)

    def python(_: int) -> float:
        return seconds([sys.executable, "-c", "pass"], one)

    actions: dict[str, Callable[[int], float]] = {
        "python -c pass": python,
        "git push of one commit": push,
        "gxt sync, one new run here": ours,
        "gxt sync, one new run there": theirs,
        "gxt sync, one new run on each side": both,
    }
    series = harness.interleave(actions, options.rounds)
    limits = [
        ratio(f"{name}, to git push", series[name], series["git push of one commit"], 3.0)
        for name in actions
        if name.startswith("gxt") and "each side" not in name
    ]
    status = [seconds([*harness.gxt_command(), "status"], one) for _ in range(5)]
    both_sides = series["gxt sync, one new run on each side"].median / series["git push of one commit"].median
    facts = {
        "runs": len(_runs(one)),
        "with new runs on each side": f"{both_sides:.1f} pushes",
        "gxt status": f"{sorted(status)[2]:.2f} s",
    }
    return Result("large", "s", list(series.values()), limits, facts)


def parted(folder: Path, options: argparse.Namespace) -> Result:
    """The merge of two clones with many new runs each."""
    hub = _hub(folder)
    one, two = _clone(hub, "one"), _clone(hub, "two")
    _fill(one, 10, "0")
    sharing.sync(gxt_git.find(one), "origin", gxt_git.Talk())
    sharing.sync(gxt_git.find(two), "origin", gxt_git.Talk())
    _fill(one, options.new, "a")
    _fill(two, options.new, "b")
    sharing.sync(gxt_git.find(one), "origin", gxt_git.Talk())
    git("fetch", "-q", cwd=two)
    theirs = git("rev-parse", "origin/gxt", cwd=two).decode().strip()
    ours = git("rev-parse", "gxt", cwd=two).decode().strip()
    samples = []
    for _ in range(options.rounds):
        git("update-ref", "refs/heads/gxt", ours, cwd=two)
        shutil.rmtree(two / ".git" / "gxt", ignore_errors=True)
        began = time.perf_counter()
        store.join(gxt_git.find(two), theirs, "origin/gxt")
        samples.append(time.perf_counter() - began)
    missing = 2 * options.new + 10 - len(_runs(two))
    series = Series("merge", samples)
    limits = [Limit("the merge", series.median, 2.0, "s"), Limit("runs lost", missing, 0, "runs")]
    git("update-ref", "refs/heads/gxt", ours, cwd=two)
    whole = seconds([*harness.gxt_command(), "sync", "-q"], two)
    facts = {"new runs, each a commit": f"{options.new} and {options.new}", "gxt sync in all": f"{whole:.2f} s"}
    return Result("parted", "s", [series], limits, facts)


def killed(folder: Path, options: argparse.Namespace) -> Result:
    """Syncs that are killed at random moments."""
    chance = random.Random(options.seed)
    hub = _hub(folder)
    clones = [_clone(hub, "one"), _clone(hub, "two")]
    expected: set[str] = set()
    hit: dict[str, int] = {}
    for number in itertools.count():
        if sum(count for who, count in hit.items() if who != _TOO_LATE) >= options.kills:
            break
        for clone in clones:
            gxt.set_tracking_uri(clone)
            with gxt.start_run(experiment_name=EXPERIMENT) as run:
                gxt.log_metric("loss", number)
            expected.add(run.run_id)
        process = subprocess.Popen(
            [sys.executable, "-m", "gxt", "sync"],
            cwd=clones[number % 2],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(chance.uniform(0.05, options.within))
        who = _kill_one_of(process.pid, chance)
        hit[who] = hit.get(who, 0) + 1
        process.wait()
        _clear_locks(hub, *clones)
    time.sleep(1)
    _clear_locks(hub, *clones)
    for clone in (*clones, clones[0]):
        sharing.sync(gxt_git.find(clone), "origin", gxt_git.Talk())
    for repo in (hub, *clones):
        git("fsck", "--strict", "--no-dangling", cwd=repo)
    lost = len(expected - _runs(hub)) + sum(len(expected - _runs(clone)) for clone in clones)
    facts = {"killed": ", ".join(f"{name} {count}" for name, count in sorted(hit.items())), "runs": len(expected)}
    return Result("killed", "s", [], [Limit("runs lost", lost, 0, "runs")], facts)


_TOO_LATE = "nobody, it had ended"


def _kill_one_of(parent: int, chance: random.Random) -> str:
    found = [parent]
    for pid in found:
        with contextlib.suppress(OSError):
            found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    chosen = chance.choice(found)
    try:
        name = " ".join(Path(f"/proc/{chosen}/cmdline").read_text().split("\0"))
        if not name:  # it has ended
            return _TOO_LATE
        os.kill(chosen, signal.SIGKILL)
    except OSError:
        return _TOO_LATE
    if "-m gxt" in name:
        return "gxt"
    return next((word for word in ("receive-pack", "upload-pack", "fast-import") if word in name), "git beside these")


def _clear_locks(*folders: Path) -> None:
    """What a minute does: locks that a killed git left are taken for stale then. Nobody is at work now."""
    time.sleep(0.2)
    for folder in folders:
        common = folder / ".git" if (folder / ".git").exists() else folder
        for lock in [*common.glob("refs/**/*.lock"), *common.glob("*.lock")]:
            lock.unlink(missing_ok=True)


def _fill(repo: Path, count: int, mark: str) -> None:
    """Put many runs on a clone's branch, each as a commit of its own: copies of one that gxt has recorded."""
    gxt.set_tracking_uri(repo)
    with gxt.start_run(experiment_name=EXPERIMENT) as run:
        gxt.log_params({f"p{number}": number for number in range(10)})
        gxt.log_metrics({f"m{number}": float(number) for number in range(10)})
    pattern = harness.files_of(repo, f"experiments/{EXPERIMENT}/{run.run_id}")
    script = []
    for number in range(count - 1):
        run_id = f"20260101-000000-{mark}{number:07x}"
        files = {name: data.replace(run.run_id.encode(), run_id.encode()) for name, data in pattern.items()}
        files["params.yaml"] += f"number: {mark}{number}\n".encode()
        first = "refs/heads/gxt^0" if number == 0 else None
        message = f"{EXPERIMENT}: run-{number} finished\n\nGxt-Run: {run_id}\n"
        script.append(import_script(f"experiments/{EXPERIMENT}/{run_id}", files, message, first))
    git("fast-import", "--quiet", cwd=repo, stdin=b"".join(script))


BENCHMARKS = {"crowd": crowd, "large": large, "parted": parted, "killed": killed}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=[*BENCHMARKS, "all"], default="all")
    parser.add_argument("--clones", type=int, default=16)
    parser.add_argument("--runs", type=int, default=50, help="of each clone")
    parser.add_argument("--size", type=int, default=10_000, help="runs in the large repository")
    parser.add_argument("--new", type=int, default=1000, help="runs on each side of a merge")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--within", type=float, default=0.3, help="seconds until somebody is killed, at most")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    file = os.path.abspath(options.json) if options.json else None
    results = []
    for name, benchmark in BENCHMARKS.items():
        if options.what in (name, "all"):
            with harness.sandbox() as folder:
                results.append(benchmark(folder, options))
    return harness.report(results, file)


if __name__ == "__main__":
    sys.exit(main())
