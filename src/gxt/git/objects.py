"""Reading trees, files and other objects, many at a time; what is damaged does not hide the rest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, NamedTuple

from gxt.errors import GitError
from gxt.git.partial import bring
from gxt.git.process import ask, git_error, run, start
from gxt.git.repository import Repository


class TreeEntry(NamedTuple):
    """One entry of a tree object: a folder, a file, or something else, such as a symbolic link or a submodule."""

    name: str
    oid: str
    is_tree: bool
    is_file: bool


def _absent(repo: Repository, names: Sequence[str]) -> list[str]:
    """The ids of the files that some names mean, of which none is here."""
    found = [name for name in names if len(name) in (40, 64) and ":" not in name]
    by_folder: dict[str, set[str]] = {}
    for name in names:
        tree, colon, path = name.partition(":")
        folder, _, file = path.rpartition("/")
        if colon:
            by_folder.setdefault(f"{tree}:{folder}", set()).add(file)
    trees, _ = _read_until_damage(repo, list(by_folder))
    for tree_object, files in zip(trees, by_folder.values(), strict=False):
        if tree_object is not None and tree_object.kind == "tree":
            entries = _entries(tree_object.content, len(tree_object.oid))
            found += [entry.oid for entry in entries if entry.name in files and not entry.is_tree]
    return found


def read_objects(repo: Repository, names: Iterable[str], skip_damaged: bool = False) -> list[bytes | None]:
    """The content of each object, named by id or as `<commit>:<path>`; None where there is none.

    One process for all. Content is held in memory: this is for documents and trees, not for large artifacts.

    Args:
        skip_damaged: None for an object that git finds broken too, which else is a GitError.
    """
    read = _read_around_damage if skip_damaged else read_batch
    return [found.content if found else None for found in read(repo, list(names))]


def read_trees(repo: Repository, names: Iterable[str], skip_damaged: bool = False) -> list[list[TreeEntry] | None]:
    """The entries of each tree, named as for `read_objects`; None where there is none, or it is no tree."""
    read = _read_around_damage if skip_damaged else read_batch
    return [
        _entries(found.content, len(found.oid)) if found and found.kind == "tree" else None
        for found in read(repo, list(names))
    ]


class Object(NamedTuple):
    """An object's id, its kind ("blob", "tree", "commit"), and what is in it."""

    oid: str
    kind: str
    content: bytes


def read_batch(repo: Repository, names: Sequence[str]) -> list[Object | None]:
    """As `read_objects`, with the objects' ids."""
    found, failure = _read_until_damage(repo, names)
    if failure is not None:
        raise failure
    return _completed(repo, names, found)


def _completed(repo: Repository, names: Sequence[str], found: list[Object | None]) -> list[Object | None]:
    """What was read, with the files that a copy did not have yet."""
    lacking = [name for name, one in zip(names, found, strict=True) if one is None] if repo.origin else []
    if lacking and (absent := _absent(repo, lacking)):
        bring(repo, absent)
        brought, failure = _read_until_damage(repo, lacking)
        if failure is not None:
            raise failure
        more = iter(brought)
        return [next(more) if one is None else one for one in found]
    return found


def is_indexed(repo: Repository, path: str) -> bool:
    """Whether this work tree's index has a file, by its path from the top."""
    name = f":{path}\n".encode("utf-8", "surrogateescape")
    code, out, _ = ask(repo.git_dir, "cat-file", "--batch-check=%(objecttype)", stdin=name)
    return code == 0 and "\n" not in path and out.strip() == b"blob"


def read_indexed(repo: Repository, path: str, most: int) -> bytes | None:
    """A small file as this work tree's index has it, by its path from the top; None where that has none, or one of over
    `most` bytes."""
    if "\n" in path:
        return None
    name = f":{path}\n".encode("utf-8", "surrogateescape")
    code, out, _ = ask(repo.git_dir, "cat-file", "--batch-check=%(objecttype) %(objectsize)", stdin=name)
    kind, _, size = out.decode("utf-8", "replace").strip().partition(" ")
    if code or kind != "blob" or int(size) > most:
        return None
    code, out, _ = ask(repo.git_dir, "cat-file", "--batch", stdin=name)
    return None if code else out.partition(b"\n")[2][:-1]


_MOST_DAMAGED = 20


def _read_around_damage(repo: Repository, names: Sequence[str]) -> list[Object | None]:
    """As `read_batch`; what git stops at is passed over, up to a number that says that nothing can be read here."""
    found, failure = _read_until_damage(repo, names)
    for _ in range(_MOST_DAMAGED):
        # A partial clone's remote that does not answer would not answer for the others either.
        if failure is None or "promisor" in failure.message:
            break
        found.append(None)
        more, failure = _read_until_damage(repo, names[len(found) :])
        found += more
    if failure is not None:
        raise failure
    return _completed(repo, names, found)


