"""Git LFS pointers: small files that stand for large ones. https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md"""

from __future__ import annotations

import re
from typing import NamedTuple

POINTER_SIZE = 1024
"""A pointer is smaller than this."""

SMALLEST = 1 << 16
"""No artifact of fewer bytes becomes a pointer, whatever a team's threshold: there would be nothing to win."""

_LARGEST = 2**63 - 1
"""What a file system, and git-lfs, can count."""

_BEGINNING = b"version https://git-lfs.github.com/spec/"
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?P<extensions>(?:ext-[0-9]-\w+ sha256:[0-9a-f]{64}\n)*)"
    rb"oid sha256:(?P<oid>[0-9a-f]{64})\nsize (?P<size>[0-9]+)\n"
)


class Pointer(NamedTuple):
    """What a pointer says of a file: the SHA-256 of its bytes in hexadecimal, and how many they are."""

    oid: str
    size: int


def write_pointer(pointer: Pointer) -> bytes:
    """The file that stands for a large one.

    >>> write_pointer(Pointer("0" * 64, 5)).splitlines()[-1]
    b'size 5'
    """
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{pointer.oid}\nsize {pointer.size}\n"
    return text.encode()


_LEAST_SIZE = len(write_pointer(Pointer("0" * 64, 0)))


def read_pointer(data: bytes) -> Pointer | None:
    """What a pointer says; None for any other file.

    Also None where it says that a program of the user's changed the bytes (an `ext-` line): only git-lfs can undo that.
    """
    match = _whole(data)
    return Pointer(match["oid"].decode(), int(match["size"])) if match and not match["extensions"] else None


def _whole(data: bytes) -> re.Match[bytes] | None:
    match = _POINTER.fullmatch(data)
    return match if match and int(match["size"]) <= _LARGEST else None


def may_be_pointer(size: int) -> bool:
    """Whether a file of that size can be a pointer: what it says takes some bytes, and no more than that."""
    return _LEAST_SIZE <= size <= POINTER_SIZE


def is_pointer(data: bytes) -> bool:
    """Whether a file is a whole pointer.

    >>> is_pointer(b"version https://git-lfs.github.com/spec/v1\\noid sha256:" + b"0" * 64 + b"\\nsize 5\\n")
    True
    """
    return _whole(data) is not None


def pointer_problem(data: bytes) -> str | None:
    """What is wrong with a file that begins as a pointer does; None for a whole one, and for any other file."""
    if not data.startswith(_BEGINNING) or is_pointer(data):
        return None
    lines = dict(line.split(b" ", 1) for line in data.splitlines() if b" " in line)
    if not re.fullmatch(rb"sha256:[0-9a-f]{64}", lines.get(b"oid", b"")):
        return "is a pointer without a digest: its content cannot be found"
    if not lines.get(b"size", b"").isdigit():
        return "is a pointer without a size"
    if int(lines[b"size"]) > _LARGEST:
        return "is a pointer with a size that no file has"
    return "is a pointer with lines that do not belong there"


# --- the attributes that have git-lfs check out what pointers stand for ---------------------------------------------

_ATTRIBUTES = "filter=lfs diff=lfs merge=lfs -text"
_HEAD = "# Written by gxt: artifacts of this run that are kept in Git LFS.\n.gitattributes linguist-generated\n"
_LINE = re.compile(rf'(?:"(?P<quoted>[^"]*)"|(?P<plain>\S+)) {re.escape(_ATTRIBUTES)}')


def write_attributes(paths: set[str]) -> bytes:
    """A run's .gitattributes: exactly these paths, relative to the run's folder, are Git LFS's. Empty for none."""
    lines = []
    for path in sorted(paths):
        pattern = path.replace("[", "[[]")  # the one character of a glob that an artifact's name may have
        lines.append(f'"{pattern}" {_ATTRIBUTES}\n' if " " in pattern else f"{pattern} {_ATTRIBUTES}\n")
    return (_HEAD + "".join(lines)).encode() if lines else b""


def read_attributes(data: bytes) -> set[str]:
    """The paths in a .gitattributes that `write_attributes` wrote.

    >>> read_attributes(write_attributes({"artifacts/a b[1].bin"}))
    {'artifacts/a b[1].bin'}
    """
    matches = map(_LINE.fullmatch, data.decode("utf-8", "replace").splitlines())
    return {(match["quoted"] or match["plain"]).replace("[[]", "[") for match in matches if match}


def other_attributes(data: bytes) -> list[str]:
    """The lines in a .gitattributes that `write_attributes` writes for no path, but for comments.

    >>> other_attributes(b"# Mine\n*.yaml merge=ours\n")
    ['*.yaml merge=ours']
    """
    lines = map(str.strip, data.decode("utf-8", "replace").splitlines())
    ours = _HEAD.splitlines()
    return [line for line in lines if line and line[0] != "#" and line not in ours and not _LINE.fullmatch(line)]
