"""A comparison as text, markdown and HTML."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gxt import git
from gxt.comparison import findings, markdown, webpage
from gxt.comparison.curves import curve_differences
from gxt.comparison.files import file_difference
from gxt.comparison.findings import Blob, CodeChange, Findings
from gxt.comparison.outline import outline_of, stat_table
from gxt.comparison.packages import package_differences
from gxt.comparison.terminal import terminal
from gxt.model import MetricPoint, Run, summarise

NASTY = '<script>alert(1)</script> | `x` @all *b* \x1b[31m "q" &amp;'


def plain(text: str, style: str) -> str:
    return text


def marked(text: str, style: str) -> str:
    return f"<{style}>{text}</>" if style else text


def made(number: int, name: str, metrics: dict[str, float] | None = None, **content: Any) -> Run:
    points = [MetricPoint(0, metric, value, 0) for metric, value in (metrics or {}).items()]
    return Run(
        f"20261123-083000-{number:08x}", "taxi", name, started=0, ended=1500, metrics=summarise(points), **content
    )


def compared(*runs: Run, **more: Any) -> Findings:
    return Findings(
        runs,
        attributes=findings.attributes(runs),
        params=findings.params(runs),
        metrics=findings.metrics(runs, {}),
        tags=findings.tags(runs),
        inputs=findings.inputs(runs),
        source=findings.source(runs),
        **more,
    )


def text_of(found: Findings, width: int | None = None, paint: Any = plain) -> list[str]:
    return terminal(outline_of(found, now=60_000), width, paint).splitlines()


TWO = compared(
    made(1, "one", {"rmse": 6.0, "acc": 0.5}, params={"alpha": 0.1, "model": "lasso", "same": 1}, tags={"a": "b"}),
    made(2, "two", {"rmse": 5.0, "acc": 0.4}, params={"alpha": 0.2, "depth": 3, "same": 1}, tags={"a": "b"}),
)


def test_the_page() -> None:
    assert text_of(TWO) == [
        "                one        two",
        "    id          00000001   00000002",
        "    experiment  taxi       taxi",
        "    started     1 min ago  1 min ago",
        "    duration    1.5 s      1.5 s",
        "",
        "params  1 changed, 1 added, 1 removed",
        "  ~ alpha       0.1        0.2        +0.1  +100%",
        "  + depth                  3",
        "  - model       lasso",
        "  1 the same",
        "",
        "metrics  1 better, 1 worse",
        "  ~ acc         0.5        0.4        -0.1    -20%  worse",
        "  ~ rmse        6          5            -1  -16.7%  better",
        "",
        "the same: 1 tag",
    ]


def test_better_is_green_and_worse_red() -> None:
    text = "\n".join(text_of(TWO, paint=marked))
    assert re.search(r"rmse .*<green>5</> .*<green>better</>", text)
    assert re.search(r"acc .*<red>0.4</> .*<red>worse</>", text)


def test_nothing_differs() -> None:
    one = made(1, "one", params={"a": 1})
    assert text_of(compared(one, made(2, "two", params={"a": 1})))[-3:] == ["nothing differs", "", "the same: 1 param"]
    assert "one and the same run" in "\n".join(text_of(compared(one, one)))
    assert not compared(one, one).different and TWO.different


def test_runs_of_one_name_are_told_apart() -> None:
    assert text_of(compared(made(1, "x"), made(2, "x"), made(3, "y")))[0].split() == [
        "x",
        "00000001",
        "x",
        "00000002",
        "y",
    ]


def test_more_than_two_runs_have_a_column_each() -> None:
    found = compared(
        made(1, "one", {"rmse": 4.0}, params={"a": 1}),
        made(2, "two", {"rmse": 5.0}, params={"a": 1}),
        made(3, "three", {"rmse": 2.0}, params={}),
    )
    text = "\n".join(text_of(found, paint=marked))
    assert re.search(r"a +1 +1\n", text)
    assert re.search(r"rmse +4 +<red>5 \(\+25% worse\)</> +<green>2 \(-50% better\)</>", text)


def test_nearly_equal_values_keep_their_columns() -> None:
    values = (4.9271448123456, 4.9271448723456, 4.9271448923456)
    found = compared(*(made(i, f"a-longer-name-{i}", {"rmse": value}) for i, value in enumerate(values)))
    lines = text_of(found, 80)
    at = next(i for i, line in enumerate(lines) if line.startswith("    rmse"))
    assert lines[at].split() == ["rmse", "4.92714481", "4.92714487", "4.92714489"]
    assert lines[at + 1].split() == ["(+1.22e-06%)", "(+1.62e-06%)"]
    starts = [lines[0].index(f"a-longer-name-{i}") for i in range(3)]
    assert [lines[at].index(text) for text in lines[at].split()[1:]] == starts


def test_long_lists_are_folded_on_a_terminal() -> None:
    environments = [b"", "".join(f"p{i:02}=={i}\n" for i in range(78)).encode()]
    found = compared(made(1, "one"), made(2, "two"), packages=package_differences(environments))
    folded = terminal(outline_of(found), 100, plain, whole=False).splitlines()
    assert "packages  78 added" in folded and "  … and 70 more; --all shows them" in folded
    assert sum("  + p" in line for line in folded) == 8
    assert sum("  + p" in line for line in terminal(outline_of(found), 100, plain).splitlines()) == 78


def test_jupyters_own_style_does_not_align_the_cells() -> None:
    assert "text-align: left !important" in webpage.fragment(outline_of(TWO))


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_table_fits_the_terminal(width: int) -> None:
    long = "a long text, " * 20
    found = compared(made(1, "one", params={"x": 1, "long": long}), made(2, "two", params={"x": 2, "long": long + "!"}))
    lines = text_of(found, width)
    assert all(len(line) <= width for line in lines if "a long text" not in line)
    assert f"      + {long}!" in lines


def test_many_runs_on_a_narrow_terminal_are_listed() -> None:
    lines = text_of(compared(*(made(i, f"run-{i}", params={"x": i}) for i in range(12))), 80)
    assert "      run-11: 11" in lines


def test_what_looks_alike_is_spelled_out() -> None:
    one, other = {"a": 1, "b": 0.12345678, "c": None, "d": "x"}, {"a": "1", "b": 0.12345679, "c": "null", "d": "y"}
    text = "\n".join(text_of(compared(made(1, "one", params=one), made(2, "two", params=other))))
    for words in (r'a +1 +"1"', r"b +0.12345678 +0.12345679", r'c +null +"null"', r"d +x +y"):
        assert re.search(words, text)


def test_artifacts_of_one_size_show_their_ids() -> None:
    blobs = [{"m": Blob(5, "a" * 40), "n": Blob(5, None)}, {"m": Blob(5, "b" * 40), "n": Blob(6, None)}]
    text = "\n".join(text_of(compared(made(1, "one"), made(2, "two"), artifacts=findings.artifacts(blobs))))
    assert re.search(r"m +5 B aaaaaaa +5 B bbbbbbb", text) and re.search(r"n +5 B +6 B", text)


def test_code() -> None:
    commit = git.Commit("c" * 40, "Ada", 0, "Use the log")
    change = CodeChange(1, (commit,) * 25, (), (git.FileChange("train.py", 3, 1), git.FileChange("a.png", None, None)))
    one = made(1, "one", source={"commit": "a" * 40, "dirty": True})
    other = made(2, "two", source={"commit": "c" * 40, "dirty": True})
    text = "\n".join(text_of(compared(one, other, code=(change,))))
    for words in (
        "code  25 commits, 2 files changed, +3 -1 lines",
        "25 commits only in two:",
        "cccccccccc  Use the log  (Ada, 1970-01-01)",
        "… and 5 more",
        "train.py  +3 -1",
        "a.png     binary",
        "one and two ran with uncommitted changes",
    ):
        assert words in text
    missing = CodeChange(1, missing=("a" * 40,))
    assert "commit aaaaaaaaaa is not in this repository" in "\n".join(text_of(compared(one, other, code=(missing,))))


def test_code_as_it_ran() -> None:
    def ran(number: int, name: str, snapshot: str, **more: Any) -> Run:
        source = {"command": name, "commit": "a" * 40, "dirty": snapshot != "a", "snapshot": snapshot * 40, **more}
        return made(number, name, source=source)

    def said(*runs: Run, **more: Any) -> str:
        return "\n".join(text_of(compared(*runs, **more)))

    files = (git.FileChange("b.py", 3, 0, "renamed", "a.py"), git.FileChange("run\n.sh", 0, 0, "mode"))
    left_out = {"trips.bin": {"size": 6_000_000}, "pipe": {"problem": "no file"}}
    one, two, third = ran(1, "one", "a"), ran(2, "two", "b", left_out=left_out), ran(3, "three", "b")
    text = said(one, two, code=(CodeChange(1, files=files, as_it_ran=True),))
    assert re.search("~ snapshot +aaaaaaaaaa +bbbbbbbbbb", text)
    assert re.search(r"\+ not kept +trips\.bin \(6\.0 MB\), pipe \(no file\)", text)
    assert "code  2 files changed, +3 -0 lines" in text and "from one to two: 2 files changed" in text
    assert re.search(r"a\.py => b\.py +\+3 -0, renamed\n +run \.sh +mode", text)
    assert "`gxt diff 00000001 00000002 --code` shows the lines" in text
    assert "not kept, and so not compared: trips.bin, pipe" in text and "which may differ" not in text
    text = said(two, third)
    assert "the same code, uncommitted changes included" in text and "which may differ" not in text
    assert "from one to two and three: " in said(
        *(one, two, third), code=tuple(CodeChange(i, files=files, as_it_ran=True) for i in (1, 2))
    )
    assert "one and two ran the same files" in said(one, two, code=(CodeChange(1, as_it_ran=True),))
    assert "the code of two is not in this repository" in said(one, two, code=(CodeChange(1, missing=("b" * 40,)),))
    nonsense = {"commit": ["a"], "snapshot": {"b": 1}, "left_out": "all", "submodules": 1, "edited": None}
    assert "which may differ" in said(made(1, "one", source=nonsense), two)
    assert "not kept" not in said(one, third) and "snapshot" not in said(one, ran(2, "two", "a"))


def test_control_characters_of_others_do_not_reach_the_terminal() -> None:
    found = compared(
        made(1, NASTY, params={NASTY: "\x1b[2J\x07"}, tags={"t": "a\nb"}),
        made(2, "two\x9b", params={NASTY: "x"}, tags={"t": "c"}),
        files=(file_difference("a.txt", b"\x1b[0m\n", b"x\ty\n"),),
    )
    assert not re.search(r"[^\x20-\x7e\t\u2026\u2192]", "".join(text_of(found)))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def nasty(text: str) -> Findings:
    return compared(
        made(1, text, {"m": 1.0}, params={"p": text, text or "q": 1}, note=text),
        made(2, "two", {"m": 2.0}, params={"p": "x"}, source={"command": text}),
        files=(file_difference(f"artifacts/{text}", text.encode(errors="replace"), b"x\n"),),
    )


@given(st.text(max_size=20) | st.just(NASTY))
def test_html_is_whole_and_has_no_markup_of_others(text: str) -> None:
    parser = Tags()
    parser.feed(webpage.page(outline_of(nasty(text))))
    assert parser.open == []
    ours = "html head meta title body div style h1 h2 table thead tbody tr th td span details summary code pre p b"
    assert parser.tags <= set(ours.split())


def test_html_shows_text_as_it_is_but_for_control_characters() -> None:
    parser = Tags()
    parser.feed(webpage.fragment(outline_of(nasty(NASTY))))
    assert NASTY.replace("\x1b", r"\x1b") in parser.text and parser.tags & {"html", "script"} == set()


@given(st.text(max_size=20) | st.just(NASTY))
def test_markdown_tables_keep_their_shape(text: str) -> None:
    page = markdown.markdown(outline_of(nasty(text)))
    tables = re.findall(r"(?:^\|.*\|$\n?)+", page, re.MULTILINE)
    assert tables
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    outside = re.sub(r"(`+)[^`].*?\1", "", page, flags=re.DOTALL)
    assert "<script" not in outside and "@all" not in outside


def test_markdown_folds_what_is_long() -> None:
    environments = ["".join(f"p{i}=={v}\n" for i in range(9)).encode() for v in (1, 2)]
    found = compared(made(1, "one", params={"a": 1}), made(2, "two"), packages=package_differences(environments))
    page = markdown.markdown(outline_of(found))
    assert page.startswith("### `one` → `two`\n")
    assert "**Params**: 1 removed\n\n|  | `one` | `two` |\n| --- | --- | --- |\n| `a` (removed) | `1` |  |\n" in page
    assert "<details><summary>Packages: 9 upgraded</summary>\n\n|  |" in page
    assert "| started | 1970-01-01 00:00 UTC |" in page


def test_a_fence_is_longer_than_what_it_holds() -> None:
    file = file_difference("artifacts/a.md", b"```\ncode\n```\n", b"````\n")
    page = markdown.markdown(outline_of(Findings((made(1, "one"), made(2, "two")), files=(file,))))
    assert "\n`````diff\n" in page


def test_very_long_parts_are_cut() -> None:
    lines = "".join(f"line {i}\n" for i in range(5_000)).encode()
    rows = b"id,x\n" + b"".join(b"r%d,%d\n" % (i, i) for i in range(2_000))
    other = b"id,x\n" + b"".join(b"r%d,%d\n" % (i, i + 1) for i in range(2_000))
    files = (file_difference("a.txt", lines, b""), file_difference("a.csv", rows, other))
    found = outline_of(Findings((made(1, "one"), made(2, "two")), files=files))
    for page in (markdown.markdown(found), webpage.page(found)):
        assert "more lines" in page and re.search(r"… and \d+ more\b(?! lines)", page)


def test_stat() -> None:
    dirty = [made(i, f"{i}", source={"dirty": True}) for i in range(2)]
    assert stat_table(outline_of(compared(*dirty))).rows == []
    assert "nothing differs" in text_of(compared(*dirty)) and "uncommitted" in "".join(text_of(compared(*dirty)))
    table = stat_table(outline_of(TWO))
    assert table.rows == [["params", "1 changed, 1 added, 1 removed", 1], ["metrics", "1 better, 1 worse", 0]]


def test_a_metric_and_its_best_value_count_as_one() -> None:
    def measured(*values: float) -> Run:
        points = [MetricPoint(i, "loss", value, i) for i, value in enumerate(values)]
        return replace(made(len(values), f"{len(values)}"), metrics=summarise(points))

    lines = text_of(compared(measured(5, 1, 2), measured(5, 2, 2, 3)))
    assert "metrics  1 worse" in lines and sum(" loss" in line for line in lines) == 2


def test_curves() -> None:
    curves = curve_differences([{"loss": {0: 1.0, 1: 3.0}}, {"loss": {0: 1.0, 1: 2.5}}])
    text = "\n".join(text_of(compared(made(1, "one"), made(2, "two"), curves=curves)))
    assert re.search(r"~ loss +3 +2.5 +0.5 apart  at step 1$", text)
