"""Versions in their order: 3.9 comes before 3.11, and a release candidate before the release."""

from __future__ import annotations

import re

_PIECE = re.compile(r"[0-9]+|[a-z]+")
_BEFORE = {"dev": "1", "a": "2", "alpha": "2", "b": "3", "beta": "3", "c": "4", "rc": "4", "pre": "4"}
_END, _LETTERS, _NUMBER = "5", "6", "7"
_LONGEST = 200


def version_key(text: str) -> str:
    """A text that sorts as the version does, and is the same for versions that mean the same.

    >>> version_key("3.9.1") < version_key("3.11") < version_key("3.11.1"), version_key("3.0") == version_key("3")
    (True, True)
    """
    found: list[str] = []
    for piece in _PIECE.findall(text[:_LONGEST].lower()):
        if piece.isdecimal():
            digits = piece.lstrip("0")
            found.append(f"{_NUMBER}{len(digits):03}{digits}")
        else:
            _drop_zeros(found)
            found.append(_BEFORE.get(piece) or _LETTERS + piece + " ")
    _drop_zeros(found)
    return "".join([*found, _END])


def _drop_zeros(found: list[str]) -> None:
    while found and found[-1] == f"{_NUMBER}000":
        found.pop()
