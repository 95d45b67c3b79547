"""tables: which columns, what is the same, what is best, groups and pivots."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gxt import stats, tables
from gxt.errors import UsageError
from gxt.model import Run, Summary
from gxt.query import Columns, Field, SortKey
from gxt.render import Spread, Table
from gxt.tables.runs import ranks, titles

MODEL, SEED, RMSE = Field("params", "model"), Field("params", "seed"), Field("metrics", "rmse")


def a_run(number: int, **given: Any) -> Run:
    metrics = {name: Summary(value, value, value, value, 7, 1) for name, value in given.pop("metrics", {}).items()}
    return Run(f"20261123-{number:06}-{number:08x}", "taxi", f"run-{number}", metrics=metrics, **given)


def names(fields: list[Field]) -> list[str]:
    return list(map(str, fields))


def column(table: Table, title: str) -> list[Any]:
    at = [column.title for column in table.columns].index(title)
    return [row[at] for row in table.rows]


def marked(table: Table) -> set[tuple[int, str]]:
    return {(row, table.columns[i].title) for row, i in table.best}


RUNS = [
    a_run(1, params={"model": "xgb", "seed": 1, "data": "v2"}, metrics={"rmse": 2.0, "r2": 0.8}, tags={"by": "ada"}),
    a_run(2, params={"model": "xgb", "seed": 2, "data": "v2"}, metrics={"rmse": 4.0, "r2": 0.8}, tags={"by": "bob"}),
    a_run(3, params={"model": "ridge", "seed": 1, "data": "v2"}, metrics={"rmse": 5.0, "mae": 1.0, "r2": 0.8}),
    a_run(4, params={"model": "ridge", "data": "v2"}, metrics={"rmse": math.nan, "r2": 0.8}),
]


def test_metrics_with_a_goal_come_first_and_params_that_tell_runs_apart() -> None:
    fields = names(tables.all_fields(RUNS, {"rmse": "min"}))
    metrics, params = "metrics.rmse metrics.r2 metrics.mae", "params.model params.seed params.data"
    assert fields == f"name id status {metrics} started duration {params} tags.by".split()


def test_what_is_the_same_in_all_runs_is_folded() -> None:
    fields, same = tables.told_apart(RUNS, tables.all_fields(RUNS, {}))
    assert same == ["metrics.r2=0.8", "params.data=v2"]
    assert "params.data" not in names(fields) and "params.seed" in names(fields) and "status" in names(fields)
    assert tables.told_apart(RUNS[:1], [MODEL, SEED]) == ([MODEL, SEED], [])


def test_one_and_one_point_nought_and_true_are_not_the_same() -> None:
    for other in (1.0, True, "1"):
        runs = [a_run(1, params={"x": 1}), a_run(2, params={"x": other})]
        assert tables.told_apart(runs, [Field("params", "x")])[1] == []


def test_a_parent_that_lacks_what_its_runs_have_alike_is_no_difference() -> None:
    parent = a_run(1, params={"search": "grid"})
    children = [a_run(i, parent=parent.id, params={"data": "v2", "seed": i}) for i in (2, 3)]
    fields, same = tables.told_apart([parent, *children], tables.all_fields([parent, *children], {}))
    assert same == ["params.data=v2"]
    assert [name for name in names(fields) if name.startswith("params")] == ["params.seed", "params.search"]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from([None, 1, 2, "x"]), max_size=3), min_size=2))
def test_folding_loses_nothing(params: list[dict[str, Any]]) -> None:
    runs = [a_run(i, params=given) for i, given in enumerate(params)]
    fields = [Field("params", name) for name in "abc"]
    kept, same = tables.told_apart(runs, fields)
    for field in fields:
        values = [run.params.get(field.name) for run in runs]
        if field in kept:
            assert len(set(values)) > 1
        else:
            assert set(values) == {None} or same.count(f"{field}={values[0]}") == 1


def test_neither_metrics_nor_params_leave_the_other_out() -> None:
    fields = [Field("attributes", "name"), *(Field("metrics", f"m{i}") for i in range(9))]
    fields += [Field("params", f"p{i}") for i in range(9)]
    order = [field.name for _, field in sorted(zip(ranks(fields), fields, strict=True))]
    assert order[:5] == ["name", "m0", "p0", "m1", "p1"]
    assert ranks(fields, kept=[Field("params", "p8")])[-1] < 0


def test_titles_say_the_kind_where_the_name_does_not_tell() -> None:
    fields = [Field("params", "x"), Field("metrics", "x"), RMSE, Field("metrics", "rmse", "min")]
    assert titles(fields) == ["params.x", "metrics.x", "rmse", "rmse.min"]


def test_the_best_of_each_metric_with_a_goal_is_marked() -> None:
    least, count = Field("metrics", "rmse", "min"), Field("metrics", "rmse", "count")
    table = tables.run_table(RUNS, [RMSE, least, count, Field("metrics", "mae")], {"rmse": "min", "mae": "max"})
    assert marked(table) == {(0, "rmse"), (0, "rmse.min")}
    assert marked(tables.run_table(RUNS, [RMSE])) == {(0, "rmse")}, "its name implies one"
    assert tables.run_table(RUNS, [RMSE], {"rmse": ""}).best == set(), "experiments differ about it"


def test_nested_runs_follow_their_parents() -> None:
    parent, other = a_run(1), a_run(5)
    child, younger = a_run(2, parent=parent.id), a_run(4, parent=parent.id)
    grandchild, orphan = a_run(3, parent=child.id), a_run(6, parent="20200101-000000-00000000")
    found = tables.nested([orphan, other, younger, grandchild, child, parent])
    assert [(run.name, depth) for run, depth in found] == [
        ("run-6", 0),
        ("run-5", 0),
        ("run-1", 0),
        ("run-4", 1),
        ("run-2", 1),
        ("run-3", 2),
    ]


@given(st.lists(st.none() | st.integers(0, 6), max_size=7))
def test_nesting_leaves_nobody_out(parents: list[int | None]) -> None:
    ids = [a_run(i).id for i in range(7)]
    runs = [a_run(i, parent=None if parent is None else ids[parent]) for i, parent in enumerate(parents)]
    found = tables.nested(runs)
    assert sorted(run.id for run, _ in found) == [run.id for run in runs]


def test_runs_that_record_show_how_far_they_are() -> None:
    running = a_run(9, status="running", place="live", metrics={"loss": 0.5})
    table = tables.run_table([running, RUNS[0]], [Field("attributes", name) for name in ("name", "status", "duration")])
    shown = tables.with_progress(table, [running, RUNS[0]], {running.id: 65.0})
    assert shown.rows == [["run-9", "running, step 7", 65.0], ["run-1", "finished", None]]


# --- groups -------------------------------------------------------------------------------------------------------


def grouped(*aggregates: str, readable: bool = True, goals: dict[str, str] | None = None) -> Table:
    groups = stats.group(RUNS, [MODEL])
    return tables.group_table(groups, [MODEL], [RMSE], aggregates or tables.DEFAULT_AGGREGATES, goals or {}, readable)


def test_groups_have_mean_deviation_and_count() -> None:
    table = grouped()
    assert [column.title for column in table.columns] == ["model", "runs", "rmse", "count(rmse)"]
    assert table.rows == [["ridge", 2, Spread(5.0, None), 1], ["xgb", 2, Spread(3.0, pytest.approx(math.sqrt(2))), 2]]
    assert table.notes == ["± is the sample standard deviation (n - 1)", "left out: rmse (1 NaN)"]


def test_programs_get_each_aggregate_in_a_column_of_its_own() -> None:
    table = grouped(readable=False)
    assert [column.name or column.title for column in table.columns] == [
        "params.model",
        "runs",
        "mean(metrics.rmse)",
        "std(metrics.rmse)",
        "count(metrics.rmse)",
    ]


def test_the_best_group_is_marked() -> None:
    assert marked(grouped(goals={"rmse": "min"})) == {(1, "rmse")}
    table = grouped("min", "std", "best", goals={"rmse": "max"})
    assert marked(table) == {(0, "min(rmse)"), (0, "best(rmse)")}
    assert column(table, "best(rmse)") == [5.0, 4.0]
    with pytest.raises(UsageError, match="needs a goal"):
        grouped("best", goals={"rmse": ""})


def test_groups_sort_by_aggregates_and_keys() -> None:
    groups = stats.group([*RUNS, a_run(5, params={"model": "empty"})], [MODEL])

    def order(field: Field, descending: bool, how: str = "mean") -> list[Any]:
        found = tables.sort_groups(groups, [MODEL], [SortKey(field, descending)], how, {})
        return [one.key[0] for one in found]

    assert order(RMSE, False) == ["xgb", "ridge", "empty"]
    assert order(RMSE, True, "max") == ["ridge", "xgb", "empty"]
    assert order(MODEL, True) == ["xgb", "ridge", "empty"]


def test_what_groups_aggregate() -> None:
    assert names(tables.value_fields(RUNS, [MODEL], Columns(), {"r2": "max"}))[0] == "metrics.r2"
    dropping = Columns(dropped=frozenset({RMSE}))
    assert "metrics.rmse" not in names(tables.value_fields(RUNS, [MODEL], dropping, {}))
    assert tables.value_fields(RUNS, [MODEL], Columns([MODEL, SEED]), {}) == [SEED]
    data = Field("params", "data")
    with pytest.raises(UsageError, match="no number"):
        tables.value_fields(RUNS, [MODEL], Columns([data]), {})
    assert tables.value_fields(RUNS, [MODEL], Columns([data], matched={data}), {}) == []


# --- pivots -------------------------------------------------------------------------------------------------------


def test_a_pivot_has_a_cell_for_each_pair() -> None:
    table = tables.pivot_table(RUNS, (MODEL, SEED), RMSE, ["mean"], {"rmse": "min"})
    assert [column.title for column in table.columns] == ["model", "seed=1", "seed=2", "no seed"]
    assert table.rows[1] == ["xgb", 2.0, 4.0, None]
    assert table.rows[0][:3] == ["ridge", 5.0, None] and math.isnan(table.rows[0][3])
    assert marked(table) == {(1, "seed=1")}
    assert table.notes == ["mean of metrics.rmse by params.model and params.seed", "left out: rmse (1 NaN)"]


def test_several_runs_in_a_cell_are_aggregated() -> None:
    data = Field("params", "data")
    counts = tables.pivot_table(RUNS, (MODEL, data), RMSE, ["count"], {})
    assert counts.rows == [["ridge", 1], ["xgb", 2]]
    spread = tables.pivot_table(RUNS, (MODEL, data), RMSE, ["mean", "std"], {})
    assert spread.rows[1] == ["xgb", Spread(3.0, pytest.approx(math.sqrt(2)))]
    apart = tables.pivot_table(RUNS, (MODEL, data), RMSE, ["mean", "std"], {}, readable=False)
    assert [column.name for column in apart.columns[1:]] == ["mean(params.data=v2)", "std(params.data=v2)"]
    with pytest.raises(UsageError, match="one aggregate"):
        tables.pivot_table(RUNS, (MODEL, data), RMSE, ["mean", "max"], {})
    with pytest.raises(UsageError, match="no run has a number"):
        tables.pivot_table(RUNS, (MODEL, SEED), data, ["mean"], {})
