"""Running a run again and recording it: what reproducing and rerunning share."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gxt import capture, catalog, commands, environment, git, intake, layout, recorder, temporary, worktrees
from gxt.capture import Known
from gxt.commands import Exit, Sink, exit_code_of
from gxt.comparison.packages import package_differences
from gxt.environment.interpreters import Interpreter, look_at
from gxt.errors import NotFoundError, UsageError
from gxt.git import Repository, Talk
from gxt.model import Run, flatten, format_time
from gxt.recorder import ActiveRun
from gxt.replaying.environments import make_environment
from gxt.replaying.plan import Plan, arguments_in, plan
from gxt.replaying.supplies import CHANGED, GONE, UNKNOWN, Supply, excludes, supply
from gxt.temporary import Place
from gxt.worktrees import Opened

CURRENT, VENV = "current", "venv"
"""Where packages come from: those that are installed, or an environment with the recorded ones."""

REPRODUCES, RERUN_OF = "reproduces", "rerun_of"
"""What the new run's `source` calls its link to the old one."""

_NAMED = 5  # packages


@dataclass(frozen=True)
class Wish:
    """What somebody asks for of a run that is run again.

    Attributes:
        link: REPRODUCES or RERUN_OF.
        changes: params to be others.
        command: the command to run in place of the recorded one.
        env: CURRENT or VENV.
        also: paths of the work tree that the code needs and nothing names.
        name: the new run's.
        keep: whether the folder stays.
        timeout: seconds that the command is given.
    """

    link: str
    changes: Mapping[str, str]
    command: Sequence[str] = ()
    env: str = CURRENT
    also: Sequence[str] = ()
    name: str | None = None
    keep: bool = False
    timeout: float | None = None

    @property
    def asked(self) -> str:
        """The command that asks for it."""
        return "gxt reproduce" if self.link == REPRODUCES else "gxt rerun"


@dataclass(frozen=True)
class Watch:
    """Who is told what goes on.

    Attributes:
        said: takes remarks.
        output: takes what the command prints.
        talk: how git is to talk to a remote of a name.
    """

    said: Callable[[str], None]
    output: Sink
    talk: Callable[[str], Talk]


class Done(NamedTuple):
    """What came of it.

    Attributes:
        run: the new run.
        counterpart: the run among it and its children that answers to the old one.
        exit: how the command ended.
        pointers: files in Git LFS that it found as pointers.
    """

    run: Run
    counterpart: Run
    exit: Exit
    pointers: Sequence[str]


class Rehearsal(NamedTuple):
    """What would be run, and at which commit."""

    plan: Plan
    commit: str


@dataclass(frozen=True)
class _Scene:
    """A work tree of the run's code, and what else is known before the command is started.

    Attributes:
        top: the user's own work tree.
        python: the Python that runs it; None where none does.
    """

    place: Place
    opened: Opened
    plan: Plan
    top: Path | None
    settings: Mapping[str, str]
    supplies: Sequence[Supply]
    python: Interpreter | None

    @property
    def folder(self) -> Path:
        return self.opened.folder


def rehearse(repo: Repository, then: Run, wish: Wish, watch: Watch) -> Rehearsal:
    """What running a run again would run. Raises as `again` does."""
    with _scene(repo, then, wish, watch, is_rehearsal=True) as scene:
        return Rehearsal(scene.plan, scene.opened.commit)


def again(repo: Repository, then: Run, wish: Wish, watch: Watch) -> Done:
    """Run a run again and record it.

    Raises:
        UsageError: it has no command, or its data is not what it was.
        NotFoundError: its code, or a package, is nowhere.
        GitError: the code cannot be brought.
        KeyboardInterrupt, SystemExit: somebody asked us to end; what the command had recorded until then is kept.
    """
    with commands.ended_by_signals(), _scene(repo, then, wish, watch) as scene:
        words = _words(repo, then, scene)
        variables = _variables(then, scene)
        run = recorder.begin(
            repo, then.experiment, scene.settings, name=wish.name, origin=_known(repo, then, scene, wish), starts=words
        )
        where = scene.folder / scene.plan.cwd
        with commands.commanding(is_apart=True) as command:
            try:
                command.start(words, run, str(scene.folder), where, variables, held=[scene.place.lock])
            except BaseException:
                run.discard()
                raise
            ended = commands.tee_until_exit(command, run, (watch.output, watch.output), wish.timeout)
        if then.exit_code is not None:
            _take_over_params(then, run, wish.changes)
        run.end(ended.status, exit_code_of(ended.code))
        scene.place.stays = wish.keep
        scene.place.lingers = ended.code != 0 and ended.told is None
        if ended.told is not None:
            watch.said(f"{ended.status}, and kept with what it had: {run.name} ({run.run_id}) in {run.experiment}")
            commands.end_as_told(ended.told)
    return _done(repo, then, run, ended, scene.opened.pointers)


