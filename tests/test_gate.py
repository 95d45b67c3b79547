"""`gxt check`: what passes, what fails, and how that is told."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gxt import against, edits, gate, review, stats
from gxt.catalog import find_experiment
from gxt.cli import main
from gxt.cli.check import _drawn
from gxt.errors import UsageError
from gxt.gate import Terms
from gxt.gate.junit import junit
from gxt.gate.limits import Tolerance, is_within, limit, parse_tolerance, welch
from gxt.git import Repository
from gxt.model import Run, Summary
from helpers import record

# --- limits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "x", "1%%", "-1", "-1%", "nan", "inf", "1% of it"])
def test_what_is_no_tolerance(text: str) -> None:
    with pytest.raises(UsageError, match="no tolerance"):
        parse_tolerance(text)


numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(value=numbers, reference=numbers, percent=st.floats(0, 100))
def test_min_and_max_are_mirror_images(value: float, reference: float, percent: float) -> None:
    tolerance = Tolerance(percent / 100, True)
    low = is_within(value, limit(reference, "min", tolerance), "min")
    assert low == is_within(-value, limit(-reference, "max", tolerance), "max")
    assert is_within(reference, limit(reference, "min", tolerance), "min")


def test_nan_is_never_within() -> None:
    assert not is_within(math.nan, math.inf, "min") and not is_within(math.nan, -math.inf, "max")


def test_welch_is_what_scipy_says_of_the_shifted_reference() -> None:
    from scipy.stats import ttest_ind

    mine, theirs = [6.2, 6.4, 6.3, 6.6], [6.0, 6.1, 6.05]
    expected = ttest_ind(mine, [value + 0.1 for value in theirs], equal_var=False, alternative="greater").pvalue
    assert welch(mine, theirs, "min", 0.1) == pytest.approx(expected)
    assert welch([-v for v in mine], [-v for v in theirs], "max", 0.1) == pytest.approx(expected)
    assert welch([1.0] * 3, [2.0] * 3, "min", 0) is None


# --- verdicts -----------------------------------------------------------------------------------------------------


def run(name: str, experiment: str = "taxi", seed: int | None = None, lr: float = 0.1, **metrics: float) -> Run:
    return Run(
        id=f"20260101-000000-{zlib.crc32(f'{experiment}/{name}'.encode('utf-8', 'surrogatepass')):08x}",
        experiment=experiment,
        name=name,
        params={"lr": lr} | ({} if seed is None else {"seed": seed}),
        metrics={metric: Summary(value, value, value, value, 0, 1) for metric, value in metrics.items()},
    )


def judge(
    new: list[Run],
    base: list[Run],
    reference: str | Run = "@best:rmse",
    tolerance: str = "0",
    elsewhere: Sequence[str] = ("rmse",),
    **terms: object,
) -> gate.Result:
    measured = (
        against.Reference("run", "", run=reference)
        if isinstance(reference, Run)
        else against.Reference(reference, "", metric=reference.removeprefix("@best:") or None)
        if reference.startswith("@")
        else against.Reference(reference, "")
    )
    asked = {"metrics": ["rmse"], "tolerances": {"": parse_tolerance(tolerance)}, "goals": {}} | terms
    goal = lambda _, metric: stats.goal_of(metric, {})  # noqa: E731
    return gate.check(new, base, measured, goal, Terms(**asked), lambda: elsewhere)  # type: ignore[arg-type]


def statuses(result: gate.Result) -> list[str]:
    return [verdict.status for verdict in result.verdicts]


def test_a_run_within_the_tolerance_passes() -> None:
    base = [run("a", rmse=200), run("b", rmse=300)]
    assert statuses(judge([run("c", rmse=202)], base, tolerance="1%")) == ["passed"]
    failed = judge([run("c", rmse=202.1)], base, tolerance="1%")
    (verdict,) = failed.verdicts
    assert (verdict.status, verdict.reference, verdict.limit, failed.passed) == ("failed", "a", 202.0, False)
    assert statuses(judge([run("c", rmse=202.1)], base, tolerance="3")) == ["passed"]


def test_more_is_better_of_an_accuracy() -> None:
    base = [run("a", acc=0.9)]
    new = [run("b", acc=0.89), run("c", acc=0.95)]
    assert statuses(judge(new, base, "@best:acc", metrics=["acc"])) == ["failed", "passed"]
    assert statuses(judge(new, base, "@best:acc", "2%", metrics=["acc"])) == ["passed", "passed"]


def test_nan_and_what_is_missing_fail() -> None:
    new = [run("b", rmse=math.nan), run("c", mae=1), run("d", rmse=math.inf)]
    result = judge(new, [run("a", rmse=1), run("x", rmse=math.nan)])
    assert statuses(result) == ["failed"] * 3
    assert [verdict.why for verdict in result.verdicts] == ["rmse is NaN", "rmse was not logged", "inf is not ≤ 1"]


def test_a_reference_that_is_nan_lets_nothing_pass() -> None:
    bad = run("a", rmse=math.nan)
    assert statuses(judge([run("b", rmse=1)], [bad], bad)) == ["failed"]


def test_an_experiment_that_the_base_has_not_is_skipped() -> None:
    result = judge([run("b", rmse=1), run("b", "new", rmse=1)], [run("a", rmse=1)])
    assert (statuses(result), result.passed) == (["passed", "skipped"], True)


def test_a_metric_that_neither_side_has_is_skipped() -> None:
    new = [run("b", rmse=1), run("f", "text", f1=0.9), run("g", "text", f1=0.8)]
    for base in ([], [run("t", "text", f1=0.9)], [run("t", "text", f1=0.9), run("u", "text", f1=0.9)]):
        for any_passes in (False, True):
            result = judge(new, [run("a", rmse=1), *base], any_passes=any_passes)
            assert (statuses(result), result.passed) == (["passed", "skipped", "skipped"], True)
            assert result.verdicts[1].why == "nothing to measure against: no run of text there has rmse"


def test_a_metric_that_the_base_alone_has_fails() -> None:
    base = [run("a", rmse=1), run("t", "text", rmse=1), run("u", "text", f1=0.9)]
    result = judge([run("b", rmse=1), run("f", "text", f1=0.9)], base)
    assert (statuses(result), result.passed) == (["passed", "failed"], False)


def test_nan_fails_without_a_base_too() -> None:
    assert statuses(judge([run("b", rmse=math.nan)], [])) == ["failed"]


def test_a_named_run_without_the_metric_lets_nothing_pass() -> None:
    one = run("a", mae=1)
    assert statuses(judge([run("b", rmse=1), run("c", f1=1)], [one], one)) == ["failed", "failed"]


def test_the_goal_is_asked_for_only_where_something_is_measured() -> None:
    new = [run("b", temperature=1), run("f", "text", f1=0.9)]
    assert statuses(judge(new[1:], [], metrics=["temperature"], reference="v1", elsewhere=["temperature"])) == [
        "skipped"
    ]
    with pytest.raises(UsageError, match="what is better of temperature"):
        judge(new, [run("a", temperature=1)], "@best:temperature", metrics=["temperature"])


def test_a_run_of_another_experiment_is_called_by_it() -> None:
    one = run("a", rmse=1)
    assert judge([run("b", "text", rmse=1)], [], one).verdicts[0].reference == "taxi/a"


def test_a_group_is_called_by_what_it_has() -> None:
    new = [*seeds("c", [1.0, 1.0]), run("d", "text", rmse=1)]
    new[2].params.clear()
    new[2].params["depth"] = 3
    base = [*seeds("a", [1.0, 1.0]), *seeds("b", [2.0, 2.0], lr=0.2)]
    base[0].params["depth"] = base[1].params["depth"] = 7
    labels = {verdict.reference for verdict in judge(new, base, over=["seed"]).verdicts}
    assert labels == {"depth=7, lr=0.1 (2 runs)", None}
    assert "(not logged)" in str(judge(new, base, group_by=["depth"]).verdicts)


def test_each_experiment_has_its_own_best() -> None:
    base = [run("a", rmse=1), run("a2", "other", rmse=100)]
    assert statuses(judge([run("b", rmse=2), run("b2", "other", rmse=99)], base)) == ["failed", "passed"]


def test_a_run_is_not_measured_against_itself() -> None:
    one = run("b", rmse=3)
    assert judge([one], [run("a", rmse=4), one]).verdicts[0].reference == "a"


def test_a_revision_has_a_best_run_for_each_metric() -> None:
    base = [run("a", rmse=1, mae=9), run("b", rmse=9, mae=1)]
    result = judge([run("c", rmse=1, mae=1)], base, "v1", metrics=["rmse", "mae"])
    assert [(v.reference, v.status) for v in result.verdicts] == [("a", "passed"), ("b", "passed")]
    result = judge([run("c", rmse=1, mae=1)], base, "@best:rmse", metrics=["rmse", "mae"])
    assert [v.reference for v in result.verdicts] == ["a", "a"]


def test_one_that_passes_may_be_enough() -> None:
    new = [run("b", rmse=2), run("c", rmse=1), run("d", "other", rmse=3)]
    base = [run("a", rmse=1), run("a2", "other", rmse=1)]
    assert not judge(new[:2], base).passed
    assert judge(new[:2], base, any_passes=True).passed
    assert not judge(new, base, any_passes=True).passed  # the other experiment has none


def test_what_nobody_knows_the_goal_of() -> None:
    new, base = [run("b", temperature=2)], [run("a", temperature=1)]
    with pytest.raises(UsageError, match="what is better of temperature"):
        judge(new, base, "@best:temperature", metrics=["temperature"])
    found = judge(new, base, "@best:temperature", metrics=["temperature"], goals={"temperature": "max"})
    assert found.passed


# --- groups -------------------------------------------------------------------------------------------------------


def seeds(prefix: str, values: list[float], lr: float = 0.1) -> list[Run]:
    return [run(f"{prefix}{i}", seed=i, lr=lr, rmse=value) for i, value in enumerate(values)]


@pytest.mark.parametrize("terms", [{"over": ["seed"]}, {"group_by": ["lr"]}], ids=str)
def test_runs_that_differ_in_the_seed_are_one(terms: dict[str, object]) -> None:
    base = seeds("a", [6.0, 6.2, 6.4]) + seeds("b", [7.0, 7.2, 7.4], lr=0.2)
    noise = judge(seeds("c", [6.1, 6.3, 6.5], lr=0.3), base, **terms)
    (verdict,) = noise.verdicts
    assert noise.passed and verdict.p is not None and verdict.p > 0.05  # worse, but no more than chance has it
    assert (verdict.value, verdict.reference_value) == (pytest.approx(6.3), pytest.approx(6.2))
    assert len(verdict.runs) == len(verdict.reference_runs) == 3
    worse = judge(seeds("c", [6.6, 6.7, 6.8], lr=0.3), base, **terms)
    assert not worse.passed and worse.verdicts[0].p is not None and worse.verdicts[0].p < 0.05
    assert judge(seeds("c", [6.6, 6.7, 6.8], lr=0.3), base, tolerance="10%", **terms).passed
    assert judge(seeds("c", [6.6, 6.7, 6.8], lr=0.3), base, alpha=0.001, **terms).passed


def test_of_few_runs_the_means_count() -> None:
    result = judge(seeds("c", [6.1, 6.3]), seeds("a", [6.0, 6.2, 6.4]), over=["seed"])
    assert (statuses(result), result.verdicts[0].p) == (["passed"], None)  # 6.2 ≤ 6.2
    assert statuses(judge(seeds("c", [6.1, 6.4]), seeds("a", [6.0, 6.2, 6.4]), over=["seed"])) == ["failed"]


def test_without_any_spread_the_means_count() -> None:
    assert statuses(judge(seeds("c", [2.0] * 3), seeds("a", [1.0] * 3), over=["seed"])) == ["failed"]


def test_one_nan_fails_the_group() -> None:
    assert statuses(judge(seeds("c", [6.0, 6.0, math.nan]), seeds("a", [7.0, 7.1, 7.2]), over=["seed"])) == ["failed"]
    missing = [*seeds("c", [6.0, 6.0]), run("c3", seed=9)]
    assert statuses(judge(missing, seeds("a", [7.0, 7.1, 7.2]), over=["seed"])) == ["failed"]


def test_a_run_stands_for_its_group() -> None:
    base = seeds("a", [6.0, 6.2, 6.4]) + seeds("b", [1.0, 1.2, 1.4], lr=0.2)
    result = judge(seeds("c", [6.1, 6.2, 6.3], lr=0.3), base, base[0], over=["seed"])
    assert result.passed and set(result.verdicts[0].reference_runs) == {one.id for one in base[:3]}


def test_scipy_is_asked_for_by_name() -> None:
    code = "import sys; sys.modules['scipy'] = sys.modules['scipy.stats'] = None\n"
    code += "from gxt.gate.limits import welch\nwelch([1.,2.,3.],[1.,2.,4.],'min',0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'git-gxt[stats]'" in done.stderr


def test_junit_holds_no_sign_that_xml_forbids() -> None:
    result = judge([run("b\x00\ud800\uffff", rmse=2)], [run("a", rmse=1)])
    (suite,) = ElementTree.fromstring(junit(result))
    assert suite[0].get("name") == "b���: rmse"


# --- the command --------------------------------------------------------------------------------------------------


def run_cli(*args: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(list(args))
    return int(done.value.code or 0)


@pytest.fixture
def reviewed(repo: Repository) -> Repository:
    """A review with a good run and a bad one."""
    record(repo, name="before", metrics={"rmse": 6.0, "score9": 1.0})
    review.start(repo, "lr")
    record(repo, name="good", metrics={"rmse": 5.0})
    record(repo, name="bad <&>", metrics={"rmse": 9.0})
    return repo


def test_the_new_runs_are_checked(reviewed: Repository, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    target = tmp_path / "check.xml"
    gated = ("check", "--against", "@best:rmse", "--metric", "rmse", "--tolerance", "1%")
    assert run_cli(*gated, "--junit", str(target)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["passed", "failed"] and lines[
        -1
    ] == "failed: 1 passed, 1 failed"
    assert run_cli(*gated, "--any") == 0
    assert run_cli(*gated, "--runs", "good") == 0
    assert run_cli(*gated, "--where", "rmse < 6") == 0
    assert run_cli(*gated[:-1], "rmse=60%") == 0
    capsys.readouterr()
    assert run_cli(*gated, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["passed"], [one["status"] for one in found["checks"]]) == (False, ["passed", "failed"])
    root = ElementTree.parse(target).getroot()
    (suite,) = root
    assert (root.tag, suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("testsuites", "2", "1", "0")
    assert [case.get("classname") for case in suite] == ["taxi", "taxi"]
    assert suite[1].get("name") == "bad <&>: rmse" and suite[1][0].tag == "failure"


def test_errors_are_not_failures(reviewed: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    for args in (
        ["--against", "@best:rmse", "--metric", "nothing"],
        ["--against", "nobody", "--metric", "rmse"],
        ["--against", "@best:rmse", "--metric", "rmse", "--tolerance", "x"],
        ["--against", "@best:rmse", "--metric", "rmse", "--tolerance", "mae=1"],
        ["--against", "@best:rmse", "--metric", "rmse", "--base", "gxt-lr"],
        ["--against", "@best:score9", "--metric", "score9"],
        ["--against", "@best:rmse", "--metric", "rmse", "--where", "rmse > 100"],
        ["--against", "@best:rmse"],
        ["--metric", "rmse"],
    ):
        assert run_cli("check", *args) >= 2, args


def test_what_the_experiment_says_is_better_counts(reviewed: Repository) -> None:
    edits.set_goals(reviewed, find_experiment(reviewed, "taxi"), {"rmse": "max"})
    assert run_cli("check", "--against", "before", "--metric", "rmse", "--runs", "bad <&>") == 0
    assert run_cli("check", "--against", "before", "--metric", "rmse", "--runs", "good") == 1


def test_against_an_earlier_state(reviewed: Repository) -> None:
    assert run_cli("check", "--against", "gxt", "--metric", "rmse", "--runs", "good") == 0
    assert run_cli("check", "--against", "gxt", "--metric", "rmse") == 1


def test_without_a_base_the_latest_run_is_checked(repo: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    record(repo, name="one", metrics={"rmse": 6.0})
    record(repo, name="two", metrics={"rmse": 7.0})
    assert run_cli("check", "--against", "@best:rmse", "--metric", "rmse", "--json") == 1
    (one,) = json.loads(capsys.readouterr().out)["checks"]
    assert (one["subject"], one["reference"]) == ("two", "one")


def test_an_experiment_without_the_metric_lets_the_gate_open(
    reviewed: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    record(reviewed, "text", name="t", metrics={"f1": 0.9})
    review.finish(reviewed, None)
    review.start(reviewed, "text")
    record(reviewed, "text", name="u", metrics={"f1": 0.8})
    args = ("check", "--against", "@best:rmse", "--metric", "rmse", "--any")
    assert run_cli(*args) == 0  # that metric is only in experiments that this review does not touch
    assert "skipped" in capsys.readouterr().out
    assert run_cli(*args[:-2], "rmze") == 3
    assert "did you mean metrics.rmse?" in capsys.readouterr().err


def test_what_no_metric_is_like_has_no_hint(reviewed: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    for args in (("check", "--against", "@best:rmse", "--metric", "nope"), ("best", "nope"), ("plot", "nope")):
        assert run_cli(*args) == 3
        assert capsys.readouterr().err == "gxt: no run has 'nope'\n"


@pytest.mark.parametrize("width", [20, 60, 80, 100, 200])
def test_a_terminal_shows_every_verdict_and_why(width: int) -> None:
    base = seeds("a" * 30, [6.0, 6.2, 6.4])
    result = judge([*seeds("c" * 30, [6.6, 6.7, 6.8], lr=0.3), run("d" * 50, "text", f1=1)], base, over=["seed"])
    text = _drawn(result, width)
    assert all(len(line) <= width for line in text.splitlines())
    words = " ".join(text.split())
    for verdict in result.verdicts:
        assert verdict.why in words
    rows = [line.split()[0] for line in text.splitlines()[1:3]]
    assert rows == ["failed", "skipped"]
    titles = {"verdict", "experiment", "group", "metric", "value", "limit", "against", "reference", "why"}
    named = words.partition("no room for ")[2].partition(":")[0].split(", ")
    shown = text.splitlines()[0].split()
    assert titles == {*shown, *filter(None, named), "why"}
