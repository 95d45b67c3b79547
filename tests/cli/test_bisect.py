"""gxt bisect: the commit that made a metric worse, from recorded runs and from new ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from cli.conftest import Gxt
from gxt import catalog, recorder
from gxt.git import Repository
from helpers import checkout_state, git

PYTHON = sys.executable
FIRST_BAD = 5  # the number of a commit

TRAIN = """
import gxt
from model import ERROR
with gxt.start_run():
    gxt.log_metric("rmse", ERROR)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made, in this process too, which may have looked for the place before."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def make_history(count: int = 8, broken: tuple[int, ...] = (), slow: int | None = None) -> list[str]:
    """Commits of which those from FIRST_BAD on are bad, and some fail; their ids."""
    Path("train.py").write_text(TRAIN)
    ids = []
    for number in range(count):
        error = "oops" if number in broken else "7.5" if number >= FIRST_BAD else "6.25"
        sleep = "import time; open('started', 'w'); time.sleep(60)\n" if number == slow else ""
        Path("model.py").write_text(f"{sleep}ERROR = {error}  # {number}\n")
        git("add", ".")
        git("commit", "-q", "-m", f"commit {number}")
        ids.append(git("rev-parse", "HEAD"))
    return ids


def make_file(path: str) -> str:
    """A new file that git is to know."""
    Path(path).write_text("new\n")
    git("add", path)
    return path


def record_at(repo: Repository, commit: str, rmse: float, command: str = f"{PYTHON} train.py", **source: object) -> str:
    """A run of a commit's code, as if it had been recorded then."""
    from gxt.capture import Known

    about = {"command": command, "commit": commit, "dirty": False, "snapshot": commit, **source}
    run = recorder.begin(repo, "taxi", origin=Known(about, {}))
    run.log_metric("rmse", rmse)
    run.end()
    return run.run_id


def state(work: Path) -> dict[str, object]:
    """As `checkout_state`, less a file that git writes anew, of the same content, whenever it deletes a ref."""
    found = checkout_state(work)
    found.pop(str(work / ".git" / "packed-refs"), None)
    return found


ASKED = ("bisect", "--metric", "rmse <= 6.5", "-e", "taxi")
COMMAND = ("--", PYTHON, "train.py")


def test_the_first_bad_commit_is_found_by_running_each(gxt: Gxt, repo: Repository, work: Path, temporary: Path) -> None:
    ids = make_history()
    before = state(work)
    found = gxt(*ASKED, "--good", ids[0], "--json", *COMMAND).json
    assert found["first_bad"]["commit"] == ids[FIRST_BAD]
    assert found["first_bad"]["subject"] == f"commit {FIRST_BAD}"
    assert [change["path"] for change in found["files"]] == ["model.py"]
    assert (found["good"], found["bad"], found["condition"]) == (ids[0], ids[-1], "rmse <= 6.5")
    # both ends, and at most the logarithm of what lies between
    assert 4 <= sum(step["ran"] for step in found["steps"]) <= 5
    assert state(work) == before and git("worktree", "list").count("\n") == 0
    assert list(temporary.iterdir()) == []
    runs = {run.id: run for run in catalog.listing(repo).runs}
    assert {run.tags["bisect"] for run in runs.values()} == {found["tag"]}
    for step in found["steps"]:
        for run_id in step["runs"]:
            source = runs[run_id].source
            assert (source["commit"], source["snapshot"], source["dirty"]) == (step["commit"], step["commit"], False)
            assert git("rev-parse", f"refs/gxt/code/{step['commit']}") == step["commit"]
    assert [runs[run].metrics["rmse"].last for run in found["before"] + found["since"]] == [6.25, 7.5]


