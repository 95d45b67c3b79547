"""The output of a command that a program runs again, and remarks, on the program's own output as they come."""

from __future__ import annotations

import codecs
import sys
import threading
from collections.abc import Callable

from gxt.commands import Sink
from gxt.masking import mask_message
from gxt.showing import lines


def printer() -> tuple[Sink, Callable[[str], None]]:
    """What passes bytes on to standard output, and what prints a remark there.

    As text by whole characters: in a notebook, standard output is a cell's and takes no bytes.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    one_by_one = threading.Lock()

    def echo(piece: bytes) -> None:
        with one_by_one:
            sys.stdout.write(decoder.decode(piece))
            sys.stdout.flush()

    def said(text: str) -> None:
        with one_by_one:
            sys.stdout.write(f"gxt: {mask_message(lines(text))}\n")
            sys.stdout.flush()

    return echo, said
