"""`gxt bisect`: which commit made a metric worse."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
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
from gxt.bisecting import BAD, GOOD, SKIP, TAG, Answer, Outcome, Question, Recorded
from gxt.capture import Known
from gxt.cli import output
from gxt.cli.moving import talk
from gxt.cli.params import complete_experiment, json_option, repository
from gxt.cli.run import sink_of
from gxt.cli.runs import SHORT, commit_json, metric_text
from gxt.commands import Exit, exit_code_of
from gxt.errors import GxtError, NotFoundError, UsageError
from gxt.git import CodeCommit, Repository, WorkTree
from gxt.model import DEFAULT_EXPERIMENT, FAILED, Run
from gxt.replaying import Interpreter, Plan, Supply, in_folder
from gxt.replaying.plan import is_python
from gxt.replaying.supplies import CHANGED, GONE, UNKNOWN, state_of
from gxt.showing import one_line, quoted
from gxt.temporary import Place

_STYLES = {GOOD: "green", BAD: "red", SKIP: "yellow"}


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
    help="Whose runs answer, and take the new ones. Default: as for `gxt run`.",
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
    any command answer, and nothing is run.

    Exits with 0 where the commit is found, with 1 where several cannot be told apart.

    \b
    gxt bisect --metric 'rmse <= 6.5' -- python train.py
    gxt bisect --metric 'acc > 0.9' --good v1 --link data -e nyc-taxi -- make train
    """
    repo = repository(ctx)
    settings = git.config(repo)
    name = experiment or os.environ.get(fluent.EXPERIMENT_VARIABLE) or settings.get("gxt.experiment")
    name = name or DEFAULT_EXPERIMENT
    expression = bisecting.parse_condition(repo, name, condition)
    question = Question(condition, expression, name, command, _inside(repo), runs, fail_is_bad)
    recorded = Recorded(repo, question)
    end = _commit(repo, bad or "HEAD")
    known_end = bisecting.check_end(recorded, end, BAD, bad or "HEAD")
    begin = _commit(repo, good) if good else bisecting.latest_good(repo, recorded, end.id)
    known = bisecting.check_end(recorded, begin, GOOD, good or begin.id[:SHORT])
    teller = _Teller(question, as_json)
    is_checked = check_ends and bool(command)
    with _place(repo, end, settings) as place:
        tester = _Tester(repo, settings, recorded, place, _links(repo, links)) if command else None
        known = _end(recorded, begin, GOOD, known, tester if is_checked else None, teller)
        # Who says nothing of HEAD may be wrong about it.
        known_end = _end(recorded, end, BAD, known_end, tester if is_checked or bad is None else None, teller)
        outcome = bisecting.bisect(repo, place.folder, begin.id, end.id, recorded, tester, teller.tells)
    outcome.answers[:0] = [answer for answer in (known, known_end) if answer is not None]
    if as_json:
        output.page(render.json_text(_json(repo, question, outcome)))
    else:
        _report(repo, question, outcome)
    return 0 if outcome.first_bad is not None else 1


