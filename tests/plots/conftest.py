"""Runs with histories, and plots of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from gxt import plots, recorder
from gxt.git import Repository
from gxt.plots import Options
from helpers import Build, Train


@pytest.fixture
def train(repo: Repository) -> Train:
    """`train("a", {"lr": 0.1}, loss=[3, 2, 1])`: record a run, a value a step; its id."""

    def run(
        name: str,
        params: Mapping[str, Any] | None = None,
        experiment: str = "taxi",
        end: bool = True,
        **metrics: Sequence[float],
    ) -> str:
        recording = recorder.begin(repo, experiment, name=name)
        recording.log_params(params or {})
        for metric, values in metrics.items():
            for step, value in enumerate(values):
                recording.log_metric(metric, value, step)
        if end:
            recording.end("finished")
        return recording.run_id

    return run


@pytest.fixture
def build(repo: Repository) -> Build:
    """`build("loss", smooth=0.5)`: the chart of all runs."""

    def chart(*fields: str, runs: Sequence[str] = (), columns: int | None = None, **options: Any) -> Any:
        return plots.build(repo, plots.select(repo, runs), fields, Options(**options), columns)

    return chart
