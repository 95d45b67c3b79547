"""Running a run again and recording it: what `gxt reproduce` and `gxt rerun` share."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gxt import capture, catalog, environment, git, intake, layout, recorder, replaying, worktrees
from gxt.capture import Known
from gxt.cli import output
from gxt.cli.checkout import missing_code, some_of
from gxt.cli.moving import talk
from gxt.cli.run import exit_code_of, start, status_of, tee_until_exit
from gxt.comparison.packages import package_differences
from gxt.errors import UsageError
from gxt.git import Repository
from gxt.model import Run, flatten, format_time
from gxt.recorder import ActiveRun
from gxt.replaying import Interpreter, Plan, Supply
from gxt.replaying.supplies import CHANGED, GONE, UNKNOWN, excludes
from gxt.worktrees import Opened

CURRENT, VENV = "current", "venv"
"""Where packages come from: those that are installed, or an environment with the recorded ones."""

REPRODUCES, RERUN_OF = "reproduces", "rerun_of"
"""What the new run's `source` calls its link to the old one."""

_NAMED = 5  # packages


@dataclass(frozen=True)
class Wish:
    """What a command line asks for of a run that is run again.

    Attributes:
        link: REPRODUCES or RERUN_OF.
        changes: params to be others.
        command: the command to run in place of the recorded one.
        env: CURRENT or VENV.
        also: paths of the work tree that the code needs and nothing names.
    """

    link: str
    changes: Mapping[str, str]
    command: Sequence[str]
    env: str
    also: Sequence[str]
    name: str | None
    dry_run: bool
    keep: bool


class Done(NamedTuple):
    """What came of it: the new run, the run among it and its children that answers to the old one, and the command's
    exit code."""

    run: Run
    counterpart: Run
    code: int


@dataclass
class _Place:
    """A work tree of the run's code, and whether it stays when we are done."""

    opened: Opened
    stays: bool = False

    @property
    def folder(self) -> Path:
        return self.opened.folder


def again(repo: Repository, then: Run, wish: Wish) -> Done | None:
    """Run a run again and record it; None where nothing is to be run.

    Raises:
        UsageError: it has no command, or its data is not what it was.
        NotFoundError: its code, or a package, is nowhere.
        GitError: the code cannot be brought.
    """
    made = replaying.plan(then, wish.changes, wish.command)
    settings = git.config(repo)
    top = Path(os.path.realpath(repo.work_tree)) if repo.work_tree is not None else None
    with _place(repo, settings, then, top) as place:
        supplies = replaying.supply(then, top, place.folder, wish.also)
        _remark_on_data(then, supplies, wish)
        python = _interpreter(repo, then, made, place.folder, top, wish)
        if wish.dry_run:
            _say_plan(made, place.opened)
            return None
        command = _command(then, made, place.folder, top, python)
        known = _known(repo, then, made, python, wish)
        run = recorder.begin(repo, then.experiment, settings, name=wish.name, origin=known, starts=command)
        try:
            variables = _variables(then, place.folder, top, python, excluding(place.folder, supplies, settings))
            process = start(command, run, str(place.folder), place.folder / made.cwd, variables)
        except BaseException:
            run.discard()
            raise
        code = tee_until_exit(process, run, beside=True)
        if then.exit_code is not None:
            _take_over_params(then, run, wish.changes)
        run.end(status_of(code), exit_code_of(code))
        place.stays = wish.keep or code != 0
    return _done(repo, then, run, exit_code_of(code))


@contextmanager
def _place(repo: Repository, settings: Mapping[str, str], then: Run, top: Path | None) -> Iterator[_Place]:
    """A temporary folder with the run's code, its submodules too."""
    root = worktrees.temporary()
    name = top.name if top is not None else "code"
    place: _Place | None = None
    try:
        place = _Place(worktrees.open_at(repo, settings, then, _mirrored(root, top, then) or root / name, talk("git")))
        opened = place.opened
        if opened.submodules:
            why = git.update_submodules(opened.folder, talk("the submodules"))
            place.opened = opened = opened._replace(submodules=opened.submodules if why else ())
            if why:
                output.note(f"gxt: {why}")
        for remark in missing_code(then, opened):
            output.note(f"gxt: {remark}")
        yield place
    finally:
        if place is not None and place.stays:
            where = shlex.quote(str(place.folder))
            output.note(f"gxt: kept {place.folder}; `git worktree remove --force {where}` takes it away")
        else:
            if place is not None:
                worktrees.close(repo, place.opened)
            shutil.rmtree(root, ignore_errors=True)


