"""gxt verify: signatures by real ssh-keygen and gpg, folders, artifacts, code and history, each broken on purpose."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gxt import layout, recorder, sharing, store, verify
from gxt.git import Repository, Talk
from gxt.git import find as find_repository
from gxt.model import STATUSES, parse_time, summarise
from gxt.verify import FAILED, OK, UNCHECKED, Finding, Report, form
from gxt.yamltext import load_mapping
from helpers import git, git_bytes, put_on_branch, record, run_python

RUN = "experiments/taxi"


def look(repo: Repository, *ids: str, required: bool = False) -> Report:
    return verify.verify(repo, list(ids) or None, Talk(), require_signatures=required)


def of(report: Report, check: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.check == check]


def words(report: Report, check: str = "signatures") -> list[str]:
    return [finding.word or finding.status for finding in of(report, check)]


def ssh_key(folder: Path, name: str) -> Path:
    key = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key], check=True)
    return key.with_suffix(".pub")


@pytest.fixture
def signing(work: Path, tmp_path: Path) -> Path:
    """Commits are signed by a key, which the file `keys` of the work tree lists."""
    key = ssh_key(tmp_path, "ada")
    (work / "keys").write_text(f"ada@example.com {key.read_text()}")
    for name, value in (
        ("gpg.format", "ssh"),
        ("user.signingKey", str(key)),
        ("commit.gpgSign", "true"),
        ("gpg.ssh.allowedSignersFile", "keys"),
    ):
        git("config", name, value)
    return key


# --- signatures -----------------------------------------------------------------------------------------------------


def test_a_run_that_nobody_signed_is_told_and_fails_only_where_that_is_asked_for(repo: Repository) -> None:
    record(repo)
    (finding,) = of(look(repo), "signatures")
    assert (finding.status, finding.word) == (UNCHECKED, "unsigned")
    assert look(repo).failed == []
    assert [one.check for one in look(repo, required=True).failed] == ["signatures"]


def test_signatures_by_ssh_are_good_of_unknown_keys_and_bad(repo: Repository, signing: Path, tmp_path: Path) -> None:
    ada = record(repo, name="ada")
    (good,) = of(look(repo), "signatures")
    assert (good.status, good.word) == (OK, "good")
    assert "ada@example.com" in good.what and "SHA256:" in good.what
    assert look(repo, required=True).failed == []
    git("config", "user.signingKey", str(ssh_key(tmp_path, "eve")))
    eve = record(repo, name="eve")
    assert words(look(repo, ada)) == ["good"]
    assert words(look(repo, eve)) == ["unknown key"]
    assert look(repo).failed == [] and look(repo, required=True).failed
    altered = git("cat-file", "commit", "gxt").replace("eve finished", "eve  finished") + "\n"
    git("update-ref", "refs/heads/gxt", git("hash-object", "-t", "commit", "-w", "--stdin", stdin=altered))
    assert words(look(repo, eve)) == ["bad"]
    assert {one.check for one in look(repo, eve).failed} == {"signatures", "history"}


def test_every_commit_that_changed_a_run_counts(repo: Repository, signing: Path) -> None:
    run = record(repo, name="one")
    record(repo, name="other")
    git("config", "commit.gpgSign", "false")
    store.edit_run(repo, run, lambda known: known, "noted")  # changes nothing
    assert words(look(repo, run)) == ["good"]
    put_on_branch(f"{RUN}/{run}/params.yaml", "alpha: 2\n")
    assert sorted(words(look(repo, run))) == ["good", "unsigned"]
    assert words(look(repo, run, required=True)) and len(look(repo, run, required=True).failed) == 1
    other = next(one for one in look(repo).runs if one != run)
    assert words(look(repo, other)) == ["good"]


def test_where_history_was_cut_off_nobody_can_tell(repo: Repository, signing: Path, tmp_path: Path) -> None:
    one = record(repo, name="one")
    record(repo, name="two")
    new = record(repo, name="new")
    git("clone", "-q", "--depth", "2", "--branch", "gxt", f"file://{Path.cwd()}", str(tmp_path / "clone"))
    clone = find_repository(tmp_path / "clone")
    git("config", "gpg.ssh.allowedSignersFile", str(Path("keys").absolute()), cwd=clone.work_tree)
    assert words(look(clone, one)) == ["unchecked"] and "cut off" in of(look(clone, one), "signatures")[0].what
    assert words(look(clone, new)) == ["good"]
    assert {one.run for one in look(clone, required=True).failed if one.check == "signatures"} == look(
        clone
    ).runs.keys() - {new}


@pytest.mark.parametrize("listed", ["", "nowhere"])
def test_without_a_list_of_keys_nobody_can_tell(repo: Repository, signing: Path, listed: str) -> None:
    record(repo)
    git("config", "gpg.ssh.allowedSignersFile", listed)
    (finding,) = of(look(repo), "signatures")
    assert (finding.status, finding.word) == (UNCHECKED, "unchecked")
    assert "allowedSignersFile" in finding.what


def test_signatures_with_a_revoked_key_are_bad(repo: Repository, signing: Path, work: Path) -> None:
    record(repo)
    (work / "revoked").write_text(signing.read_text())
    git("config", "gpg.ssh.revocationFile", "revoked")
    assert look(repo).failed != []


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A keyring of GnuPG with one key; its path is short, since gpg's agent listens at a socket in it."""
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp", prefix="gxt-gpg-") as folder:
        monkeypatch.setenv("GNUPGHOME", folder)
        make = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
        subprocess.run([*make, "--quick-gen-key", "Ada <ada@example.com>", "ed25519", "sign"], check=True)
        yield Path(folder)
        subprocess.run(["gpgconf", "--kill", "all"], check=False)


