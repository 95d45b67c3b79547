"""Git LFS as a place for bytes, by git-lfs's own client: its endpoints, credentials, retries and transfers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gxt import git
from gxt.errors import GitError, NotFoundError
from gxt.git import Repository
from gxt.large.objects import Objects
from gxt.large.places import Progress, Sent
from gxt.large.settings import shown_url
from gxt.pointers import Pointer, write_pointer

_NOT_THERE = ("[404]", "404 Not Found", "Object does not exist", "remote missing object")


class LfsPlace:
    """The Git LFS server of a remote."""

    def __init__(self, repo: Repository, remote: str, config: Mapping[str, str]) -> None:
        self._repo, self._remote = repo, remote
        url = git.remote_urls(config).get(remote, remote)
        self.name = f"Git LFS of {remote}"
        self.key = f"lfs {shown_url(url)}"

    def has(self, pointer: Pointer) -> bool | None:
        """git-lfs cannot ask without fetching."""
        return None

    def send(self, pointers: Sequence[Pointer], objects: Objects, progress: Progress | None = None) -> Sent:
        """Send what the server lacks; git-lfs asks it, and shows its own progress where `progress` is wanted."""
        known = objects.stored(self.key)
        new = [pointer for pointer in pointers if pointer.oid not in known]
        try:
            if new:
                git.lfs_push(self._repo, self._remote, [pointer.oid for pointer in new], progress is not None)
        except GitError as error:
            return Sent([], [p for p in pointers if p.oid in known], dict.fromkeys(new, error))
        objects.note_stored(self.key, [pointer.oid for pointer in new])
        return Sent(new, [pointer for pointer in pointers if pointer.oid in known], {})

    def confirmed(self, copies: Sequence[Pointer], objects: Objects) -> set[Pointer]:
        """Which of some copies here went there, as far as is known."""
        known = objects.stored(self.key)
        return {copy for copy in copies if copy.oid in known}

    def fetch(self, pointer: Pointer, objects: Objects, progress: Progress | None = None) -> None:
        """Bring the bytes here: git-lfs checks them."""
        try:
            git.lfs_fetch(self._repo, self._remote, write_pointer(pointer), progress is not None)
        except GitError as error:
            if any(words in error.message for words in _NOT_THERE):
                raise NotFoundError(f"{self.name} does not have it") from None
            raise GitError(f"{self.name}: {error.message}", error.hint) from None
        if not objects.has(pointer):
            raise NotFoundError(f"{self.name} has no {pointer.oid[:12]}")
        objects.adopt(pointer)
        objects.note_stored(self.key, [pointer.oid])
