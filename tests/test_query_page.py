"""docs/guides/query.md is run: its runs are made, its filters asked, its transcripts compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gxt import catalog, git
from helpers import git as run_git

PAGE = (Path(__file__).parent.parent / "docs" / "guides" / "query.md").read_text(encoding="utf-8")
TESTS = re.findall(r"^\| `(.+?)` \| ([a-z, ]+) \|", PAGE.split("<!-- tests -->")[1].split("\n\n")[0], re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the page's runs."""
    made = tmp_path_factory.mktemp("query")
    run_git("init", "-q", "-b", "main", cwd=made)
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.com")):
        run_git("config", key, value, cwd=made)
    run_git("commit", "-q", "--allow-empty", "-m", "first", cwd=made)
    (made / "trips.csv").write_text("miles\n1\n")
    (block,) = re.findall(r"<!-- runs -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
    subprocess.run(["bash", "-ec", block], cwd=made, env=environment(), check=True, capture_output=True)
    return made


def environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def printed_by(command: str, folder: Path) -> str:
    """What a line of shell prints, on either stream."""
    done = subprocess.run(
        ["bash", "-c", f"{{ {command}; }} 2>&1"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize(("text", "names"), TESTS, ids=[text for text, _ in TESTS])
def test_what_a_filter_finds(folder: Path, text: str, names: str) -> None:
    found = catalog.listing(git.find(folder), where=text.replace("\\|", "|")).runs
    assert ", ".join(sorted(run.name for run in found)) == names


def test_every_operator_has_an_example() -> None:
    shown = " ".join(text for text, _ in TESTS)
    for word in "= != < in like ilike rlike between is null not and or exists ( nan".split():
        assert f" {word} " in shown or f"{word}(" in shown or word == "(", word
    assert len(TESTS) > 30


def test_the_transcripts(folder: Path) -> None:
    transcripts = re.findall(r"^\$ (gxt .*)\n((?:(?!\$ |```).*\n)*)", PAGE, re.MULTILINE)
    assert len(transcripts) >= 7
    for command, expected in transcripts:
        assert printed_by(command, folder) == expected, command
