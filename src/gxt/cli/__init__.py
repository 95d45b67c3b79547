"""The command line: one module a family of commands, each of which parses, calls the library and prints.

A command is a function in one of the modules below; COMMANDS says which, and `gxt --help` follows SECTIONS. Modules
are imported when a command of theirs is called, so that `gxt log` does not wait for what `gxt table` needs.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

import click

from gxt import __version__
from gxt.errors import GxtError

SECTIONS: dict[str, dict[str, str]] = {
    "Record": {"log": "record", "start": "record", "finish": "record", "run": "run"},
    "Look": {
        "table": "table",
        "best": "look",
        "show": "look",
        "diff": "diff",
        "data": "data",
        "list": "listing",
        "history": "history",
        "plot": "plot",
        "tail": "look",
        "journal": "journal",
        "blame": "lineage",
        "runs": "runs",
        "bisect": "bisect",
    },
    "Annotate": {
        "tag": "annotate",
        "note": "annotate",
        "goal": "annotate",
        "rm": "annotate",
        "restore": "annotate",
        "purge": "annotate",
    },
    "Share": {
        "sync": "share",
        "push": "share",
        "pull": "share",
        "bundle": "bundle",
        "unbundle": "bundle",
        "merge-driver": "share",
    },
    "Review": {"review": "review", "report": "report", "check": "check"},
    "Trust": {"verify": "verify", "cite": "cite", "annotate-commits": "lineage"},
    "Get back": {
        "code": "code",
        "checkout": "checkout",
        "reproduce": "reproduce",
        "rerun": "reproduce",
        "get": "checkout",
        "env": "env",
        "export": "export",
        "artifacts": "artifacts",
    },
    "Set up and look after": {
        "init": "upkeep",
        "status": "upkeep",
        "recover": "upkeep",
        "gc": "upkeep",
        "prune": "upkeep",
        "doctor": "doctor",
        "completion": "completion",
        "demo": "demo",
    },
}
COMMANDS = {name: module for section in SECTIONS.values() for name, module in section.items()}


class Place(NamedTuple):
    """Which repository the command line names, and whether nothing may be fetched from one elsewhere."""

    repo: str
    offline: bool


class _Commands(click.Group):
    """Commands that are imported when they are needed, listed by what people do."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"gxt.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=2)
            if near:
                raise click.UsageError(f"{error.message} Did you mean {' or '.join(near)}?", ctx) from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in SECTIONS.items():
            rows = []
            for name in names:
                command = self.get_command(ctx, name)
                assert command is not None
                rows.append((name, command.get_short_help_str(90)))
            with formatter.section(title):
                formatter.write_dl(rows)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="A RUN is named by its id, a unique part of it, its name, @last, @best:METRIC or EXPERIMENT/@last.",
)
@click.option(
    "-C",
    "--repo",
    "repo_path",
    metavar="PATH|URL",
    default=".",
    envvar="GXT_TRACKING_URI",
    help="The repository: a path in it, or the URL of one elsewhere, to look at its runs. Default: here.",
)
@click.option(
    "--offline",
    is_flag=True,
    envvar="GXT_OFFLINE",
    help="Of a repository elsewhere, look only at what was fetched before.",
)
@click.version_option(__version__, "-V", "--version", prog_name="gxt", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, repo_path: str, offline: bool) -> None:
    """gxt tracks experiments in git: each run is a folder of plain files on the branch gxt."""
    ctx.obj = Place(repo_path, offline)


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit. The one place where errors become messages and exit codes."""
    import gc
    import warnings

    from gxt.cli import output

    arguments = list(sys.argv[1:] if argv is None else argv)
    warnings.showwarning = output.show_warning
    try:
        result = cli.main(arguments, prog_name="gxt", standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except GxtError as error:
        code = output.show_error(error)
    except click.ClickException as error:
        code = output.show_usage(error)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        code = 130
    except BrokenPipeError:  # `gxt table | head`
        output.close_stdout()
        code = 141
    except OSError as error:
        code = output.show_full(error) if error.errno in output.FULL else output.show_bug(error, arguments)
    except Exception as error:
        code = output.show_bug(error, arguments)
    gc.freeze()  # else Python looks for garbage among all that was imported before it ends: 10 ms
    sys.exit(code)
