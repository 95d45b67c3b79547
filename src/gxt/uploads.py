"""Sending large artifacts to a store while runs record, by a process of its own that training does not notice."""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from gxt import git, store
from gxt.errors import GxtError
from gxt.git import Repository
from gxt.large import Settings

_AGAIN_AFTER = 30.0  # seconds
_LOG = "upload.log"

_woken: dict[Path, float] = {}
_settings: dict[Path, Settings] = {}
_children: list[subprocess.Popen[bytes]] = []


def wake(repo: Repository, size: int) -> None:
    """A large artifact of so many bytes was recorded: see to it that somebody sends it, if there is a store.

    git config gxt.artifactUpload=false forbids it. Never an error: `gxt artifacts push` sends what is left.
    """
    with contextlib.suppress(GxtError, OSError):
        settings = _settings.get(repo.common_dir)
        if settings is None:
            config = git.config(repo)
            settings = _settings[repo.common_dir] = store.artifact_settings(repo, config)
            if not git.is_true(config.get("gxt.artifactupload", "true")):
                _woken[repo.common_dir] = float("inf")
        since = time.monotonic() - _woken.get(repo.common_dir, -_AGAIN_AFTER)
        if settings.store is not None and size > settings.threshold and since >= _AGAIN_AFTER and sys.executable:
            _woken[repo.common_dir] = time.monotonic()
            _start(repo)


def _start(repo: Repository) -> None:
    _children[:] = [child for child in _children if child.poll() is None]
    where = str(repo.work_tree or repo.common_dir)
    with open(store.root(repo) / _LOG, "wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "gxt", "-C", where, "artifacts", "push", "--background"],
            cwd=where,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # Ctrl-C is meant for the program, and this goes on when that has ended
        )
    _children.append(child)
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, child.pid, 10)  # training comes first


@atexit.register
def _let_go() -> None:
    for child in _children:
        child.returncode = 0  # it goes on alone; without this, Python warns of it with -X dev
