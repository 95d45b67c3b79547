from __future__ import annotations

import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import gxt.git
from gxt import catalog, edits, layout, live, recorder, store
from gxt.errors import FormatError, GitError, GxtWarning, NotFoundError
from gxt.git import Repository
from gxt.model import Run
from helpers import checkout_state, git, git_bytes, put_on_branch, record, run_python, write_script


def runs_on_branch(repo: Repository) -> list[Run]:
    commit = git("rev-parse", "refs/heads/gxt", cwd=repo.common_dir)
    runs, problems = store.read_runs(repo, store.list_runs(repo, commit), store.read_experiments(repo, commit)[0])
    assert problems == []
    return runs


def assert_clean(repo: Repository) -> None:
    """The repository is sound, and nothing waits or lies about in gxt's folder."""
    git("fsck", "--strict", "--no-dangling", cwd=repo.common_dir)
    for name in ("live", "pending", "tmp"):
        folder = store.root(repo) / name
        assert not folder.exists() or list(folder.iterdir()) == []
    assert not list(repo.common_dir.glob("fast_import_crash_*"))


# --- the checkout is the user's ---------------------------------------------------------------------------------


def plain(tmp_path: Path) -> Path:
    folder = tmp_path / "plain"
    git("init", "-q", str(folder))
    (folder / "train.py").write_text("print(1)\n")
    (folder / ".gitignore").write_text("*.log\n")
    git("add", ".", cwd=folder)
    git("commit", "-q", "-m", "first", cwd=folder)
    return folder


def busy(tmp_path: Path) -> Path:
    """Staged, unstaged, untracked and ignored changes, a stash, a tracked experiments/ folder, tags and branches."""
    folder = plain(tmp_path)
    (folder / "experiments").mkdir()
    (folder / "experiments" / "mine.txt").write_text("mine\n")
    git("add", ".", cwd=folder)
    git("commit", "-q", "-m", "second", cwd=folder)
    git("tag", "v1", cwd=folder)
    git("branch", "gxt-topic", cwd=folder)
    (folder / "train.py").write_text("print(2)\n")
    git("stash", cwd=folder)
    (folder / "train.py").write_text("print(3)\n")
    git("add", ".", cwd=folder)
    (folder / "train.py").write_text("print(4)\n")
    (folder / "new.py").write_text("new\n")
    (folder / "out.log").write_text("log\n")
    # Same content, another time: `git status` would refresh the index if it were let.
    os.utime(folder / ".gitignore", (1, 1))
    return folder


def detached(tmp_path: Path) -> Path:
    folder = plain(tmp_path)
    git("checkout", "-q", "--detach", cwd=folder)
    return folder


def unborn(tmp_path: Path) -> Path:
    folder = tmp_path / "unborn"
    git("init", "-q", str(folder))
    (folder / "train.py").write_text("print(1)\n")
    return folder


def linked(tmp_path: Path) -> Path:
    git("worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"), cwd=plain(tmp_path))
    return tmp_path / "linked"


def bare(tmp_path: Path) -> Path:
    git("clone", "-q", "--bare", str(plain(tmp_path)), str(tmp_path / "bare.git"))
    return tmp_path / "bare.git"


def submodule(tmp_path: Path) -> Path:
    inner = plain(tmp_path)
    outer = tmp_path / "outer"
    git("init", "-q", str(outer))
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "inner", cwd=outer)
    git("commit", "-q", "-m", "with a submodule", cwd=outer)
    return outer / "inner"


def sha256(tmp_path: Path) -> Path:
    folder = tmp_path / "sha256"
    git("init", "-q", "--object-format=sha256", str(folder))
    (folder / "train.py").write_text("print(1)\n")
    git("add", ".", cwd=folder)
    git("commit", "-q", "-m", "first", cwd=folder)
    return folder


def shallow(tmp_path: Path) -> Path:
    folder = plain(tmp_path)
    git("commit", "-q", "--allow-empty", "-m", "second", cwd=folder)
    git("clone", "-q", "--depth=1", folder.as_uri(), str(tmp_path / "shallow"))
    return tmp_path / "shallow"


def rebasing(tmp_path: Path) -> Path:
    """Stopped by a conflict in the middle of a rebase."""
    folder = plain(tmp_path)
    git("checkout", "-q", "-b", "topic", cwd=folder)
    (folder / "train.py").write_text("print('topic')\n")
    git("commit", "-q", "-a", "-m", "topic", cwd=folder)
    git("checkout", "-q", "main", cwd=folder)
    (folder / "train.py").write_text("print('main')\n")
    git("commit", "-q", "-a", "-m", "main", cwd=folder)
    git("checkout", "-q", "topic", cwd=folder)
    stopped = subprocess.run(["git", "rebase", "main"], cwd=folder, capture_output=True, check=False)
    assert stopped.returncode != 0
    return folder