def test_signatures_by_gpg(repo: Repository, keyring: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    git("config", "commit.gpgSign", "true")
    git("config", "user.signingKey", "ada@example.com")
    record(repo)
    (good,) = of(look(repo), "signatures")
    assert good.word == "good" and "Ada <ada@example.com>" in good.what
    (tmp_path / "empty").mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(tmp_path / "empty"))
    assert words(look(repo)) == ["unknown key"]
    git("config", "gpg.program", "/nowhere/gpg")
    assert words(look(repo)) == ["unchecked"]


# --- folders --------------------------------------------------------------------------------------------------------


def test_a_sound_run(repo: Repository) -> None:
    run = record(repo, metrics={"rmse": 6.3}, params={"alpha": 0.1})
    report = look(repo)
    assert list(report.runs) == [run] and report.failed == []
    assert words(report, "folder") == [OK] and words(report, "code") == [OK] and words(report, "history") == [OK]
    assert of(report, "artifacts") == []


@pytest.mark.parametrize(
    ("file", "content", "what"),
    [
        ("run.yaml", "id: 20200101-000000-00000000\nname: one\nstatus: finished\n", "says that the id is 20200101"),
        ("run.yaml", "status: [\n", ""),
        ("run.yaml", None, "missing"),
        ("params.yaml", "a: 1\na: 2\n", ""),
        ("metrics.yaml", "rmse: {last: 1.0, min: 1.0, max: 1.0, first: 1.0, step: 0, count: 1}\n", "metrics.csv"),
        (".gitattributes", "artifacts/a.bin filter=lfs diff=lfs merge=lfs -text\n", "names artifacts/a.bin"),
    ],
)
def test_a_folder_that_does_not_agree_with_itself(repo: Repository, file: str, content: str | None, what: str) -> None:
    run, other = (record(repo, name=name, metrics={"rmse": 6.3}) for name in ("one", "other"))
    put_on_branch(f"{RUN}/{run}/{file}", content)
    for report in (look(repo), look(repo, run)):
        wrong = [one for one in report.failed if one.check == "folder"]
        assert {one.run for one in wrong} == {run}
        assert any(one.where == f"{RUN}/{run}/{file}" and what in one.what for one in wrong)
    assert look(repo, other).failed == []


def _object(oid: str) -> Path:
    return Path(".git", "objects", oid[:2], oid[2:])


@pytest.mark.parametrize("damage", ["lost", "another"])
def test_objects_that_git_lacks_or_that_are_others(repo: Repository, damage: str) -> None:
    recording = recorder.begin(repo, "taxi", name="one")
    recording.log_text("what the model is", "model.txt")
    recording.end("finished")
    for pack in sorted(Path(".git/objects/pack").glob("*.pack")):
        moved = pack.rename(Path(".git") / pack.name)
        pack.with_suffix(".idx").unlink()
        with moved.open("rb") as stream:
            subprocess.run(["git", "unpack-objects", "-q"], stdin=stream, check=True)
    path = f"{RUN}/{recording.run_id}/artifacts/model.txt"
    oid = git("rev-parse", f"gxt:{path}")
    _object(oid).unlink()
    if damage == "another":
        other = git("hash-object", "-w", "--stdin", stdin="what it is not")
        shutil.copy(_object(other), _object(oid))
    for report in (look(repo), look(repo, recording.run_id)):
        assert [(one.check, one.where) for one in report.failed] == [("folder", path)]


