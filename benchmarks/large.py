"""A large artifact: how long it takes to record and to commit, and in how much memory.

python benchmarks/large.py [--size GB] [--blob] [--folder DIR]

Beside it: `sha256sum`, and a plain copy that is put on the disk, of the same file. With --blob, also the same artifact
put into git itself, as a team would have it without git-lfs and without a store.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MB = 1 << 20

RECORD = """
import json, resource, sys, time
import gxt

gxt.set_experiment("large")
run = gxt.start_run()
time.sleep(1)  # what is recorded of the code, in the background
begun = time.perf_counter()
run.log_artifact(sys.argv[1])
logged = time.perf_counter()
run.end()
ended = time.perf_counter()
own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
git = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps({"log": logged - begun, "end": ended - logged, "own": own, "git": git}))
"""


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, default=1.0, help="gigabytes (10^9 bytes)")
    parser.add_argument("--blob", action="store_true", help="put it into git itself too")
    parser.add_argument("--folder", default=None, help="where to work; three times the size is needed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gxt-large-", dir=asked.folder) as folder:
        measure(Path(folder), int(asked.size * 1e9), asked.blob)


def measure(folder: Path, size: int, blob: bool) -> None:
    """All figures for one size."""
    file = folder / "model.bin"
    with open(file, "wb") as out:
        for start in range(0, size, MB):
            out.write(os.urandom(min(MB, size - start)))
        os.fsync(out.fileno())
    print(f"{size / 1e9:g} GB of random bytes")
    print(f"  sha256sum                     {timed(['sha256sum', str(file)]):8.2f} s")
    print(f"  cp, and on the disk           {copied(file, folder / 'copy'):8.2f} s")
    show(
        "a pointer, and the bytes as an object", recorded(folder / "pointer", file, {"gxt.artifactStore": str(folder)})
    )
    if blob:
        settings = {"gxt.artifactThreshold": "100g", "gxt.artifactBlobLimit": "100g"}
        show("a blob in git itself", recorded(folder / "blob", file, settings))


def timed(command: list[str]) -> float:
    """How long a command takes."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def copied(file: Path, target: Path) -> float:
    """How long a copy takes until the disk has it."""
    begun = time.perf_counter()
    shutil.copyfile(file, target)
    with open(target, "rb") as copy:
        os.fsync(copy.fileno())
    taken = time.perf_counter() - begun
    target.unlink()
    return taken


def recorded(folder: Path, file: Path, settings: dict[str, str]) -> dict[str, float]:
    """What recording the file as an artifact takes, in a repository of its own."""
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    for key, value in {"user.name": "Ada", "user.email": "ada@example.com", "gxt.artifactUpload": "false"}.items():
        settings = {key: value, **settings}
    for key, value in settings.items():
        subprocess.run(["git", "config", key, value], cwd=folder, check=True)
    done = subprocess.run(
        [sys.executable, "-c", RECORD, str(file)], cwd=folder, check=True, capture_output=True, text=True
    )
    figures: dict[str, float] = json.loads(done.stdout)
    shutil.rmtree(folder)
    return figures


def show(what: str, figures: dict[str, float]) -> None:
    """A row a figure."""
    print(f"  {what}:")
    print(f"    log_artifact                {figures['log']:8.2f} s")
    print(f"    the end of the run, commit  {figures['end']:8.2f} s")
    print(f"    memory at most              {figures['own'] / 1024:8.0f} MB, git {figures['git'] / 1024:.0f} MB")


if __name__ == "__main__":
    main()
