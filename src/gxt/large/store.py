"""A content-addressed store as a place for bytes: whatever fsspec opens, such as `s3://`, `gs://`, a mounted folder.

    <store>/sha256/aa/bb/<oid>

Credentials are the library's own: its environment variables, files and services. None is read or shown here.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple, TypeVar

from gxt.errors import GxtError, MissingPackageError, NotFoundError, UsageError
from gxt.large.objects import Objects, digest_of
from gxt.large.places import IsNew, Progress, Sent
from gxt.large.settings import EXAMPLES, shown_url
from gxt.masking import MASK
from gxt.pointers import Pointer

_AT_ONCE = 4
_PIECE = 4 << 20
_BLOCK = 16 << 20  # of multi-part uploads; each of those at once holds one in memory
_MOST_PARTS = 9_000  # S3 takes 10,000
_TRIES = 3
GRACE = 14 * 86_400.0
"""Seconds that an object stays that no ref names, as with git's own gc.pruneExpire."""
_PAUSE = 0.5  # seconds, before the first new try

# Where a key is whole or not there: an upload appears when it is complete.
_ALL_OR_NOTHING = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory"}
_OID = re.compile("[0-9a-f]{64}")
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}

Result = TypeVar("Result")


class Stored(NamedTuple):
    """An object in a store: its digest, size, and when it came (seconds since 1970), None where that is not known."""

    oid: str
    size: int
    time: float | None


def _read_about(name: str, about: Mapping[str, Any]) -> Stored:
    """What fsspec says of a file; each kind of store has the time under a key of its own."""
    when: Any = about.get("LastModified") or about.get("mtime") or about.get("updated") or about.get("created")
    seconds = when.timestamp() if hasattr(when, "timestamp") else when
    return Stored(name, int(about["size"]), float(seconds) if isinstance(seconds, (int, float)) else None)


def check_kind(url: str) -> None:
    """Raise UsageError for a URL of a kind that no store is of, as far as fsspec is there to say."""
    scheme = url.partition("://")[0].rpartition("::")[2] if "://" in url else "file"
    if scheme == "memory":
        raise UsageError("a store in memory:// is gone with the process that writes to it", EXAMPLES)
    try:
        import fsspec
    except ImportError:
        return
    if scheme not in fsspec.available_protocols():
        raise UsageError(f"there is no kind of store called {scheme}://", EXAMPLES)