def packed(tmp_path: Path) -> Path:
    folder = plain(tmp_path)
    git("gc", "-q", cwd=folder)
    return folder


def strange_path(tmp_path: Path) -> Path:
    folder = tmp_path / "a b'c\"é"
    shutil.move(plain(tmp_path), folder)
    return folder


CHECKOUTS = [
    plain,
    busy,
    detached,
    unborn,
    linked,
    bare,
    submodule,
    sha256,
    shallow,
    rebasing,
    packed,
    strange_path,
]


@pytest.mark.parametrize("make", CHECKOUTS, ids=lambda make: make.__name__)
def test_recording_leaves_the_checkout_as_it_was(
    make: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path)
    monkeypatch.chdir(folder)
    before = checkout_state(folder)
    repo = gxt.git.find(folder)
    first = record(repo, params={"alpha": 0.1}, metrics={"rmse": 6.3})
    second = record(repo, status="failed")
    store.edit_run(repo, first, lambda run: replace(run, tags={"stage": "prod"}), "tagged stage=prod")
    store.edit_run(repo, second, lambda run: replace(run, deleted=1), "deleted")
    store.purge(repo, [second])
    assert checkout_state(folder) == before
    (run,) = runs_on_branch(repo)
    assert (run.id, run.params, run.tags) == (first, {"alpha": 0.1}, {"stage": "prod"})
    assert_clean(repo)


def test_in_a_linked_work_tree_runs_go_to_the_shared_branch(tmp_path: Path) -> None:
    folder = linked(tmp_path)
    inside, main = gxt.git.find(folder), gxt.git.find(tmp_path / "plain")
    run_id = record(inside)
    (run,) = runs_on_branch(main)
    assert run.id == run_id and run.source["branch"] == "side"


def test_a_run_in_a_submodule_stays_in_the_submodule(tmp_path: Path) -> None:
    folder = submodule(tmp_path)
    record(gxt.git.find(folder))
    assert git("for-each-ref", "refs/heads/gxt", cwd=folder) != ""
    assert git("for-each-ref", "refs/heads/gxt", cwd=tmp_path / "outer") == ""


RECORDS_IN_A_HOOK = """
import gxt
with gxt.start_run(run_name="in the hook") as run:
    run.log_metric("rmse", 6.3)
"""


def install_hook(folder: Path, name: str, python: str, script: Path) -> None:
    hook = folder / ".git" / "hooks" / name
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nexec '{python}' '{script}'\n")
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("hook", ["pre-commit", "commit-msg", "post-commit"])
def test_a_run_inside_a_hook_does_not_reach_into_the_commit(work: Path, tmp_path: Path, hook: str) -> None:
    import sys

    script = write_script(tmp_path / "hook.py", RECORDS_IN_A_HOOK)
    install_hook(work, hook, sys.executable, script)
    (work / "staged.py").write_text("staged\n")
    (work / "other.py").write_text("other\n")
    git("add", "staged.py", cwd=work)
    # `git commit <path>` gives its hooks an index of its own in GIT_INDEX_FILE.
    (work / "train.py").write_text("changed\n")
    git("commit", "-q", "-m", "second", "train.py", cwd=work)
    assert git("show", "--name-only", "--format=%s", "main", cwd=work).split() == ["second", "train.py"]
    assert git("status", "--porcelain", cwd=work).splitlines() == ["A  staged.py", "?? other.py"]
    (run,) = runs_on_branch(gxt.git.find(work))
    assert run.name == "in the hook"


def test_a_run_inside_rebase_exec(work: Path, tmp_path: Path) -> None:
    import sys

    script = write_script(tmp_path / "hook.py", RECORDS_IN_A_HOOK)
    for name in "ab":
        git("commit", "-q", "--allow-empty", "-m", name, cwd=work)
    git("rebase", "-q", "--keep-empty", "--exec", f"'{sys.executable}' '{script}'", "HEAD~2", cwd=work)
    assert len(runs_on_branch(gxt.git.find(work))) == 2
    assert git("log", "--format=%s", "main", cwd=work).split() == ["b", "a", "first"]


