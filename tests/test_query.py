from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gxt import query
from gxt.errors import NotFoundError, UsageError
from gxt.model import Run, Summary
from gxt.query import Field, SortKey
from gxt.query.versions import version_key


def a_run(number: int = 0, **given: Any) -> Run:
    metrics = {
        name: value if isinstance(value, Summary) else Summary(value, value, value, value, 0, 1)
        for name, value in given.pop("metrics", {}).items()
    }
    return Run(f"20261123-{number:06}-{number:08x}", "taxi", f"run-{number}", metrics=metrics, **given)


RUN = a_run(
    params={"model": {"depth": 3}, "lr": 0.1, "both": 1, "status": "x", "branch": "oak"},
    metrics={"rmse": Summary(6.3, 5.5, 7.5, 6.3, 0, 1), "both": 2.0, "val/acc": 0.9, "p.q": 1.0},
    tags={"stage": "dev"},
    source={"commit": "abc", "branch": "main"},
    started=1_795_422_600_000,
)
KNOWN = query.KnownOf([RUN])


def test_fields_of_runs_are_sorted_by_kind_and_name() -> None:
    other = a_run(metrics={"aaa": 1.0}, tags={"zzz": "1"})
    assert list(map(str, query.fields_of([RUN, other]))) == [
        "params.both",
        "params.branch",
        "params.lr",
        "params.model.depth",
        "params.status",
        "metrics.aaa",
        "metrics.both",
        "metrics.p.q",
        "metrics.rmse",
        "metrics.val/acc",
        "tags.stage",
        "tags.zzz",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("metrics.rmse", 6.3),
        ("metric.rmse", 6.3),
        ("METRICS.rmse", 6.3),
        ("rmse", 6.3),
        ("metrics.`val/acc`", 0.9),
        ('metrics."val/acc"', 0.9),
        ("val/acc", 0.9),
        ("p.q", 1.0),
        ("params.model.depth", 3),
        ("model.depth", 3),
        ("parameter.lr", 0.1),
        ("tags.stage", "dev"),
        ("stage", "dev"),
        ("name", "run-0"),
        ("attributes.run_name", "run-0"),
        ("start_time", "2026-11-23T08:30:00.000Z"),
        ("attribute.start_time", "2026-11-23T08:30:00.000Z"),
        ("code.branch", "main"),
        ("commit", "abc"),
        ("attributes.status", "finished"),
        ("status", "finished"),  # as MLflow has it, also where a param has that name
        ("rmse.min", 5.5),
        ("metrics.rmse.count", 1),
        ('metrics."rmse".last', 6.3),
        ("tags.mlflow.runName", "run-0"),
        ("tag.`mlflow.source.git.commit`", "abc"),
        ("attributes.`Run name`", "run-0"),
        ("params.status", "x"),
        ("id", "00000000"),
        ("parent", None),
        ("duration", None),
    ],
)
def test_what_a_name_means(text: str, value: object) -> None:
    assert query.resolve(text, KNOWN).of(RUN) == value


@pytest.mark.parametrize("text", ["both", "branch"])
def test_a_bare_name_that_may_be_several_things(text: str) -> None:
    with pytest.raises(UsageError, match=r"params\.") as caught:
        query.resolve(text, KNOWN)
    assert "say " in str(caught.value)


@pytest.mark.parametrize(("text", "near"), [("rmes", "rmse"), ("metrics.rmes", "rmse"), ("depth", "model.depth")])
def test_a_name_that_no_run_has_comes_with_near_ones(text: str, near: str) -> None:
    with pytest.raises(NotFoundError, match=near):
        query.resolve(text, KNOWN)


def test_a_metric_of_its_own_wins_over_a_part_of_another() -> None:
    run = a_run(metrics={"a": Summary(1.0, 2.0, 3.0, 3.0, 4, 5), "a.min": 6.0, "b.max": 7.0})
    known = query.KnownOf([run])
    assert query.resolve("metrics.a.min", known).of(run) == 6.0
    assert query.resolve('metrics."a".min', known).of(run) == 2.0
    assert query.resolve("metrics.a.min.max", known).of(run) == 6.0
    assert query.resolve("metrics.`b.max`", known).of(run) == 7.0
    assert query.resolve("metrics.b.max.max", known).of(run) == 7.0
    with pytest.raises(NotFoundError, match="metrics"):
        query.resolve("metrics.`a.max`", known)


