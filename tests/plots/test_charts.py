"""Runs to charts: which runs, which points, in which groups, and what is left out."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from gxt import edits, plots, recorder, store
from gxt.errors import NotFoundError, UsageError
from gxt.git import Repository
from gxt.plots import Options, charts, labels, terminal
from helpers import Build, Train, git, record


def test_which_runs(repo: Repository, train: Train) -> None:
    with pytest.raises(NotFoundError, match="no runs to plot"):
        plots.select(repo)
    a, b, c = (train(name, experiment=where, loss=[1]) for name, where in (("a", "x"), ("b", "x"), ("c", "y")))
    assert [run.id for run in plots.select(repo).runs] == [a, b, c]
    assert [run.id for run in plots.select(repo, experiments=["x"]).runs] == [a, b]
    assert [run.id for run in plots.select(repo, ["c", "a", c]).runs] == [a, c]
    assert [run.id for run in plots.select(repo, ["@last"], ["x"]).runs] == [a, b, c]
    assert [run.id for run in plots.select(repo, where="name = 'b'").runs] == [b]
    assert [run.id for run in plots.select(repo, ["a"], where=["name in ('b', 'c')", "loss = 1"]).runs] == [a, b, c]
    with pytest.raises(NotFoundError):
        plots.select(repo, ["nobody"])
    with pytest.raises(NotFoundError, match="the filter holds for none"):
        plots.select(repo, where="loss > 1")


def test_curves_of_runs(train: Train, build: Build) -> None:
    train("a", loss=[3, 2, 1], acc=[0.1])
    train("b", loss=[5, 4])
    chart = build("loss", "acc", "metrics.loss")
    assert [panel.y.label for panel in chart.panels] == ["loss", "acc"]
    (a, b), (only,) = (panel.curves for panel in chart.panels)
    assert (a.x.tolist(), a.y.tolist(), b.y.tolist(), only.y.tolist()) == ([0, 1, 2], [3, 2, 1], [5, 4], [0.1])
    assert [chart.names[curve.name] for curve in (a, b, only)] == ["a", "b", "a"]
    assert chart.best == [0, 1] and chart.x.label == "step" and chart.remarks == []


def test_runs_of_one_name_are_told_apart(train: Train, build: Build) -> None:
    ids = [train("same", loss=[1]), train("same", loss=[2])]
    assert build("loss").names == [f"same {run_id[-8:]}" for run_id in ids]


def test_the_best_is_best_by_the_experiments_goal(repo: Repository, train: Train, build: Build) -> None:
    train("a", heat=[0.1, 0.9], acc=[0.1, 0.9])
    train("b", heat=[0.8, 0.5], acc=[0.8, 0.5])
    assert build("heat").best == [1, 0] and build("heat", goals={"heat": "max"}).best == [0, 1]
    assert build("acc").best == [0, 1], "its name says that more is better"
    experiment = store.experiment(repo, "taxi")
    edits.set_goals(repo, experiment, {"heat": "max", "acc": "min"})
    assert build("heat").best == [0, 1] and build("acc").best == [1, 0]
    assert [bar.label for bar in build("heat", kind="bar").bars] == ["a", "b"]


def test_names_are_fields_or_runs(repo: Repository, train: Train) -> None:
    train("a", loss=[1], acc=[1])
    train("loss", loss=[2])
    assert plots.told_apart(repo, ["loss", "acc", "a", "@last", "los"]) == (["loss", "acc", "los"], ["a", "@last"])
    assert plots.told_apart(repo, ["a", "loss"]) == (["a", "loss"], [])


def test_what_cannot_be_drawn_is_a_gap_and_said(train: Train, build: Build) -> None:
    train("a", loss=[1, math.nan, 3, math.inf, -5])
    chart = build("loss")
    (curve,) = chart.panels[0].curves
    assert list(map(repr, curve.y.tolist())) == ["1.0", "nan", "3.0", "nan", "-5.0"]
    assert chart.remarks == ["loss: 2 points left out, not finite (nan, inf)"]
    chart = build("loss", log_y=True, log_x=True)
    (curve,) = chart.panels[0].curves
    assert curve.x.tolist() == [1, 2, 3, 4] and np.nanmax(curve.y) == np.nanmin(curve.y) == 3
    assert "1 point left out, at step 0 or below, which a logarithmic axis lacks" in chart.remarks[0]
    assert "1 point left out, 0 or below" in chart.remarks[0]


def test_nothing_that_can_be_drawn(train: Train, build: Build) -> None:
    train("a", {"lr": 1}, loss=[math.nan])
    with pytest.raises(NotFoundError, match="no point to draw of loss"):
        build("loss")
    with pytest.raises(NotFoundError, match=r"did you mean metrics\.loss"):
        build("los")
    for not_a_metric in ("lr", "params.lr", "duration", "loss.min"):
        with pytest.raises(UsageError, match="is no metric"):
            build(not_a_metric)
    with pytest.raises(UsageError, match="nothing to plot"):
        build()


def test_names_of_any_characters(repo: Repository, build: Build) -> None:
    metric = 'val/$loss_1$, "x" <i>'
    record(repo, name="a", metrics={metric: 1, "train.loss": 2})
    assert build(metric, "train.loss").panels[0].y.label == metric


def test_a_single_point_and_points_without_a_step(repo: Repository, train: Train, build: Build) -> None:
    train("a", rmse=[1])
    run = recorder.begin(repo, "taxi", name="b")
    for value in (3, 2, 1):
        run.log_metric("rmse", value)
    run.end("finished")
    chart = build("rmse")
    assert [len(curve.x) for curve in chart.panels[0].curves] == [1, 1]
    assert any("1 run logged every value at one step" in remark for remark in chart.remarks)
    assert any("--kind bar" in remark for remark in chart.remarks)
    assert [len(curve.x) for curve in build("rmse", x="time").panels[0].curves] == [1, 3]


def test_a_live_run_is_drawn_as_far_as_it_is(train: Train, build: Build) -> None:
    train("growing", loss=[3, 2], end=False)
    train("done", loss=[5, 4])
    curves = sorted(curve.y.tolist() for curve in build("loss").panels[0].curves)  # both may begin in one millisecond
    assert curves == [[3, 2], [5, 4]]


def test_time_since_start(repo: Repository, build: Build) -> None:
    run = recorder.begin(repo, "taxi", name="a")
    started = run.record.started
    for minute in range(3):
        run.log_metric("loss", minute, minute, started + minute * 60_000)
    run.end("finished")
    chart = build("loss", x="relative")
    assert chart.x.label == "time since start (s)"  # the run itself was short
    assert chart.panels[0].curves[0].x.tolist() == [0, 60, 120]
    chart = build("loss", x="time")
    assert chart.x.kind == "time" and chart.panels[0].curves[0].x.tolist() == [started + at * 60_000 for at in range(3)]


def test_means_of_groups(train: Train, build: Build) -> None:
    train("a", {"model": "x"}, loss=[1, 2])
    train("b", {"model": "x"}, loss=[3, 4])
    train("c", {"model": 10}, loss=[7])
    train("d", {}, loss=[9])
    chart = build("loss", group_by="params.model", band="minmax")
    assert chart.names == ["model=10 (1 run)", "model=x (2 runs)", "model=(none) (1 run)"]
    x = chart.panels[0].curves[1]
    assert (x.y.tolist(), x.low.tolist(), x.high.tolist()) == ([2, 3], [1, 2], [3, 4])
    assert chart.title == "mean, band: least to greatest"
    deviation = build("loss", group_by="model").panels[0].curves[1]
    assert deviation.high - deviation.y == pytest.approx([2**0.5] * 2)
    with pytest.raises(UsageError, match="time of day"):
        build("loss", group_by="model", x="time")


def test_smoothing_keeps_what_was_before(train: Train, build: Build) -> None:
    train("a", loss=[1, 2, 4])
    (curve,) = build("loss", smooth=0.5).panels[0].curves
    assert curve.raw.tolist() == [1, 2, 4] and curve.y == pytest.approx([1, 1.25 / 0.75, 2.625 / 0.875])


def test_as_many_points_as_show(train: Train, build: Build) -> None:
    values = np.sin(np.arange(5000) / 50)
    values[3210] = 9
    train("a", loss=values.tolist())
    (curve,) = build("loss", columns=100, smooth=0.1).panels[0].curves
    assert len(curve.x) <= 800 and curve.raw.max() == 9 and len(curve.y) == len(curve.raw)
    assert len(build("loss").panels[0].curves[0].x) == 5000


def test_scatter(train: Train, build: Build) -> None:
    train("a", {"lr": 0.1, "model": "x"}, loss=[3])
    train("b", {"lr": 0, "model": "y"}, loss=[2])
    train("c", {"model": "y"}, loss=[1])
    chart = build("lr", "loss", kind="scatter")
    assert [(dots.x.tolist(), dots.y.tolist(), dots.runs) for dots in chart.dots] == [([0.1, 0], [3, 2], ["a", "b"])]
    assert chart.remarks == ["1 of 3 runs left out: no number there that the axis holds"]
    assert build("lr", "loss", kind="scatter", log_x=True).dots[0].runs == ["a"]
    chart = build("model", "loss", kind="scatter", group_by="model")
    assert chart.x.categories == ("x", "y") and chart.names == ["model=x", "model=y"]
    assert [dots.x.tolist() for dots in chart.dots] == [[0], [1, 1]]
    chart = build("started", "loss.max", kind="scatter")
    assert (chart.x.kind, chart.x.label, chart.y.label) == ("time", "started (UTC)", "loss.max")
    assert chart.dots[0].y.tolist() == [3, 2, 1]
    assert build("duration", "loss", kind="scatter").x.label == "duration (s)"
    with pytest.raises(UsageError, match="two fields"):
        build("loss", kind="scatter")


def test_bars(train: Train, build: Build) -> None:
    train("a", {"model": "x"}, loss=[3])
    train("b", {"model": "x"}, loss=[9, 1])
    train("c", {"model": "y"}, loss=[math.nan])
    chart = build("loss", kind="bar")
    assert [(bar.label, bar.value) for bar in chart.bars] == [("b", 1), ("a", 3)]
    (bar,) = build("loss", kind="bar", group_by="model", band="minmax").bars
    assert bar == charts.Bar("model=x (2 runs)", 2, 1, 3)
    with pytest.raises(UsageError, match="no number"):
        build("model", kind="bar")
    for i in range(40):
        train(f"n{i}", loss=[i])
    chart = build("loss", kind="bar")
    assert len(chart.bars) == 30 and "the best 30 of 42" in chart.remarks


def test_parallel_coordinates(train: Train, build: Build) -> None:
    train("a", {"lr": 0.1, "model": "x", "same": 1}, loss=[3])
    train("b", {"lr": 0.01, "model": "y", "same": 1, "new": 2}, loss=[2])
    chart = build("loss", kind="parallel", log_x=True)
    assert [(axis.label, axis.kind, axis.log) for axis in chart.axes] == [
        ("lr", "number", True),
        ("model", "category", False),
        ("new", "number", True),
        ("loss", "number", False),
    ]
    assert repr(chart.values.tolist()) == "[[0.1, 0.0, nan, 3.0], [0.01, 1.0, 2.0, 2.0]]"
    assert chart.remarks == []
    assert [axis.label for axis in build("new", "loss", kind="parallel").axes] == ["new", "loss"]


def test_a_run_without_a_value_has_its_own_place_in_parallel_coordinates(train: Train, build: Build) -> None:
    train("a", {"alpha": 1}, loss=[3])
    train("b", {"depth": 4}, loss=[2])
    train("c", {"depth": 5})
    chart = build("alpha", "depth", "loss", kind="parallel")
    assert chart.runs == ["a", "b"] and chart.remarks == ["1 run of 3 left out: no value of loss"]
    alpha, depth, loss = (labels.ticks(axis, chart.values[:, at]) for at, axis in enumerate(chart.axes))
    assert alpha == [(labels.MISSING, "(none)"), (0.5, "1")] and depth[0] == (labels.MISSING, "(none)")
    assert [text for _, text in loss] == ["2", "3"]
    for ending in plots.ENDINGS:
        assert b"(none)" in plots.file_content(chart, ending) or ending in ("png", "pdf")
    assert "(none), 4" in terminal.text(chart, 80, False)
    for i in range(12):
        train(f"more-{i}", {f"p{i}": i, "lr": i}, loss=[i])
    chart = build("loss", kind="parallel")
    assert chart.axes[0].label == "lr" and len(chart.axes) == 10
    assert chart.remarks[-1].endswith(("p9, p10, p11", "p7, p8, p9"))


def test_at_an_earlier_moment(repo: Repository, train: Train, build: Build) -> None:
    a = train("a", loss=[3, 2])
    then = git("rev-parse", "gxt")
    train("later", loss=[9])
    again = recorder.resume(repo, a)
    again.log_metric("loss", 1, 2)
    again.end("finished")
    selection = plots.select(repo, at=then)
    (curve,) = plots.build(repo, selection, ["loss"], Options()).panels[0].curves
    assert [run.id for run in selection.runs] == [a] and curve.y.tolist() == [3, 2]
    assert [run.id for run in plots.select(repo, ["@last"], at=then).runs] == [a]
    with pytest.raises(NotFoundError):
        plots.select(repo, ["later"], at=then)


def test_a_param_that_no_float_holds(train: Train, build: Build) -> None:
    train("a", {"n": 10**400}, loss=[1])
    train("b", {"n": 2}, loss=[1])
    assert build("n", "loss", kind="scatter").dots[0].runs == ["b"]


def test_a_chart_as_json(train: Train, build: Build) -> None:
    train("a", loss=[3, 2])
    content = charts.chart_json(build("loss"))
    assert json.loads(json.dumps(content))["panels"][0]["curves"][0]["y"] == [3, 2]
    assert content["kind"] == "curve" and content["names"] == ["a"]


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "pie"},
        {"x": "epoch"},
        {"band": "sem"},
        {"smooth": 1.0},
        {"goals": {"a": "low"}},
        {"x": "time", "log_x": True},
    ],
)
def test_options_that_make_no_plot(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Options(**options)  # type: ignore[arg-type]
