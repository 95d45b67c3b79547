"""gxt tag, note, rm, restore, purge, checkout, init, status, recover, completion; errors and exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Gxt
from gxt import catalog
from gxt.git import Repository
from helpers import git, run_python


def test_tags_are_edited_each_in_a_commit(gxt: Gxt, three: dict[str, str], repo: Repository, work: Path) -> None:
    before = git("rev-list", "--count", "gxt", cwd=work)
    gxt("tag", "one", "stage=prod", "owner=ada")
    gxt("tag", "one", "-d", "owner", "stage=old")
    assert catalog.find(repo, "one").tags == {"stage": "old"}
    assert int(git("rev-list", "--count", "gxt", cwd=work)) == int(before) + 2
    assert git("log", "-1", "--format=%s", "gxt", cwd=work) == "taxi: one tagged stage=old, -owner"
    assert gxt("tag", "one").out == "stage=old\n"
    assert "has no tag 'owner'" in gxt("tag", "one", "-d", "owner", code=3).err


def test_a_live_run_is_tagged_in_its_journal(gxt: Gxt, work: Path, repo: Repository) -> None:
    run_id = gxt("start").out.strip()
    gxt("tag", run_id, "stage=prod")
    gxt("note", run_id, "so far so good")
    gxt("finish", run_id)
    run = catalog.find(repo, run_id)
    assert run.tags == {"stage": "prod"} and run.note == "so far so good"
    assert git("rev-list", "--count", "gxt", cwd=work) == "1"


def test_note_from_argument_and_standard_input(gxt: Gxt, three: dict[str, str], repo: Repository) -> None:
    gxt("note", "one", "short")
    assert catalog.find(repo, "one").note == "short"
    gxt("note", "one", stdin="two\nlines\n")
    assert catalog.find(repo, "one").note == "two\nlines"
    gxt("note", "one", "")
    assert catalog.find(repo, "one").note is None


def test_rm_hides_restore_shows_purge_takes_off_the_tip(
    gxt: Gxt, three: dict[str, str], repo: Repository, work: Path
) -> None:
    gxt("rm", "one", "two")
    assert [run.name for run in catalog.listing(repo).runs] == ["three"]
    assert sorted(run["name"] for run in gxt("table", "--deleted", "--json").json) == ["one", "two"]
    assert "it is deleted" in gxt("show", three["one"], code=3).err
    gxt("restore", "one")
    assert "to purge" in gxt("purge", code=2).err  # nothing asks where nobody can answer
    gxt("purge", "--yes")
    assert sorted(run.name for run in catalog.listing(repo).runs) == ["one", "three"]
    assert "no deleted runs" in gxt("purge").err
    assert "two" in git("log", "-p", "gxt", "--", f"experiments/taxi/{three['two']}/run.yaml", cwd=work)
    paths = git("ls-tree", "-r", "--name-only", "gxt", cwd=work)
    assert three["two"] not in paths and three["one"] in paths


def test_an_experiment_is_deleted_and_restored_with_its_runs(gxt: Gxt, three: dict[str, str], repo: Repository) -> None:
    gxt("rm", "--experiment", "taxi")
    assert gxt("list", "--json").json == [] and not catalog.listing(repo).runs
    gxt("restore", "--experiment", "taxi")
    assert len(catalog.listing(repo).runs) == 3
    assert "no experiment 'nobody'" in gxt("rm", "--experiment", "nobody", code=3).err


def test_a_run_that_records_is_not_deleted(gxt: Gxt, work: Path) -> None:
    run_id = gxt("start").out.strip()
    assert "still recording" in gxt("rm", run_id, code=2).err
    gxt("finish", run_id)


def test_checkout_writes_the_files_and_leaves_the_repository_alone(gxt: Gxt, work: Path) -> None:
    (work / "model.bin").write_bytes(bytes(range(256)) * 1000)
    run_id = gxt("log", "-n", "it", "-m", "a=1", "-a", "model.bin:models").out.strip()
    assert gxt("checkout", "it", "-o", "out").out == "out\n"
    assert (work / "out" / "artifacts" / "models" / "model.bin").read_bytes() == bytes(range(256)) * 1000
    assert (work / "out" / "run.yaml").read_text().startswith(f"id: {run_id}\n")
    assert "has files in it" in gxt("checkout", "it", "-o", "out", code=2).err
    gxt("checkout", "it", "-o", "out", "--force")
    assert gxt("checkout", "it", "artifacts").out == f"{run_id}\n"
    assert [path.name for path in (work / run_id).iterdir()] == ["artifacts"]
    assert "has no file 'nothing'" in gxt("checkout", "it", "nothing", "-o", "elsewhere", code=3).err
    assert git("branch", "--show-current", cwd=work) == "main"


def test_init_makes_the_branch_once(gxt: Gxt, work: Path) -> None:
    assert "made the run branch gxt" in gxt("init").out
    assert "there is the run branch" in gxt("init").out
    assert git("ls-tree", "--name-only", "gxt", cwd=work).split() == [".gitattributes", "gxt.yaml"]


def test_status_names_live_and_unpushed_runs(gxt: Gxt, three: dict[str, str], work: Path, tmp_path: Path) -> None:
    git("init", "-q", "--bare", str(tmp_path / "origin.git"), cwd=work)
    git("remote", "add", "origin", str(tmp_path / "origin.git"), cwd=work)
    assert "not pushed yet: `gxt push` does it" in gxt("status").out
    git("push", "-q", "origin", "gxt", cwd=work)
    run_id = gxt("log").out.strip()
    live = gxt("start", "-n", "alive").out.strip()
    out = gxt("status").out
    assert "4 runs" not in out and "5 runs" in out
    assert f"alive ({live})" in out and "origin/gxt: 1 run not pushed" in out
    state = gxt("status", "--json").json
    assert [run["id"] for run in state["live"]] == [live]
    assert state["disk"]["objects"] > 0 and run_id != live


def test_recover_commits_what_a_crash_left(gxt: Gxt, work: Path, repo: Repository) -> None:
    run_python(
        code="import gxt, os\ngxt.start_run(run_name='victim')\ngxt.log_metric('a', 1)\nos.kill(os.getpid(), 9)",
        cwd=work,
        check=False,
    )
    assert catalog.find(repo, "victim").status == "crashed"
    assert "crashed" in gxt("status").out
    assert "killed: victim" in gxt("recover").out
    run = catalog.find(repo, "victim")
    assert (run.status, run.place, run.metrics["a"].last) == ("killed", "branch", 1)
    assert "nothing to recover" in gxt("recover").err


def test_recover_ends_runs_without_an_owner_only_when_told(gxt: Gxt, work: Path, repo: Repository) -> None:
    run_id = gxt("start").out.strip()
    assert run_id in gxt("recover").err
    assert catalog.find(repo, run_id).status == "running"
    assert "killed" in gxt("recover", run_id).out
    assert catalog.find(repo, run_id).status == "killed"
    other = gxt("start").out.strip()
    gxt("recover", "--all")
    assert catalog.find(repo, other).status == "killed"


def test_completion_knows_runs_experiments_and_fields(three: dict[str, str], work: Path) -> None:
    def complete(words: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-m", "gxt"],
            env=os.environ
            | {"_GXT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))},
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
        )
        return [line.split(",", 1)[1] for line in done.stdout.splitlines()]

    assert complete("gxt ta") == ["table", "tail", "tag"]
    assert complete("gxt show th") == ["three"]
    assert complete("gxt table ta") == ["taxi"]
    assert complete("gxt table --sort metrics.r") == ["metrics.rmse"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(gxt: Gxt, shell: str) -> None:
    assert "_GXT_COMPLETE" in gxt("completion", shell).out


def test_a_mistyped_command_is_suggested(gxt: Gxt, work: Path) -> None:
    done = gxt("tabel", code=2)
    assert "Did you mean table" in done.err


def test_an_unforeseen_error_is_called_a_bug_and_logged(
    gxt: Gxt, work: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of cheese")

    monkeypatch.setattr(catalog, "listing", broken)
    done = gxt("table", "--sort", "x", code=70)
    assert "this is a bug in gxt: RuntimeError: out of cheese" in done.err and "Traceback" not in done.err
    (log,) = tmp_path.glob("gxt-bug-*.log")
    assert "out of cheese" in log.read_text() and "gxt table --sort x" in log.read_text()


def test_help_and_version(gxt: Gxt) -> None:
    out = gxt("--help").out
    for section in ("Record:", "Look:", "Annotate:"):
        assert section in out
    assert "..." not in out.replace("[ARGS]...", ""), "a command's first sentence is cut"
    assert gxt("--version").out.startswith("gxt 0.")


def test_a_name_that_is_hidden_says_so(gxt: Gxt, three: dict[str, str]) -> None:
    gxt("rm", "one")
    assert f"`gxt restore {three['one']}` brings it back" in gxt("show", "one", code=3).err
    assert "it is not deleted" in gxt("restore", "two", code=3).err
    assert "it is an experiment: `gxt table taxi`" in gxt("show", "taxi", code=3).err
    gxt("rm", "two", "three")
    assert "3 deleted: `gxt table --deleted`" in gxt("table").err


def test_an_empty_standard_input_leaves_the_note_alone(gxt: Gxt, three: dict[str, str], repo: Repository) -> None:
    gxt("note", "one", "keep me")
    assert "standard input is empty" in gxt("note", "one", code=2).err
    assert catalog.find(repo, "one").note == "keep me"


def test_deletions_that_are_not_pushed_count_and_purged_runs_are_not_missed(
    gxt: Gxt, three: dict[str, str], work: Path, tmp_path: Path
) -> None:
    git("init", "-q", "--bare", str(tmp_path / "origin.git"), cwd=work)
    git("remote", "add", "origin", str(tmp_path / "origin.git"), cwd=work)
    git("push", "-q", "origin", "gxt", cwd=work)
    assert "everything pushed" in gxt("status").out
    gxt("rm", "one")
    assert "changes to 1 run not pushed, in 1 commit" in gxt("status").out
    gxt("purge", "--yes")
    assert "lacks" not in gxt("table").err
    (remote,) = gxt("status", "--json").json["remotes"]
    assert (remote["unpushed"], remote["commits"], remote["missing"]) == (0, 2, 0)


def test_an_experiment_that_was_only_chosen_is_not_listed(gxt: Gxt, work: Path) -> None:
    run_python(code="import gxt; gxt.set_experiment('typo')", cwd=work)
    assert gxt("list", "--json").json == []


def test_usage_errors_look_like_all_others(gxt: Gxt, work: Path) -> None:
    assert gxt("log", "--status", "bad", code=2).err.startswith("gxt: ")
    assert "`gxt log --help` says more" in gxt("log", "--status", "bad", code=2).err
