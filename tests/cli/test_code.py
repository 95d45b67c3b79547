"""gxt code, gxt checkout --code, gxt diff --code: the code of a run, looked at and opened again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from conftest import Gxt
from gxt import store
from gxt.git import Repository
from helpers import checkout_state, git, put_on_branch, record, run_python


@pytest.fixture
def dirty(repo: Repository, work: Path) -> str:
    """A run from a dirty work tree, whose changes are gone since: one in a tracked file, an untracked one, one that is
    too large to be kept."""
    (work / "train.py").write_text("print('changed')\n")
    (work / "features.py").write_text("SPEED = 18\n")
    (work / "tool.sh").write_text("#!/bin/sh\n")
    (work / "tool.sh").chmod(0o755)
    (work / "trips.bin").write_bytes(bytes(6_000_000))
    run_id = record(repo, name="dirty")
    git("stash", "-q", "-u", cwd=work)
    git("stash", "drop", "-q", cwd=work)
    return run_id


def snapshot_of(repo: Repository, run_id: str) -> str:
    return str(store.read_run(repo, run_id).source["snapshot"])


def test_code_says_what_ran(gxt: Gxt, dirty: str, repo: Repository) -> None:
    lines = gxt("code", "dirty").out.splitlines()
    said = dict(line.split(maxsplit=1) for line in lines if not line.startswith(" ") and " " in line)
    assert said["snapshot"] == snapshot_of(repo, dirty) and said["branch"] == "main"
    assert "  changed  train.py" in lines and "  new      features.py" in lines
    assert "  trips.bin (6.0 MB)" in lines
    about = gxt("code", "dirty", "--json").json
    assert about["run"] == dirty and about["dirty"] is True and about["problem"] is None
    assert {"path": "features.py", "what": "new"} in about["changes"]
    assert about["left_out"] == {"trips.bin": {"size": 6_000_000}}


def test_code_says_renames_and_modes_and_keeps_names_on_a_line(gxt: Gxt, repo: Repository, work: Path) -> None:
    git("mv", "train.py", "main.py")
    (work / "tool.sh").write_text("x\n")
    git("add", "tool.sh")
    git("commit", "-q", "-m", "a tool", "tool.sh")
    (work / "tool.sh").chmod(0o755)
    (work / "two\nlines.py").write_text("y\n")
    record(repo, name="renamed")
    lines = gxt("code", "renamed").out.splitlines()
    assert lines[lines.index("changes") + 1 :] == [
        "  renamed  train.py => main.py",
        "  mode     tool.sh",
        "  new      two lines.py",
    ]
    changes = gxt("code", "renamed", "--json").json["changes"]
    assert {"path": "main.py", "what": "renamed", "was": "train.py"} in changes
    assert {"path": "two\nlines.py", "what": "new"} in changes


def test_diff_names_the_files_that_differ(gxt: Gxt, dirty: str, repo: Repository) -> None:
    record(repo, name="clean")
    out = gxt("diff", "clean", "dirty").out
    assert "from clean to dirty: 3 files changed, +3 -1 lines" in out and "features.py  +1 -0, new" in out
    assert "--code` shows the lines" in out and "{" not in out
    assert "3 files changed" in gxt("diff", "clean", "dirty", "--code", "--stat").out
    assert "3 files changed, +3 -1 lines" in gxt("diff", "clean", "dirty", "--stat").out
    assert "features.py  +1 -0, new" in gxt("diff", "clean", "dirty", "--format", "html").out


def test_show_lists_the_folder(gxt: Gxt, dirty: str, repo: Repository) -> None:
    out = gxt("show", "dirty").out
    short = dirty[-8:]
    assert f"  gxt code --patch {short}\n" in out and f"  gxt env {short}\n" in out
    assert "not kept      trips.bin (6.0 MB)\n" in out and "{" not in out
    put_on_branch(f"experiments/taxi/{dirty}/by hand.txt", "x\n")
    assert f"  gxt get {short} 'by hand.txt'\n" in gxt("show", "dirty").out
    assert gxt("get", short, "by hand.txt", "-o", "-").out == "x\n"


def test_the_patch_is_git_s_own(gxt: Gxt, dirty: str, repo: Repository) -> None:
    expected = git("diff", "HEAD", snapshot_of(repo, dirty))
    assert gxt("code", "dirty", "--patch").out.rstrip("\n") == expected and "+SPEED = 18" in expected
    assert "3 files changed" in gxt("code", "dirty", "--stat").out
    assert "three ways" in gxt("code", "dirty", "--stat", "--patch", code=2).err


def test_code_that_is_nowhere(gxt: Gxt, dirty: str, repo: Repository, work: Path) -> None:
    git("update-ref", "-d", f"refs/gxt/code/{snapshot_of(repo, dirty)}")
    git("reflog", "expire", "--expire=now", "--all")
    git("gc", "-q", "--prune=now")
    done = gxt("code", "dirty", code=3)
    assert "snapshot " in done.out and "no remote has it" in done.err
    assert "no remote has it" in gxt("code", "dirty", "--json").json["problem"]
    patched = gxt("code", "dirty", "--patch")
    assert "+SPEED = 18" in patched.out and "the patch that is kept with the run" in patched.err
    assert "no remote has it" in gxt("checkout", "dirty", "--code", code=3).err
    assert not (work.parent / "work-dirty").exists()


def test_a_run_without_a_snapshot(gxt: Gxt, repo: Repository, work: Path) -> None:
    git("config", "gxt.snapshot", "false")
    (work / "train.py").write_text("changed\n")
    record(repo, name="unkept")
    refused = gxt("checkout", "unkept", "--code", code=3).err
    assert "was not kept: no snapshot of the code: git config gxt.snapshot is false" in refused
    git("checkout", "-q", "--", ".")
    record(repo, name="clean")  # then the commit is all of it
    assert gxt("checkout", "clean", "--code").out.strip() == "../work-clean"


def test_a_commit_that_somebody_made_up_is_none(gxt: Gxt, dirty: str, work: Path, repo: Repository) -> None:
    path = f"experiments/taxi/{dirty}/run.yaml"
    text = git("show", f"gxt:{path}").replace(snapshot_of(repo, dirty), "main")
    put_on_branch(path, text + "\n")
    for command in (["checkout", "dirty", "--code"], ["code", "dirty", "--stat"], ["diff", "dirty", "dirty", "--code"]):
        assert "was not kept" in gxt(*command, code=3).err


def test_checkout_opens_exactly_that_code(gxt: Gxt, dirty: str, repo: Repository, work: Path) -> None:
    (work / "mine.py").write_text("of today\n")
    git("add", "mine.py")
    before = checkout_state(work)
    done = gxt("checkout", "dirty", "--code")
    folder = work.parent / "work-dirty"
    assert done.out == "../work-dirty\n" and "not kept with the run: trips.bin (6" in done.err
    assert sorted(path.name for path in folder.iterdir()) == [".git", "features.py", "tool.sh", "train.py"]
    assert (folder / "train.py").read_text() == "print('changed')\n" and os.access(folder / "tool.sh", os.X_OK)
    assert git("rev-parse", "HEAD", cwd=folder) == snapshot_of(repo, dirty)
    assert git("status", "--short", cwd=folder) == ""
    git("worktree", "remove", "--force", str(folder))
    shutil.rmtree(work / ".git" / "worktrees", ignore_errors=True)
    assert checkout_state(work) == before


def test_checkout_takes_only_a_new_folder_of_its_own(gxt: Gxt, dirty: str, work: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert "has files in it already" in gxt("checkout", "dirty", "--code", str(tmp_path / "full"), code=2).err
    assert "is a file" in gxt("checkout", "dirty", "--code", str(tmp_path / "full" / "file"), code=2).err
    assert "is in your own work tree" in gxt("checkout", "dirty", "--code", "sub", code=2).err
    assert "one folder" in gxt("checkout", "dirty", "a", "--code", "-o", "b", code=2).err
    (tmp_path / "empty").mkdir()
    gxt("checkout", "dirty", "--code", "-o", str(tmp_path / "empty"))
    assert (tmp_path / "empty" / "features.py").exists()
    assert len(git("worktree", "list").splitlines()) == 2


def test_no_hook_runs_and_nothing_is_left_out_of_a_sparse_checkout(
    gxt: Gxt, repo: Repository, work: Path, tmp_path: Path
) -> None:
    (work / "lib").mkdir()
    (work / "lib" / "code.py").write_text("x = 1\n")
    git("add", ".")
    git("commit", "-q", "-m", "lib")
    record(repo, name="whole")
    hook = work / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/hooked'\n")
    hook.chmod(0o755)
    git("sparse-checkout", "set", "--no-cone", "/train.py")
    assert not (work / "lib").exists()
    gxt("checkout", "whole", "--code", str(tmp_path / "code"))
    assert (tmp_path / "code" / "lib" / "code.py").exists() and not (tmp_path / "hooked").exists()


def test_submodules_are_named(gxt: Gxt, repo: Repository, work: Path, tmp_path: Path) -> None:
    git("init", "-q", str(tmp_path / "lib"))
    (tmp_path / "lib" / "lib.py").write_text("y = 1\n")
    git("add", ".", cwd=tmp_path / "lib")
    git("commit", "-q", "-m", "lib", cwd=tmp_path / "lib")
    git("config", "--global", "protocol.file.allow", "always")
    git("submodule", "--quiet", "add", str(tmp_path / "lib"), "lib")
    git("commit", "-q", "-m", "with lib")
    (work / "lib" / "lib.py").write_text("y = 2\n")
    record(repo, name="modular")
    said = gxt("checkout", "modular", "--code", str(tmp_path / "code")).err
    assert f"`git -C {tmp_path / 'code'} submodule update --init --recursive` brings them" in said
    assert "uncommitted changes in the submodule lib" in said
    git("submodule", "--quiet", "update", "--init", "--recursive", cwd=tmp_path / "code")
    assert (tmp_path / "code" / "lib" / "lib.py").read_text() == "y = 1\n"


def test_a_colleague_s_code_is_fetched(gxt: Gxt, dirty: str, work: Path, tmp_path: Path) -> None:
    git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    git("remote", "add", "origin", str(tmp_path / "hub.git"))
    git("push", "-q", "origin", "main")
    gxt("push")
    git("clone", "-q", "--no-local", str(tmp_path / "hub.git"), str(tmp_path / "bob"))
    os.chdir(tmp_path / "bob")
    gxt("pull")
    assert git("for-each-ref", "refs/gxt/code") == ""
    gxt("checkout", "dirty", "--code")
    assert (tmp_path / "bob-dirty" / "features.py").exists()


def test_diff_of_code_is_git_s_own(gxt: Gxt, dirty: str, repo: Repository, work: Path) -> None:
    other = record(repo, name="other")
    commits = [snapshot_of(repo, run) for run in (dirty, other)]
    assert gxt("diff", "dirty", "other", "--code").out.rstrip("\n") == git("diff", *commits)
    only = gxt("diff", "dirty", "other", "--code", "--", "features.py").out
    assert "SPEED" in only and "train.py" not in only
    assert "3 files changed" in gxt("diff", "dirty", "other", "--code", "--stat").out
    gxt("diff", "dirty", "other", "--code", "--exit-code", code=1)
    gxt("diff", "other", "other", "--code", "--exit-code")
    assert "git's own output" in gxt("diff", "dirty", "other", "--code", "--json", code=2).err
    assert "two runs" in gxt("diff", "dirty", "--code", code=2).err


def test_paths_are_those_of_the_current_directory(gxt: Gxt, repo: Repository, work: Path) -> None:
    (work / "sub").mkdir()
    (work / "sub" / "a.py").write_text("1\n")
    record(repo, name="first")
    (work / "sub" / "a.py").write_text("2\n")
    (work / "b.py").write_text("2\n")
    record(repo, name="second")
    os.chdir(work / "sub")
    out = gxt("diff", "first", "second", "--code", "--", "a.py").out
    assert "sub/a.py" in out and "b.py" not in out.replace("sub/a.py", "")


def test_where_it_ran_is_recorded(gxt: Gxt, repo: Repository, work: Path) -> None:
    (work / "sub").mkdir()
    os.chdir(work / "sub")
    gxt("run", "--", "true")
    assert gxt("code", "@last", "--json").json["cwd"] == "sub"
    os.chdir(work)
    gxt("run", "--", "true")
    assert gxt("code", "@last", "--json").json["cwd"] is None


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
def test_files_in_git_lfs_are_there_or_said_not_to_be(gxt: Gxt, repo: Repository, work: Path, tmp_path: Path) -> None:
    git("lfs", "install", "--local")
    git("lfs", "track", "*.bin")
    (work / "model.bin").write_bytes(b"weights" * 100)
    record(repo, name="large")
    gxt("checkout", "large", "--code", str(tmp_path / "whole"))
    assert (tmp_path / "whole" / "model.bin").read_bytes() == b"weights" * 100
    shutil.rmtree(work / ".git" / "lfs" / "objects")
    said = gxt("checkout", "large", "--code", str(tmp_path / "pointers")).err
    assert "of model.bin in Git LFS only the pointer is there" in said
    assert (tmp_path / "pointers" / "model.bin").read_text().startswith("version https://git-lfs")


def test_files_that_were_edited_after_they_were_read_are_named(gxt: Gxt, work: Path, tmp_path: Path) -> None:
    (work / "features.py").write_text("SPEED = 18\n")
    pause = "import time; time.sleep(0.05)"  # so that the file's time is later than the process's own
    edit = "open('features.py', 'a').write('SPEED = 20')"
    (work / "train.py").write_text(f"{pause}\nimport gxt, features\n{edit}\ngxt.start_run()\n")
    run_python(str(work / "train.py"), cwd=work)
    assert "features.py was changed after the program had begun" in gxt("code", "@last").out
    assert gxt("code", "@last", "--json").json["edited"] == ["features.py"]
    opened = gxt("checkout", "@last", "--code", str(tmp_path / "there"))
    assert "not as it ran: features.py" in opened.err


def test_a_command_that_gxt_starts_has_read_nothing_yet(gxt: Gxt, work: Path) -> None:
    (work / "train.py").write_text("print('other')\n")
    gxt("run", "--", "python", "train.py")
    assert gxt("code", "@last", "--json").json["edited"] == []


def test_names_of_files_stay_on_their_line(gxt: Gxt, repo: Repository, work: Path) -> None:
    (work / "a\nsnapshot    0000\x1b[2J.py").write_text("x = 1\n")
    record(repo, name="odd")
    done = gxt("code", "odd")
    assert "  new      a snapshot    0000\\x1b[2J.py" in done.out.splitlines() and "\x1b" not in done.out
