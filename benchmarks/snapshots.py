"""The code of a run as a commit, in a large repository: beside `git status`, and what the training waits for.

python benchmarks/snapshots.py [--files N] [--rounds N] [--repository PATH] [--json FILE]

With --repository, a clone of that one is measured instead of files that were made up.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from harness import Limit, Result, Series, interleave, ratio, report, sandbox, seconds, spread
from harness import git as run_git

import gxt
from gxt import git, snapshots
from gxt.git import Repository

PAUSE = 0.05  # seconds, for the machine to come to rest


def main() -> int:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=50_000, help="files in the repository")
    parser.add_argument("--rounds", type=int, default=20, help="times that each is measured")
    parser.add_argument("--repository", help="clone this repository instead")
    parser.add_argument("--json", help="write all samples there")
    asked = parser.parse_args()
    source = Path(asked.repository).absolute() if asked.repository else None
    with sandbox() as folder:
        work = folder / "work"
        made = cloned(source, work) if source else filled(work, asked.files)
        return report(measured(made, asked.rounds), asked.json)


def filled(work: Path, files: int) -> Path:
    """A repository with so many small files in folders of a hundred, in one commit."""
    for number in range(files):
        file = work / f"part{number // 10_000}" / f"module{number // 100 % 100:02d}" / f"file{number % 100:02d}.py"
        if number % 100 == 0:
            file.parent.mkdir(parents=True)
        file.write_text(f"VALUE = {number}\n" * 20)
    run_git("init", "-q", ".", cwd=work)
    run_git("add", ".", cwd=work)
    run_git("commit", "-q", "-m", "all of it", cwd=work)
    return work


def cloned(source: Path, work: Path) -> Path:
    """A clone whose objects are borrowed."""
    run_git("clone", "-q", "--shared", str(source), str(work), cwd=work.parent)
    return work


def measured(work: Path, rounds: int) -> list[Result]:
    """All figures for one repository."""
    repo = git.find(work)
    gxt.set_tracking_uri(str(work))
    os.sync()  # what was just written would be written out meanwhile
    time.sleep(1.1)  # files as young as the index are read again by git
    run_git("status", cwd=work)
    files = len(run_git("ls-files", "-z", cwd=work).split(b"\0")) - 1
    results = [compared(work, repo, "clean", rounds)]
    some = run_git("ls-files", "-z", cwd=work).decode().split("\0")[:-1][:: max(1, files // 10)]
    changed = [path for path in some if (work / path).is_file()]
    for path in changed:
        (work / path).write_text("CHANGED = True\n")
    for number in range(5):
        (work / f"new{number}.py").write_text(f"NEW = {number}\n")
    time.sleep(1.1)
    run_git("status", cwd=work)
    results.append(compared(work, repo, "dirty", rounds))
    run_git("update-index", "--assume-unchanged", changed[0], cwd=work)
    results.append(compared(work, repo, "assume-unchanged", rounds))
    results.append(started(rounds))
    for result in results:
        result.facts["files"] = files
    return results


def compared(work: Path, repo: Repository, state: str, rounds: int) -> Result:
    """The whole snapshot beside a `git status`."""
    settings = git.config(repo)

    def snapshot(_: int) -> float:
        began = time.perf_counter()
        until = snapshots.deadline()
        found = snapshots.take(repo, settings, git.look(repo, settings, until), until)
        took = time.perf_counter() - began
        assert "problem" not in found.about, found.about
        return took * 1000

    actions: dict[str, Callable[[int], float]] = {
        "git status": lambda _: seconds(["git", "status"], work) * 1000,
        "the snapshot": snapshot,
    }
    series = interleave(actions, rounds)
    limit = ratio("the snapshot beside `git status`", series["the snapshot"], series["git status"], 2.0)
    return Result(f"snapshot-{state}", "ms", list(series.values()), [limit])


def started(rounds: int) -> Result:
    """What the training thread spends on `start_run`, of it `git config`, which was there before; and the longest that
    a busy thread then stands still while the rest goes on in the background."""
    start, stalls = Series("gxt.start_run()"), Series("longest pause of a busy thread, in the 300 ms after")
    asked = Series("one `git config --list`, which is a part of it")
    repo = git.find(Path(gxt.get_tracking_uri()))
    for number in range(rounds + 1):
        time.sleep(PAUSE)
        began = time.perf_counter()
        git.config(repo)
        between = time.perf_counter()
        run = gxt.start_run()
        took = time.perf_counter() - between
        longest = _longest_pause(0.3)
        run.end()
        if number:
            asked.samples.append((between - began) * 1000)
            start.samples.append(took * 1000)
            stalls.samples.append(longest * 1000)
    limit = Limit("start_run", start.median, 5.0, "ms", spread(start.samples))
    return Result("start", "ms", [start, asked, stalls], [limit])


def _longest_pause(duration: float) -> float:
    until = time.perf_counter() + duration
    last, longest = time.perf_counter(), 0.0
    while last < until:
        at = time.perf_counter()
        longest, last = max(longest, at - last), at
    return longest


if __name__ == "__main__":
    sys.exit(main())
