from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import time
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from gxt import catalog, git, recorder
from gxt.datasets import describe, files, parse
from gxt.datasets.digests import Digests, Stamp
from gxt.errors import UsageError
from gxt.git import Repository
from helpers import git as run_git
from helpers import run_python


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def settle(*paths: Path) -> None:
    """Make files old enough that what is known of them may be kept."""
    for path in paths:
        os.utime(path, ns=(10**18, 10**18))
    time.sleep(2.1)  # the time of the last change cannot be set


# --- files and folders ------------------------------------------------------------------------------------------------


def test_a_file(repo: Repository, work: Path) -> None:
    (work / "green.bin").write_bytes(b"a,b\n")
    expected = {"digest": sha256(b"a,b\n"), "source": "green.bin", "size": 4}
    assert describe(work / "green.bin", repo) == ("green.bin", expected)
    assert describe("green.bin", repo) == ("green.bin", expected)
    assert describe(f"file://{work}/green.bin", repo)[1] == expected
    assert describe("green.bin")[1] == expected | {"source": (work / "green.bin").as_posix()}


def test_a_folder_s_digest_is_of_names_and_content(repo: Repository, work: Path) -> None:
    data = work / "data"
    (data / "sub").mkdir(parents=True)
    (data / "a").write_bytes(b"1")
    (data / "sub" / "b").write_bytes(b"22")
    name, first = describe(data, repo)
    assert (name, first["source"], first["size"], first["files"]) == ("data", "data", 3, 2)
    assert describe("data", repo)[1] == first
    (data / "a").rename(data / "c")
    assert describe(data, repo)[1]["digest"] != first["digest"]
    (data / "c").rename(data / "a")
    assert describe(data, repo)[1] == first
    (data / "a").write_bytes(b"3")
    assert describe(data, repo)[1]["digest"] != first["digest"]


def test_a_folder_s_digest_is_what_common_tools_give(work: Path) -> None:
    for name in ("b", "a-b", "a/b", "a.txt", "é"):
        path = work / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    script = r"find . -type f | sed 's:^\./::' | LC_ALL=C sort | xargs sha256sum | sed 's/^/sha256:/' | sha256sum"
    done = subprocess.run(["bash", "-c", script], cwd=work / "data", capture_output=True, text=True, check=True)
    assert describe("data")[1]["digest"] == f"sha256:{done.stdout.split()[0]}"


def test_links_are_followed(work: Path) -> None:
    (work / "v1").mkdir()
    (work / "v1" / "a").write_bytes(b"1")
    (work / "current").symlink_to("v1")
    name, found = describe("current")
    assert (name, found["files"]) == ("current", 1) and found["source"].endswith("/current")
    (work / "v1" / "again").symlink_to(".")  # a folder in itself is looked at once
    (work / "v1" / "nowhere").symlink_to("missing")
    (work / "v1" / "loop").symlink_to("loop")
    os.mkfifo(work / "v1" / "pipe")
    assert describe("current")[1]["digest"] == found["digest"]
    (work / "more").mkdir()
    (work / "more" / "b").write_bytes(b"2")
    (work / "v1" / "more").symlink_to("../more")
    assert describe("current")[1]["files"] == 2


