"""What commands that move runs show: how far it has come, what git says of it, which runs they are."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence

from gxt import showing
from gxt.cli import output
from gxt.git import Talk
from gxt.joining import Moved
from gxt.large import Progress
from gxt.model import experiment_name
from gxt.pointers import Pointer

LISTED = 20
"""So many runs are listed one by one."""


def runs_text(moved: Sequence[Moved]) -> str:
    """How many runs are new, changed or gone; empty for none."""
    counts = {what: sum(one.what == what for one in moved) for what in ("new", "changed", "gone")}
    said = [f"{counts['new']} run{'' if counts['new'] == 1 else 's'}"] if counts["new"] else []
    said += [f"changes to {counts['changed']} run{'' if counts['changed'] == 1 else 's'}"] if counts["changed"] else []
    said += [f"the purge of {counts['gone']} run{'' if counts['gone'] == 1 else 's'}"] if counts["gone"] else []
    return " and ".join(said)


def moved_text(
    moved: Sequence[Moved],
    experiments: Sequence[str],
    has_moved: bool,
    artifacts: Sequence[Pointer] = (),
    code: Sequence[str] = (),
) -> str:
    """What came or went, in a few words: runs, experiments' own documents, large artifacts, code of earlier runs, or,
    where it is none of these, what else is on the branch; empty where nothing did."""
    said = [runs_text(moved)] if moved else []
    if len(experiments) == 1:
        said.append(f"changes to the experiment {showing.one_line(experiment_name(experiments[0]))}")
    elif experiments:
        said.append(f"changes to {len(experiments)} experiments")
    if artifacts:
        from gxt import render  # here for start-up time

        size = render.size(sum(pointer.size for pointer in artifacts))
        said.append(f"{len(artifacts)} large artifact{'' if len(artifacts) == 1 else 's'} ({size})")
    if code:
        said.append(f"the code of earlier runs ({len(code)} commit{'' if len(code) == 1 else 's'})")
    return " and ".join(said) or ("changes to what the branch says of itself" if has_moved else "")


def run_lines(moved: Sequence[Moved], names: Mapping[str, str]) -> list[str]:
    """A line for each of the runs, by their names where these are known; of many, for the first of them."""
    lines = [
        f"  {one.what:<7} {showing.one_line(names.get(one.run, one.run))} ({one.run}) in {experiment_name(one.folder)}"
        for one in moved[:LISTED]
    ]
    return lines + ([f"  and {len(moved) - LISTED} more"] if len(moved) > LISTED else [])


def run_json(moved: Moved) -> dict[str, str]:
    """The same of one, for programs."""
    return {"id": moved.run, "experiment": experiment_name(moved.folder), "what": moved.what}


def talk(remote: str, quiet: bool = False) -> Talk:
    """How git is to talk to a remote: with its progress shown on a terminal, and asking there for a password."""

    def said(text: str) -> None:
        sys.stderr.write(showing.drawn(text, keep="\r"))
        sys.stderr.flush()

    def silent(seconds: float) -> None:
        output.note(f"{remote} has said nothing for {seconds:.0f} seconds; Ctrl-C stops waiting, and loses nothing")

    shown = sys.stderr.isatty() and not quiet
    return Talk(said=said if shown else None, silent=silent, asks=sys.stdin.isatty())


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
        bars.update(task, advance=moved, total=total if total is not None else whole)

    try:
        yield show
    finally:
        if begun:
            bars.stop()
