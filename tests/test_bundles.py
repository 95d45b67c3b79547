"""Runs in one file: whole, verified, joined like a pull; nothing here is lost, whatever is wrong with the file."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gxt import bundles, catalog, doctor, edits, recorder, store
from gxt.errors import FormatError, GitError, GxtError, NotFoundError
from gxt.git import Repository, find
from gxt.pointers import Pointer, write_pointer
from helpers import Train, git, put_on_branch, run_python
from test_mirrors import cli

LARGE = b"weights " * 200_000


@pytest.fixture
def other(repo: Repository, tmp_path: Path) -> Repository:
    """A clone of the code alone, where no network leads."""
    folder = tmp_path / "other"
    git("clone", "-q", "--single-branch", "--branch", "main", str(repo.work_tree), str(folder))
    git("symbolic-ref", "-d", "refs/remotes/origin/HEAD", cwd=folder)
    git("remote", "remove", "origin", cwd=folder)
    git("config", "gxt.artifactStore", str(tmp_path / "other-store"), cwd=folder)
    return find(folder)


@pytest.fixture
def large(repo: Repository, tmp_path: Path) -> str:
    """A run with a large artifact; its id."""
    git("config", "gxt.artifactStore", str(tmp_path / "store"), cwd=repo.work_tree)
    file = tmp_path / "model.bin"
    file.write_bytes(LARGE)
    run = recorder.begin(repo, "taxi", name="large")
    run.log_artifact(file)
    run.end("finished")
    return run.run_id


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a bundle goes."""
    return tmp_path / "carried" / "runs.zip"


@pytest.fixture(autouse=True)
def folder_of_bundles(file: Path) -> None:
    file.parent.mkdir()


def names(repo: Repository) -> set[str | None]:
    return {run.name for run in catalog.listing(repo).runs}


def tip(repo: Repository) -> str:
    return git("rev-parse", "refs/heads/gxt", cwd=repo.work_tree)


def begin(repo: Repository, name: str) -> None:
    recorder.begin(repo, "taxi", name=name).end("finished")


def state(repo: Repository) -> tuple[str, list[str]]:
    """All refs, and all large artifacts."""
    objects = sorted(str(path) for path in (repo.common_dir / "lfs").rglob("*") if path.is_file())
    return git("for-each-ref", cwd=repo.work_tree), objects


def test_everything_arrives(repo: Repository, other: Repository, train: Train, large: str, file: Path) -> None:
    train("small", loss=[1])
    made = bundles.bundle(repo, file)
    assert {moved.what for moved in made.runs} == {"new"}
    assert [pointer.size for pointer in made.artifacts] == [len(LARGE)]
    shutil.rmtree(repo.common_dir / "lfs")  # nobody can fetch anything
    came = bundles.unbundle(other, file)
    assert len(came.received) == 2
    assert not came.missing
    assert names(other) == {"large", "small"}
    assert tip(other) == tip(repo)
    assert catalog.read_file(other, catalog.find(other, "large"), "artifacts/model.bin") == LARGE
    git("fsck", "--strict", cwd=other.work_tree)
    again = bundles.unbundle(other, file)
    assert not again.received
    assert not again.artifacts


def test_what_both_sides_have_is_joined(repo: Repository, other: Repository, train: Train, file: Path) -> None:
    first = train("first", loss=[1])
    bundles.bundle(repo, file)
    bundles.unbundle(other, file)
    base = tip(repo)
    begin(other, "theirs")
    edits.tag(other, catalog.find(other, first), {"a": "there"})
    train("ours")
    edits.tag(repo, catalog.find(repo, first), {"b": "here"})
    small = file.with_name("new.zip")
    made = bundles.bundle(repo, small, base)
    assert sorted(moved.what for moved in made.runs) == ["changed", "new"]
    bundles.unbundle(other, small)
    assert names(other) == {"first", "theirs", "ours"}
    assert catalog.find(other, first).tags == {"a": "there", "b": "here"}
    # And back: the two are then the same.
    bundles.bundle(other, small, tip(repo))
    bundles.unbundle(repo, small)
    assert tip(repo) == tip(other)


def test_two_that_began_apart(repo: Repository, other: Repository, train: Train, file: Path) -> None:
    train("ours")
    begin(other, "theirs")
    bundles.bundle(repo, file)
    bundles.unbundle(other, file)
    assert names(other) == {"ours", "theirs"}


def test_only_what_is_new(repo: Repository, other: Repository, train: Train, large: str, file: Path) -> None:
    base = tip(repo)
    with pytest.raises(NotFoundError, match="nothing has come"):
        bundles.bundle(repo, file, base)
    train("new")
    made = bundles.bundle(repo, file, base)
    assert len(made.runs) == 1
    assert not made.artifacts
    before = state(other)
    with pytest.raises(NotFoundError, match="builds on runs that are not here") as error:
        bundles.unbundle(other, file)
    assert base in error.value.message
    assert state(other) == before


