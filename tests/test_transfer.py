"""Large artifacts sent and fetched for real: Git LFS by a path and by a server, a folder, S3; and what goes wrong."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import gxt
from gxt import catalog, git, large, recorder, sharing, store, transfer
from gxt.errors import FileChangedError, FormatError, GxtError, MissingPackageError, NotFoundError
from gxt.git import Repository, Talk
from gxt.pointers import Pointer, write_pointer
from helpers import git as run_git
from helpers import put_on_branch, run_python
from servers import Cable, LfsServer, lfs_server, only_for, s3_server

SIZE = 3_000_000
SECRET = "wJalrXUtnFEMI-secret"


@pytest.fixture(scope="module")
def s3() -> Iterator[int]:
    with s3_server() as port:
        yield port


@pytest.fixture(scope="module")
def lfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LfsServer]:
    with lfs_server(tmp_path_factory.mktemp("lfs")) as server:
        yield server


@pytest.fixture
def cables() -> Iterator[Callable[[int], Cable]]:
    with contextlib.ExitStack() as stack:

        def make(port: int) -> Cable:
            cable = Cable(port)
            stack.callback(cable.close)
            return cable

        yield make


@pytest.fixture
def bucket(s3: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A new bucket of moto's, which this process and its children have the credentials for."""
    set_aws(monkeypatch, s3)
    import s3fs

    name = f"taxi-{time.time_ns()}"
    s3fs.S3FileSystem(skip_instance_cache=True).mkdir(name)
    return f"s3://{name}/runs"