def test_a_pattern(repo: Repository, work: Path) -> None:
    for name in ("green_1.csv", "green_2.csv", "yellow.csv", "old/green_0.csv"):
        (work / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (work / "data" / name).write_text(name)
    name, found = describe("data/green_*.csv", repo)
    assert (name, found["source"], found["files"]) == ("green_*.csv", "data/green_*.csv", 2)
    lines = "".join(f"{sha256(f'green_{i}.csv'.encode())}  green_{i}.csv\n" for i in (1, 2))
    assert found["digest"] == sha256(lines.encode())
    assert describe("data/**/green_*.csv", repo)[1]["files"] == 3
    # A folder that a pattern matches counts with what is in it; so this is all there is, by the names from `data` on.
    assert describe("data/*", repo)[1]["digest"] == describe("data", repo)[1]["digest"]
    (work / "odd[1].csv").write_text("a file may be called like a pattern")
    assert "files" not in describe("odd[1].csv", repo)[1]
    with pytest.raises(UsageError, match="no file matches 'data/blue"):
        describe("data/blue_*", repo)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read(work: Path) -> None:
    (work / "data").mkdir()
    (work / "data" / "a").write_text("1")
    (work / "data" / "a").chmod(0)
    with pytest.raises(UsageError, match="a' cannot be read: Permission denied"):
        describe("data")


def test_what_is_no_dataset(work: Path) -> None:
    with pytest.raises(UsageError, match="no such dataset"):
        describe("missing.csv")
    with pytest.raises(UsageError, match="cannot record a object"):
        describe(object())
    (work / "link").symlink_to("missing")
    (work / "loop").symlink_to("loop")
    for link in ("link", "loop"):
        with pytest.raises(UsageError, match="leads nowhere"):
            describe(link)
    with pytest.raises(UsageError, match="cannot be read: File name too long"):
        describe("x" * 300)
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        describe("/dev/null")


def test_a_file_that_changes_all_the_time_is_refused(work: Path) -> None:
    log = work / "log"
    log.write_bytes(b"x" * (3 << 20))

    def grow(moved: int, total: int) -> None:  # with each piece that is read
        with open(log, "ab") as out:
            out.write(b"y")

    with pytest.raises(UsageError, match="changes while it is read"):
        describe("log", progress=grow)
    assert describe("log")[1]["size"] > 3 << 20


def test_a_file_that_is_deleted_while_it_is_read_is_refused(work: Path) -> None:
    log = work / "log"
    log.write_bytes(b"x" * (3 << 20))
    with pytest.raises(UsageError, match="log' cannot be read: No such file"):
        describe("log", progress=lambda moved, total: moved and log.unlink(missing_ok=True))


def test_a_url_without_its_password() -> None:
    assert describe("https://me:pw@example.com/data/green.parquet?sig=abc&v=2") == (
        "green.parquet",
        {"source": "https://example.com/data/green.parquet?sig=***&v=2"},
    )
    assert describe("s3://bucket/folder/") == ("folder", {"source": "s3://bucket/folder/"})


# --- what was read before ---------------------------------------------------------------------------------------------


def test_files_are_read_again_only_where_they_changed(repo: Repository, work: Path) -> None:
    data = work / "data"
    data.mkdir()
    for i in range(40):
        (data / f"{i}.bin").write_bytes(bytes([i]) * 1000)
    settle(*data.iterdir())
    read: list[int] = []

    def read_now(folder: Path) -> int:
        read.clear()
        describe(folder, repo, lambda moved, total: read.append(moved))
        return sum(read[1:])  # first comes what is known

    first = describe(data, repo)[1]
    assert read_now(data) == 0
    assert describe(data, repo)[1] == first
    (data / "7.bin").write_bytes(b"\0" * 1000)  # as long as before
    os.utime(data / "7.bin", ns=(10**18, 10**18))  # and as old, by what can be set
    assert read_now(data) == 1000
    assert describe(data, repo)[1]["digest"] != first["digest"]
    # Written just now: it may be written again within the same tick of the clock, so it is not taken for known.
    assert read_now(data) == 1000
    (work / ".git" / "gxt" / "digests.db").write_bytes(b"spoiled" * 1000)
    assert read_now(data) == 40_000
    assert read_now(data) == 1000


def test_without_a_place_for_the_cache_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("in the way")
    known = Digests(tmp_path / "home" / "digests.db")
    paths = []
    for i in range(40):
        paths.append(tmp_path / str(i))
        paths[-1].write_text(str(i))
    found = files.digests([files.Member(path.name, path) for path in paths], known)
    assert [one.sha256 for one in found] == [hashlib.sha256(str(i).encode()).hexdigest() for i in range(40)]


def test_what_was_found_out_long_ago_is_forgotten(tmp_path: Path) -> None:
    known = Digests(tmp_path / "digests.db")
    path, stamp = tmp_path / "a", Stamp(1, 1, 1, 1)
    known.keep([path], [stamp], ["x"], begun=10**19)
    known.forget_old()
    assert known.find([path], [stamp]) == {0: "x"}
    with sqlite3.connect(tmp_path / "digests.db") as database:
        database.execute("update file set day = day - 200")
    assert known.find([path], [stamp]) == {}
    known.forget_old()
    assert database.execute("select count(*) from file").fetchone() == (0,)
    database.close()


def test_threads_find_what_one_thread_does(work: Path) -> None:
    (work / "data").mkdir()
    for i in range(300):
        (work / "data" / f"{i:03}").write_bytes(os.urandom(20_000))
    lines = "".join(f"{sha256(path.read_bytes())}  {path.name}\n" for path in sorted((work / "data").iterdir()))
    moved: list[int] = []
    assert describe("data", None, lambda by, total: moved.append(by))[1]["digest"] == sha256(lines.encode())
    assert sum(moved) == 6_000_000


# --- what files of tables say -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b,c\n1,x,0.5\n-2,y,\n", (2, {"a": "integer", "b": "text", "c": "number"})),
        ("a;b\n1;true\n", (1, {"a": "integer", "b": "boolean"})),
        (',id\n0,"two\nlines, ""quoted"""\n1,z', (2, {"": "integer", "id": "text"})),
        ("a,b\r\n1,2\r\n", (1, {"a": "integer", "b": "integer"})),
        ("\ufeffa,b\n", (0, {"a": "text", "b": "text"})),
        ("1,2\n3,4\n", (2, None)),  # no header: nothing of the data is recorded
        ("a,a\nb,c\n", (2, None)),
        ("a,b\n1,2\n\n3,4\n", (2, {"a": "integer", "b": "integer"})),
    ],
)
def test_csv(work: Path, text: str, expected: tuple[int, dict[str, str] | None]) -> None:
    (work / "a.csv").write_bytes(text.encode())
    found = describe("a.csv")[1]
    assert (found["rows"], found.get("columns")) == expected