def test_recorded_runs_answer_and_only_gaps_are_run(gxt: Gxt, repo: Repository) -> None:
    ids = make_history()
    for number, rmse in ((2, 6.25), (6, 7.5), (7, 7.5)):
        record_at(repo, ids[number], rmse)
    done = gxt(*ASKED, *COMMAND)
    assert f"first bad commit: {ids[5]}" in done.out
    lines = done.out.splitlines()
    assert lines[0].startswith(f"good  {ids[2][:9]} commit 2  rmse 6.25 (") and lines[0].endswith("recorded")
    assert lines[1].startswith(f"bad   {ids[7][:9]} commit 7  rmse 7.5 (") and "recorded" in lines[1]
    assert lines[2].startswith(f"bad   {ids[6][:9]} commit 6") and "recorded" in lines[2]
    assert all(", ran" in line for line in lines[3:5]) and lines[5] == ""
    assert len(catalog.listing(repo).runs) == 5
    assert all(", ran" not in line for line in gxt(*ASKED, *COMMAND).out.splitlines())  # now it is all known
    assert len(catalog.listing(repo).runs) == 5


def test_runs_of_other_commands_folders_and_experiments_do_not_answer(gxt: Gxt, repo: Repository) -> None:
    ids = make_history(6)
    record_at(repo, ids[5], 6.25, command="python other.py")
    record_at(repo, ids[5], 6.25, cwd="elsewhere")
    found = gxt(*ASKED, "--good", ids[4], "--json", *COMMAND).json
    assert found["first_bad"]["commit"] == ids[5]


def test_the_files_count_not_the_name_of_the_commit(gxt: Gxt, repo: Repository) -> None:
    ids = make_history(6)
    git("commit", "-q", "--amend", "-m", "other words")
    record_at(repo, ids[4], 6.25)
    record_at(repo, ids[5], 7.5, command="/opt/elsewhere/python3.9 train.py")
    found = gxt(*ASKED, "--json", *COMMAND).json
    assert found["first_bad"]["subject"] == "other words" and sum(step["ran"] for step in found["steps"]) == 0


def test_a_command_that_fails_is_passed_over(gxt: Gxt, repo: Repository) -> None:
    ids = make_history(broken=(3, 4))
    found = gxt(*ASKED, "--good", ids[2], "--bad", "HEAD", "--json", *COMMAND, code=1).json
    assert found["first_bad"] is None and set(found["possible"]) == {ids[3], ids[4], ids[5]}
    assert [step["why"] for step in found["steps"] if step["result"] == "skip"] == ["failed with exit code 1"] * 2
    count = len(catalog.listing(repo).runs)
    again = gxt(*ASKED, "--good", ids[2], "--bad", "HEAD", *COMMAND, code=1)
    assert "the first bad one is among" in again.out and ids[4][:9] in again.out
    assert len(catalog.listing(repo).runs) == count  # what failed is not run again
    found = gxt(*ASKED, "--good", ids[2], "--fail-is-bad", "--json", *COMMAND).json
    assert found["first_bad"]["commit"] == ids[3]


def test_without_a_command_recorded_runs_answer_alone(gxt: Gxt, repo: Repository) -> None:
    ids = make_history()
    for number, rmse in ((2, 6.25), (4, 6.25), (5, 7.5), (7, 7.5)):
        record_at(repo, ids[number], rmse, command="make train")
    assert gxt(*ASKED, "--json").json["first_bad"]["commit"] == ids[5]
    done = gxt(*ASKED, "--good", ids[2], "--bad", ids[4], code=2)
    assert f"{ids[4]} is good by what was recorded" in done.err
    assert len(catalog.listing(repo).runs) == 4


def test_most_of_several_runs_decide(gxt: Gxt, repo: Repository) -> None:
    ids = make_history(6)
    for rmse in (6.25, 7.5, 6.25):
        record_at(repo, ids[4], rmse)
    for rmse in (7.5, 6.25):
        record_at(repo, ids[5], rmse)
    found = gxt(*ASKED, "--runs", "3", "--json", *COMMAND).json
    assert found["first_bad"]["commit"] == ids[5]
    assert [step["ran"] for step in found["steps"]] == [0, 1]


