"""The code of a run as a commit: what of the work tree goes into it, what is left out and why, and the change as text.

The commit has HEAD as its parent, and is HEAD itself where nothing differs; it depends on the files and on HEAD alone,
so that any number of runs of one state of the code share it. `refs/gxt/code/<commit>` keeps it.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from gxt import git, layout, live, store
from gxt.errors import GitError, NotFoundError
from gxt.git import Change, Deadline, Repository, Talk, WorkTree
from gxt.masking.files import may_hold_secrets
from gxt.model import clean_text, random_digits

_TIME = 120.0  # seconds
_LARGEST_FILE, _LARGEST_TOTAL, _LARGEST_PATCH = 5 << 20, 100 << 20, 1 << 20
_MOST_FILES = 10_000
_MOST_NAMED = 100
_LEFT_BEHIND = frozenset(
    "__pycache__ .ipynb_checkpoints .pytest_cache .mypy_cache .ruff_cache .hypothesis .DS_Store Thumbs.db".split()
)
SECRET = "by its name it may hold secrets"
"""The `problem` of an untracked file that is left out for its name."""


class Snapshot(NamedTuple):
    """The code of a run.

    Attributes:
        about: what run.yaml's `source` says of it: `snapshot`, `left_out`, `submodules`, `problem`.
        patch: what it changes in HEAD, as text; None where there is nothing to say.
    """

    about: dict[str, Any]
    patch: bytes | None = None


def deadline() -> Deadline:
    """How long git may take to look and to write."""
    return Deadline(_TIME)


def look(repo: Repository, settings: Mapping[str, str], until: Deadline) -> WorkTree:
    """What is checked out, and what differs from it; but for what programs leave behind of themselves.

    Raises:
        GitError: git does not tell, or takes too long.
    """
    tree = git.look(repo, settings, until)
    return tree._replace(changes=[change for change in tree.changes if not _is_left_behind(change)])


def _is_left_behind(change: Change) -> bool:
    """Else every run of a package whose caches nobody has told git to ignore would be one of changed code."""
    return change.is_untracked and not _LEFT_BEHIND.isdisjoint(change.path.split("/"))


def changed_since(top: Path, tree: WorkTree, when: float) -> Iterator[str]:
    """What differs from HEAD and was written after some time (seconds since 1970): programs may have read it before."""
    for change in tree.changes:
        with contextlib.suppress(OSError):
            about = (top / change.path).lstat()
            if stat.S_ISREG(about.st_mode) and when < about.st_mtime <= time.time():
                yield change.path


def take(repo: Repository, settings: Mapping[str, str], tree: WorkTree, until: Deadline) -> Snapshot:
    """Write the code to a commit that is kept. Never an error: what went wrong is the `problem`."""
    try:
        return _take(repo, settings, tree, until)
    except (GitError, OSError) as error:
        why = error.message if isinstance(error, GitError) else f"{error.strerror or error}"
        with contextlib.suppress(GitError):
            if tree.commit is not None:
                git.keep(repo, tree.commit)
        return Snapshot({"problem": f"no snapshot of the code: {clean_text(why)}"})


def _take(repo: Repository, settings: Mapping[str, str], tree: WorkTree, until: Deadline) -> Snapshot:
    if not is_on(settings):
        return Snapshot({"problem": "no snapshot of the code: git config gxt.snapshot is false"})
    if repo.work_tree is None:
        return Snapshot({})  # whatever ran, it is not from here
    chosen, left_out = _chosen(repo.work_tree, settings, tree)
    seen = _Seen.of(repo.work_tree, settings, tree.commit, chosen, left_out)
    if seen is not None and (known := _known.get(repo.common_dir)) is not None and known[0] == seen:
        with contextlib.suppress(GitError):  # it has been let go meanwhile, and is taken anew
            git.keep(repo, known[1].about["snapshot"])
            return known[1]
    snapshot = _written(repo, settings, tree, chosen, left_out, until)
    if seen is not None and not left_out.keys() - seen.left_out.keys() and "snapshot" in snapshot.about:
        _known[repo.common_dir] = seen, snapshot
    return snapshot


def _written(
    repo: Repository,
    settings: Mapping[str, str],
    tree: WorkTree,
    chosen: Sequence[Change],
    left_out: dict[str, dict[str, Any]],
    until: Deadline,
) -> Snapshot:
    """The snapshot of what was chosen; what git could not read comes to what is left out."""
    with _folder(repo) as folder:
        written = git.write(repo, tree.commit, chosen, folder, until)
    repositories = {change.path for change in chosen if change.is_untracked and change.is_submodule}
    for path, why in written.failed.items() if written else ():
        left_out[path] = {"problem": "a repository without a commit" if path in repositories else clean_text(why)}
    about: dict[str, Any] = {"snapshot": written.commit} if written else {}
    if left_out:
        about["left_out"] = {clean_text(path): left_out[path] for path in sorted(left_out)[:_MOST_NAMED]}
    if len(left_out) > _MOST_NAMED:
        about["left_out_more"] = len(left_out) - _MOST_NAMED
    moved = written.submodules if written else {}
    dirty = {change.path for change in chosen if change.is_submodule and _is_dirty(repo, change)}
    if moved or dirty:
        about["submodules"] = {
            clean_text(path): ({"commit": moved[path]} if path in moved else {}) | {"dirty": path in dirty}
            for path in sorted({*moved, *dirty})
        }
    if written is None or written.commit == tree.commit:
        return Snapshot(about)
    return Snapshot(about, _patch(repo, settings, tree.commit or git.empty_tree(settings), written.commit))


class _Seen(NamedTuple):
    """What a snapshot depends on, as far as the files' own data tell: where that is the same, so is the snapshot."""

    commit: str | None
    changes: Sequence[Change]
    files: Sequence[tuple[int, ...] | None]
    left_out: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, str]

    @classmethod
    def of(
        cls,
        top: Path,
        settings: Mapping[str, str],
        commit: str | None,
        changes: Sequence[Change],
        left_out: Mapping[str, Mapping[str, Any]],
    ) -> _Seen | None:
        """None where they do not tell: of repositories inside, and of files that have changed just now, which may
        change again within the resolution of the file system's clock."""
        files: list[tuple[int, ...] | None] = []
        newest = time.time_ns() - _RESOLUTION
        for change in changes:
            if change.is_submodule:
                return None
            try:
                about = (top / change.path).lstat()
            except OSError:
                files.append(None)
                continue
            if max(about.st_mtime_ns, about.st_ctime_ns) > newest:
                return None
            files.append((about.st_mode, about.st_size, about.st_ino, about.st_mtime_ns, about.st_ctime_ns))
        return cls(commit, tuple(changes), tuple(files), dict(left_out), dict(settings))


