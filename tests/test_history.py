"""Metric histories as DataFrames: pandas' reader and ours agree, whatever stands in the file."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import gxt
from gxt import history, layout, recorder
from gxt.errors import NotFoundError, UsageError
from gxt.git import Repository
from gxt.history import Series
from gxt.model import MetricPoint, Run
from helpers import put_on_branch, record

COLUMNS = ["run_id", "run_name", "experiment", "metric", "step", "value", "time"]

# --- one file -------------------------------------------------------------------------------------------------------

POINTS = st.builds(
    MetricPoint,
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(blacklist_categories=["Cc", "Cs"]), min_size=1, max_size=5),
    st.floats(),
    st.integers(-(2**62), 2**62),
)
NUMBERS = "0 -1 +1 007 1_0 ٣ 1.0 1. .5 1e3 1E3 -0 nan NaN -nan inf -inf Infinity iNf 1e400 1e-400 0x10 1d5".split()
EDGES = ["9223372036854775807", "9223372036854775808", "-9223372036854775808", "1" * 400, "2.2250738585072011e-308"]
WORDS = [
    "",
    " 1",
    "1 ",
    "\t1",
    "rmse",
    "a b",
    "é",
    "NA",
    "null",
    "None",
    "#",
    "\\N",
    "'",
    '"',
    '"a,b"',
    "\u2028",
    "\x1c1",
]
FIELDS = st.sampled_from([*NUMBERS, *EDGES, *WORDS])
ENDS = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r", "", "\n\n", "\0\n", ",\n"])
LINES = st.builds(
    lambda fields, end: ",".join(fields) + end,
    st.tuples(FIELDS, FIELDS, FIELDS, FIELDS).map(list) | st.lists(FIELDS, max_size=6),
    ENDS,
)
# One field of a clean line is replaced: most of what pandas takes differently shows alone.
ODD_LINES = st.builds(
    lambda at, field, end: ",".join([*["1", "rmse", "0.5"][:at], field, *["2", "0.5", "1763886601123"][at:]]) + end,
    st.integers(0, 3),
    FIELDS,
    ENDS,
)


def ours(data: bytes) -> pandas.DataFrame:
    return history._frame_of(list(layout.read_points(data)))


def assert_agree(data: bytes) -> None:
    pandas.testing.assert_frame_equal(history.read_frame(data), ours(data), check_exact=True)


@given(st.lists(POINTS, max_size=5))
def test_what_gxt_wrote_is_read_alike(points: list[MetricPoint]) -> None:
    assert_agree(layout.write_points(points))


@given(st.booleans(), st.lists(LINES | ODD_LINES, max_size=5))
@example(True, ["1,rmse,0.5,5,6\n", "1,rmse\n"])
@example(True, ["1,rmse,0.5\n", "2,rmse,0.5,5,6\n"])
@example(True, ["1,rmse,0.5,17638866\n", "2,rmse,0.5,1763"])
@example(False, ["1,rmse,0.5,5\n"])
def test_broken_and_unusual_lines_are_read_alike(header: bool, lines: list[str]) -> None:
    assert_agree((layout.METRICS_HEADER if header else b"") + "".join(lines).encode())


@given(st.lists(st.lists(LINES | ODD_LINES | st.just("1,rmse,0.5,5\n"), max_size=3), max_size=4))
def test_files_read_at_once_are_read_alike(files: list[list[str]]) -> None:
    read = [
        (Run(id=f"20261123-083000-0000000{at}", experiment="e"), layout.METRICS_HEADER + "".join(lines).encode())
        for at, lines in enumerate(files)
    ]
    frame = history._frame_of_runs([*read, (Run(id="20261123-083000-ffffffff", experiment="e"), b"")])
    for run, data in read:
        of_run = frame[frame["run_id"] == run.id].reset_index(drop=True)
        alone = ours(data)
        assert [*map(repr, of_run["value"])] == [*map(repr, alone["value"])]
        assert list(of_run["step"]) == list(alone["step"]) and list(of_run["metric"]) == list(alone["metric"])


def test_what_is_no_utf8_is_passed_over() -> None:
    assert_agree(layout.METRICS_HEADER + b"1,\xff,0.5,5\n2,rmse,0.5,5\n")


def test_clean_files_are_read_by_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    data = layout.write_points([MetricPoint(1, "loss", 0.1, 5), MetricPoint(2, "loss", float("nan"), 6)])
    monkeypatch.setattr(layout, "read_points", lambda data: pytest.fail("read line by line"))
    assert list(history.read_frame(data)["step"]) == [1, 2]


def test_types() -> None:
    frame = history.read_frame(layout.write_points([MetricPoint(1, "loss", 1, 1763886601123)]))
    assert frame["time"][0] == pandas.Timestamp("2025-11-23T08:30:01.123Z")
    assert [str(kind) for kind in frame.dtypes][1:] == ["int64", "float64", "datetime64[ms, UTC]"]
    assert list(history.read_frame(b"").dtypes) == list(frame.dtypes)
    far = history.read_frame(layout.METRICS_HEADER + b"%d,loss,1,%d\n" % (2**70, 2**70))
    assert far["step"][0] == 2**70 and pandas.isna(far["time"][0])


# --- runs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def runs(repo: Repository) -> list[str]:
    """Two runs of three steps, the second with another metric, and one without metrics."""
    ids = []
    for name, factor in (("one", 1.0), ("two", 2.0)):
        run = recorder.begin(repo, "taxi", name=name)
        for step in range(3):
            run.log_metric("loss", factor * step, step=step)
        if name == "two":
            run.log_metric("val_loss", 0.5)
        run.end()
        ids.append(run.run_id)
    return [*ids, record(repo, "taxi", name="empty")]


def test_load_metrics(repo: Repository, runs: list[str]) -> None:
    frame = gxt.load_metrics(runs)
    assert list(frame.columns) == COLUMNS
    assert list(frame["run_name"]) == ["one"] * 3 + ["two"] * 4
    assert list(frame["metric"]) == ["loss"] * 6 + ["val_loss"]
    assert list(frame["value"]) == [0, 1, 2, 0, 2, 4, 0.5]
    assert list(frame.index) == list(range(7)) and set(frame["experiment"]) == {"taxi"}
    assert list(frame["run_id"].unique()) == runs[:2]


def test_some_metrics_and_ways_to_name_runs(repo: Repository, runs: list[str]) -> None:
    everything = gxt.load_metrics(runs)
    for named in ("two", gxt.get_run("two"), ["two"], [runs[1]], pandas.Series([runs[1], runs[2]])):
        assert len(gxt.load_metrics(named)) == 4
    found = gxt.search_runs()
    assert list(gxt.load_metrics(found)["run_id"].unique()) == [run for run in found["run_id"] if run in runs[:2]]
    assert len(gxt.load_metrics(found.set_index("run_id"))) == len(gxt.load_metrics(found)) == len(everything)
    assert list(gxt.load_metrics(runs, ["val_*"])["run_name"]) == ["two"]
    assert list(gxt.load_metrics(runs, "*loss")["value"]) == list(everything["value"])
    assert list(gxt.metric_history("one", "loss")["value"]) == [0, 1, 2]
    assert list(gxt.metric_history("one", "loss").columns) == COLUMNS


def test_live_runs_have_histories_too(repo: Repository, runs: list[str]) -> None:
    with gxt.start_run(run_name="live") as live:
        gxt.log_metric("loss", 7.0, step=3)
        assert list(gxt.metric_history(live, "loss")["value"]) == [7.0]
        assert list(gxt.load_metrics([*runs, live.run_id], "loss")["value"])[-1] == 7.0


def test_no_points_have_the_columns_and_types_too(repo: Repository, runs: list[str]) -> None:
    full = gxt.load_metrics(runs)
    for empty in (gxt.load_metrics("empty"), gxt.load_metrics([])):
        assert len(empty) == 0 and list(empty.dtypes) == list(full.dtypes) and list(empty.columns) == COLUMNS


def test_mistakes_are_named(repo: Repository, runs: list[str]) -> None:
    with pytest.raises(NotFoundError, match=r"run one has no metric 'los'.*did you mean loss"):
        gxt.metric_history("one", "los")
    with pytest.raises(NotFoundError, match="none of 2 runs has a metric 'x"):
        gxt.load_metrics(runs[:2], ["loss", "x*"])
    with pytest.raises(NotFoundError, match="no run"):
        gxt.load_metrics(["nobody"])
    with pytest.raises(UsageError, match="a DataFrame without a column run_id"):
        gxt.load_metrics(gxt.load_metrics("two")[["metric"]])
    with pytest.raises(UsageError, match=r"7 is no run .*DataFrame of search_runs"):
        gxt.load_metrics([7])
    with pytest.raises(UsageError, match="None is no run"):
        gxt.load_metrics(None)


def test_a_broken_line_is_passed_over(repo: Repository, work: Path, runs: list[str]) -> None:
    path = f"experiments/taxi/{runs[0]}/metrics.csv"
    put_on_branch(path, "step,metric,value,time\n0,loss,1,5\n1,lo\n2,loss,3,7\n3,loss,4")
    with pytest.warns(gxt.GxtWarning, match="2 lines are no points, and passed over: '1,lo'"):
        assert list(gxt.metric_history("one", "loss")["value"]) == [1, 3]


def test_many_runs_keep_their_order(repo: Repository) -> None:
    ids = [record(repo, "many", metrics={"i": i}) for i in range(40)]
    assert list(gxt.load_metrics(ids[::-1])["value"]) == list(range(39, -1, -1))


def test_side_by_side_keeps_what_came_twice() -> None:
    run = Run(id="20261123-083000-3f9a1c2e", experiment="e")
    one = Series(run, "a", [MetricPoint(s, "a", v, 0) for s, v in ((1, 1.0), (0, 0.0), (1, 1.5))])
    two = Series(run, "b", [MetricPoint(s, "b", v, 0) for s, v in ((1, 5.0), (2, 6.0))])
    assert history.side_by_side([one, two]) == [
        (0, [0.0, None]),
        (1, [1.0, 5.0]),
        (1, [1.5, None]),
        (2, [None, 6.0]),
    ]
