"""How far sending and fetching have come, on a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from gxt.large import Progress


@contextlib.contextmanager
def transfer_progress(what: str, total: int | None = None) -> Iterator[Progress | None]:
    """A bar on standard error from the first byte on; None where that is no terminal. git-lfs shows its own."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bars = Bars(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
    task = bars.add_task(what, total=total)
    begun = False

    def show(moved: int, whole: int) -> None:
        nonlocal begun
        if not begun:
            begun = True
            bars.start()
        bars.advance(task, moved)

    try:
        yield show
    finally:
        if begun:
            bars.stop()
