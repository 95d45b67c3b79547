"""What others wrote is shown and not obeyed."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from gxt import showing
from gxt.errors import FormatError
from gxt.render.documents import json_line

STEERING = "\x1b[2J\x9b31m\x07\r\n\t\u202e\x00\u2028a"


@given(st.text())
def test_one_line_is_one_line_and_printable(text: str) -> None:
    assert showing.one_line(text).isprintable()
    assert showing.lines(text).replace("\n", "").isprintable()


@given(st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cn", "Co", "Cs"])))
def test_a_drawing_keeps_colours_and_nothing_else(text: str) -> None:
    shown = showing.drawn(f"\x1b[1;31m{text}\x1b[0m\n")
    assert shown.startswith("\x1b[1;31m") and shown.endswith("\x1b[0m\n")
    left = showing._COLOUR_OR_UNSEEN.sub(lambda match: match[1] and "", shown)
    assert left.replace("\n", "").replace("\t", "").isprintable()


def test_what_steers_a_terminal_is_spelled_out() -> None:
    assert showing.one_line(STEERING) == r"\x1b[2J\x9b31m\x07   \u202e\x00 a"
    assert showing.drawn("\x1b[2K\x1b[31mred", keep="\r") == "\\x1b[2K\x1b[31mred"
    assert showing.drawn("50 %\r100 %", keep="\r") == "50 %\r100 %"


@given(st.text())
def test_json_is_the_same_value_without_what_steers(text: str) -> None:
    line = json_line({text: [text]})
    assert json.loads(line) == {text: [text]}
    assert not set(line) & {"\x7f", "\x9b", "\u202e", "\u2028"}


def test_messages_about_what_others_wrote_are_printable_and_short() -> None:
    error = FormatError(f"run.yaml: {STEERING} {showing.quoted(2**9000)} {showing.quoted('x' * 10**6)} {'y' * 10_000}")
    assert error.message.isprintable() and len(error.message) <= 1000
    assert len(showing.quoted({"a": ["x" * 1000]})) == 60
