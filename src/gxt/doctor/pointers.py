"""Git LFS pointers: small files that stand for large ones. https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md"""

from __future__ import annotations

import re

POINTER_SIZE = 1024
"""A pointer is smaller than this."""

_BEGINNING = b"version https://git-lfs.github.com/spec/"
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[0-9]-\w+ sha256:[0-9a-f]{64}\n)*"
    rb"oid sha256:[0-9a-f]{64}\nsize [0-9]+\n"
)


def is_pointer(data: bytes) -> bool:
    """Whether a file is a whole pointer.

    >>> is_pointer(b"version https://git-lfs.github.com/spec/v1\\noid sha256:" + b"0" * 64 + b"\\nsize 5\\n")
    True
    """
    return _POINTER.fullmatch(data) is not None


def pointer_problem(data: bytes) -> str | None:
    """What is wrong with a file that begins as a pointer does; None for a whole one, and for any other file."""
    if not data.startswith(_BEGINNING) or is_pointer(data):
        return None
    lines = dict(line.split(b" ", 1) for line in data.splitlines() if b" " in line)
    if not re.fullmatch(rb"sha256:[0-9a-f]{64}", lines.get(b"oid", b"")):
        return "is a pointer without a digest: its content cannot be found"
    if not lines.get(b"size", b"").isdigit():
        return "is a pointer without a size"
    return "is a pointer with lines that do not belong there"
