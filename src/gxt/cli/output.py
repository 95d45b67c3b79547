"""What all commands share in showing things: colour, pages, warnings, errors."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

import click

from gxt.errors import FormatError, GxtError, GxtWarning, UsageError
from gxt.masking import mask_message
from gxt.showing import drawn, lines, one_line


def _terminal_size() -> os.terminal_size:
    import shutil  # here for start-up time

    return shutil.get_terminal_size()


def is_terminal() -> bool:
    """Whether people read standard output."""
    return sys.stdout.isatty()


def colour() -> bool:
    """Whether to colour standard output: on a terminal, unless NO_COLOR (https://no-color.org) says not to."""
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str) -> str:
    """Text in one of the styles used here: "bold" or a colour's name."""
    if not style or not colour():
        return text
    return click.style(text, bold=True) if style == "bold" else click.style(text, fg=style)


def width() -> int | None:
    """The terminal's width in columns; None in a pipe, where nothing is cut."""
    return _terminal_size().columns if is_terminal() else None


def height() -> int:
    """The terminal's height in lines."""
    return _terminal_size().lines


def page(text: str, wide: bool = False) -> None:
    """Print, through a pager where the text is longer than the terminal; or wider, if it may be `wide`.

    On a terminal, what it would obey is spelled out, but for colours; a pipe gets the text as it is.
    """
    text = drawn(text) if is_terminal() else text
    too_wide = wide and is_terminal() and any(len(line) > _terminal_size().columns for line in plain_lines(text))
    if is_terminal() and (too_wide or text.count("\n") >= _terminal_size().lines):
        # Lines that are cut can be scrolled to only while `less` stays, so it must not end by itself then.
        os.environ.setdefault("LESS", "-RSX" if too_wide else "-FRX")
        click.echo_via_pager(text)
    else:
        click.echo(text, nl=False)


def page_with_notes(text: str, notes: Sequence[str]) -> None:
    """As `page`, wide, and then notes about it; on a terminal these are the last lines, in a pager too, which would
    hide what is said beside it."""
    if is_terminal() and sys.stderr.isatty():
        page(text + "".join(f"{paint(one_line(note), 'bright_black')}\n" for note in notes), wide=True)
        return
    if text:
        page(text, wide=True)
    for one in notes:
        note(one)


def say(text: str) -> None:
    """Print a line, or several, as `page` does but without a pager."""
    click.echo(drawn(text) if is_terminal() else text)


def log(data: bytes) -> None:
    """Print what some program printed once, as it is; on a terminal, only its colours are left, and where a line began
    anew.
    """
    click.echo(drawn(data.decode("utf-8", "replace"), keep="\r") if is_terminal() else data, nl=False)


def plain_lines(text: str) -> list[str]:
    """The lines of a text without its colours."""
    return click.unstyle(text).splitlines()


def save(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all, in place of one that may be there.

    Raises:
        UsageError: it cannot be written.
    """
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        if target.exists() and not target.is_file():  # a pipe, or /dev/stdout
            target.write_bytes(content)
            return
        beside.write_bytes(content)
        if target.exists():
            beside.chmod(target.stat().st_mode)
        beside.replace(target)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)


def note(text: str) -> None:
    """A remark beside the output, on standard error."""
    _err(lines(text))


def problems(found: Sequence[FormatError]) -> None:
    """Say what could not be read, and why."""
    for problem in found:
        note(f"gxt: {problem}")


_BAR = 30


def progress(what: str = "reading runs") -> Callable[[int, int], None] | None:
    """Shows on a terminal's standard error how far reading runs, or something else, has come, once that takes over a
    second.
    """
    if not sys.stderr.isatty():
        return None
    begun = time.monotonic()
    shown = False

    def show(done: int, total: int) -> None:
        nonlocal shown
        if done < total and time.monotonic() - begun > 1:
            bar = f"{'#' * (_BAR * done // total):<{_BAR}}"
            click.echo(f"\r{what} [{bar}] {done} of {total}", nl=False, err=True)
            shown = True
        elif shown and done >= total:
            click.echo("\r\x1b[K", nl=False, err=True)

    return show


def show_error(error: GxtError) -> int:
    """A known error: one line, and a hint."""
    _err(f"{click.style('gxt:', fg='red')} {lines(error.message)}")
    if error.hint:
        _err(f"  {lines(error.hint)}")
    return error.exit_code


def show_usage(error: click.ClickException) -> int:
    """A command line that click could not make sense of, in the same form."""
    _err(f"{click.style('gxt:', fg='red')} {lines(error.format_message())}")
    context = getattr(error, "ctx", None)
    if context is not None:
        _err(f"  `{context.command_path} --help` says more")
    return error.exit_code


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """gxt's own warnings as a line each; others' are not a user's business on the command line."""
    if issubclass(category, GxtWarning):
        _err(f"{click.style('gxt:', fg='yellow')} {lines(str(message))}")


def show_bug(error: Exception, arguments: Sequence[str]) -> int:
    """An error nobody thought of: say that it is a bug, and keep what is needed to report it."""
    import platform
    import traceback

    from gxt import __version__
    from gxt.capture import command_text

    if (path := _in_the_way(error)) is not None:
        why = f"{path} is in the way of Python's own module {path.stem}"
        return show_error(
            GxtError(
                f"{why}: {type(error).__name__}: {str(error)[:200]}",
                "rename it, or take its folder off the path that Python imports from (PYTHONPATH)",
            )
        )
    about = [
        f"gxt {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"command: {command_text(['gxt', *arguments])}",
        "",
        mask_message("".join(traceback.format_exception(error))),
    ]
    import tempfile

    with tempfile.NamedTemporaryFile("w", prefix="gxt-bug-", suffix=".log", delete=False, encoding="utf-8") as log:
        log.write("\n".join(about))
    _err(f"{click.style('gxt:', fg='red')} this is a bug in gxt: {type(error).__name__}: {one_line(str(error)[:200])}")
    _err(f"  what is needed to report it: {Path(log.name)}")
    return 70  # EX_SOFTWARE of sysexits.h


def _in_the_way(error: Exception) -> Path | None:
    """A file of the user's that was imported in place of a module of Python's, if there is one: then what went wrong is
    no bug of gxt's."""
    import traceback

    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    loaded = [getattr(sys.modules.get(name), "__file__", None) for name in sys.stdlib_module_names]
    for path in map(Path, filter(None, [*files, *loaded])):
        is_theirs = not any(path.is_relative_to(prefix) for prefix in (sys.prefix, sys.base_prefix))
        if is_theirs and path.stem in sys.stdlib_module_names and str(path.parent) in map(os.path.abspath, sys.path):
            return path
    return None


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of a file system that takes nothing more, where gxt can do nothing about it."""


def show_full(error: OSError) -> int:
    """A file, most often standard output, that could not be written."""
    close_stdout()
    named = error.filename or "the output, or a file,"  # the error does not tell which
    return show_error(GxtError(f"{named} cannot be written: {error.strerror}"))


def close_stdout() -> None:
    """Nobody takes what is printed; keep Python from complaining about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _err(text: str) -> None:
    """Print what is no answer, on standard error: without the secrets of URLs, which an argument may have brought."""
    click.echo(
        mask_message(text), err=True, color=None if sys.stderr.isatty() and not os.environ.get("NO_COLOR") else False
    )
