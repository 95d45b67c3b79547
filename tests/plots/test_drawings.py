"""Charts as real files and as text: each kind is drawn, holds its labels, and is what its ending says."""

from __future__ import annotations

import html
import io
import math
import re
import shutil
import struct
import subprocess
import sys
import warnings
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.cells import cell_len

from gxt import plots
from gxt.errors import MissingPackageError, UsageError
from gxt.plots import charts, images, labels, terminal
from helpers import Build, Train

KINDS = {
    "curve": ["loss", "acc"],
    "scatter": ["lr", "loss"],
    "bar": ["loss"],
    "parallel": ["loss"],
    "importance": ["loss"],
}


@pytest.fixture
def runs(train: Train) -> None:
    """Six runs, one of which is named to be mistaken for markup or mathematics, with gaps in its history."""
    for i in range(5):
        train(f"run-{i}", {"lr": 10.0**-i, "model": "ab"[i % 2]}, loss=[3 - i / 5, 2, 1 + i], acc=[i / 5])
    train("_<b>$x_1$&日本", {"lr": 0.5, "model": "$c$"}, loss=[2, math.nan, 0.5])


def svg_texts(data: bytes) -> list[str]:
    return ["".join(node.itertext()).strip() for node in ElementTree.fromstring(data).findall(".//{*}text")]


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_as_every_file(build: Build, kind: str) -> None:
    chart = build(*KINDS[kind], kind=kind)
    png = plots.file_content(chart, "png")
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    assert width == 1200 and 200 < height < 1500
    assert plots.file_content(chart, "pdf").startswith(b"%PDF-")
    svg = plots.file_content(chart, "svg")
    assert any("loss" in text for text in svg_texts(svg))
    assert svg == plots.file_content(chart, "svg")
    page = plots.file_content(chart, "html").decode()
    assert (
        "default-src 'none'" in page
        and "loss" in page
        and not re.search(r"<(script|link|img)[^>]*(src|href)=.(https?:)?//", page)
    )
    with pytest.raises(UsageError, match="png, svg, pdf, html"):
        plots.file_content(chart, "gif")


@pytest.mark.usefixtures("runs")
def test_names_stand_in_images_as_they_are(build: Build) -> None:
    assert "_<b>$x_1$&日本" in svg_texts(plots.file_content(build("loss"), "svg"))
    assert "_<b>$x_1$&日本" in svg_texts(plots.file_content(build("loss", kind="bar"), "svg"))
    assert "model=$c$ (1 run)" in svg_texts(plots.file_content(build("loss", group_by="model"), "svg"))
    assert "$c$" in svg_texts(plots.file_content(build("model", "loss", kind="scatter"), "svg"))


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_as_text(build: Build, kind: str) -> None:
    chart = build(*KINDS[kind], kind=kind)
    for width in (20, 60, 133):
        for colour in (False, True):
            text = terminal.text(chart, width, colour)
            plain = re.sub(r"\x1b\[[\d;]*m", "", text)
            assert (plain != text) == colour
            assert [line for line in plain.splitlines() if cell_len(line) > max(width, 40)] == []
            assert colour or not any(line != line.rstrip() for line in plain.splitlines())
            assert "loss" in plain


@pytest.mark.usefixtures("runs")
def test_every_group_of_dots_in_its_colour(build: Build) -> None:
    text = terminal.text(build("lr", "loss", kind="scatter", group_by="model"), 80, True)
    assert {"\x1b[34mo", "\x1b[33mo", "\x1b[32mo"} <= set(re.findall(r"\x1b\[\d\dmo", text))
    letters = terminal.text(build("lr", "loss", kind="scatter", group_by="model"), 80, False)
    assert all(re.search(f"│.*{letter}.*│", letters) for letter in "abc")


@pytest.mark.usefixtures("runs")
def test_numbers_matter_more_than_bars(train: Train, build: Build) -> None:
    long = "a_metric_with_a_name_longer_than_any_run"
    train("x", **{long: [1234.5]})
    chart = build(long, kind="bar")
    for width in (40, 60, 80, 100):
        assert terminal.text(chart, width, False).splitlines()[-1].endswith("1234.5")
    importance = charts.ImportanceChart("", ["a_rather_long_param"], [1.1391], [0.3512], [0.5], [-0.25])
    for width in (48, 60, 80):
        assert re.search(r" 1\.139 ± 0\.351 +0\.500 +-0\.25$", terminal.text(importance, width, False))
    assert re.search(r" 1\.139 ± 0\.351 +0\.500$", terminal.text(importance, 40, False))