def _read_until_damage(repo: Repository, names: Sequence[str]) -> tuple[list[Object | None], GitError | None]:
    """The objects as far as git reads them, and why it stopped."""
    if not names:
        return [], None
    requests = "".join(name + "\n" for name in names).encode("utf-8", "surrogateescape")
    code, out, err = ask(repo.common_dir, "cat-file", "--batch", stdin=requests)
    found: list[Object | None] = []
    at = 0
    while len(found) < len(names) and (end := out.find(b"\n", at)) >= 0:
        header = out[at:end].rsplit(b" ", 2)
        at = end + 1
        if len(header) == 3 and header[2].isdigit():
            size = int(header[2])
            if at + size >= len(out):  # git stopped in the middle of it
                break
            found.append(Object(header[0].decode(), header[1].decode(), out[at : at + size]))
            at += size + 1
        else:
            found.append(None)  # `<name> missing`
    return found, git_error(["cat-file"], err) if code else None


def object_ids(repo: Repository, names: Iterable[str]) -> list[str | None]:
    """The id of each object, named as `<commit>:<path>`; None where there is none. One process for all."""
    asked = "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")
    if not asked:
        return []
    out = run(repo, "cat-file", "--batch-check=%(objectname)", stdin=asked)
    return [None if line.endswith(b" missing") else line.decode() for line in out.splitlines()]


def is_same(repo: Repository, one: str, other: str) -> bool:
    """Whether two names, such as `<commit>:<path>`, mean one object that is there."""
    asked = f"{one}\n{other}\n".encode("utf-8", "surrogateescape")
    out = run(repo, "cat-file", "--batch-check=%(objectname)", stdin=asked).split(b"\n")
    return out[0] == out[1] and not out[0].endswith(b" missing")


def read_at(repo: Repository, ref: str, paths: Sequence[str]) -> tuple[str | None, list[bytes | None]]:
    """The commit that a ref is at, and the files at these paths; one process for all of it.

    Somebody may move the ref in between: then the files may be those of its next commit.
    """
    at, *files = read_batch(repo, [f"{ref}^{{commit}}", *(f"{ref}:{path}" for path in paths)])
    return at.oid if at else None, [found.content if found else None for found in files]


def _entries(tree: bytes, oid_length: int) -> list[TreeEntry]:
    """A tree object's entries. `oid_length` is that of an id in hexadecimal: 40, or 64 for SHA-256.

    The format: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects#_tree_objects
    """
    entries = []
    at, size = 0, oid_length // 2
    while at < len(tree):
        space = tree.index(b" ", at)
        zero = tree.index(b"\0", space)
        oid = tree[zero + 1 : zero + 1 + size].hex()
        name = tree[space + 1 : zero].decode("utf-8", "surrogateescape")
        mode = tree[at:space]
        entries.append(TreeEntry(name, oid, mode == b"40000", mode.startswith(b"100")))
        at = zero + 1 + size
    return entries


class TreeChange(NamedTuple):
    """An entry that two trees differ in, as each of them has it; None where one lacks it."""

    old: TreeEntry | None
    new: TreeEntry | None

    @property
    def name(self) -> str:
        """The entry's name."""
        entry = self.old or self.new
        assert entry is not None
        return entry.name


def changed_entries(repo: Repository, old: str, new: str) -> list[TreeChange]:
    """What two tree objects differ in, their own entries only."""
    out = run(repo, "diff-tree", "-z", "--raw", "--no-renames", old, new).decode("utf-8", "surrogateescape")
    fields = out.split("\0")[:-1]
    return [_tree_change(about, name) for about, name in zip(fields[::2], fields[1::2], strict=True)]


def changed_in_pairs(repo: Repository, pairs: Sequence[tuple[str, str]]) -> list[list[TreeChange]]:
    """As `changed_entries`, for many pairs of trees by one process."""
    if not pairs:
        return []
    asked = "".join(f"{old} {new}\n" for old, new in pairs)
    out = run(repo, "diff-tree", "--stdin", "-z", "--raw", "--no-renames", "--no-abbrev", stdin=asked.encode())
    fields = iter(out.decode("utf-8", "surrogateescape").split("\0")[:-1])
    found: dict[tuple[str, str], list[TreeChange]] = {}
    at: list[TreeChange] = []
    for field in fields:
        text = field
        while text and not text.startswith(":"):
            # The ids of a pair end in a line break, whatever stands between the other fields.
            ids, _, text = text.partition("\n")
            old, _, new = ids.partition(" ")
            at = found[old, new] = []
        if text:
            at.append(_tree_change(text, next(fields)))
    return [found.get(pair, []) for pair in pairs]


