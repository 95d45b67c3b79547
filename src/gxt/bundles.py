"""Runs in one file, for where no network leads: the run branch as a git bundle, and the large artifacts of its runs.

The file is a ZIP archive without compression, in which everything can be opened by hand:

    README.txt           how to
    runs.bundle          a git bundle of the run branch, of all or of what came since some commit
    code.bundle          a git bundle of the code of these runs, less what remotes have of it
    objects/<sha256>     the bytes of each large artifact
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple, cast

from gxt import git, joining, large, layout, sharing, snapshots, store, transfer
from gxt.errors import FileChangedError, FormatError, GxtError, NotFoundError
from gxt.git import Repository
from gxt.joining import Moved
from gxt.large import Objects, Progress
from gxt.pointers import Pointer

_RUNS, _CODE, _README, _OBJECTS = "runs.bundle", "code.bundle", "README.txt", "objects/"
_OBJECT = re.compile(r"objects/([0-9a-f]{64})")
_GIT_BUNDLE = b"# v"
_PIECE = 1 << 20
_NAMED = 100

_ABOUT = """\
Runs of gxt, a git-native experiment tracker. In a clone of their repository, `gxt unbundle FILE` joins them with the
runs that are there. Without gxt:

    unzip FILE -d runs
    git bundle list-heads runs/runs.bundle
    git fetch runs/runs.bundle {ref}:refs/heads/runs-from-bundle

objects/ holds large artifacts by the SHA-256 of their bytes, which their pointers in the branch name. code.bundle,
where there is one, has the code of the runs:

    git fetch runs/code.bundle 'refs/gxt/code/*:refs/gxt/code/*'
