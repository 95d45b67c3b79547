from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gxt.git
from gxt import catalog, snapshots
from gxt.git import Repository
from helpers import checkout_state, git, record, run_python


def snapshot(folder: Path) -> snapshots.Snapshot:
    """The code in a work tree, kept as that of a run is."""
    repo = gxt.git.find(folder)
    config = gxt.git.config(repo)
    until = snapshots.deadline()
    return snapshots.take(repo, config, snapshots.look(repo, config, until), until)


def about(folder: Path) -> dict[str, Any]:
    return snapshot(folder).about


def tree(commit: str, folder: Path) -> dict[str, str]:
    """Mode and content of what a commit has; of a submodule, its commit."""
    lines = git("ls-tree", "-r", "-z", commit, cwd=folder).split("\0")[:-1]
    found = {}
    for mode, kind, oid, path in ((*line.split("\t")[0].split(" "), line.split("\t")[1]) for line in lines):
        found[path] = f"{mode} {git('cat-file', 'blob', oid, cwd=folder) if kind == 'blob' else oid}"
    return found


def code(folder: Path) -> dict[str, str]:
    return tree(about(folder)["snapshot"], folder)


def as_git_adds_it(folder: Path) -> str:
    """The tree that `git add -A` makes, in an index of its own."""
    with tempfile.TemporaryDirectory() as aside:
        index = Path(aside) / "index"
        original = Path(git("rev-parse", "--path-format=absolute", "--git-path", "index", cwd=folder))
        if original.exists():
            shutil.copy2(original, index)
        environment = os.environ | {"GIT_INDEX_FILE": str(index)}
        for command in (["add", "-A"], ["write-tree"]):
            done = subprocess.run(["git", *command], cwd=folder, env=environment, capture_output=True, check=True)
        return done.stdout.decode().strip()


def untouched(folder: Path) -> dict[str, object]:
    """What nobody may notice; but git itself touches a shared index whenever it reads it."""
    return {path: about for path, about in checkout_state(folder).items() if "sharedindex." not in path}


def refs(folder: Path) -> list[str]:
    return git("for-each-ref", "--format=%(refname)", "refs/gxt", cwd=folder).splitlines()


# --- what is in it ------------------------------------------------------------------------------------------------


def test_a_clean_tree_is_its_commit(work: Path) -> None:
    head = git("rev-parse", "HEAD")
    assert snapshot(work) == ({"snapshot": head}, None)
    assert refs(work) == [f"refs/gxt/code/{head}"]


def test_changes_staged_or_not_and_new_files_are_in_it_and_ignored_ones_are_not(work: Path) -> None:
    (work / ".gitignore").write_text("*.log\n")
    (work / "gone.py").write_text("x")
    git("add", ".")
    git("commit", "-q", "-m", "second")
    (work / "train.py").write_text("changed\n")
    (work / "staged.py").write_text("staged\n")
    git("add", "staged.py")
    (work / "staged.py").write_text("and changed\n")
    (work / "gone.py").unlink()
    (work / "deep" / "er").mkdir(parents=True)
    (work / "deep" / "er" / "new.py").write_text("new\n")
    (work / "out.log").write_text("ignored\n")
    before = checkout_state(work)
    found = snapshot(work)
    assert checkout_state(work) == before
    commit = found.about["snapshot"]
    assert tree(commit, work) == {
        ".gitignore": "100644 *.log",
        "train.py": "100644 changed",
        "staged.py": "100644 and changed",
        "deep/er/new.py": "100644 new",
    }
    assert git("rev-parse", f"{commit}^@") == git("rev-parse", "HEAD")
    assert found.patch is not None and b"-print('training')\n+changed\n" in found.patch
    git("stash", "-q", "-u")
    git("apply", "--check", "-", stdin=found.patch.decode())