# --- artifacts ------------------------------------------------------------------------------------------------------


@pytest.fixture
def large(repo: Repository, tmp_path: Path) -> str:
    """A run with a large artifact, in a store."""
    git("config", "gxt.artifactStore", f"file://{tmp_path}/store")
    git("config", "gxt.artifactThreshold", "70000")
    recording = recorder.begin(repo, "taxi", name="one")
    (tmp_path / "model.bin").write_bytes(b"0123456789" * 8000)
    recording.log_artifact(str(tmp_path / "model.bin"))
    recording.end("finished")
    return recording.run_id


def test_large_artifacts_against_their_pointers(repo: Repository, large: str) -> None:
    other = record(repo, name="other")
    assert words(look(repo), "artifacts") == [OK]
    assert of(look(repo, other), "artifacts") == []
    (copy,) = [path for path in Path(".git/lfs/objects").rglob("*") if path.is_file()]
    copy.chmod(0o644)
    copy.write_bytes(b"x" * copy.stat().st_size)
    report = look(repo, large)
    assert [(one.check, one.run) for one in report.failed] == [("artifacts", large)]


# --- code -----------------------------------------------------------------------------------------------------------


def test_code_that_is_gone_or_about_to_go(repo: Repository, work: Path) -> None:
    git("commit", "-q", "--allow-empty", "-m", "tried")
    run = record(repo)
    tried = git("rev-parse", "HEAD")
    for ref in git("for-each-ref", "--format=%(refname)", "refs/gxt/code").split():
        git("update-ref", "-d", ref)
    git("reset", "-q", "--hard", "HEAD~1")
    (finding,) = of(look(repo), "code")
    assert finding.status == UNCHECKED and "no ref leads to it" in finding.what
    git("reflog", "expire", "--expire=now", "--all")
    git("gc", "-q", "--prune=now")
    (finding,) = of(look(repo), "code")
    assert (finding.status, finding.run) == (FAILED, run) and tried[:12] in finding.what


def test_code_that_a_remote_keeps(repo: Repository, work: Path, tmp_path: Path) -> None:
    git("init", "-q", "--bare", str(tmp_path / "there"))
    git("remote", "add", "origin", str(tmp_path / "there"))
    record(repo)
    commit = git("rev-parse", "HEAD")
    git("push", "-q", "origin", "gxt", f"{commit}:refs/gxt/code/{commit}")
    git("clone", "-q", "--single-branch", "--branch", "gxt", f"file://{tmp_path}/there", str(tmp_path / "clone"))
    clone = find_repository(tmp_path / "clone")
    (finding,) = of(look(clone), "code")
    assert (finding.status, finding.what) == (OK, f"{commit[:12]} is at origin")
    shutil.rmtree(tmp_path / "there")
    (finding,) = of(look(clone), "code")
    assert finding.status == UNCHECKED and "could not be asked" in finding.what
    git("remote", "remove", "origin", cwd=tmp_path / "clone")
    assert of(look(clone), "code")[0].status == FAILED


def test_code_that_may_be_on_what_was_not_fetched(repo: Repository, work: Path, tmp_path: Path) -> None:
    git("init", "-q", "--bare", str(tmp_path / "there"))
    git("remote", "add", "origin", str(tmp_path / "there"))
    record(repo)
    commit = git("rev-parse", "HEAD")
    git("push", "-q", "origin", "gxt")
    git("clone", "-q", "--branch", "gxt", f"file://{tmp_path}/there", str(tmp_path / "clone"))
    clone = find_repository(tmp_path / "clone")
    (nowhere,) = of(look(clone), "code")
    assert (nowhere.status, nowhere.what) == (FAILED, f"{commit[:12]} is not here, and no remote has it")
    git("push", "-q", "origin", "main")
    (tip,) = of(look(clone), "code")
    assert (tip.status, tip.what) == (OK, f"{commit[:12]} is at origin")
    git("commit", "-q", "--allow-empty", "-m", "later")
    git("push", "-q", "origin", "main")
    (maybe,) = of(look(clone), "code")
    assert maybe.status == UNCHECKED and maybe.what.endswith("was not fetched from origin: main")
    git("fetch", "-q", cwd=tmp_path / "clone")
    assert words(look(clone), "code") == [OK]
    git("update-ref", "-d", "refs/heads/main", cwd=tmp_path / "there")
    git("fetch", "-q", "--prune", cwd=tmp_path / "clone")
    git("reflog", "expire", "--expire=now", "--all", cwd=tmp_path / "clone")
    git("gc", "-q", "--prune=now", cwd=tmp_path / "clone")
    assert words(look(clone), "code") == [FAILED]