"""

Said = Callable[[str], None]


class Bundled(NamedTuple):
    """What a bundle holds.

    Attributes:
        runs: those that are new, changed or gone since the commit that it builds on, or all.
        commit: where the run branch stood.
        since: the commit that it builds on, None for a whole one.
        artifacts: the large artifacts in it.
        missing: those that were left out because their bytes are nowhere, with where they are named.
        size: the file's bytes.
        code: the commits with the code of the runs in it.
    """

    runs: Sequence[Moved]
    commit: str
    since: str | None
    artifacts: Sequence[Pointer]
    missing: transfer.Named
    size: int
    code: Sequence[str]


def bundle(
    repo: Repository,
    file: Path,
    since: str | None = None,
    *,
    artifacts: bool = True,
    code: bool = True,
    skip_missing: bool = False,
    progress: Progress | None = None,
    said: Said | None = None,
) -> Bundled:
    """Write the run branch to a file, which appears when it is whole.

    Args:
        since: a commit that whoever gets it has: only what came after it is written. None for everything.
        artifacts: write the large artifacts of these runs too; those that are not here are fetched.
        code: write their code too, as far as it is here, on top of the branches that are known of remotes.
        skip_missing: leave out those whose bytes cannot be had.
        progress, said: are told of the artifacts, and what git says.

    Raises:
        NotFoundError: there are no runs, or none since then; or the bytes of an artifact are nowhere.
        GxtError: the file cannot be written.
    """
    settings = git.config(repo)
    at = store.tip(repo, settings)
    if at.commit is None:
        raise NotFoundError("there are no runs yet")
    if since is not None and git.is_ancestor(repo, at.commit, since):
        raise NotFoundError(f"nothing has come to the run branch since {since[:10]}")
    base = since if since is not None and git.is_ancestor(repo, since, at.commit) else None
    if since is not None and base is None:
        bases = git.merge_bases(repo, since, at.commit)
        if not bases:
            raise NotFoundError(f"{since[:10]} is no commit of this run branch")
        base = bases[0]
    wanted = _artifacts_since(repo, base, at.commit) if artifacts else {}
    places, objects = _places(repo)
    missing = _fetched(wanted, objects, places, skip_missing, progress)
    inside = [pointer for pointer in wanted if pointer not in missing]
    ref = at.remote_ref or at.ref
    with _beside(file) as beside, tempfile.TemporaryDirectory(dir=beside.parent.absolute(), prefix=".gxt-") as folder:
        git_bundle = Path(folder) / _RUNS
        git.create_bundle(repo, git_bundle, ref, base, said)
        # The branch may have moved meanwhile; what is in the bundle is what counts.
        commit = git.bundle_refs(repo, git_bundle)[ref]
        runs = joining.moved(repo, settings, base, commit)
        snapshots_inside = _bundle_code(repo, settings, Path(folder) / _CODE, commit, runs if code else [], said)
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_README, _ABOUT.format(ref=ref))
            archive.write(git_bundle, _RUNS)
            if snapshots_inside:
                archive.write(Path(folder) / _CODE, _CODE)
            for pointer in inside:
                _add(archive, pointer, objects, progress)
        size = beside.stat().st_size
    return Bundled(runs, commit, base, inside, missing, size, snapshots_inside)


def _bundle_code(
    repo: Repository, settings: Mapping[str, str], file: Path, commit: str, runs: Sequence[Moved], said: Said | None
) -> list[str]:
    """Write the code of some runs to a git bundle; the commits, none where there is nothing to write."""
    folders = [f"{layout.EXPERIMENTS}/{moved.folder}/{moved.run}" for moved in runs if moved.what != "gone"]
    named = snapshots.named_in(repo, commit, [f"{folder}/{layout.RUN_YAML}" for folder in folders])
    published = snapshots.published(repo, settings)
    # One that was brought from elsewhere may be here without its ref.
    kept = git.list_refs(repo, git.CODE)
    inside = [oid for oid in git.not_reached(repo, named, published) if snapshots.ref_of(oid) in kept]
    if inside:
        git.create_bundle_of(repo, file, [snapshots.ref_of(oid) for oid in inside], published, said)
    return inside


def _artifacts_since(repo: Repository, base: str | None, commit: str) -> transfer.Named:
    """The large artifacts that the runs at a commit name, and that a commit before it does not."""
    known = transfer.pointers_at(repo, [base]) if base is not None else {}
    return {pointer: where for pointer, where in transfer.pointers_at(repo, [commit]).items() if pointer not in known}


def _places(repo: Repository) -> tuple[Sequence[large.Place], Objects]:
    settings = git.config(repo)
    of_artifacts = store.artifact_settings(repo, settings)
    return large.places_for(repo, of_artifacts, settings), store.objects(repo, of_artifacts)


def _fetched(
    wanted: Mapping[Pointer, str],
    objects: Objects,
    places: Sequence[large.Place],
    skip_missing: bool,
    progress: Progress | None,
) -> transfer.Named:
    """Have them all here; those that cannot be had."""
    missing: transfer.Named = {}
    for pointer, where in wanted.items():
        if objects.has(pointer):
            continue
        try:
            large.fetch(pointer, objects, places, progress)
        except GxtError as error:
            if not skip_missing:
                hint = "--skip-missing leaves out what cannot be had, --no-artifacts all large artifacts"
                raise type(error)(f"{where}: {error.message}", hint) from None
            missing[pointer] = where
    return missing


def _add(archive: zipfile.ZipFile, pointer: Pointer, objects: Objects, progress: Progress | None) -> None:
    about = zipfile.ZipInfo(f"{_OBJECTS}{pointer.oid}")
    about.file_size = pointer.size
    about.external_attr = 0o644 << 16
    with archive.open(about, "w") as out:
        large.save_content(pointer, cast(IO[bytes], _Counted(out, progress)), objects, [])


class _Counted:
    """A stream to write to that tells how much was written."""

    def __init__(self, out: IO[bytes], progress: Progress | None) -> None:
        self._out, self._progress = out, progress

    def write(self, data: bytes) -> int:
        if self._progress is not None:
            self._progress(len(data), 0)
        return self._out.write(data)


@contextlib.contextmanager
def _beside(file: Path) -> Iterator[Path]:
    """A file that takes another's place when the block has ended well, and else leaves nothing."""
    beside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        yield beside
        with open(beside, "rb") as written:
            os.fsync(written.fileno())
        beside.replace(file)
    except OSError as error:
        raise GxtError(f"{file} cannot be written: {error.strerror or error}") from None
    finally:
        beside.unlink(missing_ok=True)


# --- the other side -----------------------------------------------------------------------------------------------


class Unbundled(NamedTuple):
    """What came of a bundle, or would come of it.

    Attributes:
        received: runs that came with it, or changed by it.
        commit: where the local branch stands; None for a look alone.
        artifacts: large artifacts that were brought.
        missing: those that its runs name and that are neither in it nor here.
        names: what the first of these runs are called, by id.
        code: the commits with code that came along.
        code_lacks: the commits that this code builds on and that are not here; then none of it came.
    """

    received: Sequence[Moved]
    commit: str | None
    artifacts: Sequence[Pointer]
    missing: transfer.Named
    names: Mapping[str, str]
    code: Sequence[str] = ()
    code_lacks: Sequence[str] = ()


