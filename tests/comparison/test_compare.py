"""gxt.compare: runs of a real repository, wherever they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gxt
from gxt import catalog, edits, layout, recorder, render, store
from gxt import git as gxt_git
from gxt.comparison.findings import Blob
from gxt.git import Repository
from helpers import git, record


def committed(work: Path, path: str, text: str, message: str) -> str:
    (work / path).write_text(text)
    git("add", path, cwd=work)
    git("commit", "-q", "-m", message, cwd=work)
    return git("rev-parse", "HEAD", cwd=work)


@pytest.fixture
def two(repo: Repository) -> tuple[str, str]:
    one = record(repo, name="one", params={"a": 1, "m": {"k": "x"}}, metrics={"rmse": 6.0}, tags={"t": "1"})
    other = record(repo, name="two", params={"a": 2, "m": {"k": "x"}}, metrics={"rmse": 5.0}, tags={"t": "1"})
    return one, other


def test_two_runs(two: tuple[str, str]) -> None:
    found = gxt.compare(["one", gxt.get_run("two")])
    assert [run.id for run in found.runs] == list(two)
    assert found.params["a"].values == (1, 2) and found.params.same == 1
    change = found.metrics["rmse"].changes[1]
    assert change is not None and change.verdict == "better"
    assert found.tags.same == 1 and not found.tags
    assert repr(found) == "<Comparison of one, two: 1 params, 1 metrics differ>"


def test_runs_as_arguments_and_as_a_frame(two: tuple[str, str]) -> None:
    assert [run.name for run in gxt.compare("one", gxt.get_run("two"), "one").runs] == ["one", "two", "one"]
    frame = gxt.search_runs()
    names = frame["run_name"].tolist()
    for runs in (frame, frame["run_id"], frame.set_index("run_id"), list(frame["run_id"])):
        assert [run.name for run in gxt.compare(runs).runs] == names


def test_a_tolerance(repo: Repository) -> None:
    for name, rmse in (("one", 6.0), ("bits", 6.0 * (1 + 1e-12)), ("noise", 6.0 * (1 + 1e-8)), ("close", 6.03)):
        run = recorder.begin(repo, "taxi", name=name)
        for step, value in enumerate((9.0, rmse)):
            run.log_metric("rmse", value, step)
        run.end()

    def verdicts(other: str, **options: Any) -> list[str | None]:
        found = gxt.compare("one", other, **options)
        assert found.different == bool(found.metrics) == bool(found.curves)
        return [change.verdict for difference in found.metrics if (change := difference.changes[1])]

    assert verdicts("bits") == [] and set(verdicts("bits", tolerance=0)) == {None}
    assert set(verdicts("noise")) == {None} and verdicts("noise", tolerance=1e-7) == []
    assert verdicts("close") == ["worse"] and verdicts("close", tolerance=0.01) == []


def test_the_other_forms(two: tuple[str, str]) -> None:
    found = gxt.compare(["one", "two"])
    assert "| `a` | `1` | `2` | +1 | +100% |" in found.to_markdown()
    assert found.to_html().startswith("<!DOCTYPE html>") and found._repr_html_().startswith('<div class="gxt-diff">')
    content = json.loads(render.json_text(found.to_dict()))
    assert content["different"] is True and [run["name"] for run in content["runs"]] == ["one", "two"]
    assert content["params"] == {
        "different": [
            {
                "name": "a",
                "kind": "changed",
                "values": [1, 2],
                "absent": [],
                "changes": [None, {"difference": 1, "percent": 100.0, "verdict": None}],
                "goal": None,
            }
        ],
        "same": 1,
    }


def test_a_frame(two: tuple[str, str]) -> None:
    frame = gxt.compare(["one", "two"]).to_frame()
    assert list(frame.columns) == ["one", "two", "change", "percent", "verdict"]
    assert frame.loc[("metrics", "rmse"), "verdict"] == "better" and frame.loc[("params", "a"), "two"] == 2
    assert list(gxt.compare(["one", "two", "one"]).to_frame().columns) == ["one", "two", "one"]
    assert gxt.compare(["one", "one"]).to_frame().empty


def test_what_cannot_be_compared(two: tuple[str, str]) -> None:
    for alone in ("one", ["one"]):
        with pytest.raises(gxt.UsageError, match="only one run to compare"):
            gxt.compare(alone)
    with pytest.raises(gxt.UsageError, match="0 runs to compare"):
        gxt.compare([])
    with pytest.raises(gxt.UsageError, match="5 is no run"):
        gxt.compare("one", 5)
    with pytest.raises(gxt.UsageError, match="without a column run_id"):
        gxt.compare(gxt.search_runs()[["run_name"]])
    with pytest.raises(gxt.UsageError, match="a tolerance of 2"):
        gxt.compare("one", "two", tolerance=2)
    with pytest.raises(gxt.NotFoundError, match="no run 'three'"):
        gxt.compare(["one", "three"])
    with pytest.raises(gxt.NotFoundError, match="no run compared has the metric 'rms'"):
        gxt.compare(["one", "two"], goals={"rms": "min"})
    with pytest.raises(gxt.UsageError, match="goal 'up'"):
        gxt.compare(["one", "two"], goals={"rmse": "up"})
    with pytest.raises(gxt.UsageError, match="between two runs"):
        gxt.compare(["one", "two", "one"], files=True)


def test_goals_come_from_the_caller_then_the_experiment(repo: Repository, two: tuple[str, str]) -> None:
    edits.set_goals(repo, store.experiment(repo, "taxi"), {"rmse": "max"})

    def verdict(**options: Any) -> str | None:
        change = gxt.compare(["one", "two"], **options).metrics["rmse"].changes[1]
        return change.verdict if change else None

    assert verdict() == "worse"
    assert verdict(goals={"rmse": "min"}) == "better"


def test_experiments_that_disagree_state_no_goal(repo: Repository, two: tuple[str, str]) -> None:
    record(repo, "other", name="three", metrics={"rmse": 4.0})
    for name, goal in (("taxi", "max"), ("other", "min")):
        edits.set_goals(repo, store.experiment(repo, name), {"rmse": goal})
    found = gxt.compare(["one", "three"])
    assert found.metrics["rmse"].goal is None, "its name does not decide between them"
    assert found.attributes["experiment"].values == ("taxi", "other")


def test_live_and_pending_runs(repo: Repository, two: tuple[str, str]) -> None:
    live = recorder.begin(repo, "taxi", name="live")
    live.log_params({"a": 3})
    for step in range(3):
        live.log_metric("loss", step, step=step)
    live.log_text("same", "same.txt")
    live.log_text("live", "other.txt")
    try:
        other = recorder.begin(repo, "taxi", name="ended")
        for step in range(3):
            other.log_metric("loss", 2 * step, step=step)
        other.log_text("same", "same.txt")
        other.log_text("done", "other.txt")
        other.end()
        found = gxt.compare(["ended", "live"])
        assert found.attributes["status"].values == ("finished", "running")
        assert found.curves["loss"].values[1].step == 2
        assert [each.name for each in found.artifacts] == ["other.txt"] and found.artifacts.same == 1
        assert gxt.compare(["one", "live"]).params["a"].values == (1, 3)
        (file,) = gxt.compare(["ended", "live"], files=["*.txt"]).files
        assert [line for line in file.lines if "newline" not in line] == ["@@ -1 +1 @@", "-done", "+live"]
    finally:
        live.end()


def test_ids_of_artifacts_are_gits_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for form in ("sha1", "sha256"):
        folder = tmp_path / form
        git("init", "-q", f"--object-format={form}", str(folder))
        monkeypatch.chdir(folder)
        repo = gxt_git.find(folder)
        for name in ("one", "two"):
            run = recorder.begin(repo, "taxi", name=name)
            run.log_text("hello\n", "a.txt")
            if name == "one":
                run.end()
        try:
            found = gxt.compare(["one", "two"])
            assert not found.artifacts and found.artifacts.same == 1
        finally:
            run.end()
        path = f"gxt:{layout.run_path('taxi', run.run_id)}/artifacts/a.txt"
        assert gxt_git.blob_id([b"hel", b"lo\n"], 6, gxt_git.config(repo)) == git("rev-parse", path, cwd=folder)


def test_artifacts_by_digest(repo: Repository) -> None:
    for name, texts in (("one", {"a": "1", "b": "1", "c": "1"}), ("two", {"a": "1", "b": "2", "d": "1"})):
        run = recorder.begin(repo, "taxi", name=name)
        for path, text in texts.items():
            run.log_text(text, f"{path}.txt")
        run.end()
    found = gxt.compare(["one", "two"], files=True)
    assert [(each.name, each.kind) for each in found.artifacts] == [
        ("b.txt", "changed"),
        ("c.txt", "removed"),
        ("d.txt", "added"),
    ]
    assert isinstance(found.artifacts["b.txt"].values[0], Blob)
    assert [file.path for file in found.files] == ["artifacts/b.txt", "artifacts/c.txt", "artifacts/d.txt"]


def test_files_by_path_folder_or_pattern(repo: Repository) -> None:
    for name in ("one", "two"):
        run = recorder.begin(repo, "taxi", name=name)
        for path in ("a/x.txt", "a/y.csv", "b.csv"):
            run.log_text(f"{name}\n", path)
        run.log_param("p", name)
        run.end()

    def chosen(*paths: str) -> list[str]:
        found = gxt.compare(["one", "two"], files=list(paths))
        assert not found.params
        return [file.path.removeprefix("artifacts/") for file in found.files]

    assert chosen("a") == chosen("a/") == chosen("artifacts/a") == ["a/x.txt", "a/y.csv"]
    assert chosen("*.csv") == ["a/y.csv", "b.csv"]
    assert chosen("b.csv", "params.yaml") == ["b.csv", "params.yaml"]
    with pytest.raises(gxt.NotFoundError, match=r"neither one nor two has a file 'c\.csv'"):
        chosen("b.csv", "c.csv")


def test_files_that_are_too_large_are_not_read(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gxt.comparison.gather.MOST_BYTES", 10)
    for name in ("one", "two"):
        run = recorder.begin(repo, "taxi", name=name)
        run.log_text(name * 10, "a.txt")
        run.end()
    (file,) = gxt.compare(["one", "two"], files=True).files
    assert (file.form, file.sizes, file.lines) == ("large", (30, 30), ())


def test_code_between_two_commits(repo: Repository, work: Path) -> None:
    record(repo, name="one")
    committed(work, "train.py", "print('more')\nprint('lines')\n", "Train more")
    committed(work, "ünïcode.py", "x\n", "Add a file")
    record(repo, name="two")
    found = gxt.compare(["one", "two"])
    assert [each.name for each in found.source] == ["commit"]
    (change,) = found.code
    assert [commit.subject for commit in change.only_here] == ["Add a file", "Train more"]
    assert change.only_here[0].author == "Ada Lovelace" and change.only_first == ()
    assert [file[:3] for file in change.files] == [("train.py", 2, 1), ("ünïcode.py", 1, 0)]
    (back,) = gxt.compare(["two", "one"]).code
    assert back.only_first == change.only_here and back.files[0][:3] == ("train.py", 1, 2)


def test_uncommitted_changes_are_compared_where_they_are_kept(repo: Repository, work: Path) -> None:
    record(repo, name="clean")
    (work / "train.py").write_text("print('more')\n")
    (work / "new\nline.py").write_text("x\n")
    record(repo, name="one")
    record(repo, name="same")
    git("mv", "train.py", "main.py", cwd=work)
    (work / "new\nline.py").chmod(0o755)
    record(repo, name="two")
    git("add", ".", cwd=work)
    git("commit", "-q", "-m", "All of it", cwd=work)
    record(repo, name="committed")
    (change,) = gxt.compare("clean", "one").code
    assert change.as_it_ran and not change.only_here
    assert [file[:4] for file in change.files] == [("new\nline.py", 1, 0, "new"), ("train.py", 1, 1, "changed")]
    (change,) = gxt.compare("one", "two").code
    assert [(file.path, file.kind, file.was) for file in change.files] == [
        ("main.py", "renamed", "train.py"),
        ("new\nline.py", "mode", None),
    ]
    assert gxt.compare("one", "same").code == () and not gxt.compare("one", "same").different
    (change,) = gxt.compare("two", "committed").code
    assert change.as_it_ran and change.files == () and [commit.subject for commit in change.only_here] == ["All of it"]
    assert gxt.compare("clean", "one").to_dict()["code"][0]["as_it_ran"] is True


def test_a_snapshot_that_is_not_here_leaves_the_commits(repo: Repository, work: Path) -> None:
    record(repo, name="one")
    committed(work, "train.py", "print('more')\n", "Train more")
    (work / "train.py").write_text("print('changed')\n")
    snapshot = str(catalog.find(repo, record(repo, name="two")).source["snapshot"])
    git("update-ref", "-d", f"refs/gxt/code/{snapshot}", cwd=work)
    git("prune", "--expire=now", cwd=work)
    git("repack", "-q", "-a", "-d", cwd=work)
    git("prune", "--expire=now", cwd=work)
    found = gxt.compare("one", "two")
    (change,) = found.code
    assert change.missing == (snapshot,) and not change.as_it_ran
    assert [file[:3] for file in change.files] == [("train.py", 1, 1)] and len(change.only_here) == 1
    page = found.to_markdown()
    assert "the code of two is not in this repository" in page and "two ran with uncommitted changes, which may" in page


def test_a_commit_that_is_not_here(
    repo: Repository, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(repo, name="one")
    first = git("rev-parse", "HEAD", cwd=work)
    committed(work, "train.py", "print('more')\n", "Train more")
    record(repo, name="two")
    clone = tmp_path / "clone"
    git("clone", "-q", "--depth=1", "--no-single-branch", f"file://{work}", str(clone))
    monkeypatch.chdir(clone)
    (change,) = gxt.compare(["one", "two"]).code
    assert change.missing == (first,) and change.files == ()


def test_a_commit_written_by_hand_is_not_trusted(repo: Repository, work: Path) -> None:
    for name in ("one", "two"):
        run_id = record(repo, name=name)
        store.edit_run(repo, run_id, lambda run, n=name: replace(run, source={"commit": f"--output=x\n{n}"}), "source")  # type: ignore[misc]
    found = gxt.compare(["one", "two"])
    assert found.source["commit"] and found.code == ()


def test_curves_are_read_only_where_there_is_something_to_compare(
    repo: Repository, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(data: bytes) -> None:
        raise AssertionError("a history was read")

    monkeypatch.setattr(layout, "read_points", forbidden)
    assert gxt.compare(["one", "two"]).curves.same == 0


def test_packages(repo: Repository, work: Path) -> None:
    for name, text in (("one", "numpy==1.9\n"), ("two", "numpy==1.10\n")):
        run = recorder.begin(repo, "taxi", name=name)
        run.end()
        path = f"{layout.run_path('taxi', run.run_id)}/environment.txt"
        settings = gxt_git.config(repo)
        tip = store.tip(repo, settings)
        gxt_git.commit_files(repo, tip.ref, tip.commit, tip.commit, [(path, text.encode())], "packages", settings)
    assert gxt.compare(["one", "two"]).packages["numpy"].kind == "upgraded"


def test_nothing_is_written(repo: Repository, two: tuple[str, str], work: Path) -> None:
    before = git("rev-parse", "gxt", cwd=work), sorted(path.name for path in work.iterdir())
    gxt.compare(["one", "two"], files=True)
    assert (git("rev-parse", "gxt", cwd=work), sorted(path.name for path in work.iterdir())) == before


def test_control_characters_reach_no_page(repo: Repository) -> None:
    nasty = "a\x1b[31m\0\u202eb"
    record(repo, "taxi", name="one", params={"p": "plain"}, metrics={"rmse": 1.0})
    record(repo, "taxi", name="two", params={"p": nasty}, metrics={"rmse": 2.0})
    found = gxt.compare(["one", "two"])
    for text in (found.to_markdown(), found.to_html()):
        assert not {"\x1b", "\0", "\u202e"} & set(text) and "31m" in text