def _mirrored(root: Path, top: Path | None, then: Run) -> Path | None:
    """Where paths such as `../data` lead to data that lies beside the work tree: as deep in folders as that is, with
    links to the inputs that are outside of it. None where there is no such input."""
    if top is None:
        return None
    sources = [Path(str(about.get("source") or "")) for about in then.inputs.values()]
    outside = [path for path in sources if path.is_absolute() and path.exists() and not path.is_relative_to(top)]
    for path in outside:
        link = root.joinpath(*path.parts[1:])
        link.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(link) and not top.is_relative_to(path):
            link.symlink_to(path)
            output.note(f"gxt: {path} is outside of the work tree, and linked: the command must not write to it")
    return root.joinpath(*top.parts[1:]) if outside else None


def _remark_on_data(then: Run, supplies: Sequence[Supply], wish: Wish) -> None:
    for one in supplies:
        if one.state == GONE:
            output.note(f"gxt: {one.path}, which it read, is not here; the command goes on without it")
        elif one.state == CHANGED and wish.link == REPRODUCES:
            raise UsageError(
                f"{one.path} is not what run {then.name} read: its content has changed",
                "bring it back as it was; `gxt rerun` takes it as it is",
            )
        elif one.state == CHANGED:
            output.note(f"gxt: {one.path} is not what it was: its content has changed")
        if one.linked:
            why = "is large, and linked" if one.brought else "is yours, which a link in the code leads to"
            output.note(f"gxt: {one.path} {why}: the command must not write to it")
    unknown = [one.path for one in supplies if one.state == UNKNOWN and one.path not in wish.also]
    if len(unknown) == 1:
        output.note(f"gxt: {unknown[0]} is taken as it is here; what it was is not known")
    elif unknown:
        output.note(f"gxt: {some_of(unknown)} are taken as they are here; what they were is not known")


# --- Python and its packages ------------------------------------------------------------------------------------------


def _interpreter(
    repo: Repository, then: Run, made: Plan, folder: Path, top: Path | None, wish: Wish
) -> Interpreter | None:
    """The Python that runs it; None where none does."""
    if made.notebook is None and not made.starts_python and wish.env == CURRENT:
        return None
    version, packages = _recorded(then, "python"), catalog.read_file(repo, then, layout.ENVIRONMENT_TXT)
    if packages is None and wish.env == VENV:
        raise UsageError(f"run {then.name} did not record its packages", "--env current takes those installed here")
    if wish.env == VENV and not wish.dry_run:
        assert packages is not None
        python = replaying.make_environment(packages, version, _said)
    else:
        python = _installed(made, folder, top)
    found = replaying.look_at(python)
    if made.notebook is not None and not found.has_notebooks:
        raise UsageError(
            f"{made.notebook} is a notebook, which {python} cannot execute", "pip install nbclient ipykernel"
        )
    if version is not None and version != found.version:
        output.note(f"gxt: Python is {found.version}; then, it was {version}")
    if packages is not None and wish.env == CURRENT:
        _remark_on_packages(packages, found.packages.encode())
    return found


def _said(text: str) -> None:
    output.note(f"gxt: {text}")


def _recorded(then: Run, key: str) -> str | None:
    value = then.environment.get(key)
    return value if isinstance(value, str) else None


def _installed(made: Plan, folder: Path, top: Path | None) -> str:
    """The Python that the command names, here; else the one that somebody would get who typed `python`."""
    word = made.command[0] if made.starts_python else "python"
    if "/" in word:
        places = [Path(base, word) for base in (folder / made.cwd, folder, top) if base is not None]
        there = next((str(place) for place in places if place.is_file()), None)
        if there is not None:
            return there
    names = dict.fromkeys((Path(word).name, "python", "python3"))
    return next((found for name in names if (found := shutil.which(name))), sys.executable)


def _remark_on_packages(then: bytes, now: bytes) -> None:
    found = package_differences([then, now])
    said = [f"{one.name} {one.values[0] or '(none)'} → {one.values[1] or '(none)'}" for one in found]
    if said:
        more = f" and {len(said) - _NAMED} more" if len(said) > _NAMED else ""
        count = f"{len(said)} package{'s are' if len(said) > 1 else ' is'} not what"
        output.note(f"gxt: {count} the run had: {', '.join(said[:_NAMED])}{more}; --env venv takes those")


# --- the command ------------------------------------------------------------------------------------------------------


def _command(then: Run, made: Plan, folder: Path, top: Path | None, python: Interpreter | None) -> list[str]:
    if made.notebook is not None:
        assert python is not None
        script = Path(replaying.__file__).with_name("notebook.py")
        return [python.executable, str(script), str(folder / made.notebook), json.dumps(dict(made.params))]
    entrypoint = str(then.source.get("entrypoint") or "")
    return replaying.arguments_in(made, folder, top, python.executable if python else None, entrypoint)


_OF_THE_MACHINE = (
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
)


