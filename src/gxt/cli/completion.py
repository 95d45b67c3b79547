"""`gxt completion`: shells complete commands, experiments, runs and metric names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from gxt.cli import cli


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print a script for shell completion.

    It completes commands, experiments, runs, metrics and params.

    \b
    bash:  echo 'eval "$(gxt completion bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(gxt completion zsh)"' >> ~/.zshrc
    fish:  gxt completion fish > ~/.config/fish/completions/gxt.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "gxt", "_GXT_COMPLETE").source())
