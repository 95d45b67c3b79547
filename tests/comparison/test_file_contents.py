"""Two contents of one file."""

from __future__ import annotations

import csv
import io
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gxt.comparison.files import FileDifference, file_difference, text_lines
from gxt.comparison.findings import Findings
from gxt.comparison.outline import outline_of


def table(columns: list[str], *rows: list[Any]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([columns, *rows])
    return out.getvalue().encode()


def named(found: FileDifference) -> dict[str, tuple[Any, ...]]:
    return {difference.name: difference.values for difference in found.different}


def test_text() -> None:
    found = file_difference("a.md", b"one\ntwo\n", b"one\n2\n")
    assert (found.form, found.kind, found.sizes) == ("text", "changed", (8, 6))
    assert found.lines == ("@@ -1,2 +1,2 @@", " one", "-two", "+2")


def test_text_that_only_one_run_has() -> None:
    assert file_difference("a.csv", None, b"a\n").lines == ("@@ -0,0 +1 @@", "+a")
    assert file_difference("a.txt", b"a\n", None).kind == "removed"


def test_a_missing_last_line_end_is_said_as_git_says_it() -> None:
    assert text_lines("a\n", "a") == ("@@ -1 +1 @@", "-a", "+a", "\\ No newline at end of file")


@given(st.text("ab\n", max_size=20), st.text("ab\n", max_size=20))
def test_texts_differ_where_they_do(one: str, other: str) -> None:
    assert bool(text_lines(one, other)) == (one != other)


def test_what_is_no_text_is_binary() -> None:
    assert file_difference("a.png", b"\x89PNG\0", b"\x89PNG\0\1").form == "binary"
    assert file_difference("latin.txt", b"\xe9", b"e").form == "binary"
    assert file_difference("latin.csv", b"\xe9", b"e").form == "binary"


def test_cells_by_the_first_column_where_it_names_the_rows() -> None:
    found = file_difference(
        "p.csv",
        table(["id", "p"], ["a", 0.1], ["b", 0.2], ["c", 0.3]),
        table(["id", "p"], ["c", 0.3], ["a", 0.5], ["d", 1]),
    )
    assert named(found) == {
        "id=a, p": (0.1, 0.5),
        "id=b": ({"id": "b", "p": 0.2}, None),
        "id=d": (None, {"id": "d", "p": 1}),
    }
    assert [difference.kind for difference in found.different] == ["changed", "removed", "added"]
    changed = found.different[0].changes[1]
    assert changed is not None and changed.percent == pytest.approx(400)


def test_rows_by_place_where_nothing_names_them() -> None:
    one = table(["x", "y"], [1, 1], [1, 2], [1, 3], [1, 4])
    assert named(file_difference("p.csv", one, table(["x", "y"], [1, 1], [1, 9], [1, 3], [1, 4]))) == {
        "row 2, y": (2, 9)
    }
    shorter = named(file_difference("p.csv", one, table(["x", "y"], [1, 1], [1, 3], [1, 4])))
    assert shorter == {"row 2": ({"x": 1, "y": 2}, None)}


def test_columns() -> None:
    found = file_difference("p.csv", table(["a", "b"], [1, 2], [3, 4]), table(["c", "a"], [0, 1], [0, 3]))
    assert [(d.name, d.kind) for d in found.different] == [("column b", "removed"), ("column c", "added")]


def test_numbers_are_compared_and_not_their_spelling() -> None:
    found = file_difference("p.csv", b"a,b\n1.0,nan\n", b"a,b\r\n1,nan\r\n")
    assert found.form == "table" and found.different == ()
    assert named(file_difference("p.csv", b"a\n12345678901234567890\n", b"a\n12345678901234567891\n"))


def test_a_table_without_a_header() -> None:
    assert named(file_difference("p.csv", b"1,2\n3,4\n", b"1,2\n3,5\n")) == {"1=3, 2": (4, 5)}


@pytest.mark.parametrize("data", [b"a,a\n1,2\n", b"a,b\n1\n"])
def test_what_is_no_plain_table_is_text(data: bytes) -> None:
    assert file_difference("p.csv", data, data + b"x,y,z\n").form == "text"


ROWS = st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=2), max_size=6)


