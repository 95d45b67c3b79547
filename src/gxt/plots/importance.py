"""How much params have to do with a metric: a random forest's importances, and rank correlation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from gxt.errors import NotFoundError, UsageError
from gxt.plots import Selection, labels
from gxt.plots.charts import ImportanceChart
from gxt.plots.series import Floats

LEAST_RUNS = 5
_TREES, _REPEATS, _SEED = 300, 20, 0


class Importance(NamedTuple):
    """What a param has to do with a metric.

    Attributes:
        permutation: by how much the forest's R² for the metric falls when the param's values are shuffled among the
            runs, the mean of several shuffles; around 0 where the forest does not need the param.
        deviation: those shuffles' standard deviation.
        impurity: the param's share in how the forest's trees split; all params' together are 1.
        correlation: Spearman's rank correlation with the metric, -1 to 1; None where the param is no number.
    """

    param: str
    permutation: float
    deviation: float
    impurity: float
    correlation: float | None


class Importances(NamedTuple):
    """Every param's importance, the greatest first, and the share of variance that the forest explains in runs which
    it has not seen (its out-of-bag R²): at 0 or below it has learnt nothing, and the importances mean nothing."""

    params: list[Importance]
    explained: float


def importances(columns: Mapping[str, Sequence[float] | Sequence[str]], target: Sequence[float]) -> Importances:
    """The importance of each param for a metric: both are given run by run.

    A param's values are numbers, NaN where a run lacks it (the forest takes that as it is), or texts, which are encoded
    by their place among the sorted texts, as scikit-learn's OrdinalEncoder does.

    The forest and both importances are scikit-learn's, after Breiman, "Random Forests", Machine Learning 45, 2001;
    https://scikit-learn.org/stable/modules/permutation_importance.html says why permutation is to be preferred: the
    impurity's share favours params with many values.
    """
    inputs = np.column_stack([_encoded(values) for values in columns.values()])
    forest = RandomForestRegressor(_TREES, oob_score=True, random_state=_SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few runs: one may be in every tree's sample
        forest.fit(inputs, target)
    shuffled = permutation_importance(forest, inputs, target, n_repeats=_REPEATS, random_state=_SEED)
    found = [
        Importance(
            name,
            float(shuffled.importances_mean[i]),
            float(shuffled.importances_std[i]),
            float(forest.feature_importances_[i]),
            _correlation(values, target),
        )
        for i, (name, values) in enumerate(columns.items())
    ]
    return Importances(sorted(found, key=lambda one: (-one.permutation, one.param)), float(forest.oob_score_))


def _encoded(values: Sequence[float] | Sequence[str]) -> Floats:
    if isinstance(values[0], str):
        return np.unique(np.array(values), return_inverse=True)[1].astype(np.float64)
    numbers = np.array(values, dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _correlation(values: Sequence[float] | Sequence[str], target: Sequence[float]) -> float | None:
    pairs = [(x, y) for x, y in zip(values, target, strict=True) if isinstance(x, float) and math.isfinite(x)]
    if len(pairs) < 3 or len({x for x, _ in pairs}) < 2 or len({y for _, y in pairs}) < 2:
        return None
    return float(spearmanr(*zip(*pairs, strict=True)).statistic)


# --- as a chart ---


def build(selection: Selection, fields: Sequence[str]) -> ImportanceChart:
    """The chart of the params' importance for a metric; of all that differ, or of those that are named."""
    shown = [labels.resolve(text, selection.runs) for text in fields]
    targets = [one for one in shown if one.kind != "params"]
    if len(targets) != 1:
        raise UsageError("importance is for one metric", "gxt plot rmse --kind importance; params may follow")
    target = targets[0]
    values = {run.id: labels.number(target.of(run)) for run in selection.runs}
    known = {run_id: value for run_id, value in values.items() if value is not None and math.isfinite(value)}
    runs = [run for run in selection.runs if run.id in known]
    if len(runs) < LEAST_RUNS:
        raise NotFoundError(
            f"importance needs {LEAST_RUNS} runs with {target}, and there are {len(runs)}",
            "it means something from some ten runs a param on",
        )
    params = [one for one in shown if one.kind == "params"] or labels.varying_params(runs)
    columns = {one.name: _column([one.of(run) for run in runs]) for one in params}
    unique = [name for name, column in columns.items() if isinstance(column[0], str) and len(set(column)) == len(runs)]
    columns = {name: column for name, column in columns.items() if name not in unique}
    if not columns:
        raise NotFoundError(f"these {len(runs)} runs differ in no param that could explain {target}")
    found = importances(columns, [known[run.id] for run in runs])
    remarks = _trust(len(runs), len(columns), found.explained)
    if unique:
        remarks.append(f"left out, a text of its own in every run: {', '.join(unique)}")
    return ImportanceChart(
        f"importance of params for {target.name}",
        [one.param for one in found.params],
        [one.permutation for one in found.params],
        [one.deviation for one in found.params],
        [one.impurity for one in found.params],
        [one.correlation for one in found.params],
        remarks,
    )


def _column(values: Sequence[Any]) -> list[float] | list[str]:
    if labels.is_category(values):
        return [labels.category(value) for value in values]
    numbers = (labels.number(value) for value in values)
    return [math.nan if number is None else number for number in numbers]


def _trust(runs: int, params: int, explained: float) -> list[str]:
    """How far to believe the importances, in words."""
    said = f"{labels.count(runs, 'run')}, {labels.count(params, 'param')}; out-of-bag R² {explained:.2f}"
    if explained <= 0:
        return [f"{said}: the forest predicts unseen runs no better than their mean does; do not trust this"]
    if explained < 0.5 or runs < 10 * params:
        return [f"{said}: take it as a hint, more runs would tell"]
    return [said]