def test_a_long_csv_is_counted_to_its_end(repo: Repository, work: Path) -> None:
    rows = "".join(f'{i},"some text, {i}\n"\n' for i in range(100_000))
    (work / "long.tsv").write_text("id\tname\n" + rows.replace(",", "\t", 1))
    assert describe("long.tsv", repo)[1]["rows"] == 100_000
    settle(work / "long.tsv")
    for _ in range(2):
        assert describe("long.tsv", repo)[1]["rows"] == 100_000


def test_an_empty_csv_and_one_that_is_none(work: Path) -> None:
    (work / "empty.csv").touch()
    assert describe("empty.csv")[1] == {
        "digest": sha256(b""),
        "source": (work / "empty.csv").as_posix(),
        "size": 0,
    }
    (work / "utf16.csv").write_bytes("a,b\n1,2\n".encode("utf-16"))
    assert "rows" not in describe("utf16.csv")[1]


def test_parquet(work: Path) -> None:
    for i in range(3):
        parquet.write_table(pyarrow.table({"id": [1, i], "name": ["a", "b"]}), work / f"{i}.parquet")
    assert describe("0.parquet")[1]["columns"] == {"id": "int64", "name": "string"}
    found = describe("*.parquet")[1]
    assert (found["rows"], found["columns"]) == (6, {"id": "int64", "name": "string"})
    parquet.write_table(pyarrow.table({"other": [1]}), work / "3.parquet")
    assert "rows" not in describe("*.parquet")[1]
    (work / "no.parquet").write_bytes(b"not at all")
    assert "rows" not in describe("no.parquet")[1]


# --- DVC and Git LFS --------------------------------------------------------------------------------------------------


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def test_a_file_that_dvc_tracks(repo: Repository, work: Path) -> None:
    (work / "data.csv").write_bytes(b"a,b\n1,2\n")
    oid = md5(b"a,b\n1,2\n")
    (work / "data.csv.dvc").write_text(f"outs:\n- md5: {oid}\n  size: 8\n  hash: md5\n  path: data.csv\n")
    assert describe("data.csv", repo)[1]["dvc"] == f"md5:{oid}"
    (work / "data.csv").write_bytes(b"a,b\n1,3\n")  # changed since: DVC does not have these bytes
    assert "dvc" not in describe("data.csv", repo)[1]
    (work / "data.csv.dvc").write_text("outs: [")
    assert "dvc" not in describe("data.csv", repo)[1]


