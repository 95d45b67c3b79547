"""environment.txt as packages and versions, and which of two versions is the later one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from gxt.comparison.values import CHANGED, NOTHING, Difference, Differences, differences

UPGRADED, DOWNGRADED = "upgraded", "downgraded"


def packages(data: bytes) -> dict[str, str]:
    """Each package's version, with what is said of where it came from.

    >>> packages(b"numpy==2.1.0\\ntaxi==0.1  # editable\\n")
    {'numpy': '2.1.0', 'taxi': '0.1  # editable'}
    """
    found = {}
    for line in data.decode("utf-8", "replace").splitlines():
        name, equals, version = line.strip().partition("==")
        if equals and not name.startswith("#"):
            found[re.sub(r"[-_.]+", "-", name.strip()).lower()] = version.strip()  # PEP 503: one spelling
    return found


def package_differences(environments: Sequence[bytes | None]) -> Differences:
    """Packages added, removed, upgraded or downgraded; nothing where some run did not record its packages."""
    recorded = [packages(data) for data in environments if data is not None]
    if len(recorded) < len(environments):
        return NOTHING
    found = differences(recorded, by_name=True)
    return Differences(tuple(map(_direction, found)), found.same)


def _direction(difference: Difference) -> Difference:
    """The same, as an upgrade or a downgrade where all that changed did so in one direction."""
    if difference.kind != CHANGED or difference.absent:
        return difference
    first, *others = (_version_key(text) for text in difference.values)
    if None in (first, *others) or all(other == first for other in others):
        return difference
    if all(other >= first for other in others):  # type: ignore[operator]  # None is excluded above
        return replace(difference, kind=UPGRADED)
    if all(other <= first for other in others):  # type: ignore[operator]
        return replace(difference, kind=DOWNGRADED)
    return difference


_VERSION = re.compile(
    r"(?:(?P<epoch>\d+)!)?(?P<release>\d+(?:\.\d+)*)"
    r"(?:[-_.]?(?P<pre>a|b|c|rc|alpha|beta|pre|preview)[-_.]?(?P<pre_n>\d*))?"
    r"(?:[-_.]?(?P<post>post|rev|r)[-_.]?(?P<post_n>\d*))?"
    r"(?:[-_.]?(?P<dev>dev)[-_.]?(?P<dev_n>\d*))?(?:\+[a-z0-9.]+)?",
    re.IGNORECASE,
)
_PRE = {"a": 0, "alpha": 0, "b": 1, "beta": 1}


def _version_key(text: str) -> tuple[object, ...] | None:
    """What orders versions as PEP 440 has it, local parts aside; None for what is no such version."""
    match = _VERSION.fullmatch(text.partition("#")[0].strip())
    if match is None:
        return None
    release = [int(part) for part in match["release"].split(".")]
    while release and release[-1] == 0:
        release.pop()
    # A pre-release comes before its release, and a development version before either.
    last = 3 if not match["dev"] or match["post"] else -1
    pre = (_PRE.get(match["pre"].lower(), 2), int(match["pre_n"] or 0)) if match["pre"] else (last, 0)
    post = int(match["post_n"] or 0) if match["post"] else -1
    dev = (0, int(match["dev_n"] or 0)) if match["dev"] else (1, 0)
    return int(match["epoch"] or 0), tuple(release), pre, post, dev
