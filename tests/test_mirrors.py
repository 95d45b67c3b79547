"""Another repository's runs by its URL: only what is read of them comes, in few requests; nothing can be changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gxt
import servers
from gxt import catalog, mirrors, store, transfer
from gxt.errors import GitError, GxtError, GxtWarning, NotFoundError, UsageError
from gxt.git import Repository
from helpers import Train, git

PASSWORD = "correct-horse"


@pytest.fixture
def bare(repo: Repository, train: Train, tmp_path: Path) -> Path:
    """A bare repository with some runs, and with code that nobody who looks at them needs."""
    for i in range(5):
        train(f"run-{i}", {"lr": i / 10}, loss=[3, 2, i])
    with gxt.start_run(run_name="with-file"):
        gxt.log_text("hello", "notes/hello.txt")
        gxt.log_text("x" * 3000, "big.txt")
    path = tmp_path / "served" / "taxi.git"
    git("init", "-q", "--bare", str(path))
    git("push", "-q", str(path), "main", "gxt", cwd=repo.work_tree)
    git("config", "uploadpack.allowFilter", "true", cwd=path)
    return path


@pytest.fixture
def url(bare: Path) -> Iterator[str]:
    """Its URL."""
    with servers.daemon(bare.parent) as root:
        yield f"{root}/{bare.name}"


def cli(*args: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gxt", *args],
        cwd=cwd,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def absent(copy: Repository) -> list[str]:
    """The objects that a copy knows of and does not have."""
    out = git("rev-list", "--objects", "--all", "--missing=print", cwd=copy.common_dir)
    return [line for line in out.splitlines() if line.startswith("?")]


def requests(trace: Path) -> int:
    """How many times git asked the other side for objects."""
    return trace.read_text().count("fetch> command=fetch") if trace.exists() else 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://example.com/taxi.git", True),
        ("ssh://git@example.com:2222/taxi.git", True),
        ("git@example.com:team/taxi.git", True),
        ("host:taxi", True),
        ("file:///srv/taxi.git", False),
        ("../taxi", False),
        ("/srv/taxi:2", False),
        ("C:/taxi", False),
        ("ext::sh -c id", False),
        ("-oProxyCommand=id:x", False),
        ("sqlite:///mlruns.db", False),
        ("http://localhost:5000", False),
        ("https://mlflow.example.com/", False),
    ],
)
def test_what_is_the_address_of_a_repository_elsewhere(text: str, expected: bool) -> None:
    assert mirrors.is_url(text) is expected


def test_an_address_of_something_else_is_refused() -> None:
    with pytest.raises(UsageError, match="no address of a git repository"):
        mirrors.locate("sqlite:///mlruns.db")


def test_only_what_is_read_comes(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    copy = mirrors.locate(url)
    assert git("for-each-ref", "--format=%(refname)", cwd=copy.common_dir) == "refs/heads/gxt"
    before = len(absent(copy))
    assert before > 20
    trace = tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE_PACKET", str(trace))
    assert len(catalog.listing(copy).runs) == 6
    # All documents of all runs by one request, those of experiments by another, and gxt.yaml.
    assert requests(trace) <= 4
    asked = requests(trace)
    assert len(catalog.listing(copy).runs) == 6
    assert requests(trace) == asked
    left = absent(copy)
    assert 0 < len(left) < before
    run = catalog.find(copy, "with-file")
    assert catalog.read_file(copy, run, "artifacts/notes/hello.txt") == b"hello"
    assert requests(trace) == asked + 1
    assert catalog.files(copy, run)["artifacts/big.txt"] == 3000
    assert requests(trace) == asked + 2


def test_histories_come_together(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    copy = mirrors.locate(url)
    runs = catalog.listing(copy, ["taxi"]).runs
    trace = tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE_PACKET", str(trace))
    assert [len(data.splitlines()) for _, data in catalog.histories(copy, runs)] == [4] * 5
    assert requests(trace) == 1


def test_commands_that_look(url: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    assert "run-3" in cli("--repo", url, "table", "taxi", cwd=outside).stdout
    assert json.loads(cli("-C", url, "show", "run-3", "--json").stdout)["params"] == {"lr": 0.3}
    assert "taxi" in cli("-C", url, "list", cwd=outside).stdout
    assert "lr" in cli("-C", url, "diff", "run-1", "run-2").stdout
    assert cli("-C", url, "history", "loss", "run-3", "--format", "csv").stdout.splitlines()[-1].startswith("2,3.0,")
    assert cli("-C", url, "get", "with-file", "notes/hello.txt", "-o", "-").stdout == "hello"
    assert cli("-C", url, "checkout", "with-file", "-o", "files", cwd=outside).returncode == 0
    assert (outside / "files" / "artifacts" / "big.txt").stat().st_size == 3000
    assert "run-4" in cli("-C", url, "journal").stdout
    assert "run-0" in cli("-C", url, "best", "loss").stdout
    assert cli("-C", url, "plot", "loss", "-o", "loss.svg", cwd=outside).returncode == 0
    assert "run-3" in cli("table", GXT_TRACKING_URI=url).stdout


@pytest.mark.parametrize(
    "args",
    [
        ["log", "-m", "rmse=1"],
        ["run", "--", "true"],
        ["start"],
        ["tag", "run-1", "a=b"],
        ["note", "run-1", "x"],
        ["rm", "run-1"],
        ["purge", "--yes"],
        ["init"],
        ["sync"],
        ["recover"],
        ["bundle", "runs.zip"],
        ["artifacts", "push"],
        ["review"],
        ["report"],
        ["check", "--against", "run-1", "--metric", "rmse"],
        ["status"],
    ],
    ids=lambda args: str(args[0]),
)
def test_commands_that_change_refuse(url: str, args: list[str]) -> None:
    done = cli("-C", url, *args)
    assert done.returncode == 2
    named = " ".join(args[:2] if args[0] == "artifacts" else args[:1])
    assert f"`gxt {named}` is for a repository here" in done.stderr
    assert not mirrors.cache_folder().exists()


def test_artifacts_are_listed(url: str) -> None:
    assert "big.txt" in cli("-C", url, "artifacts", "with-file").stdout
    assert cli("-C", url, "artifacts").returncode == 0
    assert json.loads(cli("-C", url, "artifacts", "with-file", "--json").stdout)


def test_a_bare_repository_by_its_path(bare: Path) -> None:
    assert "run-3" in cli("-C", str(bare), "table").stdout
    assert "run-3" in cli("-C", bare.as_uri(), "table").stdout
    assert not mirrors.cache_folder().exists()


def test_what_is_new_comes_with_each_call(url: str, bare: Path, repo: Repository, train: Train) -> None:
    assert "fresh" not in cli("-C", url, "table").stdout
    train("fresh", loss=[1])
    git("push", "-q", str(bare), "gxt", cwd=repo.work_tree)
    assert "fresh" not in cli("--offline", "-C", url, "table").stdout
    assert "fresh" in cli("-C", url, "table").stdout


def test_a_branch_that_was_rewritten_is_shown_as_it_is(url: str, bare: Path, repo: Repository) -> None:
    assert "with-file" in cli("-C", url, "table").stdout
    git("push", "-q", "--force", str(bare), "gxt~1:refs/heads/gxt", cwd=repo.work_tree)
    table = cli("-C", url, "table")
    assert "with-file" not in table.stdout
    assert "run-3" in table.stdout


def test_without_a_network_the_last_state_is_shown(bare: Path) -> None:
    with servers.daemon(bare.parent) as root:
        url = f"{root}/{bare.name}"
        assert "run-3" in cli("-C", url, "table").stdout
    done = cli("-C", url, "table")
    assert done.returncode == 0
    assert "run-3" in done.stdout
    assert "shown as it was on" in done.stderr
    missing = cli("-C", url, "get", "with-file", "big.txt", "-o", "-")
    assert missing.returncode == 5
    assert missing.stderr.count("\n") <= 3
    assert "Traceback" not in missing.stderr
    offline = cli("--offline", "-C", url, "get", "with-file", "big.txt", "-o", "-")
    assert "not fetched yet" in offline.stderr


def test_never_reached(tmp_path: Path) -> None:
    port = servers.free_port()
    done = cli("-C", f"git://127.0.0.1:{port}/taxi.git", "table")
    assert done.returncode == 5
    assert "127.0.0.1" in done.stderr
    assert not list(mirrors.cache_folder().glob("*.git"))
    done = cli("--offline", "-C", f"git://127.0.0.1:{port}/taxi.git", "table")
    assert done.returncode == 3
    assert "nothing was fetched yet" in done.stderr


def test_no_runs_there(tmp_path: Path) -> None:
    git("init", "-q", "--bare", str(tmp_path / "served" / "empty.git"))
    with servers.daemon(tmp_path / "served") as root:
        done = cli("-C", f"{root}/empty.git", "table")
    assert done.returncode == 3
    assert "has no branch gxt" in done.stderr


def test_a_server_that_sends_everything(bare: Path) -> None:
    git("config", "uploadpack.allowFilter", "false", cwd=bare)
    with servers.daemon(bare.parent) as root:
        copy = mirrors.locate(f"{root}/{bare.name}")
        assert len(catalog.listing(copy).runs) == 6
    assert absent(copy) == []
    assert catalog.read_file(copy, catalog.find(copy, "with-file"), "artifacts/notes/hello.txt") == b"hello"


def test_sha256(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "served" / "source"
    git("init", "-q", "--object-format=sha256", str(source))
    git("config", "uploadpack.allowFilter", "true", cwd=source)
    cli("-C", str(source), "log", "-m", "loss=1")
    with servers.daemon(tmp_path / "served") as root:
        assert "loss" in cli("-C", f"{root}/source/.git", "table").stdout


def test_over_ssh(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What ssh does, but for the network: the last argument is a command for the other side.
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH", str(ssh))
    for url in (f"git@example.com:{bare}", f"ssh://git@example.com{bare}"):
        assert "run-3" in cli("-C", url, "table").stdout
        assert cli("-C", url, "get", "with-file", "notes/hello.txt", "-o", "-").stdout == "hello"


def test_a_server_that_gives_no_single_files(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    git("config", "--global", "protocol.version", "0")  # in which a server gives what its refs are at, and no more
    copy = mirrors.locate(url)
    assert absent(copy)
    assert len(catalog.listing(copy).runs) == 6
    assert absent(copy) == []


@pytest.fixture
def guarded(bare: Path, tmp_path: Path) -> Iterator[str]:
    """A URL with a password, on a server that wants it."""
    folder = tmp_path / "lighttpd"
    folder.mkdir()
    with servers.http(bare.parent, folder, f"ada:{PASSWORD}\n") as root:
        yield f"{root.replace('://', f'://ada:{PASSWORD}@')}/{bare.name}"


def test_credentials_are_nowhere(guarded: str) -> None:
    wrong = guarded.replace(PASSWORD, "wrong-horse")
    done = cli("-C", wrong, "table")
    assert done.returncode == 5
    assert "horse" not in done.stdout + done.stderr
    table = cli("-C", guarded, "table")
    assert "run-3" in table.stdout
    assert cli("-C", guarded, "get", "with-file", "notes/hello.txt", "-o", "-").stdout == "hello"
    refused = cli("-C", guarded, "tag", "run-3", "a=b")
    again = cli("-C", wrong, "table")
    assert "see gitcredentials(7)" in again.stderr
    assert "run-3" in again.stdout  # as it was: with the wrong password nothing new comes
    assert "horse" not in table.stdout + table.stderr + refused.stderr + again.stderr
    for file in mirrors.cache_folder().rglob("*"):
        assert not file.is_file() or b"horse" not in file.read_bytes(), file
    copy = mirrors.locate(guarded)
    assert "horse" not in repr(copy)
    unreachable = cli("-C", f"http://ada:{PASSWORD}@127.0.0.1:{servers.free_port()}/taxi.git", "table")
    assert unreachable.returncode == 5
    assert "horse" not in unreachable.stdout + unreachable.stderr


def test_in_python(url: str, bare: Path, repo: Repository, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    gxt.set_tracking_uri(url)
    assert gxt.get_tracking_uri() == url
    assert set(gxt.search_runs(experiment_names="taxi")["params.lr"]) == {0.0, 0.1, 0.2, 0.3, 0.4}
    assert gxt.get_run("run-3").metrics["loss"].last == 3
    assert len(gxt.load_metrics("run-3")) == 3
    train("fresh", loss=[1])
    git("push", "-q", str(bare), "gxt", cwd=repo.work_tree)
    monkeypatch.setattr(gxt.fluent, "_FRESH", 0.0)
    assert gxt.get_run("fresh").metrics["loss"].last == 1


def test_in_python_nothing_can_be_changed(url: str) -> None:
    gxt.set_tracking_uri(url)
    for change in (gxt.start_run, lambda: gxt.log_metric("a", 1), lambda: gxt.set_experiment("new")):
        with pytest.raises(UsageError, match="can only be looked at"):
            change()
    folder = next(mirrors.cache_folder().glob("taxi-*[!k]"))
    assert not (folder / "gxt" / "live").exists()


def test_in_python_without_a_network(bare: Path) -> None:
    with servers.daemon(bare.parent) as root:
        url = f"{root}/{bare.name}"
        gxt.set_tracking_uri(url)
        assert len(gxt.search_runs(output_format="list")) == 6
    with pytest.warns(GxtWarning, match="shown as it was") as warned:
        gxt.set_tracking_uri(url)
    assert warned[0].filename == __file__
    assert len(gxt.search_runs(output_format="list")) == 6


def test_large_artifacts_come_from_the_store_that_the_team_named(bare: Path, repo: Repository, tmp_path: Path) -> None:
    store.set_artifact_store(repo, str(tmp_path / "store"))
    recording = gxt.recorder.begin(repo, "taxi", name="large")
    (tmp_path / "model.bin").write_bytes(b"weights " * 200_000)
    recording.log_artifact(tmp_path / "model.bin")
    recording.end("finished")
    transfer.push(repo).check()
    git("push", "-q", str(bare), "gxt", cwd=repo.work_tree)
    with servers.daemon(bare.parent) as root:
        done = cli("-C", f"{root}/{bare.name}", "get", "large", "model.bin", "-o", str(tmp_path / "got.bin"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "got.bin").read_bytes() == b"weights " * 200_000


def test_many_at_once(url: str) -> None:
    commands = [[sys.executable, "-m", "gxt", "-C", url, "table"] for _ in range(4)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    assert all("run-3" in process.communicate(timeout=60)[0] for process in running)


def test_a_file_that_never_existed_is_asked_for_once(url: str) -> None:
    copy = mirrors.locate(url)
    run = catalog.find(copy, "run-3")
    assert catalog.read_file(copy, run, "nothing.txt") is None
    with pytest.raises((NotFoundError, GitError, GxtError)):
        catalog.find(copy, "nobody")