def _variables_then(then: Run) -> dict[str, str]:
    """The environment variables on which results depend, such as OMP_NUM_THREADS, as they were set then."""
    known = then.environment.get("variables")
    names = [name for name in environment.RECORDED if name not in _OF_THE_MACHINE]
    return {name: known[name] for name in names if isinstance(known, Mapping) and isinstance(known.get(name), str)}


def _variables(
    then: Run, folder: Path, top: Path | None, python: Interpreter | None, ignored: Path | None
) -> dict[str, str]:
    """The environment: ours with the variables of then, but that the code is imported from its folder, and git does
    not take data for code."""
    variables = os.environ | _variables_then(then)
    variables.pop("PWD", None)
    if python is not None:
        first = Path(python.executable).parent
        variables["PATH"] = os.pathsep.join([str(first), variables.get("PATH", os.defpath)])
        if (first.parent / "pyvenv.cfg").exists():
            variables["VIRTUAL_ENV"] = str(first.parent)
        if paths := python.path_in(folder, top):
            variables["PYTHONPATH"] = os.pathsep.join([*paths, *filter(None, [variables.get("PYTHONPATH")])])
    if ignored is not None:
        number = int(variables.get("GIT_CONFIG_COUNT", "0") or "0")
        variables |= {
            "GIT_CONFIG_COUNT": str(number + 1),
            f"GIT_CONFIG_KEY_{number}": "core.excludesFile",
            f"GIT_CONFIG_VALUE_{number}": str(ignored),
        }
    return variables


def excluding(folder: Path, supplies: Sequence[Supply], settings: Mapping[str, str]) -> Path | None:
    """A file that has git ignore what was brought, besides what the user has it ignore everywhere."""
    patterns = excludes(supplies)
    if not patterns:
        return None
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    theirs = Path(settings.get("core.excludesfile") or config / "git" / "ignore").expanduser()
    path = folder.parent / ".ignored"
    path.write_bytes((theirs.read_bytes() + b"\n" if theirs.is_file() else b"") + patterns.encode())
    return path


def _known(repo: Repository, then: Run, made: Plan, python: Interpreter | None, wish: Wish) -> Known:
    """Where the new run comes from: the very code of the old one."""
    kept = ("commit", "branch", "dirty", "remote", "snapshot", "left_out", "left_out_more", "submodules")
    source = {key: then.source[key] for key in ("entrypoint", "cwd", *kept) if key in then.source}
    if made.command:
        if wish.command:
            source.pop("entrypoint", None)
        source = {**capture.command_about(made.command), **source}
    patch = catalog.read_file(repo, then, layout.CODE_PATCH)
    seen = python.about if python is not None else {}
    variables = {**environment.variables(os.environ), **_variables_then(then)}
    about = seen | ({"variables": variables} if variables else {})
    return Known({**source, wish.link: then.id}, about, python.packages if python is not None else None, patch)


def _take_over_params(then: Run, run: ActiveRun, changes: Mapping[str, str]) -> None:
    """Params that `gxt run -p` said of the old run, which its command does not log."""
    logged = flatten(run.record.params)
    said = {name: value for name, value in flatten(then.params).items() if name not in logged}
    changed = dict(intake.param_assignment(f"{name}={value}") for name, value in changes.items() if name in said)
    run.log_params(said | changed)


def _say_plan(made: Plan, opened: Opened) -> None:
    for one in made.replaced:
        output.say(f"{one.param}: {one.before} → {one.after}")
    for name, value in made.params.items():
        output.say(f"{name}: {value}")
    command = capture.command_text(made.command) if made.command else f"(the notebook {made.notebook})"
    where = f" in {made.cwd}" if str(made.cwd) != "." else ""
    output.say(f"would run{where}, at {opened.commit[:12]}: {command}")


# --- what came of it --------------------------------------------------------------------------------------------------


def _done(repo: Repository, then: Run, run: ActiveRun, code: int) -> Done:
    new = run.record
    assert new.started is not None
    since = catalog.listing(repo, [new.experiment], None, where=[f"started >= '{format_time(new.started)}'"]).runs
    family = _descendants(new, since)
    return Done(new, _counterpart(then, family), code)


def _descendants(new: Run, runs: Sequence[Run]) -> list[Run]:
    family, ids = [new], {new.id}
    for run in sorted(runs, key=lambda run: (run.started or 0, run.id)):
        if run.parent in ids and run.id not in ids:
            family.append(run)
            ids.add(run.id)
    return family


def _counterpart(then: Run, family: Sequence[Run]) -> Run:
    """The run that answers to the old one, where a program records several: the one with its params, or its name."""

    def likeness(run: Run) -> tuple[bool, bool, int]:
        same_params = flatten(run.params) == flatten(then.params)
        return same_params, run.name == then.name, len(run.metrics.keys() & then.metrics.keys())

    return max(family, key=likeness)