def unbundle(
    repo: Repository,
    file: Path,
    *,
    artifacts: bool = True,
    dry_run: bool = False,
    progress: Progress | None = None,
    said: Said | None = None,
) -> Unbundled:
    """Join the runs of a bundle with those that are here, as a pull does: whole, or not at all.

    Every object is checked: git's by git, large artifacts by their SHA-256. A bare git bundle will do too.

    Args:
        artifacts: bring the large artifacts as well.
        dry_run: only say what would come.

    Raises:
        FormatError: it is no bundle, or damaged, or of a later format.
        NotFoundError: it builds on commits that are not here.
        GitError: git does not take the merge, or the branch is checked out in a work tree.
    """
    store.check_writable(repo)
    with store.aside(repo) as (folder, aside), _opened(file) as source:
        git_bundle = folder / _RUNS
        source.extract_runs(git_bundle)
        _check_prerequisites(repo, git_bundle, file)
        ref = _run_ref(repo, git_bundle, file)
        if dry_run:
            return _preview(repo, git_bundle, ref, folder / "look.git", source, said)
        return _taken(repo, git_bundle, ref, aside, source, file, artifacts, progress, said)


def _taken(
    repo: Repository,
    git_bundle: Path,
    ref: str,
    aside: str,
    source: _Source,
    file: Path,
    artifacts: bool,
    progress: Progress | None,
    said: Said | None,
) -> Unbundled:
    settings = git.config(repo)
    brought: list[Pointer] = []
    put: list[Pointer] = []
    _, objects = _places(repo)
    try:
        git.fetch_bundle(repo, git_bundle, ref, aside, said)
        (commit,) = git.resolve(repo, [aside])
        if commit is None:
            raise FormatError(f"{file} holds no commit of runs")
        joining.check_format(repo, commit, file.name)
        named = transfer.pointers_at(repo, [commit])
        source.check(named)
        for pointer in source.pointers if artifacts else ():
            if pointer in named and not objects.has(pointer):
                was_there = objects.path(pointer.oid).exists()  # half of it, or all where the pointer is wrong
                source.extract(pointer, objects, progress)
                brought.append(pointer)
                if not was_there:
                    put.append(pointer)
        before = store.tip(repo, settings).commit
        code, lacks = _take_code(repo, source, git_bundle.with_name(_CODE), said)  # before the runs that name it
        after = store.join(repo, commit, file.name)
    except BaseException:
        for pointer in put:  # nothing names them
            objects.remove(pointer.oid)
        raise
    missing = {pointer: where for pointer, where in named.items() if not objects.has(pointer)}
    return Unbundled(joining.moved(repo, settings, before, after), after, brought, missing, {}, code, lacks)


def _take_code(
    repo: Repository, source: _Source, git_bundle: Path, said: Said | None
) -> tuple[Sequence[str], Sequence[str]]:
    """The code that came along, or what it builds on and is not here."""
    if not source.extract_code(git_bundle):
        return [], []
    if lacks := git.missing_for_bundle(repo, git_bundle):
        return [], lacks
    git.fetch_bundle(repo, git_bundle, f"{git.CODE}*", f"{git.CODE}*", said)
    return [ref.removeprefix(git.CODE) for ref in git.bundle_refs(repo, git_bundle)], []


def _preview(
    repo: Repository, git_bundle: Path, ref: str, folder: Path, source: _Source, said: Said | None
) -> Unbundled:
    """What would come, found out in a repository of its own that borrows our objects."""
    settings = git.config(repo)
    object_format = settings.get("extensions.objectformat", git.OBJECT_FORMATS[0])
    look = git.make_bare(folder, object_format, repo.common_dir / "objects")
    git.fetch_bundle(look, git_bundle, ref, "refs/heads/there", said)
    (there,) = git.resolve(look, ["refs/heads/there"])
    assert there is not None
    joining.check_format(look, there, "the bundle", writing=False)
    here = store.tip(repo, settings).commit
    _, objects = _places(repo)
    named = transfer.pointers_at(look, [there])
    would_come = [pointer for pointer in source.pointers if pointer in named and not objects.has(pointer)]
    missing = {p: where for p, where in named.items() if p not in source.pointers and not objects.has(p)}
    received = joining.moved_since(look, settings, here, there)
    names = sharing.names(look, [there, here], received[:_NAMED])
    return Unbundled(received, None, would_come, missing, names)