def test_branches_that_were_merged(gxt: Gxt, repo: Repository) -> None:
    ids = make_history(4)
    git("checkout", "-q", "-b", "topic", ids[1])
    Path("other.py").write_text("1\n")
    git("add", ".")
    git("commit", "-q", "-m", "aside")
    Path("model.py").write_text("ERROR = 9\n")
    git("commit", "-q", "-am", "worse")
    worse = git("rev-parse", "HEAD")
    git("checkout", "-q", "main")
    git("merge", "-q", "-s", "recursive", "-X", "theirs", "-m", "merged", "topic")
    found = gxt(*ASKED, "--good", ids[0], "--json", *COMMAND).json
    assert found["first_bad"]["commit"] == worse
    # The good one is on another line: what the two have in common has to be good first.
    record_at(repo, git("rev-parse", "topic~1"), 6.25)
    found = gxt(*ASKED, "--good", ids[2], "--bad", "topic", "--json", *COMMAND).json
    assert found["first_bad"]["commit"] == worse


def test_data_that_git_ignores_is_linked(gxt: Gxt, repo: Repository, work: Path) -> None:
    Path("data").mkdir()
    Path("data/speed").write_text("18\n")
    Path("sets").mkdir()
    Path("sets/all").write_text("1\n")
    Path(".gitignore").write_text("data/\nsets/\n")
    ids = make_history(7)
    code = f"open('data/speed'); open('sets/all')\n{TRAIN}    print('dirty' if gxt.active_run() is None else 'fine')\n"
    command = ("--", PYTHON, "-c", code)
    failed = gxt(*ASKED, "--good", ids[3], "--bad", "HEAD", *command, code=1)
    assert "cannot be tested: failed with exit code 1" in failed.err and "--link PATH" in failed.err
    failed = gxt(*ASKED, "--good", ids[3], "--bad", "HEAD", "--no-check-ends", *command, code=1)
    assert "not tested: taken as said" in failed.out and "--link PATH" in failed.err
    run = recorder.begin(repo, "taxi")
    run.log_input("sets/*")
    run.end()
    again = (*ASKED, "--fail-is-bad", "--good", ids[3], "--link", "data", *command)
    assert f"{ids[3]} is bad by what was recorded" in gxt(*again, code=2).err  # the failure is remembered
    code += "#"
    found = gxt(*ASKED, "--good", ids[3], "--link", "data", "--json", "--", PYTHON, "-c", code).json
    assert found["first_bad"]["commit"] == ids[5]
    assert Path("data/speed").read_text() == "18\n" and not Path("data").is_symlink()
    assert "not in the work tree" in gxt(*ASKED, "--good", ids[3], "--link", "/etc", *COMMAND, code=2).err
    assert "no such file" in gxt(*ASKED, "--good", ids[3], "--link", "nope", *COMMAND, code=2).err


def test_what_is_imported_is_the_commits_and_not_the_users(
    gxt: Gxt, repo: Repository, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "src").mkdir()
    (work / "scripts").mkdir()
    for number, error in enumerate((6.0, 6.0, 7.0, 7.0)):
        Path("src/model.py").write_text(f"ERROR = {error}  # {number}\n")
        Path("scripts/train.py").write_text(TRAIN)
        git("add", ".")
        git("commit", "-q", "-m", f"commit {number}")
    monkeypatch.setenv("PYTHONPATH", str(work / "src"))  # as `pip install -e` has it
    monkeypatch.chdir(work / "scripts")
    found = gxt(*ASKED, "--good", "HEAD~3", "--json", *COMMAND).json
    assert found["first_bad"]["subject"] == "commit 2"
    assert {run.source["cwd"] for run in catalog.listing(repo).runs} == {"scripts"}