def test_what_stands_beside_the_axes_of_a_terminal(train: Train, build: Build) -> None:
    train("a", {"model": "ridge"}, loss=[12.5, 5, 3], tokens=[1e11, 5e11, 1e12], rate=[1, 0.1, 0.01])
    train("b", {"model": "lasso"}, loss=[4])

    def beside(text: str) -> list[str]:
        return [line.rpartition("│ ")[2] for line in text.splitlines() if "│ " in line and line[-1] not in "│ "]

    assert beside(terminal.text(build("loss"), 80, False)) == ["12", "10", "8", "6", "4"]
    tokens = terminal.text(build("tokens"), 80, False)
    assert beside(tokens) == ["1e12", "8e11", "6e11", "4e11", "2e11"]
    assert tokens.splitlines()[-2].split() == ["0", "1", "2"], "steps are whole numbers"
    rates = beside(terminal.text(build("rate", log_y=True), 80, False))
    assert {"1", "0.1", "0.01"} <= set(rates) and not any("^" in text for text in rates)
    for width in (40, 80):
        by_time = terminal.text(build("loss", x="time", runs=["a"]), width, False).splitlines()[-2]
        assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d", by_time) and len(by_time) <= width
    names = terminal.text(build("model", "loss", kind="scatter"), 80, False)
    assert names.splitlines()[-1].split() == ["lasso", "ridge"]


def test_names_too_many_for_an_axis_are_listed_below_and_broken_at_words(train: Train, build: Build) -> None:
    for i in range(20):
        train(f"run-{i}", {"model": f"model number {i}"}, loss=[i])
    lines = terminal.text(build("model", "loss", kind="scatter"), 60, False).splitlines()
    below = lines[lines.index(next(line for line in lines if line.startswith("└"))) + 1 :]
    assert below[0].startswith("model: 0 model number 0, 1 ") and all(len(line) <= 60 for line in below)
    assert " ".join(below).count("model number") == 20


@pytest.mark.usefixtures("runs")
def test_the_texts_of_axes_in_pictures(train: Train, build: Build) -> None:
    for seed in range(3):
        train(f"s{seed}", {"seed": seed, "rate": 0.02 + seed / 50}, score=[seed / 3])
    texts = svg_texts(plots.file_content(build("seed", "score", kind="scatter"), "svg"))
    assert {"0", "1", "2"} <= set(texts) and not {"0.5", "0.25", "1.5"} & set(texts[: texts.index("seed")])
    texts = svg_texts(plots.file_content(build("rate", "score", kind="scatter", log_x=True), "svg"))
    assert {"0.02", "0.03", "0.04", "0.05", "0.06"} <= set(texts) and not any("×" in text for text in texts)
    minutes = np.array([0.0, 1, 5]) * 60_000 + 1_795_460_000_000
    panel = charts.Panel(charts.Axis("loss"), [charts.Curve(0, minutes, np.array([3.0, 2.5, 1]))])
    figure = images.figure(charts.Curves("", charts.Axis("time (UTC)", "time"), [panel], ["a"], [0]))
    figure.draw_without_rendering()
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()][:3] == ["18:54", "18:55", "18:56"]
    assert figure.axes[0].xaxis.get_offset_text().get_text() == "2026-Nov-23"


def test_bars_of_importance_have_the_whole_axis_and_correlations_stand_beside_it() -> None:
    chart = charts.ImportanceChart("importance", ["a", "b"], [1.1, 0.2], [0.04, 0.1], [0.7, 0.3], [0.5, None])
    (axes,) = images.figure(chart).axes
    assert axes.get_xlim()[1] < 1.3
    assert "+0.50" in svg_texts(plots.file_content(chart, "svg"))


@pytest.mark.usefixtures("runs")
def test_a_groups_title_ends_before_the_legend(build: Build) -> None:
    figure = images.figure(build("loss", group_by="model", smooth=0.6))
    figure.draw_without_rendering()
    title = figure.axes[0].title if figure.axes[0].title.get_text() else figure.axes[0]._left_title
    assert figure._suptitle is None and title.get_window_extent().x1 < figure.legends[0].get_window_extent().x0


@pytest.mark.usefixtures("runs")
def test_letters_that_no_font_has_are_not_warned_of(build: Build) -> None:
    chart = build("loss")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.file_content(chart, "png")
        figure = images.figure(chart)
        figure.suptitle("\U0001f680 \ue000")
        figure.savefig(io.BytesIO(), bbox_inches="tight")


@pytest.mark.usefixtures("runs")
def test_without_colour_letters_tell_curves_apart(build: Build) -> None:
    text = terminal.text(build("loss"), 80, False)
    assert "aa run-0" in text and "ff _<b>$x_1$&日本" in text and re.search("│.*[a-f]", text)
    alone = terminal.text(build("loss", runs=["run-1"]), 80, False)
    assert "⣿⣿ run-1" in alone and not re.search("│.*a.*│", alone)


