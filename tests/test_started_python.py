"""The Python of a command that `gxt run` starts, and its packages: other Pythons are started for real."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
import tracemalloc
from pathlib import Path

import pytest

from gxt import capture, catalog
from gxt.environment import started
from gxt.environment.commands import Python, python_of
from gxt.environment.started import StartedPython
from gxt.git import Repository
from gxt.model import Run
from helpers import run_python

UV = Path(sys.executable).with_name("uv")


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """The Python of a virtual environment that has one package."""
    folder = tmp_path / "their env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    install(folder / "bin" / "python", "theirs", "1.5")
    return folder / "bin" / "python"


def install(python: Path, name: str, version: str) -> None:
    version_folder = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    about = python.parent.parent / "lib" / version_folder / "site-packages" / f"{name}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def recorded(repo: Repository, *command: str, **variables: str) -> tuple[Run, str | None]:
    """What `gxt run` of a command records, and its environment.txt."""
    run_python("-m", "gxt", "run", "--", *command, **variables)
    run = catalog.find(repo, "@last")
    packages = catalog.read_file(repo, run, "environment.txt")
    return run, None if packages is None else packages.decode()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("nice -n 5 ./their/python3.9 -u train.py", "their/python3.9"),
        ("env LR=1 timeout 5 ./their/python3.9 train.py", "their/python3.9"),
        ("./train.py", "their/python3.9"),
        ("./by-env", "their/python3.9"),
        ("./by-pip", "a folder/python"),
        ("poetry -C model run train", "poetry -C model run python"),
        ("conda run -n gpu python train.py", "conda run -n gpu python"),
        ("uv run --extra gpu train.py", "uv run --no-sync --extra gpu python"),
        ("uv run --no-sync -m train", "uv run --no-sync python"),
        ("uv run -- train", "uv run --no-sync python"),
        ("uv run own.py", None),
        ("uv sync", None),
        ("./loop", None),
        ("./binary", None),
        ("not-there", None),
        ("time ./binary train.py", None),
    ],
)
def test_which_python_a_command_starts(work: Path, command: str, expected: str | None) -> None:
    executable(work / "their" / "python3.9", "")
    executable(work / "a folder" / "python", "")
    executable(work / "train.py", f"#!{work}/their/python3.9 -E\n")
    executable(work / "by-env", "#!/usr/bin/env -S python3.9 -u\n")
    executable(work / "by-pip", f"#!/bin/sh\n'''exec' \"{work}/a folder/python\" \"$0\" \"$@\"\n' '''\n")
    executable(work / "loop", f"#!{work}/loop\n")
    executable(work / "binary", "\x7fELF")
    (work / "own.py").write_text("# /// script\n# dependencies = ['six']\n# ///\n")
    found = python_of(command.split(), {"PATH": f"{work}/their:{os.environ['PATH']}"})
    assert (" ".join(found.words).removeprefix(f"{work}/") if found else None) == expected


def test_of_a_shell_it_is_the_python_in_path(work: Path) -> None:
    theirs = executable(work / "their" / "python", "")
    script = executable(work / "train", "#!/bin/sh\npython train.py\n")
    for command in ("sh", "-c", "python train.py"), ("make", "train"), (str(script),):
        assert python_of(command, {"PATH": f"{theirs.parent}:{os.environ['PATH']}"}) == Python((str(theirs),), "PATH")


def test_a_command_s_own_packages_are_recorded(repo: Repository, work: Path, venv: Path) -> None:
    run, packages = recorded(repo, str(venv), "-c", "pass")
    assert packages == "theirs==1.5\n"
    assert list(run.environment)[:4] == ["python", "implementation", "prefix", "python_of"]
    assert run.environment["python_of"] == "command" and run.environment["prefix"] == "venv"
    install(venv, "more", "2")
    assert recorded(repo, str(venv), "-c", "pass")[1] == "more==2\ntheirs==1.5\n"
    by_shell, packages = recorded(repo, "sh", "-c", "python -c pass", PATH=f"{venv.parent}:{os.environ['PATH']}")
    assert by_shell.environment["python_of"] == "PATH" and packages == "more==2\ntheirs==1.5\n"


def test_of_our_own_python_it_is_ours(repo: Repository, work: Path) -> None:
    run, packages = recorded(repo, sys.executable, "-c", "pass")
    assert run.environment["python_of"] == "command" and packages and "click==" in packages
    assert run.environment["python"] == sysconfig.get_python_version() + f".{sys.version_info[2]}"


def test_what_gxt_log_records_is_said_to_be_gxt_s_own(repo: Repository, work: Path) -> None:
    run_python("-m", "gxt", "log", "-n", "logged")
    run_python(code="import gxt\nwith gxt.start_run(run_name='script'): pass")
    assert catalog.find(repo, "logged").environment["python_of"] == "gxt"
    assert "python_of" not in catalog.find(repo, "script").environment


def test_what_is_no_python_has_no_packages(repo: Repository, work: Path) -> None:
    run, packages = recorded(repo, "true")
    assert run.environment["python_of"] == "none" and packages is None
    assert "python" not in run.environment and run.environment["cpus"]


def test_what_a_python_has_is_asked_once(repo: Repository, work: Path, venv: Path) -> None:
    home = repo.common_dir / "gxt"
    home.mkdir(exist_ok=True)
    (work / "json.py").write_text("raise SystemExit('mine')\n")  # which is not run
    first = StartedPython([str(venv)], home)
    assert not first.ask()
    about = first.about()
    assert about[1] == "theirs==1.5\n" and first.about() == about
    again = StartedPython([str(venv)], home)
    assert again.ask() and again.about() == about
    (home / started.FILE).write_text("{spoiled")
    assert not (spoiled := StartedPython([str(venv)], home)).ask()
    assert spoiled.about() == about


@pytest.mark.parametrize("code", ["sleep 60", "echo no answer", "exit 3"])
def test_a_python_that_does_not_answer_costs_only_its_packages(
    repo: Repository, work: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(started, "_PATIENCE", 0.3)
    python = executable(work / "python3.99", f"#!/bin/sh\n{code}\n")
    asked = StartedPython([str(python)], repo.common_dir)
    asked.ask()
    values, packages = asked.about()
    assert values == {"python": None, "implementation": None, "prefix": None, "python_of": "unknown"}
    assert packages is None


def asked(python: Path) -> tuple[float, str | None]:
    """How long the packages of a Python are waited for, and they."""
    question = StartedPython([str(python)], python.parent)
    question.ask()
    before = time.monotonic()
    _, packages = question.about()
    return time.monotonic() - before, packages


def test_an_answer_without_an_end_is_not_read(work: Path) -> None:
    python = executable(work / "python3.99", f"#!/bin/sh\necho $$ > {work}/pid\nexec yes {'x' * 1000}\n")
    tracemalloc.start()
    took, packages = asked(python)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert packages is None and most < 40 << 20 and took < 8
    with pytest.raises(ProcessLookupError):
        os.kill(int((work / "pid").read_text()), 0)


def test_what_a_wrapper_leaves_behind_is_ended_and_not_waited_for(work: Path, venv: Path) -> None:
    script = f"#!/bin/sh\nsleep 60 &\necho $! > {work}/pid\n'{venv}' \"$@\"\n"
    took, packages = asked(executable(work / "python3.99", script))
    assert packages == "theirs==1.5\n" and took < 8
    left = Path("/proc", (work / "pid").read_text().strip(), "stat")
    for _ in range(100):
        if not left.exists() or left.read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.02)
    else:
        pytest.fail("what the wrapper left behind still runs")


@pytest.mark.skipif(not UV.exists(), reason="uv is not installed")
def test_the_environment_that_uv_makes(repo: Repository, work: Path) -> None:
    (work / "pyproject.toml").write_text(
        '[project]\nname = "taxi"\nversion = "0"\nrequires-python = ">=3.10"\n[tool.uv]\npackage = false\n'
    )
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    run, packages = recorded(repo, str(UV), "run", "--offline", "--python", python, "python", "-c", "pass")
    assert packages == "" and run.environment["prefix"] == "venv" and run.environment["python_of"] == "command"


def test_what_a_broken_installation_left_behind_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, metadata in {
        "good-1": b"Name: good\nVersion: 1\n",
        "no_version-1": b"Name: no_version\n",
        "spoiled-1": b"Name: spoiled\nVersion: 1\n\xff\xfe",
        "empty-1": b"",
    }.items():
        (tmp_path / f"{name}.dist-info").mkdir()
        (tmp_path / f"{name}.dist-info" / "METADATA").write_bytes(metadata)
    (tmp_path / "nothing-1.dist-info").mkdir()
    (tmp_path / "~old-1.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert capture.packages() == "good==1\n"
