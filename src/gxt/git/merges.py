"""Merges that are only tried."""

from __future__ import annotations

import os
from pathlib import Path

from gxt.git.partial import make_bare
from gxt.git.process import ask
from gxt.git.repository import Repository


def merge_conflicts(repo: Repository, ours: str, theirs: str) -> list[str] | None:
    """The files in which two commits conflict where git merges them by itself, as a host does: without the attributes
    of a work tree or a clone, and without merge drivers.

    None where this git cannot tell: it is older than 2.38, or the commits have no history in common.
    """
    object_format = "sha256" if len(ours) == 64 else "sha1"
    import tempfile  # here for start-up time

    # In a repository of its own: a clone's info/attributes would be obeyed, and what git merges be written to it.
    with tempfile.TemporaryDirectory(prefix="gxt-merge-") as folder:
        aside = make_bare(Path(folder) / "aside.git", object_format, repo.common_dir / "objects").common_dir
        options = ["--write-tree", "--name-only", "--no-messages", "-z"]
        alone = ["-c", f"core.attributesFile={os.devnull}", "merge-tree"]
        code, out, _ = ask(aside, *alone, *options, ours, theirs)
    if code not in (0, 1):
        return None
    return sorted({os.fsdecode(path) for path in out.split(b"\0")[1:] if path})
