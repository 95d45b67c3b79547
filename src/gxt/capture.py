"""Where a run comes from: the command, the code's commit, the packages. Secrets are masked here."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from gxt import git
from gxt.commandline import typed
from gxt.errors import GitError
from gxt.git import Repository, WorkTree
from gxt.masking import MASK, mask_text
from gxt.masking.commands import mask_arguments
from gxt.model import clean_text

if TYPE_CHECKING:
    from importlib.metadata import Distribution

UNNAMED_NOTEBOOK = "notebook"


class Known(NamedTuple):
    """Where a run comes from, where whoever starts it knows better than can be seen here: it is run again, in a folder
    of its own.

    Attributes:
        source: what run.yaml's `source` says, all of it.
        environment: what its `environment` says otherwise than could be seen here.
        packages: as environment.txt has them; None for those of this Python.
        patch: code.patch.
    """

    source: Mapping[str, Any]
    environment: Mapping[str, Any]
    packages: str | None = None
    patch: bytes | None = None


# --- the code ---------------------------------------------------------------------------------------------------


def source(settings: Mapping[str, str], tree: WorkTree) -> dict[str, Any]:
    """What run.yaml's `source` says of what is checked out."""
    found: dict[str, Any] = {}
    if tree.commit is not None:
        found["commit"] = tree.commit
    if tree.branch is not None:
        found["branch"] = tree.branch
    found["dirty"] = tree.dirty
    return found | _remote(settings, tree)


def source_unknown(repo: Repository, settings: Mapping[str, str], error: GitError) -> dict[str, Any]:
    """The same where git cannot tell what differs: as much as it can, and why."""
    try:
        tree = git.checked_out(repo)
    except GitError:
        return {"problem": error.message}
    found = {key: value for key, value in source(settings, tree).items() if key != "dirty"}
    return found | {"problem": f"no snapshot of the code: {error.message}"}


def _remote(settings: Mapping[str, str], tree: WorkTree) -> dict[str, str]:
    urls = git.remote_urls(settings)
    remote = settings.get(f"branch.{tree.branch}.remote", "origin")
    url = urls.get(remote) or next(iter(urls.values()), None)
    return {"remote": mask_text(url)} if url else {}


def python_origin(base: Path | None) -> dict[str, Any]:
    """The running Python program's command and entrypoint; a notebook's name is its entrypoint.

    Files under `base` are named relative to it.
    """
    if notebook := notebook_path():
        return {"entrypoint": notebook if notebook == UNNAMED_NOTEBOOK else _relative(notebook, base)}
    arguments = list(sys.orig_argv)
    for i, argument in enumerate(arguments[:2]):  # the interpreter, and a script such as a venv's bin/tool
        if Path(argument).is_absolute() and (i == 0 or _is_known_by_name(argument, base)):
            arguments[i] = _relative(argument, base)
    found = command_about(arguments) if arguments else {}  # an embedded interpreter has none
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        found["entrypoint"] = spec.name.removesuffix(".__main__")
    elif file := getattr(main, "__file__", None):
        found["entrypoint"] = _relative(file, base)
    return found | _working_directory(base)


def _is_known_by_name(script: str, base: Path | None) -> bool:
    """Whether a script lies in the work tree, or beside Python: any other is found by its path alone."""
    path = Path(script)
    return path.parent == Path(sys.executable).parent or (
        base is not None and path.resolve().is_relative_to(base.resolve())
    )


def command_origin(command: Sequence[str], base: Path | None) -> dict[str, Any]:
    """The same for a command that we start: its entrypoint is the first argument that is a file, or the program."""
    files = [argument for argument in command[1:] if not argument.startswith("-") and _is_file(argument)]
    entrypoint = files[0] if files else command[0]
    return {**command_about(command), "entrypoint": _relative(entrypoint, base)} | _working_directory(base)


def _working_directory(base: Path | None) -> dict[str, str]:
    """The current directory, relative to the top of the work tree, where it is another folder in it."""
    if base is None:
        return {}
    try:
        inside = Path.cwd().resolve().relative_to(base.resolve()).as_posix()
    except (OSError, ValueError):  # it is elsewhere, or gone
        return {}
    return {"cwd": clean_text(inside)} if inside != "." else {}


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a path, or with a NUL in it
        return False


def command_about(arguments: Sequence[str]) -> dict[str, Any]:
    """What `source` says of a command: itself, and which of its words are not as they were given.

    Where it has the sign of a masked secret, that is always said: an argument that is `***` can be told from one.

    >>> command_about(["train", "--token", "k"])
    {'command': 'train --token ***', 'masked': [2]}
    >>> command_about(["train", "***"])
    {'command': 'train ***', 'masked': []}
    """
    words = mask_arguments(arguments)
    masked = [i for i, (before, after) in enumerate(zip(arguments, words, strict=True)) if before != after]
    about: dict[str, Any] = {"command": _typed(words)}
    return about | {"masked": masked} if masked or MASK in about["command"] else about


def command_text(arguments: Sequence[str]) -> str:
    """A command line as one would type it, secrets masked."""
    return _typed(mask_arguments(arguments))


def _typed(words: Sequence[str]) -> str:
    return clean_text(" ".join(word if word == MASK else typed([word]) for word in words))


def _relative(file: str, base: Path | None) -> str:
    path = Path(file)
    if base is not None:
        try:
            return clean_text(path.resolve().relative_to(base.resolve()).as_posix())
        except ValueError:
            pass
    return clean_text(path.name if path.is_absolute() else path.as_posix())