def test_the_same_code_is_the_same_commit_in_every_clone_and_adds_one_ref(work: Path, tmp_path: Path) -> None:
    git("clone", "-q", str(work), str(tmp_path / "other"))
    found = []
    for folder in (work, tmp_path / "other"):
        (folder / "train.py").write_text("changed\n")
        os.utime(folder / "train.py", (1e9, 1e9))
        found += [about(folder)["snapshot"] for _ in range(3)]
    assert len(set(found)) == 1
    assert refs(work) == [f"refs/gxt/code/{found[0]}"]
    packs = sorted((work / ".git" / "objects" / "pack").iterdir())
    about(work)
    assert sorted((work / ".git" / "objects" / "pack").iterdir()) == packs


def test_a_process_writes_the_same_changes_once(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_RESOLUTION", -1 << 60)  # however new the files are
    (work / "new.py").write_text("1")
    real = gxt.git.write
    written: list[object] = []
    monkeypatch.setattr(gxt.git, "write", lambda *args: (written.append(args), real(*args))[1])
    first = snapshot(work)
    assert snapshot(work) == first and len(written) == 1
    git("update-ref", "-d", refs(work)[0])
    git("gc", "-q", "--prune=now")
    assert snapshot(work) == first and len(written) == 2  # it was let go
    for change in (lambda: (work / "new.py").write_text("2"), lambda: git("commit", "--allow-empty", "-qm", "x")):
        change()
        assert snapshot(work) != first
    git("config", "gxt.snapshotMaxPatch", "0")
    assert snapshot(work).patch is None
    assert len(written) == 5 and code(work)["new.py"] == "100644 2"


def test_files_that_have_changed_just_now_are_looked_at_again(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = gxt.git.write
    written: list[object] = []
    monkeypatch.setattr(gxt.git, "write", lambda *args: (written.append(args), real(*args))[1])
    (work / "new.py").write_text("1")
    assert snapshot(work) == snapshot(work) and len(written) == 2


def test_what_was_written_since_a_run_began_is_told(work: Path) -> None:
    repo = gxt.git.find(work)
    (work / "train.py").write_text("changed\n")
    (work / "early.py").write_text("new\n")
    os.utime(work / "early.py", (1000, 1000))
    found = snapshots.look(repo, gxt.git.config(repo), snapshots.deadline())
    assert list(snapshots.changed_since(work, found, 2000)) == ["train.py"]
    assert list(snapshots.changed_since(work, found, 500)) == ["train.py", "early.py"]


def test_nothing_of_the_user_s_set_up_has_a_say_in_the_commit(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "train.py").write_text("changed\n")
    plain = about(work)["snapshot"]
    hooks = work / ".git" / "hooks"
    for name in ("post-index-change", "reference-transaction", "pre-commit", "commit-msg", "post-commit"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {work.parent}/hooked\n")
        (hooks / name).chmod(0o755)
    for key, value in {
        "commit.gpgSign": "true",
        "i18n.commitEncoding": "latin1",
        "user.name": "Grace",
        "core.safecrlf": "true",
        "core.quotePath": "false",
        "status.relativePaths": "true",
        "status.renames": "copies",
        "diff.noprefix": "true",
        "core.fsmonitor": "/nonexistent",
        "core.splitIndex": "true",
        "core.logAllRefUpdates": "always",
        "diff.ignoreSubmodules": "all",
    }.items():
        git("config", key, value)
    monkeypatch.setenv("GIT_AUTHOR_DATE", "2001-01-01T00:00:00")
    git("update-ref", "-d", f"refs/gxt/code/{plain}")
    (work.parent / "hooked").unlink(missing_ok=True)
    found = snapshot(work)
    assert found.about == {"snapshot": plain} and found.patch is not None and b"a/train.py" in found.patch
    assert not (work.parent / "hooked").exists()
    assert not (work / ".git" / "logs" / "refs" / "gxt").exists()


def test_the_first_commit_is_still_to_come(tmp_path: Path) -> None:
    git("init", "-q", str(tmp_path / "fresh"))
    assert about(tmp_path / "fresh") == {}
    (tmp_path / "fresh" / "a.py").write_text("a\n")
    found = snapshot(tmp_path / "fresh")
    assert tree(found.about["snapshot"], tmp_path / "fresh") == {"a.py": "100644 a"}
    assert found.patch is not None and b"+a\n" in found.patch


NAMES = ["a", "b", "d", "d/e", "d/f", "ü b", "new\nline", 'q"uote', "-dash", "t\tab"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "remove", "stage", "unstage", "chmod", "link", "intend"]), st.sampled_from(NAMES)
    ),
    max_size=12,
)


