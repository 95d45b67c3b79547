"""Merging single files of the run branch for git itself: `git merge`, `git rebase`, and whatever else merges files.

git gives a merge driver three versions of one file (gitattributes(5)). Which commits it is merging is looked up, so
that the file comes out as `gxt sync` would have it; where that cannot be told, the three versions decide.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from gxt import git, joining, layout, merging
from gxt.errors import FormatError, GxtError
from gxt.git import Repository
from gxt.merging import Edit, Versions
from gxt.model import RUN_ID
from gxt.yamltext import load_mapping

NAME = "gxt"
"""The driver's name, as .gitattributes has it."""

_BEGIN = "# By `gxt init`: runs are merged by gxt."
# Above what the branch says of points, which any git can keep from both sides, if not in order.
_ATTRIBUTES = f"{_BEGIN}\n/experiments/*/[12][0-9][0-9][0-9][0-9][0-9][0-9][0-9]-[0-9]*-*/** merge={NAME}\n"


def merge_file(repo: Repository, base: bytes, ours: bytes, theirs: bytes, path: str) -> bytes:
    """One version of a file of the run branch.

    Args:
        base, ours, theirs: the three versions that git merges.
        path: where the file is on the branch.

    Raises:
        GxtError: the versions are of several runs, or which is the later cannot be told.
    """
    run = _run_of(path)
    if run and path.endswith(f"/{layout.RUN_YAML}") and not {_id(base), _id(ours), _id(theirs)} <= {run, None}:
        raise _of_another_run(run)
    settings = git.config(repo)
    wanted = [git.blob_id([data], len(data), settings) for data in (ours, theirs)]
    for one, other in _sides(repo):
        there = [found.oid if found else "" for found in git.read_batch(repo, [f"{one}:{path}", f"{other}:{path}"])]
        if there == wanted:
            joined = joining.joined_file(repo, one, other, path)
            if joined is not None:
                return joined
        if run and any(there) and not all(there):
            raise _of_another_run(run)
    return _of_three(base, ours, theirs, path)


def _run_of(path: str) -> str | None:
    """The id of the run that a file on the branch is of."""
    parts = path.split("/")
    return parts[2] if len(parts) > 3 and RUN_ID.fullmatch(parts[2]) else None


def _id(document: bytes) -> object:
    with contextlib.suppress(FormatError):
        return load_mapping(document, layout.RUN_YAML).get("id")
    return None


def _of_another_run(run: str) -> GxtError:
    """Where one side purged a run, and has a new one that is much alike, git takes that for the purged one renamed."""
    return GxtError(
        f"git takes the files of another run for those of {run}, as renamed ones",
        "undo this, and merge by `gxt sync`, or with `-s recursive -X no-renames`",
    )


def _sides(repo: Repository) -> Iterator[tuple[str, str]]:
    """The commits that git may be merging: what is checked out, and another."""
    (head,) = git.resolve_here(repo, ["HEAD"])
    if head is None:
        return
    for name in os.environ:
        if name.startswith("GITHEAD_"):  # git-merge's own: the branches that it merges
            yield head, name.removeprefix("GITHEAD_")
    for state in ("rebase-merge/done", "sequencer/todo"):
        try:
            lines = (repo.git_dir / state).read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        picks = [line.split()[1] for line in lines if line.startswith(("pick ", "p ")) and len(line.split()) > 1]
        for pick in picks[-1:] if state.startswith("rebase") else picks[:1]:
            (commit,) = git.resolve(repo, [pick])
            if commit is not None:
                yield head, commit


def _of_three(base: bytes, ours: bytes, theirs: bytes, path: str) -> bytes:
    contents = {"base": base, "ours": ours, "theirs": theirs}
    name = path.split("/", 3)[3] if _run_of(path) else path
    edits = [Edit(side, side == "ours", ["base"], side) for side in ("ours", "theirs")]
    versions = Versions(
        {name: "ours"}, {name: "theirs"}, [{name: "base"}], {name: edits}, contents.__getitem__, lambda side: 0
    )
    if name not in layout.RUN_FILES and name != layout.GXT_YAML and not name.endswith(f"/{layout.EXPERIMENT_YAML}"):
        raise GxtError(f"which version of {path} is the later cannot be told", "edit the file, as in any merge")
    merged = merging.join(versions).files[name]
    return contents[merged] if isinstance(merged, str) else merged


# --- setting git up -----------------------------------------------------------------------------------------------


def set_up(repo: Repository, command: str) -> list[str]:
    """Have this clone's git merge runs by gxt, and fetch the run branch of every remote. Returns what was changed.

    Args:
        command: how git starts gxt.
    """
    done = []
    settings = git.config(repo)
    wanted = {
        f"merge.{NAME}.name": "runs, key by key",
        f"merge.{NAME}.driver": f"{command} merge-driver %O %A %B %P",
    }
    if any(settings.get(key) != value for key, value in wanted.items()):
        for key, value in wanted.items():
            git.set_config(repo, key, value)
        done.append("`git merge` and `git rebase` merge runs by gxt")
    attributes = repo.common_dir / "info" / "attributes"
    known = attributes.read_text(encoding="utf-8") if attributes.exists() else ""
    if _ATTRIBUTES not in known:
        attributes.parent.mkdir(exist_ok=True)
        beside = attributes.with_name("attributes.gxt")
        beside.write_text(known + ("\n" if known and not known.endswith("\n") else "") + _ATTRIBUTES, encoding="utf-8")
        beside.replace(attributes)
    return done


def fetch_always(repo: Repository, branch: str) -> list[str]:
    """Have `git fetch` bring the run branch of each remote, in clones of a single branch too. Returns the remotes for
    which it did not."""
    done = []
    for remote in git.remote_urls(git.config(repo)):
        specs = git.config_values(repo, f"remote.{remote}.fetch")
        ref = f"refs/heads/{branch}"
        if not any(_covers(spec, ref) for spec in specs):
            git.add_config(repo, f"remote.{remote}.fetch", f"+{ref}:{git.tracking_ref(remote, branch)}")
            done.append(remote)
    return done


def _covers(spec: str, ref: str) -> bool:
    source = spec.removeprefix("+").partition(":")[0]
    return source == ref or (source.endswith("*") and ref.startswith(Path(source).as_posix()[:-1]))