def test_another_repository_s_environment_does_not_lead_astray(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    git("init", "-q", str(other))
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "index"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other / ".git" / "objects"))
    found = gxt.git.find(Path.cwd())
    assert found == repo
    run_id = record(found)
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY"):
        monkeypatch.delenv(name)
    assert [run.id for run in runs_on_branch(repo)] == [run_id]
    assert git("for-each-ref", cwd=other) == ""


# --- what is on the branch --------------------------------------------------------------------------------------


def all_refs() -> list[str]:
    return git("for-each-ref", "--format=%(refname)").split()


def test_a_run_is_a_folder_of_plain_files(repo: Repository, work: Path) -> None:
    (work / "model.bin").write_bytes(b"\x00\r\n\xff")
    run = recorder.begin(repo, "NYC taxi")
    run.log_param("alpha", 0.1)
    run.log_metric("rmse", 6.3017, step=1, timestamp=1763886601123)
    run.log_artifact("model.bin", "models")
    run.end()
    folder = f"experiments/NYC%20taxi/{run.run_id}"
    assert git("ls-tree", "-r", "--name-only", "gxt").splitlines() == [
        ".gitattributes",
        f"{folder}/artifacts/models/model.bin",
        f"{folder}/code.patch",
        f"{folder}/environment.txt",
        f"{folder}/metrics.csv",
        f"{folder}/metrics.yaml",
        f"{folder}/params.yaml",
        f"{folder}/run.yaml",
        "experiments/NYC%20taxi/experiment.yaml",
        "gxt.yaml",
    ]
    assert git("show", f"gxt:{folder}/metrics.csv") == "step,metric,value,time\n1,rmse,6.3017,1763886601123"
    assert git("show", f"gxt:{folder}/params.yaml") == "alpha: 0.1"
    assert git_bytes("show", f"gxt:{folder}/artifacts/models/model.bin") == b"\x00\r\n\xff"
    assert git("show", "gxt:gxt.yaml") == "format: 1"
    assert "name: NYC taxi" in git("show", "gxt:experiments/NYC%20taxi/experiment.yaml")
    assert git("ls-tree", "-r", "gxt", "--format=%(objectmode)").split() == ["100644"] * 10


def test_a_run_without_points_has_no_metrics_csv(repo: Repository) -> None:
    run_id = record(repo)
    assert "metrics.csv" not in git("ls-tree", "--name-only", f"gxt:experiments/taxi/{run_id}")


def test_git_itself_clones_pushes_and_checks_out_the_branch(repo: Repository, work: Path, tmp_path: Path) -> None:
    run_id = record(repo, "NYC taxi/2021: a, b?", metrics={"rmse": 1.0})
    git("init", "-q", "--bare", str(tmp_path / "remote.git"))
    git("push", "-q", str(tmp_path / "remote.git"), "gxt")
    git("clone", "-q", "-b", "gxt", str(tmp_path / "remote.git"), str(tmp_path / "clone"))
    (folder,) = (tmp_path / "clone" / "experiments").iterdir()
    assert (folder / run_id / "run.yaml").is_file()
    assert git("status", "--porcelain", cwd=tmp_path / "clone") == ""
    git("bundle", "create", "-q", str(tmp_path / "runs.bundle"), "gxt")


def test_the_branch_is_called_as_git_config_says(repo: Repository) -> None:
    git("config", "gxt.branch", "runs/ml")
    run_id = record(repo)
    assert git("for-each-ref", "--format=%(refname)", "refs/heads").split() == ["refs/heads/main", "refs/heads/runs/ml"]
    assert store.read_run(repo, run_id).id == run_id


def test_the_commit_is_a_journal_line_with_trailers(repo: Repository) -> None:
    run_id = record(repo, "nyc-taxi", name="calm-otter", metrics={"rmse": 6.3017})
    message = git("log", "-1", "--format=%B", "gxt")
    assert message.splitlines()[0] == "nyc-taxi: calm-otter finished, rmse=6.3017"
    parsed = git("interpret-trailers", "--parse", stdin=message)
    assert parsed.splitlines() == [
        f"Gxt-Run: {run_id}",
        f"Gxt-Code: {git('rev-parse', 'HEAD')}",
        "Gxt-Experiment: nyc-taxi",
    ]
    assert git("log", "-1", "--format=%an <%ae> %cn <%ce>", "gxt") == (
        "Ada Lovelace <ada@example.com> Ada Lovelace <ada@example.com>"
    )