_RESOLUTION = 2_000_000_000  # nanoseconds: FAT's
_known: dict[Path, tuple[_Seen, Snapshot]] = {}
"""The last snapshot of each repository, for a process that records many runs of the same changes."""


def check_kept(repo: Repository, snapshot: Snapshot) -> None:
    """Have a snapshot kept once more, if somebody who did not know yet that a run names it has let it go."""
    commit = snapshot.about.get("snapshot")
    if commit is not None:
        with contextlib.suppress(GitError):
            git.keep(repo, commit)


def is_on(settings: Mapping[str, str]) -> bool:
    """Whether the code of runs is kept (git config gxt.snapshot)."""
    return git.is_true(settings.get("gxt.snapshot", "true"))


def _chosen(top: Path, settings: Mapping[str, str], tree: WorkTree) -> tuple[list[Change], dict[str, dict[str, Any]]]:
    """What goes into the snapshot, and what stays out of it, or as HEAD has it: why, by path."""
    largest = git.whole_number(settings.get("gxt.snapshotmaxfile"), _LARGEST_FILE)
    chosen = []
    left_out: dict[str, dict[str, Any]] = {path: {"problem": "cannot be read"} for path in tree.unread}
    sizes: dict[str, int] = {}
    for change in tree.changes:
        size, why = _readable(top / change.path, change)
        if change.is_untracked and may_hold_secrets(change.path):
            left_out[change.path] = {"problem": SECRET}
        elif why is not None:
            left_out[change.path] = {"problem": why}
        elif size > largest:
            left_out[change.path] = {"size": size}
        else:
            chosen.append(change)
            if change.is_untracked:
                sizes[change.path] = size
    if not git.looks_for_untracked(settings):
        left_out["."] = {"problem": "untracked files: git config status.showUntrackedFiles"}
    over = _over_number(settings, sizes, left_out)
    over |= _over_total(settings, {path: size for path, size in sizes.items() if path not in over}, left_out)
    return ([change for change in chosen if change.path not in over] if over else chosen), left_out


