"""What differs between runs, section by section."""

from __future__ import annotations

import math
from typing import Any

from gxt.comparison import findings
from gxt.model import MetricPoint, Run, summarise


def run(**content: Any) -> Run:
    return Run("20261123-083000-3f9a1c2e", "taxi", **content)


def measured(**histories: list[float]) -> Run:
    points = [MetricPoint(i, name, value, i) for name, values in histories.items() for i, value in enumerate(values)]
    return run(metrics=summarise(points))


def test_what_no_two_runs_share_is_no_difference() -> None:
    one = run(name="a", started=1, ended=2)
    assert not findings.attributes([one, run(name="b", started=5, ended=9)])
    found = findings.attributes([one, run(status="failed", note="It broke.")])
    assert [(each.name, each.kind) for each in found] == [("status", "changed"), ("note", "added")]


def test_params_are_compared_as_one_level() -> None:
    found = findings.params(
        [run(params={"m": {"depth": 3, "kind": "tree"}, "z": None}), run(params={"m": {"depth": 4, "kind": "tree"}})]
    )
    assert [each.name for each in found] == ["m.depth", "z"] and found.same == 1
    assert found["m.depth"].changes[1] is not None


def test_metrics_are_judged_by_their_goal() -> None:
    runs = [measured(rmse=[6.0], odd=[1.0], same=[1.0]), measured(rmse=[5.0], odd=[2.0], same=[1.0])]
    found = findings.metrics(runs, {})
    verdicts = {each.name: (each.goal, each.changes[1] and each.changes[1].verdict) for each in found}
    assert verdicts == {"odd": (None, None), "rmse": ("min", "better")} and found.same == 1
    stated = findings.metrics(runs, {"rmse": "max", "odd": "max"})
    assert [each.changes[1] and each.changes[1].verdict for each in stated] == ["better", "worse"]


def test_the_best_value_of_a_history_is_compared_too() -> None:
    found = findings.metrics([measured(loss=[5, 1, 3]), measured(loss=[5, 2, 2.5])], {})
    assert [(each.name, each.values) for each in found] == [("loss", (3, 2.5)), ("loss.min", (1, 2))]
    falling = findings.metrics([measured(loss=[5, 3]), measured(loss=[5, 2])], {})
    assert [each.name for each in falling] == ["loss"]


def test_metrics_with_the_same_last_value_may_differ_elsewhere() -> None:
    found = findings.metrics([measured(x=[1, 5, 2]), measured(x=[1, 2])], {})
    assert [(each.name, each.values) for each in found] == [("x.max", (5, 2)), ("x.step", (2, 1)), ("x.count", (3, 2))]


def test_a_metric_that_one_run_lacks() -> None:
    (found,) = findings.metrics([measured(), measured(acc=[0.5])], {})
    assert (found.values, found.kind, found.absent) == ((None, 0.5), "added", (0,))
    assert not findings.metrics([measured(a=[math.nan]), measured(a=[math.nan])], {})


def test_inputs_are_the_same_where_their_digests_are() -> None:
    one = run(inputs={"a": {"digest": "sha256:1", "source": "x"}, "b": {"source": "s3://b/1"}})
    other = run(inputs={"a": {"digest": "sha256:1", "source": "y"}, "b": {"source": "s3://b/2"}})
    assert [each.name for each in findings.inputs([one, other])] == ["b"]
