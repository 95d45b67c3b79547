"""Write docs/cli.md from the commands themselves; `--check` only says whether it is up to date.

python docs/generate.py [--check]
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import click

from gxt.cli import SECTIONS, cli

TARGET = Path(__file__).parent / "cli.md"

HEAD = """\
# The command line

Made from the commands' own help by `python docs/generate.py`; change the help, not this file.

On a terminal, output that is longer than the screen goes through `PAGER` (`less` when it is not set; `PAGER=cat` never
waits).

`gxt` is also installed as `git-gxt`, so that `git gxt table` works. Every command takes `-h` and `--help`. What
`--json` gives is described in [json.md](json.md), what exit codes mean in [guides/shell.md](guides/shell.md).

A RUN is named by its id, a unique beginning of it or of its random last part, its name if no other run has it,
`@last`, `@best:METRIC` (the least, or by the experiment's goal), `@best:METRIC:max`, or one of the last three within an
experiment: `EXPERIMENT/@last`.
"""


def reference() -> str:
    """The whole page."""
    context = click.Context(cli, info_name="gxt")
    parts = [HEAD, "## gxt\n", _usage(context, cli), _options(context, cli)]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}\n")
        for name in names:
            command = cli.get_command(context, name)
            assert command is not None
            inner = click.Context(command, parent=context, info_name=name)
            parts += [f"### gxt {name}\n", _usage(inner, command), _help(command), _options(inner, command)]
            for part, part_of in sorted(getattr(command, "commands", {}).items()):
                if not part_of.hidden:
                    below = click.Context(part_of, parent=inner, info_name=part)
                    parts += [
                        f"#### gxt {name} {part}\n",
                        _usage(below, part_of),
                        _help(part_of),
                        _options(below, part_of),
                    ]
    return "\n".join(part for part in parts if part)


def _usage(context: click.Context, command: click.Command) -> str:
    return f"```\n{context.command_path} {' '.join(command.collect_usage_pieces(context))}\n```\n"


def _help(command: click.Command) -> str:
    """The docstring: paragraphs as they are, those that click is told not to wrap (\\b) as code."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(command.help or "")):
        if paragraph.startswith("\b"):
            parts.append(f"```sh\n{paragraph.removeprefix(chr(8)).strip()}\n```\n")
        else:
            parts.append(paragraph + "\n")
    return "\n".join(parts)


def _options(context: click.Context, command: click.Command) -> str:
    rows = []
    for option in command.get_params(context):
        if not isinstance(option, click.Option) or option.hidden or "--help" in option.opts:
            continue
        value = "" if option.is_flag else f" {_metavar(option)}"
        names = ", ".join(option.opts)
        about = (option.help or "").strip()
        if option.show_default and option.default is not None:
            about += f" Default: {option.default}."
        spelled = f"{names}{value}".replace("|…", "…").replace("|", r"\|")  # a bar would end the cell, in code too
        rows.append(f"| `{spelled}` | {about} |")
    return "\n".join(["| option | |", "|---|---|", *rows]) + "\n" if rows else ""


def _metavar(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return " or ".join(str(choice) for choice in option.type.choices)
    return "NUMBER" if isinstance(option.type, click.types.IntParamType) else option.type.name.upper()


def main() -> int:
    """Write the page, or compare it."""
    text = reference()
    if "--check" in sys.argv:
        current = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
        if current != text:
            print("docs/cli.md is not up to date: run `python docs/generate.py`")
            return 1
        return 0
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
