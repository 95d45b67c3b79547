from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
import yaml
from PIL import Image

import gxt
from gxt import catalog, media
from gxt.errors import FormatError, UsageError
from gxt.git import Repository


def written(fill: Any) -> bytes:
    out = io.BytesIO()
    fill(out)
    return out.getvalue()


# --- documents --------------------------------------------------------------------------------------------------


def test_a_document_in_the_format_of_its_ending() -> None:
    content = {"lr": 1e-5, "dims": (64, 32), "name": "größe", "array": numpy.arange(2), "none": None}
    plain = {"lr": 1e-5, "dims": [64, 32], "name": "größe", "array": [0, 1], "none": None}
    assert json.loads(written(media.document(content, "a.json"))) == plain
    assert json.loads(written(media.document(content, "no-ending"))) == plain
    assert yaml.safe_load(written(media.document(content, "a.yaml"))) == plain
    assert yaml.safe_load(written(media.document(content, "a.YML"))) == plain
    assert json.loads(written(media.document([1, {"a": 2}], "a.json"))) == [1, {"a": 2}]
    with pytest.raises(UsageError, match="mapping"):
        media.document([1], "a.yaml")


@pytest.mark.parametrize("path", ["vocabulary.json", "vocabulary.yaml"])
def test_a_document_s_keys_may_be_any_text(path: str) -> None:
    """A vocabulary or a confusion matrix: its keys are data, not names of params."""
    content = {" ": 0, "\n": 1, "": 2, "word ": 3, "x" * 300: 4, "1": 5}
    assert yaml.safe_load(written(media.document(content, path))) == content


# --- figures ----------------------------------------------------------------------------------------------------


@pytest.fixture
def figure() -> Any:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=(1, 1))
    axes.plot([1, 2, 3])
    yield figure
    pyplot.close(figure)


@pytest.mark.parametrize(
    ("path", "start"),
    [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF"), ("a", b"\x89PNG"), ("a.JPG", b"\xff\xd8")],
)
def test_a_matplotlib_figure_in_the_format_of_its_ending(figure: Any, path: str, start: bytes) -> None:
    assert written(media.figure(figure, path, {})).startswith(start)


def test_axes_stand_for_their_figure_and_options_reach_savefig(figure: Any) -> None:
    small = written(media.figure(figure.axes[0], "a.png", {"dpi": 30}))
    large = written(media.figure(figure, "a.png", {"dpi": 90}))
    assert Image.open(io.BytesIO(small)).width < Image.open(io.BytesIO(large)).width


def test_a_plotly_figure_as_html_and_json() -> None:
    graph_objects = pytest.importorskip("plotly.graph_objects")
    figure = graph_objects.Figure(graph_objects.Scatter(y=[1, 2, 3]))
    html = written(media.figure(figure, "a.html", {})).decode()
    assert "<html" in html and len(html) < 100_000
    assert json.loads(written(media.figure(figure, "a.json", {})))["data"][0]["type"] == "scatter"
    assert written(media.figure(figure, "a.html", {"full_html": False})).decode().lstrip().startswith("<div")


def test_what_cannot_be_written_as_a_figure(figure: Any) -> None:
    with pytest.raises(UsageError, match="figure"):
        media.figure("no figure", "a.png", {})
    with pytest.raises(UsageError, match=r"\.xyz"):
        media.figure(figure, "a.xyz", {})


# --- images -----------------------------------------------------------------------------------------------------


def pixels(data: bytes) -> Any:
    return numpy.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (4, 5, 4)])
@pytest.mark.parametrize("kind", ["uint8", "int64", "float32", "bool"])
def test_an_array_is_an_image(shape: tuple[int, ...], kind: str) -> None:
    array = numpy.zeros(shape, dtype=kind)
    array[0, 0] = 1 if kind in ("float32", "bool") else 255
    found = pixels(written(media.image(array, "a.png")))
    assert found.shape == (shape if len(shape) == 3 and shape[2] > 1 else shape[:2])
    assert found.max() == 255 and found.min() == 0


def test_a_float_image_is_scaled_and_an_integer_one_is_not() -> None:
    assert pixels(written(media.image(numpy.full((2, 2), 0.5), "a.png")))[0, 0] == 128
    assert pixels(written(media.image(numpy.full((2, 2), 1, dtype="uint8"), "a.png")))[0, 0] == 1


@pytest.mark.parametrize(
    "array",
    [
        numpy.zeros(3),
        numpy.zeros((2, 2, 2)),
        numpy.zeros((1, 2, 2, 3)),
        numpy.full((2, 2), 2.0),
        numpy.full((2, 2), -1),
        numpy.full((2, 2), 300),
        numpy.full((2, 2), numpy.nan),
    ],
)
def test_arrays_that_are_no_images(array: Any) -> None:
    with pytest.raises(UsageError):
        media.image(array, "a.png")