# A folder of data that nobody has told git to ignore is no code. So of what git does not track only so much goes in.


def _over_number(settings: Mapping[str, str], paths: Iterable[str], left_out: dict[str, dict[str, Any]]) -> set[str]:
    """Of too many files, those in whole folders: the smallest that has half of them and will do, or else the largest,
    and so on."""
    most = git.whole_number(settings.get("gxt.snapshotmaxfiles"), _MOST_FILES)
    over: set[str] = set()
    rest = list(paths)
    while len(rest) > most:
        counts: Counter[str] = Counter()
        for parent, count in Counter(path.rpartition("/")[0] for path in rest).items():
            for folder in [parent, *map(str, PurePosixPath(parent).parents)][:-1]:
                counts[folder] += count
        if not counts:  # all that is left lies at the top
            break
        wanted = max(len(rest) - most, len(rest) / 2)
        by_size = sorted((count, -len(folder), folder) for folder, count in counts.items())
        folder = next((folder for count, _, folder in by_size if count >= wanted), by_size[-1][2])
        gone = {path for path in rest if path.startswith(f"{folder}/")}
        left_out[folder] = {"problem": f"{len(gone)} files that git does not track"}
        over |= gone
        rest = [path for path in rest if path not in gone]
    return over


def _over_total(settings: Mapping[str, str], sizes: Mapping[str, int], left_out: dict[str, dict[str, Any]]) -> set[str]:
    """Of files that come to too many bytes, the largest."""
    most = git.whole_number(settings.get("gxt.snapshotmaxtotal"), _LARGEST_TOTAL)
    total = sum(sizes.values())
    over: set[str] = set()
    for path, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        if total <= most:
            break
        total -= size
        over.add(path)
        left_out[path] = {"size": size}
    return over


def _readable(path: Path, change: Change) -> tuple[int, str | None]:
    """A file's size, and why it cannot be read; nothing of what is no file, or gone."""
    try:
        about = path.lstat()
        if stat.S_ISREG(about.st_mode):
            os.close(os.open(path, os.O_RDONLY))
            return about.st_size, None
        if stat.S_ISLNK(about.st_mode) or stat.S_ISDIR(about.st_mode):
            return 0, None
        return 0, "no file"  # a pipe, a socket: reading it would wait for ever
    except (FileNotFoundError, NotADirectoryError):
        return 0, None
    except OSError as error:
        return 0, error.strerror or str(error)


def _is_dirty(repo: Repository, change: Change) -> bool:
    if not change.is_untracked:
        return change.is_dirty
    assert repo.work_tree is not None
    try:  # git does not look into a repository that it does not track
        inner = git.find(repo.work_tree / change.path)
        return git.look(inner, {}, Deadline(_TIME)).dirty
    except (GitError, OSError):
        return False


def _patch(repo: Repository, settings: Mapping[str, str], old: str, new: str) -> bytes | None:
    limit = git.whole_number(settings.get("gxt.snapshotmaxpatch"), _LARGEST_PATCH)
    return change_as_text(repo, old, new, limit) or None if limit > 0 else None


def change_as_text(repo: Repository, old: str, new: str, limit: int) -> bytes:
    """What a snapshot changes, as code.patch has it: at most so many bytes of it, and what says that it was cut.

    Raises:
        GitError: git has not both commits.
    """
    patch = git.patch(repo, old, new, limit)
    files = "1 file" if patch.left_out == 1 else f"{patch.left_out} files"
    said = f"Cut by gxt, which keeps {limit} bytes of a patch: {files} left out"
    end = f"\n{said}. All of it: git diff {old} {new}\n".encode()
    return patch.text + end if patch.left_out else patch.text


# --- who names them -------------------------------------------------------------------------------------------------

_NAMED = re.compile(rb'(?:^|[ {,-])snapshot: "?([0-9a-f]{40,64})\b', re.MULTILINE)


def named_in(repo: Repository, commit: str, paths: Iterable[str]) -> list[str]:
    """The snapshots that run.yaml files of a commit of the run branch name, each once."""
    texts = git.read_objects(repo, [f"{commit}:{path}" for path in paths])
    return list(dict.fromkeys(oid.decode() for text in texts if text is not None for oid in _NAMED.findall(text)))