@contextmanager
def _scene(repo: Repository, then: Run, wish: Wish, watch: Watch, is_rehearsal: bool = False) -> Iterator[_Scene]:
    """A temporary folder with the run's code, its submodules too, and its data."""
    made = plan(then, wish.changes, wish.command, wish.asked)
    _check_alone(then, wish)
    settings = git.config(repo)
    top = Path(os.path.realpath(repo.work_tree)) if repo.work_tree is not None else None
    with temporary.place(repo) as place:
        place.folder = _mirrored(place.root, top, then, watch) or place.folder
        opened = worktrees.open_at(repo, settings, then, place.folder, watch.talk("git"))
        if opened.submodules:
            failed = git.update_submodules(opened.folder, opened.submodules, watch.talk("the submodules"))
            opened = opened._replace(submodules=list(failed))
            for path, why in failed.items():
                watch.said(f"{path}: {why}")
        for remark in worktrees.missing(then, opened):
            watch.said(remark)
        supplies = supply(then, top, opened.folder, wish.also)
        _remark_on_data(then, supplies, wish, watch)
        if not os.path.isdir(opened.folder / made.cwd):
            is_here = top is not None and os.path.isdir(top / made.cwd)
            raise UsageError(
                f"run {then.name} ran in the folder {made.cwd}, which its code does not have",
                f"--with {shlex.quote(str(made.cwd))} brings yours, with the files in it" if is_here else None,
            )
        python = _interpreter(repo, then, made, opened.folder, top, wish, watch, is_rehearsal)
        try:
            yield _Scene(place, opened, made, top, settings, supplies, python)
        finally:
            if place.stays:
                where = shlex.quote(str(opened.folder))
                watch.said(f"kept {opened.folder}; `git worktree remove --force {where}` takes it away")
            elif place.lingers:
                watch.said(f"kept {opened.folder} for a day, for you to look at; --keep keeps it for longer")


def _check_alone(then: Run, wish: Wish) -> None:
    """Raises UsageError where the recorded command is one of several processes, which would wait for the others."""
    variables = then.environment.get("variables")
    size = str(variables.get("WORLD_SIZE", "")) if isinstance(variables, Mapping) else ""
    if not wish.command and size.isdigit() and int(size) > 1:
        raise UsageError(
            f"run {then.name} was recorded by one of {size} processes, which a launcher started",
            f"the launcher's command may follow --, such as -- torchrun --nproc-per-node {size} train.py",
        )


def _mirrored(root: Path, top: Path | None, then: Run, watch: Watch) -> Path | None:
    """Where paths such as `../data` lead to data that lies beside the work tree: as deep in folders as that is, with
    links to the inputs that are outside of it. None where there is no such input."""
    if top is None:
        return None
    sources = [Path(str(about.get("source") or "")) for about in then.inputs.values()]
    outside = [path for path in sources if path.is_absolute() and os.path.exists(path) and not path.is_relative_to(top)]
    for path in outside:
        link = root.joinpath(*path.parts[1:])
        link.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(link) and not top.is_relative_to(path):
            link.symlink_to(path)
            watch.said(f"{path} is outside of the work tree, and linked: the command must not write to it")
    return root.joinpath(*top.parts[1:]) if outside else None


def _remark_on_data(then: Run, supplies: Sequence[Supply], wish: Wish, watch: Watch) -> None:
    for one in supplies:
        if one.state == GONE:
            why = "was left out of the snapshot" if one.left_out else "it read"
            watch.said(f"{one.path}, which {why}, is not here; the command goes on without it")
        elif one.state == CHANGED and wish.link == REPRODUCES:
            verb = "had" if one.left_out else "read"
            raise UsageError(
                f"{one.path} is not what run {then.name} {verb}: its content has changed",
                "bring it back as it was; `gxt rerun` takes it as it is",
            )
        elif one.state == CHANGED:
            watch.said(f"{one.path} is not what it was: its content has changed")
        if one.linked:
            why = "is large, and linked" if one.brought else "is yours, which a link in the code leads to"
            watch.said(f"{one.path} {why}: the command must not write to it")
    unknown = [one.path for one in supplies if one.state == UNKNOWN and one.path not in wish.also]
    if len(unknown) == 1:
        watch.said(f"{unknown[0]} is taken as it is here; what it was is not known")
    elif unknown:
        watch.said(f"{worktrees.names_of(unknown)} are taken as they are here; what they were is not known")


# --- Python and its packages ------------------------------------------------------------------------------------------