def set_aws(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    values = {
        "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def remote(work: Path, tmp_path: Path) -> Path:
    """A bare repository that `work` is pushed to."""
    folder = tmp_path / "remote.git"
    run_git("init", "-q", "--bare", str(folder))
    run_git("remote", "add", "origin", str(folder))
    run_git("push", "-q", "origin", "main")
    return folder


@pytest.fixture(params=["lfs by path", "lfs server", "folder", "s3"])
def place(request: pytest.FixtureRequest, remote: Path, tmp_path: Path) -> Callable[[], None]:
    """Sets the current repository up to keep large artifacts there."""
    kind = request.param
    configured: dict[str, str] = {"gxt.artifactUpload": "false"}
    if kind == "lfs server":
        server: LfsServer = request.getfixturevalue("lfs")
        configured["lfs.url"] = server.url(server.token())
    elif kind == "folder":
        configured["gxt.artifactStore"] = f"file://{tmp_path}/store"
    elif kind == "s3":
        configured["gxt.artifactStore"] = request.getfixturevalue("bucket")

    def configure() -> None:
        for key, value in configured.items():
            run_git("config", key, value)

    configure()
    return configure


def content(seed: int = 0, size: int = SIZE) -> bytes:
    return (b"%08d" % seed) * (size // 8)


def record(repo: Repository, files: dict[str, bytes], name: str = "one") -> str:
    run = recorder.begin(repo, "taxi", name=name)
    for path, data in files.items():
        Path(path).write_bytes(data)
        run.log_artifact(path)
    run.end()
    return run.run_id


def clone(remote: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    run_git("push", "-q", "--no-verify", "origin", "gxt")
    run_git("clone", "-q", str(remote), str(folder))
    monkeypatch.chdir(folder)
    return git.find(folder)


def object_files(repo: Repository) -> list[Path]:
    return [path for path in (repo.common_dir / "lfs" / "objects").rglob("*") if path.is_file()]


def read(repo: Repository, run_id: str, path: str) -> bytes | None:
    return catalog.read_file(repo, catalog.find(repo, run_id), f"artifacts/{path}")


# --- there and back ---------------------------------------------------------------------------------------------------


def test_a_fresh_clone_fetches_only_what_it_opens(
    repo: Repository, remote: Path, place: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = record(repo, {"a.bin": content(1), "b.bin": content(2), "small.txt": b"small"})
    done = transfer.push(repo)
    done.check()
    assert (len(done.sent), len(done.there)) == (2, 0)
    again = transfer.push(repo)
    assert (len(again.sent), len(again.there)) == (0, 2)
    other = clone(remote, tmp_path / "other", monkeypatch)
    place()
    assert read(other, run_id, "small.txt") == b"small"
    assert object_files(other) == []
    assert read(other, run_id, "a.bin") == content(1)
    assert len(object_files(other)) == 1
    fetched = transfer.pull(other)
    assert (len(fetched.fetched), len(fetched.here), fetched.failed) == (1, 1, {})
    assert read(other, run_id, "b.bin") == content(2)


def test_what_is_there_is_not_sent_again(
    repo: Repository, remote: Path, place: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    record(repo, {"a.bin": content(1)})
    transfer.push(repo).check()
    for file in (repo.common_dir / "gxt" / "stored").iterdir():
        file.unlink()  # so it has to be asked for
    place_of = large.place_for(repo, store.artifact_settings(repo), None, git.config(repo))
    assert place_of is not None
    if isinstance(place_of, large.StorePlace):
        monkeypatch.setattr(large.StorePlace, "_writing", lambda *args: pytest.fail("sent again"))
    done = transfer.push(repo)
    done.check()
    assert len([*done.sent, *done.there]) == 1


def test_a_work_tree_of_the_branch_gets_the_files_from_lfs(
    repo: Repository, remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_git("lfs", "install", "--local")
    run_id = record(repo, {"my model[1].bin": content(1), "small.bin": b"x" * 1000})
    assert "1 large artifact (3.0 MB) only here" in run_python("-m", "gxt", "status").stdout
    run_git("push", "-q", "origin", "gxt")  # plain git: the hook of git-lfs sends the bytes
    assert "only here" not in run_python("-m", "gxt", "status").stdout
    run_git("clone", "-q", str(remote), str(tmp_path / "other"))
    monkeypatch.chdir(tmp_path / "other")
    run_git("lfs", "install", "--local")
    run_git("worktree", "add", "-q", "--detach", "../runs", "origin/gxt")
    artifacts = tmp_path / "runs" / "experiments" / "taxi" / run_id / "artifacts"
    assert (artifacts / "my model[1].bin").read_bytes() == content(1)
    assert (artifacts / "small.bin").read_bytes() == b"x" * 1000
    assert run_git("status", "--porcelain", cwd=artifacts) == ""


def test_artifacts_of_before_the_store_are_found_in_lfs(
    repo: Repository, remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = record(repo, {"a.bin": content(1)})
    transfer.push(repo).check()
    store.set_artifact_store(repo, str(tmp_path / "store"))
    other = clone(remote, tmp_path / "other", monkeypatch)
    assert read(other, run_id, "a.bin") == content(1)


def empty(request: pytest.FixtureRequest, repo: Repository) -> None:
    """Take every object away where artifacts are kept."""
    config = git.config(repo)
    if url := config.get("gxt.artifactstore"):
        there = large.StorePlace(url)
        there.remove([stored.oid for stored in there.listing()])
        return
    server: LfsServer | None = request.getfixturevalue("lfs") if "lfs.url" in config else None
    folder = server.folder if server else Path(config["remote.origin.url"]) / "lfs" / "objects"
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.unlink()


def test_what_was_lost_there_is_sent_again(
    repo: Repository, remote: Path, place: Callable[[], None], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run_id = record(repo, {"a.bin": content(1)})
    transfer.push(repo).check()
    empty(request, repo)
    transfer.push(repo).check()
    (copy,) = object_files(repo)
    copy.unlink()
    assert read(repo, run_id, "a.bin") == content(1)


def test_a_run_that_is_pushed_has_its_artifacts_there(
    repo: Repository,
    remote: Path,
    place: Callable[[], None],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record(repo, {"a.bin": content(1)})
    transfer.push(repo).check()
    empty(request, repo)
    second = record(repo, {"a.bin": content(1)}, "two")
    assert run_python("-m", "gxt", "push").returncode == 0
    run_git("clone", "-q", str(remote), str(tmp_path / "other"))
    monkeypatch.chdir(tmp_path / "other")
    place()
    assert read(git.find(tmp_path / "other"), second, "a.bin") == content(1)


def test_the_last_copy_stays_where_the_place_has_lost_its_own(
    repo: Repository, remote: Path, place: Callable[[], None], request: pytest.FixtureRequest
) -> None:
    run_id = record(repo, {"a.bin": content(1)})
    transfer.push(repo).check()
    empty(request, repo)
    transfer.prune(repo, everything=True)  # which git-lfs asks for by sending it again
    assert read(repo, run_id, "a.bin") == content(1)


def test_no_copy_goes_while_the_server_cannot_be_asked(repo: Repository, remote: Path, lfs: LfsServer) -> None:
    run_git("config", "lfs.url", lfs.url(lfs.token()))
    record(repo, {"a.bin": content(301)})
    transfer.push(repo).check()
    run_git("config", "lfs.url", lfs.url("wrong"))
    done = transfer.prune(repo, everything=True)
    assert (len(done.removed), len(done.kept), len(object_files(repo))) == (0, 1, 1)


@pytest.mark.parametrize(
    "key", ["lfs.url", "lfs.pushurl", "remote.origin.lfsurl", "remote.origin.pushurl", ".lfsconfig"]
)
def test_another_server_is_another_place(
    repo: Repository, remote: Path, lfs: LfsServer, tmp_path: Path, key: str
) -> None:
    record(repo, {"a.bin": content(1)})
    transfer.push(repo).check()
    assert transfer.whereabouts(repo)[0].place == "Git LFS of origin"
    if key == ".lfsconfig":
        Path(".lfsconfig").write_text(f"[lfs]\n\turl = {lfs.url()}\n")
    else:
        run_git("config", key, lfs.url())
    assert transfer.whereabouts(repo)[0].place is None
    assert transfer.unsent(repo, git.config(repo))


def test_an_object_of_long_ago_is_as_good_as_new_for_a_new_run(repo: Repository, remote: Path, tmp_path: Path) -> None:
    run_git("config", "gxt.artifactStore", str(tmp_path / "store"))
    run_git("config", "gxt.artifactUpload", "false")
    first = record(repo, {"a.bin": content(1)})
    transfer.push(repo).check()
    (stored,) = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    long_ago = time.time() - large.GRACE - 1
    os.utime(stored, (long_ago, long_ago))
    run_git("push", "-q", "origin", "gxt")
    assert len(transfer.push(repo).there) == 1  # others know of it
    assert stored.stat().st_mtime == long_ago
    store.mark_deleted(repo, first, True)
    store.purge(repo, [first])
    run_git("push", "-q", "origin", "gxt")
    run_git("clone", "-q", str(remote), str(tmp_path / "other"))
    run_git("config", "gxt.artifactStore", str(tmp_path / "store"), cwd=tmp_path / "other")
    record(repo, {"a.bin": content(1)}, "two")
    transfer.push(repo).check()
    assert transfer.prune_store(git.find(tmp_path / "other")).removed == {}
    assert stored.exists()


def test_what_did_not_go_with_its_run_goes_with_the_next_push(repo: Repository, remote: Path) -> None:
    """`git push`, where git-lfs's hook is not installed, sends the pointer alone."""
    record(repo, {"a.bin": content(1)})
    run_git("push", "-q", "origin", "gxt")
    run_git("push", "-q", "origin", "HEAD:main", "refs/gxt/code/*")
    planned = run_python("-m", "gxt", "sync", "--dry-run").stdout
    assert planned == "origin: would send 1 large artifact (3.0 MB)\n"
    assert run_python("-m", "gxt", "sync").stdout == "origin: sent 1 large artifact (3.0 MB)\n"
    assert run_python("-m", "gxt", "sync").stdout == "origin: nothing new\n"
    record(repo, {"b.bin": content(2)})
    assert run_python("-m", "gxt", "push").stdout == "origin: sent 1 run and 1 large artifact (3.0 MB)\n"


def test_only_the_runs_named_are_sent(repo: Repository, remote: Path, tmp_path: Path) -> None:
    run_git("config", "gxt.artifactStore", str(tmp_path / "store"))
    run_git("config", "gxt.artifactUpload", "false")
    one = record(repo, {"a.bin": content(1)}, "one")
    record(repo, {"a.bin": content(2)}, "two")
    assert len(transfer.push(repo, runs=[gxt.get_run(one)]).sent) == 1
    assert len(transfer.push(repo).sent) == 1


def test_the_remote_that_has_it_is_found(
    repo: Repository, remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_git("init", "-q", "--bare", str(tmp_path / "team.git"))
    run_git("remote", "add", "team", str(tmp_path / "team.git"))
    run_id = record(repo, {"a.bin": content(1)})
    transfer.push(repo, "team").check()
    other = clone(remote, tmp_path / "other", monkeypatch)
    with pytest.raises(NotFoundError, match=r"Git LFS of origin does not have it.*gxt artifacts push"):
        read(other, run_id, "a.bin")
    run_git("remote", "add", "team", str(tmp_path / "team.git"))
    assert read(other, run_id, "a.bin") == content(1)


def test_what_nobody_sent_is_said(repo: Repository, tmp_path: Path) -> None:
    run_git("config", "gxt.artifactStore", str(tmp_path / "store"))
    run_git("config", "gxt.artifactUpload", "false")
    run_id = record(repo, {"a.bin": content(1)})
    for path in object_files(repo):
        path.unlink()
    assert list(transfer.push(repo).missing.values()) == [f"{run_id}/a.bin"]


def test_nothing_to_send_to(repo: Repository) -> None:
    record(repo, {"a.bin": content(1)})
    with pytest.raises(GxtError, match="no remote to send them to"):
        transfer.push(repo).check()


# --- while runs record ------------------------------------------------------------------------------------------------


def test_a_refusal_says_that_no_run_went(repo: Repository, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(repo, {"a.bin": content(1)})
    record(repo, {})
    monkeypatch.setattr(git, "has_lfs", lambda: False)
    with pytest.raises(GxtError, match="no place for them; no run was sent to origin") as raised:
        sharing.sync(repo, "origin", Talk())
    assert raised.value.hint == "install git-lfs, or `gxt artifacts store URL`"
    assert "gxt" not in run_git("for-each-ref", cwd=remote)


def test_what_a_run_logged_goes_to_the_store_while_it_records(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_git("config", "gxt.artifactStore", str(tmp_path / "store"))
    run_git("config", "gxt.artifactUpload", "false")
    run = recorder.begin(repo, "taxi", name="one")
    Path("a.bin").write_bytes(content(1))
    run.log_artifact("a.bin")
    monkeypatch.setattr(transfer, "_SETTLED", 0.2)
    assert transfer.send_as_they_come(repo) is None
    (sent,) = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert sent.read_bytes() == content(1)
    run.end()
    assert transfer.push(repo).there == [Pointer(sent.name, SIZE)]


@pytest.mark.slow
def test_a_process_of_its_own_sends_it(repo: Repository, tmp_path: Path) -> None:
    run_git("config", "gxt.artifactStore", str(tmp_path / "store"))
    Path("a.bin").write_bytes(content(1))
    os.utime("a.bin", (1, 1))
    code = """
        import os, time, gxt
        from gxt import transfer
        with gxt.start_run() as run:
            gxt.log_artifact("a.bin")
            file = run.folder / "artifacts" / "a.bin"
            deadline = time.monotonic() + 60
            while not list(__import__("pathlib").Path(r"STORE").rglob("sha256/*/*/*")) and time.monotonic() < deadline:
                time.sleep(0.1)
            print(time.monotonic() < deadline)
    """.replace("STORE", str(tmp_path / "store"))
    assert run_python(code=code).stdout == "True\n"


def test_a_store_that_cannot_be_reached_is_no_business_of_training(repo: Repository) -> None:
    run_git("config", "gxt.artifactStore", "s3://bucket/that/is/nowhere")
    Path("a.bin").write_bytes(content(1))
    code = "import gxt\nwith gxt.start_run():\n    gxt.log_artifact('a.bin')"
    done = run_python(code=code, leave_children=True, AWS_ENDPOINT_URL="http://127.0.0.1:1")
    assert done.stderr == ""
    (run,) = catalog.listing(repo).runs
    assert run.status == "finished"


# --- trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (lambda lfs: None, "credentials .* not found"),
        (lambda lfs: f"{SECRET}", "Authentication required: 401"),
        (lambda lfs: lfs.token(-600), "Authentication required: 401"),
    ],
    ids=["missing", "wrong", "expired"],
)
def test_lfs_credentials(
    repo: Repository, remote: Path, lfs: LfsServer, token: Callable[[LfsServer], str | None], says: str
) -> None:
    used = token(lfs)
    run_git("config", "lfs.url", lfs.url(used))
    record(repo, {"a.bin": content(100)})
    with pytest.raises(GxtError, match=says) as raised:
        transfer.push(repo).check()
    assert used is None or used not in str(raised.value)
    shown = run_python("-m", "gxt", "artifacts", "push", check=False)
    assert shown.returncode == 1
    assert used is None or used not in shown.stdout + shown.stderr
    assert len(object_files(repo)) == 1


def test_s3_credentials(repo: Repository, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run_git("config", "gxt.artifactStore", bucket)
    run_git("config", "gxt.artifactUpload", "false")
    record(repo, {"a.bin": content(1)})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    done = run_python("-m", "gxt", "artifacts", "push", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "1 large artifact was not sent (0 of 1 were)" in done.stderr
    assert SECRET not in done.stderr and "Traceback" not in done.stderr


def test_s3_looks_at_keys(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server() as port:
        name, secret = only_for(port, "taxi-runs")
        set_aws(monkeypatch, port)
        run_git("config", "gxt.artifactStore", "s3://taxi-runs/runs")
        run_git("config", "gxt.artifactUpload", "false")
        record(repo, {"a.bin": content(1)})
        for wrong in ((name, SECRET), ("AKIAWRONGWRONGWRONG1", secret)):
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", wrong[0])
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", wrong[1])
            done = run_python("-m", "gxt", "artifacts", "push", check=False)
            assert (done.returncode, done.stdout) == (1, "")
            said, hint = done.stderr.splitlines()
            assert said.endswith("was not sent (0 of 1 were): the artifact store s3://taxi-runs/runs: Forbidden")
            assert "credentials are found as the store's own library finds them" in hint
            assert "1 large artifact (3.0 MB) only here" in run_python("-m", "gxt", "status").stdout
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", name)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        assert run_python("-m", "gxt", "artifacts", "push").stdout.startswith("sent 1 artifact")
        assert "only here" not in run_python("-m", "gxt", "status").stdout


def test_secrets_in_a_stores_url_are_not_shown(repo: Repository) -> None:
    run_git("config", "gxt.artifactStore", f"ftp://ada:{SECRET}@127.0.0.1:1/runs")
    run_git("config", "gxt.artifactUpload", "false")
    record(repo, {"a.bin": content(1)})
    for command in (["artifacts", "push"], ["artifacts"], ["artifacts", "store"], ["status"], ["doctor"]):
        done = run_python("-m", "gxt", *command, check=False)
        assert SECRET not in done.stdout + done.stderr, command
    said = run_python("-m", "gxt", "artifacts", "push", check=False).stderr
    assert said == "gxt: the artifact store ftp://127.0.0.1:1/runs: [Errno 111] Connection refused\n"


def test_secrets_in_a_stores_query_are_not_shown_however_they_are_spelled(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_aws(monkeypatch, 1)
    run_git("config", "gxt.artifactStore", "s3://taxi-runs/x?secret=tokens+and/words")
    run_git("config", "gxt.artifactUpload", "false")
    record(repo, {"a.bin": content(1)})
    said = run_python("-m", "gxt", "artifacts", "push", check=False).stderr
    assert "the artifact store s3://taxi-runs/x" in said
    assert "tokens" not in said and "words" not in said


@pytest.mark.parametrize("command", [["artifacts", "push"], ["push"], ["sync"]])
def test_a_token_in_a_remotes_query_is_not_shown(repo: Repository, command: list[str]) -> None:
    run_git("remote", "add", "origin", f"http://127.0.0.1:1/r.git?private_token={SECRET}")
    run_git("config", "lfs.transfer.maxretries", "1")
    record(repo, {"a.bin": content(1)})
    done = run_python("-m", "gxt", *command, check=False)
    assert done.returncode != 0 and SECRET not in done.stdout + done.stderr
    if command == ["artifacts", "push"]:
        assert "git-lfs" in done.stderr and "private_token=***" in done.stderr


@pytest.mark.slow
def test_an_s3_that_dies_in_the_middle(
    repo: Repository, bucket: str, s3: int, cables: Callable[[int], Cable], monkeypatch: pytest.MonkeyPatch
) -> None:
    cable = cables(s3)
    set_aws(monkeypatch, cable.port)
    run_git("config", "gxt.artifactStore", bucket)
    run_git("config", "gxt.artifactUpload", "false")
    run_id = record(repo, {"a.bin": content(1), "b.bin": content(2, 40_000_000)})
    cable.cut_after = 5_000_000
    done = run_python("-m", "gxt", "artifacts", "push", check=False)
    assert done.returncode == 1 and cable.cuts
    assert "1 large artifact was not sent (1 of 2 were)" in done.stderr
    cable.cut_after = None
    assert "sent 1 artifact (40.0 MB)" in run_python("-m", "gxt", "artifacts", "push").stdout
    for path in object_files(repo):
        path.unlink()
    cable.cut_after = 5_000_000
    assert run_python("-m", "gxt", "get", run_id, "b.bin", "-o", "got", check=False).returncode == 1
    assert not Path("got").exists()
    cable.cut_after = None
    run_python("-m", "gxt", "get", run_id, "b.bin", "-o", "got")
    assert Path("got").read_bytes() == content(2, 40_000_000)


def test_an_lfs_server_that_dies_in_the_middle(
    repo: Repository, remote: Path, lfs: LfsServer, cables: Callable[[int], Cable]
) -> None:
    cable = cables(lfs.port)
    run_git("config", "lfs.url", lfs.url(lfs.token(), cable.port))
    run_git("config", "lfs.transfer.maxretries", "1")
    run_id = record(repo, {"a.bin": content(201, 8_000_000)})
    cable.cut_after = 4_000_000
    assert transfer.push(repo).failed and cable.cuts
    cable.cut_after = None
    assert len(transfer.push(repo).sent) == 1
    for path in object_files(repo):
        path.unlink()
    assert read(repo, run_id, "a.bin") == content(201, 8_000_000)


def test_a_fetch_goes_on_where_it_was_cut_off(repo: Repository, tmp_path: Path) -> None:
    run_git("config", "gxt.artifactStore", str(tmp_path / "store"))
    run_git("config", "gxt.artifactUpload", "false")
    run_id = record(repo, {"a.bin": content(1)})
    transfer.push(repo).check()
    (copy,) = object_files(repo)
    tmp = repo.common_dir / "lfs" / "tmp"
    part = tmp / f"gxt-{copy.name}.part"
    for half, asked in ((content(1)[: SIZE // 2], SIZE // 2), (b"x" * 1000, SIZE - 1000 + SIZE), (b"", SIZE)):
        copy.unlink()
        tmp.mkdir(exist_ok=True)
        part.write_bytes(half)
        moved: list[int] = []
        transfer.pull(repo, shown=lambda total, to=moved: nullcontext(lambda size, whole: to.append(size)))
        assert sum(moved) - len(half) == asked  # what a part holds counts as moved at once
        assert read(repo, run_id, "a.bin") == content(1)
        assert list(tmp.iterdir()) == []


def test_a_damaged_object_in_a_store(repo: Repository, tmp_path: Path) -> None:
    run_git("config", "gxt.artifactStore", str(tmp_path / "store"))
    run_git("config", "gxt.artifactUpload", "false")
    run_id = record(repo, {"a.bin": content(1)})
    transfer.push(repo).check()
    (stored,) = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    stored.write_bytes(content(2))
    for path in object_files(repo):
        path.unlink()
    with pytest.raises(GxtError, match="is damaged in"):
        read(repo, run_id, "a.bin")
    assert object_files(repo) == []


def test_a_damaged_copy_is_not_sent(repo: Repository, tmp_path: Path) -> None:
    run_git("config", "gxt.artifactStore", str(tmp_path / "store"))
    run_git("config", "gxt.artifactUpload", "false")
    record(repo, {"a.bin": content(1)})
    (copy,) = object_files(repo)
    copy.write_bytes(content(2))
    with pytest.raises(GxtError, match="is damaged"):
        transfer.push(repo).check()
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []
    (about,) = transfer.verify(repo)
    assert about.problem and "the copy here was damaged" in about.problem and "neither here nor there" in about.problem


def test_a_pointer_with_another_size_takes_no_copy_away(
    repo: Repository, remote: Path, place: Callable[[], None]
) -> None:
    run_id = record(repo, {"a.bin": content(1)})
    transfer.push(repo).check()
    (copy,) = object_files(repo)
    path = f"experiments/taxi/{run_id}/artifacts/b.bin"
    put_on_branch(path, write_pointer(Pointer(copy.name, 5)))
    with pytest.raises(FormatError, match="says 5 bytes"):
        read(repo, run_id, "b.bin")
    assert copy.read_bytes() == read(repo, run_id, "a.bin") == content(1)


def test_a_damaged_copy_is_fetched_again(repo: Repository, remote: Path, place: Callable[[], None]) -> None:
    run_id = record(repo, {"a.bin": content(1)})
    transfer.push(repo).check()
    (copy,) = object_files(repo)
    copy.unlink()  # git-lfs links it to the remote's, where that is a path
    copy.write_bytes(content(2))
    assert read(repo, run_id, "a.bin") == content(1)


def test_a_full_disk_is_said_and_leaves_nothing_half(repo: Repository, tmp_path: Path) -> None:
    objects = large.Objects(tmp_path / "objects", tmp_path / "home")
    pointer = Pointer("0" * 64, 5)
    with pytest.raises(OSError, match="No space"), objects.receiving(pointer) as out:
        out.write(b"half")
        raise OSError(28, "No space left on device")
    with pytest.raises(FileChangedError), objects.receiving(pointer) as out:
        out.write(b"other")
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name == "tmp"] == []
    assert not objects.has(pointer)


def test_a_store_without_its_package(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(MissingPackageError, match=r"git-gxt\[store\]"):
        large.StorePlace("/mnt/store").has(Pointer("0" * 64, 5))


@pytest.mark.parametrize(("url", "says"), [("foo://x", "no kind of store called foo://"), ("memory://x", "memory://")])
def test_a_store_that_cannot_be_one_is_refused_before_the_team_has_it(repo: Repository, url: str, says: str) -> None:
    for more in ([], ["--clone"]):
        done = run_python("-m", "gxt", "artifacts", "store", url, *more, check=False)
        assert done.returncode == 2 and says in done.stderr
    assert store.tip(repo, git.config(repo)).commit is None and "gxt.artifactstore" not in git.config(repo)


def test_a_store_of_a_kind_that_nobody_knows(repo: Repository) -> None:
    with pytest.raises(GxtError, match="nosuch"):
        large.StorePlace("nosuch://x/y").has(Pointer("0" * 64, 5))


# --- clearing away ----------------------------------------------------------------------------------------------------


def test_pruning_keeps_what_runs_name_and_what_is_nowhere_else(repo: Repository, remote: Path, tmp_path: Path) -> None:
    run_git("config", "gxt.artifactStore", str(tmp_path / "store"))
    run_git("config", "gxt.artifactUpload", "false")
    runs = [record(repo, {"a.bin": content(i)}, f"run{i}") for i in range(3)]
    transfer.push(repo, runs=[gxt.get_run(runs[0]), gxt.get_run(runs[1])]).check()
    # A Git LFS file of the user's own.
    own = repo.common_dir / "lfs" / "objects" / "ab" / "cd" / ("abcd" + "0" * 60)
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    assert transfer.prune(repo) == transfer.Pruning({}, {})
    for run_id in (runs[1], runs[2]):
        store.mark_deleted(repo, run_id, True)
    assert transfer.prune(repo).removed == {}  # hidden, and restored at any time
    store.purge(repo, runs[1:])
    would = transfer.prune(repo, dry_run=True)
    assert (len(would.removed), len(would.kept), len(object_files(repo))) == (1, 1, 4)
    assert transfer.prune(repo) == would
    assert len(object_files(repo)) == 3
    assert len(transfer.prune(repo, force=True).removed) == 1
    assert own.exists() and read(repo, runs[0], "a.bin") == content(0)
    assert len(transfer.prune(repo, everything=True).removed) == 1  # it is in the store
    assert read(repo, runs[0], "a.bin") == content(0)


@pytest.mark.parametrize("place_of_index", ["main", "linked"])
@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_pruning_keeps_what_the_user_has_staged(
    repo: Repository, tmp_path: Path, place_of_index: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_git("config", "gxt.artifactStore", str(tmp_path / "store"))
    run_git("config", "gxt.artifactUpload", "false")
    run_git("lfs", "install", "--local")
    folder = Path.cwd()
    if place_of_index == "linked":
        folder = tmp_path / "linked"
        run_git("worktree", "add", "-q", str(folder))

    def stage() -> None:
        (folder / "mine.bin").write_bytes(content(1))
        (folder / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
        run_git("add", ".gitattributes", "mine.bin", cwd=folder)

    if first == "theirs":
        stage()
    run_id = record(repo, {"a.bin": content(1)})
    if first == "ours":
        stage()
    assert transfer.unsent(repo, git.config(repo)) != []
    transfer.push(repo).check()
    assert transfer.prune(repo, everything=True).removed == {}
    store.mark_deleted(repo, run_id, True)
    store.purge(repo, [run_id])
    assert transfer.prune(repo).removed == transfer.prune(repo, force=True).removed == {}
    (copy,) = object_files(repo)
    if first == "theirs":  # it was there before gxt came
        run_git("reset", "-q", "--hard", cwd=folder)
        assert transfer.prune(repo, force=True).removed == {}
    assert copy.read_bytes() == content(1)


def test_pruning_keeps_what_is_cut_off_in_the_store(repo: Repository, tmp_path: Path) -> None:
    run_git("config", "gxt.artifactStore", str(tmp_path / "store"))
    run_git("config", "gxt.artifactUpload", "false")
    run_id = record(repo, {"a.bin": content(1)})
    transfer.push(repo).check()
    (stored,) = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    os.truncate(stored, 1000)
    assert not transfer.prune(repo, everything=True).removed
    store.mark_deleted(repo, run_id, True)
    store.purge(repo, [run_id])
    done = transfer.prune(repo)
    assert (len(done.removed), len(done.kept), len(object_files(repo))) == (0, 1, 1)


@pytest.mark.parametrize("ref", ["refs/tags/v1", "refs/remotes/origin/gxt", "refs/gxt/kept/x"])
def test_any_ref_keeps_what_its_runs_name(repo: Repository, tmp_path: Path, ref: str) -> None:
    run_git("config", "gxt.artifactStore", str(tmp_path / "store"))
    run_git("config", "gxt.artifactUpload", "false")
    run_id = record(repo, {"a.bin": content(1)})
    transfer.push(repo).check()
    run_git("update-ref", ref, "gxt")
    store.mark_deleted(repo, run_id, True)
    store.purge(repo, [run_id])
    assert transfer.prune(repo, force=True).removed == {}
    assert transfer.prune_store(repo, grace=0).removed == {}
    run_git("update-ref", "-d", ref)
    assert len(transfer.prune_store(repo, grace=0, dry_run=True).removed) == 1
    assert len(transfer.prune(repo).removed) == 1
    assert len(transfer.prune_store(repo).kept) == 1  # younger than two weeks
    assert len(transfer.prune_store(repo, grace=0).removed) == 1


def test_pruning_keeps_what_a_run_that_waits_has(repo: Repository, tmp_path: Path) -> None:
    run_git("config", "gxt.artifactStore", str(tmp_path / "store"))
    run_git("config", "gxt.artifactUpload", "false")
    run = recorder.begin(repo, "taxi", name="one")
    Path("a.bin").write_bytes(content(1))
    run.log_artifact("a.bin")
    run.commit()
    transfer.push(repo).check()
    run_git("update-ref", "-d", "refs/heads/gxt")
    assert transfer.prune(repo, force=True).removed == {}
    assert transfer.prune(repo, force=True, everything=True).removed == {}
    with pytest.warns(gxt.GxtWarning, match="was deleted"):
        run.end()


def test_what_a_killed_process_had_begun_is_cleared_away(repo: Repository, tmp_path: Path) -> None:
    run_git("config", "gxt.artifactStore", str(tmp_path / "store"))
    run_git("config", "gxt.artifactUpload", "false")
    record(repo, {"a.bin": content(1)})
    transfer.push(repo).check()
    (stored,) = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    old = [stored.with_name(stored.name + ".1-ab.tmp"), repo.common_dir / "lfs" / "tmp" / f"gxt-{stored.name}.part"]
    new = [path.with_name("gxt-new-" + path.name) for path in old]
    for path in (*old, *new):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    for path in old:
        os.utime(path, (1, 1))
    transfer.prune(repo)
    transfer.prune_store(repo)
    assert [path.exists() for path in (*old, *new, stored)] == [False, False, True, True, True]


def test_s3_objects_are_listed_and_pruned(repo: Repository, bucket: str) -> None:
    run_git("config", "gxt.artifactStore", bucket)
    run_git("config", "gxt.artifactUpload", "false")
    run_id = record(repo, {"a.bin": content(1)})
    transfer.push(repo).check()
    (about,) = transfer.verify(repo)
    assert (about.here, about.place, about.problem) == (True, bucket, None)
    store.mark_deleted(repo, run_id, True)
    store.purge(repo, [run_id])
    assert len(transfer.prune_store(repo, grace=-60).removed) == 1
    assert transfer.prune_store(repo, grace=-60).removed == {}


# --- the command line -------------------------------------------------------------------------------------------------


def run_gxt(*args: str) -> Any:
    return run_python("-m", "gxt", *args, check=False)


def test_the_commands(repo: Repository, tmp_path: Path) -> None:
    run_id = record(repo, {"a.bin": content(1), "small.txt": b"small"})
    run_git("config", "gxt.artifactUpload", "false")
    assert run_gxt("artifacts", "store", str(tmp_path / "store")).returncode == 0
    assert run_gxt("artifacts", "store").stdout == f"{tmp_path / 'store'}\n"
    assert "here, not sent yet" in run_gxt("artifacts", run_id).stdout
    assert run_gxt("artifacts", "push", "one").stdout.startswith("sent 1 artifact (3.0 MB) to /")
    assert "here and /" in run_gxt("artifacts").stdout
    assert run_gxt("artifacts", "verify").stdout == "1 large artifact: 1 whole here, 0 with a problem\n"
    assert "freed 3.0 MB" in run_gxt("artifacts", "prune", "--all").stdout
    assert run_gxt("artifacts", "pull", "one").stdout == "fetched 1 artifact (3.0 MB); 0 here already\n"
    assert run_gxt("get", "one", "a.bin", "-o", str(tmp_path)).stdout == f"{tmp_path}/a.bin\n"
    assert (tmp_path / "a.bin").read_bytes() == content(1)
    assert run_gxt("get", "one", "small.txt", "-o", "-").stdout == "small"
    refused = run_gxt("get", "one", "a.bin", "-o", str(tmp_path))
    assert refused.returncode == 2 and "is there already" in refused.stderr
    assert run_gxt("get", "one", "nothing").returncode == 3
    assert run_gxt("artifacts", "prune", "--store").returncode == 0
    assert run_gxt("artifacts", "no-such-run").returncode == 3


def test_an_error_names_the_file(repo: Repository, tmp_path: Path) -> None:
    record(repo, {"a.bin": content(1)})
    for path in object_files(repo):
        path.unlink()
    with pytest.raises(NotFoundError, match=r"artifacts/a.bin: the bytes of sha256:"):
        catalog.export(repo, catalog.find(repo, "one"), tmp_path / "out", "artifacts")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    with pytest.raises(NotFoundError):
        catalog.export(repo, catalog.find(repo, "one"), tmp_path / "out")
    assert not (tmp_path / "out" / "artifacts").exists()