def test_what_a_summary_does_not_have_is_said() -> None:
    with pytest.raises(NotFoundError, match="last, min, max, first, step, count"):
        query.resolve("metrics.rmse.mean", KNOWN)


def test_an_unknown_name_may_be_allowed() -> None:
    for text in ("metrics.nothing", "metrics.nothing.max", "params.x.y", "tags.t", "nothing", 'metrics."a.b".min'):
        assert query.resolve(text, KNOWN, allow_unknown=True).of(RUN) is None
    with pytest.raises(NotFoundError, match="did you mean started"):
        query.resolve("attributes.startd", KNOWN, allow_unknown=True)


def test_a_field_of_a_run_without_it_is_none() -> None:
    empty = a_run(1)
    assert all(field.of(empty) is None for field in KNOWN.fields())


@pytest.mark.parametrize(
    ("text", "descending"),
    [
        ("rmse", False),
        ("rmse:desc", True),
        ("rmse:asc", False),
        ("metrics.rmse DESC", True),
        ("metrics.rmse ASC", False),
        (" metrics.rmse   desc ", True),
        ("rmse: desc", True),
    ],
)
def test_sort_keys(text: str, descending: bool) -> None:
    assert query.parse_sort(text, KNOWN) == SortKey(Field("metrics", "rmse"), descending)


def test_a_sort_key_that_is_none() -> None:
    with pytest.raises(UsageError):
        query.parse_sort("", KNOWN)
    with pytest.raises(NotFoundError):
        query.parse_sort("nothing", KNOWN)


@given(
    st.sampled_from([str(field) for field in KNOWN.fields()]),
    st.sampled_from(["", ":asc", ":desc", " ASC", " DESC", ":Desc"]),
)
def test_every_field_can_be_sorted_by_in_every_spelling(name: str, direction: str) -> None:
    key = query.parse_sort(name + direction, KNOWN)
    assert (str(key.field), key.descending) == (name, "desc" in direction.lower())


VALUES = st.none() | st.integers(-2, 2) | st.floats(-2, 2) | st.just(math.nan) | st.sampled_from("ab") | st.booleans()


def rank(value: Any) -> tuple[int, Any]:
    return (1, value) if isinstance(value, str) else (0, value)


@given(st.lists(st.tuples(VALUES, VALUES), max_size=12), st.booleans(), st.booleans())
def test_sorting_is_stable_and_what_is_absent_comes_last(
    values: list[tuple[Any, Any]], first_down: bool, second_down: bool
) -> None:
    runs = [a_run(number, params={"a": a, "b": b}) for number, (a, b) in enumerate(values)]
    keys = [SortKey(Field("params", "a"), first_down), SortKey(Field("params", "b"), second_down)]
    ordered = query.sort(runs, keys)
    assert sorted(run.id for run in ordered) == [run.id for run in runs]

    def comes_before(one: Run, other: Run) -> bool:
        for key in keys:
            x, y = key.field.of(one), key.field.of(other)
            gone = [value is None or value != value for value in (x, y)]
            if any(gone):
                if gone[0] != gone[1]:
                    return gone[1]
            elif rank(x) != rank(y):
                return (rank(x) < rank(y)) != key.descending
        return one.id < other.id

    for one, other in itertools.pairwise(ordered):
        assert comes_before(one, other)


def test_sorting_by_nothing_keeps_the_order() -> None:
    runs = [a_run(number) for number in (3, 1, 2)]
    assert query.sort(runs, []) == runs


COLUMNS = query.KnownOf(
    [
        a_run(
            params={"opt": {"lr": 0.1, "name": "adam"}, "seed": 1, "x[0]": 1, "odd*": 1, "-minus": 1},
            metrics={"rmse": 1.0, "r2": 2.0},
            tags={"stage": "dev"},
        )
    ]
)


