"""gxt.reproduce and gxt.rerun in Python, in scripts and notebooks; and what they leave behind when they end early."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import gxt
from gxt import catalog, doctor, store, temporary
from gxt.errors import NotFoundError, UsageError
from gxt.git import Repository
from gxt.model import Run
from helpers import git, put_on_branch, run_python, write_script

TRAIN = """
import argparse, os, time, gxt
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.5)
arguments = parser.parse_args()
with gxt.start_run():
    gxt.log_param("lr", arguments.lr)
    gxt.log_metric("rmse", arguments.lr * 3 + float(os.environ.get("NOISE", "0")))
    gxt.log_metric("seconds", time.time())
    print("trained é", flush=True)
    if os.environ.get("SLOW"):
        open(os.environ["SLOW"], "w").close()
        time.sleep(60)
"""


@pytest.fixture
def trained(work: Path, repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run of a program in `work`, and temporary folders of the test's own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    write_script(work / "train.py", TRAIN)
    run_python("train.py", "--lr", "0.5", cwd=work)
    return catalog.find(repo, "@last")


def leftovers() -> list[str]:
    """What is left of work trees: folders, and what git knows of."""
    folders = [path.name for path in Path(tempfile.gettempdir()).glob("gxt-again-*")]
    return [*folders, *git("worktree", "list").splitlines()[1:]]


# --- Python -----------------------------------------------------------------------------------------------------------


def test_reproduce(trained: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = gxt.reproduce(trained, metrics="rmse")
    assert found.held is True and found.summary == "held: 1 identical" and found.then == trained
    (verdict,) = found.metrics
    assert verdict == ("rmse", 1.5, 1.5, 0.0, "identical")
    assert found.run.source["reproduces"] == trained.id and found.compared.id == found.run.id and found.exit_code == 0
    assert "trained é\n" in capsys.readouterr().out
    assert repr(found) == f"<Reproduction of {trained.name} by {found.run.name}: held: 1 identical>"
    page = found._repr_html_()
    assert found.run.id in page and "identical" in page and page.startswith('<div class="gxt-card">')
    assert found.to_dict()["new_run"] == found.run.id
    monkeypatch.setenv("NOISE", "0.25")
    found = gxt.reproduce(trained.id, tolerance={"rmse": "10%", "seconds": 1e9}, quiet=True)
    assert found.held is False and found.metrics[0].difference == 0.25
    assert found.summary == "did not hold: 1 held, 1 differs" and capsys.readouterr().out == ""
    assert gxt.reproduce("@last", tolerance=1e9, params={"lr": 0.5}, quiet=True).held is True
    assert leftovers() == []


def test_nothing_to_compare(trained: Run, work: Path) -> None:
    write_script(work / "train.py", "import gxt\nwith gxt.start_run(): pass\n")
    run_python("train.py", cwd=work)
    found = gxt.reproduce("@last", quiet=True)
    assert found.held is None and found.summary == "cannot be told: no metric to compare"


def test_rerun(trained: Run, capsys: pytest.CaptureFixture[str]) -> None:
    found = gxt.rerun(trained, params={"lr": 2}, name="faster", quiet=True)
    assert found.params == {"lr": (0.5, 2)} and found.metrics["rmse"] == (1.5, 6, "worse")
    assert found.run.source["rerun_of"] == trained.id and found.run.name == "faster"
    assert repr(found) == f"<Rerun of {trained.name} as faster: finished>" and "worse" in found._repr_html_()
    failed = gxt.rerun(trained, command="python -c 'raise SystemExit(3)'", quiet=True)
    assert (failed.exit_code, failed.run.status) == (3, "failed")
    assert [remark for remark in failed.remarks if remark.startswith("kept ")] and capsys.readouterr().out == ""


def test_wrong_calls(trained: Run, repo: Repository) -> None:
    count = len(catalog.listing(repo).runs)
    for arguments, said in (
        ({"env": "conda"}, "no environment 'conda'"),
        ({"tolerance": "much"}, "no tolerance 'much'"),
        ({"goals": {"rmse": "low"}}, "low"),
        ({"command": "python 'half"}, "cannot be split"),
        ({"timeout": "soon"}, "soon"),
        ({"params": {"depth": 3}}, "no argument for the param depth"),
        ({"with_paths": "nothing"}, "no such file"),
    ):
        with pytest.raises(UsageError, match=said):
            gxt.reproduce(trained, quiet=True, **arguments)
    with pytest.raises(NotFoundError, match="no metric 'nope'"):
        gxt.reproduce(trained, metrics=["nope"])
    with pytest.raises(NotFoundError):
        gxt.rerun("nobody")
    assert len(catalog.listing(repo).runs) == count and leftovers() == []


def test_a_command_that_takes_too_long(trained: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLOW", str(tmp_path / "slow"))
    before = time.monotonic()
    found = gxt.reproduce(trained, timeout=3, metrics=["rmse"], quiet=True)
    assert time.monotonic() - before < 30
    assert list(found.lines()) == ["the command took longer than the timeout, and was ended"]
    assert found.timed_out and found.to_dict()["timed_out"] is True
    assert found.held is None and (found.run.status, found.exit_code) == ("killed", 143)
    assert found.summary == "cannot be told: the command was ended at the timeout, 1 identical"  # as far as it came


def test_nobody_waits_for_what_a_command_left_in_another_session(trained: Run, tmp_path: Path) -> None:
    code = "import subprocess, sys, time\nprocess = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
    code += "open(sys.argv[1], 'w').write(str(process.pid))\ntime.sleep(60)\n"
    before = time.monotonic()
    found = gxt.reproduce(trained, command=["python", "-c", code, str(tmp_path / "pid")], timeout=2, quiet=True)
    took = time.monotonic() - before
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert found.run.status == "killed" and took < 6


def test_a_notebook_shows_what_the_command_prints(trained: Run, work: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    cells = [f"import gxt\nfound = gxt.reproduce({trained.id!r}, metrics=['rmse'])", "found"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(work)}}).execute()
    first, second = notebook.cells
    assert "trained é" in "".join(output.get("text", "") for output in first.outputs)
    assert "gxt-card" in second.outputs[0]["data"]["text/html"]


# --- ended early ------------------------------------------------------------------------------------------------------


def begin(run: Run, tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    """`gxt reproduce`, once the command that it started has logged; in a group of its own, as a shell has it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gxt", *(arguments or ("reproduce", run.id))],
        env=os.environ | {"SLOW": str(tmp_path / "slow")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "slow").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (tmp_path / "slow").exists(), process.communicate()
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["reproduce", "rerun"])
def test_interrupted_it_keeps_what_there_was(
    trained: Run, repo: Repository, tmp_path: Path, number: int, command: str
) -> None:
    process = begin(trained, tmp_path, command, trained.id)
    os.killpg(process.pid, number)  # as Ctrl-C on a terminal and a scheduler do, to all of the group
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number, err
    kept = catalog.find(repo, "@last")
    assert (kept.status, kept.metrics["rmse"].last, kept.place) == ("killed", 1.5, "branch")
    assert f"killed, and kept with what it had: {kept.name} ({kept.id}) in default" in err
    assert out == "" and "lost sys.stderr" not in err and err.count("Traceback") == (number == signal.SIGINT)
    assert leftovers() == [] and list((repo.common_dir / "gxt" / "again").iterdir()) == []