def test_in_a_fresh_clone(repo: Repository, other: Repository, train: Train, file: Path, tmp_path: Path) -> None:
    train("ours")
    git("clone", "-q", str(repo.work_tree), str(tmp_path / "fresh"))
    fresh = find(tmp_path / "fresh")
    bundles.bundle(fresh, file)
    bundles.unbundle(other, file)
    assert names(other) == {"ours"}
    assert git("branch", "--list", "gxt", cwd=fresh.work_tree) == ""


def test_looking_changes_nothing(repo: Repository, other: Repository, train: Train, large: str, file: Path) -> None:
    bundles.bundle(repo, file)
    begin(other, "theirs")
    before = state(other)
    found = bundles.unbundle(other, file, dry_run=True)
    assert [moved.what for moved in found.received] == ["new"]
    assert found.names == {large: "large"}
    assert len(found.artifacts) == 1
    assert state(other) == before
    assert not [path for path in store.root(other).iterdir() if path.name.startswith("unbundle-")]
    assert git("cat-file", "-t", tip(other), cwd=other.work_tree) == "commit"


def test_by_plain_git(repo: Repository, other: Repository, train: Train, file: Path) -> None:
    train("ours")
    bundles.bundle(repo, file)
    assert other.work_tree is not None
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(file), str(file.parent)], check=True)
    text = (file.parent / "README.txt").read_text()
    assert "refs/heads/gxt:refs/heads/runs-from-bundle" in text
    git(
        "fetch",
        "-q",
        str(file.parent / "runs.bundle"),
        "refs/heads/gxt:refs/heads/runs-from-bundle",
        cwd=other.work_tree,
    )
    assert git("rev-parse", "runs-from-bundle", cwd=other.work_tree) == tip(repo)


def test_of_plain_git(repo: Repository, other: Repository, train: Train, file: Path) -> None:
    train("ours")
    git("bundle", "create", "-q", str(file), "gxt", cwd=repo.work_tree)
    bundles.unbundle(other, file)
    assert names(other) == {"ours"}


def test_without_large_artifacts(repo: Repository, other: Repository, large: str, file: Path) -> None:
    made = bundles.bundle(repo, file, artifacts=False)
    assert made.size < 20_000
    came = bundles.unbundle(other, file)
    assert list(came.missing.values()) == [f"{large}/model.bin"]


def test_bytes_that_are_nowhere(repo: Repository, large: str, file: Path, tmp_path: Path) -> None:
    shutil.rmtree(repo.common_dir / "lfs")
    shutil.rmtree(tmp_path / "store", ignore_errors=True)
    with pytest.raises(GxtError, match="model") as error:
        bundles.bundle(repo, file)
    assert "--skip-missing" in (error.value.hint or "")
    assert list(file.parent.iterdir()) == []
    made = bundles.bundle(repo, file, skip_missing=True)
    assert list(made.missing.values()) == [f"{large}/model.bin"]
    assert not made.artifacts


