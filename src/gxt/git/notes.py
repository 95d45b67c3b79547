"""Git notes: texts about commits, in a tree of their own (git-notes(1))."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from gxt.git.commits import Content, commit_files
from gxt.git.objects import list_files, read_objects
from gxt.git.refs import resolve
from gxt.git.repository import Repository

_FLAT = 256  # notes, up to which git too has them in one folder


class Notes(NamedTuple):
    """The notes of a ref: where it stands, None where there is none; each commit's text; the path of each."""

    tip: str | None
    texts: dict[str, bytes]
    paths: dict[str, str]


def read_notes(repo: Repository, ref: str) -> Notes:
    """All notes of a ref, by the commit's id, in whatever folders git has put them."""
    (tip,) = resolve(repo, [ref])
    if tip is None:
        return Notes(None, {}, {})
    files = {file.path.replace("/", ""): file for file in list_files(repo, tip) if file.is_file}
    files = {oid: file for oid, file in files.items() if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", oid)}
    contents = read_objects(repo, [file.oid for file in files.values()])
    texts = {oid: content or b"" for oid, content in zip(files, contents, strict=True)}
    return Notes(tip, texts, {oid: file.path for oid, file in files.items()})


def write_notes(
    repo: Repository,
    ref: str,
    notes: Notes,
    texts: Mapping[str, bytes | None],
    message: str,
    settings: Mapping[str, str],
) -> str:
    """Write some commits' notes, None to take one away, in one commit on top of what was read.

    Raises:
        RefMovedError: somebody else wrote notes meanwhile; read them and try again.
    """
    in_folders = any("/" in path for path in notes.paths.values()) or len({*notes.paths, *texts}) > _FLAT
    changes: list[tuple[str, Content]] = []
    for commit, text in sorted(texts.items()):
        path = f"{commit[:2]}/{commit[2:]}" if in_folders else commit
        changes.append((notes.paths.get(commit, path), text))
    return commit_files(repo, ref, notes.tip, notes.tip, changes, message, settings)
