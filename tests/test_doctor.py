"""The doctor: what is wrong with a branch that others edited, and what mends it without losing anything."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gxt import cache, catalog, doctor, layout, live, recorder, store
from gxt.doctor import branch
from gxt.git import Repository
from gxt.model import MetricPoint, summarise
from gxt.pointers import Pointer, is_pointer, pointer_problem, write_pointer
from helpers import git, git_bytes, put_on_branch, record

GONE = None


@pytest.fixture
def run_id(repo: Repository) -> str:
    """A run with two metrics."""
    run = recorder.begin(repo, "taxi", name="one")
    run.log_param("alpha", 0.1)
    for step in range(3):
        run.log_metrics({"rmse": 9.0 - step, "mae": 5.0}, step=step)
    run.log_text("a model", "model.txt")
    run.end()
    return run.run_id


def problems(repo: Repository) -> list[tuple[str, str, bool]]:
    """The last part of where each is, what it is, and whether it can be mended."""
    return [(Path(f.where).name, f.what, f.fixable) for f in doctor.examine(repo).problems]


def on_branch(path: str) -> bytes:
    return git_bytes("show", f"gxt:{path}")


def test_all_is_well(repo: Repository, run_id: str) -> None:
    record(repo, "other", status="failed")
    report = doctor.examine(repo)
    assert (report.findings, report.runs, report.experiments) == ([], 2, 2)
    tip = git("rev-parse", "gxt")
    assert doctor.mend(repo) == (None, [], []) and git("rev-parse", "gxt") == tip


def test_nothing_yet(repo: Repository) -> None:
    assert doctor.examine(repo) == ([], 0, 0)


RUN = "experiments/taxi/{run}"
CSV = "step,metric,value,time\n"


@pytest.mark.parametrize(
    ("path", "content", "what", "mended"),
    [
        (f"{RUN}/params.yaml", GONE, "is missing", b"{}\n"),
        (f"{RUN}/metrics.yaml", GONE, "is missing", True),
        (f"{RUN}/metrics.yaml", "rmse: [\n", "cannot be read", True),
        (f"{RUN}/metrics.yaml", "{}\n", "does not agree with metrics.csv: mae, rmse", True),
        (f"{RUN}/.nothing", "", "", False),
        (".gitattributes", GONE, "is missing", layout.GITATTRIBUTES_TEXT),
        ("gxt.yaml", GONE, "is missing", b"format: 1\n"),
        (f"{RUN}/params.yaml", "a: [1\n", "line 2, column 1: not valid YAML", False),
        (f"{RUN}/run.yaml", GONE, "is missing", False),
        (f"{RUN}/run.yaml", "started: soon\n", "started: expected a time", False),
        (f"{RUN}/run.yaml", "status: done\n", "the status is 'done', none of", False),
        (f"{RUN}/inputs.yaml", "trips.csv: 5\n", "expected a mapping", False),
        ("experiments/taxi/experiment.yaml", "a: b: c\n", "not valid YAML", False),
        ("experiments/taxi/experiment.yaml", "id: abcdefgh\nname: taxi\ngoals: {rmse: down}\n", "neither min", False),
        ("experiments/NYC taxi/{run}/run.yaml", "status: finished\n", "is not how gxt writes the name", False),
        ("gxt.yaml", "format: one\n", "should be a number, found 'one'; nothing can be recorded", False),
        ("gxt.yaml", "format: 99\n", "says format 99", False),
        (f"{RUN}/artifacts/big.bin", "version https://git-lfs.github.com/spec/v1\nsize 5\n", "without a digest", False),
    ],
)
def test_what_is_found_and_mended(
    repo: Repository, run_id: str, path: str, content: str | None, what: str, mended: bytes | bool
) -> None:
    path = path.format(run=run_id)
    before = on_branch(path) if mended is True else mended
    put_on_branch(path, content)
    found = [finding for finding in doctor.examine(repo).problems if what and what in finding.what]
    assert bool(found) == bool(what)
    assert all(finding.fixable == (mended is not False) for finding in found)
    done = doctor.mend(repo)
    if what and mended is not False:
        assert path in done.files and done.commit == git("rev-parse", "gxt")
        assert on_branch(path) == before
        assert doctor.examine(repo).problems == []
        assert git("log", "-1", "--format=%s", "gxt") == "mend 1 file"


def test_half_lines_are_taken_away_and_the_others_stay_byte_for_byte(repo: Repository, run_id: str) -> None:
    path = f"experiments/taxi/{run_id}/metrics.csv"
    put_on_branch(path, CSV + '0,rmse,9.0,5\n1,"a,b",+4,6\nrubbish\n2,rmse,8,7\n3,rmse,7')
    (csv, summary) = doctor.examine(repo).problems
    assert csv.what == "line 4 is no whole point: 'rubbish'; line 6 is no whole point: '3,rmse,7'"
    assert summary.what.startswith("does not agree with metrics.csv")
    points = catalog.points(repo, catalog.find(repo, run_id))
    doctor.mend(repo)
    assert on_branch(path).decode() == CSV + '0,rmse,9.0,5\n1,"a,b",+4,6\n2,rmse,8,7\n'
    assert catalog.points(repo, catalog.find(repo, run_id)) == points
    assert catalog.find(repo, run_id).metrics == summarise(points)
    assert doctor.examine(repo).problems == []
    message = git("log", "-1", "--format=%B", "gxt")
    assert message.startswith("mend 2 files\n\n") and message.strip().endswith(f"Gxt-Run: {run_id}")


def test_a_missing_header_is_written(repo: Repository, run_id: str) -> None:
    path = f"experiments/taxi/{run_id}/metrics.csv"
    put_on_branch(path, "0,rmse,9,5\n")
    assert ("metrics.csv", "there is no header", True) in problems(repo)
    doctor.mend(repo)
    assert on_branch(path).decode() == CSV + "0,rmse,9,5\n"


@given(st.binary(max_size=60) | st.lists(st.sampled_from(["0,a,1,2\n", "0,a\n", "\n", "0,a,1,", CSV])).map("".join))
def test_mending_points_loses_none_and_is_done_once(data: bytes | str) -> None:
    data = data if isinstance(data, bytes) else data.encode()
    mended = branch._mended_points(data, len(list(layout.read_points(data))))
    if mended is not None:
        content = mended[2]
        assert [*map(repr, layout.read_points(content))] == [*map(repr, layout.read_points(data))]
        assert branch._mended_points(content, len(list(layout.read_points(content)))) is None


def test_a_team_s_own_gitattributes_stay(repo: Repository, run_id: str) -> None:
    put_on_branch(".gitattributes", "* -text\n")
    put_on_branch("gxt.yaml", GONE)
    assert doctor.mend(repo).files == ["gxt.yaml"]
    assert (on_branch("gxt.yaml"), on_branch(".gitattributes")) == (b"format: 1\n", b"* -text\n")


def test_metrics_without_points_are_kept(repo: Repository, run_id: str) -> None:
    put_on_branch(f"experiments/taxi/{run_id}/metrics.csv", GONE)
    (remark,) = doctor.examine(repo).findings
    assert remark.is_remark and "metrics.csv is missing" in remark.what
    assert doctor.mend(repo).commit is None


def test_experiments_are_given_what_they_lack(repo: Repository, run_id: str) -> None:
    path = "experiments/taxi/experiment.yaml"
    put_on_branch(path, "name: taxis\ndescription: kept\nteam: kept\n")
    assert [what.split(";")[0] for _, what, _ in problems(repo)] == ["says that the name is 'taxis'", "has no id"]
    doctor.mend(repo)
    experiment = catalog.find_experiment(repo, "taxi")
    assert len(experiment.id) == 16 and experiment.description == "kept" and experiment.extra == {"team": "kept"}
    put_on_branch(path, GONE)
    assert problems(repo) == [("experiment.yaml", "is missing", True)]
    doctor.mend(repo)
    again = catalog.find_experiment(repo, "taxi")
    assert again.id and again.created is not None and problems(repo) == []


def test_an_id_twice(repo: Repository, run_id: str) -> None:
    put_on_branch(f"experiments/other/{run_id}/run.yaml", "status: finished\n")
    assert any("is the id of a run in experiments/" in what for _, what, _ in problems(repo))


def test_foreign_files_are_remarks(repo: Repository, run_id: str) -> None:
    for path in ("README.md", "plots/a/b.png", "plots/c.png", "experiments/x.txt", f"experiments/taxi/{run_id}/my.txt"):
        put_on_branch(path, "mine\n")
    put_on_branch("experiments/taxi/notes/today.md", "mine\n")
    report = doctor.examine(repo)
    assert report.problems == []
    assert [finding.where for finding in report.findings] == [
        "README.md",
        f"experiments/taxi/{run_id}/my.txt",
        "experiments/taxi/notes/",
        "experiments/x.txt",
        "plots/",
    ]
    assert doctor.mend(repo).commit is None


def test_a_newer_format_is_not_written_to(repo: Repository, run_id: str) -> None:
    put_on_branch("gxt.yaml", "format: 99\n")
    put_on_branch(f"experiments/taxi/{run_id}/params.yaml", GONE)
    assert [fixable for _, _, fixable in problems(repo)] == [False, False]
    assert doctor.mend(repo).commit is None


def test_mending_begins_again_where_somebody_was_faster(
    repo: Repository, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on_branch(f"experiments/taxi/{run_id}/params.yaml", GONE)
    examine, raced = branch.examine, []

    def examine_and_race(repo: Repository, commit: str | None, progress: cache.Progress | None = None) -> object:
        found = examine(repo, commit, progress)
        if not raced:
            put_on_branch(f"experiments/taxi/{run_id}/metrics.yaml", GONE)
        raced.append(commit)
        return found

    monkeypatch.setattr(branch, "examine", examine_and_race)
    assert len(doctor.mend(repo).files) == 2 and len(raced) == 2
    assert examine(repo, git("rev-parse", "gxt")).findings == []


# --- the clone ------------------------------------------------------------------------------------------------------


def clone_findings(repo: Repository) -> dict[str, doctor.Finding]:
    return {finding.where: finding for finding in doctor.examine(repo).findings}


def test_a_branch_that_is_checked_out(repo: Repository, run_id: str, work: Path) -> None:
    git("worktree", "add", "-q", "../runs", "gxt")
    finding = clone_findings(repo)["branch gxt"]
    assert "is checked out in" in finding.what and not finding.is_remark


def test_runs_that_wait_or_crashed(repo: Repository, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(store, "commit_pending", lambda *args: [])
        waiting = record(repo, "taxi", name="waiting")
    recording = recorder.begin(repo, "taxi", name="recording")
    found = clone_findings(repo)
    assert list(found) == [f"run waiting ({waiting})"]
    assert "gxt recover" in found[f"run waiting ({waiting})"].advice
    recording.end()
    assert clone_findings(repo) == {}
    broken = live.pending_path(store.root(repo), "20261123-083000-3f9a1c2e")
    broken.mkdir(parents=True)
    (broken / "journal.jsonl").write_text("nonsense\n")
    assert any(str(broken) == where for where in clone_findings(repo))


def test_what_crashes_left_behind_is_cleared_away(repo: Repository, run_id: str) -> None:
    lock = repo.common_dir / "refs" / "heads" / "gxt.lock"
    pack = repo.common_dir / "objects" / "pack" / "tmp_pack_1"
    for path in (lock, pack):
        path.touch()
        os.utime(path, (time.time() - 1e6,) * 2)
    finding = clone_findings(repo)["left behind by a crash"]
    assert finding.fixable and str(lock) in finding.what and str(pack) in finding.what
    assert lock.exists() and pack.exists()
    assert set(doctor.mend(repo).removed) == {lock, pack} and clone_findings(repo) == {}


def test_kept_branches_the_cache_and_who_you_are(
    repo: Repository, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("update-ref", "refs/gxt/kept/gxt-123", "gxt")
    catalog.listing(repo)
    (store.root(repo) / cache.FILE).write_text("not a database, but long enough to be looked at")
    git("config", "user.name", "")
    found = clone_findings(repo)
    assert set(found) == {"refs/gxt/kept/gxt-123", "cache", "identity"}
    assert [where for where, finding in found.items() if not finding.is_remark] == ["cache"]
    assert doctor.mend(repo).removed == [store.root(repo) / cache.FILE]
    assert "cache" not in clone_findings(repo)
    assert found["cache"].what.startswith("is broken")
    catalog.listing(repo)
    assert "cache" not in clone_findings(repo)


def test_git_s_version_and_lfs(repo: Repository, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 5\n"
    put_on_branch(f"experiments/taxi/{run_id}/artifacts/big.bin", pointer)
    monkeypatch.setattr("gxt.git.has_lfs", lambda: True)
    assert clone_findings(repo) == {}
    monkeypatch.setattr("gxt.git.has_lfs", lambda: False)
    monkeypatch.setattr("gxt.git.version", lambda: (2, 30, 1))
    found = clone_findings(repo)
    assert found["git"].what == "is version 2.30.1, older than 2.34" and "git-lfs" in found


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["oid sha256:" + "0" * 64, "size 5"], None),
        (["ext-0-foo sha256:" + "0" * 64, "oid sha256:" + "0" * 64, "size 5"], None),
        (["oid sha256:0", "size 5"], "digest"),
        (["size 5"], "digest"),
        (["oid sha256:" + "0" * 64, "size five"], "size"),
        (["oid sha256:" + "0" * 64, f"size {2**63 - 1}"], None),
        (["oid sha256:" + "0" * 64, f"size {2**63}"], "no file has"),
        (["oid sha256:" + "0" * 64, "size 5", "<<<<<<< ours"], "do not belong"),
    ],
)
def test_pointers(lines: list[str], problem: str | None) -> None:
    data = "\n".join(["version https://git-lfs.github.com/spec/v1", *lines, ""]).encode()
    said = pointer_problem(data)
    assert (said is None and is_pointer(data)) if problem is None else (said is not None and problem in said)
    assert pointer_problem(b"any other file") is None


def test_pointers_that_contradict_each_other(repo: Repository, run_id: str) -> None:
    folder = f"experiments/taxi/{run_id}/artifacts"
    for name, size in (("a.bin", 70_000), ("b.bin", 5), ("c.bin", 70_000)):
        put_on_branch(f"{folder}/{name}", write_pointer(Pointer("0" * 64, size)))
    put_on_branch(f"{folder}/d.bin", write_pointer(Pointer("1" * 64, 5)))
    found = {finding.where: finding.what for finding in doctor.examine(repo).problems}
    assert set(found) == {f"{folder}/{name}" for name in ("a.bin", "b.bin", "c.bin")}
    assert found[f"{folder}/b.bin"] == f"is a pointer to 5 bytes; {folder}/a.bin says that the same ones are 70000"


def test_summaries_agree_with_points_of_every_kind(repo: Repository) -> None:
    run = recorder.begin(repo, "odd")
    for value in (float("nan"), float("inf"), -0.0, 1e-300):
        run.log_metric('a "b", c', value, step=-1)
        run.log_metric("only nan", float("nan"))
    run.end()
    assert doctor.examine(repo).findings == []
    assert isinstance(catalog.points(repo, catalog.find(repo, run.run_id))[0], MetricPoint)
