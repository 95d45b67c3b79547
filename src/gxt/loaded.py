"""Which of the files that this process runs were changed after it had read them: their text on the disk is not what
ran."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from importlib.util import cache_from_source
from pathlib import Path

from gxt import _imported_at


def edited(base: Path) -> list[str]:
    """The script and the imported modules below a folder that were changed after this process began and that it cannot
    have read since; relative to the folder, sorted.

    Python writes down which text of a module it compiled (PEP 552), and does so again when the module is reloaded:
    where that is the text on the disk, it counts as read. So does a module that its file would
    make just as it is, where Python writes nothing down (PYTHONDONTWRITEBYTECODE).

    >>> edited(Path("/home/ada/taxi"))  # doctest: +SKIP
    ['features.py']
    """
    tops = tuple({os.path.join(top, "") for top in (os.path.abspath(base), os.path.realpath(base))})
    began, now = _began(), time.time()
    found = set()
    for name, file in _files():
        path = os.path.abspath(file)
        if not path.startswith(tops):
            continue
        try:
            about = os.stat(path)
        except OSError:
            continue
        if began < about.st_mtime <= now and (name == "__main__" or not _is_read(name, path, about)):
            found.add(Path(os.path.relpath(os.path.realpath(path), os.path.realpath(base))).as_posix())
    return sorted(found)


def _files() -> Iterator[tuple[str, str]]:
    for name, module in list(sys.modules.items()):
        # Not by getattr: a module may load others when it is asked for what it has not.
        file = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(file, str) and file.endswith(".py"):
            yield name, file


def _is_read(name: str, path: str, about: os.stat_result) -> bool:
    if _is_compiled(path, about):
        return True
    from gxt.asread import is_as_read  # here for start-up time

    module = sys.modules.get(name)
    return module is not None and is_as_read(module, path)


def _is_compiled(path: str, about: os.stat_result) -> bool:
    """Whether Python's cache of a module is of the text that is on the disk."""
    try:
        with open(cache_from_source(path), "rb") as file:
            head = file.read(16)
            if os.fstat(file.fileno()).st_mtime_ns < about.st_mtime_ns:
                return False  # of another text of the same second and length
    except (OSError, NotImplementedError):
        return False
    flags, when, size = (int.from_bytes(head[at : at + 4], "little") for at in (4, 8, 12))
    # Only the lower 32 bits are kept; a set flag means a hash instead of both.
    return (
        len(head) == 16 and not flags and (when, size) == (int(about.st_mtime) & 0xFFFFFFFF, about.st_size & 0xFFFFFFFF)
    )


def _began() -> float:
    """When this process began, in seconds since 1970; a fork has read what its parent had, which was when gxt was
    imported at the latest."""
    try:
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        # starttime, in whole ticks, of which the running one has begun earlier: proc(5)
        since_boot = (int(fields[19]) + 1) / os.sysconf("SC_CLK_TCK")
        return min(_imported_at, time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot)
    except (OSError, AttributeError, ValueError, IndexError):
        return _imported_at