def _check_prerequisites(repo: Repository, git_bundle: Path, file: Path) -> None:
    lacking = git.missing_for_bundle(repo, git_bundle)
    if lacking:
        here = store.tip(repo, git.config(repo)).commit
        said = f"`gxt bundle --since {here[:12]}` there makes one that fits" if here else "one without --since is whole"
        raise NotFoundError(f"{file} builds on runs that are not here: commit {', '.join(lacking)}", said)


def _run_ref(repo: Repository, git_bundle: Path, file: Path) -> str:
    """Which of a git bundle's refs is the run branch: the only one, or the one of that name."""
    refs = [ref for ref in git.bundle_refs(repo, git_bundle) if ref != "HEAD"]
    name = store.branch_name(git.config(repo))
    named = [ref for ref in refs if ref.startswith(("refs/heads/", "refs/remotes/")) and ref.endswith(f"/{name}")]
    found = [ref for ref in named if ref == f"refs/heads/{name}"] or named or (refs if len(refs) == 1 else [])
    if not found:
        raise FormatError(f"{file} has no branch {name}")
    return found[0]


class _Source:
    """What is in a bundle that is open."""

    def __init__(self, file: Path, archive: zipfile.ZipFile | None) -> None:
        self._file, self._archive = file, archive
        entries = archive.infolist() if archive is not None else []
        matches = [(_OBJECT.fullmatch(entry.filename), entry.file_size) for entry in entries]
        self.pointers = {Pointer(match[1], size) for match, size in matches if match}

    def check(self, named: Iterable[Pointer]) -> None:
        """Raise FormatError where an object has not as many bytes as the pointer to it says."""
        sizes = {pointer.oid: pointer.size for pointer in named}
        for oid, size in self.pointers:
            if sizes.get(oid, size) != size:
                raise FormatError(f"{self._file} is damaged: {_OBJECTS}{oid[:12]}… has {size} bytes, not {sizes[oid]}")

    def extract_runs(self, target: Path) -> None:
        """Write the git bundle to a file."""
        if self._archive is None:
            shutil.copyfile(self._file, target)
            return
        with _reading(self._file), self._archive.open(_RUNS) as source, open(target, "wb") as out:
            shutil.copyfileobj(source, out, _PIECE)

    def extract_code(self, target: Path) -> bool:
        """Write the git bundle of the runs' code to a file, if there is one."""
        if self._archive is None or _CODE not in self._archive.namelist():
            return False
        with self._archive.open(_CODE) as source, open(target, "wb") as out:
            shutil.copyfileobj(source, out, _PIECE)
        return True

    def extract(self, pointer: Pointer, objects: Objects, progress: Progress | None) -> None:
        """Put the bytes of a large artifact among those here, checked."""
        assert self._archive is not None
        try:
            name = f"{_OBJECTS}{pointer.oid}"
            with objects.receiving(pointer) as out, _reading(self._file), self._archive.open(name) as source:
                while piece := source.read(_PIECE):
                    out.write(piece)
                    if progress is not None:
                        progress(len(piece), 0)
        except FileChangedError:
            said = f"{self._file} is damaged: {pointer.oid[:12]} has other bytes than its name says"
            raise FormatError(said) from None


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[_Source]:
    try:
        with open(file, "rb") as stream:
            is_git_bundle = stream.read(len(_GIT_BUNDLE)) == _GIT_BUNDLE
    except FileNotFoundError:
        raise NotFoundError(f"no such file: {file}") from None
    except OSError as error:
        raise GxtError(f"{file} cannot be read: {error.strerror}") from None
    if is_git_bundle:
        yield _Source(file, None)
        return
    with _reading(file):
        archive = zipfile.ZipFile(file)
    with archive:
        if _RUNS not in archive.namelist():
            raise FormatError(f"{file} is no bundle of runs: it has no {_RUNS}")
        yield _Source(file, archive)


# What zipfile raises for archives that it does not understand: encrypted, of an unknown compression or version, with
# names that are no text, or with data that do not decompress.
_UNREADABLE = (zipfile.BadZipFile, RuntimeError, ValueError, EOFError, struct.error, zlib.error)


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise FormatError(f"{file} is no bundle of runs, or damaged: {error}") from None
