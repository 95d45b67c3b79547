"""One file that nobody can read takes nothing else down: its run is marked, the doctor names it, the rest works."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from conftest import Gxt
from gxt import catalog, store
from gxt.git import Repository
from helpers import git, put_on_branch, record

BAD = "20200101-000000-0000000b"
RUN = b"name: bad\nstatus: finished\nstarted: 2020-01-01T00:00:00Z\nended: 2020-01-01T00:01:00Z\n"
HUGE = b"0x" + b"f" * 3990
MERGE_BOMB = b"a0: &a0 {x: 1}\n" + b"".join(
    b"a%d: &a%d {!!merge <<: [%s]}\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 10)) for i in range(1, 9)
)
ALIAS_BOMB = b"a0: &a0 [x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 10)) for i in range(1, 9)
)

MARKED = [
    ("run.yaml", RUN + b"exit_code: .inf\n", "exit_code: expected a number, found inf"),
    ("run.yaml", b"started: " + HUGE, "started: expected a time"),
    ("run.yaml", b"started: 9999-12-31T23:59:59-14:00\n", "started: expected a time"),
    ("run.yaml", b"started: 0001-01-01T00:00:00+14:00\n", "started: expected a time"),
    ("run.yaml", RUN + b"tags: {a: " + b"[" * 950 + b"]" * 950 + b"}\n", "nested over 60 deep"),
    ("run.yaml", RUN + b"name: other\n", "the key 'name' is there twice"),
    ("run.yaml", RUN + b"note: !!python/object/apply:os.system [x]\n", "is none of YAML's core schema"),
    ("run.yaml", RUN.decode().encode("utf-16"), "not UTF-8"),
    ("params.yaml", b"\xff\xfe", "not UTF-8"),
    ("params.yaml", b"a: " + b"[" * 100_000, "nested over 60 deep"),
    ("params.yaml", b"".join(b" " * i + b"a:\n" for i in range(100)), "nested over 60 deep"),
    ("params.yaml", MERGE_BOMB, "the tag '!!merge'"),
    ("params.yaml", ALIAS_BOMB, "come to over 1000000 values"),
    ("params.yaml", b"a: !!pairs [k: v]\n", "the tag '!!pairs'"),
    ("params.yaml", b"a: !!binary aGk=\n", "the tag '!!binary'"),
    ("params.yaml", b"a: !!set {x}\n", "the tag '!!set'"),
    ("params.yaml", b"a: !!timestamp 2020-01-01\n", "the tag '!!timestamp'"),
    ("params.yaml", b"a: {1: 2, '1': 3}\n", "the key '1' is there twice"),
    ("params.yaml", b"a: 1\n---\nb: 2\n", "more than one document"),
    ("params.yaml", None, "is missing"),
    ("metrics.yaml", None, "is missing"),
    ("metrics.yaml", b"m: {last: " + HUGE + b", min: 1, max: 1, first: 1, step: 0, count: 1}\n", "expected {last"),
    ("inputs.yaml", b"a: " + HUGE + b"\n", "a: expected a mapping"),
]


@pytest.fixture
def two(repo: Repository) -> str:
    """A run that is well, and one made by hand; the path of the latter's folder."""
    record(repo, "taxi", name="good", params={"lr": 0.1}, metrics={"rmse": 1.0})
    folder = f"experiments/taxi/{BAD}"
    put_on_branch(f"{folder}/run.yaml", RUN)
    put_on_branch(f"{folder}/params.yaml", "lr: 0.2\n")
    put_on_branch(f"{folder}/metrics.yaml", "{}\n")
    return folder


@pytest.mark.parametrize(("name", "content", "reason"), MARKED, ids=[reason for *_, reason in MARKED])
def test_a_bad_document_is_a_mark(gxt: Gxt, two: str, name: str, content: bytes | None, reason: str) -> None:
    put_on_branch(f"{two}/{name}", content)
    rows = {row["id"]: row for row in gxt("table", "--json").json}
    assert len(rows) == 2 and reason in rows[BAD]["problem"]
    assert len(rows[BAD]["problem"]) <= 1000 and rows[BAD]["problem"].isprintable()
    table = gxt("table")
    assert "good" in table.out and f"{two}: {name}" in table.err
    assert reason in gxt("show", BAD).out
    shown = gxt("doctor", code=1).out
    assert f"{two}/{name}" in shown and (reason in shown or name == "metrics.yaml")


TOLERATED = [
    ("run.yaml", RUN + b"environment: {gpus: 5}\n"),
    (
        "run.yaml",
        RUN + b"source: {command: [1, {a: 2}], commit: 12345678, dirty: maybe}\nparent: [x]\nauthor: {a: b}\n",
    ),
    ("run.yaml", b"name: " + HUGE),
    ("params.yaml", b"a: " + HUGE),
    ("params.yaml", b"a: {x: 1, 2: 3, null: 4, true: 5, 1.50: 6}\n"),
    ("inputs.yaml", b"a: {digest: [1], source: {b: 1}, rows: many, size: .nan, 1: 2}\n"),
]