@given(ROWS, ROWS)
def test_no_row_is_lost(one: list[list[int]], other: list[list[int]]) -> None:
    found = file_difference("p.csv", table(["x", "y"], *one), table(["x", "y"], *other))
    kinds = [difference.kind for difference in found.different if "," not in difference.name]
    assert len(other) - len(one) == kinds.count("added") - kinds.count("removed")
    if not found.different:
        assert sorted(one) == sorted(other)


def test_long_tables_are_compared_in_no_time() -> None:
    one = table(["x", "y"], *([i % 7, i] for i in range(20_000)))
    other = table(["x", "y"], *([i % 5, i] for i in range(20_001)))
    assert len(file_difference("p.csv", one, other).different) > 10_000


def test_json_by_key_path() -> None:
    one = {"a": {"b": [1, 2]}, "x.y": 1, "same": [], "old": None}
    other = {"a": {"b": [1, 3, 4]}, "x.y": 2, "same": [], "new": {}}
    found = file_difference("a.json", json.dumps(one).encode(), json.dumps(other, indent=2).encode())
    assert found.form == "json"
    assert named(found) == {
        "a.b[1]": (2, 3),
        '["x.y"]': (1, 2),
        "old": (None, None),
        "a.b[2]": (None, 4),
        "new": (None, {}),
    }


def test_a_json_table_by_cells() -> None:
    def document(*rows: list[Any]) -> bytes:
        return json.dumps({"columns": ["q", "tokens"], "data": rows}).encode()

    found = file_difference("t.json", document(["one", [1]], ["two", [2]]), document(["one", [1]], ["two", [2, 3]]))
    assert named(found) == {"q=two, tokens": ("[2]", "[2, 3]")}


def test_json_text_that_utf_8_cannot_hold_is_spelled_out() -> None:
    assert named(file_difference("a.json", b'{"a": "x"}', b'{"a": "\\ud800"}')) == {"a": ("x", "\\ud800")}


def test_json_that_is_none_is_text() -> None:
    assert file_difference("a.json", b"{}", b"{").form == "text"
    assert file_difference("a.json", b"[" * 100_000, b"{}").form == "text"


def notebook(*sources: str, count: int = 1) -> bytes:
    # As Jupyter writes it: a source is a list of lines.
    cells = [
        {
            "cell_type": "code",
            "id": f"c{i}",
            "source": source.splitlines(keepends=True),
            "metadata": {},
            "outputs": [],
            "execution_count": count,
        }
        for i, source in enumerate(sources)
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def test_notebooks_without_nbdime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nbdime", None)
    found = file_difference("fit.ipynb", notebook("a = 1", "b"), notebook("a = 2", "b", count=7))
    assert found.form == "notebook"
    assert found.lines == ("@@ -1,5 +1,5 @@", " # %% [code]", "-a = 1", "+a = 2", " ", " # %% [code]", " b")
    assert file_difference("fit.ipynb", notebook("a"), notebook("a", count=7)).lines == ()
    assert file_difference("fit.ipynb", b"no", b"notebook").form == "text"


def test_notebooks_with_nbdime() -> None:
    pytest.importorskip("nbdime")
    found = file_difference("fit.ipynb", notebook("a = 1", "b"), notebook("a = 2", "b"))
    assert found.form == "notebook"
    assert any(line.startswith("-") and "a = 1" in line for line in found.lines)
    assert any(line.startswith("+") and "a = 2" in line for line in found.lines)
    assert found.remark == ""


def test_a_notebook_that_nbdime_does_not_take() -> None:
    pytest.importorskip("nbdime")
    broken = json.dumps({"cells": [{"cell_type": "code", "source": ["a"]}], "nbformat": 9}).encode()
    found = file_difference("fit.ipynb", notebook("b"), broken)
    assert found.form == "notebook" and "-b" in found.lines and "+a" in found.lines
    assert found.remark.startswith("by the source of its cells: nbdime cannot compare it (")
    (part,) = outline_of(Findings((), files=(found,))).parts
    assert part.remarks == (found.remark,)
