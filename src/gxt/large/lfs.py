"""Git LFS as a place for bytes, by git-lfs's own client: its endpoints, credentials, retries and transfers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gxt import git
from gxt.errors import GitError, NotFoundError
from gxt.git import Repository
from gxt.large.objects import Objects
from gxt.large.places import IsNew, Progress, Sent
from gxt.large.settings import shown_url
from gxt.pointers import Pointer, write_pointer

_NOT_THERE = ("[404]", "404 Not Found", "Object does not exist", "remote missing object")


class LfsPlace:
    """The Git LFS server of a remote."""

    def __init__(self, repo: Repository, remote: str, config: Mapping[str, str]) -> None:
        self._repo, self._remote = repo, remote
        self.name = f"Git LFS of {remote}"
        fetched_from, sent_to = git.lfs_endpoints(repo, remote, config)
        self.key = f"lfs {shown_url(sent_to)}"
        self._is_one = fetched_from == sent_to

    def has(self, pointer: Pointer) -> bool | None:
        """git-lfs cannot ask without fetching."""
        return None

    def send(
        self,
        pointers: Sequence[Pointer],
        objects: Objects,
        progress: Progress | None = None,
        is_new: IsNew | None = None,
    ) -> Sent:
        """Send what the server lacks; git-lfs asks it, and shows its own progress where `progress` is wanted.

        git-lfs does not say what it sent: that counts as sent which was not known to be there.
        """
        known = objects.stored(self.key)
        oids = [pointer.oid for pointer in pointers]
        try:
            git.lfs_push(self._repo, self._remote, oids, progress is not None)
        except GitError as error:
            return Sent([], [], dict.fromkeys(pointers, error))
        objects.note_stored(self.key, set(oids) - known)
        there = [pointer for pointer in pointers if pointer.oid in known]
        return Sent([pointer for pointer in pointers if pointer.oid not in known], there, {})

    def confirmed(self, copies: Sequence[Pointer], objects: Objects, dry_run: bool = False) -> set[Pointer]:
        """Which of some copies here it has, of those that went there once. git-lfs asks only in order to send: what the
        server has lost meanwhile is there again.
        """
        known = objects.stored(self.key)
        once = [copy for copy in copies if copy.oid in known]
        if dry_run:
            return set(once)
        done = self.send(once, objects) if once else Sent([], [], {})
        return {*done.sent, *done.there}

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
        if self._is_one:
            objects.note_stored(self.key, [pointer.oid])