@pytest.mark.parametrize(("name", "content"), TOLERATED)
def test_odd_values_are_shown_and_the_run_can_be_edited(gxt: Gxt, two: str, name: str, content: bytes) -> None:
    put_on_branch(f"{two}/{name}", content)
    assert gxt("show", BAD).out and gxt("show", BAD, "--json").json["problem"] is None
    gxt("tag", BAD, "x=y")
    assert {run["tags"].get("x") for run in gxt("table", "--json").json} == {None, "y"}


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("gxt.yaml", b"format: true\n", "`format:` should be a number, found True"),
        ("gxt.yaml", b"format: " + HUGE + b"\n", "`format:` should be a number, found '0xfff"),
        ("experiments/taxi/experiment.yaml", b"created: 0001-01-01T00:00:00+14:00\n", "created: expected a time"),
        ("experiments/taxi/experiment.yaml", b"tags: {a: " + b"[" * 100_000, "nested over 60 deep"),
    ],
)
def test_a_bad_document_of_the_branch(gxt: Gxt, two: str, path: str, content: bytes, said: str) -> None:
    put_on_branch(path, content)
    table = gxt("table")
    assert "good" in table.out and "bad" in table.out and f"{path}" in table.err and said in table.err
    assert said in gxt("doctor", code=1).out


def test_a_link_is_no_document(gxt: Gxt, two: str) -> None:
    put_on_branch(f"{two}/params.yaml", "/etc/passwd", mode="120000")
    assert "params.yaml is a folder or a link, not a file" in gxt("table").err
    assert "is a folder or a link, not a file" in gxt("doctor", code=1).out


def test_experiments_that_are_a_file(gxt: Gxt, two: str) -> None:
    blob = git("hash-object", "-w", "--stdin", stdin="x")
    top = git("ls-tree", "gxt").splitlines()
    entries = [line for line in top if not line.endswith("\texperiments")] + [f"100644 blob {blob}\texperiments"]
    tree = git("mktree", stdin="\n".join(entries) + "\n")
    git("update-ref", "refs/heads/gxt", git("commit-tree", tree, "-p", "gxt", "-m", "x"))
    assert "experiments is not a folder" in gxt("table").err
    assert "is not a folder" in gxt("doctor", code=1).out


def test_a_file_where_gxt_keeps_its_folder(gxt: Gxt, work: Path) -> None:
    (work / ".git" / "gxt").write_text("x")
    for command in (["table"], ["doctor"], ["status"]):
        assert "move it away" in gxt(*command, code=5).err


@pytest.mark.filterwarnings("default")
def test_broken_lines_are_remarked_wherever_points_are_read(gxt: Gxt, two: str) -> None:
    good = gxt("table", "--json", "--where", "name = 'good'").json[0]["id"]
    path = f"experiments/taxi/{good}/metrics.csv"
    put_on_branch(path, "step,metric,value,time\n0,rmse,2,1\n1,rmse,x,2\n2,rmse,1,3\n3,rm")
    said = f"gxt: {path}: 2 lines are no points, and passed over: '1,rmse,x,2'"
    put_on_branch(f"{two}/metrics.csv", "step,metric,value,time\n0,rmse,2,1\n")
    for folder in (two, path.removesuffix("/metrics.csv")):
        summary = "rmse: {last: 2.0, min: 2.0, max: 2.0, first: 2.0, step: 0, count: 2}\n"
        put_on_branch(f"{folder}/metrics.yaml", summary)
    for command in (["history", "rmse", good], ["plot", "rmse"], ["diff", good, BAD]):
        assert said in gxt(*command).err.replace("\n", " "), command


# --- objects that git lacks -----------------------------------------------------------------------------------------


def hide(names: Sequence[str], spoil: bool) -> dict[Path, bytes]:
    """Take objects out of the repository, or break them."""
    git("config", "gc.auto", "0")
    for pack in list(Path(".git/objects/pack").glob("*.pack")):
        aside = pack.rename(pack.name)
        for rest in pack.parent.glob(f"{pack.stem}.*"):
            rest.unlink()
        subprocess.run(["git", "unpack-objects", "-q"], stdin=aside.open("rb"), check=True)
    taken = {}
    for name in names:
        oid = git("rev-parse", name)
        path = Path(".git/objects", oid[:2], oid[2:])
        taken[path] = path.read_bytes()
        path.unlink()
        if spoil:
            path.write_bytes(taken[path][:-6])  # the header can be read, the rest not
    return taken