@settings(max_examples=25)
@given(STEPS, STEPS)
def test_it_is_what_git_add_would_make_of_any_tree(before: list[tuple[str, str]], after: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as aside:
        work = Path(aside)
        git("init", "-q", ".", cwd=work)
        for number, (what, name) in enumerate(before):
            _step(work, what, name, number)
        git("add", "-A", cwd=work)
        git("commit", "-q", "--allow-empty", "-m", "x", cwd=work)
        for number, (what, name) in enumerate(after, 100):
            _step(work, what, name, number)
        commit = about(work)["snapshot"]
        assert git("rev-parse", f"{commit}^{{tree}}", cwd=work) == as_git_adds_it(work)
        is_head = commit == git("rev-parse", "HEAD", cwd=work)
        assert is_head == (as_git_adds_it(work) == git("rev-parse", "HEAD^{tree}", cwd=work))
        assert refs(work) == [f"refs/gxt/code/{commit}"]


def _step(work: Path, what: str, name: str, number: int) -> None:
    path = work / name
    if what in ("write", "link"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        if path.parent.is_symlink() or path.parent.is_file():
            path.parent.unlink()
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        if what == "link":
            path.symlink_to("nowhere")
        else:
            path.write_text(f"{number % 3}\n")
    elif path.is_symlink() or path.is_file():
        if what == "remove":
            path.unlink()
        elif what == "chmod" and not path.is_symlink():
            path.chmod(0o755 if number % 2 else 0o644)
        elif what == "stage":
            git("add", "--", name, cwd=work)
        elif what == "unstage":
            subprocess.run(["git", "rm", "-q", "--cached", "--", name], cwd=work, capture_output=True, check=False)
        elif what == "intend":
            git("add", "-N", "--", name, cwd=work)


# --- odd repositories -----------------------------------------------------------------------------------------------


def assumed_unchanged(work: Path) -> dict[str, str]:
    for name in ("kept.py", "mode.py", "deleted.py", "same.py"):
        (work / name).write_text("before\n")
    git("add", ".")
    git("commit", "-q", "-m", "second")
    git("update-index", "--assume-unchanged", "train.py", "mode.py", "deleted.py", "same.py")
    (work / "train.py").write_text("changed\n")
    (work / "mode.py").chmod(0o755)
    (work / "deleted.py").unlink()
    return {
        "train.py": "100644 changed",
        "kept.py": "100644 before",
        "mode.py": "100755 before",
        "same.py": "100644 before",
    }


def skipped(work: Path) -> dict[str, str]:
    (work / "absent.py").write_text("absent\n")
    git("add", ".")
    git("commit", "-q", "-m", "second")
    git("update-index", "--skip-worktree", "train.py", "absent.py")
    (work / "train.py").write_text("changed\n")
    (work / "absent.py").unlink()
    return {"train.py": "100644 changed", "absent.py": "100644 absent"}


def sparse(work: Path) -> dict[str, str]:
    for name in ("in", "out"):
        (work / name).mkdir()
        (work / name / "a.py").write_text(f"{name}\n")
    git("add", ".")
    git("commit", "-q", "-m", "second")
    git("sparse-checkout", "set", "--cone", "--sparse-index", "in")
    assert not (work / "out").exists()
    (work / "in" / "a.py").write_text("changed\n")
    return {"train.py": "100644 print('training')", "in/a.py": "100644 changed", "out/a.py": "100644 out"}


def split_index(work: Path) -> dict[str, str]:
    git("config", "core.splitIndex", "true")
    git("update-index", "--split-index")
    (work / "new.py").write_text("new\n")
    git("add", "new.py")
    (work / "train.py").write_text("changed\n")
    return {"train.py": "100644 changed", "new.py": "100644 new"}


def locked_index(work: Path) -> dict[str, str]:
    (work / ".git" / "index.lock").touch()
    (work / "train.py").write_text("changed\n")
    return {"train.py": "100644 changed"}


def untracked_cache(work: Path) -> dict[str, str]:
    git("update-index", "--force-untracked-cache")
    (work / "a").mkdir()
    (work / "a" / "new.py").write_text("new\n")
    git("status")
    (work / "a" / "newer.py").write_text("newer\n")
    return {"train.py": "100644 print('training')", "a/new.py": "100644 new", "a/newer.py": "100644 newer"}


def merging(work: Path) -> dict[str, str]:
    git("checkout", "-q", "-b", "other")
    (work / "train.py").write_text("theirs\n")
    (work / "both.py").write_text("theirs\n")
    git("add", ".")
    git("commit", "-q", "-m", "theirs")
    git("checkout", "-q", "main")
    (work / "train.py").write_text("ours\n")
    (work / "both.py").write_text("ours\n")
    git("add", ".")
    git("commit", "-q", "-m", "ours")
    assert subprocess.run(["git", "merge", "-q", "other"], capture_output=True, check=False).returncode
    (work / "both.py").unlink()
    conflict = (work / "train.py").read_text().rstrip("\n")
    return {"train.py": f"100644 {conflict}"}


def line_ends(work: Path) -> dict[str, str]:
    """`git add` leaves CRLF alone in a file that had it before, and takes it out of others."""
    git("config", "core.autocrlf", "false")
    (work / "dos.txt").write_bytes(b"a\r\nb\r\n")
    git("add", ".")
    git("commit", "-q", "-m", "second")
    git("config", "core.autocrlf", "true")
    (work / "dos.txt").write_bytes(b"a\r\nb\r\nc\r\n")
    git("config", "core.safecrlf", "true")  # with which `git add` would refuse the file that mixes them
    for name, content in (("new.txt", b"a\r\nb\r\n"), ("mixed.txt", b"a\nb\r\n")):
        (work / name).write_bytes(content)
    same = dict.fromkeys(("new.txt", "mixed.txt"), "100644 a\nb")
    return {"train.py": "100644 print('training')", "dos.txt": "100644 a\nb\nc", **same}


def filters(work: Path) -> dict[str, str]:
    git("config", "filter.rot.clean", "tr a-z n-za-m")
    git("config", "filter.rot.smudge", "tr a-z n-za-m")
    git("config", "filter.rot.required", "true")
    (work / ".gitattributes").write_text("*.sec filter=rot\n")
    (work / "a.sec").write_text("hello\n")
    return {
        "train.py": "100644 print('training')",
        ".gitattributes": "100644 *.sec filter=rot",
        "a.sec": "100644 uryyb",
    }


def links_and_modes(work: Path) -> dict[str, str]:
    (work / "link").symlink_to("train.py")
    (work / "tool").write_text("#!/bin/sh\n")
    (work / "tool").chmod(0o755)
    (work / "train.py").chmod(0o755)
    return {"train.py": "100755 print('training')", "link": "120000 train.py", "tool": "100755 #!/bin/sh"}


def modes_that_do_not_count(work: Path) -> dict[str, str]:
    git("config", "core.fileMode", "false")
    git("update-index", "--chmod=+x", "train.py")
    (work / "train.py").write_text("changed\n")
    (work / "new.py").write_text("new\n")
    (work / "new.py").chmod(0o755)
    return {"train.py": "100755 changed", "new.py": "100644 new"}


def intended(work: Path) -> dict[str, str]:
    (work / "new.py").write_text("new\n")
    git("add", "-N", "new.py")
    return {"train.py": "100644 print('training')", "new.py": "100644 new"}


def no_untracked(work: Path) -> dict[str, str]:
    git("config", "status.showUntrackedFiles", "no")
    (work / "private.txt").write_text("not for others\n")
    (work / "train.py").write_text("changed\n")
    return {"train.py": "100644 changed"}


def pipes(work: Path) -> dict[str, str]:
    os.mkfifo(work / "pipe")
    (work / "train.py").unlink()
    os.mkfifo(work / "train.py")
    here = os.getcwd()
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(work)
        listener.bind("socket")
        os.chdir(here)
    return {"train.py": "100644 print('training')"}


def rebasing(work: Path) -> dict[str, str]:
    (work / "train.py").write_text("second\n")
    git("commit", "-q", "-a", "-m", "second")
    git("-c", "sequence.editor=sed -i s/pick/edit/", "rebase", "-q", "-i", "HEAD~1")
    assert (work / ".git" / "rebase-merge").is_dir()
    (work / "train.py").write_text("in between\n")
    return {"train.py": "100644 in between"}


def sha256(work: Path) -> dict[str, str]:
    shutil.rmtree(work / ".git")
    git("init", "-q", "--object-format=sha256", ".")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    (work / "new.py").write_text("new\n")
    return {"train.py": "100644 print('training')", "new.py": "100644 new"}


@pytest.mark.parametrize(
    "make",
    [assumed_unchanged, skipped, sparse, split_index, locked_index, untracked_cache, merging, line_ends, filters,
     links_and_modes, modes_that_do_not_count, intended, no_untracked, pipes, rebasing, sha256],
)  # fmt: skip
def test_odd_repositories(work: Path, make: Callable[[Path], dict[str, str]]) -> None:
    expected = make(work)
    before = untouched(work)
    found = about(work)
    assert untouched(work) == before
    assert "problem" not in found
    assert tree(found["snapshot"], work) == expected
    assert gxt.git.look(gxt.git.find(work), {}, gxt.git.Deadline(60)).dirty
    git("fsck", "--strict")


def test_a_change_in_the_very_moment_of_the_index(work: Path) -> None:
    """A file as young as the index, of the same size: git looks into it."""
    (work / "train.py").write_text("print('trained!')\n"[: len("print('training')\n")])
    git("add", ".")
    (work / "train.py").write_text("print('trainer!')\n"[: len("print('training')\n")])
    assert code(work)["train.py"].startswith("100644 print('trainer")


def test_a_linked_work_tree(work: Path, tmp_path: Path) -> None:
    git("worktree", "add", "-q", str(tmp_path / "linked"), "-b", "side")
    linked = tmp_path / "linked"
    (linked / "train.py").write_text("linked\n")
    assert code(linked) == {"train.py": "100644 linked"}
    assert about(work) == {"snapshot": git("rev-parse", "HEAD")}


def test_submodules_are_commits_and_their_own_changes_are_named(work: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    git("init", "-q", str(inner))
    (inner / "lib.py").write_text("1\n")
    git("add", ".", cwd=inner)
    git("commit", "-q", "-m", "lib", cwd=inner)
    for name in ("sub", "still"):
        git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), name)
    git("commit", "-q", "-m", "subs")
    first = git("rev-parse", "HEAD", cwd=work / "sub")
    assert about(work) == {"snapshot": git("rev-parse", "HEAD")}
    (work / "sub" / "lib.py").write_text("2\n")
    assert about(work) == {"snapshot": git("rev-parse", "HEAD"), "submodules": {"sub": {"dirty": True}}}
    git("commit", "-q", "-a", "-m", "lib 2", cwd=work / "sub")
    second = git("rev-parse", "HEAD", cwd=work / "sub")
    found = about(work)
    assert found["submodules"] == {"sub": {"commit": second, "dirty": False}}
    assert tree(found["snapshot"], work)["sub"] == f"160000 {second}"
    assert tree(found["snapshot"], work)["still"] == f"160000 {first}"
    (work / "sub" / "new.py").write_text("new\n")
    assert about(work)["submodules"] == {"sub": {"commit": second, "dirty": True}}


def test_a_repository_inside_is_a_commit_too(work: Path) -> None:
    for name in ("empty", "nested"):
        git("init", "-q", name)
    (work / "nested" / "a.py").write_text("a\n")
    git("add", ".", cwd=work / "nested")
    git("commit", "-q", "-m", "a", cwd=work / "nested")
    (work / "nested" / "b.py").write_text("b\n")
    nested = git("rev-parse", "HEAD", cwd=work / "nested")
    found = about(work)
    assert tree(found["snapshot"], work) == {"train.py": "100644 print('training')", "nested": f"160000 {nested}"}
    assert found["submodules"] == {"nested": {"commit": nested, "dirty": True}}
    assert found["left_out"] == {"empty": {"problem": "a repository without a commit"}}


def test_files_of_git_lfs_stay_pointers(work: Path) -> None:
    """With a filter that does what git-lfs's does, and sends nothing anywhere."""
    pointer = "version https://git-lfs.github.com/spec/v1\\noid sha256:$sum\\nsize $(cat $f | wc -c)\\n"
    clean = f"sh -c 'f=$(mktemp); cat > $f; sum=$(sha256sum < $f | cut -c1-64); printf \"{pointer}\"'"
    git("config", "filter.lfs.clean", clean)
    git("config", "filter.lfs.required", "true")
    (work / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (work / "model.bin").write_bytes(b"\0" * 1000)
    assert code(work)["model.bin"].startswith("100644 version https://git-lfs.github.com/spec/v1\noid sha256:541b3e9d")


# --- what is left out ---------------------------------------------------------------------------------------------


def test_large_files_are_named_and_left_out(work: Path) -> None:
    (work / "tracked.bin").write_bytes(b"small")
    git("add", ".")
    git("commit", "-q", "-m", "second")
    git("config", "gxt.snapshotMaxFile", "1k")
    (work / "tracked.bin").write_bytes(b"x" * 1025)
    (work / "staged.bin").write_bytes(b"x" * 1026)
    git("add", "staged.bin")
    (work / "new.bin").write_bytes(b"x" * 1027)
    (work / "fits.bin").write_bytes(b"x" * 1024)
    found = about(work)
    assert found["left_out"] == {
        "new.bin": {"size": 1027},
        "staged.bin": {"size": 1026},
        "tracked.bin": {"size": 1025},
    }
    assert set(tree(found["snapshot"], work)) == {"train.py", "tracked.bin", "fits.bin"}
    assert tree(found["snapshot"], work)["tracked.bin"] == "100644 small"


def test_files_that_hold_secrets_by_custom_are_left_out_unless_git_tracks_them(work: Path) -> None:
    (work / "server.pem").write_text("tracked")
    git("add", "server.pem")
    git("commit", "-qm", "x")
    secret = [
        ".env",
        ".env.local",
        "prod.env",
        "deep/id_ed25519",
        "TLS.KEY",
        "secrets.yaml",
        "service-account-x.json",
        "kaggle.json",
        ".kube/config",
        ".docker/config.json",
        "token.txt",
    ]
    code_of = [".env.example", "secrets.py", "environment.yaml", "keys.csv", "env", "token.py", "tokens.json"]
    for name in (*secret, *code_of, "server.pem"):
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text("changed")
    found = snapshot(work)
    assert found.about["left_out"] == {name: {"problem": "by its name it may hold secrets"} for name in sorted(secret)}
    there = tree(found.about["snapshot"], work)
    assert {*code_of, "server.pem"} <= there.keys() and not {*secret} & there.keys()
    assert there["server.pem"] == "100644 changed"


def test_what_programs_leave_behind_of_themselves_is_no_change(work: Path) -> None:
    for name in ("pkg/__pycache__/a.cpython-311.pyc", ".ipynb_checkpoints/a.ipynb", ".DS_Store"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text("x")
    assert about(work) == {"snapshot": git("rev-parse", "HEAD").strip()}
    run_id = record(gxt.git.find(work))
    assert catalog.find(gxt.git.find(work), run_id).source["dirty"] is False
    git("add", "-A")  # unless git tracks it
    assert "pkg/__pycache__/a.cpython-311.pyc" in code(work)


def test_of_too_much_that_git_does_not_track_the_largest_is_left_out(work: Path) -> None:
    git("config", "gxt.snapshotMaxTotal", "2500")
    (work / "data").mkdir()
    for number in range(4):
        (work / "data" / f"{number}.csv").write_bytes(b"x" * (1000 + number))
    (work / "new.py").write_text("new\n")
    found = about(work)
    assert found["left_out"] == {"data/2.csv": {"size": 1002}, "data/3.csv": {"size": 1003}}
    assert set(tree(found["snapshot"], work)) == {"train.py", "new.py", "data/0.csv", "data/1.csv"}


@pytest.mark.parametrize(
    ("most", "left_out"),
    [
        (7, {}),
        (6, {"data": {"problem": "5 files that git does not track"}}),
        (2, {"data": {"problem": "5 files that git does not track"}}),
        (1, {folder: {"problem": f"{n} files that git does not track"} for folder, n in (("data", 5), ("src", 1))}),
    ],
)
def test_of_too_many_files_that_git_does_not_track_folders_are_left_out(
    work: Path, most: int, left_out: dict[str, dict[str, str]]
) -> None:
    git("config", "gxt.snapshotMaxFiles", str(most))
    paths = ["new.py", "src/new.py", *(f"data/{n % 2}/{n}" for n in range(5))]
    for path in paths:
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(path)
    found = about(work)
    assert found.get("left_out", {}) == left_out
    kept = {path for path in paths if not path.startswith(tuple(f"{folder}/" for folder in left_out))}
    assert set(tree(found["snapshot"], work)) == {"train.py"} | kept


def test_of_very_many_files_that_are_left_out_some_are_named(work: Path) -> None:
    git("config", "gxt.snapshotMaxFile", "1")
    for number in range(130):
        (work / f"{number:03d}.csv").write_text("xx")
    found = about(work)
    assert len(found["left_out"]) == 100 and found["left_out_more"] == 30
    assert found["snapshot"] == git("rev-parse", "HEAD")


def test_a_filter_that_fails_leaves_out_its_file_alone(work: Path) -> None:
    git("config", "filter.broken.clean", "false")
    git("config", "filter.broken.required", "true")
    (work / ".gitattributes").write_text("*.bad filter=broken\n")
    for name in ("a.bad", "b.bad", "good.py"):
        (work / name).write_text("x\n")
    found = about(work)
    assert set(found["left_out"]) == {"a.bad", "b.bad"} and "filter" in found["left_out"]["a.bad"]["problem"]
    assert set(tree(found["snapshot"], work)) == {".gitattributes", "train.py", "good.py"}


def test_binary_files_are_named_in_the_patch_and_large_ones_left_out_where_it_would_be_too_long(work: Path) -> None:
    (work / "a.bin").write_bytes(bytes(range(256)))
    (work / "b.py").write_text("b\n" * 100)
    (work / "big.csv").write_text("a long line\n" * 200_000)
    # One line, longer than what is read at once, in which the next reading begins as a file's part does.
    (work / "c.txt").write_text("c" * (2**16 - 1) + "diff --git " + "c" * 100_000)
    (work / "train.py").write_text("diff --git a/x b/x\n")
    (work / "z.py").write_text("z\n" * 3)
    found = snapshot(work)
    assert found.patch is not None and b"Cut by" in found.patch and b"\nLeft out: diff --git a/big.csv" in found.patch
    assert b"diff --git " + b"c" * 100_000 in found.patch
    assert b"Binary files /dev/null and b/a.bin differ" in found.patch
    git("config", "gxt.snapshotMaxPatch", "2k")
    cut = snapshot(work).patch
    assert cut is not None and len(cut) < 2600
    assert b"\n+b\n" in cut and b"\n+z\n" in cut and b"\n+diff --git a/x b/x\n" in cut
    begins = [line for line in cut.splitlines() if b"diff --git" in line and not line.startswith(b"+")]
    assert [line.split(b"b/")[-1].split(b" (1")[0] for line in begins] == [
        *(b"a.bin", b"b.py", b"big.csv (2600190 bytes)", b"c.txt", b"train.py", b"z.py")
    ]
    assert cut.count(b"\nLeft out: diff --git a/") == 2
    last = b"Cut by gxt, which keeps 2048 bytes of a patch: 2 files left out. All of it: git diff "
    assert cut.splitlines()[-1].startswith(last)
    git("stash", "-q", "-u")
    git("apply", "--exclude=a.bin", "-", stdin=cut.decode())
    assert (work / "z.py").read_text() == "z\n" * 3 and not (work / "big.csv").exists()
    git("checkout", "-q", ".")
    git("clean", "-qfd")
    git("stash", "pop", "-q")
    git("config", "gxt.snapshotMaxPatch", "1k")
    cut = snapshot(work).patch  # where all that remain are too much together, the longest of them goes
    assert cut is not None and cut.count(b"\nLeft out: ") == 3 and b"Left out: diff --git a/b.py " in cut
    assert b"\n+b\n" not in cut and b"\n+z\n" in cut and b"\n+diff --git a/x b/x\n" in cut
    git("config", "gxt.snapshotMaxPatch", "0")
    assert snapshot(work).patch is None


# --- in a run -------------------------------------------------------------------------------------------------------


def test_a_run_names_its_code(repo: Repository, work: Path) -> None:
    (work / "train.py").write_text("changed\n")
    (work / "data.bin").write_bytes(b"x" * (5 * 2**20 + 1))
    run = catalog.find(repo, record(repo))
    assert list(run.source)[-5:] == ["commit", "branch", "dirty", "snapshot", "left_out"]
    assert run.source["left_out"] == {"data.bin": {"size": 5 * 2**20 + 1}}
    assert tree(run.source["snapshot"], work) == {"train.py": "100644 changed"}
    assert b"+changed" in catalog.read_file(repo, run, "code.patch")
    text = git("show", f"gxt:experiments/taxi/{run.id}/run.yaml")
    assert f"  snapshot: {run.source['snapshot']}\n  left_out:\n    data.bin:\n      size: 5242881\n" in text


def test_the_code_is_that_of_the_start(repo: Repository, work: Path) -> None:
    run_python(
        code="""
        import time, gxt
        from pathlib import Path
        Path("train.py").write_text("at the start\\n")
        with gxt.start_run() as run:
            while "snapshot" not in run.record.source:
                time.sleep(0.01)
            Path("train.py").write_text("later\\n")
        """
    )
    assert tree(catalog.find(repo, "@last").source["snapshot"], work)["train.py"] == "100644 at the start"


def test_a_hundred_runs_of_the_same_code_add_one_ref(repo: Repository, work: Path) -> None:
    (work / "train.py").write_text("changed\n")
    run_python(
        code="""
        import gxt
        for seed in range(100):
            with gxt.start_run():
                gxt.log_param("seed", seed)
        """
    )
    runs = catalog.listing(repo).runs
    (commit,) = {run.source["snapshot"] for run in runs}
    assert len(runs) == 100 and refs(work) == [f"refs/gxt/code/{commit}"]


def test_it_can_be_turned_off(repo: Repository, work: Path) -> None:
    git("config", "gxt.snapshot", "false")
    (work / "train.py").write_text("changed\n")
    run = catalog.find(repo, record(repo))
    assert run.source["dirty"] is True and "snapshot" not in run.source
    assert run.source["problem"] == "no snapshot of the code: git config gxt.snapshot is false"
    assert refs(work) == [] and "code.patch" not in git("ls-tree", "-r", "--name-only", "gxt")


def test_what_began_in_a_shell_has_its_code_too(repo: Repository, work: Path) -> None:
    (work / "train.py").write_text("changed\n")
    run_python("-m", "gxt", "start", "-n", "open")
    assert "snapshot" in catalog.find(repo, "open").source


def test_a_notebook_leaves_its_cells_as_a_script(repo: Repository, work: Path) -> None:
    pytest.importorskip("IPython")
    run_python(
        code="""
        from IPython.core.interactiveshell import InteractiveShell
        shell = InteractiveShell.instance()
        shell.kernel = None
        for cell in ("import gxt", "%time x = 1", "with gxt.start_run(run_name='cells'):\\n    gxt.log_param('x', x)"):
            shell.run_cell(cell, store_history=True).raise_error()
        """,
        JPY_SESSION_NAME="fit.ipynb",
    )
    run = catalog.find(repo, "cells")
    cells = catalog.read_file(repo, run, "notebook.py").decode()
    assert run.source["entrypoint"] == "fit.ipynb"
    assert cells.startswith("# In[1]:\n\nimport gxt\n\n\n# In[2]:\n\nget_ipython().run_line_magic('time', 'x = 1')\n")
    assert cells.endswith("# In[3]:\n\nwith gxt.start_run(run_name='cells'):\n    gxt.log_param('x', x)\n")
    compile(cells, "notebook.py", "exec")
