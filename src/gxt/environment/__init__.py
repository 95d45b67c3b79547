"""run.yaml's `environment`: Python, the machine, chosen environment variables, the container, CI or cluster job.

All of it is read from files and variables, in the background; nothing is asked of a network. `machine` is about
hardware, `host` about what started the program there; `requirements` writes a run's packages in the forms that pip,
conda and uv take. `commands` tells which Python a command starts; only if that is another one than ours, `interpreters`
starts it to ask what it has (`probe.py`), and `started` knows the answer the next time.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gxt.environment import host, machine
from gxt.environment.machine import preload
from gxt.masking.values import mask_variable
from gxt.model import clean_text

__all__ = ["RECORDED", "describe", "prefix_kind", "preload", "variables"]

RECORDED = (
    "CUDA_VISIBLE_DEVICES",
    "CUBLAS_WORKSPACE_CONFIG",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "PYTORCH_CUDA_ALLOC_CONF",
    "TF_DETERMINISTIC_OPS",
    "XLA_FLAGS",
    "JAX_PLATFORMS",
    "JAX_ENABLE_X64",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "TOKENIZERS_PARALLELISM",
    "PYTHONHASHSEED",
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
)
"""Variables on which results or speed depend, and which hold no secret; `gxt.recordEnv` names more."""

_LONGEST = 1000


def describe(patterns: Sequence[str] = (), instead: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """What is known of the environment of this process. `patterns` name variables to be recorded besides RECORDED,
    `instead` has what is known of another Python, with None for what is not.

    >>> list(describe())[:3]
    ['python', 'implementation', 'prefix']
    """
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "prefix": prefix_kind(sys.prefix, sys.base_prefix),
        "python_of": None,
        "platform": f"{platform.system()}-{platform.release()}-{platform.machine()}",
        **machine.describe(),
        # Listed first: another thread may set one meanwhile.
        "variables": variables({name: os.environ.get(name, "") for name in list(os.environ)}, patterns),
        **host.describe(os.environ),
    }
    return {key: value for key, value in {**found, **instead}.items() if value}


def prefix_kind(prefix: str, base: str) -> str:
    """What kind of installation Python runs from: `venv`, `conda`, or `system`."""
    if (Path(prefix) / "conda-meta").is_dir():
        return "conda"
    return "venv" if prefix != base else "system"


def variables(environ: Mapping[str, str], patterns: Sequence[str] = ()) -> dict[str, str]:
    """The variables that are recorded, by name; without their secrets.

    >>> variables({"OMP_NUM_THREADS": "4", "MY_TOKEN": "abc", "HOME": "/home/ada"}, ["MY_*"])
    {'MY_TOKEN': '***', 'OMP_NUM_THREADS': '4'}
    """
    chosen = sorted(name for name in environ if name in RECORDED or any(fnmatchcase(name, each) for each in patterns))
    return {
        clean_text(name): mask_variable(name, clean_text(environ[name]))[:_LONGEST] for name in chosen if environ[name]
    }