class StorePlace:
    """A store by its URL or absolute path; nothing is opened before it is used.

    Raises (each method):
        MissingPackageError: fsspec, or what it needs for this kind of URL, is not installed.
        GxtError: the store says no, or does not answer; the message has its words.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._opened: tuple[Any, str] | None = None
        self.name = shown_url(url)
        self.key = f"store {self.name}"

    def has(self, pointer: Pointer) -> bool | None:
        """Whether it has the bytes, by their number."""
        stored = self._try(lambda: self._stored(pointer.oid))
        return stored is not None and stored.size == pointer.size

    def send(
        self,
        pointers: Sequence[Pointer],
        objects: Objects,
        progress: Progress | None = None,
        is_new: IsNew | None = None,
    ) -> Sent:
        """Send what it lacks, several at once. What is there is not sent again, so a later call goes on; but for what
        `is_new` and was there for over half of the time after which objects that nobody names are cleared away.
        """
        sent: list[Pointer] = []
        there: list[Pointer] = []
        failed: dict[Pointer, GxtError] = {}

        def one(pointer: Pointer) -> None:
            try:
                went = self.upload(pointer, objects, progress, is_new)
            except GxtError as error:
                failed[pointer] = error
                return
            (sent if went else there).append(pointer)
            objects.note_stored(self.key, [pointer.oid])

        from concurrent.futures import ThreadPoolExecutor  # here for start-up time

        self._try(self._open)  # a missing package, or a host that is not there, is said once
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(one, pointers))
        return Sent(sent, there, failed)

    def upload(
        self, pointer: Pointer, objects: Objects, progress: Progress | None = None, is_new: IsNew | None = None
    ) -> bool:
        """Send one object, its digest checked on the way; False where it is there, as `send` says."""
        import hashlib  # here for start-up time

        def once() -> bool:
            stored = self._stored(pointer.oid)
            is_old = stored and stored.time is not None and time.time() - stored.time > GRACE / 2
            if stored and stored.size == pointer.size and not (is_old and is_new is not None and is_new(pointer)):
                _tell(progress, pointer.size, 1)
                return False
            moved = 0
            try:
                with open(objects.path(pointer.oid), "rb") as source, self._writing(pointer) as out:
                    digest = hashlib.sha256()
                    while piece := source.read(_PIECE):
                        digest.update(piece)
                        out.write(piece)
                        moved += len(piece)
                        _tell(progress, len(piece), 0)
                    if digest.hexdigest() != pointer.oid:
                        raise _DamagedError(f"the copy of {pointer.oid[:12]} in {objects.folder} is damaged")
                after = self._stored(pointer.oid)
                if after is None or after.size != pointer.size:
                    raise OSError(f"it took {after and after.size} of {pointer.size} bytes")
            except BaseException:
                _tell(progress, -moved, 0)
                raise
            _tell(progress, 0, 1)
            return True

        return self._try(once)

    def fetch(self, pointer: Pointer, objects: Objects, progress: Progress | None = None) -> None:
        """Bring the bytes here, checked; where an earlier call was cut off, it goes on behind what that one had."""

        def once() -> None:
            part = objects.temporary(f"{pointer.oid}.part")
            with contextlib.ExitStack() as stack:
                out = stack.enter_context(open(part, "a+b"))
                if not _locked(out):  # another process is at it: this one goes its own way
                    part = objects.temporary(f"{pointer.oid}-{os.getpid()}-{os.urandom(4).hex()}")
                    out = stack.enter_context(open(part, "a+b"))
                    stack.callback(part.unlink, missing_ok=True)
                resumed = self._receive(pointer, out, progress)
                is_whole = digest_of(out) == pointer
                if not is_whole and resumed:
                    out.truncate(0)
                    self._receive(pointer, out, progress)
                    is_whole = digest_of(out) == pointer
                if not is_whole:
                    out.truncate(0)
                    raise _DamagedError(f"the object {self._key(pointer.oid)} is damaged in {self.name}")
                os.fsync(out.fileno())
                objects.take(part, pointer)

        self._try(once)
        objects.note_stored(self.key, [pointer.oid])
        _tell(progress, 0, 1)

    def _receive(self, pointer: Pointer, out: IO[bytes], progress: Progress | None) -> bool:
        """Append what is missing. Returns whether there was something already."""
        fs, _ = self._open()
        out.seek(0, os.SEEK_END)
        have = out.tell()
        if have > pointer.size:
            out.truncate(0)
            have = 0
        _tell(progress, have, 0)
        moved = have
        try:
            with fs.open(self._key(pointer.oid), "rb", block_size=_BLOCK, cache_type="readahead") as source:
                source.seek(have)
                while piece := source.read(_PIECE):
                    out.write(piece)
                    moved += len(piece)
                    _tell(progress, len(piece), 0)
        except BaseException:
            _tell(progress, -moved, 0)
            raise
        out.flush()
        return have > 0

    def confirmed(self, copies: Sequence[Pointer], objects: Objects, dry_run: bool = False) -> set[Pointer]:
        """Which of some copies here it has, of the same number of bytes."""
        found = {Pointer(stored.oid, stored.size) for stored in self.listing()}
        objects.forget_stored(self.key, {copy.oid for copy in copies if copy not in found})
        return found & set(copies)

    def listing(self) -> list[Stored]:
        """Every object that it has."""
        return [stored for path, stored in self._try(self._files) if _OID.fullmatch(path.rsplit("/", 1)[-1])]

    def remove_leftovers(self, before: float) -> None:
        """Take away what uploads that were killed left behind, before a time in seconds since 1970."""
        for path, stored in self._try(self._files):
            if path.endswith(".tmp") and stored.time is not None and stored.time < before:
                with contextlib.suppress(FileNotFoundError):
                    self._open()[0].rm_file(path)

    def _files(self) -> list[tuple[str, Stored]]:
        fs, root = self._open()
        fs.invalidate_cache()
        try:
            found = fs.find(f"{root}/sha256", detail=True)
        except FileNotFoundError:
            return []
        return [(path, _read_about(path.rsplit("/", 1)[-1], about)) for path, about in found.items()]

    def remove(self, oids: Sequence[str]) -> None:
        """Take objects away."""

        def once() -> None:
            for oid in oids:
                with contextlib.suppress(FileNotFoundError):
                    self._open()[0].rm_file(self._key(oid))

        self._try(once)

    # --- fsspec -----------------------------------------------------------------------------------------------------

    def _open(self) -> tuple[Any, str]:
        if self._opened is None:
            scheme = self._url.partition("://")[0] if "://" in self._url else "file"
            try:
                import fsspec
            except ImportError:
                raise MissingPackageError("fsspec", f"the artifact store {self.name}", "store") from None
            try:
                fs, root = fsspec.core.url_to_fs(self._url)
            except ImportError as error:
                package = {"s3": "s3fs", "gcs": "gcsfs"}.get(_EXTRAS.get(scheme, ""), error.name or f"for {scheme}://")
                raise MissingPackageError(package, f"the artifact store {self.name}", _EXTRAS.get(scheme)) from None
            except ValueError as error:
                raise UsageError(f"the artifact store {self.name} cannot be opened: {self._words(error)}") from None
            self._opened = fs, root.rstrip("/")
        return self._opened

    def _key(self, oid: str) -> str:
        return f"{self._open()[1]}/sha256/{oid[:2]}/{oid[2:4]}/{oid}"

    def _stored(self, oid: str) -> Stored | None:
        fs, _ = self._open()
        fs.invalidate_cache()
        try:
            return _read_about(oid, fs.info(self._key(oid)))
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def _writing(self, pointer: Pointer) -> Iterator[IO[bytes]]:
        """A new object to write to; it is there when the block has ended well, and else no part of it is."""
        fs, _ = self._open()
        key = self._key(pointer.oid)
        protocol = fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0]
        whole = protocol in _ALL_OR_NOTHING
        target = key if whole else f"{key}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
        if not whole:
            fs.makedirs(key.rpartition("/")[0], exist_ok=True)
        out = fs.open(target, "wb", block_size=max(_BLOCK, pointer.size // _MOST_PARTS))
        try:
            yield out
            out.close()
            if not whole:
                fs.mv(target, key)
        except BaseException:
            with contextlib.suppress(Exception):  # what went wrong first is what counts
                if whole:
                    out.discard()
                    out.closed = True  # so that it does not complete the upload when it is collected
                else:
                    out.close()
                    fs.rm_file(target)
            raise

    def _try(self, work: Callable[[], Result]) -> Result:
        """The result of some work on the store, tried again where that may help."""
        for left in reversed(range(_TRIES)):
            try:
                return work()
            except FileNotFoundError:
                raise NotFoundError(f"{self.name} does not have it") from None
            except (GxtError, UnicodeError):
                raise
            except Exception as error:  # the libraries behind fsspec have no exception in common
                if left and not _is_final(error):
                    time.sleep(_PAUSE * 2 ** (_TRIES - 1 - left))
                    continue
                raise GxtError(f"the artifact store {self.name}: {self._words(error)}", _hint(error)) from None
        raise AssertionError("unreachable")

    def _words(self, error: Exception) -> str:
        """What a library says, in one line and without the secrets of the URL."""
        text = " ".join((str(error) or type(error).__name__).split())[:300]
        text = text.replace(self._url, self.name)
        for secret in _secrets(self._url):
            text = text.replace(secret, MASK)
        return text


def _secrets(url: str) -> list[str]:
    """What is not to be shown of a URL, the longest first, in each way that a library may spell it."""
    from urllib.parse import quote, quote_plus, unquote, unquote_plus  # here for start-up time

    users, _, _ = url.partition("://")[2].partition("?")[0].rpartition("@")
    query = url.partition("?")[2]
    parts = {users, *users.split(":"), query, *(part.rpartition("=")[2] for part in re.split("[&#]", query))}
    plain = {form for part in parts for form in (part, unquote(part), unquote_plus(part))}
    quoted = {
        form for part in plain for safe in ("", "/", "=&") for form in (quote(part, safe), quote_plus(part, safe))
    }
    return sorted((form for form in plain | quoted if len(form) > 1), key=len, reverse=True)


class _DamagedError(GxtError):
    """Bytes that are not those of their digest."""


_NO_ACCESS = ("credential", "accessdenied", "access denied", "forbidden", "invalidaccesskey", "signature", "expired")


def _is_final(error: Exception) -> bool:
    """Whether trying again is of no use."""
    text = f"{type(error).__name__} {error}".lower()
    # A server that is not there was waited for by its own library already.
    final = (*_NO_ACCESS, "nosuchbucket", "could not connect")
    return isinstance(error, PermissionError) or any(words in text for words in final)


def _hint(error: Exception) -> str | None:
    text = f"{type(error).__name__} {error}".lower()
    if isinstance(error, PermissionError) or any(words in text for words in _NO_ACCESS):
        return "credentials are found as the store's own library finds them: environment, configuration, instance role"
    return None


def _tell(progress: Progress | None, moved: int, whole: int) -> None:
    if progress is not None:
        progress(moved, whole)


def _locked(file: IO[bytes]) -> bool:
    from filelock import lock_descriptor  # here for start-up time

    return bool(lock_descriptor(file.fileno(), blocking=False))
