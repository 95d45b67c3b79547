"""Which run branch a run began on, kept for runs that had begun when a clone was switched to another branch.

A run takes no note of its branch as it begins, which would cost it a look into git; a switch of the branch, which is
rare, takes note of all that have begun.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from gxt import textmap

_FILE = "branches.json"


def read(root: Path) -> dict[str, str]:
    """The branch by run id; empty where no run records that began before a switch."""
    return textmap.read(root / _FILE)


def add(root: Path, begun: Iterable[str], branch: str) -> None:
    """Note that these runs, which are all that have begun, did so on a branch, unless they are known for another."""
    known = read(root)
    _write(root, {run_id: known.get(run_id, branch) for run_id in begun})


def drop(root: Path, run_ids: Collection[str]) -> None:
    """Forget runs that have ended."""
    if known := read(root):
        _write(root, {run_id: branch for run_id, branch in known.items() if run_id not in run_ids})


def _write(root: Path, branches: Mapping[str, str]) -> None:
    path = root / _FILE
    if not branches:
        path.unlink(missing_ok=True)
        return
    textmap.write(path, branches)
