"""Which places for the bytes of large artifacts a clone has."""

from __future__ import annotations

from collections.abc import Mapping

from gxt import git
from gxt.git import Repository
from gxt.large.lfs import LfsPlace
from gxt.large.places import Place
from gxt.large.settings import Settings
from gxt.large.store import StorePlace


def place_for(repo: Repository, settings: Settings, remote: str | None, config: Mapping[str, str]) -> Place | None:
    """Where a clone puts large artifacts: its store, or Git LFS of a remote (`origin`, or the only one, for None)."""
    if settings.store is not None:
        return StorePlace(settings.store)
    names = [remote] if remote else _remotes(config)[:1]
    return LfsPlace(repo, names[0], config) if names and git.has_lfs() else None


def places_for(repo: Repository, settings: Settings, config: Mapping[str, str]) -> list[Place]:
    """Where large artifacts may be: those of before the team had a store are in Git LFS still."""
    found: list[Place] = [StorePlace(settings.store)] if settings.store is not None else []
    if git.has_lfs():
        found += [LfsPlace(repo, name, config) for name in _remotes(config)]
    return found


def source_for(settings: Settings) -> str:
    """Where a clone puts large artifacts, in words."""
    if settings.store is not None:
        return StorePlace(settings.store).name
    return "Git LFS" if git.has_lfs() else "nowhere"


def _remotes(config: Mapping[str, str]) -> list[str]:
    return sorted(git.remote_urls(config), key=lambda name: (name != config.get("remote.lfsdefault", "origin"), name))
