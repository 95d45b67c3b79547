"""gxt doctor: what is wrong, and mending it."""

from __future__ import annotations

from conftest import Gxt
from helpers import git, put_on_branch


def test_all_is_well(gxt: Gxt, three: dict[str, str]) -> None:
    assert gxt("doctor").out == "all is well: 3 runs in 1 experiment on gxt\n"
    assert gxt("doctor", "--fix").out == "all is well: 3 runs in 1 experiment on gxt\n"


def test_problems_are_listed_and_mended(gxt: Gxt, three: dict[str, str]) -> None:
    params = f"experiments/taxi/{three['one']}/params.yaml"
    put_on_branch(params, None)
    put_on_branch(f"experiments/taxi/{three['two']}/params.yaml", "a: [1\n")
    put_on_branch("README.md", "ours\n")
    done = gxt("doctor", code=1)
    lines = done.out.splitlines()
    assert f"{params}\n  is missing\n  → --fix writes an empty one\n" in done.out
    assert lines[-1] == "2 problems, 3 runs in 1 experiment on gxt; `gxt doctor --fix` mends 1"
    assert "worth knowing" in lines and "README.md" in lines
    assert "git worktree add --detach" in done.err
    tip = git("rev-parse", "gxt")
    assert "--yes does it" in gxt("doctor", "--fix", code=2).err and git("rev-parse", "gxt") == tip
    done = gxt("doctor", "--fix", "--yes", code=1)
    assert done.out.splitlines()[0] == f"mended {params}" and "1 problem, 3 runs" in done.out
    assert git("rev-parse", "gxt~1") == tip


def test_json(gxt: Gxt, three: dict[str, str]) -> None:
    params = f"experiments/taxi/{three['one']}/params.yaml"
    put_on_branch(params, None)
    put_on_branch("README.md", "ours\n")
    found = gxt("doctor", "--json", code=1).json
    assert found["problems"] == [
        {
            "where": params,
            "what": "is missing",
            "advice": "--fix writes an empty one",
            "fixable": True,
            "run": three["one"],
        }
    ]
    assert [remark["where"] for remark in found["remarks"]] == ["README.md"]
    assert (found["runs"], found["experiments"], found["mended"]["commit"]) == (3, 1, None)
    mended = gxt("doctor", "--fix", "--yes", "--json").json
    assert mended["problems"] == []
    assert mended["mended"] == {"commit": git("rev-parse", "gxt"), "files": [params], "removed": []}


def test_by_hand_as_it_says(gxt: Gxt, three: dict[str, str], work: object) -> None:
    put_on_branch(f"experiments/taxi/{three['two']}/params.yaml", "a: [1\n")
    gxt("doctor", code=1)
    git("worktree", "add", "-q", "--detach", "../runs", "gxt")
    runs = git("-C", "../runs", "rev-parse", "--show-toplevel")
    with open(f"{runs}/experiments/taxi/{three['two']}/params.yaml", "w") as file:
        file.write("a: [1]\n")
    git("-C", "../runs", "commit", "-qam", "mend")
    git("-C", "../runs", "push", "-q", ".", "HEAD:gxt")
    git("worktree", "remove", "../runs")
    assert gxt("doctor").out.startswith("all is well")
