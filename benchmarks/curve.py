"""How the time to commit a run and the disk that it takes grow with an experiment, while git repacks in the background.

    python benchmarks/curve.py [--full] [--sizes 100,1000,10000] [--window 50] [--json FILE]

One experiment grows in one process. Around each size a window of runs is timed one by one, from start to committed.
With --full every run goes through gxt. Otherwise those between the windows are put there by one git fast-import, each
as a commit of its own, and gxt records the last 100 before a window, so that git has repacked since.
The runs of a window take turns with runs in a copy of the repository as it was at the first size, so that a machine
that is busier at one time than at another does not bend the curve.

What is not packed is looked at after each run: loose objects, and the packs that hold no more than one run's commit.
The exit code is 1 where a promise does not hold.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import harness
from harness import EXPERIMENT, Limit, Result, Series, git, ratio, tiny_run

import gxt

_LEAD_IN = 100  # runs through gxt before a window, two repackings' worth
_MB = 1_000_000


@dataclass
class Disk:
    """The object store of a repository, looked at from outside."""

    objects: Path
    largest_commit: int = 0
    unpacked_peak: int = 0
    packs_peak: int = 0
    _packs: dict[str, tuple[int, int]] = field(default_factory=dict)

    def look(self) -> None:
        """Note how much is unpacked now, if it is the most so far."""
        packs = self._list_packs()
        fresh = sum(size for size, objects in packs if objects <= self.largest_commit)
        self.unpacked_peak = max(self.unpacked_peak, fresh + self._loose())
        self.packs_peak = max(self.packs_peak, len(packs))

    def size(self) -> int:
        """The bytes of all that is in the folder: packs, their indexes, loose objects."""
        return sum(file.stat().st_size for file in self.objects.rglob("*") if file.is_file())

    def packs(self) -> int:
        return len(self._list_packs())

    def _list_packs(self) -> list[tuple[int, int]]:
        """The size of each pack, and how many objects it holds."""
        names = {entry.name for entry in os.scandir(self.objects / "pack") if entry.name.endswith(".pack")}
        self._packs = {name: about for name, about in self._packs.items() if name in names}
        for name in names - self._packs.keys():
            try:
                with open(self.objects / "pack" / name, "rb") as pack:
                    count = int.from_bytes(pack.read(12)[8:], "big")  # gitformat-pack(5)
                    self._packs[name] = os.fstat(pack.fileno()).st_size, count
            except FileNotFoundError:  # just repacked
                continue
        return list(self._packs.values())

    def _loose(self) -> int:
        total = 0
        for folder in os.scandir(self.objects):
            if len(folder.name) == 2:
                total += sum(entry.stat().st_size for entry in _entries(folder.path))
        return total


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except FileNotFoundError:  # its last object was just packed
        return []


@dataclass
class Point:
    """What was found around one size."""

    runs: int
    milliseconds: list[float]
    beside: list[float]  # the same in an experiment of the first size, in turns with these
    bytes: int
    packs: int
    unpacked_peak: int
    packs_peak: int


def grow(folder: Path, sizes: Sequence[int], window: int, full: bool) -> list[Point]:
    """Grow an experiment to each of the sizes, and time the runs around them."""
    work = harness.repository(folder / "work")
    gxt.set_tracking_uri(work)
    gxt.set_experiment(EXPERIMENT)
    disk = Disk(work / ".git" / "objects")
    points: list[Point] = []
    pattern: dict[str, bytes] = {}
    runs = 0

    def record() -> float:
        nonlocal runs, pattern
        took, run_id = _record(work, runs)
        runs += 1
        if not pattern:
            pattern = harness.files_of(work, f"experiments/{EXPERIMENT}/{run_id}")
            # The branch's own documents are in the first commit too, so that no later one is larger.
            disk.largest_commit = int(git("rev-list", "--objects", "--count", "gxt", cwd=work))
        disk.look()
        _tell(runs, sizes[-1])
        return took

    for size in sizes:
        first = size - window // 2
        if not full and pattern and first - _LEAD_IN > runs:
            _fill(work, pattern, runs, first - _LEAD_IN)
            runs = first - _LEAD_IN
        while runs < first:
            record()
        if not points:
            _copy(work, folder / "first")
        small = _copy(folder / "first", folder / f"beside-{size}")
        times, beside = [], []
        for i in range(window):
            times.append(record() * 1e3)
            beside.append(_record(small, sizes[0] + i)[0] * 1e3)
        points.append(Point(size, times, beside, disk.size(), disk.packs(), disk.unpacked_peak, disk.packs_peak))
    listed = git("ls-tree", "--name-only", f"gxt:experiments/{EXPERIMENT}", cwd=work).splitlines()
    assert len(listed) == runs + 1, f"{len(listed) - 1} runs on the branch, {runs} recorded"
    return points


def _record(repo: Path, i: int) -> tuple[float, str]:
    gxt.set_tracking_uri(repo)
    return tiny_run(i, harness.artifact(repo.parent, i))


def _copy(repo: Path, target: Path) -> Path:
    """A copy of a repository in which git may be repacking: files can go while they are copied."""
    for _ in range(100):
        try:
            return Path(shutil.copytree(repo, target))
        except shutil.Error:
            shutil.rmtree(target)
            time.sleep(0.1)
    raise TimeoutError(f"{repo} does not come to rest")


def _fill(work: Path, pattern: dict[str, bytes], start: int, end: int) -> None:
    """Commit copies of the first run through one git fast-import."""
    commits = []
    original = pattern["run.yaml"].split(b"\n", 1)[0].removeprefix(b"id: ")
    for i in range(start, end):
        # Random parts of an id spread evenly, and the time goes on: these sort before the runs that come next.
        run_id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{i * 2654435761 % 2**32:08x}"
        # What tells this run from the one that it is copied from: id, name, a value, the text of its file.
        changed = {
            original: run_id.encode(),
            b"run-0": f"run-{i}".encode(),
            b"0.3333333333333333": repr(1 / (i + 3)).encode(),
            b"run 0:": f"run {i}:".encode(),
        }
        files = {name: _replace(data, changed) for name, data in pattern.items()}
        parent = "refs/heads/gxt^0" if i == start else None  # fast-import goes on from its own last commit
        folder = f"experiments/{EXPERIMENT}/{run_id}"
        commits.append(harness.import_script(folder, files, f"{EXPERIMENT}: run-{i}\n", parent))
    git("fast-import", "--quiet", cwd=work, stdin=b"".join(commits))


def _replace(data: bytes, changed: Mapping[bytes, bytes]) -> bytes:
    for old, new in changed.items():
        data = data.replace(old, new)
    return data


def _tell(runs: int, of: int) -> None:
    if sys.stderr.isatty() and runs % 50 == 0:
        print(f"\r{runs} of {of} runs", end="\r", file=sys.stderr, flush=True)


def result(points: Sequence[Point]) -> Result:
    """The curve, and what is promised of its end."""
    first, last = points[0], points[-1]
    series = [Series(f"{point.runs} runs", point.milliseconds) for point in points]
    beside = Series(f"{first.runs} runs, in turns with {last.runs}", last.beside)
    return Result(
        "curve",
        "ms a run",
        [*series, beside],
        [
            ratio(f"{last.runs} runs / {first.runs} runs", series[-1], beside, 4),
            Limit("most that was ever unpacked", last.unpacked_peak / _MB, 64, "MB"),
        ],
        details={"points": [vars(point) for point in points]},
    )


def text(points: Sequence[Point]) -> str:
    """The curve as a table."""
    head = [
        "runs",
        "ms a run",
        f"ms at {points[0].runs}",
        "ratio",
        "MB",
        "KB a run",
        "packs",
        "most packs",
        "most MB unpacked",
    ]
    rows = []
    for point in points:
        here, there = statistics.median(point.milliseconds), statistics.median(point.beside)
        size = [f"{point.bytes / _MB:.1f}", f"{point.bytes / point.runs / 1000:.2f}"]
        packs = [point.packs, point.packs_peak, f"{point.unpacked_peak / _MB:.1f}"]
        rows.append([point.runs, f"{here:.1f}", f"{there:.1f}", f"{here / there:.2f}", *size, *packs])
    return "\n".join(harness.table(head, rows))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="record every run through gxt: five minutes or more")
    parser.add_argument("--sizes", default="100,1000,10000", help="where to measure (default: %(default)s)")
    parser.add_argument("--window", type=int, default=50, help="runs timed around each size (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="also write it as JSON, every sample included")
    given = parser.parse_args()
    with harness.sandbox() as folder:
        points = grow(folder, [int(size) for size in given.sizes.split(",")], given.window, given.full)
    how = "every run through gxt" if given.full else "the runs between the windows by git fast-import"
    print(f"{how}\n{text(points)}\n")
    return harness.report([result(points)], given.json)


if __name__ == "__main__":
    sys.exit(main())
