"""Joining histories: any number of clones that join each other in any order and grouping end at the same files."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gxt.git
from helpers import git
from histories import OPERATIONS, Clones

CLONES = 4

edits = st.tuples(
    st.just("edit"),
    st.integers(0, CLONES - 1),
    st.sampled_from(OPERATIONS),
    st.integers(0, 1),  # which run
    st.integers(0, 1),  # which key
    st.integers(0, 2),  # which value
    st.integers(0, 6),  # when: clocks go wrong, and often agree
)
joins = st.tuples(st.just("join"), st.integers(0, CLONES - 1), st.integers(0, CLONES - 1))


def play(clones: Clones, steps: list[tuple]) -> None:  # type: ignore[type-arg]
    for kind, number, *rest in steps:
        if kind == "edit":
            clones.edit(number, *rest)
        elif rest[0] != number:
            clones.tips[number] = clones.join(clones.tips[number], clones.tips[rest[0]])


def ways_to_join(clones: Clones) -> dict[str, str]:
    """The tree that each order and grouping ends at."""
    found = {}
    a, b, c, d = clones.tips
    for order in itertools.islice(itertools.permutations((a, b, c, d)), 0, 24, 5):
        at = order[0]
        for other in order[1:]:
            at = clones.join(at, other)
        found["one after the other"] = at
        found[f"in turn {len(found)}"] = at
    found["in pairs"] = clones.join(clones.join(a, b), clones.join(c, d))
    found["in other pairs"] = clones.join(clones.join(d, a), clones.join(c, b))
    found["the other way round"] = clones.join(clones.join(d, c), clones.join(b, a))
    found["once more"] = clones.join(found["in pairs"], found["in other pairs"])
    return {way: clones.tree(commit) for way, commit in found.items()}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shelf")


def check(shelf: Path, steps: list[tuple], shared: bool) -> Clones:  # type: ignore[type-arg]
    number = sum(1 for _ in shelf.iterdir())
    folder = shelf / str(number)
    git("init", "-q", "--bare", str(folder))
    clones = Clones(gxt.git.find(folder), CLONES, shared)
    play(clones, steps)
    found = ways_to_join(clones)
    assert len(set(found.values())) == 1, (folder, clones.tips, found)
    return clones


histories = st.lists(edits | edits | edits | joins, min_size=3, max_size=16)


@settings(max_examples=12)
@given(steps=histories, shared=st.booleans())
def test_any_order_and_grouping_ends_at_the_same_files(shelf: Path, steps: list[tuple], shared: bool) -> None:  # type: ignore[type-arg]
    check(shelf, steps, shared)


def tags_after(shelf: Path, *steps: tuple) -> dict[str, str]:  # type: ignore[type-arg]
    """The tags of the first run where four clones have made these steps and joined, however they did."""
    clones = check(shelf, list(steps), shared=True)
    clones.tips[0] = clones.join(clones.join(clones.tips[0], clones.tips[1]), clones.tips[2])
    return dict(clones.run(0, clones.runs(0)[0]).tags)


def test_what_was_set_and_taken_away_again_is_an_edit_too(shelf: Path) -> None:
    set_early, taken_away = ("edit", 0, "tag", 0, 0, 1, 1), ("edit", 0, "untag", 0, 0, 0, 5)
    meanwhile = ("edit", 1, "tag", 0, 0, 2, 3)
    assert tags_after(shelf, set_early, taken_away, meanwhile) == {}
    one_between = ("join", 2, 0)
    assert tags_after(shelf, set_early, one_between, taken_away, meanwhile) == {}
    swapped = [(step[0], 1 - step[1], *step[2:]) for step in (set_early, taken_away, meanwhile)]
    assert tags_after(shelf, *swapped) == {}


def test_an_edit_of_an_edit_is_the_later_whatever_its_clock_says(shelf: Path) -> None:
    first, joined = ("edit", 0, "tag", 0, 0, 1, 6), ("join", 1, 0)
    its_edit, another = ("edit", 1, "tag", 0, 0, 2, 0), ("edit", 2, "tag", 0, 0, 0, 3)
    assert tags_after(shelf, first, joined, its_edit, another) == {"k0": "v2"}
    same_second = ("edit", 0, "tag", 0, 0, 1, 3), ("edit", 0, "tag", 0, 0, 0, 3), ("edit", 1, "tag", 0, 0, 2, 3)
    assert tags_after(shelf, *same_second) == {"k0": "v0"}  # the line of its ancestors is longer


@pytest.mark.slow
@settings(max_examples=200)
@given(steps=histories, shared=st.booleans())
def test_many_histories_end_at_the_same_files(shelf: Path, steps: list[tuple], shared: bool) -> None:  # type: ignore[type-arg]
    check(shelf, steps, shared)
