from __future__ import annotations

import enum
import math
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gxt import model, names
from gxt.errors import UsageError
from gxt.model import MetricPoint, Run, Summary

ANY_NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
DEVICES = st.sampled_from(["con", "CON.txt", "nul", "aux.tar.gz", "com1", "LPT9.x", "COM¹", "conin$", "prn"])
LAST_MOMENT = 253_402_300_799_999  # in the year 9999


# --- time -------------------------------------------------------------------------------------------------------


@given(st.integers(0, LAST_MOMENT))
def test_a_time_reads_back(ms: int) -> None:
    text = model.format_time(ms)
    assert model.parse_time(text) == ms
    assert len(text) == 24 and text.endswith("Z")


def test_a_time_is_rfc_3339_with_milliseconds() -> None:
    assert model.format_time(1_795_422_600_123) == "2026-11-23T08:30:00.123Z"


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-11-23T08:30:00Z", 1_795_422_600_000),
        ("2026-11-23T08:30:00z", 1_795_422_600_000),
        ("2026-11-23T08:30:00", 1_795_422_600_000),
        ("2026-11-23 08:30:00", 1_795_422_600_000),
        ("2026-11-23T08:30:00.1", 1_795_422_600_100),
        ("2026-11-23T08:30:00.123456789Z", 1_795_422_600_123),
        ("2026-11-23T09:30:00.123+01:00", 1_795_422_600_123),
        ("2026-11-23", 1_795_392_000_000),
    ],
)
def test_the_spellings_of_a_time(text: str, ms: int) -> None:
    assert model.parse_time(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026",
        "2026-13-01T00:00:00Z",
        "2026-11-23T08:30:00 o'clock",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        model.parse_time(text)


def test_a_time_out_of_range_is_refused() -> None:
    with pytest.raises(UsageError, match="out of range"):
        model.format_time(10**18)


# --- ids and names ----------------------------------------------------------------------------------------------


def test_a_run_id_is_its_start_and_32_random_bits() -> None:
    run_id = model.new_run_id(1_795_422_600_123)
    assert model.RUN_ID.fullmatch(run_id)
    assert run_id.startswith("20261123-083000-")
    assert model.new_run_id(1_795_422_600_123) != run_id


def test_run_ids_sort_by_start() -> None:
    starts = [0, 999_999_999_000, 1_795_422_600_000, 1_795_422_601_000]
    ids = [model.new_run_id(start) for start in starts]
    assert ids == sorted(ids)


def test_an_experiment_id_is_8_to_32_letters_and_digits() -> None:
    assert 8 <= len(model.new_experiment_id()) <= 32
    assert model.new_experiment_id().isalnum()


@given(ANY_NAME | DEVICES | st.sampled_from([".", "..", "...", "-", "-x", ".git", "a.", "%41", "a/b", "a b", "CON."]))
@example("NYC taxi/2021")
def test_an_experiment_s_folder_holds_its_name_in_safe_bytes(name: str) -> None:
    folder = model.experiment_folder(name)
    assert model.experiment_name(folder) == name
    assert set(folder) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-%")
    assert folder[0] not in ".-" and folder[-1] != "."
    assert not model._WINDOWS_DEVICE.fullmatch(folder)
    assert unquote_to_bytes(folder).decode() == name


@given(ANY_NAME, ANY_NAME)
def test_two_experiments_never_share_a_folder(one: str, other: str) -> None:
    assert (model.experiment_folder(one) == model.experiment_folder(other)) == (one == other)


def test_ordinary_names_are_their_own_folders() -> None:
    for name in ("nyc-taxi", "v1.2_final", "A", "0"):
        assert model.experiment_folder(name) == name


@given(ANY_NAME)
def test_a_name_is_given_back_or_refused_with_the_reason(name: str) -> None:
    try:
        assert model.check_name("param", name) == name
    except UsageError as error:
        assert "param" in str(error)
    else:
        assert name.isprintable() and name.strip() == name and len(name.encode()) <= 250


@pytest.mark.parametrize("name", ["", " ", " a", "a ", "a\nb", "a\tb", "x" * 251, "é" * 126, 3, None, "a\udc80"])
def test_names_that_cannot_be(name: object) -> None:
    with pytest.raises(UsageError):
        model.check_name("metric", name)


@pytest.mark.parametrize(
    "name", ["a", "learning rate", "loss/train", "a,b", 'say "x"', "größe", "x" * 250, "@", "模型"]
)
def test_names_that_can_be(name: str) -> None:
    assert model.check_name("metric", name) == name


@given(ANY_NAME)
@example("数" * 83)
def test_an_experiment_that_may_be_named_can_be_a_folder_on_every_file_system(name: str) -> None:
    try:
        model.check_experiment_name(name)
    except UsageError:
        return
    assert len(model.experiment_folder(name)) <= 255


# --- artifact paths ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("a.txt", "a.txt"),
        ("./models//lin_reg.bin", "models/lin_reg.bin"),
        ("a/b/c", "a/b/c"),
        ("Größe/模型 1.bin", "Größe/模型 1.bin"),
        (".hidden", ".hidden"),
        ("a.git", "a.git"),
        ("console.txt", "console.txt"),
        ("-dash", "-dash"),
    ],
)
def test_artifact_paths_that_can_be(path: str, kept: str) -> None:
    assert model.check_artifact_path(path) == kept


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "/etc/passwd",
        "../a",
        "a/../b",
        "a/..",
        ".git/config",
        "a/.GIT/x",
        "git~1",
        ".g\u200cit/x",
        ".git./x",
        "a:b",
        "C:\\x",
        "a\\b",
        "what?",
        "a*b",
        'a"b',
        "<a>",
        "a|b",
        "line\nbreak",
        "nul",
        "sub/AUX.txt",
        "com1.log",
        "ends.",
        "ends ",
        "dir./x",
        "x" * 256,
        "a\x00b",
    ],
)
def test_artifact_paths_that_cannot_be_everywhere(path: str) -> None:
    with pytest.raises(UsageError):
        model.check_artifact_path(path)


