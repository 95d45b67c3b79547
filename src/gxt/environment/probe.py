"""Run by another Python, which may have no gxt: says as JSON what that Python is, and has."""

import sys

sys.path[:] = [_entry for _entry in sys.path if _entry]  # a `json.py` in the current directory is not meant

import importlib.util  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import platform  # noqa: E402
import re  # noqa: E402
from importlib.metadata import distributions  # noqa: E402
from typing import Dict, List, Optional  # noqa: E402, UP035 (that Python may be an old one)


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
    try:
        # The whole metadata would be parsed as an e-mail message, ten times as slow.
        _text = _one.read_text("METADATA") or _one.read_text("PKG-INFO") or ""
        _name = re.search(r"^Name: *(\S+)", _text, re.MULTILINE)
        _version = re.search(r"^Version: *(\S+)", _text, re.MULTILINE)
        if _name is None or _version is None:
            continue
        _key = re.sub(r"[-_.]+", "-", _name.group(1)).lower()
        _is_conda = _in_conda and (_one.read_text("INSTALLER") or "").strip() == "conda"
        _from = "conda" if _is_conda else _one.read_text("direct_url.json")
        _packages.setdefault(_key, [_name.group(1), _version.group(1), _from])
    except (OSError, ValueError):  # what pip left behind of it
        continue

_about = {
    "version": platform.python_version(),
    "implementation": platform.python_implementation(),
    "prefix": sys.prefix,
    "base_prefix": sys.base_prefix,
    "packages": [_packages[key] for key in sorted(_packages)],
    "folders": _folders(),
    "notebooks": all(importlib.util.find_spec(name) for name in ("nbclient", "nbformat")),
}
os.write(1, json.dumps(_about).encode() + b"\n")
