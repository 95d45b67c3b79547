"""gxt plot: what it prints, what it writes, and what it says about it."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Gxt
from gxt import recorder
from gxt.git import Repository
from helpers import git, run_python


@pytest.fixture
def trained(gxt: Gxt, work: Path) -> list[str]:
    """Two runs with histories."""
    ids = []
    for name, lr in (("fast", 0.1), ("slow", 0.01)):
        history = "".join(f'{{"step": {i}, "loss": {1 / (1 + i * lr)}}}\n' for i in range(20))
        ids.append(gxt("log", "-e", "taxi", "-n", name, "-p", f"lr={lr}", "--metrics", "-", stdin=history).out.strip())
    return ids


def test_in_a_pipe(gxt: Gxt, trained: list[str]) -> None:
    done = gxt("plot", "loss")
    assert "\x1b" not in done.out and done.err == ""
    assert done.out.startswith("loss by step\n┌") and done.out.endswith("aa fast   bb slow\n")
    assert max(map(len, done.out.splitlines())) <= 100
    assert gxt("plot", "loss", "--run", "@last").out.endswith("⣿⣿ slow\n")
    assert gxt("plot", "loss", "--where", "lr < 0.1").out.endswith("⣿⣿ slow\n")
    assert gxt("plot", "loss", "-e", "taxi", "-r", trained[0]).out == done.out


def test_every_kind(gxt: Gxt, trained: list[str]) -> None:
    assert gxt("plot", "loss", "--kind", "bar").out.splitlines()[1].startswith("fast")
    assert "loss by lr" in gxt("plot", "params.lr", "loss", "-k", "scatter", "--log-x").out
    assert "from the bottom up" in gxt("plot", "loss", "-k", "parallel").out
    assert "needs 5 runs" in gxt("plot", "loss", "-k", "importance", code=3).err


def test_at_an_earlier_moment(gxt: Gxt, trained: list[str]) -> None:
    assert gxt("plot", "loss", "--at", "gxt~1").out.endswith("⣿⣿ fast\n")
    assert "no run 'slow'" in gxt("plot", "loss", "--run", "slow", "--at", "gxt~1", code=3).err


def test_files(gxt: Gxt, trained: list[str], work: Path) -> None:
    before = git("status", "--porcelain")
    for ending, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("html", b"<!DOCTYPE html>")):
        done = gxt("plot", "loss", "--smooth", "0.6", "-o", f"loss.{ending}")
        assert done.out == "" and done.err == f"wrote loss.{ending}\n"
        assert (work / f"loss.{ending}").read_bytes().startswith(start)
        (work / f"loss.{ending}").unlink()
    assert git("status", "--porcelain") == before
    assert "end it in .png, .svg, .pdf, .html" in gxt("plot", "loss", "-o", "loss.gif", code=2).err
    assert "cannot be written: No such file" in gxt("plot", "loss", "-o", "no/such/folder.png", code=2).err


def test_json(gxt: Gxt, trained: list[str]) -> None:
    chart = gxt("plot", "loss", "--json").json
    assert chart["kind"] == "curve" and chart["names"] == ["fast", "slow"]
    assert chart["panels"][0]["curves"][1]["x"] == list(range(20))
    assert [bar["label"] for bar in gxt("plot", "loss", "-k", "bar", "--json").json["bars"]] == ["fast", "slow"]


def test_mistakes(gxt: Gxt, work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "there are no runs to plot" in gxt("plot", "loss", code=3).err
    gxt("log", "-m", "loss=1", "-m", "bad=nan", "-p", "lr=1")
    assert "did you mean metrics.loss?" in gxt("plot", "los", code=3).err
    assert "'lr' is no metric" in gxt("plot", "lr", code=2).err
    assert "1 point left out, not finite" in gxt("plot", "bad", code=3).err
    assert "FIELD" in gxt("plot", code=2).err
    assert "time of day has no logarithm" in gxt("plot", "loss", "--x", "time", "--log-x", code=2).err


def test_remarks_go_beside_the_plot(gxt: Gxt, three: dict[str, str]) -> None:
    done = gxt("plot", "rmse")
    assert done.err == "rmse: a single point in every run; --kind bar compares them\n"
    assert "rmse by step" in done.out


def test_on_a_terminal_it_fits_and_no_color_is_honoured(gxt: Gxt, trained: list[str], work: Path) -> None:
    for _ in range(2):
        gxt("log", "-e", "taxi", "-m", "once=1")
    script = Path(sys.executable).with_name("gxt")
    code = f"""
import os, pty, sys
os.environ.update(COLUMNS="56", LINES="40", TERM="xterm")
for extra in ({{}}, {{"NO_COLOR": "1"}}):
    os.environ.update(extra)
    pty.spawn([{str(script)!r}, "plot", "loss", "once"])
    print("-----")
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    coloured, plain, _ = done.stdout.replace("\r", "").split("-----\n")
    assert "\x1b[34m" in coloured and "\x1b" not in plain
    assert max(map(len, plain.splitlines())) <= 56
    assert "once: a single point in every run; --kind bar compares them" in " ".join(plain.splitlines()[-2:])


def test_what_is_loaded(work: Path) -> None:
    """A terminal needs neither matplotlib nor plotly, and an image not the other ones."""
    code = """
import sys
from gxt.cli import main
try:
    main({arguments})
except SystemExit as done:
    assert done.code == 0
heavy = ("matplotlib", "plotly", "uniplot", "sklearn", "pandas")
print("loaded:", *[name for name in heavy if name in sys.modules], file=sys.stderr)
"""

    def loaded(*arguments: str) -> list[str]:
        return run_python(code=code.format(arguments=arguments)).stderr.split("loaded:")[1].split()

    assert loaded("log", "-m", "loss=1") == []
    assert loaded("plot", "loss") == ["uniplot"]
    assert loaded("plot", "loss", "-o", "a.svg") == ["matplotlib"]
    assert loaded("plot", "loss", "-o", "a.html") == ["plotly"]


@pytest.mark.slow
def test_a_million_points_take_less_than_three_seconds(repo: Repository) -> None:
    run = recorder.begin(repo, "taxi", name="long")
    run.log_metric("loss", 1, 0)
    with open(run.folder / "metrics.csv", "ab") as history:
        history.writelines(
            f"{i},loss,{(i * 7919 % 1000) / 999},{1763886601123 + i}\n".encode() for i in range(1, 10**6)
        )
    run.end("finished")
    for arguments in ([], ["-o", "long.png"], ["-o", "long.html", "--smooth", "0.9"]):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run_python("-m", "gxt", "plot", "loss", *arguments)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3