@given(st.text(max_size=20) | st.text("./ab~1git \\:", max_size=12))
def test_an_artifact_path_stays_inside_the_run(path: str) -> None:
    try:
        kept = model.check_artifact_path(path)
    except UsageError:
        return
    parts = kept.split("/")
    assert not kept.startswith("/") and all(part not in ("", ".", "..") for part in parts)
    assert ".git" not in [part.lower() for part in parts]
    assert model.check_artifact_path(kept) == kept
    assert Path("/run", kept).as_posix() == f"/run/{kept}"


# --- values -----------------------------------------------------------------------------------------------------


class Scalar:
    """Like a tensor with one element."""

    def __init__(self, value: float) -> None:
        self.value = value

    def item(self) -> float:
        return self.value


class Eager:
    """Like TensorFlow's eager tensors: numpy(), no item()."""

    def numpy(self) -> Any:
        return numpy.float32(0.5)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        (0.5, 0.5),
        (True, 1.0),
        (numpy.float32(0.5), 0.5),
        (numpy.int64(3), 3.0),
        (numpy.bool_(True), 1.0),
        (numpy.array(0.5), 0.5),
        (numpy.array([0.5]), 0.5),
        (numpy.array([[2]]), 2.0),
        (Scalar(0.25), 0.25),
        (Eager(), 0.5),
    ],
)
def test_what_is_a_number(value: object, expected: float) -> None:
    found = model.number(value)
    assert type(found) is float and found == expected


@pytest.mark.parametrize(
    "value", ["0.5", b"1", None, [1], {}, 1j, numpy.array([1, 2]), numpy.array([]), 10**400, object(), Scalar]
)
def test_what_is_no_number(value: object) -> None:
    with pytest.raises(UsageError):
        model.number(value)


def test_infinities_and_nan_are_numbers() -> None:
    assert model.number(numpy.float64("inf")) == math.inf
    assert math.isnan(model.number(float("nan")))


@pytest.mark.parametrize(("step", "expected"), [(3, 3), (3.0, 3), (numpy.int32(7), 7), (-1, -1), (True, 1)])
def test_what_is_a_step(step: object, expected: int) -> None:
    found = model.step_number(step)
    assert found == expected and type(found) is int


