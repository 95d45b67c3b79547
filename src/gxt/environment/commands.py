"""Which Python a command starts: by its program, the first line of a script, or what runs programs in environments."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

BY_COMMAND, BY_PATH = "command", "PATH"

_PYTHON = re.compile(r"(?:python|pypy)[\d.]*(?:\.exe)?", re.IGNORECASE)
_LONGEST_LINE = 4096
_DEEPEST = 5  # scripts that are run by scripts; Linux takes as many

# What starts the program among its arguments, in this very environment.
_TRANSPARENT = frozenset(
    "catchsegv chrt env ionice mpiexec mpirun nice nohup numactl setsid srun stdbuf taskset time timeout".split()
)
# What starts a program in an environment of its own by `run`, and its options that take a value.
_RUNNERS: dict[str, frozenset[str]] = {
    "conda": frozenset(("-n", "--name", "-p", "--prefix", "--cwd")),
    "mamba": frozenset(("-n", "--name", "-p", "--prefix", "--cwd")),
    "micromamba": frozenset(("-n", "--name", "-p", "--prefix", "--cwd", "-r", "--root-prefix")),
    "pdm": frozenset(("-p", "--project")),
    "pipenv": frozenset(),
    "pixi": frozenset(("-e", "--environment", "--manifest-path")),
    "poetry": frozenset(("-C", "--directory", "-P", "--project")),
    "uv": frozenset(
        "--with --with-editable --with-requirements --extra --no-extra --group --no-group --only-group --package -p"
        " --python --directory --project --env-file --index --default-index --config-file --color --cache-dir".split()
    ),
}
# What starts programs by their names, as the command says in a language of its own.
_SHELLS = frozenset("bash dash fish ksh sh zsh make gmake just task ninja".split())


class Python(NamedTuple):
    """The Python that a command starts.

    Attributes:
        words: what starts it: a path, or a command to which its arguments are added.
        known_by: `command`, or `PATH` where the command is a shell's, which says `python` itself if it starts one.
        is_late: whether its environment may be made only by the command.
    """

    words: tuple[str, ...]
    known_by: str = BY_COMMAND
    is_late: bool = False


def python_of(command: Sequence[str], environ: Mapping[str, str] = os.environ, depth: int = 0) -> Python | None:
    """The Python that a command starts; None where it starts none, or that cannot be told.

    >>> python_of(["/usr/bin/python3", "train.py"])
    Python(words=('/usr/bin/python3',), known_by='command', is_late=False)
    >>> python_of(["poetry", "-C", "model", "run", "train"]).words
    ('poetry', '-C', 'model', 'run', 'python')
    """
    if not command or depth > _DEEPEST:
        return None
    name = Path(command[0]).name
    if _PYTHON.fullmatch(name):
        found = _which(command[0], environ)
        return Python((found,)) if found else None
    if name in _RUNNERS:
        return _run_by(command, name)
    if name in _TRANSPARENT:
        return _within(command, environ, depth)
    path = _which(command[0], environ)
    words = _first_line(path) if path else []
    if words and Path(words[0]).name == "env":  # env -S splits what follows
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    if words and Path(words[0]).name not in _SHELLS:
        # A script for `uv run --script` has its packages in itself.
        return None if Path(words[0]).name in _RUNNERS else python_of(words, environ, depth + 1)
    if words or name in _SHELLS:
        found = next(filter(None, (_which(one, environ) for one in ("python", "python3"))), None)
        return Python((found,), BY_PATH) if found else None
    return None


def _which(word: str, environ: Mapping[str, str]) -> str | None:
    found = shutil.which(word, path=environ.get("PATH"))
    return os.path.abspath(found) if found else None


def _within(command: Sequence[str], environ: Mapping[str, str], depth: int) -> Python | None:
    """Of `nice -n 5 python train.py`: the first argument that is a program."""
    programs = (i for i, word in enumerate(command) if i and not word.startswith("-") and _which(word, environ))
    first = next(programs, None)
    return None if first is None else python_of(command[first:], environ, depth + 1)


def _run_by(command: Sequence[str], name: str) -> Python | None:
    """Of `uv run --extra gpu train.py`: the same with `python`."""
    with_value = _RUNNERS[name]
    words, has_run, i = [command[0]], False, 1
    while i < len(command):
        word = command[i]
        if word in ("-m", "--module", "-s", "--script", "--gui-script") and name == "uv" and has_run:
            if word in ("-s", "--script"):
                return None  # its packages are in the script
            break
        if word == "--":
            break
        if word in with_value:
            words += command[i : i + 2]
            i += 2
            continue
        if not word.startswith("-"):
            if has_run:
                break
            if word != "run":
                return None
            has_run = True
        words.append(word)
        i += 1
    program = command[i + 1] if command[i : i + 1] == ["--"] and i + 1 < len(command) else "".join(command[i : i + 1])
    if not has_run or (name == "uv" and _has_own_packages(program)):
        return None
    is_late = name == "uv" and "--no-sync" not in words
    if is_late:  # what the command itself brings up to date
        words.insert(words.index("run") + 1, "--no-sync")
    return Python((*words, "python"), is_late=is_late)


def _has_own_packages(program: str) -> bool:
    """Whether a script names its packages in itself: https://packaging.python.org/en/latest/specifications/inline-script-metadata/"""
    try:
        return program.endswith(".py") and b"# /// script" in Path(program).read_bytes()
    except (OSError, ValueError):
        return False


def _first_line(path: str) -> list[str]:
    """The words behind `#!` in a script."""
    try:
        with open(path, "rb") as stream:
            line = stream.readline(_LONGEST_LINE)
            if not line.startswith(b"#!"):
                return []
            # Where a path is too long or has spaces, pip writes a shell's line that Python takes for a text.
            second = stream.readline(_LONGEST_LINE).decode("utf-8", "replace")
    except (OSError, ValueError):
        return []
    if match := re.match(r"""'''exec' ("[^"]+"|\S+) """, second):
        return [match[1].strip('"')]
    try:
        return shlex.split(line[2:].decode("utf-8", "replace"))
    except ValueError:
        return []