def named_at(repo: Repository, commits: Sequence[str]) -> set[str]:
    """The snapshots that all runs name at some commits of the run branch."""
    lines = git.find_text(repo, commits, '^ *snapshot: "?[0-9a-f]{40,64}', _DOCUMENTS)
    return {line.rpartition(" ")[2].lstrip('"') for line in lines}


_DOCUMENTS = f"{layout.EXPERIMENTS}/*/*/{layout.RUN_YAML}"


def published(repo: Repository, settings: Mapping[str, str]) -> list[str]:
    """The commits of code that are known of all remotes."""
    branch = store.branch_name(settings)
    refs = git.list_refs(repo, "refs/remotes/")
    return list(dict.fromkeys(commit for ref, commit in refs.items() if not ref.endswith(f"/{branch}")))


def ref_of(commit: str) -> str:
    """The ref that keeps a snapshot."""
    return f"{git.CODE}{commit}"


def bring(repo: Repository, settings: Mapping[str, str], commit: str, talk: Talk) -> None:
    """Have a snapshot here, from whichever remote has it.

    Raises:
        NotFoundError: none has it.
        GitError: none has it, and one could not be asked.

    >>> bring(repo, settings, run.source["snapshot"], Talk())  # doctest: +SKIP
    """
    if git.resolve(repo, [commit])[0] is not None:
        with contextlib.suppress(GitError):  # it may be here by chance, with nothing that keeps it
            git.keep(repo, commit)
        return
    trouble: GitError | None = None
    remotes = git.remote_urls(settings)
    for remote in sorted(remotes, key=lambda name: (name != "origin", name)):
        for source in (ref_of(commit), commit):  # a branch that was not fetched may lead to it
            try:
                if git.fetch_ref(repo, remote, source, ref_of(commit), talk):
                    return
            except GitError as error:
                trouble = error
    if trouble is not None:
        raise trouble
    raise NotFoundError(
        f"the code {commit[:12]} is not here, and no remote has it",
        "`gxt push` sends it from the clone that recorded the run",
    )


class Pruned(NamedTuple):
    """What came of a prune.

    Attributes:
        gone: the snapshots that were let go, or would be.
        named: how many stay because a run names them.
        young: how many stay because they are so new that a run may be about to name them.
    """

    gone: Sequence[str]
    named: int
    young: int


_YOUNG = 3600.0  # seconds


def prune(repo: Repository, *, dry_run: bool = False) -> Pruned:
    """Let go of snapshots that no run names: on any branch or tag, here or known of a remote, waiting or recording.

    git then takes the objects away, when it next collects garbage.
    """
    store.check_writable(repo)
    kept = git.kept(repo)
    named = named_anywhere(repo)
    young = {commit for commit, when in kept.items() if commit not in named and time.time() - when < _YOUNG}
    gone = [commit for commit in kept if commit not in named and commit not in young]
    if gone and not dry_run:
        git.let_go(repo, gone)
        for commit in set(gone) & _named_by_unfinished(repo):  # by a run that began in this very moment
            git.keep(repo, commit)
            gone.remove(commit)
    return Pruned(gone, len(kept) - len(gone) - len(young), len(young))


def named_anywhere(repo: Repository, also: Sequence[str] = ()) -> set[str]:
    """The commits that runs name: at any ref that is here, at other commits, waiting or recording."""
    commits = list(dict.fromkeys([*git.tips(repo), *also]))
    documents = git.object_ids(repo, [f"{commit}:{layout.GXT_YAML}" for commit in commits])
    holders = [commit for commit, document in zip(commits, documents, strict=True) if document is not None]
    return _named_by_unfinished(repo) | set(git.find_text(repo, holders, "[0-9a-f]{40,64}", _DOCUMENTS))


def _named_by_unfinished(repo: Repository) -> set[str]:
    base = store.root(repo)
    found: set[str] = set()
    for folder in [*live.live_runs(base), *live.pending_runs(base)]:
        with contextlib.suppress(FileNotFoundError):  # it has just been committed, and the branch names it
            found.update(re.findall(r"[0-9a-f]{40,64}", (folder / live.JOURNAL).read_text("utf-8", "replace")))
    return found


@contextlib.contextmanager
def _folder(repo: Repository) -> Iterator[Path]:
    """A folder for what git needs meanwhile, which whoever needs it makes."""
    folder = store.root(repo) / "tmp" / f"snapshot-{random_digits(8)}"
    try:
        yield folder
    finally:
        if folder.exists():
            import shutil  # here for start-up time

            shutil.rmtree(folder, ignore_errors=True)