@pytest.mark.parametrize(
    ("texts", "chosen"),
    [
        (["name", "rmse"], "name metrics.rmse"),
        (["metrics.*"], "metrics.r2 metrics.rmse"),
        (["params.opt*", "seed"], "params.opt.lr params.opt.name params.seed"),
        (["rm?e", "metric.r2"], "metrics.rmse metrics.r2"),
        (["params.*", "-params.opt*", "-odd*"], "params.-minus params.seed params.x[0]"),
        (["-seed", "seed", "rmse"], "metrics.rmse"),
        (["params.x[0]", "x[*"], "params.x[0]"),
        (["odd*"], "params.odd*"),
        (["params.`odd*`"], "params.odd*"),
        (["-minus"], "params.-minus"),
        (["code.com*"], "code.command code.commit"),
        (["environment.cp*"], "environment.cpu environment.cpus"),
        (["attributes.start*"], "started"),
        (["*rmse*", "sta*"], "metrics.rmse status started tags.stage"),
    ],
)
def test_columns(texts: list[str], chosen: str) -> None:
    assert " ".join(map(str, query.parse_columns(texts, COLUMNS).chosen)) == chosen


def test_columns_that_are_only_dropped_leave_the_rest_to_the_caller() -> None:
    columns = query.parse_columns(["-params.seed", "-metrics.*"], COLUMNS)
    assert not columns.chosen
    assert set(map(str, columns.dropped)) == {"params.seed", "metrics.r2", "metrics.rmse"}
    assert columns.without_dropped([Field("params", "seed"), Field("params", "x")]) == [Field("params", "x")]


def test_what_a_pattern_matched_is_told_from_what_was_named() -> None:
    columns = query.parse_columns(["metrics.*", "rmse"], COLUMNS)
    assert set(map(str, columns.matched)) == {"metrics.r2"}


@pytest.mark.parametrize("text", ["metics.*", "params.zzz*", "-zzz", "-zzz*", "rmes"])
def test_columns_that_no_run_has(text: str) -> None:
    with pytest.raises(NotFoundError):
        query.parse_columns([text], COLUMNS)
    query.parse_columns([text], COLUMNS, allow_unknown=True)


def test_a_bare_name_of_an_attribute_is_the_attribute() -> None:
    known = query.KnownOf([a_run(params={"name": "resnet", "note": 1}, metrics={"duration": 1.0})])
    for name in ("name", "note", "duration", "NAME"):
        assert query.resolve(name, known).kind == "attributes"
    assert query.resolve("params.name", known).kind == "params"
    assert query.resolve("metrics.duration", known).kind == "metrics"


def test_names_that_end_alike_or_differ_in_case_are_near() -> None:
    known = query.KnownOf([a_run(params={"optimizer": {"eta0": 1}}, metrics={"rmse": 1.0})])
    for text, meant in (("eta0", "params.optimizer.eta0"), ("metrics.RMSE", "metrics.rmse"), ("Eta0", "params.opt")):
        with pytest.raises(NotFoundError, match=f"did you mean {meant}"):
            query.resolve(text, known)


def test_sort_keys_of_names_with_colons_and_blanks() -> None:
    known = query.KnownOf([a_run(params={"weird:desc": 1, "a b": 2, "lr desc": 3})])
    for text, name, descending in (
        ("weird:desc", "weird:desc", False),
        ("`weird:desc`:desc", "weird:desc", True),
        ("params.weird:desc", "weird:desc", False),
        ("weird:desc DESC", "weird:desc", True),
        ("a b", "a b", False),
        ("a b : desc", "a b", True),
        ("lr desc", "lr desc", False),
    ):
        assert query.parse_sort(text, known) == query.SortKey(Field("params", name), descending), text
    with pytest.raises(UsageError, match="by 'sideways'"):
        query.parse_sort("a b sideways", known)
    with pytest.raises(UsageError, match="at most 64"):
        query.parse_order(["a b"] * 65, known)


def test_versions_have_their_own_order() -> None:
    ordered = ["2.7", "3.9.18", "3.10.0.dev1", "3.10a1", "3.10rc1", "3.10", "3.10+local", "3.10.1", "3.11", "10"]
    keys = [version_key(text) for text in ordered]
    assert keys == sorted(keys) and len(set(keys)) == len(keys)
    assert version_key("3.10.0") == version_key("3.10") == version_key("v3.010").replace("6v ", "")
    runs = [a_run(i, environment={"python": text}) for i, text in enumerate(reversed(ordered))]
    by_version = query.sort(runs, [SortKey(Field("environment", "python"), False)])
    assert [run.environment["python"] for run in by_version] == ordered
