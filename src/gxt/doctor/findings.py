"""One thing that the doctor found."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """Something that is wrong, or a remark.

    Attributes:
        where: a path on the branch, or what of the clone it is about.
        what: what is wrong there.
        advice: what to do about it, or what mending does.
        fixable: whether `mend` mends it.
        is_remark: nothing is wrong; it is only worth knowing.
        run: the id of the run that it is about.
    """

    where: str
    what: str
    advice: str = ""
    fixable: bool = False
    is_remark: bool = False
    run: str | None = None
