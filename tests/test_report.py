"""`gxt report`: what it says, that it fits into a comment, and the examples of CI that post it."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gxt import against, catalog, layout, recorder, report, review, store
from gxt.cli import main
from gxt.git import Repository
from gxt.report import cautions
from gxt.report.curves import mermaid, sparkline
from gxt.report.document import MARKER, comment, markdown
from helpers import Train, git, record

EXAMPLES = Path(__file__).parent.parent / "examples" / "ci"


@pytest.fixture
def reviewed(repo: Repository, train: Train) -> Repository:
    """A review of three runs, of a run branch of two."""
    train("old", {"lr": 0.1}, rmse=[9, 8, 7])
    train("old best", {"lr": 0.2}, rmse=[9, 7, 6])
    review.start(repo, "lr")
    train("a|b", {"lr": 0.3, "depth": 3}, rmse=[9, 6, 5])
    train("worse", {"lr": 0.4, "depth": 4}, rmse=[9, 9, 9])
    train("lost", {"lr": 0.5, "depth": 4}, rmse=[9, math.nan, math.nan])
    return repo


def report_of(repo: Repository, **options: Any) -> report.Report:
    return report.report(repo, against.base_of(repo), **options)


def test_the_best_stands_against_the_best_of_the_base(reviewed: Repository) -> None:
    found = report_of(reviewed)
    (one,) = found.experiments
    assert [run.name for run in one.runs] == ["a|b", "worse", "lost"]
    assert (str(one.metric), one.goal) == ("metrics.rmse", "min")
    assert one.best and one.reference and (one.best.name, one.reference.name) == ("a|b", "old best")
    assert one.change is not None and one.change.verdict == "better"
    assert one.comparison is not None
    assert [(difference.name, difference.kind) for difference in one.comparison.params] == [
        ("depth", "added"),
        ("lr", "changed"),
    ]
    text = markdown(found)
    assert text.startswith("## 3 new runs: `gxt-lr` → `gxt`\n")
    assert "rmse 6 → 5 (−16.7 %, **better**): <code>a&#124;b</code> against `old best`" in text
    assert "| **5** | █▃▁ | `0.3` | `3` |" in text
    assert "xychart-beta" in text and "line [9, 7, 6]" in text and "line [9, 6, 5]" in text
    assert "⚠️ 1 run ended with a metric that is NaN: `lost`" in text


def test_against_another_run_and_another_state(reviewed: Repository) -> None:
    def reference(text: str) -> str:
        (one,) = report_of(reviewed, reference=text).experiments
        assert one.reference is not None
        return one.reference.name

    assert [reference(text) for text in ("old", "gxt~1", "@best:rmse", "@best:rmse:max")] == [
        "old",
        "old",
        "old best",
        "old",
    ]


def test_a_base_that_went_on_is_read_where_it_is(reviewed: Repository, train: Train) -> None:
    review.finish(reviewed, None)
    train("newest", {"lr": 1}, rmse=[3, 2, 1])
    review.start(reviewed, "lr")
    (one,) = report_of(reviewed).experiments
    assert one.reference is not None and one.reference.name == "newest"
    assert one.curves[one.reference.id] == {0: 3, 1: 2, 2: 1}
    assert one.comparison is not None and one.comparison.packages.same > 0 and len(one.comparison.curves) == 1
    assert one.change is not None and one.change.verdict == "worse"


def test_what_is_merged_already_is_not_new(reviewed: Repository) -> None:
    git("update-ref", "refs/heads/gxt", git("commit-tree", "gxt-lr~1^{tree}", "-p", "gxt", "-m", "squashed"))
    assert [run.name for run in report_of(reviewed).news.runs] == ["lost"]


def test_changes_to_the_runs_of_the_base_are_told(reviewed: Repository) -> None:
    old, best = (catalog.find(reviewed, name) for name in ("old", "old best"))
    store.edit_run(reviewed, old.id, lambda run: run.__class__(**{**vars(run), "note": "see"}), "noted")
    git("config", "gxt.branch", "gxt-lr")
    path = layout.run_path("taxi", best.id)
    git("checkout", "-q", "gxt-lr")
    git("rm", "-q", "-r", path)
    git("commit", "-q", "-m", "gone")
    git("checkout", "-q", "main")
    text = markdown(report_of(reviewed))
    assert f"1 run of the base changed: `{old.id}`" in text and f"1 run of the base taken away: `{best.id}`" in text


def test_nothing_new(repo: Repository) -> None:
    record(repo)
    review.start(repo, "lr")
    assert markdown(report_of(repo)) == "## No new runs: `gxt-lr` → `gxt`\n"


def test_warnings(repo: Repository, work: Path) -> None:
    def tried(name: str) -> str:
        run = recorder.begin(repo, "taxi", name=name)
        run.log_input("train.csv")
        run.end("failed" if name == "second" else "finished")
        return run.run_id

    (work / "train.csv").write_text("1\n")
    git("add", ".")
    git("commit", "-q", "-m", "data")
    tried("before")
    review.start(repo, "lr")
    first = tried("first")
    (work / "train.csv").write_text("2\n")
    tried("second")
    path = f"{layout.run_path('taxi', first)}/run.yaml"
    text = git("show", f"gxt-lr:{path}")
    git("checkout", "-q", "-f", "gxt-lr")
    Path(path).write_text(re.sub("commit: .*", f"commit: {'deadbeef' * 5}", text) + "\n")
    git("commit", "-q", "-a", "-m", "by hand")
    git("checkout", "-q", "main")
    found = {(one.kind, *(run.name for run in one.runs)) for one in report_of(repo).cautions}
    assert found == {
        (cautions.NOT_FINISHED, "second"),
        (cautions.DIRTY, "second"),
        (cautions.MISSING_COMMIT, "first"),
        (cautions.OTHER_DATA, "second"),
    }


def test_experiments_without_a_goal_and_without_a_base(repo: Repository) -> None:
    record(repo, name="x")
    review.start(repo, "new")
    record(repo, "temperatures", metrics={"temperature": 3})
    record(repo, "fresh", name="f", metrics={"acc": 0.5})
    text = markdown(report_of(repo))
    assert "no metric has a goal, so that none can be called best" in text
    assert "acc 0.5 in `f`; the base has nothing to compare with" in text


@pytest.mark.parametrize("metric", ["acc", "rmse"])
def test_against_a_run_of_another_experiment(repo: Repository, metric: str) -> None:
    record(repo, "taxi", name="base1", metrics={metric: 0.5})
    review.start(repo, "lr")
    record(repo, "text", name="t", metrics={"acc": 0.9})
    text = markdown(report_of(repo, reference="base1"))
    other = "`base1`, a run of another experiment, **taxi**"
    said = (
        f"acc 0.5 → 0.9 (+80 %, **better**): `t` against {other}"
        if metric == "acc"
        else f"0.9 in `t`; {other} has none"
    )
    assert said in text
    assert "| `base1` (of taxi) |" in text and "(base)" not in text


def test_warnings_speak_of_one_run_or_of_several(repo: Repository, work: Path) -> None:
    review.start(repo, "lr")
    (work / "train.py").write_text("print('changed')\n")
    record(repo, name="one")
    assert "1 run ran with uncommitted changes, which its commit does not have: `one`" in markdown(report_of(repo))
    record(repo, name="two")
    assert "All runs ran with uncommitted changes, which their commits do not have" in markdown(report_of(repo))
    without = [catalog.find(repo, "one").__class__(id=f"20260101-000000-0000000{i}", experiment="x") for i in (1, 2)]
    news = report_of(repo).news
    for runs, said in ((without[:1], "names no commit of the code"), (without, "name no commit of the code")):
        found = cautions.cautions_of(repo, dataclasses.replace(news, runs=runs), [])
        assert [one.text for one in found if one.kind == cautions.NO_COMMIT] == [said]


def test_a_commit_that_is_on_no_remote_is_told(repo: Repository, work: Path, tmp_path: Path) -> None:
    def kinds() -> list[tuple[str, ...]]:
        return [(one.kind, *(run.name for run in one.runs)) for one in report_of(repo).cautions]

    git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    git("remote", "add", "origin", str(tmp_path / "hub.git"))
    record(repo, name="before")
    git("push", "-q", "origin", "gxt")
    review.start(repo, "lr")
    record(repo, name="one")
    assert kinds() == []  # nothing is known of what code was pushed
    git("push", "-q", "origin", "main")
    (work / "train.py").write_text("print('changed')\n")
    git("commit", "-q", "-a", "-m", "not pushed")
    record(repo, name="two")
    assert kinds() == [(cautions.NOT_PUSHED, "two")]
    git("push", "-q", "origin", "main:feature")
    assert kinds() == []


@pytest.mark.parametrize("against_text", [None, "old"])
def test_images_show_what_runs_stand_against(
    reviewed: Repository, train: Train, tmp_path: Path, against_text: str | None
) -> None:
    review.finish(reviewed, None)
    train("newest", {"lr": 1}, rmse=[3, 2, 1])  # which the review has not
    review.start(reviewed, "lr")
    args = ["--against", against_text] if against_text else []
    assert run_cli("report", "--images", str(tmp_path), *args) == 0
    image = (tmp_path / "taxi.svg").read_text()
    for name in ("a|b", "worse", "lost", against_text or "newest"):
        assert f">{name}</text>" in image or f"<!-- {name} -->" in image, name


# --- how much of it -----------------------------------------------------------------------------------------------


@pytest.fixture
def crowd(repo: Repository) -> Repository:
    """A review of 500 runs with long names and many params."""
    record(repo, name="base", metrics={"rmse": 1000})
    review.start(repo, "crowd")
    commit = git("rev-parse", "gxt-crowd")
    lines = [f"commit refs/heads/gxt-crowd\ncommitter A <a@b.c> 1767225600 +0000\ndata 5\ncrowd\nfrom {commit}\n"]
    for i in range(500):
        run_id = f"20260101-000000-{i:08x}"
        files = {
            "run.yaml": f"id: {run_id}\nname: {'n' * 200}-{i}\nstatus: finished\nstarted: 2026-01-01T00:00:00.000Z\n",
            "params.yaml": "".join(f"p{j}: {'v' * 30}{i * j}\n" for j in range(30)),
            "metrics.yaml": "".join(
                f"{m}: {{last: {i}, min: {i}, max: {i}, first: {i}, step: 0, count: 1}}\n" for m in ("mae", "rmse")
            ),
        }
        for name, text in files.items():
            lines.append(f"M 644 inline {layout.run_path('taxi', run_id)}/{name}\ndata {len(text)}\n{text}\n")
    git("fast-import", "--quiet", stdin="".join(lines))
    return repo


def test_a_report_of_500_runs_fits_into_a_comment(crowd: Repository) -> None:
    text = comment(report_of(crowd))
    assert text.startswith(MARKER) and len(text) < 65_536
    assert "500 new runs" in text and f"`{'n' * 200}-0`" in text
    assert text.count("<details>") == text.count("</details>") > 0
    assert "480 more" in text or "more: <code>gxt table taxi</code> shows all" in text


@given(st.dictionaries(st.integers(-(2**40), 2**40), st.floats(), max_size=60))
def test_any_curve_can_be_drawn(curve: dict[int, float]) -> None:
    assert set(sparkline(curve)) <= set("▁▂▃▄▅▆▇█") and len(sparkline(curve)) <= 12
    drawn = mermaid('a "b" #c;', [curve, curve])
    if drawn is not None:
        for line in drawn[0][4:]:
            assert re.fullmatch(r"  line \[-?\d+(\.\d+)?(, -?\d+(\.\d+)?)*\]", line)
        assert re.fullmatch(r'  y-axis "a _b_ _c_( \(1e-?\d+\))?" -?[\d.]+ --> -?[\d.]+', drawn[0][3])


def test_curves_share_the_steps_that_both_have() -> None:
    drawn = mermaid("m", [{0: 0.0, 10: 10.0}, {5: 1.0, 20: 16.0}])
    assert drawn is not None and drawn[1] == (5, 10)
    assert drawn[0][4:] == ["  line [5, 6, 7, 8, 9, 10]", "  line [1, 2, 3, 4, 5, 6]"]
    assert mermaid("m", [{0: 0.0, 1: 1.0}, {5: 1.0, 6: 1.0}]) is None


@pytest.mark.parametrize("power", [-12, 250])
def test_numbers_in_a_chart_have_no_exponent(power: int) -> None:
    drawn = mermaid("m", [{0: 10.0**power, 1: 2 * 10.0**power}])
    assert drawn is not None and drawn[0][3:] == [f'  y-axis "m (1e{power})" 0.95 --> 2.05', "  line [1, 2]"]


# --- the command --------------------------------------------------------------------------------------------------


def run_cli(*args: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(list(args))
    return int(done.value.code or 0)


def test_the_command(reviewed: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("report") == 0
    assert capsys.readouterr().out == markdown(report_of(reviewed))
    page, note, images = tmp_path / "out" / "report.md", tmp_path / "comment.md", tmp_path / "out" / "img"
    page.parent.mkdir()
    assert run_cli("report", "-o", str(page), "--comment-file", str(note), "--images", str(images)) == 0
    assert capsys.readouterr().out == ""
    assert "![rmse](img/taxi.svg)" in page.read_text() and (images / "taxi.svg").read_text().startswith("<?xml")
    assert note.read_text().startswith(MARKER + "\n## 3 new runs") and "out/img/taxi.svg" in note.read_text()
    assert run_cli("report", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["runs"], found["base"]["name"]) == (3, "gxt")
    assert found["experiments"][0]["change"]["verdict"] == "better"
    assert found["experiments"][0]["runs"][2]["metrics"]["rmse"]["last"] == "nan"


def test_what_there_is_no_base_for(repo: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    record(repo)
    assert run_cli("report") == 3
    assert "--base BRANCH" in capsys.readouterr().err
    assert run_cli("report", "--base", "main") == 2
    assert run_cli("report", "--base", "nowhere") == 3


def test_the_local_branch_against_the_remotes(repo: Repository, tmp_path: Path) -> None:
    record(repo, name="shared")
    git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    git("remote", "add", "origin", str(tmp_path / "hub.git"))
    git("push", "-q", "origin", "gxt")
    record(repo, name="mine")
    found = report_of(repo)
    assert (found.news.base.name, [run.name for run in found.news.runs]) == ("origin/gxt", ["mine"])


# --- examples of CI -----------------------------------------------------------------------------------------------


@pytest.fixture
def ci(reviewed: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone as CI makes one, of a host that has a pull request; `pip` there has nothing to do."""
    hub = tmp_path / "hub.git"
    git("init", "-q", "--bare", str(hub))
    git("push", "-q", str(hub), "main", "gxt", "gxt-lr", "gxt-lr:refs/pull/7/head")
    clone = tmp_path / "ci"
    git("clone", "-q", "--branch", "main", "--single-branch", f"file://{hub}", str(clone))
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "pip").write_text("#!/bin/sh\n")
    (tools / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    path = f"{tools}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    monkeypatch.chdir(clone)
    return clone


def bash(script: str, **variables: str) -> None:
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout


def test_the_example_for_github(ci: Path, tmp_path: Path) -> None:
    gh = tmp_path / "tools" / "gh"
    gh.write_text('#!/bin/sh\necho "$@" >> "$GH_LOG"\ncase "$*" in *--paginate*) cat "$GH_COMMENTS";; esac\n')
    gh.chmod(0o755)
    workflow = yaml.safe_load((EXAMPLES / "github" / "gxt-review.yml").read_text())
    assert workflow[True] == {"pull_request_target": {"branches": ["gxt"]}}
    steps = {step.get("name"): step for step in workflow["jobs"]["report"]["steps"]}
    variables = {
        "BASE": "gxt",
        "NUMBER": "7",
        "GITHUB_REPOSITORY": "team/taxi",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "GH_LOG": str(tmp_path / "gh.log"),
        "GH_COMMENTS": str(tmp_path / "comments"),
    }
    (tmp_path / "comments").write_text("")
    for name in ("Install gxt", "Fetch the runs", "Write the report", "Comment", "Check"):
        bash(steps[name]["run"], **variables)
    assert (ci / "comment.md").read_text().startswith(f"{MARKER}\n## 3 new runs: `pull/7` → `origin/gxt`")
    assert (tmp_path / "gh.log").read_text().splitlines()[1] == "pr comment 7 --body-file comment.md"
    assert (ci / "gxt-check.xml").exists()
    (tmp_path / "comments").write_text("42\n")
    bash(steps["Comment"]["run"], **variables)
    last = (tmp_path / "gh.log").read_text().splitlines()[-1]
    assert last == "api --silent --method PATCH repos/team/taxi/issues/comments/42 --field body=@comment.md"


class _Notes(BaseHTTPRequestHandler):
    """The notes of a merge request, as GitLab's API has them."""

    notes: list[dict[str, Any]]

    def do_GET(self) -> None:
        self._answer(self.notes)

    def do_POST(self) -> None:
        self.notes.append({"id": len(self.notes) + 1, "body": self._body()})
        self._answer({})

    def do_PUT(self) -> None:
        self.notes[int(self.path.rpartition("/")[2]) - 1]["body"] = self._body()
        self._answer({})

    def _body(self) -> str:
        assert self.headers["PRIVATE-TOKEN"] == "secret"
        return parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())["body"][0]

    def _answer(self, content: Any) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def notes() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a server, and the notes that it has."""
    _Notes.notes = [{"id": 1, "body": "looks good"}]
    server = HTTPServer(("127.0.0.1", 0), _Notes)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", _Notes.notes
    server.shutdown()
    server.server_close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_example_for_gitlab(ci: Path, notes: tuple[str, list[dict[str, Any]]]) -> None:
    job = yaml.safe_load((EXAMPLES / "gitlab" / "gxt-review.gitlab-ci.yml").read_text())["gxt review"]
    variables = {
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "gxt",
        "CI_DEFAULT_BRANCH": "main",
        "CI_MERGE_REQUEST_IID": "7",
        "CI_COMMIT_SHA": git("ls-remote", "origin", "gxt-lr").split()[0],
        "CI_API_V4_URL": notes[0],
        "CI_PROJECT_ID": "1",
        "GXT_TOKEN": "secret",
    }
    git("fetch", "-q", "origin", "gxt-lr")  # what a job's checkout has
    for _ in range(2):
        bash("\n".join(job["script"]), **variables)
        assert len(notes[1]) == 2 and notes[1][1]["body"].startswith(f"{MARKER}\n## 3 new runs: `merge-request/7`")
    assert (ci / job["artifacts"]["reports"]["junit"]).exists()
