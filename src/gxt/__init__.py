"""gxt, a git-native experiment tracker: runs are plain files on a branch of your repository.

>>> import gxt  # doctest: +SKIP
>>> with gxt.start_run():
...     gxt.log_param("alpha", 0.1)
...     gxt.log_metric("rmse", 6.3)
"""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_imported_at = time.time()  # what a fork has read it may have read by then: gxt.loaded

# Written out, so that type checkers and editors see the names.
__all__ = [
    "ActiveRun",
    "Comparison",
    "Experiment",
    "GxtError",
    "GxtWarning",
    "MetricPoint",
    "NotFoundError",
    "Reproduction",
    "Rerun",
    "Run",
    "Summary",
    "UsageError",
    "__version__",
    "active_run",
    "best_run",
    "compare",
    "create_experiment",
    "create_run",
    "delete_tag",
    "download_artifacts",
    "end_run",
    "get_artifact_uri",
    "get_experiment_by_name",
    "get_run",
    "get_tracking_uri",
    "last_active_run",
    "load_metrics",
    "load_table",
    "log",
    "log_artifact",
    "log_artifacts",
    "log_dict",
    "log_figure",
    "log_image",
    "log_input",
    "log_metric",
    "log_metrics",
    "log_param",
    "log_params",
    "log_table",
    "log_text",
    "metric_history",
    "plot",
    "pull",
    "push",
    "reproduce",
    "rerun",
    "search_runs",
    "set_experiment",
    "set_note",
    "set_tag",
    "set_tags",
    "set_tracking_uri",
    "start_run",
    "sync",
]

# Where a public name is defined, if not in gxt.fluent. Loaded at first use, so that `import gxt` costs next to nothing.
_ELSEWHERE = {
    **dict.fromkeys(
        ("best_run", "download_artifacts", "get_experiment_by_name", "get_run", "load_table", "search_runs"),
        "gxt.reading",
    ),
    **dict.fromkeys(("Comparison", "compare"), "gxt.comparison"),
    **dict.fromkeys(("pull", "push", "sync"), "gxt.exchange"),
    **dict.fromkeys(("load_metrics", "metric_history"), "gxt.history"),
    **dict.fromkeys(("Reproduction", "Rerun", "reproduce", "rerun"), "gxt.replaying"),
    **dict.fromkeys(("Experiment", "MetricPoint", "Run", "Summary"), "gxt.model"),
    **dict.fromkeys(("GxtError", "GxtWarning", "NotFoundError", "UsageError"), "gxt.errors"),
    "ActiveRun": "gxt.recorder",
    "plot": "gxt.plots",
}

if TYPE_CHECKING:
    from gxt.comparison import Comparison, compare
    from gxt.errors import GxtError, GxtWarning, NotFoundError, UsageError
    from gxt.exchange import pull, push, sync
    from gxt.fluent import (
        active_run,
        create_experiment,
        create_run,
        delete_tag,
        end_run,
        get_artifact_uri,
        get_tracking_uri,
        last_active_run,
        log,
        log_artifact,
        log_artifacts,
        log_dict,
        log_figure,
        log_image,
        log_input,
        log_metric,
        log_metrics,
        log_param,
        log_params,
        log_table,
        log_text,
        set_experiment,
        set_note,
        set_tag,
        set_tags,
        set_tracking_uri,
        start_run,
    )
    from gxt.history import load_metrics, metric_history
    from gxt.model import Experiment, MetricPoint, Run, Summary
    from gxt.plots import plot
    from gxt.reading import best_run, download_artifacts, get_experiment_by_name, get_run, load_table, search_runs
    from gxt.recorder import ActiveRun
    from gxt.replaying import Reproduction, Rerun, reproduce, rerun


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"gxt has no {name!r}; what it has under MLflow's names is in docs/guides/from-mlflow.md")
    value = getattr(importlib.import_module(_ELSEWHERE.get(name, "gxt.fluent")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