@pytest.mark.parametrize("step", [3.5, math.inf, math.nan, "3", None])
def test_what_is_no_step(step: object) -> None:
    with pytest.raises(UsageError):
        model.step_number(step)


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("xgb", "xgb"),
        (1, 1),
        (0.1, 0.1),
        (None, None),
        (True, True),
        ((1, 2), [1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        ({"a": {1: 2}}, {"a": {"1": 2}}),
        (numpy.float64(0.1), 0.1),
        (numpy.int32(4), 4),
        (numpy.bool_(False), False),
        (numpy.arange(3), [0, 1, 2]),
        (Path("data/x"), "data/x"),
        (Colour.RED, "Colour.RED"),
        (Level.HIGH, 3),
        ("a\udc80", "a\\udc80"),
    ],
)
def test_a_param_as_yaml_holds_it(value: object, expected: object) -> None:
    found = model.param_value(value)
    assert found == expected and type(found) is type(expected)


def test_nested_params_flatten_with_dots() -> None:
    assert model.flatten({"model": {"depth": 3, "sub": {"a": 1}}, "lr": 0.1, "empty": {}}) == {
        "model.depth": 3,
        "model.sub.a": 1,
        "lr": 0.1,
        "empty": {},
    }


def test_nested_params_edited_by_hand_may_have_numbers_as_keys() -> None:
    assert model.flatten({"layers": {0: 64, True: 1}}) == {"layers.0": 64, "layers.True": 1}


@given(st.text())
def test_clean_text_is_utf_8(text: str) -> None:
    assert model.clean_text(text).encode("utf-8").decode() == model.clean_text(text)


# --- summaries --------------------------------------------------------------------------------------------------

POINTS = st.lists(
    st.builds(
        MetricPoint,
        step=st.integers(-2, 3),
        metric=st.sampled_from("ab"),
        value=st.floats() | st.sampled_from([0.0, 1.0, math.nan]),
        time=st.integers(0, 2),
    ),
    max_size=30,
)


@given(POINTS)
def test_a_summary_is_what_the_history_says(points: list[MetricPoint]) -> None:
    found = model.summarise(points)
    assert list(found) == sorted({point.metric for point in points})
    for name, summary in found.items():
        own = [point for point in points if point.metric == name]
        numbers = [point.value for point in own if not math.isnan(point.value)]
        in_order = sorted(own, key=lambda p: (p.step, p.time, p.value == p.value, p.value if p.value == p.value else 0))
        first, last = in_order[0], in_order[-1]
        expected = Summary(
            last=last.value,
            min=min(numbers, default=math.nan),
            max=max(numbers, default=math.nan),
            first=first.value,
            step=last.step,
            count=len(own),
        )
        assert repr(summary).replace("-0.0", "0.0") == repr(expected).replace("-0.0", "0.0")


def test_a_summary_of_nothing_is_empty() -> None:
    assert model.summarise([]) == {}


# --- runs -------------------------------------------------------------------------------------------------------


def test_a_run_speaks_mlflow_s_names() -> None:
    run = Run(
        "20261123-083000-3f9a1c2e",
        "taxi",
        "calm-otter",
        started=1000,
        ended=3500,
        params={"model": {"depth": 3}},
        metrics={"rmse": Summary(6.3, 6.0, 9.0, 9.0, 10, 11)},
        tags={"stage": "dev"},
    )
    assert run.info.run_id == run.info.run_uuid == run.id
    assert (run.info.status, run.info.lifecycle_stage, run.info.run_name) == ("FINISHED", "active", "calm-otter")
    assert run.data.metrics == {"rmse": 6.3}
    assert run.data.params == {"model.depth": 3}
    assert run.data.tags == {"stage": "dev"}
    assert run.duration == 2.5 and run.short_id == "3f9a1c2e"
    assert Run("x", "taxi", started=1).duration is None


def test_a_readable_name_is_two_words() -> None:
    adjective, animal = names.readable_name().split("-")
    assert adjective.isalpha() and animal.isalpha()
