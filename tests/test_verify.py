"""gxt verify: signatures by real ssh-keygen and gpg, folders, artifacts, code and history, each broken on purpose."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gxt import recorder, sharing, store, verify
from gxt.git import Repository, Talk
from gxt.git import find as find_repository
from gxt.verify import FAILED, OK, UNCHECKED, Finding, Report
from helpers import git, put_on_branch, record

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
