"""Large artifacts of a run: what is committed of them, where their bytes are here, and reading them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gxt
from gxt import catalog, git, large, layout, live, recorder, store
from gxt.errors import GxtError, GxtWarning, UsageError
from gxt.git import Repository
from gxt.model import Run, check_artifact_path
from gxt.pointers import Pointer, is_pointer, read_attributes, read_pointer, write_attributes, write_pointer
from helpers import git as run_git
from helpers import git_bytes

SIZE = 200_000
THRESHOLD = 100_000


@pytest.fixture
def small_threshold(repo: Repository) -> None:
    """Artifacts of over 100 kB are large here."""
    run_git("config", "gxt.artifactThreshold", str(THRESHOLD))
    run_git("config", "gxt.artifactUpload", "false")


@pytest.fixture
def in_store(small_threshold: None, tmp_path: Path) -> Path:
    """A store in a folder."""
    run_git("config", "gxt.artifactStore", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def nowhere(small_threshold: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither git-lfs nor a store."""
    monkeypatch.setattr("gxt.git.has_lfs", lambda: False)


def content(seed: int = 0, size: int = SIZE) -> bytes:
    return (b"%08d" % seed) * (size // 8)


def record(repo: Repository, files: dict[str, bytes], name: str = "one") -> str:
    run = recorder.begin(repo, "taxi", name=name)
    for path, data in files.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(data)
        run.log_artifact(path, str(Path(path).parent) if "/" in path else None)
    run.end()
    return run.run_id


def on_branch(run_id: str, path: str) -> bytes:
    return git_bytes("show", f"gxt:experiments/taxi/{run_id}/{path}")


def objects(repo: Repository) -> large.Objects:
    return store.objects(repo, store.artifact_settings(repo))


def object_files(repo: Repository) -> list[Path]:
    return [path for path in (repo.common_dir / "lfs" / "objects").rglob("*") if path.is_file()]


# --- what is committed ------------------------------------------------------------------------------------------------


def test_over_the_threshold_a_pointer_is_committed_below_it_a_blob(repo: Repository, in_store: Path) -> None:
    run_id = record(repo, {"model.bin": content(), "small.bin": b"x" * 1000})
    pointer = read_pointer(on_branch(run_id, "artifacts/model.bin"))
    assert pointer is not None and pointer.size == SIZE
    assert objects(repo).path(pointer.oid).read_bytes() == content()
    assert on_branch(run_id, "artifacts/small.bin") == b"x" * 1000
    assert not live.pending_path(store.root(repo), run_id).exists()


def test_git_lfs_itself_takes_the_pointer_for_one(repo: Repository, in_store: Path) -> None:
    run_id = record(repo, {"model.bin": content()})
    assert (
        run_git("lfs", "pointer", "--check", "--stdin", stdin=on_branch(run_id, "artifacts/model.bin").decode()) == ""
    )
    made = run_git("lfs", "pointer", "--file=model.bin")
    assert made.encode() + b"\n" == on_branch(run_id, "artifacts/model.bin")


def test_identical_artifacts_are_stored_once_and_not_copied(repo: Repository, in_store: Path) -> None:
    first = recorder.begin(repo, "taxi", name="one")
    Path("a.bin").write_bytes(content())
    first.log_artifact("a.bin")
    written = os.stat(first.folder / "artifacts" / "a.bin").st_ino
    first.end()
    record(repo, {"b.bin": content(), "c.bin": content()}, "two")
    (stored,) = object_files(repo)
    assert stored.stat().st_ino == written


def test_the_digest_is_worked_out_once(repo: Repository, in_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gxt.large.placing.digest_of", lambda stream: pytest.fail("hashed again"))
    record(repo, {"model.bin": content()})
    assert len(object_files(repo)) == 1


def test_what_was_changed_behind_gxts_back_is_hashed_anew(repo: Repository, in_store: Path) -> None:
    run = recorder.begin(repo, "taxi", name="one")
    Path("model.bin").write_bytes(content())
    run.log_artifact("model.bin")
    (run.folder / "artifacts" / "model.bin").write_bytes(content(1))
    run.end()
    assert catalog.read_file(repo, gxt.get_run(run.run_id), "artifacts/model.bin") == content(1)


def test_a_file_that_others_write_to_is_not_shared_with_the_object(repo: Repository, in_store: Path) -> None:
    run = recorder.begin(repo, "taxi", name="one")
    mine = Path(run.get_artifact_uri("model.bin"))
    mine.parent.mkdir()
    mine.write_bytes(content())
    run.commit()
    with open(mine, "r+b") as file:
        file.write(b"changed in place")
    found = catalog.contents(repo, Run(id=run.run_id, experiment="taxi"))  # as it is on the branch
    pointer = found["artifacts/model.bin"]
    assert isinstance(pointer, catalog.LargeFile)
    assert objects(repo).path(pointer.pointer.oid).read_bytes() == content()
    run.end()
    assert (catalog.read_file(repo, gxt.get_run(run.run_id), "artifacts/model.bin") or b"")[:7] == b"changed"


def test_a_checkpoint_and_the_end_share_what_has_not_changed(repo: Repository, in_store: Path) -> None:
    run = recorder.begin(repo, "taxi", name="one")
    Path("model.bin").write_bytes(content())
    run.log_artifact("model.bin")
    run.commit()
    run.log_metric("loss", 1)
    run.commit()
    assert is_pointer(on_branch(run.run_id, "artifacts/model.bin"))
    run.end()
    assert is_pointer(on_branch(run.run_id, "artifacts/model.bin"))
    assert len(object_files(repo)) == 1


def test_figures_and_tables_can_be_large_too(repo: Repository, in_store: Path) -> None:
    run = recorder.begin(repo, "taxi", name="one")
    run.log_text("word " * SIZE, "text.txt")
    run.end()
    assert is_pointer(on_branch(run.run_id, "artifacts/text.txt"))
    resumed = recorder.resume(repo, run.run_id)
    resumed.log_table({"a": list(range(40_000))}, "rows.csv")
    resumed.end()
    again = recorder.resume(repo, run.run_id)
    again.log_table({"a": [-1]}, "rows.csv")  # rows are added to what is behind the pointer
    again.end()
    rows = (catalog.read_file(repo, gxt.get_run(run.run_id), "artifacts/rows.csv") or b"").splitlines()
    assert (len(rows), rows[-1]) == (40_002, b"-1")


# --- settings ---------------------------------------------------------------------------------------------------------


def test_the_teams_settings_count_and_the_clones_own_before_them(repo: Repository, tmp_path: Path) -> None:
    store.set_artifact_store(repo, str(tmp_path / "team"))
    assert store.artifact_settings(repo).store == str(tmp_path / "team")
    assert run_git("show", "gxt:gxt.yaml") == f"format: 1\nartifacts:\n  store: {tmp_path / 'team'}"
    run_git("config", "gxt.artifactStore", str(tmp_path / "mine"))
    assert store.artifact_settings(repo).store == str(tmp_path / "mine")
    run_git("config", "--unset", "gxt.artifactStore")
    store.set_artifact_store(repo, None)
    assert run_git("show", "gxt:gxt.yaml") == "format: 1"


@pytest.mark.parametrize(
    ("said", "threshold"), [(None, 1 << 20), ("2m", 2 << 20), ("300k", 300 << 10), ("1 MiB", 1 << 20), ("1", 1 << 16)]
)
def test_thresholds(said: str | None, threshold: int, tmp_path: Path) -> None:
    document = None if said is None else layout.gxt_document() + f"artifacts:\n  threshold: {said}\n".encode()
    assert large.read_settings(tmp_path, {}, document).threshold == threshold


def test_a_size_that_is_none_keeps_the_run(repo: Repository) -> None:
    run_git("config", "gxt.artifactThreshold", "many")
    with pytest.warns(GxtWarning, match="gxt.artifactThreshold: 'many' is no size"):
        run_id = record(repo, {"model.bin": content()})
    run_git("config", "gxt.artifactThreshold", "1m")
    assert [run.id for run in store.commit_pending(repo)] == [run_id]


@pytest.mark.parametrize("url", ["store", "../store", "./s"])
def test_a_relative_store_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="neither a URL nor an absolute path"):
        large.checked_url(url)


@pytest.mark.parametrize("url", ["sftp://ada:hunter2@host/x", "https://host/x?sig=hunter2", "s3://hunter2@bucket"])
def test_credentials_do_not_come_onto_the_branch(repo: Repository, url: str) -> None:
    with pytest.raises(UsageError, match="holds credentials") as raised:
        store.set_artifact_store(repo, url)
    assert "hunter2" not in str(raised.value)
    assert "hunter2" not in large.shown_url(url)


# --- neither git-lfs nor a store --------------------------------------------------------------------------------------


def test_without_a_place_artifacts_stay_files_in_git(
    repo: Repository, nowhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = record(repo, {"model.bin": content()})
    assert on_branch(run_id, "artifacts/model.bin") == content()
    monkeypatch.setattr("gxt.large.placing.WARN_FROM", SIZE - 1)
    with pytest.warns(GxtWarning, match=r"model.bin \(0 MB\) went into git itself.*install git-lfs, or"):
        record(repo, {"model.bin": content()}, "two")


def test_without_a_place_what_hosts_refuse_is_a_pointer_and_nothing_is_lost(
    repo: Repository, nowhere: None, tmp_path: Path
) -> None:
    run_git("config", "gxt.artifactBlobLimit", str(SIZE - 1))
    with pytest.warns(GxtWarning, match=r"too large for git hosts; the bytes are in this clone only.*artifacts push"):
        run_id = record(repo, {"model.bin": content()})
    assert is_pointer(on_branch(run_id, "artifacts/model.bin"))
    assert catalog.read_file(repo, gxt.get_run(run_id), "artifacts/model.bin") == content()
    run_git("config", "gxt.artifactBlobLimit", "1g")  # told so
    assert on_branch(record(repo, {"model.bin": content()}, "two"), "artifacts/model.bin") == content()


# --- the attributes of a run ------------------------------------------------------------------------------------------


def test_a_run_in_lfs_names_its_pointers_in_its_gitattributes(repo: Repository, small_threshold: None) -> None:
    names = ["model.bin", "dir/a b.bin", "dir/x[1].bin", "münchen.bin"]
    run_id = record(repo, {name: content(i) for i, name in enumerate(names)} | {"small.bin": b"x"})
    attributes = on_branch(run_id, ".gitattributes")
    assert read_attributes(attributes) == {f"artifacts/{name}" for name in names}
    Path("artifacts").mkdir()
    Path(".gitattributes").write_bytes(attributes)  # git itself reads them so
    asked = [f"artifacts/{name}" for name in [*names, "small.bin", "other/model.bin", "dir/x1.bin"]]
    said = run_git("check-attr", "-z", "filter", "--", *asked).split("\0")[2::3]
    assert said == ["lfs"] * 4 + ["unspecified"] * 3


def test_the_attributes_follow_a_resumed_run(repo: Repository, small_threshold: None) -> None:
    run_id = record(repo, {"a.bin": content(1), "b.bin": content(2)})
    resumed = recorder.resume(repo, run_id)
    for name, data in (("a.bin", b"small now"), ("c.bin", content(3))):
        Path(name).write_bytes(data)
        resumed.log_artifact(name)
    resumed.end()
    assert read_attributes(on_branch(run_id, ".gitattributes")) == {"artifacts/b.bin", "artifacts/c.bin"}
    for name in ("b.bin", "c.bin"):
        Path(name).write_bytes(b"small too")
    last = recorder.resume(repo, run_id)
    last.log_artifact("b.bin")
    last.log_artifact("c.bin")
    last.end()
    assert ".gitattributes" not in run_git("ls-tree", "--name-only", f"gxt:experiments/taxi/{run_id}")


def test_in_a_store_there_are_none(repo: Repository, in_store: Path) -> None:
    run_id = record(repo, {"model.bin": content()})  # git-lfs could not check these out
    assert ".gitattributes" not in run_git("ls-tree", "--name-only", f"gxt:experiments/taxi/{run_id}")


_NAMES = st.text(min_size=1, max_size=20).filter(lambda text: _is_path(text))  # noqa: PLW0108 (it comes below)


def _is_path(text: str) -> bool:
    try:
        return check_artifact_path(text) == text
    except UsageError:
        return False


@given(st.sets(_NAMES))
def test_attributes_read_back(paths: set[str]) -> None:
    assert read_attributes(write_attributes(paths)) == paths


@given(st.binary(min_size=32, max_size=32), st.integers(0, 1 << 60))
def test_pointers_read_back(digest: bytes, size: int) -> None:
    pointer = Pointer(digest.hex(), size)
    assert read_pointer(write_pointer(pointer)) == pointer
    assert read_pointer(write_pointer(pointer) + b"x") is None
    assert read_pointer(write_pointer(pointer)[:-1]) is None


# --- reading ----------------------------------------------------------------------------------------------------------


def test_readers_see_the_file_and_not_the_pointer(repo: Repository, small_threshold: None, tmp_path: Path) -> None:
    run_id = record(repo, {"model.bin": content(), "small.bin": b"x"})
    run = gxt.get_run(run_id)
    assert catalog.files(repo, run)["artifacts/model.bin"] == SIZE
    assert ".gitattributes" not in catalog.files(repo, run)
    assert Path(gxt.download_artifacts(run_id, "model.bin")).read_bytes() == content()
    catalog.export(repo, run, tmp_path / "out")
    assert (tmp_path / "out" / "artifacts" / "model.bin").read_bytes() == content()
    assert not (tmp_path / "out" / ".gitattributes").exists()


def test_the_same_bytes_are_no_difference_however_they_are_kept(repo: Repository, small_threshold: None) -> None:
    files = {"same.bin": content(1), "other.bin": content(2)}
    one = record(repo, files, "one")
    run_git("config", "gxt.artifactThreshold", "1m")
    two = record(repo, files | {"other.bin": content(3)}, "two")  # these as blobs
    assert [difference.name for difference in gxt.compare([one, two]).artifacts] == ["other.bin"]
    going_on = recorder.begin(repo, "taxi", name="three")
    going_on.log_artifact("same.bin")
    assert [d.name for d in gxt.compare([one, going_on.run_id]).artifacts] == ["other.bin"]
    going_on.end()


def test_the_contents_of_large_files_are_compared(repo: Repository, small_threshold: None) -> None:
    lines = "".join(f"line {i}\n" for i in range(20_000))
    one = record(repo, {"text.txt": lines.encode()}, "one")
    two = record(repo, {"text.txt": lines.replace("line 7\n", "line seven\n").encode()}, "two")
    (difference,) = gxt.compare([one, two], files=True).files
    assert {"-line 7", "+line seven"} <= set(difference.lines)


def test_a_damaged_copy_is_set_aside_and_never_given_out(repo: Repository, in_store: Path) -> None:
    run_id = record(repo, {"model.bin": content()})
    (copy,) = object_files(repo)
    copy.chmod(0o644)
    copy.write_bytes(content(9))
    with pytest.raises(GxtError, match=r"model.bin: the copy of sha256:.* was damaged and is now .*bad") as raised:
        catalog.export(repo, gxt.get_run(run_id), Path("out"))
    assert "gxt artifacts push" in str(raised.value)
    assert not Path("out/artifacts/model.bin").exists()
    assert len(list((repo.common_dir / "lfs" / "bad").iterdir())) == 1


def test_what_is_nowhere_is_said_so(repo: Repository, nowhere: None) -> None:
    run_git("config", "gxt.artifactBlobLimit", str(SIZE - 1))
    with pytest.warns(GxtWarning, match="this clone only"):
        run_id = record(repo, {"model.bin": content()})
    shutil.rmtree(repo.common_dir / "lfs")
    with pytest.raises(gxt.NotFoundError, match=r"knows no place to fetch them from.*gxt\.artifactStore URL"):
        catalog.export(repo, gxt.get_run(run_id), Path("out"))


def test_objects_are_where_git_lfs_keeps_them(repo: Repository, small_threshold: None, tmp_path: Path) -> None:
    run_git("config", "lfs.storage", str(tmp_path / "elsewhere"))
    run_id = record(repo, {"model.bin": content()})
    assert object_files(repo) == []
    assert catalog.read_file(repo, gxt.get_run(run_id), "artifacts/model.bin") == content()
    assert f"LocalMediaDir={tmp_path}/elsewhere/objects" in run_git("lfs", "env")


def test_another_file_system_for_the_objects(repo: Repository, small_threshold: None) -> None:
    if not os.access("/dev/shm", os.W_OK) or os.stat("/dev/shm").st_dev == os.stat(repo.common_dir).st_dev:
        pytest.skip("no second file system")
    folder = Path(f"/dev/shm/gxt-test-{os.getpid()}")
    run_git("config", "lfs.storage", str(folder))
    try:
        run_id = record(repo, {"model.bin": content()})
        assert catalog.read_file(repo, gxt.get_run(run_id), "artifacts/model.bin") == content()
    finally:
        shutil.rmtree(folder)


def test_a_bare_clone_without_a_hook_has_what_it_needs(repo: Repository, in_store: Path, tmp_path: Path) -> None:
    record(repo, {"model.bin": content()})
    assert git.has_lfs_hook(repo, git.config(repo)) is False
    run_git("lfs", "install", "--local")
    assert git.has_lfs_hook(repo, git.config(repo)) is True
