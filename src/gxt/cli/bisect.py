"""`gxt bisect`: which commit made a metric worse."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import click

from gxt import (
    bisecting,
    capture,
    catalog,
    commands,
    environment,
    fluent,
    git,
    recorder,
    render,
    replaying,
    snapshots,
    temporary,
    worktrees,
)
from gxt.bisecting import BAD, GOOD, TAG, Answer, Question, Recorded
from gxt.bisecting.data import files_of
from gxt.bisecting.recorded import OTHER_DATA
from gxt.capture import Known
from gxt.cli import output
from gxt.cli.bisected import Teller, json_of, report
from gxt.cli.moving import talk
from gxt.cli.params import complete_experiment, json_option, repository
from gxt.cli.run import sink_of
from gxt.cli.runs import SHORT
from gxt.commands import Exit, exit_code_of
from gxt.errors import GxtError, NotFoundError, UsageError
from gxt.git import CodeCommit, Repository, WorkTree
from gxt.model import DEFAULT_EXPERIMENT, FAILED, Run
from gxt.replaying import Interpreter, Plan, Supply, in_folder
from gxt.replaying.plan import is_python
from gxt.replaying.supplies import UNKNOWN
from gxt.showing import one_line, quoted
from gxt.temporary import Place


@click.command("bisect", context_settings={"allow_interspersed_args": False})
@click.option(
    "--metric",
    "condition",
    required=True,
    metavar="CONDITION",
    help="What holds of good runs, as a filter: 'rmse <= 6.5'.",
)
@click.option("--good", metavar="COMMIT", help="Where it held. Default: the latest commit with a recorded run that is.")
@click.option("--bad", metavar="COMMIT", help="Where it did not. Default: HEAD.")
@click.option(
    "-e",
    "--experiment",
    metavar="NAME",
    shell_complete=complete_experiment,
    help="Whose runs answer, and take the new ones. Default: where the command's runs are, or those with the metric.",
)
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Runs that decide on a commit: it is good where most of them are.",
)
@click.option("--fail-is-bad", is_flag=True, help="A command that fails makes the commit bad; else it is skipped.")
@click.option(
    "--link",
    "links",
    multiple=True,
    type=click.Path(),
    metavar="PATH",
    help="A file or folder of the work tree that is no code, and that the command needs: there as a link, as it is.",
)
@click.option(
    "--check-ends/--no-check-ends",
    default=True,
    show_default=True,
    help="Run the command on the good and the bad commit first, where no recorded run tells of them.",
)
@json_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND…]")
@click.pass_context
def bisect_command(
    ctx: click.Context,
    condition: str,
    good: str | None,
    bad: str | None,
    experiment: str | None,
    runs: int,
    fail_is_bad: bool,
    links: Sequence[str],
    check_ends: bool,
    as_json: bool,
    command: Sequence[str],
) -> int:
    """Find the commit that made a metric worse, by halves.

    `git bisect` in a work tree of its own, which goes again. Recorded runs of the experiment answer for the commits
    that have the same files, if they ran the same command; only between them is COMMAND run, and each run recorded.
    What it prints goes to standard error. Interrupted, the same command goes on. Without a COMMAND, recorded runs of
    any command answer, and nothing is run. Runs that read other data do not count.

    Exits with 0 where the commit is found, with 1 where several cannot be told apart, with 3 where nothing tells of
    the good or the bad one.

    \b
    gxt bisect --metric 'rmse <= 6.5' -- python train.py
    gxt bisect --metric 'acc > 0.9' --good v1 --link data -e nyc-taxi -- make train
    """
    repo = repository(ctx)
    settings = git.config(repo)
    name = _experiment(repo, settings, experiment, condition, command, is_new=bool(command and good))
    expression = bisecting.parse_condition(repo, name, condition)
    question = Question(condition, expression, name, command, _inside(repo), runs, fail_is_bad)
    recorded = Recorded(repo, question)
    linked = _links(repo, links)
    if command:
        recorded.data.check(linked)
    _remark_on_data(recorded)
    end = _commit(repo, bad or "HEAD")
    known_end = bisecting.check_end(recorded, end, BAD, bad or "HEAD")
    begin = _commit(repo, good) if good else bisecting.latest_good(repo, recorded, end.id, bad or "HEAD")
    known = bisecting.check_end(recorded, begin, GOOD, good or begin.id[:SHORT])
    teller = Teller(question, as_json)
    is_end_checked = check_ends or bad is None  # who says nothing of HEAD may be wrong about it
    if not command:
        _check_known(question, begin, known, GOOD, good if check_ends else None)
        _check_known(question, end, known_end, BAD, bad or "HEAD" if is_end_checked else None)
    with _place(repo, end, settings) as place:
        tester = _Tester(repo, settings, recorded, place, linked) if command else None
        known = _end(recorded, begin, GOOD, known, tester if check_ends else None, teller)
        known_end = _end(recorded, end, BAD, known_end, tester if is_end_checked else None, teller)
        outcome = bisecting.bisect(repo, place.folder, begin.id, end.id, recorded, tester, teller.tells)
    outcome.answers[:0] = [answer for answer in (known, known_end) if answer is not None]
    if as_json:
        output.page(render.json_text(json_of(repo, question, outcome)))
    else:
        report(repo, question, outcome)
    return 0 if outcome.first_bad is not None else 1


def _experiment(
    repo: Repository,
    settings: Mapping[str, str],
    asked: str | None,
    condition: str,
    command: Sequence[str],
    is_new: bool,
) -> str:
    """Whose runs answer.

    Args:
        asked: what -e says.
        is_new: whether a new experiment would do: that of the runs to come.

    Raises:
        NotFoundError: there is none of that name.
        UsageError: runs of several have the metric.
    """
    if asked is not None:
        if not is_new and asked not in {one.name for one in catalog.all_experiments(repo)}:
            new = "; a new one takes --good COMMIT" if command else ""
            raise NotFoundError(f"no experiment {quoted(asked)}", f"`gxt list` shows them{new}")
        return asked
    said = os.environ.get(fluent.EXPERIMENT_VARIABLE)
    otherwise = said or settings.get("gxt.experiment") or DEFAULT_EXPERIMENT
    found = said or bisecting.find_experiment(repo, condition, command, _inside(repo), otherwise)
    if found != otherwise:
        output.note(f"gxt: in {one_line(found)}, whose runs have the metric; -e names another experiment")
    return found


def _remark_on_data(recorded: Recorded) -> None:
    """Say which recorded runs are not asked since they read other data, and what is not here."""
    others = [(run, source) for run, why, source in recorded.passed_over if why == OTHER_DATA]
    if others:
        them = "1 recorded run does" if len(others) == 1 else f"{len(others)} recorded runs do"
        paths = worktrees.names_of(list(dict.fromkeys(source for _, source in others)))
        output.note(f"gxt: {them} not count, having read other data: {paths}")
    for source in recorded.data.gone:
        output.note(f"gxt: {one_line(source)}, which run {recorded.data.readers[source].name} read, is not here")


def _check_known(question: Question, commit: CodeCommit, known: Answer | None, result: str, name: str | None) -> None:
    """Raises NotFoundError where nothing tells of an end of the search: no recorded run, no command, and nobody's word.

    Args:
        name: what the end is called; None where somebody's word is to be taken.
    """
    if known is None and name is not None:
        where = name if name == commit.id else f"{one_line(name)} ({commit.id[:SHORT]})"
        raise NotFoundError(
            f"no recorded run tells whether {where} is {result}: {question.text}",
            f"a command after -- tests it; --{result} COMMIT names another; "
            f"`--{result} {one_line(name)} --no-check-ends` takes your word",
        )


def _end(
    recorded: Recorded,
    commit: CodeCommit,
    result: str,
    known: Answer | None,
    tester: _Tester | None,
    teller: Teller,
) -> Answer | None:
    """What there is to say of an end of the search: from recorded runs, or by running the command where a tester is
    given; else it is taken as said.

    Raises:
        GxtError: it is the opposite, or cannot be tested.
    """
    if known is not None or tester is None:
        teller.begins(result, commit, known)
        return known
    known = bisecting.ask(recorded, commit, tester, f"--{result}")
    teller.tells(known, None)
    if known.result != result:
        names = ", ".join(run.name or run.id for run in known.runs)
        raise GxtError(
            f"{commit.id[:SHORT]} is {known.result}, not {result}: {recorded.question.text} ({names})",
            f"--{result} COMMIT says where it was {result}",
        )
    return known


def _commit(repo: Repository, text: str) -> CodeCommit:
    (oid,) = git.resolve_here(repo, [text]) if text.isprintable() and not text.startswith("-") else [None]
    if oid is None:
        raise NotFoundError(f"no commit {quoted(text)}")
    return git.code_of(repo, [oid])[oid]


def _inside(repo: Repository) -> str:
    """The current folder, relative to the top of the work tree."""
    here = Path.cwd().resolve()
    top = repo.work_tree.resolve() if repo.work_tree is not None else here
    return here.relative_to(top).as_posix() if here.is_relative_to(top) else "."


# --- where it happens -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _place(repo: Repository, commit: CodeCommit, settings: Mapping[str, str]) -> Iterator[Place]:
    """A linked work tree in a temporary folder, which goes again; Ctrl-C is told what is kept."""
    try:
        with commands.ended_by_signals(), temporary.place(repo) as place:
            git.add_worktree(repo, place.folder, commit.id, settings)
            yield place
    except (KeyboardInterrupt, SystemExit):
        output.note("gxt: what has ended is recorded; the same command goes on from there")
        raise


def _links(repo: Repository, paths: Sequence[str]) -> list[str]:
    """What is to be linked, relative to the top of the work tree."""
    found = []
    for path in paths:
        full = Path(os.path.normpath(Path(path).absolute()))
        top = repo.work_tree
        if top is None or not full.is_relative_to(top) or full == top:
            raise UsageError(f"{path} is not in the work tree", "an absolute path in the command needs nothing")
        if not full.exists():
            raise UsageError(f"no such file or folder: {path}")
        found.append(full.relative_to(top).as_posix())
    return found


@dataclass
class _Tester:
    """Runs the command on a commit's code, and records it."""

    repo: Repository
    settings: Mapping[str, str]
    recorded: Recorded
    place: Place
    links: Sequence[str]
    python: Interpreter | None = field(init=False)

    def __post_init__(self) -> None:
        word = self.recorded.question.command[0]
        if "/" not in word and shutil.which(word) is None:
            raise UsageError(f"no such command: {word}")
        self.python = replaying.look_at(_program(word)) if is_python(word) else None
        self.top = Path(os.path.realpath(self.repo.work_tree)) if self.repo.work_tree is not None else None
        read = files_of(self.recorded.data, self.top) if self.top is not None else []
        self.links = list(dict.fromkeys([*self.links, *read]))

    @property
    def folder(self) -> Path:
        return self.place.folder

    def __call__(self, commit: CodeCommit) -> Run:
        question = self.recorded.question
        git.check_out(self.folder, commit.id, self.settings)
        submodules, nested = worktrees.submodules_in(self.repo, commit.id, self.folder)
        if nested:
            output.note(f"gxt: {worktrees.without(nested)}")
        for path, why in git.update_submodules(self.folder, submodules, talk("the submodules")).items():
            output.note(f"gxt: {one_line(path)}: {why}")
        if pointers := git.lfs_pointers(self.folder):
            why = "could not bring them" if git.has_lfs() else "is not installed"
            output.note(f"gxt: pointers alone, since git-lfs {why}: {worktrees.names_of(pointers)}")
        linked = list(self._link())
        run = recorder.begin(
            self.repo,
            question.experiment,
            self.settings,
            tags={TAG: question.id},
            origin=self._origin(commit),
            starts=question.command,
        )
        try:
            ended = self._run(run, linked)
        except UsageError as error:  # it cannot be started there: a program of the code's own may come later
            run.set_note(error.message)
            run.end(FAILED)
            return run.record
        except BaseException:
            run.discard()
            raise
        run.end(ended.status, exit_code_of(ended.code))
        if ended.told is not None:
            output.note(f"gxt: {ended.status}, and kept with what it had: {run.name} ({run.run_id})")
            commands.end_as_told(ended.told)
        return run.record

    def _run(self, run: recorder.ActiveRun, linked: Sequence[str]) -> Exit:
        question = self.recorded.question
        where = self.folder / question.cwd
        if not where.is_dir():
            raise UsageError(f"there is no folder {question.cwd}")
        made = Plan(question.command, None, {}, PurePosixPath(question.cwd), ())
        python = self.python.executable if self.python else None
        is_code = functools.partial(git.is_indexed, self.repo)
        words = replaying.arguments_in(made, self.folder, self.top, python, "", is_code)
        supplies = [Supply(path, UNKNOWN, linked=True) for path in linked]  # no code, so no change of it
        variables = in_folder(os.environ, self.folder, self.top, self.python, supplies, self.settings)
        sink = sink_of(sys.stderr)
        with commands.commanding(is_apart=True) as command:
            command.start(words, run, str(self.folder), where, variables, held=[self.place.lock])
            return commands.tee_until_exit(command, run, (sink, sink))

    def _link(self) -> Iterator[str]:
        """Have what is no code there too, where the commit has nothing of its own."""
        for path in self.links:
            theirs, ours = (self.top or self.folder) / path, self.folder / path
            if theirs.exists() and not os.path.lexists(ours):
                ours.parent.mkdir(parents=True, exist_ok=True)
                ours.symlink_to(theirs.resolve())
                yield path

    def _origin(self, commit: CodeCommit) -> Known:
        question = self.recorded.question
        about = capture.command_origin(question.command, self.repo.work_tree)
        source = {**about, **capture.source(self.settings, WorkTree(commit.id, None))}
        if snapshots.is_on(self.settings):
            source["snapshot"] = commit.id
            git.keep(self.repo, commit.id)
        variables = environment.variables(os.environ)
        seen: dict[str, Any] = {"variables": variables} if variables else {}
        if self.python is None:
            return Known(source, seen)
        return Known(source, {**self.python.about, **seen}, self.python.packages)


def _program(word: str) -> str:
    """A Python by its whole path: a relative one is of the user's own folder."""
    return str(Path(word).absolute()) if "/" in word else shutil.which(word) or word
