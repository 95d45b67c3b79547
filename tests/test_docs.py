"""The documentation says what is there: commands, modules, links, and the README's own transcript."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

import gxt
from gxt.cli import COMMANDS, cli
from test_architecture import ORDER

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES += sorted((ROOT / "examples").rglob("*.md"))


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_cli_reference_is_up_to_date() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == _generator().reference()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name: str) -> None:
    context = click.Context(cli, info_name="gxt")
    command = cli.get_command(context, name)
    assert command is not None
    assert command.help
    assert len(command.get_short_help_str(200)) <= 66, "the first sentence is cut in `gxt --help`"
    for option in command.get_params(context):
        assert not isinstance(option, click.Option) or option.help, option.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_architecture_lists_every_module_in_the_order_of_imports() -> None:
    listed = re.findall(r"^\| `([a-z_]+)(?:\.py|/)` \|", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)
    package = ROOT / "src" / "gxt"
    modules = {path.stem for path in package.glob("*.py") if not path.stem.startswith("__")}
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    assert set(listed) == modules | folders
    assert listed == ORDER


def test_pages_name_only_commands_that_exist() -> None:
    for page in PAGES:
        for block in re.findall(r"```(?:sh|console)\n(.*?)```", page.read_text(), re.DOTALL):
            for name in re.findall(r"^(?:\$ )?gxt ([a-z]+(?:-[a-z]+)*)\b", block, re.MULTILINE):
                assert name in COMMANDS, f"{page.name}: gxt {name}"


def test_readme_python_runs(work: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    subprocess.run([sys.executable, "-c", blocks[0]], cwd=work, check=True, capture_output=True)
    assert gxt.get_run("@last").status == "finished"
