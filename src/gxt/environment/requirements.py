"""A run's packages as pip, conda and uv take them, and what of them cannot be installed elsewhere.

A lock with hashes (pylock.toml, uv.lock) needs to know each package's files on an index, which a run does not record.
For uv, the packages are written as a project that uv locks: every version is given, so there is nothing to choose.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import NamedTuple

from gxt.errors import UsageError
from gxt.model import Run
from gxt.showing import quoted

REQUIREMENTS, CONDA, UV = "requirements", "conda", "uv"
FORMATS = (REQUIREMENTS, CONDA, UV)

_BY_SUFFIX = {".yml": CONDA, ".yaml": CONDA, ".toml": UV, ".txt": REQUIREMENTS, ".in": REQUIREMENTS, "": REQUIREMENTS}
_EXAMPLES = {REQUIREMENTS: "requirements.txt", CONDA: "environment.yml", UV: "pyproject.toml"}
_OTHERS = re.compile(
    r".*\.lock|pipfile.*|pylock(\..+)?\.toml|pixi\.toml|conda-lock.*\.ya?ml|setup\.(py|cfg)|package(-lock)?\.json"
)

_LINE = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*)"
    r"(?:\s+#\s*(?P<origin>.+))?"
)
_FROM = re.compile(r"from (?P<url>[a-z][a-z0-9+.-]*://[^\s\"'\\]+)(?: at (?P<commit>[A-Za-z0-9._-]+))?")
_EDITABLE = "editable"
_LOCAL = ("from a local folder", _EDITABLE)


class Package(NamedTuple):
    """An installed package, and what environment.txt says of where it came from: "", "editable", "from conda", ..."""

    name: str
    version: str
    origin: str = ""

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


def read(data: bytes) -> list[Package]:
    """The packages in an environment.txt; lines that are none, whatever they hold, are passed over.

    >>> read(b"numpy==2.1.0\\n--index-url https://example.com\\ntaxi==0.1  # editable\\n")
    [Package(name='numpy', version='2.1.0', origin=''), Package(name='taxi', version='0.1', origin='editable')]
    """
    lines = data.decode("utf-8", "replace").splitlines()
    matches = (_LINE.fullmatch(line.strip()) for line in lines)
    return [Package(match["name"], match["version"], match["origin"] or "") for match in matches if match]


def form_of(name: str, asked: str | None = None) -> str:
    """The one of FORMATS that a file of a name is to have; an empty name is no file.

    Raises:
        UsageError: files of that name have another format than the one that is asked for, or than any of ours.

    >>> form_of("environment.yml"), form_of("pinned", CONDA)
    ('conda', 'conda')
    """
    if _OTHERS.fullmatch(name.lower()):
        hint = "-o pyproject.toml is what `uv lock` makes it of" if name in ("uv.lock", "pylock.toml") else _NAMES
        raise UsageError(f"{quoted(name)} is the name of another format than gxt writes", hint)
    suffix = PurePath(name).suffix.lower()
    by_name = _BY_SUFFIX.get(suffix)
    if by_name is None and asked is None:
        raise UsageError(f"which format {quoted(name)} is to have is not known", f"--format says it; {_NAMES}")
    if asked is not None and suffix and by_name not in (None, asked):
        raise UsageError(
            f"{quoted(name)} is no name for the format {asked}", f"such as -o {_EXAMPLES[asked]}, or without --format"
        )
    return asked or by_name or REQUIREMENTS


_NAMES = "-o " + ", -o ".join(_EXAMPLES.values())


def write(run: Run, packages: Sequence[Package], form: str) -> str:
    """The packages in one of FORMATS."""
    return {REQUIREMENTS: _requirements, CONDA: _conda, UV: _project}[form](run, packages)


def remarks(packages: Iterable[Package]) -> list[str]:
    """What cannot be installed elsewhere just as it was, a line each."""
    found = []
    for package in packages:
        if package.origin == _EDITABLE:
            found.append(f"{package} was installed as an editable folder: it is left out, install it from its code")
        elif package.origin in _LOCAL:
            found.append(f"{package} was installed from a local folder: it is left out")
        elif package.origin == "from a local file":
            found.append(f"{package} was installed from a local file: an index may have another one, or none")
        elif "+" in package.version and not package.origin:
            found.append(f"{package} is a local version, which PyPI does not have: name the index that it is from")
    return found


def requirement(package: Package) -> str | None:
    """What pip and uv are to install; None for what is only where the run was."""
    if package.origin in _LOCAL:
        return None
    match = _FROM.fullmatch(package.origin)
    if match is None:
        return str(package)
    where = f"git+{match['url']}@{match['commit']}" if match["commit"] else match["url"]
    return f"{package.name} @ {where}"


def _about(run: Run, packages: Sequence[Package], how: str) -> list[str]:
    system = str(run.environment.get("platform", "?")).split("-")
    where = " ".join(dict.fromkeys((system[0], system[-1])))
    python = run.environment.get("python", "?")
    lines = [f"The packages of the run {run.name or run.id} ({run.id}), Python {python} on {where}.", how]
    lines += [f"Left out: {package}, {package.origin}" for package in packages if requirement(package) is None]
    return [f"# {' '.join(line.split())}" for line in lines]


def _requirements(run: Run, packages: Sequence[Package]) -> str:
    head = _about(run, packages, "pip install --no-deps -r FILE, or: uv pip sync FILE")
    return "".join(f"{line}\n" for line in [*head, *filter(None, map(requirement, packages))])


def _conda(run: Run, packages: Sequence[Package]) -> str:
    by_conda = [package for package in packages if package.origin == "from conda" and package.name != "pip"]
    by_pip = [requirement(package) for package in packages if package not in by_conda and package.name != "pip"]
    pip = next((f"pip={package.version}" for package in packages if package.name == "pip"), "pip")
    python = _version(run)
    first = [f"python={python}" if python else "python", pip, *(f"{one.name}={one.version}" for one in by_conda)]
    lines = _about(run, packages, "conda env create -f FILE")
    lines += [f"name: {_safe(run.name or run.id)}", "channels:", "  - conda-forge", "dependencies:"]
    lines += [f"  - {json.dumps(item)}" for item in first]
    wanted = [item for item in by_pip if item]
    if wanted:
        lines += ["  - pip:", *(f"      - {json.dumps(item)}" for item in wanted)]
    return "\n".join(lines) + "\n"


def _project(run: Run, packages: Sequence[Package]) -> str:
    wanted = [json.dumps(item) for item in map(requirement, packages) if item]
    python = _version(run)
    lines = _about(run, packages, "uv sync makes uv.lock and .venv of it.")
    lines += ["[project]", f"name = {json.dumps(_safe(run.name or run.id))}", 'version = "0"']
    if python:
        lines.append(f'requires-python = "=={python}"')
    lines += ["dependencies = [", *(f"    {item}," for item in wanted), "]", "", "[tool.uv]", "package = false"]
    if marker := _marker(str(run.environment.get("platform", ""))):
        lines.append(f"environments = [{json.dumps(marker)}]")
    lines += [
        "# As they were installed, also where one asks for another version of the other.",
        "override-dependencies = [",
    ]
    return "\n".join([*lines, *(f"    {item}," for item in wanted), "]"]) + "\n"


def _version(run: Run) -> str | None:
    """The run's version of Python, as far as it is a release that can be asked for."""
    match = re.match(r"\d+\.\d+\.\d+", str(run.environment.get("python", "")))
    return match[0] if match else None


_SYSTEMS = {"Linux": "linux", "Darwin": "darwin", "Windows": "win32"}


def _marker(platform: str) -> str | None:
    """For which platform a lock is to be made (PEP 508), from run.yaml's `platform`.

    >>> _marker("Linux-6.1.0-18-x86_64")
    "sys_platform == 'linux' and platform_machine == 'x86_64'"
    """
    system, machine = platform.partition("-")[0], platform.rpartition("-")[2]
    if system not in _SYSTEMS or not re.fullmatch(r"\w+", machine):
        return None
    return f"sys_platform == '{_SYSTEMS[system]}' and platform_machine == '{machine}'"


def _safe(name: str) -> str:
    """A name as conda and uv take it for an environment or a project."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_") or "run"