def _tree_change(about: str, name: str) -> TreeChange:
    old_mode, new_mode, old_oid, new_oid, _ = about.removeprefix(":").split(" ")
    sides = [
        TreeEntry(name, oid, mode == "040000", mode.startswith("100")) if mode != "000000" else None
        for mode, oid in ((old_mode, old_oid), (new_mode, new_oid))
    ]
    return TreeChange(sides[0], sides[1])


def empty_tree(settings: Mapping[str, str]) -> str:
    """The id of a tree with nothing in it, which git knows without having it."""
    import hashlib  # here for start-up time

    return hashlib.new(settings.get("extensions.objectformat", "sha1"), b"tree 0\0", usedforsecurity=False).hexdigest()


class TreeFile(NamedTuple):
    """A file below a tree: its path there, object id and size in bytes; `is_file` is false of links and submodules, and
    `mode` is git's, as far as it is known."""

    path: str
    oid: str
    size: int
    is_file: bool = True
    mode: str = "100644"


def list_files(repo: Repository, tree: str) -> list[TreeFile]:
    """Every file below a tree, given by id or as `<commit>:<path>`."""
    if repo.origin is not None:  # how long they are is known of what is here
        entries = [entry.split(b"\t")[0].split(b" ") for entry in run(repo, "ls-tree", "-r", "-z", tree).split(b"\0")]
        bring(repo, [about[2].decode() for about in entries if about[1:2] == [b"blob"]])
    out = run(repo, "ls-tree", "-r", "-l", "-z", tree)
    files = []
    for line in out.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        about, path = line.split("\t", 1)
        mode, _, oid, size = about.split()
        files.append(TreeFile(path, oid, int(size) if size.isdigit() else 0, mode.startswith("100"), mode))
    return files


def staged_files(repo: Repository) -> list[TreeFile]:
    """Every file in the index of any work tree, once for each content."""
    found: dict[str, TreeFile] = {}
    for git_dir in [repo.common_dir, *sorted((repo.common_dir / "worktrees").glob("*"))]:
        if not (git_dir / "index").exists():
            continue
        code, out, err = ask(git_dir, "ls-files", "--stage", "-z")
        if code:
            raise git_error(["ls-files"], err)
        for line in out.decode("utf-8", "surrogateescape").split("\0")[:-1]:
            about, path = line.split("\t", 1)
            mode, oid, _ = about.split()
            if mode.startswith("100"):
                found.setdefault(oid, TreeFile(path, oid, 0))
    form = "--batch-check=%(objectname) %(objectsize)"
    sizes = run(repo, "cat-file", form, stdin="".join(f"{oid}\n" for oid in found).encode()) if found else b""
    known = (line.split(" ") for line in sizes.decode().splitlines())
    return [found[oid]._replace(size=int(size)) for oid, size in known if size.isdigit()]


def list_what_is_left(repo: Repository, tree: str) -> tuple[list[TreeFile], list[str]]:
    """As `list_files`, for a repository that lacks objects: the files in the folders that are there, without sizes; and
    the paths of folders that are not.
    """
    files, lost = [], []
    level = [("", tree)]
    while level:
        found = read_trees(repo, [name for _, name in level], skip_damaged=True)
        below = []
        for (path, _), entries in zip(level, found, strict=True):
            if entries is None:
                lost.append(path)
            for entry in entries or ():
                inside = f"{path}/{entry.name}" if path else entry.name
                if entry.is_tree:
                    below.append((inside, entry.oid))
                else:
                    files.append(TreeFile(inside, entry.oid, 0, entry.is_file, "100644" if entry.is_file else "120000"))
        level = below
    return files, lost


def blob_id(chunks: Iterable[bytes], size: int, settings: Mapping[str, str]) -> str:
    """The object id that a file of these bytes has, or would have, in this repository."""
    return object_id("blob", chunks, size, settings)


def object_id(kind: str, chunks: Iterable[bytes], size: int, settings: Mapping[str, str]) -> str:
    """As `blob_id`, for an object of any kind ("blob", "tree", "commit")."""
    import hashlib  # here for start-up time

    # git's names of its algorithms are hashlib's.
    algorithm = settings.get("extensions.objectformat", "sha1")
    oid = hashlib.new(algorithm, f"{kind} {size}\0".encode(), usedforsecurity=False)
    for chunk in chunks:
        oid.update(chunk)
    return oid.hexdigest()


@contextlib.contextmanager
def open_blob(repo: Repository, oid: str) -> Iterator[IO[bytes]]:
    """A blob's content as a stream, for files of any size."""
    if repo.origin is not None:
        bring(repo, [oid])
    process = start([f"--git-dir={repo.common_dir}", "cat-file", "blob", oid], repo.common_dir)
    assert process.stdout and process.stderr
    with process, process.stdout as stream:
        yield stream
        stream.read()
        err = process.stderr.read().decode("utf-8", "replace")
    if process.returncode:
        raise git_error(["cat-file"], err)
