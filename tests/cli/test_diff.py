"""gxt diff: what differs between runs."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Gxt
from gxt.git import find
from helpers import git, record


def test_diff(gxt: Gxt, three: dict[str, str]) -> None:
    lines = gxt("diff", "one", "two").out.splitlines()
    assert lines[0].split() == ["one", "two"]
    assert any(re.fullmatch(r"  ~ alpha +0.1 +0.5 +\+0.4 +\+400%", line) for line in lines)
    assert any(re.fullmatch(r"  ~ acc +0.9 +0.5 +-0.4 +-44.4%  worse", line) for line in lines)
    assert re.match(r"the same: environment, \d+ packages", lines[-1])


def test_runs_are_named_as_everywhere(gxt: Gxt, three: dict[str, str]) -> None:
    found = gxt("diff", "@best:rmse", three["two"][-8:], "taxi/@last", "--json").json
    assert [run["name"] for run in found["runs"]] == ["one", "two", "three"]


def test_stat(gxt: Gxt, three: dict[str, str]) -> None:
    lines = gxt("diff", "one", "two", "--stat").out.splitlines()
    assert [line.split() for line in lines[1:3]] == [["params", "1", "changed", "1"], ["metrics", "2", "worse", "0"]]
    assert gxt("diff", "one", "two", "--stat", "--format", "markdown").out.startswith("| section | differs | same |")
    assert gxt("diff", "one", "one", "--stat").out == "nothing differs\n"
    assert "--stat does not go with json" in gxt("diff", "one", "two", "--stat", "--json", code=2).err


def test_exit_code(gxt: Gxt, three: dict[str, str], work: Path) -> None:
    gxt("diff", "one", "two", "--exit-code", code=1)
    assert "nothing differs" in gxt("diff", "one", "one", "--exit-code").out
    for name in ("again", "and-again"):
        record(find(work), name=name, params={"alpha": 0.1}, metrics={"rmse": 6.3})
    gxt("diff", "again", "and-again", "--exit-code")


def test_tolerance(gxt: Gxt, three: dict[str, str], work: Path) -> None:
    for name, rmse in (("a", 6.3), ("b", 6.33)):
        record(find(work), name=name, metrics={"rmse": rmse})
    assert re.search("rmse .*worse", gxt("diff", "a", "b", "--exit-code", code=1).out)
    for share in ("1%", "0.01"):
        gxt("diff", "a", "b", "--exit-code", "--tolerance", share)
    assert "'much' is no share" in gxt("diff", "a", "b", "--tolerance", "much", code=2).err
    assert "is no share" in gxt("diff", "a", "b", "--tolerance", "200%", code=2).err


def test_verdicts_without_colour(gxt: Gxt, three: dict[str, str]) -> None:
    assert re.search(r"rmse +6\.3 +7\.7 \(\+22\.2% worse\) +9\.9", gxt("diff", "one", "two", "three").out)


def test_goal(gxt: Gxt, three: dict[str, str]) -> None:
    assert "2 better" in gxt("diff", "one", "two", "--goal", "rmse:max", "--goal", "acc:min").out
    assert "say acc:min or acc:max" in gxt("diff", "one", "two", "--goal", "acc", code=2).err
    assert "no run compared has the metric 'ac'" in gxt("diff", "one", "two", "--goal", "ac:max", code=3).err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "0 runs to compare"),
        (["one"], 2, "1 run to compare"),
        (["one", "four"], 3, "no run 'four'"),
        (["one", "two", "--", "nothing.csv"], 3, "has a file 'nothing.csv'"),
        (["one", "two", "three", "--artifacts"], 2, "between two runs"),
    ],
)
def test_bad_input_is_one_clear_line(
    gxt: Gxt, three: dict[str, str], arguments: list[str], code: int, message: str
) -> None:
    done = gxt("diff", *arguments, code=code)
    assert message in done.err and done.out == "" and len(done.err.splitlines()) <= 2


def test_files(gxt: Gxt, work: Path) -> None:
    for name, value in (("one", 1), ("two", 2)):
        (work / "p.csv").write_text(f"id,x\na,{value}\nb,5\n")
        (work / "r.md").write_text(f"# Report\n{name}\n")
        gxt("log", "-n", name, "-a", "p.csv", "-a", "r.md", "-p", f"x={value}")
    out = gxt("diff", "one", "two", "--", "p.csv").out
    assert "artifacts/p.csv  1 changed" in out and "r.md" not in out and "params" not in out
    assert re.search(r"~ id=a, x +1 +2 +\+1 +\+100%", out)
    everything = gxt("diff", "--artifacts", "one", "two").out
    assert "params  1 changed" in everything and "  -one\n  +two\n" in everything
    assert gxt("diff", "one", "two", "--json", "--", "r.md").json["files"][0]["lines"] == [
        "@@ -1,2 +1,2 @@",
        " # Report",
        "-one",
        "+two",
    ]
    gxt("diff", "--exit-code", "one", "two", "--", "params.yaml", code=1)
    gxt("diff", "--exit-code", "one", "one", "--", "p.csv")


def test_markdown_and_html(gxt: Gxt, three: dict[str, str]) -> None:
    assert gxt("diff", "one", "two", "--format", "markdown").out.startswith("### `one` → `two`\n")
    assert gxt("diff", "one", "two", "--format", "html").out.startswith("<!DOCTYPE html>")


def test_a_live_run(gxt: Gxt, three: dict[str, str]) -> None:
    gxt("start", "-e", "taxi", "-n", "live", "-p", "alpha=3")
    assert re.search(r"status +finished +running", gxt("diff", "one", "live").out)


def shown_on_a_terminal(work: Path, *arguments: str, **variables: str) -> str:
    """What a command writes to a terminal of 100 columns."""
    main, side = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "500"} | variables
    process = subprocess.Popen([sys.executable, "-m", "gxt", *arguments], cwd=work, stdout=side, env=environment)
    os.close(side)
    data = b""
    try:
        while piece := os.read(main, 65536):
            data += piece
    except OSError:  # how Linux says that the other side has closed
        pass
    os.close(main)
    assert process.wait(30) == 0
    return data.decode().replace("\r\n", "\n")


def test_colour_on_a_terminal(gxt: Gxt, three: dict[str, str], work: Path) -> None:
    text = shown_on_a_terminal(work, "diff", "one", "two")
    assert "\x1b[31mworse" in text and all(len(re.sub(r"\x1b\[\d*m", "", line)) <= 100 for line in text.split("\n"))
    assert "\x1b" not in shown_on_a_terminal(work, "diff", "one", "two", NO_COLOR="1")
    assert "\x1b" not in gxt("diff", "one", "two").out


def test_commits_between_runs(gxt: Gxt, three: dict[str, str], work: Path) -> None:
    (work / "train.py").write_text("print('more')\n")
    git("commit", "-q", "-am", "Train more", cwd=work)
    gxt("log", "-e", "taxi", "-n", "four")
    out = gxt("diff", "three", "four").out
    assert "1 commit only in four:" in out and "Train more" in out and "train.py  +1 -1" in out