def test_author_and_committer_are_whom_git_would_name(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Grace <Hopper>")
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "grace@example.com")
    git("config", "committer.name", "A Machine")
    record(repo)
    assert git("log", "-1", "--format=%an <%ae> %cn <%ce>", "gxt") == (
        "Grace Hopper <grace@example.com> A Machine <ada@example.com>"
    )
    (run,) = runs_on_branch(repo)
    assert run.author == "Grace Hopper <grace@example.com>"


def test_without_an_identity_the_user_and_host_stand_in(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(os.environ["GIT_CONFIG_GLOBAL"]).write_text("[user]\n\tuseConfigOnly = true\n")
    monkeypatch.setenv("LOGNAME", "somebody")
    run_id = record(repo)
    name, email = git("log", "-1", "--format=%an %ae", "gxt").rsplit(" ", 1)
    assert name and email.count("@") == 1 and all(email.split("@"))
    assert store.read_run(repo, run_id).author == f"{name} <{email}>"


# --- signing ----------------------------------------------------------------------------------------------------


@pytest.fixture
def signing_key(repo: Repository, tmp_path: Path) -> Path:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen")
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    allowed = tmp_path / "allowed"
    allowed.write_text(f"ada@example.com {key.with_suffix('.pub').read_text()}")
    git("config", "gpg.format", "ssh")
    git("config", "gpg.ssh.allowedSignersFile", str(allowed))
    git("config", "user.signingKey", str(key))
    git("config", "commit.gpgSign", "true")
    return key


def test_commits_are_signed_where_git_is_set_up_to_sign(repo: Repository, signing_key: Path) -> None:
    run_id = record(repo, metrics={"rmse": 1.5})
    store.edit_run(repo, run_id, lambda run: replace(run, note="signed"), "noted")
    for revision in ("gxt", "gxt~1"):
        git("verify-commit", revision)
    assert git("rev-list", "--count", "gxt") == "2"
    assert git("log", "-1", "--format=%(trailers:key=Gxt-Run,valueonly)", "gxt").strip() == run_id
    refs = ["refs/heads/gxt", "refs/heads/main"]
    assert [ref for ref in all_refs() if not ref.startswith("refs/gxt/code/")] == refs
    assert [run.note for run in runs_on_branch(repo)] == ["signed"]
    assert_clean(repo)


def test_a_run_that_cannot_be_signed_waits(repo: Repository, signing_key: Path) -> None:
    good = signing_key.read_bytes()
    signing_key.unlink()
    run = recorder.begin(repo, "taxi")
    with pytest.warns(GxtWarning, match="signed"):
        run.end()
    assert [ref for ref in all_refs() if not ref.startswith("refs/gxt/code/")] == ["refs/heads/main"]
    signing_key.write_bytes(good)
    signing_key.chmod(0o600)
    assert [found.id for found in store.commit_pending(repo)] == [run.run_id]
    git("verify-commit", "gxt")
    assert_clean(repo)


# --- crashes and recovery ---------------------------------------------------------------------------------------


def test_a_killed_run_keeps_every_point_and_is_committed_as_killed(work: Path, repo: Repository) -> None:
    done = run_python(
        code="""
        import os, signal, gxt
        run = gxt.start_run(experiment_name="taxi")
        run.log_params({"alpha": 0.1, "model": {"depth": 3}})
        run.set_tag("stage", "dev")
        run.log_text("half way", "notes.txt")
        for step in range(500):
            run.log_metric("rmse", step / 7, step=step)
        gxt.log_metrics({"a": 1, "b": 2}, step=500)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    (folder,) = live.live_runs(store.root(repo))
    assert len(list(layout.read_points((folder / "metrics.csv").read_bytes()))) == 502
    (seen,) = catalog.listing(repo).runs
    assert (seen.status, seen.place, seen.metrics["rmse"].count) == ("crashed", "live", 500)
    (committed,) = store.commit_pending(repo)
    (run,) = runs_on_branch(repo)
    assert committed.id == run.id and (run.status, run.ended is not None) == ("killed", True)
    assert (run.params, run.tags) == ({"alpha": 0.1, "model": {"depth": 3}}, {"stage": "dev"})
    assert (run.metrics["rmse"].count, run.metrics["rmse"].last, run.metrics["b"].last) == (500, 499 / 7, 2.0)
    points = catalog.points(repo, run)
    assert [p.value for p in points if p.metric == "rmse"] == [step / 7 for step in range(500)]
    assert catalog.read_file(repo, run, "artifacts/notes.txt") == b"half way"
    assert_clean(repo)
    assert store.commit_pending(repo) == []


def test_the_next_run_that_ends_takes_a_crashed_one_along(work: Path, repo: Repository) -> None:
    run_python(code="import os, gxt; gxt.start_run(); gxt.log_metric('a', 1); os.kill(os.getpid(), 9)", check=False)
    run_id = record(repo)
    statuses = {run.id == run_id: run.status for run in runs_on_branch(repo)}
    assert statuses == {True: "finished", False: "killed"}
    assert git("rev-list", "--count", "gxt") == "1"
    assert_clean(repo)


def test_a_live_run_is_not_taken_for_a_crashed_one(repo: Repository) -> None:
    running = recorder.begin(repo, "taxi")
    other = record(repo)
    assert [run.id for run in runs_on_branch(repo)] == [other]
    assert live.is_alive(live.live_path(store.root(repo), running.run_id))
    running.log_metric("a", 1)
    running.end()
    assert len(runs_on_branch(repo)) == 2


def test_a_crash_after_the_rename_is_repaired_by_the_next_commit(repo: Repository) -> None:
    run = recorder.begin(repo, "taxi")
    run.log_metric("rmse", 6.3)
    run._live.finish("finished")  # and then the power goes
    assert store.tip(repo, gxt.git.config(repo)).commit is None
    (seen,) = catalog.listing(repo).runs
    assert (seen.id, seen.place, seen.status) == (run.run_id, "pending", "finished")
    second = record(repo)
    assert [found.id for found in runs_on_branch(repo)] == sorted([run.run_id, second])
    assert git("rev-list", "--count", "gxt") == "1"
    assert_clean(repo)


def test_a_crash_after_the_commit_does_no_harm(repo: Repository, tmp_path: Path) -> None:
    run = recorder.begin(repo, "taxi")
    run.log_metric("rmse", 6.3)
    run._stop_threads()  # its provenance is complete
    folder = run._live.finish("finished")
    shutil.copytree(folder, tmp_path / "copy")
    store.commit_pending(repo)
    shutil.copytree(tmp_path / "copy", folder)  # as if it had not been discarded
    tree = git("rev-parse", "gxt^{tree}")
    store.commit_pending(repo)
    assert git("rev-parse", "gxt^{tree}") == tree
    assert_clean(repo)


def test_a_broken_repository_warns_and_keeps_the_run(repo: Repository, work: Path) -> None:
    run = recorder.begin(repo, "taxi")
    run.log_metric("rmse", 6.3)
    (work / ".git" / "HEAD").rename(work / ".git" / "HEAD.gone")
    with pytest.warns(GxtWarning, match=r"gxt recover"):
        run.end()
    (work / ".git" / "HEAD.gone").rename(work / ".git" / "HEAD")
    assert [found.id for found in store.commit_pending(repo)] == [run.run_id]
    assert_clean(repo)


def test_a_pending_run_that_cannot_be_read_holds_no_other_up(repo: Repository) -> None:
    run = recorder.begin(repo, "taxi")
    folder = run._live.finish("finished")
    (folder / "journal.jsonl").write_bytes(b"{}\n")
    other = recorder.begin(repo, "taxi")
    with pytest.warns(GxtWarning, match="cannot be committed"):
        other.end()
    assert [found.id for found in runs_on_branch(repo)] == [other.run_id]
    assert folder.is_dir()


# --- many writers -----------------------------------------------------------------------------------------------


def test_a_commit_starts_again_when_somebody_else_was_faster(repo: Repository, work: Path) -> None:
    run_id = record(repo)
    raced: list[str] = []

    def edit(run: Run) -> Run:
        if len(raced) < 2:
            tip = git("rev-parse", "gxt")
            commit = git("commit-tree", f"{tip}^{{tree}}", "-p", tip, "-m", f"raced {len(raced)}")
            git("update-ref", "refs/heads/gxt", commit, tip)
            raced.append(commit)
        return replace(run, note="kept")

    store.edit_run(repo, run_id, edit, "noted")
    subjects = git("log", "--format=%s", "gxt").splitlines()
    assert subjects[1:3] == ["raced 1", "raced 0"] and subjects[0].endswith("noted")
    assert store.read_run(repo, run_id).note == "kept"
    assert git("rev-list", "--count", "gxt") == "4"


def test_two_first_commits_join_in_one_history(repo: Repository) -> None:
    """Somebody makes the branch while we are about to."""
    run = recorder.begin(repo, "taxi")
    run._live.finish("finished")
    changes: list[str] = []

    def plan(at: store.Tip) -> tuple[store.Changes, str]:
        if not changes:
            changes.append("made")
            blob = git("hash-object", "-w", "--stdin", stdin="format: 1\n")
            tree = git("mktree", stdin=f"100644 blob {blob}\tgxt.yaml")
            git("update-ref", "refs/heads/gxt", git("commit-tree", tree, "-m", "theirs"))
        return [("note.txt", b"ours")], "ours"

    store.change(repo, plan)
    assert git("log", "--format=%s", "gxt").splitlines() == ["ours", "theirs"]


WRITES_RUNS = """
import sys, warnings
warnings.simplefilter("error")
import gxt
for number in range(int(sys.argv[2])):
    with gxt.start_run(experiment_name=f"exp-{number % 2}", run_name=f"{sys.argv[1]}-{number}"):
        gxt.log_param("number", number)
        for step in range(20):
            gxt.log_metric("loss", step * 0.5, step=step)
"""


def test_processes_that_commit_at_once_lose_no_run(work: Path, repo: Repository, tmp_path: Path) -> None:
    script = write_script(tmp_path / "writer.py", WRITES_RUNS)
    import sys

    writers = [
        subprocess.Popen([sys.executable, str(script), str(writer), "6"], stderr=subprocess.PIPE, text=True)
        for writer in range(4)
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=100)
        assert (writer.returncode, errors) == (0, "")
    store.commit_pending(repo)
    runs = runs_on_branch(repo)
    assert sorted(run.name for run in runs) == sorted(f"{w}-{n}" for w in range(4) for n in range(6))
    assert all(run.status == "finished" and run.metrics["loss"].count == 20 for run in runs)
    assert git("rev-list", "--max-parents=0", "--count", "gxt") == "1"
    assert git("rev-list", "--merges", "--count", "gxt") == "0"
    committed = git("log", "--format=%(trailers:key=Gxt-Run,valueonly)", "gxt").split()
    assert sorted(committed) == sorted(run.id for run in runs)
    assert catalog.listing(repo).problems == []
    assert len(store.read_experiments(repo, git("rev-parse", "gxt"))[0]) == 2
    assert_clean(repo)


def test_linked_work_trees_commit_to_one_branch_at_once(work: Path, tmp_path: Path) -> None:
    import sys

    script = write_script(tmp_path / "writer.py", WRITES_RUNS)
    git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    writers = [
        subprocess.Popen([sys.executable, str(script), name, "4"], cwd=folder)
        for name, folder in (("main", work), ("linked", tmp_path / "linked"))
    ]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    assert len(runs_on_branch(gxt.git.find(work))) == 8


def test_threads_that_log_to_one_run_lose_no_point(repo: Repository) -> None:
    run = recorder.begin(repo, "taxi")

    def log(thread: int) -> None:
        for step in range(300):
            run.log_metric(f"loss_{thread}", step, step=step)
            if step % 50 == 0:
                run.log_param(f"param_{thread}_{step}", step)

    threads = [threading.Thread(target=log, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.end()
    (found,) = runs_on_branch(repo)
    assert {name: summary.count for name, summary in found.metrics.items()} == {f"loss_{n}": 300 for n in range(8)}
    assert len(found.params) == 48
    for number in range(8):
        own = [p.value for p in catalog.points(repo, found) if p.metric == f"loss_{number}"]
        assert own == list(range(300))


def test_threads_that_end_runs_of_their_own_at_once(repo: Repository) -> None:
    def work_through() -> None:
        for number in range(4):
            record(repo, metrics={"loss": number})

    threads = [threading.Thread(target=work_through) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs_on_branch(repo)) == 16
    assert_clean(repo)


def test_runs_that_end_together_share_a_commit(repo: Repository) -> None:
    runs = [recorder.begin(repo, "taxi") for _ in range(5)]
    for run in runs[:-1]:
        run._live.finish("finished")
    runs[-1].end()
    assert git("rev-list", "--count", "gxt") == "1"
    assert git("log", "-1", "--format=%s", "gxt") == "taxi: 5 runs"
    assert len(runs_on_branch(repo)) == 5


# --- clones -----------------------------------------------------------------------------------------------------


@pytest.fixture
def clone(repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A fresh clone of a repository with one run; it has origin/gxt and no gxt."""
    record(repo, name="theirs", metrics={"rmse": 6.3})
    git("clone", "-q", str(repo.work_tree), str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    return gxt.git.find(tmp_path / "clone")


def test_right_after_a_clone_the_remote_s_runs_are_read(clone: Repository) -> None:
    (run,) = catalog.listing(clone).runs
    assert (run.name, run.metrics["rmse"].last) == ("theirs", 6.3)
    assert catalog.points(clone, run)[0].value == 6.3
    assert git("for-each-ref", "refs/heads/gxt") == ""


def test_the_first_local_run_builds_on_the_remote_s_branch(clone: Repository) -> None:
    theirs = git("rev-parse", "origin/gxt")
    record(clone, name="ours")
    assert git("rev-parse", "gxt~1") == theirs
    assert {run.name for run in runs_on_branch(clone)} == {"theirs", "ours"}
    git("push", "-q", "origin", "gxt")


def test_a_first_edit_builds_on_the_remote_s_branch(clone: Repository) -> None:
    (run,) = catalog.listing(clone).runs
    store.edit_run(clone, run.id, lambda at: replace(at, note="seen"), "noted")
    assert git("rev-parse", "gxt~1") == git("rev-parse", "origin/gxt")


def test_a_remote_of_another_name_will_do(clone: Repository) -> None:
    git("remote", "rename", "origin", "team/upstream")
    assert [run.name for run in catalog.listing(clone).runs] == ["theirs"]


def test_init_takes_the_remote_s_branch_or_makes_one(clone: Repository, tmp_path: Path) -> None:
    assert store.init(clone) is True
    assert git("rev-parse", "gxt") == git("rev-parse", "origin/gxt")
    assert store.init(clone) is False
    fresh = tmp_path / "fresh"
    git("init", "-q", str(fresh))
    repo = gxt.git.find(fresh)
    assert store.init(repo) is True
    assert git("ls-tree", "--name-only", "gxt", cwd=fresh).split() == [".gitattributes", "gxt.yaml"]


def test_runs_that_only_the_other_side_has_are_counted(clone: Repository, repo: Repository) -> None:
    ours = record(clone, name="ours")
    new = record(repo, name="newer")
    git("fetch", "-q", "origin")
    local, remote = git("rev-parse", "gxt"), git("rev-parse", "origin/gxt")
    assert store.missing_runs(clone, local, remote) == {new}
    assert store.missing_runs(clone, remote, local) == {ours}
    assert store.missing_runs(clone, local, local) == set()
    assert store.missing_runs(clone, local, f"{remote}") == {new}


def test_a_shallow_clone_of_the_run_branch_can_be_built_on(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        record(repo)
    folder = tmp_path / "shallow"
    git("clone", "-q", "--depth=1", "--no-single-branch", Path(str(repo.work_tree)).as_uri(), str(folder))
    monkeypatch.chdir(folder)
    shallow_repo = gxt.git.find(folder)
    record(shallow_repo)
    assert len(catalog.listing(shallow_repo).runs) == 4
    git("push", "-q", "origin", "gxt")
    assert len(runs_on_branch(repo)) == 4


def test_a_branch_of_a_later_format_is_not_written_to(repo: Repository) -> None:
    record(repo)
    blob = git("hash-object", "-w", "--stdin", stdin="format: 2\n")
    listing = git("ls-tree", "gxt").replace(git("rev-parse", "gxt:gxt.yaml"), blob)
    git("update-ref", "refs/heads/gxt", git("commit-tree", git("mktree", stdin=listing), "-p", "gxt", "-m", "newer"))
    before = git("rev-parse", "gxt")
    run = recorder.begin(repo, "taxi")
    with pytest.warns(GxtWarning, match="format 2"):
        run.end()
    assert git("rev-parse", "gxt") == before
    with pytest.raises(FormatError):
        store.commit_pending(repo)
    assert (store.root(repo) / "pending" / run.run_id).is_dir()


# --- edits ------------------------------------------------------------------------------------------------------


def test_an_edit_keeps_what_this_version_does_not_know(repo: Repository) -> None:
    run_id = record(repo, params={"alpha": 0.1})
    path = f"experiments/taxi/{run_id}/run.yaml"
    put_on_branch(path, git("show", f"gxt:{path}") + "\nzodiac:\n  sign: lion\n")
    store.edit_run(repo, run_id, lambda run: replace(run, tags={"stage": "prod"}), "tagged stage=prod")
    text = git("show", f"gxt:{path}")
    assert "zodiac:\n  sign: lion" in text and "stage: prod" in text
    assert git("log", "-1", "--format=%s", "gxt").endswith("tagged stage=prod")


def test_an_edit_changes_the_documents_alone(repo: Repository, work: Path) -> None:
    run = recorder.begin(repo, "taxi")
    run.log_metric("rmse", 6.3)
    run.log_text("content", "notes.txt")
    run.end()
    before = {line.split("\t")[1]: line for line in git("ls-tree", "-r", "gxt").splitlines()}
    store.edit_run(repo, run.run_id, lambda at: replace(at, note="better"), "noted")
    after = {line.split("\t")[1]: line for line in git("ls-tree", "-r", "gxt").splitlines()}
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed == {f"experiments/taxi/{run.run_id}/run.yaml"}


def test_what_a_merge_added_is_read(repo: Repository) -> None:
    run_id = record(repo)
    put_on_branch(f"experiments/by%20hand/{run_id}/run.yaml", "status: finished\nname: copied\n")
    runs = {run.experiment: run for run in runs_on_branch(repo)}
    assert set(runs) == {"taxi", "by hand"} and runs["by hand"].name == "copied"


def test_one_spoiled_run_hides_no_other(repo: Repository) -> None:
    good, bad = record(repo), record(repo)
    put_on_branch(f"experiments/taxi/{bad}/run.yaml", "started: soon\n")
    found = catalog.listing(repo)
    assert {run.id: run.status for run in found.runs} == {good: "finished", bad: "unreadable"}
    assert len(found.problems) == 1 and bad in str(found.problems[0])


def test_one_spoiled_experiment_hides_no_other(repo: Repository) -> None:
    good = record(repo)
    record(repo, "other")
    put_on_branch("experiments/other/experiment.yaml", "created: soon\n")
    found = catalog.listing(repo)
    assert good in [run.id for run in found.runs]
    assert any("experiments/other/experiment.yaml" in str(problem) for problem in found.problems)


def test_deleting_hides_restoring_shows_and_purging_takes_away(repo: Repository) -> None:
    kept, gone = record(repo), record(repo)
    store.mark_deleted(repo, gone, True)
    assert [run.id for run in catalog.listing(repo).runs] == [kept]
    assert [run.id for run in catalog.listing(repo, deleted=True).runs] == [gone]
    assert "deleted: 20" in git("show", f"gxt:experiments/taxi/{gone}/run.yaml")
    store.mark_deleted(repo, gone, False)
    assert len(catalog.listing(repo).runs) == 2
    assert "deleted" not in git("show", f"gxt:experiments/taxi/{gone}/run.yaml")
    store.mark_deleted(repo, gone, True)
    assert [run.id for run in store.purge(repo, [kept, gone])] == [gone]
    assert [run.id for run in runs_on_branch(repo)] == [kept]
    assert git("show", f"gxt~1:experiments/taxi/{gone}/run.yaml") != ""
    with pytest.raises(NotFoundError):
        store.purge(repo, [kept])


def test_editing_a_run_that_is_not_there(repo: Repository) -> None:
    with pytest.raises(NotFoundError):
        store.edit_run(repo, "20200101-000000-00000000", lambda run: run, "noted")


def test_an_experiment_is_created_once_with_its_first_run(repo: Repository) -> None:
    promised = store.experiment(repo, "NYC taxi")
    assert git("for-each-ref", "refs/heads/gxt") == ""
    assert store.experiment(repo, "NYC taxi") == promised
    record(repo, "NYC taxi")
    record(repo, "NYC taxi")
    (experiment,) = store.read_experiments(repo, git("rev-parse", "gxt"))[0].values()
    assert (experiment.id, experiment.name, experiment.created) == (promised.id, "NYC taxi", promised.created)
    assert store.experiment(repo, "NYC taxi").id == promised.id
    assert live.new_experiments(store.root(repo)) == []


def test_objects_are_written_once(repo: Repository, work: Path) -> None:
    record(repo)
    record(repo)
    trees = [git("rev-parse", f"gxt:experiments/taxi/{run.id}/environment.txt") for run in runs_on_branch(repo)]
    assert len(set(trees)) == 1


def test_a_commit_of_a_stale_ref_lock_fails_with_git_s_words(repo: Repository) -> None:
    record(repo)
    other = git("commit-tree", "gxt^{tree}", "-m", "unrelated")
    with pytest.raises(GitError):
        gxt.git.create_ref(repo, "refs/heads/gxt", other)


def test_two_who_change_one_experiment_lose_nothing(repo: Repository, work: Path) -> None:
    recorder.begin(repo, "taxi").end()
    as_read = store.experiment(repo, "taxi")
    edits.set_goals(repo, as_read, {"rmse": "min"})
    edits.set_goals(repo, as_read, {"acc": "max"})
    assert store.experiment(repo, "taxi").goals == {"rmse": "min", "acc": "max"}