def test_a_folder_s_id_is_the_one_that_dvc_gives_it(repo: Repository, work: Path) -> None:
    (work / "folder" / "sub").mkdir(parents=True)
    (work / "folder" / "a").write_text("1\n")
    (work / "folder" / "sub" / "é").write_text("2\n")
    # As `dvc add folder` of DVC 3.67 wrote it.
    (work / "folder.dvc").write_text(
        "outs:\n- md5: 4ad904af9160ab8dd8c8c0347499afe7.dir\n  size: 4\n  nfiles: 2\n  hash: md5\n  path: folder\n"
    )
    assert describe("folder", repo)[1]["dvc"] == "md5:4ad904af9160ab8dd8c8c0347499afe7.dir"


def test_a_stage_s_output_in_dvc_lock(repo: Repository, work: Path) -> None:
    (work / "prepared").mkdir()
    (work / "prepared" / "x.npy").write_bytes(b"1")
    listing = json.dumps([{"md5": md5(b"1"), "relpath": "x.npy"}])
    folder = f"{md5(listing.encode())}.dir"
    (work / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  prepare:\n    cmd: python prepare.py\n    outs:\n"
        f"    - path: prepared\n      hash: md5\n      md5: {folder}\n      size: 1\n      nfiles: 1\n"
    )
    assert describe("prepared", repo)[1]["dvc"] == f"md5:{folder}"
    assert describe(work / "prepared", repo)[1]["dvc"] == f"md5:{folder}"
    (work / "prepared" / "y.npy").write_bytes(b"2")
    assert "dvc" not in describe("prepared", repo)[1]


def test_a_file_in_a_folder_that_dvc_tracks(repo: Repository, work: Path) -> None:
    (work / "data").mkdir()
    (work / "data" / "a").write_bytes(b"1")
    listing = json.dumps([{"md5": md5(b"1"), "relpath": "a"}]).encode()
    oid = f"{md5(listing)}.dir"
    (work / "data.dvc").write_text(f"outs:\n- md5: {oid}\n  hash: md5\n  path: data\n")
    assert describe("data", repo)[1]["dvc"] == f"md5:{oid}"
    assert "dvc" not in describe("data/a", repo)[1]  # DVC's own list of its files is not here
    cached = work / ".dvc" / "cache" / "files" / "md5" / oid[:2] / oid[2:]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(listing)
    assert describe("data/a", repo)[1]["dvc"] == f"md5:{md5(b'1')}"


def test_a_file_that_git_lfs_tracks(repo: Repository, work: Path) -> None:
    run_git("lfs", "install", "--local")
    run_git("lfs", "track", "*.bin")
    (work / "data.bin").write_bytes(b"x" * 5000)
    (work / "other.txt").write_bytes(b"y" * 5000)
    run_git("add", ".")
    assert describe("data.bin", repo)[1]["lfs"] == sha256(b"x" * 5000)
    assert "lfs" not in describe("other.txt", repo)[1]
    run_python("-m", "gxt", "log", "-n", "tracked", "--input", "data.bin")
    where = f"dataset.lfs = '{sha256(b'x' * 5000)}'"
    shown = run_python("-m", "gxt", "table", "--where", where, "--columns", "name,dataset.lfs,dataset.dvc").stdout
    assert "tracked" in shown and sha256(b"x" * 5000) in shown
    (work / "data.bin").write_bytes(b"z" * 5000)
    assert "lfs" not in describe("data.bin", repo)[1]
    (work / "data.bin").write_text(run_git("cat-file", "-p", ":data.bin") + "\n")  # as a clone without git-lfs has it
    assert describe("data.bin", repo)[1]["lfs"] == sha256(b"x" * 5000)
    run_git("commit", "-q", "-m", "data")
    run_git("worktree", "add", "-q", str(work.parent / "linked"))
    assert describe(work.parent / "linked" / "data.bin", git.find(work.parent / "linked"))[1]["lfs"]


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_run_names_its_inputs(repo: Repository, work: Path) -> None:
    import numpy

    (work / "green.csv").write_bytes(b"a,b\n")
    run = recorder.begin(repo, "taxi")
    run.log_input("green.csv", context="train")
    run.log_input("green.csv", context="train")
    (work / "green.csv").write_bytes(b"a,c\n")
    run.log_input("green.csv", context="valid")
    run.log_input(numpy.zeros(3), name="labels")
    with pytest.raises(UsageError):
        run.log_input("missing.csv")
    run.end()
    found = catalog.find(repo, run.run_id)
    assert sorted(found.inputs) == ["green.csv", "green.csv (2)", "labels"]
    assert found.inputs["green.csv"]["context"] == "train" and found.inputs["green.csv (2)"]["context"] == "valid"
    assert found.inputs["green.csv"]["source"] == "green.csv"