def test_a_snapshot_is_one_of_the_commit_that_the_run_names(repo: Repository, full: str) -> None:
    assert words(look(repo, full), "code") == [OK]
    path = f"{RUN}/{full}/run.yaml"
    snapshot = re.search("snapshot: (.*)", git("show", f"gxt:{path}"))
    assert snapshot is not None
    git("commit", "-q", "--allow-empty", "-m", "another")
    other = git("rev-parse", "HEAD")
    put_on_branch(path, git("show", f"gxt:{path}").replace(snapshot[1], other) + "\n")
    finding = of(look(repo, full), "code")[0]
    assert finding.status == FAILED and "no snapshot of changes" in finding.what


LONG = "".join(f"line = {number}\n" for number in range(400))


@pytest.fixture
def patched(repo: Repository, work: Path) -> str:
    """The path of a code.patch that has a text, a binary file, another mode, and leaves out what is too long."""
    git("config", "gxt.snapshotMaxPatch", "2000")
    (work / "train.py").write_text("print('changed')\n")
    (work / "new file.py").write_text("x = 1\n")
    (work / "image.bin").write_bytes(bytes(range(256)))
    (work / "long.py").write_text(LONG)
    (work / "run.sh").write_text("true\n")
    (work / "run.sh").chmod(0o755)
    return f"{RUN}/{record(repo, name='patched')}/code.patch"


def test_a_patch_is_what_the_snapshot_changes(repo: Repository, patched: str) -> None:
    git("config", "--unset", "gxt.snapshotMaxPatch")
    before = git_bytes("show", f"gxt:{patched}")
    assert b"Left out: diff --git a/long.py" in before and b"Binary" in before
    assert words(look(repo), "code") == [OK]
    tip = git("rev-parse", "gxt")
    for old, new, status in [
        (b"+print('changed')", b"+print('other')", FAILED),
        (b"-print('training')", b"-print('nothing')", FAILED),
        (b"new file mode 100755", b"new file mode 100644", FAILED),
        (b"Left out: diff --git a/long.py b/long.py", b"Left out: diff --git a/other b/other", FAILED),
        (re.search(rb"diff --git a/new file.py[^@]*@@.*\n.*\n", before)[0], b"", FAILED),  # type: ignore[index]
        (b"@@ -1 +1 @@", b"@@ -1 +1 @@ def main():", UNCHECKED),
        (b"All of it: git diff ", b"All of it: git diff --stat ", UNCHECKED),
    ]:
        assert old in before
        put_on_branch(patched, before.replace(old, new))
        (finding,) = [one for one in of(look(repo), "code") if one.where == patched]
        assert (finding.status, finding.run) == (status, patched.split("/")[2]), new
        git("update-ref", "refs/heads/gxt", tip)
    put_on_branch(patched, b"nothing was changed\n")
    assert FAILED in words(look(repo), "code")
    assert not list(Path(".git/gxt").glob("aside-*")) and not git("for-each-ref", "refs/gxt/aside")


def test_a_patch_before_the_first_commit_and_of_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("init", "-q", str(tmp_path / "new"))
    monkeypatch.chdir(tmp_path / "new")
    git("config", "gxt.snapshotMaxPatch", "300")
    for number in range(120):
        Path(f"part{number}.py").write_text(f"number = {number}\n")
    repo = find_repository(tmp_path / "new")
    path = f"{RUN}/{record(repo)}/code.patch"
    assert words(look(repo), "code") == [OK]
    text = git("show", f"gxt:{path}")
    put_on_branch(path, re.sub("keeps 300 bytes", "keeps 301 bytes", text.replace("number = 0", "number = 7")) + "\n")
    assert words(look(repo), "code") == [OK, FAILED]


# --- history --------------------------------------------------------------------------------------------------------


