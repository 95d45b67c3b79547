from __future__ import annotations

import math
import subprocess
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from gxt import layout
from gxt.errors import FormatError
from gxt.model import Experiment, MetricPoint, Run, Summary, experiment_folder

RUN_ID = "20261123-083000-3f9a1c2e"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12) | st.sampled_from(
    ["loss, train", 'say "x"', '"', '""', "a,b", "größe", "模型 1", "yes", "1e-3", "12:30", "#1", "a: b", "0", "-", "="]
)
TIMES = st.integers(0, 253_402_300_799_999)
FLOATS = st.floats()
SCALARS = TEXT | st.integers() | FLOATS | st.booleans() | st.none()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
SUMMARY = ("last", "min", "max", "first", "step", "count")
SUMMARIES = st.builds(
    Summary, last=FLOATS, min=FLOATS, max=FLOATS, step=st.integers(-5, 10**9), count=st.integers(1, 10**6)
)
KNOWN = {
    *[
        "id",
        "name",
        "status",
        "started",
        "ended",
        "exit_code",
        "author",
        "parent",
        "deleted",
        "tags",
        "note",
        "source",
        "environment",
    ],
}
RUNS = st.builds(
    Run,
    id=st.just(RUN_ID),
    experiment=NAMES,
    name=TEXT,
    status=st.sampled_from(["running", "finished", "failed", "killed"]),
    started=TIMES | st.none(),
    ended=TIMES | st.none(),
    exit_code=st.integers(-9, 255) | st.none(),
    author=TEXT | st.none(),
    parent=st.just("20261123-082951-0b77aa10") | st.none(),
    deleted=TIMES | st.none(),
    tags=st.dictionaries(NAMES, st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=3),
    note=TEXT | st.none(),
    source=st.dictionaries(NAMES, VALUES, max_size=3),
    environment=st.dictionaries(NAMES, VALUES, max_size=3),
    params=st.dictionaries(NAMES, VALUES, max_size=4),
    metrics=st.dictionaries(NAMES, SUMMARIES, max_size=3),
    inputs=st.dictionaries(NAMES, st.dictionaries(NAMES, SCALARS, max_size=3), max_size=2),
    extra=st.dictionaries(NAMES.filter(lambda name: name not in KNOWN), VALUES, max_size=2),
)
POINTS = st.lists(st.builds(MetricPoint, st.integers(), NAMES, FLOATS, st.integers(0, 2**53)), max_size=20)