def rewritten(file: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Another archive with other members, whose own checksums are right."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            new = change(name, data)
            if new is not None:
                archive.writestr(name, new)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda name, data: flipped(data, len(data) // 2) if name.startswith("objects/") else data,
        lambda name, data: data[:-1] if name.startswith("objects/") else data,
        lambda name, data: flipped(data, -30) if name == "runs.bundle" else data,
        lambda name, data: data[: len(data) // 2] if name == "runs.bundle" else data,
        lambda name, data: b"" if name == "runs.bundle" else data,
        lambda name, data: None if name == "runs.bundle" else data,
    ],
    ids=["object", "short object", "commit", "half", "empty", "none"],
)
def test_damage_is_found_and_nothing_comes(
    repo: Repository,
    other: Repository,
    large: str,
    file: Path,
    damage: Callable[[str, bytes], bytes | None],
) -> None:
    begin(other, "theirs")
    bundles.bundle(repo, file)
    rewritten(file, damage)
    before = state(other)
    with pytest.raises(FormatError):
        bundles.unbundle(other, file)
    assert state(other) == before


def test_a_hostile_bundle_takes_nothing_away_that_was_here(
    repo: Repository, other: Repository, large: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oid = hashlib.sha256(LARGE).hexdigest()
    put_on_branch(f"experiments/taxi/{large}/artifacts/model.bin", write_pointer(Pointer(oid, 5)))
    bundles.bundle(repo, file, artifacts=False)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(f"objects/{oid}", b"short")
    model = tmp_path / "model.bin"
    run = recorder.begin(other, "taxi", name="theirs")
    run.log_artifact(model)
    run.end("finished")
    before = state(other)
    with pytest.raises(FormatError, match="other bytes than its name says"):
        bundles.unbundle(other, file)
    assert state(other) == before
    assert catalog.read_file(other, catalog.find(other, run.run_id), "artifacts/model.bin") == LARGE


@pytest.mark.parametrize("kept", [0, 3, 100, -1, -2000])
def test_half_a_file(repo: Repository, other: Repository, large: str, file: Path, kept: int) -> None:
    bundles.bundle(repo, file)
    file.write_bytes(file.read_bytes()[:kept])
    before = state(other)
    with pytest.raises(FormatError):
        bundles.unbundle(other, file)
    assert state(other) == before


def test_a_flipped_byte_anywhere(repo: Repository, other: Repository, train: Train, file: Path) -> None:
    train("ours")
    bundles.bundle(repo, file)
    whole = file.read_bytes()
    before = state(other)
    start = whole.index(b"# v2 git bundle")
    for at in range(start, start + 1000, 97):
        file.write_bytes(flipped(whole, at))
        with pytest.raises(FormatError):
            bundles.unbundle(other, file)
        assert state(other) == before


_FIELDS = {"flags": (8, b"\1\0"), "method": (10, b"\x63\0"), "version": (6, b"\xff\0"), "name": (8, b"\0\x08")}


@pytest.mark.parametrize("field", _FIELDS)
@pytest.mark.parametrize("member", ["runs.bundle", "objects/"])
def test_an_archive_of_another_kind(
    repo: Repository, other: Repository, large: str, file: Path, field: str, member: str
) -> None:
    begin(other, "theirs")
    bundles.bundle(repo, file)
    data = bytearray(file.read_bytes())
    at = data.index(b"PK\x01\x02")  # the list of members; each entry has its name 46 bytes behind this
    while not data[at + 46 :].startswith(member.encode()):
        at = data.index(b"PK\x01\x02", at + 4)
    offset, value = _FIELDS[field]
    data[at + offset : at + offset + 2] = value
    if field == "name":
        data[at + 46] = 0xFF
    file.write_bytes(data)
    before = state(other)
    for dry_run in (False, True):
        if member == "objects/" and dry_run and field in ("flags", "method"):
            continue  # no object is opened for a look
        with pytest.raises(FormatError, match="no bundle of runs, or damaged"):
            bundles.unbundle(other, file, dry_run=dry_run)
        assert state(other) == before


def test_what_a_killed_process_leaves_is_taken_away(
    repo: Repository, other: Repository, large: str, file: Path
) -> None:
    begin(other, "theirs")
    bundles.bundle(repo, file)
    before = git("for-each-ref", cwd=other.work_tree)
    code = f"""
        import os, signal
        from pathlib import Path
        from gxt import bundles, git, store
        repo = git.find(Path({str(other.work_tree)!r}))
        def killed(*args):
            os.kill(os.getpid(), signal.SIGKILL)
        def looked_after(*args):
            assert store.leftovers(repo) == store.clean_up(repo) == []  # this process lives
            bundles.git.fetch_bundle = fetch
            fetch(*args)
        fetch, bundles.git.fetch_bundle, store.join = bundles.git.fetch_bundle, looked_after, killed
        bundles.unbundle(repo, Path({str(file)!r}))
    """
    assert run_python(code=code, check=False).returncode == -9
    assert git("for-each-ref", cwd=other.work_tree) != before
    assert len(store.leftovers(other)) == 2
    assert "left behind by a crash" in {finding.where for finding in doctor.examine(other).fixable}
    assert len(store.clean_up(other)) == 2
    assert git("for-each-ref", cwd=other.work_tree) == before
    assert store.leftovers(other) == [] and not list(store.root(other).glob("aside-*"))


def test_another_branch(repo: Repository, other: Repository, file: Path) -> None:
    git("bundle", "create", "-q", str(file), "main", cwd=repo.work_tree)
    with pytest.raises(FormatError, match="no branch of runs"):
        bundles.unbundle(other, file)
    git("branch", "dev", cwd=repo.work_tree)
    git("bundle", "create", "-q", str(file), "main", "dev", cwd=repo.work_tree)
    with pytest.raises(FormatError, match="has no branch gxt"):
        bundles.unbundle(other, file)


def test_while_the_branch_is_checked_out(
    repo: Repository, other: Repository, train: Train, large: str, file: Path
) -> None:
    begin(other, "theirs")
    bundles.bundle(repo, file)
    git("checkout", "-q", "gxt", cwd=other.work_tree)
    before = state(other)
    with pytest.raises(GitError, match="checked out"):
        bundles.unbundle(other, file)
    assert state(other) == before


def test_commands(repo: Repository, other: Repository, train: Train, large: str, file: Path) -> None:
    assert other.work_tree is not None
    train("small", loss=[1])
    made = cli("bundle", str(file), "--json")
    assert json.loads(made.stdout)["artifacts"][0]["size"] == len(LARGE)
    assert len(json.loads(made.stdout)["runs"]) == 2
    assert cli("bundle", str(file)).returncode == 2  # there already
    done = cli("bundle", "-f", str(file))
    assert "2 runs, 1 large artifact" in done.stdout
    look = cli("unbundle", "-n", str(file), cwd=other.work_tree)
    assert "would receive 2 runs" in look.stdout
    assert f"new     large ({large}) in taxi" in look.stdout
    took = cli("unbundle", str(file), "--json", cwd=other.work_tree)
    assert {moved["what"] for moved in json.loads(took.stdout)["received"]} == {"new"}
    assert "nothing new" in cli("unbundle", str(file), cwd=other.work_tree).stdout
    nothing = cli("bundle", str(file.with_name("b.zip")), "--since", "gxt")
    assert nothing.returncode == 3
    assert "nothing has come" in nothing.stderr
    assert cli("unbundle", "nowhere.zip").returncode == 3