def _end(
    recorded: Recorded,
    commit: CodeCommit,
    result: str,
    known: Answer | None,
    tester: _Tester | None,
    teller: _Teller,
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


def _recorded_inputs(recorded: Recorded, repo: Repository, top: Path | None, links: Sequence[str]) -> list[str]:
    """The files of the work tree that recorded runs of the experiment read.

    Raises:
        UsageError: one is not what the latest of them read, and is not among the `links`, which are taken as they are.
    """
    if top is None or recorded.question.experiment not in {one.name for one in catalog.all_experiments(repo)}:
        return []
    runs = catalog.listing(repo, [recorded.question.experiment], order_by=["started:desc"], limit=100).runs
    latest: dict[str, tuple[Run, object]] = {}
    for run in runs:
        for about in run.inputs.values():
            source = str(about.get("source") or "")
            if (
                source
                and "://" not in source
                and not source.startswith("/")
                and ".." not in PurePosixPath(source).parts
            ):
                latest.setdefault(source, (run, about.get("digest")))
    for source, (run, digest) in sorted(latest.items()):
        if any(PurePosixPath(source).is_relative_to(link) for link in links):
            continue
        state = state_of(top / source, digest if isinstance(digest, str) else None)
        if state == CHANGED:
            raise UsageError(
                f"{one_line(source)} is not what run {run.name} read: its content has changed",
                f"bring it back as it was; --link {shlex.quote(source)} takes it as it is",
            )
        if state == GONE:
            output.note(f"gxt: {source}, which run {run.name} read, is not here")
    return [path.relative_to(top).as_posix() for source in sorted(latest) for path in _named(top, source)]


def _named(top: Path, source: str) -> list[Path]:
    """The files that an input's source names: one, or what fits a pattern."""
    is_pattern = any(sign in source for sign in "*?[") and not (top / source).exists()
    return sorted(top.glob(source)) if is_pattern else [top / source]


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
        self.links = list(
            dict.fromkeys([*self.links, *_recorded_inputs(self.recorded, self.repo, self.top, self.links)])
        )

    @property
    def folder(self) -> Path:
        return self.place.folder

    def __call__(self, commit: CodeCommit) -> Run:
        question = self.recorded.question
        git.check_out(self.folder, commit.id, self.settings)
        if git.submodules_at(self.repo, commit.id):
            why = git.update_submodules(self.folder, talk("the submodules"))
            if why:
                output.note(f"gxt: {why}")
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


# --- what is said of it -----------------------------------------------------------------------------------------------


class _Teller:
    """Says how far it has come."""

    def __init__(self, question: Question, as_json: bool) -> None:
        self._question, self._is_quiet = question, as_json

    def begins(self, result: str, commit: CodeCommit, known: Answer | None) -> None:
        """One end of the search, which somebody named or recorded runs tell of."""
        self.tells(known if known is not None else Answer(commit, result, []), None, is_said=known is None)

    def tells(self, answer: Answer, steps: int | None, is_said: bool = False) -> None:
        """An answer, and about how many are to come; or, if it `is_said`, what nobody has tested."""
        if self._is_quiet:
            return
        result = output.paint(f"{answer.result:<4}", _STYLES[answer.result])
        remark = "not tested: taken as said" if is_said else f"about {steps} to go" if steps else ""
        more = output.paint(f"  ({remark})", "bright_black") if remark else ""
        commit = answer.commit
        output.say(
            f"{result}  {commit.id[:SHORT]} {one_line(commit.subject)}  {_told(self._question, answer)}{more}".rstrip()
        )


def _told(question: Question, answer: Answer) -> str:
    said = [answer.why] if answer.why else []
    for run in answer.runs:
        values = [] if answer.why else _values(question, run)
        said.append(" ".join([*values, f"({run.name or run.id})"]))
    if answer.runs:
        said.append("recorded" if not answer.ran else f"ran {answer.ran}" if answer.ran > 1 else "ran")
    return ", ".join(said)


def _values(question: Question, run: Run) -> list[str]:
    """The values that the condition is about."""
    found = []
    for one in dict.fromkeys(bisecting.fields_of(question.expression)):
        value = one.value(run)
        if one.kind == "metrics" and not one.part and one.name in run.metrics:
            found.append(metric_text(run, one.name))
        elif value is not None:
            found.append(f"{str(one).removeprefix('metrics.')} {one_line(str(value))}")
    return found


def _report(repo: Repository, question: Question, outcome: Outcome) -> None:
    first = outcome.first_bad
    output.say("")
    if first is None:
        output.say("only commits are left that could not be tested; the first bad one is among")
        for commit in outcome.possible:
            output.say(f"  {commit.id[:SHORT]} {one_line(commit.subject)}")
        if question.command:
            output.note("what git ignores is not there when the command runs; --link PATH brings it")
        return
    output.say(f"{output.paint('first bad commit:', 'bold')} {output.paint(first.id, 'yellow')}")
    output.say(f"  {one_line(first.subject)} ({one_line(first.author)})")
    for change in _changes(repo, first):
        counts = "binary" if change.added is None else f"+{change.added} -{change.removed}"
        output.say(f"  {one_line(change.path)}  {counts}")
    for word, answer in (("before", outcome.of(first.parents)), ("since", outcome.of([first.id]))):
        if answer is not None:
            output.say(f"{word:<6}  {answer.commit.id[:SHORT]}  {_told(question, answer)}")


def _changes(repo: Repository, commit: CodeCommit) -> list[git.FileChange]:
    before = commit.parents[0] if commit.parents else git.empty_tree(git.config(repo))
    return git.changed_files(repo, before, commit.id)


def _json(repo: Repository, question: Question, outcome: Outcome) -> dict[str, Any]:
    first = outcome.first_bad
    before = outcome.of(first.parents) if first else None
    since = outcome.of([first.id]) if first else None
    return {
        "condition": question.text,
        "experiment": question.experiment,
        "tag": question.id,
        "good": outcome.good,
        "bad": outcome.bad,
        "first_bad": commit_json(first) if first else None,
        "files": [change._asdict() for change in _changes(repo, first)] if first else [],
        "before": [run.id for run in before.runs] if before else [],
        "since": [run.id for run in since.runs] if since else [],
        "possible": [commit.id for commit in outcome.possible],
        "steps": [_step_json(answer) for answer in outcome.answers],
    }


def _step_json(answer: Answer) -> dict[str, Any]:
    return {
        "commit": answer.commit.id,
        "subject": answer.commit.subject,
        "result": answer.result,
        "runs": [run.id for run in answer.runs],
        "ran": answer.ran,
        "why": answer.why,
    }