def test_a_branch_that_was_set_back(repo: Repository) -> None:
    record(repo, name="one")
    record(repo, name="two")
    assert words(look(repo), "history") == [OK]
    git("update-ref", "refs/heads/gxt", git("rev-parse", "gxt~1"))
    (finding,) = look(repo).failed
    assert (finding.check, finding.where) == ("history", "refs/heads/gxt")
    with pytest.warns(match="was rewritten"):
        record(repo, name="three")  # which keeps what was there, and tells
    kept = next(one for one in look(repo).failed if one.where.startswith("refs/gxt/kept/"))
    git("update-ref", "-d", kept.where)
    assert look(repo).failed == []
    assert any(one.status == UNCHECKED and "was rewritten" in one.what for one in of(look(repo), "history"))


def test_a_commit_by_git_alone_that_was_taken_away_again(repo: Repository) -> None:
    run = record(repo, name="one")
    before = git("rev-parse", "gxt")
    put_on_branch(f"{RUN}/{run}/params.yaml", "alpha: 2\n")
    lost = git("rev-parse", "gxt")
    git("update-ref", "refs/heads/gxt", before)  # where gxt left it
    (finding,) = look(repo).failed
    assert (finding.check, finding.where) == ("history", "refs/heads/gxt") and lost[:12] in finding.what
    record(repo, name="two")
    assert [one.what for one in look(repo).failed] == [finding.what]
    forget = re.search("`(git reflog .*?)`", finding.advice)
    assert forget is not None
    subprocess.run(forget[1].split(), check=True)
    assert look(repo).failed == []


def test_a_remote_that_was_rewritten(repo: Repository, tmp_path: Path) -> None:
    git("init", "-q", "--bare", str(tmp_path / "there"))
    git("remote", "add", "origin", str(tmp_path / "there"))
    record(repo, name="one")
    record(repo, name="two")
    sharing.sync(repo, "origin", Talk())
    git("push", "-q", "origin", "main")
    git("clone", "-q", str(tmp_path / "there"), str(tmp_path / "reader"), "--branch", "gxt")
    reader = find_repository(tmp_path / "reader")
    assert look(repo).failed == [] and look(reader).failed == []
    assert of(look(reader), "history")[0].status == UNCHECKED  # it has seen one state alone
    git("push", "-q", "--force", "origin", "gxt~1:gxt")
    for clone in (repo, reader):
        git("fetch", "-q", cwd=clone.work_tree)
        assert [(one.check, one.where) for one in look(clone).failed] == [("history", "refs/remotes/origin/gxt")]


# --- the format, line by line ---------------------------------------------------------------------------------------


@pytest.fixture
def full(repo: Repository, tmp_path: Path) -> str:
    """A run that has every kind of file."""
    (repo.work_tree or tmp_path).joinpath("train.py").write_text("print('changed')\n")
    (tmp_path / "trips.csv").write_text("miles\n1\n2\n")
    recording = recorder.begin(repo, "taxi", name="full", tags={"stage": "test"})
    recording.log_params({"alpha": 0.1})
    recording.log_metrics({"rmse": 6.3, "mae": 2.0}, step=1)
    recording.log_input(str(tmp_path / "trips.csv"))
    recording.log_text("what the model is", "model.txt")
    recording.end("finished")
    put_on_branch(f"{RUN}/{recording.run_id}/system.csv", "time,metric,value\n1795439760924,cpu_percent,0.5\n")
    put_on_branch(f"{RUN}/{recording.run_id}/output.log", b"epoch 1\xff")
    put_on_branch(f"{RUN}/{recording.run_id}/notebook.py", "# In[1]:\nprint(1)\n")
    return recording.run_id


def _changed(key: str, value: str) -> tuple[str, str, str]:
    """A line of a YAML document, at any level, with another value."""
    return rf"(?m)^( *{key}:).*$", rf"\1 {value}", key