def test_images_of_other_kinds(tmp_path: Path) -> None:
    image = Image.new("RGB", (3, 2), (255, 0, 0))
    image.save(tmp_path / "in.png")
    assert written(media.image(tmp_path / "in.png", "a.png")) == (tmp_path / "in.png").read_bytes()
    assert written(media.image(str(tmp_path / "in.png"), "a.png")) == (tmp_path / "in.png").read_bytes()
    assert pixels(written(media.image(image, "a.png"))).shape == (2, 3, 3)
    assert written(media.image(image, "a.jpg")).startswith(b"\xff\xd8")
    assert written(media.image(image, "a")).startswith(b"\x89PNG")
    for wrong, path in (
        ("missing.png", "a.png"),
        (object(), "a.png"),
        (image, "a.xyz"),
        (image.convert("RGBA"), "a.jpg"),
    ):
        with pytest.raises(UsageError):
            media.image(wrong, path)


# --- tables -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["t.json", "t.csv", "t.parquet"])
def test_a_table_reads_back(path: str) -> None:
    data = {"n": [1, 2], "x": [0.5, None], "text": ['größe, "a"', "b"]}
    for given in (data, pandas.DataFrame(data)):
        columns, rows = media.read_table(written(media.table(given, path, None)), path)
        assert columns == ["n", "x", "text"]
        assert rows[0] == [1, 0.5, 'größe, "a"'] and rows[1][0] == 2 and rows[1][2] == "b"
        assert rows[1][1] is None or rows[1][1] != rows[1][1]


def test_a_table_of_scalars_has_one_row() -> None:
    given = {"run": "a", "rmse": 0.5, "n": numpy.int64(3), "score": numpy.float64(0.25), "zero_d": numpy.array(1)}
    columns, rows = media.read_table(written(media.table(given, "t.json", None)), "t.json")
    assert (columns, rows) == (["run", "rmse", "n", "score", "zero_d"], [["a", 0.5, 3, 0.25, 1]])


def test_rows_are_added_and_columns_too() -> None:
    first = written(media.table({"a": [1], "b": ["x"]}, "t.json", None))
    second = written(media.table({"b": ["y"], "c": [True]}, "t.json", first))
    assert media.read_table(second, "t.json") == (["a", "b", "c"], [[1, "x", None], [None, "y", True]])


def test_rows_of_a_csv_stay_as_they_are_when_others_are_added() -> None:
    first = written(media.table({"zip": ["00501", "1_000", "nan", "1e3"]}, "t.csv", None))
    second = written(media.table({"zip": ["x"]}, "t.csv", first))
    assert second == first + b"x\n"


def test_what_is_missing_in_a_dataframe_is_null() -> None:
    frame = pandas.DataFrame({"a": pandas.array([1, None], dtype="Int64"), "t": [pandas.Timestamp(0), pandas.NaT]})
    _, rows = media.read_table(written(media.table(frame, "t.json", None)), "t.json")
    assert rows[0][0] == 1 and rows[1] == [None, None]
    assert "1970-01-01" in rows[0][1]


def test_what_is_no_table() -> None:
    with pytest.raises(UsageError, match="length"):
        media.table({"a": [1], "b": [1, 2]}, "t.json", None)
    with pytest.raises(UsageError, match="not a table"):
        media.table([1, 2], "t.json", None)
    with pytest.raises(UsageError, match=r"t\.txt"):
        media.table({"a": [1]}, "t.txt", None)
    for data, path in ((b"{", "t.json"), (b"[]", "t.json"), (b'{"columns": 1}', "t.json"), (b"", "t.csv")):
        with pytest.raises(FormatError):
            media.read_table(data, path)


# --- through a run ----------------------------------------------------------------------------------------------


def test_a_run_keeps_media(repo: Repository, figure: Any) -> None:
    with gxt.start_run():
        gxt.log_figure(figure, "plots/loss.png")
        gxt.log_image(numpy.zeros((2, 2)), "zero.png")
        for step in (1, 10):
            gxt.log_image(numpy.zeros((2, 2)), key="sample", step=step)
        gxt.log_dict({"a": 1}, "conf/a.yaml")
        gxt.log_text("hello", "a.md")
        gxt.log_table({"a": [1]}, "t.json")
        gxt.log_table({"a": [2]}, "t.json")
        with pytest.raises(UsageError):
            gxt.log_image(numpy.zeros((2, 2)))
        with pytest.raises(UsageError):
            gxt.log_image(numpy.zeros((2, 2)), "a.png", key="sample")
    run = catalog.find(repo, "@last")
    assert [path.removeprefix("artifacts/") for path in catalog.files(repo, run) if path.startswith("artifacts/")] == [
        "a.md",
        "conf/a.yaml",
        "images/sample/00000001.png",
        "images/sample/00000010.png",
        "plots/loss.png",
        "t.json",
        "zero.png",
    ]
    assert catalog.read_file(repo, run, "artifacts/conf/a.yaml") == b"a: 1\n"
    assert list(gxt.load_table("t.json", [run.id])["a"]) == [1, 2]


def test_a_resumed_run_s_table_grows_on(repo: Repository) -> None:
    with gxt.start_run() as run:
        gxt.log_table({"a": [1]}, "t.json")
    with gxt.start_run(run_id=run.run_id):
        gxt.log_table({"a": [2]}, "t.json")
    assert list(gxt.load_table("t.json", [run.run_id])["a"]) == [1, 2]