def test_bars_start_at_zero_on_both_sides() -> None:
    chart = charts.Bars("", charts.Axis("r2"), [charts.Bar("good", 0.5), charts.Bar("bad", -0.5)])
    good, bad = terminal.text(chart, 60, False).splitlines()[1:]
    assert good.index("█") == bad.rindex("█") + 1


def test_a_legend_of_many_runs_names_the_best(train: Train, build: Build) -> None:
    for i in range(40):
        train(f"run-{i:02}", loss=[5, 100 - i])
    chart = build("loss")
    assert labels.highlighted(chart) == [39, 38, 37, 36, 35, 34, 33]
    texts = svg_texts(plots.file_content(chart, "svg"))
    assert [text for text in texts if text.startswith("run-")] == [f"run-{i}" for i in range(39, 32, -1)]
    assert "33 others" in texts
    legend = terminal.text(chart, 100, False).splitlines()[-1]
    assert legend.rstrip() == "aa run-39   bb run-38   cc run-37   dd run-36   ee run-35   ff run-34   .. 34 others"


def test_curves_over_every_x(train: Train, build: Build) -> None:
    train("a", {"m": 1}, loss=[3, 2, 1])
    train("b", {"m": 1}, loss=[4, 2, 2])
    for options in ({"x": "time"}, {"x": "relative", "log_y": True}, {"smooth": 0.5, "group_by": "m", "log_y": True}):
        chart = build("loss", **options)
        for ending in plots.ENDINGS:
            assert plots.file_content(chart, ending)
        assert "loss by" in terminal.text(chart, 80, False)


def test_times_as_axes(train: Train, build: Build) -> None:
    train("a", loss=[3])
    train("b", loss=[4])
    for fields, kind in (
        (["started", "loss"], "scatter"),
        (["loss", "started"], "scatter"),
        (["started", "loss"], "parallel"),
    ):
        chart = build(*fields, kind=kind)
        for ending in plots.ENDINGS:
            assert plots.file_content(chart, ending)
        assert "started" in terminal.text(chart, 80, False)
    with pytest.raises(UsageError, match="no number"):
        build("started", kind="bar")


def test_a_missing_package_is_named(train: Train, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    monkeypatch.delitem(sys.modules, "gxt.plots.importance", raising=False)
    monkeypatch.delattr(plots, "importance", raising=False)
    train("a", loss=[1])
    with pytest.raises(MissingPackageError, match=r"needs the package sklearn.*git-gxt\[importance\]"):
        build("loss", kind="importance")
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.delitem(sys.modules, "gxt.plots.pages", raising=False)
    monkeypatch.delattr(plots, "pages", raising=False)
    with pytest.raises(MissingPackageError, match=r"plotting needs the package plotly.*git-gxt\[plot\]"):
        plots.file_content(build("loss"), "html")


# --- in a browser -----------------------------------------------------------------------------------------------

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.usefixtures("runs")
def test_pages_open_in_a_browser_without_network_and_errors(build: Build, tmp_path: Path) -> None:
    drawn = [build(*fields, kind=kind) for kind, fields in KINDS.items()]
    drawn.append(build("loss", group_by="model", smooth=0.3))
    frames = []
    filled = [
        number for number, chart in enumerate(drawn) if not isinstance(chart, (charts.Bars, charts.ImportanceChart))
    ]
    for number, chart in enumerate(drawn):
        (tmp_path / f"{number}.html").write_bytes(plots.file_content(chart, "html"))
        frames.append(f'<iframe src="{number}.html" height="700" width="900" onload="done(this)"></iframe>')
    # One start of the browser for all pages; a frame's texts end up in the document that is printed.
    (tmp_path / "all.html").write_text(
        "<script>function done(frame) { const p = document.createElement('pre');"
        "const plot = frame.contentDocument.querySelector('.main-svg').getBoundingClientRect();"
        "p.dataset.bottom = `${frame.getAttribute('src')} ${Math.round(plot.bottom)}`;"
        "p.textContent = JSON.stringify([...frame.contentDocument.querySelectorAll('text, p')]"
        ".map(t => t.textContent));"
        f"document.body.append(p) }}</script>{''.join(frames)}"
    )
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    command += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path}/profile"]
    command += ["--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom"]
    command.append(f"file://{tmp_path}/all.html")
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line and "GL" not in line]
    assert said == []  # nor a refusal by the pages' own policy, which forbids all network; WebGL has no GPU here
    found = re.findall(r"<pre[^>]*>(\[.*?\])</pre>", done.stdout)
    bottoms = {int(page): int(bottom) for page, bottom in re.findall(r'data-bottom="(\d+)\.html (\d+)"', done.stdout)}
    assert all(bottoms[number] > 600 for number in filled), bottoms
    assert len(found) == len(drawn)
    assert all("loss" in texts for texts in found), found
    assert "_<b>$x_1$&日本" in html.unescape(done.stdout)
