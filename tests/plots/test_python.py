"""gxt.plot: the figure, the runs it is of, and how a notebook shows it."""

from __future__ import annotations

import os
import sys

import pytest
from matplotlib.figure import Figure

import gxt
from gxt.errors import NotFoundError, UsageError
from helpers import Train


def curves(figure: Figure) -> list[list[float]]:
    """The y values of the lines of a figure's first panel."""
    return [line.get_ydata().tolist() for line in figure.axes[0].lines if len(line.get_ydata()) > 1]


def test_the_figure_and_its_runs(train: Train) -> None:
    a = train("a", loss=[3, 2], acc=[0, 1])
    train("b", loss=[5, 4])
    train("c", experiment="other", loss=[9, 8])
    assert len(curves(gxt.plot("loss"))) == 3, "of all experiments, where none was set"
    gxt.set_experiment("taxi")
    figure = gxt.plot("loss")
    assert isinstance(figure, Figure) and curves(figure) == [[3, 2], [5, 4]]
    assert [axes.get_ylabel() for axes in gxt.plot(["loss", "acc"]).axes] == ["loss", "acc"]
    assert curves(gxt.plot("loss", "c")) == [[9, 8]]
    assert curves(gxt.plot("loss", [gxt.get_run(a), "c"])) == [[3, 2], [9, 8]]
    assert curves(gxt.plot("loss", gxt.search_runs()["run_id"])) == [[3, 2], [5, 4]]
    assert curves(gxt.plot("loss", runs=gxt.search_runs())) == [[3, 2], [5, 4]]
    with pytest.raises(UsageError, match="without a column run_id"):
        gxt.plot("loss", gxt.search_runs()[["run_name"]])
    assert curves(gxt.plot("loss", experiment_names=["other"])) == [[9, 8]]
    assert curves(gxt.plot("loss", filter_string="metrics.loss > 3")) == [[5, 4]]
    assert curves(gxt.plot("loss", "c", smooth=0.5))[0] == [9, 8]  # the points behind the average
    for mistake in ({"kind": "pie"}, {"runs": "a", "log_x": True, "x": "time"}):
        with pytest.raises(UsageError):
            gxt.plot("loss", **mistake)
    with pytest.raises(NotFoundError, match="the list of runs is empty"):
        gxt.plot("loss", [])


def test_a_notebook_shows_it(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.delenv("MPLBACKEND")
    monkeypatch.setenv("IPYTHONDIR", os.environ["HOME"])
    monkeypatch.setenv("JUPYTER_PATH", f"{sys.prefix}/share/jupyter")
    train("a", loss=[3, 2])
    code = "import gxt\ngxt.plot('loss', 'a')"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=60).execute()
    (shown,) = notebook.cells[0].outputs
    assert "image/png" in shown["data"]
