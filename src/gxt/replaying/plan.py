"""The command of a run as it is run again: with changed params in its own arguments, and in another folder."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gxt.commandline import typed, words_of
from gxt.errors import UsageError
from gxt.masking import MASK
from gxt.model import Run
from gxt.showing import one_line


class Replacement(NamedTuple):
    """A param that was changed in an argument: what stood there, and what stands there now."""

    param: str
    before: str
    after: str


class Plan(NamedTuple):
    """What to run.

    Attributes:
        command: its words, as they were recorded or given, changes included; empty for a notebook.
        notebook: the notebook to execute, relative to the top of the code.
        params: changes that go into the notebook.
        cwd: the folder to run it in, relative to the top of the code.
        replaced: what was changed in the words.
    """

    command: Sequence[str]
    notebook: str | None
    params: Mapping[str, str]
    cwd: PurePosixPath
    replaced: Sequence[Replacement]

    @property
    def starts_python(self) -> bool:
        """Whether the first word is a Python interpreter."""
        return bool(self.command) and is_python(self.command[0])


def is_python(word: str) -> bool:
    """Whether a word names a Python interpreter.

    >>> is_python(".venv/bin/python3.11"), is_python("pythonic")
    (True, False)
    """
    return re.fullmatch(r"(python|pypy)[\d.]*(\.exe)?", PurePosixPath(word.replace("\\", "/")).name) is not None


def parse_changes(texts: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE` as names and the text that an argument is to have; `NAME:=TEXT` is taken as well.

    Raises:
        UsageError: one has no name or no `=`.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.removesuffix(":").strip()
        if not equals or not name:
            raise UsageError(f"not a param: {text!r}", "NAME=VALUE")
        found[name] = value
    return found


def plan(run: Run, changes: Mapping[str, str], command: Sequence[str] = (), asked: str = "gxt rerun") -> Plan:
    """How to run a run again.

    Args:
        changes: params, and what they are to be. Each has to stand in the command as `--NAME VALUE`, `--NAME=VALUE` or
            `NAME=VALUE`; `-` and `_` are the same.
        command: the command to run in place of the recorded one.
        asked: how somebody asks for this, whom errors tell how to ask otherwise.

    Raises:
        UsageError: nothing that could be run is recorded, secrets in it are masked, or a param has no place in it.
    """
    cwd = _folder(run)
    entrypoint = str(run.source.get("entrypoint") or "")
    recorded = str(run.source.get("command") or "")
    if not command and not recorded and entrypoint.endswith(".ipynb"):
        _check_inside(entrypoint)
        return Plan((), entrypoint, dict(changes), PurePosixPath(entrypoint).parent, ())
    words = list(command) or _words(run, recorded, entrypoint, asked)
    secret = {} if command else _masked(run, words)
    replaced: list[Replacement] = []
    for name, value in changes.items():
        words, placed = _with_param(words, name, value)
        if not placed:
            whole = typed([*words, f"--{name}", value])
            raise UsageError(
                f"the command has no argument for the param {name}: {typed(words)}",
                f"give the whole command after --: {asked} {run.id} -- {whole}",
            )
        replaced += placed
    if any(words[i] == word for i, word in secret.items()):
        raise UsageError(
            f"the command was recorded without its secrets: {recorded}",
            f"give the whole command after --: {asked} {run.id} -- {words[0]} …; what programs read from environment "
            "variables needs nothing",
        )
    return Plan(words, None, {}, cwd, replaced)


def _folder(run: Run) -> PurePosixPath:
    cwd = str(run.source.get("cwd") or ".")
    _check_inside(cwd)
    return PurePosixPath(cwd)


def _check_inside(path: str) -> None:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise UsageError(f"the run names a path outside of its code: {one_line(path)}")


_INTERACTIVE = re.compile(r"-[iBbEIOPqRsSuvxX?]*")


def _words(run: Run, command: str, entrypoint: str, asked: str) -> list[str]:
    try:
        words = words_of(command) if "\0" not in command else []
    except ValueError:
        words = []
    if not words:
        why = (
            "it was recorded in a notebook whose name is not known" if entrypoint == "notebook" else "none is recorded"
        )
        raise UsageError(
            f"run {run.name} has no command to run again: {why}",
            f"give one after --: {asked} {run.id} -- python train.py",
        )
    own = PurePosixPath(words[0]).name
    if own in ("gxt", "git-gxt") and words[1:2] != ["run"]:
        raise UsageError(
            f"run {run.name} was recorded by `{' '.join(words[:2])}`, which computes nothing",
            f"the command that did may follow --: {asked} {run.id} -- python train.py",
        )
    if is_python(words[0]) and all(word == "-" or _INTERACTIVE.fullmatch(word) for word in words[1:]):
        raise UsageError(f"run {run.name} was recorded from what somebody typed: `{command}` has no program to run")
    return words


def _masked(run: Run, words: Sequence[str]) -> dict[int, str]:
    """The words that are not as they were given. Runs that do not tell have the sign in none but these."""
    told = run.source.get("masked")
    if isinstance(told, list):
        return {i: words[i] for i in told if isinstance(i, int) and 0 <= i < len(words)}
    return {i: word for i, word in enumerate(words) if MASK in word}


# --- params -----------------------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"-(\d|\.\d|inf|nan)")


def _with_param(words: Sequence[str], name: str, value: str) -> tuple[list[str], list[Replacement]]:
    """The words with every argument for a param changed."""
    spelled = re.sub(r"[-_]", "[-_]", re.escape(name).replace(r"\-", "-"))
    assigned = re.compile(rf"(?P<before>(?:-{{1,2}}|\+{{1,2}})?{spelled}=)(?P<value>.*)", re.DOTALL)
    option = re.compile(rf"-{{1,2}}{spelled}")
    found, replaced = list(words), []
    for i in range(1, len(found)):
        if match := assigned.fullmatch(found[i]):
            replaced.append(Replacement(name, match["value"], value))
            found[i] = match["before"] + value
        elif option.fullmatch(found[i]) and i + 1 < len(found) and _is_value(found[i + 1]):
            replaced.append(Replacement(name, found[i + 1], value))
            found[i + 1] = value
    return found, replaced


def _is_value(word: str) -> bool:
    return not word.startswith("-") or _NUMBER.match(word) is not None


# --- paths ------------------------------------------------------------------------------------------------------------


def arguments_in(
    made: Plan,
    folder: Path,
    top: Path | None,
    python: str | None,
    entrypoint: str,
    is_code: Callable[[str], bool] = lambda path: False,
) -> list[str]:
    """The words as they are started in a folder with the code: paths into the user's own work tree lead there instead.

    Args:
        folder: where the code is.
        top: the user's own work tree, whose paths the words may have.
        python: the interpreter, where the command starts one.
        entrypoint: what `source` says of it: known, wherever the repository was.
        is_code: whether git knows a path of the user's own work tree, which is code of now then, and never stands in.
    """
    here = folder / made.cwd

    def places(word: str) -> list[Path]:
        theirs = [top / word] if top is not None and not is_code(PurePosixPath(word).as_posix()) else []
        return [place for place in (folder / word, *theirs) if os.path.exists(place)]

    words = [_moved(word, folder, top, entrypoint) for word in made.command]
    if made.starts_python and python is not None:
        words[0] = python
    elif "/" in words[0] and not os.path.exists(here / words[0]):
        # The program, and a script such as .venv/bin/tool, were recorded relative to the top of the work tree.
        words[0] = next(map(str, places(words[0])), words[0])
    if len(words) > 1 and made.starts_python and not words[1].startswith("-") and not os.path.exists(here / words[1]):
        tool = shutil.which(words[1]) if "/" not in words[1] else None
        words[1] = next(map(str, places(words[1])), tool or words[1])
    return words


def _moved(word: str, folder: Path, top: Path | None, entrypoint: str) -> str:
    """An absolute path into a work tree, as it is in the folder; not one of data that is only in the user's."""
    if top is not None and f"{top}/" in word:
        moved = word.replace(f"{top}/", f"{folder}/")
        place = moved[moved.index(f"{folder}/") :]
        return word if not os.path.exists(place) and os.path.exists(place.replace(f"{folder}/", f"{top}/")) else moved
    if word.startswith("/") and entrypoint and word.endswith(f"/{entrypoint}") and not os.path.exists(word):
        return str(folder / entrypoint)  # of somebody else's work tree
    return word
