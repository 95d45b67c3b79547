"""render: the same table in every format, whatever its cells hold."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from gxt import render
from gxt.render import Column, Spread, Table
from gxt.render.cells import spread

TABLE = Table(
    [Column("name"), Column("rmse", "number", "metrics.rmse"), Column("started", "time"), Column("note")],
    [["one", 6.25, 1_795_422_600_123, "a | b"], ["two", 5.5, None, "<i>&"], ["three", math.nan, None, None]],
    best={(1, 1)},
    depths=[0, 1, 0],
    same=["params.seed=1"],
    notes=["a remark"],
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=30)


def test_a_terminal_shows_the_best_the_nested_and_what_is_the_same() -> None:
    assert render.terminal(TABLE, None)[0].splitlines() == [
        "name    rmse  started                   note",
        "one    6.25   2026-11-23T08:30:00.123Z  a | b",
        "└ two   5.5*                            <i>&",
        "three   nan",
        "",
        "same in all: params.seed=1",
        "a remark",
    ]
    coloured, _ = render.terminal(TABLE, None, colour=True)
    assert "\x1b[1;32m5.5\x1b[0m" in coloured and "*" not in coloured


def test_the_columns_of_the_lowest_rank_stay() -> None:
    columns = [Column("name"), Column("b", rank=2), Column("c", rank=1), Column("d", rank=3)]
    table = Table(columns, [["x", "b" * 10, "c" * 10, "d"]])
    text, hidden = render.terminal(table, None, 20)
    assert text.splitlines() == ["name  c           d", "x     cccccccccc  d"] and hidden == ["b"]


def test_long_cells_and_titles_are_cut_before_columns_go() -> None:
    table = Table([Column("name"), Column("model.optimizer.learning_rate")], [["a" * 38, "b" * 38]])
    assert render.terminal(table, None, 100)[0].splitlines()[1] == f"{'a' * 38}  {'b' * 38}"
    text, hidden = render.terminal(table, None, 66)
    title, row = text.splitlines()
    assert hidden == [] and title.split() == ["name", "…optimizer.learning_rate"] and row == f"{'a' * 38}  {'b' * 23}…"


def test_titles_that_would_become_alike_stay() -> None:
    titles = ["first.optimizer.learning_rate", "other.optimizer.learning_rate"]
    table = Table([Column("name"), *map(Column, titles)], [["x", 1, 2]])
    assert render.terminal(table, None, 50)[1] == [titles[1]]


@given(
    st.lists(st.tuples(TEXT, st.floats(), st.none() | st.integers() | TEXT), min_size=1, max_size=4),
    st.integers(20, 60),
)
def test_a_terminal_is_never_wider_than_it_is(rows: list[tuple[str, float, object]], width: int) -> None:
    table = Table([Column("n"), Column("x", "number"), Column("other")], [list(row) for row in rows], {(0, 1)})
    text, hidden = render.terminal(table, None, width)
    lines = text.splitlines()
    assert len(lines) == len(rows) + 1
    assert all(cell_len(line) <= width for line in lines) or hidden == ["x", "other"]
    assert all(line.isprintable() for line in lines)


def test_what_would_move_the_cursor_is_spelled_out() -> None:
    table = Table([Column("a\x1b[31m")], [["x\x1b[2Jy\nz"]])
    assert render.terminal(table, None)[0] == "a\\x1b[31m\nx\\x1b[2Jy z\n"


def test_what_is_the_same_fits_one_line() -> None:
    table = Table([Column("name")], [["x"]], same=[f"params.p{i}={i}" for i in range(20)])
    assert render.terminal(table, None, 80)[0].splitlines()[3] == (
        "same in all: params.p0=0, params.p1=1, params.p2=2 and 17 more (--all-columns)"
    )
    assert "params.p19=19" in render.terminal(table, None)[0]


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [
        (4.92714, 0.0312, "4.927 ± 0.031"),
        (123456.7, 1234.0, "123457 ± 1234"),
        (0.5, 0.25, "0.50 ± 0.25"),
        (2.0, 0.0, "2 ± 0"),
        (4.92714, None, "4.92714"),
        (math.inf, math.nan, "inf ± nan"),
        (1e-9, 1e-10, "1e-09 ± 1e-10"),
    ],
)
def test_means_have_the_digits_that_the_deviation_leaves_them(mean: float, std: float | None, text: str) -> None:
    assert spread(Spread(mean, std)) == text


def test_markdown() -> None:
    assert render.markdown(TABLE, None).splitlines() == [
        "| name | rmse | started | note |",
        "| --- | --: | --- | --- |",
        "| one | 6.25 | 2026-11-23T08:30:00.123Z | a \\| b |",
        "| └ two | **5.5** |  | \\<i>& |",
        "| three | nan |  |  |",
        "",
        "same in all: params.seed=1",
        "",
        "a remark",
    ]
    words = render.markdown(Table([Column("train_rmse")], [["_a_ *b* `c`"]]), None)
    assert "train_rmse" in words and "\\_a\\_ \\*b\\* \\`c\\`" in words


@given(st.lists(st.tuples(TEXT, TEXT), max_size=4))
def test_html_holds_any_text(rows: list[tuple[str, str]]) -> None:
    class Cells(html.parser.HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: list[str] = []
            self.cells: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.tags.append(tag)
            if tag == "td":
                self.cells.append("")

        def handle_data(self, data: str) -> None:
            if self.cells and self.tags[-1] == "td":
                self.cells[-1] += data.rstrip("\n") if data.strip("\n") == "" else data

    reader = Cells()
    reader.feed(render.html_text(Table([Column("<b>"), Column("b")], [list(row) for row in rows]), None))
    assert set(reader.tags) == {"meta", "title", "style", "table", "thead", "tr", "th", "tbody"} | (
        {"td"} if rows else set()
    )
    shown = [render.cell_text(cell, "text", None, None) for row in rows for cell in row]
    assert reader.cells == shown


def test_html_marks_the_best_and_indents_the_nested() -> None:
    page = render.html_text(TABLE, None)
    assert '<td class="number"><b>5.5</b></td>' in page and "<td>&emsp;two</td>" in page
    assert "&lt;i&gt;&amp;" in page and "<p>same in all: params.seed=1</p>" in page


def test_latex() -> None:
    table = TABLE._replace(
        rows=[["a_b & 50%", -6.25, None, "[x] ~^\\"], ["two", 1.5e-7, None, "<|>"], ["*", Spread(2.0, 0.5), None, '"']]
    )
    assert render.latex(table, None).splitlines() == [
        "% \\usepackage{booktabs}",
        "\\begin{tabular}{lrll}",
        "\\toprule",
        "name & rmse & started & note \\\\",
        "\\midrule",
        "a\\_b \\& 50\\% & $-$6.25 &  & {[}x{]} \\textasciitilde{}\\textasciicircum{}\\textbackslash{} \\\\",
        "\\quad two & \\textbf{$1.5 \\times 10^{-7}$} &  & \\textless{}\\textbar{}\\textgreater{} \\\\",
        "{*} & 2.00 $\\pm$ 0.50 &  & \\textquotedbl{} \\\\",
        "\\bottomrule",
        "\\end{tabular}",
        "% same in all: params.seed=1",
        "% a remark",
    ]


@given(TEXT)
def test_latex_leaves_no_special_character_alone(text: str) -> None:
    line = render.latex(Table([Column("x")], [[text]]), None).splitlines()[5].removesuffix(" \\\\")
    bare = re.sub(
        r"\\(?:textbackslash|textasciitilde|textasciicircum|text\w+|ldots)\{\}|\$\\pm\$|\\[&%$#_{}]", "", line
    )
    bare = re.sub(r"\{[\[\]*]\}", "", bare)
    assert not set(bare) & set('\\~^&%$#_{}[]*<>|"')


@given(st.lists(st.tuples(TEXT, st.floats(allow_nan=False), st.booleans()), max_size=4))
def test_csv_reads_back(rows: list[tuple[str, float, bool]]) -> None:
    table = Table([Column("n"), Column("x", "number", "metrics.x"), Column("b")], [list(row) for row in rows])
    for delimiter in (",", "\t"):
        titles, *found = csv.reader(io.StringIO(render.csv_text(table, delimiter), newline=""), delimiter=delimiter)
        assert titles == ["n", "metrics.x", "b"]
        assert [(name, float(x), b == "true") for name, x, b in found] == rows


def test_json_has_full_values_and_the_columns_names() -> None:
    rows = json.loads(render.document(TABLE, "json"))
    assert rows[0] == {"name": "one", "metrics.rmse": 6.25, "started": "2026-11-23T08:30:00.123Z", "note": "a | b"}
    lines = render.document(TABLE, "jsonl").decode().splitlines()
    assert [json.loads(line)["metrics.rmse"] for line in lines] == [6.25, 5.5, "nan"]


def test_parquet_has_types() -> None:
    pyarrow = pytest.importorskip("pyarrow.parquet")
    columns = ["text", "whole", "mixed", "huge", "nothing", "list", "both"]
    table = Table(
        [*map(Column, columns), Column("at", "time")],
        [["a", 1, 1, 2**70, None, [1], 1, 1000], [None, 2, "x", None, None, None, 0.5, None]],
    )
    found = pyarrow.read_table(io.BytesIO(render.document(table, "parquet")))
    kinds = {field.name: str(field.type) for field in found.schema}
    assert kinds == {
        "text": "string",
        "whole": "int64",
        "mixed": "string",
        "huge": "double",
        "nothing": "string",
        "list": "string",
        "both": "double",
        "at": "timestamp[ms, tz=UTC]",
    }
    assert found.column("mixed").to_pylist() == ["1", "x"] and found.column("huge").to_pylist() == [2.0**70, None]