@pytest.mark.parametrize("spoil", [False, True], ids=["missing", "damaged"])
def test_what_git_cannot_give_is_named_and_looked_for_again(gxt: Gxt, repo: Repository, spoil: bool) -> None:
    ids = [record(repo, "taxi", name=f"n{i}", params={"a": i}) for i in range(3)]
    record(repo, "other", name="elsewhere")
    taxi = "gxt:experiments/taxi"
    taken = hide([f"{taxi}/{ids[0]}/params.yaml", f"{taxi}/{ids[1]}", "gxt:experiments/other"], spoil)
    for _ in range(2):  # the second time from the cache
        table = gxt("table")
        assert "n0" in table.out and "n2" in table.out and ids[1][-8:] in table.out
        assert f"{ids[0]}: params.yaml cannot be read: git lacks the object" in table.err
        assert f"{ids[1]}: run.yaml cannot be read: git lacks the object" in table.err
        assert "experiments/other cannot be read: git lacks the object" in table.err
    shown = gxt("doctor", code=1).out
    assert all(path in shown for path in (f"{ids[0]}/params.yaml", ids[1], "experiments/other"))
    gxt("show", "n2"), gxt("list"), gxt("tag", "n2", "a=b")
    for path, content in taken.items():
        path.unlink(missing_ok=True)
        path.write_bytes(content)
    table = gxt("table", "--json")
    assert sorted((run["name"], run["problem"]) for run in table.json) == [
        (name, None) for name in ("elsewhere", "n0", "n1", "n2")
    ]
    assert table.err == "" and gxt("doctor").code == 0


def test_an_experiment_document_that_git_lacks(gxt: Gxt, repo: Repository) -> None:
    record(repo, "taxi", name="one")
    taken = hide(["gxt:experiments/taxi/experiment.yaml"], spoil=False)
    for _ in range(2):
        table = gxt("table")
        assert "one" in table.out and "experiment.yaml cannot be read: git lacks" in table.err
    for path, content in taken.items():
        path.write_bytes(content)
    assert gxt("table").err == ""


# --- the same run, the same folder twice ----------------------------------------------------------------------------


def test_folders_that_are_alike(gxt: Gxt, repo: Repository) -> None:
    record(repo, "taxi", name="one", params={"a": 1}, metrics={"m": 1})
    entries = git("ls-tree", "gxt:experiments")
    copied = git("mktree", stdin=f"{entries}\n{entries.replace('taxi', 'copy')}\n")
    top = [line for line in git("ls-tree", "gxt").splitlines() if not line.endswith("\texperiments")]
    tree = git("mktree", stdin="\n".join([*top, f"040000 tree {copied}\texperiments"]) + "\n")
    git("update-ref", "refs/heads/gxt", git("commit-tree", tree, "-p", "gxt", "-m", "x"))
    assert sorted(run["experiment"] for run in gxt("table", "--json").json) == ["copy", "taxi"]
    assert {row["experiment"]: row["runs"] for row in gxt("list", "--json").json} == {"copy": 1, "taxi": 1}
    assert [row["runs"] for row in gxt("list", "params", "--json").json] == [2]
    assert [row["runs"] for row in gxt("list", "metrics", "--json").json] == [2]
    assert "is the id of a run in" in gxt("doctor", code=1).out
    assert catalog.listing(repo, ["copy"]).total == 1 and store.read_run(repo, catalog.find(repo, "@last").id)


# --- nothing steers the terminal ------------------------------------------------------------------------------------

STEERING = r"\e[2J\e]0;pwned\a\u202e\r"


def test_nothing_that_others_wrote_steers_the_terminal(gxt: Gxt, two: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_branch(f"{two}/params.yaml", f'"k{STEERING}": "v{STEERING}"\n')
    about = f'tags: {{"t{STEERING}\\n": "x{STEERING}\\n"}}\nnote: "n{STEERING}\\nsecond"\nstatus: "s{STEERING}"\n'
    put_on_branch(f"{two}/run.yaml", f'name: "b{STEERING}"\n{about}author: "a{STEERING}"\n')
    put_on_branch(f"{two}/metrics.yaml", "rmse: {last: 0.5, min: 0.5, max: 0.5, first: 0.5, step: 0, count: 1}\n")
    put_on_branch("experiments/taxi/20200101-000000-0000000c/run.yaml", f'name: [\n"{STEERING}\n')
    tables = [["table", "--format", form] for form in ("csv", "tsv", "html", "markdown", "latex", "json", "jsonl")]
    commands = [["table"], ["show", BAD], ["tag", BAD], ["best", "rmse"], ["list", "params"], ["list", "tags"], *tables]
    # The other formats for programs have values as they are, unless people are looking.
    exact = (["table", "--format", "csv"], ["table", "--format", "tsv"], ["tag", BAD])
    for looks in (False, True):
        monkeypatch.setattr("gxt.cli.output.is_terminal", lambda looks=looks: looks)
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("PAGER", "cat")
        for command in commands:
            done = gxt(*command)
            if looks or command not in exact:
                unseen = {c for c in done.out + done.err if not c.isprintable()} - {"\n", "\t", "\u2003"}
                assert not unseen, (command, unseen)
