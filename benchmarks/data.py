"""What digests of data cost beside `sha256sum` and hashlib, measured in turns.

    python benchmarks/data.py [--rounds N] [--size MiB] [--json FILE]

The exit code is 1 where a limit is not kept.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import harness
import numpy
import pandas
from harness import Limit, Result, interleave, ratio, repository, seconds

import gxt.git
from gxt.datasets import describe

_LARGE = 512  # MiB
_MANY, _EACH = 5000, 50_000
_ROWS, _COLUMNS = 2_000_000, 4


def timed(action: Callable[[], object]) -> Callable[[int], float]:
    """The milliseconds that it takes."""

    def once(_: int) -> float:
        began = time.perf_counter()
        action()
        return (time.perf_counter() - began) * 1e3

    return once


def large(folder: Path, rounds: int, size: int) -> Result:
    """One large file, read and known."""
    work = repository(folder / "large")
    (work / "data.bin").write_bytes(os.urandom(1 << 20) * size)
    repo = gxt.git.find(work)
    time.sleep(2.5)  # one that was just written is not kept
    describe(work / "data.bin", repo)

    def by_hashlib() -> str:
        sha, buffer = hashlib.sha256(), bytearray(1 << 20)
        with open(work / "data.bin", "rb", buffering=0) as stream:
            while count := stream.readinto(buffer):
                sha.update(memoryview(buffer)[:count])
        return sha.hexdigest()

    found = interleave(
        {
            "hashlib": timed(by_hashlib),
            "sha256sum": lambda _: seconds(["sha256sum", "data.bin"], work) * 1e3,
            "read": timed(lambda: describe(work / "data.bin")),
            "known": timed(lambda: describe(work / "data.bin", repo)),
        },
        rounds,
    )
    limits = [
        ratio("a large file, beside hashlib", found["read"], found["hashlib"], 1.5),
        ratio("the same, beside sha256sum", found["read"], found["sha256sum"], 1.5),
        Limit("the same when it is known", found["known"].median, 20, "ms"),
    ]
    return Result("large-file", "ms", list(found.values()), limits, {"bytes": size << 20})


def many(folder: Path, rounds: int) -> Result:
    """A folder of many files, read by several threads, and known."""
    work = repository(folder / "many")
    for number in range(_MANY):
        path = work / "data" / str(number % 50) / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(_EACH))
    repo = gxt.git.find(work)
    time.sleep(2.5)
    describe(work / "data", repo)
    command = "find data -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum"
    found = interleave(
        {
            "find, sort and sha256sum": timed(lambda: subprocess.check_output(command, shell=True, cwd=work)),
            "read": timed(lambda: describe(work / "data")),
            "known": timed(lambda: describe(work / "data", repo)),
        },
        rounds,
    )
    by_tools, read, known = found.values()
    limits = [
        ratio("a folder, beside find and sha256sum", read, by_tools, 1.5),
        ratio("the same when it is known", known, by_tools, 0.5),
    ]
    return Result("folder", "ms", list(found.values()), limits, {"files": _MANY, "bytes": _MANY * _EACH})


def table(folder: Path, rounds: int) -> Result:
    """A table in memory beside hashlib on its bytes."""
    values = numpy.random.default_rng(1).random((_ROWS, _COLUMNS))
    frame = pandas.DataFrame({f"column {i}": values[:, i].copy() for i in range(_COLUMNS)})
    columns = [frame[name].to_numpy() for name in frame]
    found = interleave(
        {
            "hashlib": timed(lambda: [hashlib.sha256(column).hexdigest() for column in columns]),
            "the table": timed(lambda: describe(frame)),
        },
        rounds,
    )
    limits = [ratio("a table, beside hashlib on its bytes", found["the table"], found["hashlib"], 5)]
    return Result("table", "ms", list(found.values()), limits, {"rows": _ROWS, "columns": _COLUMNS})


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="how often each is measured")
    parser.add_argument("--size", type=int, default=_LARGE, metavar="MiB", help="of the large file")
    parser.add_argument("--json", metavar="FILE", help="also write it as JSON, every sample included")
    given = parser.parse_args()
    with harness.sandbox() as folder:
        results = [large(folder, given.rounds, given.size), many(folder, given.rounds), table(folder, given.rounds)]
        return harness.report(results, given.json)


if __name__ == "__main__":
    sys.exit(main())
