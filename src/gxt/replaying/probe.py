"""Run by another Python, which may have no gxt: says as JSON what that Python is, and has."""

import importlib.util
import json
import os
import platform
import re
import sys
from importlib.metadata import distributions
from typing import Dict, List, Optional  # noqa: UP035 (that Python may be an old one)


def _folders() -> List[str]:  # noqa: UP006
    """Where it imports from: its path, and where setuptools' finders have packages that are installed as editable."""
    found = [entry for entry in sys.path if entry and os.path.isdir(entry)]
    for finder in sys.meta_path:
        mapping = getattr(sys.modules.get(getattr(finder, "__module__", "")), "MAPPING", None)
        if isinstance(mapping, dict):
            found += [os.path.dirname(str(folder)) for folder in mapping.values()]
    return found


_in_conda = os.path.isdir(os.path.join(sys.prefix, "conda-meta"))
_packages: Dict[str, List[Optional[str]]] = {}  # noqa: UP006, UP045
for _one in distributions():
    _name = _one.metadata["Name"]
    if _name and _one.version:
        _key = re.sub(r"[-_.]+", "-", _name).lower()
        _is_conda = _in_conda and (_one.read_text("INSTALLER") or "").strip() == "conda"
        _packages.setdefault(_key, [_name, _one.version, "conda" if _is_conda else _one.read_text("direct_url.json")])

_about = {
    "version": platform.python_version(),
    "packages": [_packages[key] for key in sorted(_packages)],
    "folders": _folders(),
    "notebooks": all(importlib.util.find_spec(name) for name in ("nbclient", "nbformat")),
}
os.write(1, json.dumps(_about).encode() + b"\n")