def test_in_python_ctrl_c_is_a_keyboard_interrupt(trained: Run, tmp_path: Path) -> None:
    code = f"import gxt\ntry:\n    gxt.reproduce({trained.id!r})\nexcept KeyboardInterrupt:\n    print('caught')\n"
    script = write_script(tmp_path / "again.py", code)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        env=os.environ | {"SLOW": str(tmp_path / "slow")},
        stdout=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "slow").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and out.endswith("caught\n") and "killed, and kept" in out
    assert leftovers() == []


def test_a_shell_script_is_ended_with_what_it_started(trained: Run, work: Path, tmp_path: Path) -> None:
    code = 'import os, sys, time; open(os.environ["SLOW"], "w").write(str(os.getpid())); time.sleep(60)'
    write_script(work / "job.py", code)
    write_script(work / "job.sh", "python job.py | cat\n")
    subprocess.run([sys.executable, "-m", "gxt", "run", "--", "true"], check=True)
    process = begin(trained, tmp_path, "rerun", "@last", "--", "sh", "job.sh")
    deadline = time.monotonic() + 10
    while not (tmp_path / "slow").read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.terminate()  # gxt alone is told
    process.communicate(timeout=30)
    grandchild = int((tmp_path / "slow").read_text())
    assert process.returncode == 143 and leftovers() == []
    with pytest.raises(ProcessLookupError):
        for _ in range(500):
            os.kill(grandchild, 0)
            time.sleep(0.01)