def test_one_dataset_used_for_two_things_keeps_both(repo: Repository, work: Path) -> None:
    run = recorder.begin(repo, "taxi")
    run.log_input("train.py", context="train")
    run.log_input("train.py", context="valid")
    run.end()
    assert catalog.find(repo, run.run_id).inputs["train.py"]["context"] == "train, valid"


def test_the_command_line_records_nothing_by_halves(work: Path) -> None:
    done = run_python("-m", "gxt", "log", "-p", "a=1", "--input", "missing.csv", check=False)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("gxt: no such dataset")
    assert run_python("-m", "gxt", "table", "--json").stdout == "[]\n"
    run_id = run_python("-m", "gxt", "log", "--input", "*.py").stdout.strip()
    shown = json.loads(run_python("-m", "gxt", "show", run_id, "--json").stdout)
    assert shown["inputs"]["*.py"]["files"] == 1
    where = f"dataset.digest = '{shown['inputs']['*.py']['digest']}'"
    assert [run["id"] for run in json.loads(run_python("-m", "gxt", "table", "--where", where, "--json").stdout)] == [
        run_id
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data/green.csv", (None, "data/green.csv", None)),
        ("train=data/green.csv:train", ("train", "data/green.csv", "train")),
        ("my trips=data/*.csv", ("my trips", "data/*.csv", None)),
        ("s3://bucket/year=2021/a.csv", (None, "s3://bucket/year=2021/a.csv", None)),
        ("https://host:8080", (None, "https://host:8080", None)),
        ("all=https://host:8080/a?x=1:test", ("all", "https://host:8080/a?x=1", "test")),
        ("year=2021", (None, "year=2021", None)),
        ("year=2021:train", (None, "year=2021", "train")),
        ("year=*/a:b", (None, "year=*/a:b", None)),
        ("first=year=2021/a:b:test", ("first", "year=2021/a:b", "test")),
    ],
)
def test_a_dataset_on_a_command_line(work: Path, text: str, expected: tuple[str | None, str, str | None]) -> None:
    (work / "year=2021").mkdir()
    (work / "year=2021" / "a:b").touch()
    assert parse(text) == expected


@pytest.mark.parametrize("command", [["log"], ["run"], ["start"]])
def test_every_recording_command_takes_inputs(repo: Repository, work: Path, command: list[str]) -> None:
    (work / "a.csv").write_text("x\n1\n")
    given = ["-n", "it", "--input", "trips=a.csv:train", "--input", "a.csv:test", "--input", "trips=a.csv:test"]
    run_python("-m", "gxt", *command, *given, *(["--", "true"] if command == ["run"] else []))
    found = catalog.find(repo, "it").inputs
    assert found["trips"]["context"] == "train, test" and found["a.csv"]["context"] == "test"
    done = run_python("-m", "gxt", *command, "--input", "b=gone.csv:test", "--", "touch", "ran", check=False)
    assert done.returncode == 2 and not (work / "ran").exists() and len(catalog.listing(repo).runs) == 1
