"""A command line as text, and back: whatever the arguments are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gxt.commandline import typed, words_of

# Also what no UTF-8 is, as Python has it, and what looks like the ways to spell that.
CHARACTERS = (
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("$'\"\\ x9eu\n") | st.sampled_from("\udc80\udce9")
)


@given(st.lists(st.text(CHARACTERS, max_size=12), max_size=5))
def test_the_words_come_back(words: list[str]) -> None:
    text = typed(words)
    assert words_of(text) == words
    text.encode()  # a run can hold it


@pytest.mark.parametrize(
    "words", [["\ud800", "a\udfffb"], ["$'a'"], ["a $'b' c", "\udcff"], ["\udce9a", "e9\udce9'\\x"]]
)
def test_words_that_are_spelled(words: list[str]) -> None:
    assert words_of(typed(words)) == words


def test_what_has_no_end() -> None:
    for text in ("a 'b", "$'a' 'b", "a \"$'b"):
        with pytest.raises(ValueError, match="quotation"):
            words_of(text)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_reads_the_same() -> None:
    words = ["lat\udce9", "it's \udcff\\x", "$'a'", "a b"]
    code = "import os, sys; print([os.fsencode(word) for word in sys.argv[1:]])"
    command = typed([sys.executable, "-c", code, *words])
    assert eval(subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout) == [
        os.fsencode(word) for word in words
    ]