RUN_YAML = [
    *(_changed(key, "[1, 2]") for key in ("name", "author", "command", "branch", "python", "platform", "stage")),
    *(_changed(key, "") for key in ("name", "status", "started", "ended")),
    _changed("name", '" x "'),
    _changed("id", "20200101-000000-00000000"),
    _changed("status", "done"),
    _changed("started", "yesterday"),
    _changed("started", "2026-11-23T08:30:00.123 Mars/Phobos"),
    _changed("started", "2026-11-23T08:30:00.123+99:00"),
    _changed("started", "2019-11-23T08:30:00.123Z"),
    _changed("ended", "2019-11-23T08:30:00.123Z"),
    _changed("ended", "2026-11-23T25:30:00Z"),
    _changed("commit", "main"),
    _changed("commit", "deadbeef"),
    _changed("snapshot", "HEAD"),
    _changed("dirty", "maybe"),
    _changed("dirty", "false"),
    _changed("cpus", "many"),
    _changed("cpus", "-2"),
    (*_changed("tags", "x")[:2], ""),
    (*_changed("environment", "[]")[:2], ""),
    (r"(?m)^source:", "parent: nobody\nsource:", "parent"),
    (r"(?m)^source:", "exit_code: 1.5\nsource:", "exit_code"),
    (r"(?m)^source:", "deleted: soon\nsource:", "deleted"),
    (r"(?m)^source:", "source:\n  reproduces: someone", "reproduces"),
    (r"(?m)^environment:", "environment:\n  gpus: H100", "gpus"),
    (r"(?m)^environment:", "environment:\n  variables: {a: [1]}", "variables"),
]
MUTATIONS = [
    *(("run.yaml", *change) for change in RUN_YAML),
    ("metrics.yaml", "6.3", "6.4", "does not agree"),
    ("metrics.yaml", "count: 1", "count: 1.5", "count"),
    ("metrics.yaml", "mae", "map", "does not agree"),
    ("metrics.csv", "1,rmse", "2,rmse", "does not agree"),
    ("metrics.csv", "1,rmse,6.3", "1,rmse,six", "no whole point"),
    ("metrics.csv", r"(?m)^1,rmse.*\n", "", "does not agree"),
    ("metrics.csv", r"\A.*\n", "", "no header"),
    ("metrics.csv", r"\n\Z", "", "no whole point"),
    ("params.yaml", "alpha:", '" alpha ":', "space"),
    ("params.yaml", "alpha: 0.1", "[1]", ""),
    ("inputs.yaml", "sha256:[0-9a-f]{64}", "sha256:12", "digest"),
    ("inputs.yaml", "(?m)(size|rows): .*$", r"\1: -1", ": expected"),
    ("inputs.yaml", "(?m)^  source: .*$", "  source: [a]", "source"),
    ("inputs.yaml", "(?m)^  digest", "  shape: 3\n  digest", "shape"),
    ("inputs.yaml", "(?m)^  digest", "  dvc: 12\n  digest", "dvc"),
    ("system.csv", r"\A.*\n", "", "header"),
    ("system.csv", "0.5", "half", "no sample"),
    ("system.csv", r"\n\Z", "", "line break"),
    ("environment.txt", r"\Z", "\ufeff\r\n", "CR LF"),
    ("environment.txt", r"\A", "\ufeff", "byte order mark"),
    ("environment.txt", r"\n\Z", "", "line break"),
    ("notebook.py", r"\n\Z", "", "line break"),
]
TAKEN = ["environment.txt", "system.csv", "output.log", "code.patch", "notebook.py", "inputs.yaml", "metrics.csv"]
TAKEN += ["artifacts/model.txt", "run.yaml", "params.yaml", "metrics.yaml"]


def test_each_line_of_the_format_is_looked_at(repo: Repository, full: str) -> None:
    assert odd(repo, full) == [], "the run is sound before"
    tip = git("rev-parse", "gxt")
    passed_over = []
    for file, pattern, replacement, what in MUTATIONS:
        path = f"{RUN}/{full}/{file}"
        before = git_bytes("show", f"gxt:{path}").decode()
        after = re.sub(pattern, replacement, before, count=1)
        assert after != before, (file, pattern)
        put_on_branch(path, after)
        if not any(what in one.what for one in odd(repo, full)):
            passed_over.append((file, replacement, odd(repo, full)))
        git("update-ref", "refs/heads/gxt", tip)
    assert passed_over == []


def odd(repo: Repository, run: str) -> list[Finding]:
    """What is said of a run's folder."""
    return [one for one in of(look(repo, run), "folder") if one.status != OK]


def test_a_run_of_every_kind_of_file_is_sound(repo: Repository, full: str) -> None:
    assert odd(repo, full) == []


