"""git bundles: runs in one file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from gxt.errors import FormatError
from gxt.git.process import ask, git_error, one_line, run, scratch
from gxt.git.remotes import FETCH_PACK, talk_to
from gxt.git.repository import Repository, Talk


def create_bundle(
    repo: Repository, file: Path, ref: str, lacks: str | None, said: Callable[[str], None] | None
) -> None:
    """Write a ref with its history to a git bundle, less what a commit has already."""
    create_bundle_of(repo, file, [ref], [lacks] if lacks else [], said)


def create_bundle_of(
    repo: Repository, file: Path, refs: Sequence[str], lacks: Sequence[str], said: Callable[[str], None] | None
) -> None:
    """Write several refs with their history to a git bundle, less what some commits have already."""
    args = ["bundle", "create", "--progress", str(file), "--stdin"]
    with scratch() as asked:
        asked.write("".join(f"{line}\n" for line in [*refs, *(f"^{commit}" for commit in lacks)]).encode())
        asked.seek(0)
        code, _, err = talk_to(repo, args, Talk(said=said, timeout=0), asked)
    if code:
        raise git_error(["bundle"], err)


def missing_for_bundle(repo: Repository, file: Path) -> list[str]:
    """The commits that a git bundle builds on and that are not here with all their history.

    Raises:
        FormatError: the file is no git bundle.
    """
    code, _, err = ask(repo.common_dir, "bundle", "verify", str(file))
    lacking: list[str] = re.findall(r"^error: ([0-9a-f]{40,64})\b", err, re.MULTILINE)
    if code and not lacking:
        raise FormatError(f"the git bundle cannot be read: {one_line(err)[-300:] or 'no message'}")
    return lacking


def bundle_refs(repo: Repository, file: Path) -> dict[str, str]:
    """The refs in a git bundle, and the commits that they are at."""
    lines = run(repo, "bundle", "list-heads", str(file)).decode("utf-8", "replace").splitlines()
    return {ref: oid for oid, _, ref in (line.partition(" ") for line in lines)}


def fetch_bundle(repo: Repository, file: Path, ref: str, target: str, said: Callable[[str], None] | None) -> None:
    """Bring a ref of a git bundle here, under another name."""
    code, _, err = talk_to(repo, [*FETCH_PACK, str(file), f"+{ref}:{target}"], Talk(said=said, timeout=0))
    if code:
        raise FormatError(f"the git bundle cannot be read: {git_error(['fetch'], err).message}")
