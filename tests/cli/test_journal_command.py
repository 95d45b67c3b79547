"""gxt journal: what happened, day by day."""

from __future__ import annotations

from pathlib import Path

from conftest import Gxt
from helpers import git


def test_days_and_authors(gxt: Gxt, three: dict[str, str], work: Path) -> None:
    gxt("tag", "one", "stage=prod")
    git("config", "user.name", "Grace Hopper")
    gxt("rm", "two")
    lines = gxt("journal").out.splitlines()
    assert not lines[0].startswith(" ") and ", 20" in lines[0]
    assert lines[1].endswith("taxi: two deleted") and "Grace Hopper" in lines[1]
    assert lines[2].endswith("taxi: one tagged stage=prod") and "Ada Lovelace" in lines[2]
    assert lines[-1].endswith("taxi: experiment created") and len(lines) == 7


def test_options(gxt: Gxt, three: dict[str, str]) -> None:
    done = gxt("journal", "-n", "2")
    assert len(done.out.splitlines()) == 3 and "-n 0 shows all" in done.err
    assert gxt("journal", "--until", "yesterday").out == ""
    assert len(gxt("journal", "-e", "taxi", "--since", "today", "--json").json) == 4
    assert "is no time" in gxt("journal", "--since", "soon", code=2).err


def test_json(gxt: Gxt, three: dict[str, str]) -> None:
    event = gxt("journal", "--json").json[0]
    assert event.pop("time").endswith("Z") and event.pop("commit") == git("rev-parse", "gxt")
    assert event == {
        "author": "Ada Lovelace <ada@example.com>",
        "kind": "finished",
        "experiment": "taxi",
        "run": three["three"],
        "text": "three finished, acc=0.1, rmse=9.9",
    }


def test_what_others_wrote_cannot_steer_the_terminal(gxt: Gxt, three: dict[str, str]) -> None:
    commit = git("commit-tree", "gxt^{tree}", "-p", "gxt", "-m", "by \x1b[31mhand")
    git("update-ref", "refs/heads/gxt", commit)
    assert gxt("journal", "-n", "1").out.endswith("by \\x1b[31mhand\n")
    assert gxt("journal", "-n", "1", "--json").json[0]["text"] == "by \x1b[31mhand"


def test_nothing_yet(gxt: Gxt, work: Path) -> None:
    assert "nothing yet" in gxt("journal").err and gxt("journal", "--json").json == []