@pytest.mark.parametrize("file", TAKEN)
def test_files_that_are_links_or_gone(repo: Repository, full: str, file: str) -> None:
    path = f"{RUN}/{full}/{file}"
    content = git_bytes("show", f"gxt:{path}")
    put_on_branch(path, "run.yaml", mode="120000")
    assert any(one.where == path and "link" in one.what for one in look(repo, full).failed)
    put_on_branch(path, content, mode="100755")
    assert [(one.where, one.status) for one in odd(repo, full)] == [(path, UNCHECKED)]
    put_on_branch(path, None)
    assert any(one.where == path and one.run == full for one in look(repo).failed)
    put_on_branch(path, content)
    assert odd(repo, full) == []


@pytest.mark.parametrize(
    ("file", "status"), [("notes.md", UNCHECKED), ("sub/run.yaml", UNCHECKED), (".gitattributes", FAILED)]
)
def test_files_that_no_run_has(repo: Repository, full: str, file: str, status: str) -> None:
    put_on_branch(f"{RUN}/{full}/{file}", "*.yaml merge=ours\n")
    assert [(one.where, one.status) for one in odd(repo, full)] == [(f"{RUN}/{full}/{file}", status)]
    assert {one.run for one in look(repo).failed} == ({full} if status == FAILED else set())


def test_names_of_artifacts_that_no_run_may_have(repo: Repository, full: str) -> None:
    put_on_branch(f"{RUN}/{full}/artifacts/aux.txt", "x")
    assert any("device" in one.what for one in look(repo, full).failed)


@pytest.mark.parametrize(("path", "content"), [(f"{RUN}/experiment.yaml", "id: [\n"), ("gxt.yaml", "format: one\n")])
def test_what_is_around_runs_counts(repo: Repository, full: str, path: str, content: str) -> None:
    put_on_branch(path, content)
    assert [(one.check, one.where) for one in look(repo, full).failed] == [("folder", path)]


