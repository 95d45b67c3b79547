"""Arguments and options that several commands take, with their shell completion."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from gxt import git
from gxt.errors import GxtError, UsageError
from gxt.git import Repository

_COMPLETED = 1000  # of the latest runs, names are completed

Command = TypeVar("Command", bound=Callable[..., Any])


def repository(ctx: click.Context) -> Repository:
    """The repository that the command is for, which has to be here: it may be changed, or has to be whole."""
    place = ctx.find_root().obj
    if place is not None and is_address(place.repo):
        from gxt.masking import mask_urls  # here for start-up time

        # Of groups the whole of it; a hidden command is written as its group is.
        named = ctx.parent if ctx.command.hidden and ctx.parent is not None else ctx
        raise UsageError(
            f"`{named.command_path}` is for a repository here, not for {mask_urls(place.repo)}",
            "the runs of one elsewhere can be looked at; clone it for all else",
        )
    return _found(place.repo if place is not None else ".")


def readable_repository(ctx: click.Context) -> Repository:
    """The repository that the command looks at, which may be elsewhere."""
    place = ctx.find_root().obj
    if place is None or ("://" not in place.repo and ":" not in place.repo):
        return _found(place.repo if place is not None else ".")
    from gxt import mirrors  # here for start-up time
    from gxt.cli import moving, output

    return mirrors.locate(
        place.repo, moving.talk("the repository"), lambda text: output.note(f"gxt: {text}"), place.offline
    )


def is_address(text: str) -> bool:
    """Whether what names a repository is the URL of one elsewhere."""
    if ":" not in text:
        return False
    from gxt import mirrors  # here for start-up time

    return mirrors.is_url(text)


def _found(place: str) -> Repository:
    if "://" not in place:
        return git.find(Path(place))
    from gxt import mirrors  # here for start-up time

    return mirrors.locate(place)


def _nearby(place: str) -> Repository:
    """The repository, or what was fetched before of one elsewhere: nobody waits for a network to complete a name."""
    if ":" not in place:
        return git.find(Path(place))
    from gxt import mirrors

    return mirrors.locate(place, offline=True)


def _completing(find: Callable[[Repository], list[tuple[str, str]]]) -> Callable[..., list[CompletionItem]]:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            candidates = find(_nearby(ctx.find_root().params.get("repo_path") or "."))
        except (GxtError, OSError):
            return []  # no repository: nothing to complete, and no place for a message
        return [CompletionItem(value, help=about) for value, about in candidates if value.startswith(incomplete)]

    return complete


def _experiments(repo: Repository) -> list[tuple[str, str]]:
    from gxt import catalog

    return [(e.name, e.description or "") for e in catalog.all_experiments(repo) if not e.deleted]


def _runs(repo: Repository) -> list[tuple[str, str]]:
    from gxt import catalog

    runs = catalog.listing(repo, order_by=["started:desc"], limit=_COMPLETED).runs
    names = [(run.name, f"{run.id} {run.experiment}") for run in runs]
    return [*names, *((run.id, run.name) for run in runs), ("@last", "the latest run")]


def _deleted(repo: Repository) -> list[tuple[str, str]]:
    from gxt import catalog

    return [(run.name, f"{run.id} {run.experiment}") for run in catalog.listing(repo, deleted=True).runs]


def _live(repo: Repository) -> list[tuple[str, str]]:
    from gxt import catalog

    return [(run.name, f"{run.id} {run.experiment}") for run in catalog.listing(repo).runs if run.place == "live"]


def _fields(repo: Repository) -> list[tuple[str, str]]:
    from gxt import catalog, query

    fields = catalog.fields(repo)
    bare = [field.name for field in fields]
    attributes = [(name, "attribute") for name in query.ATTRIBUTES]
    return (
        [(field.name, field.kind) for field in fields if bare.count(field.name) == 1]
        + attributes
        + [(str(field), field.kind) for field in fields]
    )


def _metrics(repo: Repository) -> list[tuple[str, str]]:
    from gxt import catalog

    return [(field.name, "") for field in catalog.fields(repo) if field.kind == "metrics"]


def _goals(repo: Repository) -> list[tuple[str, str]]:
    return [(text, "metric") for name, _ in _metrics(repo) for text in (name, f"{name}:min", f"{name}:max")]


complete_experiment = _completing(_experiments)
complete_run = _completing(_runs)
complete_deleted = _completing(_deleted)
complete_live = _completing(_live)
complete_field = _completing(_fields)
complete_metric = _completing(_metrics)
complete_goal = _completing(_goals)


@dataclass(frozen=True)
class Given:
    """What a command line says of a run at its start."""

    experiment: str | None
    name: str | None
    params: Sequence[str]
    params_files: Sequence[str]
    tags: Sequence[str]
    note: str | None
    parent: str | None
    inputs: Sequence[str]


_GIVEN_OPTIONS = [
    click.option(
        "-e",
        "--experiment",
        metavar="NAME",
        shell_complete=complete_experiment,
        help="The experiment. Default: GXT_EXPERIMENT_NAME, git config gxt.experiment, or 'default'.",
    ),
    click.option("-n", "--name", metavar="NAME", help="The run's name. Default: one such as calm-otter."),
    click.option(
        "-p",
        "--param",
        "params",
        multiple=True,
        metavar="NAME=VALUE",
        help="A param, typed as YAML types it (lr=1e-3 is a number); NAME:=TEXT is text as it stands.",
    ),
    click.option(
        "--params",
        "params_files",
        multiple=True,
        type=click.Path(allow_dash=True),
        metavar="FILE",
        help="Params from a .yaml, .json or .toml file; - reads YAML from standard input.",
    ),
    click.option("-t", "--tag", "tags", multiple=True, metavar="NAME=TEXT", help="A tag."),
    click.option("--note", metavar="TEXT", help="A note: any text."),
    click.option("--parent", metavar="RUN", shell_complete=complete_run, help="The run that this is a child of."),
    click.option(
        "--input",
        "inputs",
        multiple=True,
        type=click.Path(),
        metavar="[NAME=]PATH[:CONTEXT]",
        help="A dataset that is used: a file, a folder, a pattern in quotes, a URL; its digest is kept. CONTEXT says "
        "what for: train.",
    ),
]


def given_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """-e, -n, -p, --params, -t, --note, --parent and --input, which the command takes together as `given`."""
    names = [field.name for field in fields(Given)]

    @functools.wraps(command)
    def collecting(*args: Any, **options: Any) -> Any:
        given = Given(**{name: options.pop(name) for name in names})
        return command(*args, given=given, **options)

    decorated: Callable[..., Any] = collecting
    for option in reversed(_GIVEN_OPTIONS):
        decorated = option(decorated)
    return decorated


def run_argument(command: Command) -> Command:
    """RUN."""
    return click.argument("run", metavar="RUN", shell_complete=complete_run)(command)


def experiments_option(text: str, name: str = "experiments") -> Callable[[Command], Command]:
    """-e, --experiment, which may be given several times; `text` is its help."""
    return click.option(
        "-e",
        "--experiment",
        name,
        multiple=True,
        metavar="NAME",
        shell_complete=complete_experiment,
        help=text,
    )


def goals_option(purpose: str = "", otherwise: str = "") -> Callable[[Command], Command]:
    """--goal, which may be given several times; what it is for, and what holds where nothing says it, end its help."""
    return click.option(
        "--goal",
        "goals",
        multiple=True,
        metavar="METRIC:min|max",
        shell_complete=complete_goal,
        help=f"Which end of a metric is better{purpose}. Default: what `gxt goal` said, else what its name "
        f"implies{otherwise}.",
    )


def json_option(command: Command) -> Command:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")(command)


def read_input(name: str) -> bytes:
    """A file's bytes, or standard input's for `-`."""
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{name}: {error.strerror}") from None


def sequence(texts: Sequence[str]) -> list[str]:
    """Comma-separated values, given once or several times, as one list."""
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]
