"""Large artifacts: where this clone keeps them, and what is behind a pointer."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from typing import IO

from gxt import git, large, layout
from gxt.git import Repository
from gxt.pointers import Pointer, read_pointer
from gxt.store.commits import change
from gxt.store.tips import Changes, Tip, root, tip, tip_and_files


def artifact_settings(repo: Repository, config: Mapping[str, str] | None = None) -> large.Settings:
    """How this clone keeps large artifacts: git's configuration, and gxt.yaml at the tip.

    Raises:
        UsageError, FormatError: one of them cannot be understood.
    """
    known = git.config(repo) if config is None else config
    _, (document,) = tip_and_files(repo, known, [layout.GXT_YAML])
    return large.read_settings(repo.common_dir, known, document)


def objects(repo: Repository, settings: large.Settings) -> large.Objects:
    """The copies of large artifacts in the git directory."""
    return large.Objects(settings.objects, root(repo))


def set_artifact_store(repo: Repository, url: str | None) -> None:
    """Name the team's store for large artifacts in gxt.yaml; None for none.

    Raises:
        UsageError: the URL cannot be one, or holds credentials.
    """
    checked = None if url is None else large.shared_url(url)

    def plan(at: Tip) -> tuple[Changes, str]:
        (before,) = git.read_objects(repo, [f"{at.commit}:{layout.GXT_YAML}"]) if at.commit else [None]
        document = layout.with_artifact_settings(before or layout.gxt_document(), {"store": checked})
        what = f"Keep large artifacts in {checked}" if checked else "Keep large artifacts in no store"
        return [(layout.GXT_YAML, document)], f"{what}\n"

    change(repo, plan)


def behind_pointer(repo: Repository, data: bytes) -> bytes:
    """A file's content, that of the large one where `data` is a pointer.

    Raises:
        NotFoundError, GxtError: its bytes are neither here nor to be had.
    """
    pointer = read_pointer(data)
    if pointer is None:
        return data
    out = io.BytesIO()
    save_artifact(repo, pointer, out)
    return out.getvalue()


def save_artifact(repo: Repository, pointer: Pointer, out: IO[bytes], progress: large.Progress | None = None) -> None:
    """Write the bytes of a large artifact into an empty file; fetched where they are not here, and checked.

    Raises:
        NotFoundError, GxtError: they are neither here nor to be had.
    """
    config = git.config(repo)
    settings = artifact_settings(repo, config)
    places = large.places_for(repo, settings, config)
    large.save_content(pointer, out, objects(repo, settings), places, progress)


@contextlib.contextmanager
def checked_artifact(repo: Repository, pointer: Pointer, progress: large.Progress | None = None) -> Iterator[IO[bytes]]:
    """The bytes of a large artifact as a file, after they were checked. Raises as `save_artifact`."""
    import tempfile  # here for start-up time

    settings = artifact_settings(repo)
    settings.objects.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=settings.objects) as copy:  # not in /tmp, which may be memory
        save_artifact(repo, pointer, copy, progress)
        copy.seek(0)
        yield copy


def read_artifact(repo: Repository, experiment: str, run_id: str, path: str) -> bytes | None:
    """An artifact of a run at the tip, None where it has none of that name."""
    commit = tip(repo, git.config(repo)).commit
    name = f"{commit}:{layout.run_path(experiment, run_id)}/{layout.ARTIFACTS}/{path}"
    (data,) = git.read_objects(repo, [name])
    return None if data is None else behind_pointer(repo, data)
