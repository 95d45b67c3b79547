"""gxt verify, as it is called."""

from __future__ import annotations

import pytest

from conftest import Gxt


@pytest.mark.parametrize("arguments", [["verify"], ["verify", "one", "--all"]])
def test_what_to_verify_has_to_be_said(gxt: Gxt, three: dict[str, str], arguments: list[str]) -> None:
    gxt(*arguments, code=2)


def test_verifying(gxt: Gxt, three: dict[str, str]) -> None:
    done = gxt("verify", "--all")
    assert done.out.count("unsigned") == 3 and "nothing is wrong: 3 runs, 3 things could not be told" in done.out
    assert "3 of 3 runs failed" in gxt("verify", "--all", "--require-signatures", code=1).out
    state = gxt("verify", "one", "--json").json
    assert state["ok"] and [one["id"] for one in state["runs"]] == [three["one"]]