def test_what_a_killed_process_left_is_told_and_taken_away(trained: Run, repo: Repository, tmp_path: Path) -> None:
    process = begin(trained, tmp_path)
    process.kill()
    process.communicate()
    (left,) = Path(tempfile.gettempdir()).glob("gxt-again-*")
    assert temporary.abandoned(repo) == []  # the command goes on there
    (command,) = [int(p.name) for p in Path("/proc").glob("[0-9]*") if _is_in(p, left)]
    os.kill(command, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while not temporary.abandoned(repo) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert temporary.abandoned(repo) == [left]
    assert [one.what for one in doctor.examine(repo).findings if "left behind" in one.where] == [str(left)]
    with temporary.place(repo) as place:  # the next one clears it away, and is not taken for one itself
        assert not left.exists() and temporary.abandoned(repo) == [] and place.root.exists()
    assert leftovers() == []


def _is_in(process: Path, folder: Path) -> bool:
    try:
        return Path(os.readlink(process / "cwd")).is_relative_to(folder)
    except OSError:
        return False


def test_folders_that_went_with_the_machine_are_forgotten_too(repo: Repository, work: Path, tmp_path: Path) -> None:
    with temporary.place(repo) as place:
        git("worktree", "add", "-q", "--detach", str(place.folder))
        marks = {path: path.read_bytes() for path in (repo.common_dir / "gxt" / "again").iterdir()}
        place.stays = True
    git("worktree", "lock", str(place.folder))
    shutil.rmtree(place.root)
    for path, content in marks.items():
        path.write_bytes(content)
    assert store.leftovers(repo) == [place.root] and store.clean_up(repo) == [place.root]
    assert store.leftovers(repo) == [] and len(git("worktree", "list").splitlines()) == 1


def test_a_folder_that_is_kept_is_nobodys_leftover(trained: Run, repo: Repository) -> None:
    found = gxt.reproduce(trained, keep=True, quiet=True)
    assert found.run.status == "finished" and temporary.clear(repo) == [] and len(leftovers()) == 2


def test_folders_of_failed_commands_stay_for_a_day_and_only_a_few(
    trained: Run, repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = []
    for _ in range(5):
        with temporary.place(repo) as place:
            git("worktree", "add", "-q", "--detach", str(place.folder))
            place.lingers = True
            kept.append(place.root)
    assert [root.exists() for root in kept] == [False, False, True, True, True] and len(leftovers()) == 6
    assert store.leftovers(repo) == []  # nobody has to do anything about them
    later = time.time() + 86_401
    monkeypatch.setattr(time, "time", lambda: later)
    assert store.clean_up(repo) == sorted(kept[2:]) and leftovers() == []


def test_a_name_that_the_program_gives_is_no_matter_when_it_is_run_again(
    trained: Run, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_script(
        work / "train.py", "import gxt\nwith gxt.start_run(run_name='base', tags={'a': 1}): gxt.log_metric('rmse', 1)\n"
    )
    run_python("train.py", cwd=work)
    found = gxt.reproduce("@last")
    assert found.held and found.run.tags == {"a": "1"} and "Warning" not in capsys.readouterr().out


# --- what is there ----------------------------------------------------------------------------------------------------


def test_no_hook_of_the_users_runs(trained: Run, work: Path, tmp_path: Path) -> None:
    names = "post-checkout post-index-change pre-auto-gc post-rewrite pre-commit fsmonitor-watchman".split()
    for name in names:
        hook = work / ".git" / "hooks" / name
        hook.write_text(f"#!/bin/sh\necho {name} >> '{tmp_path}/hooks.log'\nexit 1\n")
        hook.chmod(0o755)
    assert gxt.reproduce(trained, metrics=["rmse"], quiet=True).held and leftovers() == []
    assert not (tmp_path / "hooks.log").exists()


lfs = pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")


@pytest.fixture
def large(trained: Run, work: Path) -> None:
    """A run of code with a file in Git LFS, in a clone where nobody called `git lfs install`."""
    (work / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (work / "model.bin").write_bytes(b"weights" * 100)
    write_script(
        work / "train.py", "import gxt\nwith gxt.start_run(): gxt.log_metric('n', len(open('model.bin').read()))\n"
    )
    git("lfs", "install", "--local")
    git("add", ".")
    git("commit", "-q", "-m", "large")
    run_python("train.py", cwd=work)
    git("lfs", "uninstall", "--local")


@lfs
def test_files_in_git_lfs_are_there_without_git_lfs_install(large: None, work: Path) -> None:
    assert "filter.lfs.smudge" not in git("config", "--list")
    found = gxt.reproduce("@last", quiet=True)
    assert found.held and found.pointers == () and found.remarks == ()
    assert found.run.source["dirty"] is False and git("rev-parse", "HEAD") == found.run.source["snapshot"]


@lfs
def test_pointers_are_told_before_and_with_the_verdict(large: None, work: Path) -> None:
    shutil.rmtree(work / ".git" / "lfs" / "objects")
    found = gxt.reproduce("@last", quiet=True)
    assert found.held is False and found.pointers == ("model.bin",)
    assert "in Git LFS, and there as pointers alone: model.bin" in list(found.lines())
    assert found.remarks[0].startswith("of model.bin in Git LFS only the pointer is there")


def test_the_folder_that_it_ran_in(trained: Run, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "sub").mkdir()
    monkeypatch.chdir(work / "sub")
    code = "import gxt\nwith gxt.start_run(): gxt.log_metric('a', 1)\n"
    run_python("-c", code)
    monkeypatch.chdir(work)
    with pytest.raises(UsageError, match="ran in the folder sub, which its code does not have") as caught:
        gxt.reproduce("@last", quiet=True)
    assert "--with sub" in str(caught.value.hint)
    assert gxt.reproduce("@last", with_paths="sub", quiet=True).held


def test_names_too_long_for_the_system_are_of_nothing(trained: Run, repo: Repository) -> None:
    path = f"experiments/{trained.experiment}/{trained.id}"
    long = "x" * 300
    put_on_branch(
        f"{path}/inputs.yaml", f"a: {{source: /{long}/a.csv}}\nb: {{digest: 'sha256:0', source: {long}.csv}}\n"
    )
    assert gxt.reproduce(trained.id, metrics="rmse", quiet=True).held
    about = (catalog.read_file(repo, trained, "run.yaml") or b"").decode()
    put_on_branch(f"{path}/run.yaml", about.replace("\nsource:\n", f"\nsource:\n  cwd: {long}\n"))
    with pytest.raises(UsageError, match=f"ran in the folder {long}, which its code does not have"):
        gxt.reproduce(trained.id, quiet=True)
    assert leftovers() == []


def test_words_are_passed_on_as_they_are(trained: Run, work: Path, repo: Repository) -> None:
    words = ["a b", "it's", '"q"', "~", "~/x", "*.py", "$HOME", "a\\b", "", "é;&|", "line\nline"]
    write_script(work / "show.py", "import json, sys\nopen('/dev/stderr', 'w').write(json.dumps(sys.argv[1:]))\n")
    git("add", ".")
    git("commit", "-q", "-m", "show")
    subprocess.run([sys.executable, "-m", "gxt", "run", "--", "python", "show.py", *words], check=True)
    then = catalog.find(repo, "@last")
    found = gxt.reproduce(then, quiet=True)
    logs = [catalog.read_file(repo, run, "output.log") for run in (then, found.run)]
    assert logs[0] == logs[1] and json.loads(logs[1] or b"") == words
    assert found.run.source["command"] == then.source["command"]


def test_an_argument_that_is_not_utf_8_is_passed_on_as_it_is(trained: Run, work: Path, repo: Repository) -> None:
    code = "import os, sys, gxt\nwith gxt.start_run(): print(os.fsencode(sys.argv[1])); gxt.log_metric('a', 1)\n"
    write_script(work / "odd.py", code)
    git("add", ".")
    git("commit", "-q", "-m", "odd")
    for command in (["python", "odd.py"], [sys.executable, "-m", "gxt", "run", "--", "python", "odd.py"]):
        done = subprocess.run([*map(os.fsencode, command), b"it's lat\xe9"], capture_output=True, check=True)
        then = catalog.find(repo, "@last")
        assert str(then.source["command"]).endswith(r" odd.py $'it\x27s lat\xe9'")
        found = gxt.reproduce(then, metrics=["a"] if then.metrics else None, quiet=True)
        assert catalog.read_file(repo, found.run, "output.log") == done.stdout
        assert found.run.source["command"] == then.source["command"]
    shown = subprocess.run(
        [sys.executable, "-m", "gxt", "reproduce", "@last", "--dry-run"], capture_output=True, check=True
    )
    assert rb"odd.py $'it\x27s lat\xe9'" in shown.stdout + shown.stderr


def test_how_a_program_was_started(trained: Run, work: Path, repo: Repository) -> None:
    (work / "pkg").mkdir()
    write_script(work / "pkg" / "__main__.py", "import gxt\nwith gxt.start_run(): gxt.log_metric('a', 1)\n")
    write_script(work / "job.sh", "echo data | python -m pkg | cat\n")
    run_python("-m", "pkg")
    assert gxt.reproduce("@last", quiet=True).held
    subprocess.run(["sh", "job.sh"], check=True)
    assert gxt.reproduce("@last", quiet=True).held
    subprocess.run([sys.executable, "-m", "gxt", "run", "--", "sh", "job.sh"], check=True)
    assert gxt.reproduce("@last", quiet=True).held


def test_one_of_several_processes_is_not_run_alone(trained: Run, work: Path) -> None:
    run_python("train.py", WORLD_SIZE="2", RANK="0")
    with pytest.raises(UsageError, match="recorded by one of 2 processes, which a launcher started") as caught:
        gxt.reproduce("@last", quiet=True)
    assert "torchrun --nproc-per-node 2" in str(caught.value.hint)
    code = "import os, subprocess, sys; subprocess.run([sys.executable, 'train.py'], check=True)"
    assert gxt.reproduce("@last", command=["python", "-c", code], metrics=["rmse"], quiet=True).held