def notebook_path() -> str | None:
    """The notebook that runs this code, None outside of notebooks.

    Jupyter's servers pass the name in JPY_SESSION_NAME (https://github.com/jupyter-server/jupyter_server/pull/1045),
    VS Code sets __vsc_ipynb_file__. Of nbconvert, papermill and `jupyter execute` the command line tells it, where the
    system shows it. Others tell nothing: then it is "notebook".
    """
    shell = ipython_shell()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    said = os.environ.get("JPY_SESSION_NAME") or shell.user_ns.get("__vsc_ipynb_file__")
    return said or _notebook_of_command(Path("/proc", str(os.getppid()))) or UNNAMED_NOTEBOOK


_EXECUTES = re.compile(r"(jupyter-)?(nbconvert|execute)|papermill")


def _notebook_of_command(process: Path) -> str | None:
    """The notebook that a process which started our kernel was told to execute: its folder in /proc, proc(5)."""
    try:
        words = os.fsdecode((process / "cmdline").read_bytes()).split("\0")
        folder = (process / "cwd").resolve(strict=True)
    except OSError:
        return None
    start = next((number for number, word in enumerate(words[:4]) if _EXECUTES.fullmatch(Path(word).stem)), None)
    if start is None:
        return None
    named = [folder / word for word in words[start + 1 :] if word.endswith(".ipynb") and (folder / word).is_file()]
    # papermill is told what it reads and then what it writes; of several to be executed, it may be any.
    is_sure = len(named) == 1 or (named and Path(words[start]).stem == "papermill")
    return str(named[0]) if is_sure else None


def ipython_shell() -> Any:
    """The IPython shell that runs this code, None outside of IPython. Does not import it."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None


def executed_cells() -> bytes | None:
    """The cells that this notebook has run so far, in their order, as a script; None outside of notebooks.

    What is no Python (`%matplotlib inline`, `!ls`) is as IPython reads it: calls of `get_ipython()`.
    """
    if notebook_path() is None:
        return None
    cells = list(getattr(ipython_shell().history_manager, "input_hist_parsed", []))
    said = [f"# In[{number}]:\n\n{cell.strip()}\n" for number, cell in enumerate(cells) if cell.strip()]
    return clean_text("\n\n".join(said)).encode() if said else None


def preload() -> None:
    """Import what capturing needs later, in a thread."""
    import importlib.metadata  # noqa: F401
    import json  # noqa: F401
    import shutil  # noqa: F401
    import socket  # noqa: F401


# --- packages ----------------------------------------------------------------------------------------------


def packages() -> str:
    """environment.txt: the installed distributions as `name==version` lines, sorted.

    Where a distribution came from a URL or a local folder (PEP 610), a comment says so.
    """
    stamps = []
    for entry in sys.path:
        try:
            stamps.append((entry, os.stat(entry or ".").st_mtime_ns))
        except OSError:
            continue
    return _packages(tuple(stamps))


@lru_cache(maxsize=4)
def _packages(stamps: tuple[tuple[str, int], ...]) -> str:
    """Once for each state of sys.path: reading the metadata of a hundred packages takes some 20 ms."""
    from importlib.metadata import distributions  # here for start-up time; called in the background

    lines: dict[str, str] = {}
    for distribution in distributions(path=[entry for entry, _ in stamps]):
        # The whole metadata is parsed as an e-mail message by importlib, ten times as slow as this.
        try:
            text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
            where = _where_from(distribution)
        except (OSError, ValueError):  # what a broken installation left behind
            continue
        name = re.search(r"^Name: *(\S+)", text, re.MULTILINE)
        version = re.search(r"^Version: *(\S+)", text, re.MULTILINE)
        if name is None or version is None:
            continue
        key = re.sub(r"[-_.]+", "-", name.group(1)).lower()  # PEP 503
        if key not in lines:  # the first on sys.path is the one that is imported
            lines[key] = f"{name.group(1)}=={version.group(1)}{where}"
    return "".join(f"{line}\n" for _, line in sorted(lines.items()))


_FROM_CONDA = "  # from conda"
_IN_CONDA = os.path.isdir(os.path.join(sys.prefix, "conda-meta"))


def _where_from(distribution: Distribution) -> str:
    # conda's packages name the folder in which conda built them; https://packaging.python.org/specifications/recording-installed-packages
    if _IN_CONDA and (distribution.read_text("INSTALLER") or "").strip() == "conda":
        return _FROM_CONDA
    return _direct_url(distribution.read_text("direct_url.json"))


def package_line(name: str, version: str, direct_url: str | None) -> str:
    """A distribution as a line of environment.txt; `direct_url` is what direct_url.json has (PEP 610), or "conda"."""
    return f"{name}=={version}{_FROM_CONDA if direct_url == 'conda' else _direct_url(direct_url)}"


def _direct_url(text: str | None) -> str:
    if not text:
        return ""
    import json

    try:
        about = json.loads(text)
        url = urlsplit(about["url"])
        if "vcs_info" in about and url.scheme != "file":  # a repository beside it is nowhere else
            return f"  # from {mask_text(about['url'])} at {about['vcs_info']['commit_id']}"
        if url.scheme == "file":
            if "archive_info" in about:
                return "  # from a local file"
            return "  # editable" if about.get("dir_info", {}).get("editable") else "  # from a local folder"
        return f"  # from {mask_text(urlunsplit(url))}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
