"""Whether a repository is whole."""

from __future__ import annotations

from filelock import lock_descriptor

from gxt import store
from gxt.git import Repository
from helpers import git


def check_sound(repo: Repository) -> None:
    """git finds nothing wrong with the repository."""
    marker = store.root(repo) / "maintenance.lock"
    if marker.exists():  # held as long as git puts packs together in the background, which fsck cannot bear
        with open(marker, "r+b") as lock:
            lock_descriptor(lock.fileno(), blocking=True)
    git("fsck", "--strict", "--no-dangling", cwd=repo.common_dir)