def spelled(value: Any) -> str:
    """A value with its types and NaNs, mappings in one order."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {spelled(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(spelled, value)) + "]"
    return repr(value)


# --- a run's documents ------------------------------------------------------------------------------------------


@given(RUNS)
def test_a_run_reads_back_from_its_documents(run: Run) -> None:
    read = layout.read_run(run.experiment, run.id, layout.run_files(run))
    assert spelled(vars(read)) == spelled(vars(run))


@given(RUNS)
def test_a_run_s_documents_are_deterministic(run: Run) -> None:
    files = layout.run_files(run)

    def turned(mapping: Any) -> Any:
        return {key: turned(mapping[key]) for key in reversed(mapping)} if isinstance(mapping, dict) else mapping

    shuffled = replace(
        run, **{name: turned(getattr(run, name)) for name in ("params", "metrics", "tags", "inputs", "extra")}
    )
    assert layout.run_files(shuffled) == files
    assert layout.run_files(layout.read_run(run.experiment, run.id, files)) == files
    for data in files.values():
        assert data.endswith(b"\n") and b"\r" not in data


@given(RUNS)
def test_others_read_a_run_s_documents_as_yaml_1_1(run: Run) -> None:
    files = layout.run_files(run)
    assert spelled(yaml.safe_load(files[layout.PARAMS_YAML]) or {}) == spelled(run.params)
    metrics = yaml.safe_load(files[layout.METRICS_YAML]) or {}
    assert spelled(metrics) == spelled(
        {name: {key: getattr(summary, key) for key in SUMMARY} for name, summary in run.metrics.items()}
    )


def test_run_yaml_as_it_is_documented() -> None:
    run = Run(
        id=RUN_ID,
        experiment="nyc-taxi",
        name="calm-otter",
        started=1_795_422_600_123,
        ended=1_795_422_641_003,
        author="Ada Lovelace <ada@example.com>",
        parent="20261123-082951-0b77aa10",
        tags={"developer": "cristian"},
        note="First try with the joined pickup/drop-off feature.\n",
        source={"command": "python train.py --alpha 0.1", "entrypoint": "train.py", "dirty": True},
        environment={"python": "3.11.7", "cpus": 16, "gpus": ["NVIDIA H100"]},
        params={"alpha": 0.1, "model": {"name": "lasso", "depth": None}},
        metrics={"rmse": Summary(6.3017, 6.3017, 9.8123, 9.8123, 10, 11)},
    )
    files = layout.run_files(run)
    assert list(files) == ["run.yaml", "params.yaml", "metrics.yaml"]
    assert files["run.yaml"].decode() == (
        "id: 20261123-083000-3f9a1c2e\n"
        "name: calm-otter\n"
        "status: finished\n"
        "started: 2026-11-23T08:30:00.123Z\n"
        "ended: 2026-11-23T08:30:41.003Z\n"
        "author: Ada Lovelace <ada@example.com>\n"
        "parent: 20261123-082951-0b77aa10\n"
        "tags:\n"
        "  developer: cristian\n"
        "note: |\n"
        "  First try with the joined pickup/drop-off feature.\n"
        "source:\n"
        "  command: python train.py --alpha 0.1\n"
        "  entrypoint: train.py\n"
        "  dirty: true\n"
        "environment:\n"
        "  python: 3.11.7\n"
        "  cpus: 16\n"
        "  gpus: [NVIDIA H100]\n"
    )
    assert files["params.yaml"] == b"alpha: 0.1\nmodel:\n  depth: null\n  name: lasso\n"
    assert (
        files["metrics.yaml"] == b"rmse: {last: 6.3017, min: 6.3017, max: 9.8123, first: 9.8123, step: 10, count: 11}\n"
    )


def test_inputs_yaml_is_there_only_with_inputs() -> None:
    assert "inputs.yaml" not in layout.run_files(Run(RUN_ID, "taxi"))
    assert "inputs.yaml" in layout.run_files(Run(RUN_ID, "taxi", inputs={"green.parquet": {"rows": 3}}))


def test_fields_of_a_later_version_are_kept() -> None:
    files = {"run.yaml": b"id: x\nstatus: finished\nzeta: 1\nmood:\n  good: true\n"}
    run = layout.read_run("taxi", RUN_ID, files)
    assert run.extra == {"zeta": 1, "mood": {"good": True}}
    assert b"zeta: 1\n" in layout.run_files(run)["run.yaml"]


def test_the_folder_s_name_is_the_id() -> None:
    assert layout.read_run("taxi", RUN_ID, {"run.yaml": b"id: other\n"}).id == RUN_ID


def test_documents_may_be_missing_but_for_run_yaml() -> None:
    run = layout.read_run("taxi", RUN_ID, {"run.yaml": b""})
    assert (run.params, run.metrics, run.inputs, run.started) == ({}, {}, {}, None)
    with pytest.raises(FormatError, match=r"run\.yaml is missing"):
        layout.read_run("taxi", RUN_ID, {"params.yaml": b""})


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("run.yaml", b"started: soon\n", "started"),
        ("run.yaml", b"exit_code: none yet\n", "exit_code"),
        ("run.yaml", b"tags: [a]\n", "tags"),
        ("run.yaml", b"source: text\n", "source"),
        ("run.yaml", b"- a\n", "list"),
        ("run.yaml", b"a: [\n", "YAML"),
        ("params.yaml", b"just text\n", "params.yaml"),
        ("metrics.yaml", b"rmse: 6.3\n", "rmse"),
        ("metrics.yaml", b"rmse: {last: x, min: 1, max: 1, step: 0, count: 1}\n", "rmse"),
        ("inputs.yaml", b"data: a file\n", "data"),
    ],
)
def test_a_document_spoiled_by_hand_is_named(name: str, content: bytes, word: str) -> None:
    files = {"run.yaml": b"status: finished\n"} | {name: content}
    with pytest.raises(FormatError) as caught:
        layout.read_run("taxi", RUN_ID, files)
    assert f"experiments/taxi/{RUN_ID}/{name}" in str(caught.value) and word in str(caught.value)


# --- experiments ------------------------------------------------------------------------------------------------


@given(
    st.builds(
        Experiment,
        name=NAMES,
        id=st.just("0123456789abcdef"),
        created=TIMES | st.none(),
        description=TEXT | st.none(),
        tags=st.dictionaries(NAMES, TEXT, max_size=2),
        goals=st.dictionaries(NAMES, st.sampled_from(["min", "max"]), max_size=2),
        deleted=TIMES | st.none(),
        extra=st.dictionaries(st.just("later"), VALUES, max_size=1),
    )
)
def test_an_experiment_reads_back(experiment: Experiment) -> None:
    read = layout.read_experiment(experiment_folder(experiment.name), layout.experiment_document(experiment))
    assert spelled(vars(read)) == spelled(vars(experiment))


def test_an_experiment_without_a_document_is_named_by_its_folder() -> None:
    assert layout.read_experiment("NYC%20taxi", None).name == "NYC taxi"


def test_the_format_version() -> None:
    assert layout.read_format(layout.gxt_document()) == layout.FORMAT == 1
    with pytest.raises(FormatError):
        layout.read_format(b"format: one\n")
    with pytest.raises(FormatError):
        layout.read_format(b"")


# --- metrics.csv ------------------------------------------------------------------------------------------------


@given(POINTS)
@example([MetricPoint(0, 'say "x"', 1.0, 0)])
@example([MetricPoint(0, 'a,"b",c', math.nan, 0), MetricPoint(0, '"', -math.inf, 0)])
def test_points_read_back_in_logging_order(points: list[MetricPoint]) -> None:
    assert repr(list(layout.read_points(layout.write_points(points)))) == repr(points)


@given(POINTS)
def test_others_read_the_points_as_csv(points: list[MetricPoint]) -> None:
    import csv
    import io

    header, *rows = csv.reader(io.StringIO(layout.write_points(points).decode()))
    assert header == ["step", "metric", "value", "time"]
    assert [(row[1], repr(float(row[2]))) for row in rows] == [(p.metric, repr(p.value)) for p in points]


@given(POINTS, st.integers(1, 60))
def test_a_file_that_a_crash_cut_loses_the_cut_line_alone(points: list[MetricPoint], cut: int) -> None:
    data = layout.write_points(points)
    left = data[: max(len(layout.METRICS_HEADER), len(data) - cut)]
    whole = left.count(b"\n") - 1
    assert repr(list(layout.read_points(left))) == repr(points[:whole])


def test_lines_that_are_no_points_are_passed_over() -> None:
    data = b"step,metric,value,time\n0,a,1,5\n\n1,a,\n1,a,2\x18\n2,a,\xff,7\nx,a,1,5\n3,a,4,5\n"
    assert list(layout.read_points(data)) == [MetricPoint(0, "a", 1.0, 5), MetricPoint(3, "a", 4.0, 5)]


@given(FLOATS)
def test_a_value_is_exact_and_shortest(value: float) -> None:
    text = layout.metric_value(value)
    assert repr(float(text)) == repr(value)
    if math.isfinite(value):
        digits = len(text.split("e")[0].lstrip("-").replace(".", "").strip("0"))
        assert digits < 2 or float(f"{value:.{digits - 2}e}") != value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (6.3017, "6.3017"),
        (6.0, "6"),
        (-0.0, "-0"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (1e-7, "1e-07"),
    ],
)
def test_how_values_are_written(value: float, text: str) -> None:
    assert layout.metric_value(value) == text


# --- paths and messages -----------------------------------------------------------------------------------------


def test_paths_on_the_branch() -> None:
    assert layout.run_path("NYC taxi", RUN_ID) == f"experiments/NYC%20taxi/{RUN_ID}"
    assert layout.experiment_path("taxi") == "experiments/taxi/experiment.yaml"


def trailers(message: str) -> list[str]:
    done = subprocess.run(
        ["git", "interpret-trailers", "--parse"], input=message, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_a_commit_message_is_a_journal_line_and_trailers() -> None:
    run = Run(
        RUN_ID,
        "nyc-taxi",
        "calm-otter",
        metrics={"rmse": Summary(6.3017, 6, 9, 9, 10, 11)},
        source={"commit": "5b6f0d1c"},
    )
    message = layout.runs_message([run])
    assert message.splitlines()[0] == "nyc-taxi: calm-otter finished, rmse=6.3017"
    assert trailers(message) == [f"Gxt-Run: {RUN_ID}", "Gxt-Code: 5b6f0d1c"]


def test_a_commit_of_several_runs_names_each() -> None:
    runs = [Run(f"20261123-08300{i}-3f9a1c2e", "taxi", f"run-{i}", status="killed") for i in range(3)]
    message = layout.runs_message(runs)
    assert message.splitlines()[0] == "taxi: 3 runs"
    assert "taxi: run-1 was killed" in message
    assert trailers(message) == [f"Gxt-Run: {run.id}" for run in runs]
    mixed = layout.runs_message([runs[0], replace(runs[1], experiment="other")])
    assert mixed.splitlines()[0] == "2 experiments: 2 runs"


def test_an_edit_s_message() -> None:
    message = layout.edit_message(Run(RUN_ID, "taxi", "calm-otter"), "tagged stage=prod")
    assert message.splitlines()[0] == "taxi: calm-otter tagged stage=prod"
    assert trailers(message) == [f"Gxt-Run: {RUN_ID}"]


def test_a_journal_line_stays_short_with_many_metrics() -> None:
    metrics = {f"a_rather_long_metric_name_{i}": Summary(1 / 3, 0, 1, 1 / 3, 0, 1) for i in range(9)}
    subject = layout.runs_message([Run(RUN_ID, "taxi", "calm-otter", metrics=metrics)]).splitlines()[0]
    assert len(subject) <= 100 and "0.333333" in subject


POINT_LINES = st.sampled_from(
    [
        b"0,a,1,5",
        b"-1,a,nan,5",
        b'1,"a,b",-inf,5',
        b"1,a,1e-5,-5",
        b"x1,a,1,5",
        b"1,a,1",
        b"1,a,x,5",
        b"",
        b"1,a,1,5,",
        b"1,a,e,5",
    ]
)


@given(st.lists(POINT_LINES, max_size=5), st.booleans(), st.sampled_from([b"", b"1,a,1,5"]))
def test_broken_lines_are_those_that_are_no_points(lines: list[bytes], has_header: bool, rest: bytes) -> None:
    data = (layout.METRICS_HEADER if has_header else b"") + b"".join(line + b"\n" for line in lines) + rest
    broken = layout.broken_lines(data)
    count = len(lines) + bool(rest)
    assert len(broken) == count - len(list(layout.read_points(data)))
    assert set(broken) <= {*lines, rest}
