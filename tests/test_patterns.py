"""like and rlike against Python's own `re`, and in bounded time."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gxt.errors import UsageError
from gxt.query.patterns import check_pattern, matches_text

LETTERS = st.text("abAB01_%.- ", max_size=12)
ATOMS = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", r"\.", "^", "$", "-", "[]a]", "[a-c0]", r"\x61", "é"]
)
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{,2}", "{1,}", "{,}", "*?", "{}"]))
        .filter(lambda pair: pair[0] not in "^$")
        .map(lambda pair: f"(?:{pair[0]}){pair[1]}")
        | st.lists(inner, min_size=1, max_size=3).map("".join)
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({'|'.join(parts)})")
    ),
    max_leaves=6,
)


@given(PATTERNS, st.text("abcABC019_%.- é", max_size=10), st.booleans())
@example("(?:(?:a)*)*", "b", False)
@example("(?:^)", "", False)
@example("$", "a", False)
def test_regular_expressions_mean_what_they_mean_in_python(pattern: str, text: str, any_case: bool) -> None:
    pattern = f"(?i){pattern}" if any_case else pattern
    # `$` is the end of the text here, also before a last newline; there is none in these texts.
    assert matches_text("rlike", pattern, text) == (re.search(pattern, text) is not None)


@given(LETTERS, LETTERS)
def test_like_knows_two_signs(pattern: str, text: str) -> None:
    translated = re.escape(pattern).replace("%", ".*").replace("_", ".")
    assert matches_text("like", pattern, text) == (re.fullmatch(translated, text, re.DOTALL) is not None)
    assert matches_text("ilike", pattern, text) == (
        re.fullmatch(translated, text, re.DOTALL | re.IGNORECASE) is not None
    )


def test_like_takes_all_of_a_text_and_every_character() -> None:
    assert matches_text("like", "%b%", "a\nb\nc") and not matches_text("like", "b", "abc")
    assert matches_text("ilike", "GRÖSSE", "größe") and matches_text("like", "%", "")


@pytest.mark.parametrize(
    "pattern", [r"(a)\1", r"\bword", "(?=a)", "(?<!a)b", "(?P<n>a)", "a(?i)b", "(?x)a", r"\Aa", r"a\Z"]
)
def test_what_is_not_supported_is_said(pattern: str) -> None:
    with pytest.raises(UsageError):
        check_pattern("rlike", pattern)


@pytest.mark.parametrize("pattern", ["(", "[", "a{3,1}", "*", "\\", "x" * 501, "(a{200}){200}", "a{5000}"])
def test_what_is_no_pattern_or_too_much_of_one(pattern: str) -> None:
    with pytest.raises(UsageError):
        check_pattern("rlike", pattern)


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|a)*b", "(a|aa)+$", "(.*)*x", "a?" * 40 + "a" * 40, ".*a.*a.*a.*a.*b"]
)
def test_no_pattern_explodes(pattern: str) -> None:
    started = time.perf_counter()
    assert matches_text("rlike", pattern, "a" * 5000 + "!") == (pattern == "a?" * 40 + "a" * 40)
    matches_text("like", "%a" * 100 + "b", "a" * 5000)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("pattern", ["[[:alpha:]]", "[a--b]", "[a&&b]", "[a||b]"])
def test_what_python_will_read_otherwise_is_refused(pattern: str, recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(UsageError, match="no clear regular expression"):
        check_pattern("rlike", pattern)
    assert not recwarn.list


@pytest.mark.parametrize(("how", "pattern"), [("like", "%b"), ("ilike", "%B"), ("rlike", "b")])
def test_only_the_beginning_of_a_long_text_is_looked_at(how: str, pattern: str) -> None:
    assert matches_text(how, pattern, "a" * 9_999 + "b")
    assert not matches_text(how, pattern, "a" * 10_000 + "b")