_pieces = st.sampled_from(
    [b"", b"\n", b" ", b"0", b"-", b":", b"x", b"'", b'"', b",", b"[", b"}", b"#", b"\t", b"\r", b"\xff", b"\xc3\xa9"]
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_a_document_is_named_or_means_nothing(repo: Repository, full: str, data: st.DataObject) -> None:
    """What means nothing: what reads as the same, and another text, number or time where any is as good."""
    tip = git("rev-parse", "gxt")
    name = data.draw(st.sampled_from([*layout.RUN_DOCUMENTS, layout.METRICS_CSV]))
    path = f"{RUN}/{full}/{name}"
    before = git_bytes("show", f"gxt:{path}")
    start = data.draw(st.integers(0, len(before)))
    after = before[:start] + data.draw(_pieces) + before[start + data.draw(st.integers(0, 3)) :]
    put_on_branch(path, after)
    try:
        if not odd(repo, full):
            _check_is_as_good(name, before, after, full)
    finally:
        git("update-ref", "refs/heads/gxt", tip)


def _check_is_as_good(name: str, before: bytes, after: bytes, run: str) -> None:
    assert after.decode().endswith("\n")
    if name == layout.METRICS_CSV:
        assert summarise(layout.read_points(after)) == summarise(layout.read_points(before))
        return
    if name == layout.METRICS_YAML:
        assert layout.read_summaries(after, name) == layout.read_summaries(before, name)
        return
    found = load_mapping(after, name)
    if name == layout.INPUTS_YAML:
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", one.get("digest", f"sha256:{0:064}")) for one in found.values())
    if name == layout.RUN_YAML:
        assert (found["id"], found["status"] in STATUSES) == (run, True) and found["name"]
        assert parse_time(found["started"]) <= parse_time(found["ended"])
        assert layout.start_in_id(run)[:19] == str(found["started"])[:19]
        source = found.get("source", {})  # a key may be called otherwise: a document may hold more than gxt knows
        assert {len(source[key]) for key in ("commit", "snapshot") if key in source} <= {40}
        assert source.get("dirty", True) is True


# --- what is remembered ---------------------------------------------------------------------------------------------


def test_good_signatures_are_remembered_until_the_keys_change(
    repo: Repository, signing: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(repo)
    assert words(look(repo)) == ["good"]
    program = work / "ssh-keygen"  # git starts what gpg.ssh.program names: here nothing that could say "good"
    before = look(repo)
    monkeypatch.setenv("PATH", f"{work}:{os.environ['PATH']}")
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    assert of(look(repo), "signatures") == of(before, "signatures")
    keys = (work / "keys").read_text()
    (work / "keys").write_text(f"# once\n{keys}")
    assert words(look(repo)) != ["good"]
    (work / "keys").write_text(keys)
    git("config", "gpg.ssh.revocationFile", "keys")
    assert words(look(repo)) != ["good"]
    git("config", "--unset", "gpg.ssh.revocationFile")
    program.unlink()
    assert words(look(repo)) == ["good"]
    git("config", "gpg.ssh.revocationFile", "keys")
    assert look(repo).failed


def test_only_good_signatures_are_remembered(repo: Repository, signing: Path, work: Path) -> None:
    keys = (work / "keys").read_text()
    (work / "keys").write_text("")
    record(repo)
    assert words(look(repo)) == ["unknown key"]
    assert not Path(".git/gxt/signatures.json").exists()
    (work / "keys").write_text(keys)
    assert words(look(repo)) == ["good"]
    Path(".git/gxt/signatures.json").write_text("spoiled")
    assert words(look(repo)) == ["good"]


def test_a_commit_that_was_replaced_is_not_taken_for_what_was_signed(repo: Repository, signing: Path) -> None:
    record(repo)
    assert words(look(repo)) == ["good"]
    altered = git("cat-file", "commit", "gxt").replace("finished", "failed") + "\n"
    git("replace", "gxt", git("hash-object", "-t", "commit", "-w", "--stdin", stdin=altered))
    (finding,) = of(look(repo), "signatures")
    assert (finding.status, finding.word) == (FAILED, "bad") and "git replace" in finding.what


def test_good_signatures_by_gpg_are_remembered(repo: Repository, keyring: Path, work: Path) -> None:
    git("config", "commit.gpgSign", "true")
    git("config", "user.signingKey", "ada@example.com")
    record(repo)
    assert words(look(repo)) == ["good"]
    assert "openpgp" in Path(".git/gxt/signatures.json").read_text()
    assert words(look(repo)) == ["good"]
    subprocess.run(["gpg", "--batch", "--yes", "--delete-secret-and-public-keys", *fingerprints()], check=True)
    assert words(look(repo)) == ["unknown key"]


def fingerprints() -> list[str]:
    listed = subprocess.run(["gpg", "--with-colons", "--list-keys"], capture_output=True, text=True, check=True).stdout
    return [line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:")][:1]


@pytest.mark.parametrize(
    ("heading", "known"),
    [
        ("`source` may have", form._SOURCE),
        ("`environment` may have", form._ENVIRONMENT),
        ("## inputs.yaml", form._INPUT),
    ],
)
def test_the_tables_of_the_format_are_those_that_are_looked_at(heading: str, known: dict[str, object]) -> None:
    text = (Path(__file__).parents[1] / "docs" / "format.md").read_text("utf-8")
    table = re.search(r"\| key \|.*?\n\n", text[text.index(heading) :], re.DOTALL)
    assert table and set(re.findall(r"^\| `(\w+)` \|", table[0], re.MULTILINE)) == set(known)


def test_code_that_a_run_went_on_with(repo: Repository, work: Path) -> None:
    run_id = record(repo)
    (work / "train.py").write_text("changed\n")
    recorder.resume(repo, run_id).end("finished")
    assert words(look(repo), "code") == [OK]
    later = store.read_run(repo, run_id).source["resumed"][0]["snapshot"]
    git("update-ref", "-d", f"refs/gxt/code/{later}")
    git("gc", "-q", "--prune=now")
    first, second = of(look(repo), "code")
    assert first.status == OK and second.status == FAILED and later[:12] in second.what


def test_code_below_the_code_of_another_run(repo: Repository, work: Path, tmp_path: Path) -> None:
    git("init", "-q", "--bare", str(tmp_path / "there"))
    git("remote", "add", "origin", str(tmp_path / "there"))
    clean = record(repo)
    (work / "train.py").write_text("changed\n")
    dirty = record(repo)
    snapshot = store.read_run(repo, dirty).source["snapshot"]
    git("push", "-q", "origin", "gxt", f"{snapshot}:refs/gxt/code/{snapshot}")
    git("clone", "-q", "--branch", "gxt", f"file://{tmp_path}/there", str(tmp_path / "clone"))
    found = {finding.run: finding for finding in of(look(find_repository(tmp_path / "clone")), "code")}
    assert found[dirty].status == OK
    assert found[clean].status == UNCHECKED and "other snapshots" in found[clean].what
    done = run_python("-m", "gxt", "code", clean, cwd=tmp_path / "clone")
    assert "not here" not in done.stdout + done.stderr
