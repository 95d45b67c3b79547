"""Runs and experiments as notebooks show them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from gxt.cards import Section, card
from gxt.model import Experiment, Run, Summary

NASTY = "<script>alert('&')</script>\""


class Balanced(HTMLParser):
    """Whether every element that begins also ends, in order; what text there is."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)
        self.names.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(html: str) -> Balanced:
    found = Balanced()
    found.feed(html)
    found.close()
    assert found.open == []
    return found


def test_a_run_s_card_has_what_there_is() -> None:
    run = Run(
        id="20261123-083000-3f9a1c2e",
        experiment="nyc-taxi",
        name="calm-otter",
        status="failed",
        started=1795422600123,
        ended=1795422641003,
        author="Ada Lovelace <ada@example.com>",
        params={"alpha": 0.1, "model": {"kind": "lasso", "layers": [64, 32]}, "limit": None, "shuffle": True},
        metrics={"rmse": Summary(6.30174321, 6.3, 9.8, 9.8, 10, 11)},
        tags={"stage": "prod"},
        note="First try.\nMiles only.",
        inputs={"trips.csv": {"rows": 7}},
        source={"command": "python train.py", "commit": "5b6f0d1" + "0" * 33, "dirty": True},
        environment={"python": "3.11.7"},
    )
    text = parsed(run._repr_html_()).text
    for shown in ("calm-otter", "failed", "nyc-taxi", "2026-11-23T08:30:00.123Z", "40.9 s", "model.kind", "[64, 32]"):
        assert shown in text
    assert "6.30174" in text and "6.30174321" not in text
    assert "null" in text and "true" in text and "First try.\nMiles only." in text
    assert "5b6f0d100000, with uncommitted changes" in text


def test_everything_is_escaped() -> None:
    run = Run(
        id="20261123-083000-3f9a1c2e",
        experiment=NASTY,
        name=NASTY,
        status=NASTY,
        author=NASTY,
        note=NASTY,
        problem=NASTY,
        params={NASTY: NASTY, "list": [NASTY]},
        metrics={NASTY: Summary(1, 1, 1, 1, 1, 1)},
        tags={NASTY: NASTY},
        inputs={NASTY: {NASTY: NASTY}},
        environment={NASTY: NASTY},
        source={"command": NASTY, "commit": NASTY},
    )
    experiment = Experiment(name=NASTY, id=NASTY, description=NASTY, tags={NASTY: NASTY}, goals={NASTY: NASTY})
    for html in (run._repr_html_(), experiment._repr_html_()):
        found = parsed(html)
        assert "script" not in found.names and NASTY in found.text


def test_what_is_not_there_takes_no_room() -> None:
    html = Run(id="20261123-083000-3f9a1c2e", experiment="e")._repr_html_()
    assert "<details" not in html and "author" not in html and "20261123-083000-3f9a1c2e" in html
    assert "deleted" in parsed(Experiment(name="e", id="1", deleted=5)._repr_html_()).text


def test_long_content_is_cut() -> None:
    html = card("t", "", {}, [Section("params", [(f"p{i}", "x" * 1000) for i in range(1000)])])
    assert len(html) < 200_000 and "and 800 more" in html and "(1000 characters)" in html
    assert re.search(r'<span class="about">1000</span>', html)