def _interpreter(
    repo: Repository,
    then: Run,
    made: Plan,
    folder: Path,
    top: Path | None,
    wish: Wish,
    watch: Watch,
    is_rehearsal: bool,
) -> Interpreter | None:
    """The Python that runs it; None where none does."""
    if made.notebook is None and not made.starts_python and wish.env == CURRENT:
        return None
    version, packages = _recorded(then, "python"), catalog.read_file(repo, then, layout.ENVIRONMENT_TXT)
    if packages is None and wish.env == VENV:
        raise UsageError(f"run {then.name} did not record its packages", "--env current takes those installed here")
    if wish.env == VENV and not is_rehearsal:
        assert packages is not None
        python = make_environment(packages, version, watch.said)
    else:
        python = _installed(made, folder, top)
    found = look_at(python)
    if wish.env == VENV and not is_rehearsal:  # what is installed as editable here is code, which that has not
        with contextlib.suppress(NotFoundError):
            found = found._replace(folders=[*found.folders, *look_at(_installed(made, folder, top)).folders])
    if made.notebook is not None and not found.has_notebooks:
        raise UsageError(
            f"{made.notebook} is a notebook, which {python} cannot execute", "pip install nbclient ipykernel"
        )
    if version is not None and version != found.version:
        watch.said(f"Python is {found.version}; then, it was {version}")
    if packages is not None and wish.env == CURRENT:
        _remark_on_packages(packages, found.packages.encode(), watch)
    return found


def _recorded(then: Run, key: str) -> str | None:
    value = then.environment.get(key)
    return value if isinstance(value, str) else None


def _installed(made: Plan, folder: Path, top: Path | None) -> str:
    """The Python that the command names, here; else the one that somebody would get who typed `python`."""
    word = made.command[0] if made.starts_python else "python"
    if "/" in word:
        places = [Path(base, word) for base in (folder / made.cwd, folder, top) if base is not None]
        there = next((str(place) for place in places if os.path.isfile(place)), None)
        if there is not None:
            return there
    names = dict.fromkeys((Path(word).name, "python", "python3"))
    return next((found for name in names if (found := shutil.which(name))), sys.executable)


def _remark_on_packages(then: bytes, now: bytes, watch: Watch) -> None:
    found = package_differences([then, now])
    said = [f"{one.name} {one.values[0] or '(none)'} → {one.values[1] or '(none)'}" for one in found]
    if said:
        more = f" and {len(said) - _NAMED} more" if len(said) > _NAMED else ""
        count = f"{len(said)} package{'s are' if len(said) > 1 else ' is'} not what"
        watch.said(f"{count} the run had: {', '.join(said[:_NAMED])}{more}; --env venv takes those")


# --- the command ------------------------------------------------------------------------------------------------------


def _words(repo: Repository, then: Run, scene: _Scene) -> list[str]:
    made, python = scene.plan, scene.python
    if made.notebook is not None:
        assert python is not None
        script = Path(__file__).with_name("notebook.py")
        return [python.executable, str(script), str(scene.folder / made.notebook), json.dumps(dict(made.params))]
    entrypoint = str(then.source.get("entrypoint") or "")
    executable = python.executable if python else None
    return arguments_in(made, scene.folder, scene.top, executable, entrypoint, lambda path: git.is_indexed(repo, path))


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


def _variables(then: Run, scene: _Scene) -> dict[str, str]:
    """The environment: ours with the variables of then, but that the code is imported from its folder, and git does
    not take data for code."""
    python = scene.python
    variables = os.environ | _variables_then(then)
    if python is not None:
        first = Path(python.executable).parent
        variables["PATH"] = os.pathsep.join([str(first), variables.get("PATH", os.defpath)])
        if (first.parent / "pyvenv.cfg").exists():
            variables["VIRTUAL_ENV"] = str(first.parent)
    return in_folder(variables, scene.folder, scene.top, python, scene.supplies, scene.settings)


def in_folder(
    variables: Mapping[str, str],
    folder: Path,
    top: Path | None,
    python: Interpreter | None,
    supplies: Sequence[Supply],
    settings: Mapping[str, str],
) -> dict[str, str]:
    """Environment variables for a command in a work tree of its own: packages of the user's work tree are imported from
    there, and its git takes for code what is code."""
    found = dict(variables)
    found.pop("PWD", None)
    if python is not None and (paths := python.path_in(folder, top)):
        found["PYTHONPATH"] = os.pathsep.join([*paths, *filter(None, [found.get("PYTHONPATH")])])
    said = git.lfs_filters(settings)  # else what git-lfs brought is a change
    if (ignored := excluding(folder, supplies, settings)) is not None:
        said["core.excludesFile"] = str(ignored)
    text = found.get("GIT_CONFIG_COUNT", "")
    first = int(text) if text.isdigit() else 0
    for number, (key, value) in enumerate(said.items(), first):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found | ({"GIT_CONFIG_COUNT": str(first + len(said))} if said else {})


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


def _known(repo: Repository, then: Run, scene: _Scene, wish: Wish) -> Known:
    """Where the new run comes from: the very code of the old one."""
    made, python = scene.plan, scene.python
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


# --- what came of it --------------------------------------------------------------------------------------------------


def _done(repo: Repository, then: Run, run: ActiveRun, ended: Exit, pointers: Sequence[str]) -> Done:
    new = run.record
    assert new.started is not None
    since = catalog.listing(repo, [new.experiment], None, where=[f"started >= '{format_time(new.started)}'"]).runs
    family = _descendants(new, since)
    return Done(new, _counterpart(then, family), ended, pointers)


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
