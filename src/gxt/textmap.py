"""A mapping of text to text in a small file of gxt's folder in the git directory, replaced as a whole."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path


def read(path: Path) -> dict[str, str]:
    """What the file says; nothing of one that is not there, or spoiled."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        found = json.loads(path.read_bytes())
        return {str(key): value for key, value in found.items() if isinstance(value, str)}
    return {}


def write(path: Path, content: Mapping[str, str]) -> None:
    """Put a mapping in the place of what the file says. Raises OSError."""
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    beside.write_text(json.dumps(content))
    beside.replace(path)
