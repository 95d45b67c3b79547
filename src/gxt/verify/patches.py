"""The changes of runs as text (code.patch) against the commits that have them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gxt import git, layout, snapshots, store
from gxt.codehistory import base_of, code_of
from gxt.errors import GitError
from gxt.git import Repository
from gxt.showing import one_line, shortened
from gxt.verify.findings import CODE, FAILED, UNCHECKED, Finding
from gxt.verify.folders import Looked

_LARGEST = 64 << 20
_AT_ONCE = 16  # patches, each of which is 1 MiB at most, unless somebody has set that otherwise
_CUT = re.compile(rb"^Cut by gxt, which keeps (\d{1,12}) bytes of a patch: (\d+) files? left out\.", re.MULTILINE)
_LEFT_OUT = re.compile(rb"^Left out: diff --git (.*) \(\d+ bytes\)$", re.MULTILINE)


class _Change(NamedTuple):
    """A patch by its blob, and the two commits that it is said to be between; the empty tree for none."""

    blob: str
    old: str
    new: str


def examine(repo: Repository, settings: Mapping[str, str], looked: Looked) -> Iterator[Finding]:
    """What is wrong with the patches of runs whose code is here; each is looked at once for all runs that have it."""
    named: dict[_Change, list[str]] = {}
    empty = git.empty_tree(settings)
    for run in looked.runs:
        blob, code = looked.patches.get(run.id), code_of(run)
        if blob is not None and code is not None and code != base_of(run):
            named.setdefault(_Change(blob, base_of(run) or empty, code), []).append(run.id)
    commits = [commit for change in named for commit in change[1:]]
    here = {empty} | {one for one, found in zip(commits, git.resolve(repo, commits), strict=True) if found is not None}
    changes = [change for change in named if {change.old, change.new} <= here]
    for first in range(0, len(changes), _AT_ONCE):
        some = changes[first : first + _AT_ONCE]
        texts = git.read_objects(repo, [change.blob for change in some], skip_damaged=True)
        for change, text in zip(some, texts, strict=True):
            if text is None:  # what git lacks has been said
                continue
            try:
                said = _wrong(repo, change, text)
            except (GitError, OSError) as error:
                said = (UNCHECKED, f"cannot be compared with the snapshot: {one_line(str(error))}")
            for run_id in named[change] if said else ():
                assert said is not None
                where = f"{looked.places[run_id]}/{layout.CODE_PATCH}"
                yield Finding(CODE, said[0], where, said[1], _advice(change), run_id)


def _advice(change: _Change) -> str:
    return f"`git diff {change.old[:12]} {change.new[:12]}` shows what was changed"


def _wrong(repo: Repository, change: _Change, text: bytes) -> tuple[str, str] | None:
    """How a patch is not what its snapshot changes."""
    if len(text) > _LARGEST:
        return UNCHECKED, "is too long to be compared with the snapshot"
    cut = _CUT.search(text)
    limit = min(int(cut[1]), _LARGEST) if cut else len(text)
    if snapshots.change_as_text(repo, change.old, change.new, limit) == text:
        return None
    # Another git, or other settings, may write the same change otherwise.
    with store.aside(repo) as place:
        unlike = git.compare_patch(repo, change.old, change.new, text, place.folder)
    if unlike is None:
        return FAILED, "does not fit the commit that the run was started from"
    named = [names.decode("utf-8", "replace") for names in _LEFT_OUT.findall(text)]
    lacking = [path for path in unlike.lacking if not any(path.strip('"') in names for names in named)]
    unnamed = int(cut[2]) - len(named) if cut else 0
    # A file that was renamed is left out as one, and lacks at two paths.
    if wrong := unlike.changed + (lacking if len(lacking) > 2 * unnamed else []):
        return FAILED, f"is not what the snapshot changes: {shortened(one_line(', '.join(wrong)), 200)}"
    return UNCHECKED, "makes the same change as the snapshot, in other words than git has for it here"