def test_submodules_are_there(gxt: Gxt, repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("config", "--global", "protocol.file.allow", "always")
    git("init", "-q", str(tmp_path / "inner"))
    (tmp_path / "inner" / "model.py").write_text("ERROR = 6\n")
    git("add", ".", cwd=tmp_path / "inner")
    git("commit", "-q", "-m", "good", cwd=tmp_path / "inner")
    Path("train.py").write_text(TRAIN.replace("from model", "from inner.model"))
    git("submodule", "--quiet", "add", str(tmp_path / "inner"))
    git("add", ".")
    git("commit", "-q", "-m", "good")
    Path("inner/model.py").write_text("ERROR = 7\n")
    git("commit", "-q", "-a", "-m", "bad", cwd=Path("inner"))
    git("push", "-q", "origin", "HEAD:refs/heads/other", cwd=Path("inner"))
    git("commit", "-q", "-a", "-m", "worse")
    git("init", "-q", "nested")
    git("commit", "-q", "--allow-empty", "-m", "by mistake", cwd=Path("nested"))
    git("-c", "advice.addEmbeddedRepo=false", "add", "nested")
    git("commit", "-q", "-m", "more")
    done = gxt(*ASKED, "--good", "HEAD~2", "--json", *COMMAND)
    assert done.json["first_bad"]["subject"] == "worse" and git("worktree", "list").count("\n") == 0
    assert "nested is empty: .gitmodules does not name it" in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing_behind_and_goes_on(
    gxt: Gxt, repo: Repository, work: Path, number: int, tmp_path: Path
) -> None:
    ids = make_history(slow=3)
    arguments = [PYTHON, "-m", "gxt", *ASKED, "--good", ids[0], *COMMAND]
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    started = Path(os.environ["TMPDIR"])
    deadline = time.monotonic() + 30
    while not list(started.glob("gxt-*/*/started")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number, err
    assert "the same command goes on" in err
    assert git("worktree", "list").count("\n") == 0 and not list(started.glob("gxt-*"))
    runs = catalog.listing(repo).runs
    assert [run.status for run in runs] == ["finished", "finished", "killed"] and all(
        run.place == "branch" for run in runs
    )
    Path("model.py").write_text("ERROR = 6.25\n")
    record_at(repo, ids[3], 6.25)
    found = gxt(*ASKED, "--good", ids[0], "--json", *COMMAND).json
    assert found["first_bad"]["commit"] == ids[5] and found["steps"][0]["ran"] == 0


def test_the_users_own_bisection_is_left_alone(gxt: Gxt, repo: Repository) -> None:
    ids = make_history()
    git("bisect", "start", ids[7], ids[0])
    at, log = git("rev-parse", "HEAD"), git("bisect", "log")
    assert gxt(*ASKED, "--good", ids[0], "--bad", ids[7], "--json", *COMMAND).json["first_bad"]["commit"] == ids[5]
    assert (git("rev-parse", "HEAD"), git("bisect", "log")) == (at, log)


def test_what_is_asked_for_wrongly(gxt: Gxt, repo: Repository) -> None:
    ids = make_history(3)
    assert "--good COMMIT" in gxt(*ASKED, *COMMAND, code=3).err
    assert "no commit 'nope'" in gxt(*ASKED, "--good", "nope", *COMMAND, code=3).err
    assert f"{ids[2][:9]} is good, not bad" in gxt(*ASKED, "--good", ids[0], *COMMAND, code=1).err
    record_at(repo, ids[1], 9.0)
    git("commit", "-q", "--allow-empty-message", "-m", "", "--", make_file("notes.md"))
    done = gxt(*ASKED, "--good", ids[1], "--bad", "HEAD", "--no-check-ends", *COMMAND, code=2)
    assert f"{ids[1]} is bad by what was recorded" in done.err
    assert "no run has 'rmze'" in gxt("bisect", "--metric", "rmze < 1", "-e", "taxi", *COMMAND, code=3).err
    assert "no such command" in gxt(*ASKED, "--good", ids[0], "--", "no-such-program", code=2).err
    assert "--metric is empty" in gxt("bisect", "--metric", " ", *COMMAND, code=2).err
    done = gxt(*ASKED, "--good", ids[0], "--", "./not-there-yet", code=1)
    assert "cannot be tested: no such command: ./not-there-yet" in done.err


def test_both_ends_are_tested_unless_they_are_to_be_taken_as_said(gxt: Gxt, repo: Repository) -> None:
    ids = make_history(7)
    done = gxt(*ASKED, "--good", ids[5], "--bad", ids[6], *COMMAND, code=1)
    assert f"{ids[5][:9]} is bad, not good: rmse <= 6.5 (" in done.err and "--good COMMIT" in done.err
    done = gxt(*ASKED, "--good", ids[1], "--bad", ids[3], *COMMAND, code=1)
    assert f"{ids[3][:9]} is good, not bad: rmse <= 6.5 (" in done.err
    assert len(catalog.listing(repo).runs) == 3
    found = gxt(*ASKED, "--good", ids[2], "--bad", ids[6], "--no-check-ends", "--json", *COMMAND).json
    assert found["first_bad"]["commit"] == ids[5] and {ids[2], ids[6]}.isdisjoint(s["commit"] for s in found["steps"])


def test_where_nothing_can_be_tested_the_last_lines_say_so(gxt: Gxt, repo: Repository) -> None:
    ids = make_history(broken=(2, 3, 4, 5, 6))
    done = gxt(*ASKED, "--good", ids[1], *COMMAND, code=1)
    assert done.out.count("skip  ") == 5 and "failed with exit code 1" in done.out
    assert "only commits are left that could not be tested; the first bad one is among" in done.out
    assert set(ids[2:]) == set(gxt(*ASKED, "--good", ids[1], "--json", *COMMAND, code=1).json["possible"])


def test_a_program_that_some_commits_do_not_have(gxt: Gxt, repo: Repository) -> None:
    script = f"#!{PYTHON}\n{TRAIN}"
    for number, (error, has_program) in enumerate([(6, True), (6, False), (7, True), (7, True)]):
        Path("model.py").write_text(f"ERROR = {error}  # {number}\n")
        Path("go").write_text(script)
        Path("go").chmod(0o755)
        if not has_program:
            Path("go").unlink()
        git("add", "-A")
        git("commit", "-q", "-m", f"commit {number}")
    found = gxt(*ASKED, "--good", "HEAD~3", "--json", "--", "./go", code=1).json
    assert [step["why"] for step in found["steps"] if step["result"] == "skip"] == ["no such command: ./go"]
    assert len(found["possible"]) == 2 and Path("go").exists()


def test_data_that_has_changed_since_it_was_read_stops_it(gxt: Gxt, repo: Repository) -> None:
    Path("data").mkdir()
    Path("data/speed").write_text("18\n")
    Path(".gitignore").write_text("data/\n")
    ids = make_history(7)
    run = recorder.begin(repo, "taxi")
    run.log_input("data/speed")
    run.end()
    Path("data/speed").write_text("19\n")
    refused = gxt(*ASKED, "--good", ids[0], *COMMAND, code=2).err
    assert f"data/speed is not what run {run.record.name} read: its content has changed" in refused
    assert "--link data/speed takes it as it is" in refused and git("worktree", "list").count("\n") == 0
    assert gxt(*ASKED, "--good", ids[0], "--link", "data", "--json", *COMMAND).json["first_bad"]["commit"] == ids[5]
    Path("data/speed").unlink()
    assert "data/speed, which run" in gxt(*ASKED, "--good", ids[0], *COMMAND).err


# --- where nothing tells ----------------------------------------------------------------------------------------------


def test_without_a_command_an_end_that_no_run_tells_of_is_no_culprit(gxt: Gxt, repo: Repository) -> None:
    ids = make_history(4)
    record_at(repo, ids[2], 6.25)
    done = gxt(*ASKED, code=3)
    assert f"no recorded run tells whether HEAD ({ids[3][:9]}) is bad: rmse <= 6.5" in done.err
    assert "first bad commit" not in done.out and "a command after --" in done.err
    assert "whether v2" in gxt(*ASKED, "--good", tag("v2", ids[1]), "--bad", ids[3], code=3).err
    assert gxt(*ASKED, "--no-check-ends", code=3).out == ""  # nobody has said that HEAD is bad
    done = gxt(*ASKED, "--bad", ids[3], "--no-check-ends")
    assert "not tested: taken as said" in done.out and f"first bad commit: {ids[3]}" in done.out


def tag(name: str, commit: str) -> str:
    git("tag", name, commit)
    return name


def test_commits_that_no_run_tells_of_are_said_once(gxt: Gxt, repo: Repository) -> None:
    ids = make_history(8)
    for number, rmse in ((0, 6.25), (1, 6.25), (7, 7.5)):
        record_at(repo, ids[number], rmse)
    done = gxt(*ASKED, code=1)
    assert "skip" not in done.out and "no recorded run tells of more; the first bad one is among" in done.out
    assert all(commit[:9] in done.out for commit in ids[2:]) and "a command after -- tests them" in done.err
    found = gxt(*ASKED, "--good", ids[0], "--json", code=1).json
    assert set(found["possible"]) == set(ids[2:]) and [s["commit"] for s in found["steps"]] == [ids[0], ids[7], ids[1]]


def test_why_good_runs_do_not_count_is_said(gxt: Gxt, repo: Repository) -> None:
    ids = make_history(4)
    refused = gxt(*ASKED[:3], "-e", "nope", *COMMAND, code=3).err
    assert "no experiment 'nope'" in refused and "--good COMMIT" in refused
    record_at(repo, ids[1], 6.25, command="python train.py --name a")
    record_at(repo, ids[2], 6.25, command="python train.py --name b")
    record_at(repo, ids[2], 6.25, cwd="elsewhere")
    record_at(repo, ids[3], 9.0, command="python other.py")
    git("checkout", "-q", "-b", "aside", ids[0])
    Path("model.py").write_text("ERROR = 1\n")
    git("commit", "-q", "-a", "-m", "aside")
    record_at(repo, git("rev-parse", "HEAD"), 6.25)
    git("checkout", "-q", "main")
    said = gxt(*ASKED, *COMMAND, code=3).err
    assert "no recorded run of taxi is known to be good: rmse <= 6.5; of 4 that are, " in said
    assert "2 ran another command (python train.py --name b)" in said and "1 ran in another folder (elsewhere)" in said
    assert "1 ran code that is not in the history of HEAD" in said and "other.py" not in said


# --- whose runs, on which data ----------------------------------------------------------------------------------------


def test_the_experiment_is_that_of_the_commands_runs(gxt: Gxt, repo: Repository) -> None:
    Path("data").mkdir()
    Path("data/speed").write_text("18\n")
    Path(".gitignore").write_text("data/\n__pycache__/\n")
    ids = make_history(7)
    chosen = TRAIN.replace("import gxt\n", "import gxt\ngxt.set_experiment('taxi')\n", 1)
    chosen = chosen.replace("    gxt.log", "    gxt.log_input('data/speed')\n    open('data/speed')\n    gxt.log", 1)
    command = ("--", PYTHON, "-c", chosen)
    subprocess.run([PYTHON, "-c", chosen], check=True)  # a run of HEAD by hand, in the experiment that it chooses
    record_at(repo, ids[0], 6.25, command="python elsewhere.py")
    other = recorder.begin(repo, "another")
    other.log_metric("rmse", 6.0)
    other.end()
    asked = ("bisect", "--metric", "rmse <= 6.5", "--good", ids[0])
    done = gxt(*asked, "--json", *command)
    assert done.json["first_bad"]["commit"] == ids[5] and done.json["experiment"] == "taxi"
    assert "in taxi, whose runs have the metric; -e names another experiment" in done.err
    assert {run.experiment for run in catalog.listing(repo).runs} == {"taxi", "another"}


def test_of_several_experiments_one_has_to_be_named(gxt: Gxt, repo: Repository) -> None:
    ids = make_history(2)
    record_at(repo, ids[0], 6.25)
    assert "in taxi, whose runs" in gxt(*ASKED[:3], code=3).err
    other = recorder.begin(repo, "another")
    other.log_metric("rmse", 6.0)
    other.end()
    refused = gxt(*ASKED[:3], code=2).err
    assert "runs of several experiments have rmse" in refused and "-e another" in refused and "-e taxi" in refused
    git("config", "gxt.experiment", "taxi")
    assert "known to be good" not in gxt(*ASKED[:3], code=3).err


def record_with_data(repo: Repository, commit: str, rmse: float, path: str = "data/speed") -> str:
    """A run of a commit's code that read a file as it is."""
    from gxt.capture import Known

    about = {"command": f"{PYTHON} train.py", "commit": commit, "dirty": False, "snapshot": commit}
    run = recorder.begin(repo, "taxi", origin=Known(about, {}))
    run.log_input(path)
    run.log_metric("rmse", rmse)
    run.end()
    return run.run_id


def test_runs_that_read_other_data_do_not_answer(gxt: Gxt, repo: Repository) -> None:
    Path("data").mkdir()
    Path("data/speed").write_text("18\n")
    Path(".gitignore").write_text("data/\n")
    ids = make_history(7)
    for number in (0, 4):
        record_with_data(repo, ids[number], 7.5)  # on other data, this was bad
    Path("data/speed").write_text("19\n")
    record_with_data(repo, ids[2], 6.25)
    record_with_data(repo, ids[6], 7.5)
    done = gxt(*ASKED, "--json", *COMMAND)
    assert done.json["first_bad"]["commit"] == ids[5] and done.json["good"] == ids[2]
    assert "2 recorded runs do not count, having read other data: data/speed" in done.err
    alone = gxt(*ASKED, "--json", code=0)  # the latest ones agree, whatever there is by now
    assert alone.json["first_bad"]["commit"] == ids[5] and "2 recorded runs do not count" in alone.err
    Path("data/speed").write_text("20\n")
    assert gxt(*ASKED, "--json").json["first_bad"]["commit"] == ids[5]
    assert "its content has changed" in gxt(*ASKED, *COMMAND, code=2).err
    linked = gxt(*ASKED, "--link", "data", "--json", *COMMAND)  # the runs of the bisection itself have no inputs
    assert "4 recorded runs do not count" in linked.err and linked.json["good"] == ids[4]


def test_data_that_git_tracks_is_code(gxt: Gxt, repo: Repository) -> None:
    Path("data").mkdir()
    ids = []
    for number, error in enumerate((6.0, 6.0, 7.0, 7.0)):
        Path("data/speed").write_text(f"{number}\n")
        Path("train.py").write_text(TRAIN)
        Path("model.py").write_text(f"ERROR = {error}\n")
        git("add", ".")
        git("commit", "-q", "-m", f"commit {number}")
        ids.append(git("rev-parse", "HEAD"))
        record_with_data(repo, ids[-1], error)
    Path("data/speed").write_text("changed\n")
    found = gxt(*ASKED, "--json", *COMMAND)
    assert found.json["first_bad"]["commit"] == ids[2] and "do not count" not in found.err


def test_data_outside_of_the_work_tree_is_compared_too(gxt: Gxt, repo: Repository, tmp_path: Path) -> None:
    outside = tmp_path / "speed"
    outside.write_text("18\n")
    ids = make_history(7)
    record_with_data(repo, ids[4], 7.5, str(outside))
    outside.write_text("19\n")
    done = gxt(*ASKED, "--good", ids[2], "--json", *COMMAND)
    assert done.json["first_bad"]["commit"] == ids[5] and "1 recorded run does not count" in done.err


def test_runs_of_which_not_all_was_kept_do_not_answer(gxt: Gxt, repo: Repository) -> None:
    ids = make_history()
    record_at(repo, ids[6], 6.0, dirty=True, left_out={"model.py": {"size": 6_000_000}})
    record_at(repo, ids[7], 6.0, edited=["model.py"])
    found = gxt(*ASKED, "--good", ids[0], "--json", *COMMAND).json
    assert found["first_bad"]["commit"] == ids[FIRST_BAD]
