"""gxt cite, blame, annotate-commits and verify, as they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Gxt
from gxt.git import Repository
from helpers import git, record


def test_citing_and_checking(gxt: Gxt, three: dict[str, str], tmp_path: Path) -> None:
    line = gxt("cite", "one:rmse").out
    assert line.startswith(f"rmse = 6.3 (gxt:{three['one']}@") and line.endswith(":rmse)\n")
    assert gxt("cite", "one:rmse", "--digits", "4").out.startswith("rmse = 6.300 (")
    assert gxt("cite", "one", "two").out.count("\n") == 2
    paper = tmp_path / "paper.md"
    paper.write_text(line + gxt("cite", "two:rmse", "--latex").out)
    done = gxt("cite", "--check", str(paper))
    assert "2 citations, all hold" in done.err and "paper.md:2" in done.out
    paper.write_text(paper.read_text().replace("7.7", "7.6"))
    done = gxt("cite", "--check", str(paper), code=1)
    assert "disagrees" in done.out and "1 of 2 citations does not hold" in done.err
    (first, second) = gxt("cite", "--check", str(paper), "--json", code=1).json
    assert (first["status"], second["status"], second["printed"], second["now"]) == ("holds", "disagrees", "7.6", 7.7)
    gxt("rm", "one")
    assert gxt("cite", "--check", "-", stdin=line, code=1).out.count("gone") == 1


def test_a_document_without_citations_passes(gxt: Gxt, work: Path) -> None:
    assert "no citations found" in gxt("cite", "--check", "train.py").err
    assert gxt("cite", "--check", "train.py", "--json").json == []
    gxt("cite", "--check", "nowhere.tex", code=2)
    gxt("cite", "--check", "--latex", "train.py", code=2)


def test_latex_names_are_escaped(gxt: Gxt, work: Path) -> None:
    run = gxt("log", "-n", "a_b", "-m", "val_loss%=0.5", "-m", "mae=1").out.strip()
    line = gxt("cite", "a_b:val_loss%", "--latex").out
    assert line.startswith(rf"val\_loss\% = 0.5 (\texttt{{gxt:{run}@") and line.endswith(":val+loss=25})\n")
    assert gxt("cite", "a_b", "--latex").out.startswith(r"a\_b (\texttt{gxt:")


def test_who_moved_the_best_value(gxt: Gxt, three: dict[str, str]) -> None:
    head = git("rev-parse", "HEAD")
    (line,) = gxt("blame", "acc", "--json").json
    assert (line["goal"], line["runs"], [one["name"] for one in line["records"]]) == ("max", 3, ["one"])
    rows = gxt("blame", "rmse:max", "--format", "csv").out.splitlines()
    assert [row.split(",")[1] for row in rows[1:]] == ["one", "two", "three"]
    assert gxt("blame", "rmse").out.splitlines()[-1].split()[-2:] == [head[:12], "first"]
    assert gxt("blame", "rmse", "--format", "markdown").out.startswith("| ended")
    assert "nobody said which alpha" not in gxt("blame", "rmse").err
    gxt("blame", "alpha", code=3)


@pytest.mark.parametrize(
    ("columns", "shown"), [(60, "id commit"), (80, "ended id commit"), (110, "ended name id subject")]
)
def test_blame_on_a_narrow_terminal_says_which_run_and_commit(
    gxt: Gxt, repo: Repository, work: Path, columns: int, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "train.py").write_text("changed\n")
    record(repo, name="merry-dormouse", metrics={"rmse": 6.3})
    run = record(repo, name="energetic-hippopotamus", metrics={"rmse": 5.2})
    monkeypatch.setattr("gxt.cli.output.width", lambda: columns)
    heading, *_, last = gxt("blame", "rmse").out.splitlines()
    assert set(shown.split()) <= set(heading.split()) and "rmse" in heading
    assert run[-8:] in last and "5.2" in last and git("rev-parse", "--short=12", "HEAD") in last
    assert all(len(line) <= columns for line in (heading, last))


def test_blame_of_other_things(gxt: Gxt, three: dict[str, str]) -> None:
    gxt("blame", "rmse", "--json", "--format", "csv", code=2)


def test_notes_on_commits(gxt: Gxt, three: dict[str, str]) -> None:
    head = git("rev-parse", "HEAD")
    assert "would be new" in gxt("annotate-commits", "--dry-run").out
    state = gxt("annotate-commits", "--json").json
    assert [one["commit"] for one in state["changes"]] == [head]
    assert state["commit"] == git("rev-parse", "refs/notes/gxt")
    assert "1 commit has the notes it should" in gxt("annotate-commits").err
    gxt("rm", *three)
    assert "1 gone" in gxt("annotate-commits").out


@pytest.mark.parametrize("arguments", [["verify"], ["verify", "one", "--all"]])
def test_what_to_verify_has_to_be_said(gxt: Gxt, three: dict[str, str], arguments: list[str]) -> None:
    gxt(*arguments, code=2)


def test_verifying(gxt: Gxt, three: dict[str, str]) -> None:
    done = gxt("verify", "--all")
    assert done.out.count("unsigned") == 3 and "nothing is wrong: 3 runs, 3 things could not be told" in done.out
    assert "3 of 3 runs failed" in gxt("verify", "--all", "--require-signatures", code=1).out
    state = gxt("verify", "one", "--json").json
    assert state["ok"] and [one["id"] for one in state["runs"]] == [three["one"]]
