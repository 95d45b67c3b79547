"""The Python that a run is run again by: an environment made of the packages that were recorded."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from gxt import __version__, capture
from gxt.environment import requirements
from gxt.errors import NotFoundError
from gxt.showing import one_line

OURS = "git-gxt"
_WHOLE = "whole"
_OLD = 30 * 86_400.0  # seconds


class Requirements(NamedTuple):
    """Recorded packages as pip takes them, those that only were where they were recorded, and whether gxt is among
    those."""

    lines: Sequence[str]
    left_out: Sequence[str]
    has_ours: bool


def requirements_of(packages: bytes) -> Requirements:
    """environment.txt as requirements.

    >>> requirements_of(b"numpy==2.1.0\\ntaxi==0.1  # editable\\n")
    Requirements(lines=['numpy==2.1.0'], left_out=['taxi'], has_ours=False)
    """
    known = [(package.name, requirements.requirement(package)) for package in requirements.read(packages)]
    lacking = [name for name, line in known if line is None]
    others = [name for name in lacking if name.lower() != OURS]
    return Requirements([line for _, line in known if line is not None], others, len(others) < len(lacking))


def make_environment(packages: bytes, version: str | None, said: Callable[[str], None]) -> str:
    """The Python of a virtual environment with these packages, made now or before.

    By uv where that is installed, else by venv and pip. It is kept in the user's cache directory, one for each list of
    packages, until nobody has used it for 30 days (`forget`).

    Args:
        packages: as environment.txt has them.
        version: of Python, as recorded.
        said: is told what is going on.

    Raises:
        NotFoundError: a package cannot be installed, or there is no Python to begin with.
    """
    from filelock import FileLock  # here for start-up time

    wanted = requirements_of(packages)
    uv = shutil.which("uv")
    base = None if uv else _nearest_python(version)
    about = "\n".join(
        [
            *wanted.lines,
            f"gxt: {__version__ if wanted.has_ours else None}",
            f"python: {version}",
            f"by: {'uv' if uv else base}",
        ]
    )
    folder = _cache() / hashlib.sha256(about.encode()).hexdigest()[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    with FileLock(f"{folder}.lock"):
        if not (folder / _WHOLE).exists():
            many = f"{len(wanted.lines)} package{'' if len(wanted.lines) == 1 else 's'}"
            said(f"making an environment with {many}, which is kept for the next time")
            shutil.rmtree(folder, ignore_errors=True)
            _make(folder, python, wanted, version, uv, base)
        (folder / _WHOLE).touch()  # the time tells when it was used last
    if wanted.left_out:
        said(f"not installed, since they came from a folder: {', '.join(wanted.left_out)}")
    return str(python)


# --- those that are kept ----------------------------------------------------------------------------------------------


class Kept(NamedTuple):
    """An environment in the user's cache directory: its folder, its bytes, and when it was used last, in seconds since
    1970."""

    folder: Path
    size: int
    used: float


def kept() -> list[Kept]:
    """The environments that there are, also those that were not finished."""
    return [Kept(folder, _size(folder), _used(folder)) for folder in _folders()]


def forget(unused_for: float = _OLD) -> list[Kept]:
    """Take away environments that nobody has used for so many seconds, 30 days by default. Returns those; one that is
    just being made stays."""
    from filelock import FileLock, Timeout  # here for start-up time

    gone = []
    for folder in _folders():
        if time.time() - _used(folder) >= unused_for:
            with contextlib.suppress(Timeout, OSError), FileLock(f"{folder}.lock", timeout=0):
                about = Kept(folder, _size(folder), _used(folder))
                (folder / _WHOLE).unlink(missing_ok=True)  # first: what is half there is made anew
                shutil.rmtree(folder)
                gone.append(about)
    return gone


def _folders() -> list[Path]:
    with contextlib.suppress(OSError, RuntimeError):  # there is no cache, or no home
        return sorted(path for path in _cache().iterdir() if path.is_dir())
    return []


def _used(folder: Path) -> float:
    whole = folder / _WHOLE
    with contextlib.suppress(OSError):
        return (whole if whole.exists() else folder).stat().st_mtime
    return time.time()


def _size(folder: Path) -> int:
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


# --- making one -------------------------------------------------------------------------------------------------------


def _make(
    folder: Path, python: Path, wanted: Requirements, version: str | None, uv: str | None, base: str | None
) -> None:
    if uv is not None:
        for asked in filter(None, (version, ".".join((version or "").split(".")[:2]), "3")):
            if not _run([uv, "venv", "-q", "--python", asked, str(folder)]):
                break
        install = [uv, "pip", "install", "-q", "--python", str(python)]
    else:
        pip = _pip_for_others()
        made = [base or sys.executable, "-m", "venv", *(["--without-pip"] if pip else []), str(folder)]
        _must(made, "no virtual environment could be made")
        install = [*([*pip, "--python", str(python)] if pip else [str(python), "-m", "pip"]), "install", "-q"]
        install.append("--disable-pip-version-check")
    listed = folder / "requirements.txt"
    listed.write_text("".join(f"{line}\n" for line in wanted.lines), encoding="utf-8")
    if wanted.lines:  # the list has all that they need
        _must([*install, "--no-deps", "-r", str(listed)], "the recorded packages could not be installed")
    if wanted.has_ours:
        _copy_ours(python)


def _pip_for_others() -> list[str] | None:
    """Our own pip, if there is one that can install for another Python: a copy there takes seconds to make."""
    from importlib.metadata import PackageNotFoundError, version  # here for start-up time

    try:
        can = tuple(map(int, version("pip").split(".")[:2])) >= (22, 3)
    except (PackageNotFoundError, ValueError):
        return None
    return [sys.executable, "-m", "pip"] if can else None


def _copy_ours(python: Path) -> None:
    """Put this very gxt there, which came from a folder and is on no index; and say there which one it is, so that a
    run of that Python names it among its packages."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    ours, site = Path(capture.__file__).parent, Path(done.stdout.strip())
    shutil.copytree(ours, site / ours.name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    about = site / f"{OURS.replace('-', '_')}-{__version__}.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {OURS}\nVersion: {__version__}\n", encoding="utf-8")
    (about / "direct_url.json").write_text(json.dumps({"url": ours.as_uri(), "dir_info": {}}), encoding="utf-8")


def _must(command: Sequence[str], what: str) -> None:
    if why := _run(command):
        raise NotFoundError(
            f"{what}: {one_line(why)[:500]}", "--env current takes the packages that are installed here"
        )


def _run(command: Sequence[str]) -> str:
    """Run a command; what it said where it failed, else nothing."""
    done = subprocess.run(list(command), capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    first = next((i for i, line in enumerate(lines) if re.match(r"(?i)error", line)), max(0, len(lines) - 3))
    return " ".join(lines[first : first + 3]) or "no message"


def _nearest_python(version: str | None) -> str:
    """A Python of that minor version, where there is one; else this one."""
    minor = ".".join((version or "").split(".")[:2])
    found = shutil.which(f"python{minor}") if minor else None
    return found or getattr(sys, "_base_executable", None) or sys.executable


def _cache() -> Path:
    said = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    return (Path(said) if said else Path.home() / ".cache") / "gxt" / "environments"
