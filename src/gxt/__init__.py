"""gxt, a git-native experiment tracker: runs are plain files on a branch of your repository.

>>> import gxt  # doctest: +SKIP
>>> with gxt.start_run():
...     gxt.log_param("alpha", 0.1)
...     gxt.log_metric("rmse", 6.3)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Where each public name is defined. Loaded at first use, so that `import gxt` costs next to nothing.
_NAMES = {
    **dict.fromkeys(
        (
            "active_run",
            "create_experiment",
            "create_run",
            "delete_tag",
            "end_run",
            "get_artifact_uri",
            "get_tracking_uri",
            "last_active_run",
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
            "set_experiment",
            "set_note",
            "set_tag",
            "set_tags",
            "set_tracking_uri",
            "start_run",
        ),
        "gxt.fluent",
    ),
    **dict.fromkeys(
        ("download_artifacts", "get_experiment_by_name", "get_run", "load_table", "search_runs"),
        "gxt.reading",
    ),
    **dict.fromkeys(("Experiment", "MetricPoint", "Run", "Summary"), "gxt.model"),
    "ActiveRun": "gxt.recorder",
    **dict.fromkeys(("GxtError", "GxtWarning", "NotFoundError", "UsageError"), "gxt.errors"),
}

__all__ = [*sorted(_NAMES), "__version__"]  # noqa: PLE0604 (names are text)

if TYPE_CHECKING:
    from gxt.errors import GxtError, GxtWarning, NotFoundError, UsageError
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
    from gxt.model import Experiment, MetricPoint, Run, Summary
    from gxt.reading import download_artifacts, get_experiment_by_name, get_run, load_table, search_runs
    from gxt.recorder import ActiveRun


def __getattr__(name: str) -> Any:
    module = _NAMES.get(name)
    if module is None:
        raise AttributeError(f"module 'gxt' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
