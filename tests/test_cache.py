"""The cache gives what the runs give, whatever happens to its file."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gxt import cache, catalog, git, layout, query, recorder, store
from gxt.cache import tables
from gxt.errors import FormatError, NotFoundError, UsageError
from gxt.git import Repository
from gxt.model import Experiment, Run, Summary
from gxt.query import Comparison, Expression, Field, SortKey
from gxt.query.expression import And, In, IsNull, Match, Not, Or, Span
from gxt.query.fields import ATTRIBUTES, CODE, DATASET, PARTS
from helpers import git as run_git
from helpers import put_on_branch, record, run_python

# --- SQL means what the expression means ----------------------------------------------------------------------------

TEXTS = st.sampled_from(
    [
        "",
        "a",
        "A",
        "b",
        "é",
        "a%",
        "_",
        "1",
        "2",
        "1.0",
        "1e0",
        "-0",
        "true",
        "True",
        "nan",
        "[1]",
        "abcd1",
        "abcd2",
        "x y",
    ]
)
NUMBERS = st.sampled_from([0, 1, 2, -1, 1.0, 0.5, -0.0, 1e300, math.inf, -math.inf, 2**53, 2**53 + 1, 2**63, 10**400])
NAN = st.just(math.nan)
VALUES = TEXTS | NUMBERS | NAN | st.booleans() | st.none() | st.sampled_from([[1], [], {}, ["a"]])
STEPS = st.integers(-2, 2) | st.just(2**70)
DOUBLES = st.sampled_from([0.0, 1.0, 2.0, -1.0, 0.5, 1e300, math.inf, -math.inf, math.nan])
SUMMARIES = st.builds(Summary, DOUBLES, DOUBLES, DOUBLES, DOUBLES, STEPS, STEPS)
AUTHORS = st.sampled_from(["a <b>", "a", "b", "b>", "a <", "<a>", "a <b <a>", "b <a>>", ""])
TIMES = st.integers(0, 5) | st.none()
PARAMS = st.dictionaries(st.sampled_from("pq"), VALUES, max_size=2)
VERSIONS = st.sampled_from(["3.9", "3.10", "3.10.0", "3.10rc1", "3.10.1+local", "three", ""])
RUNS = st.builds(
    Run,
    id=st.just("20261123-083000-00000000"),
    experiment=st.just("taxi"),
    name=TEXTS,
    status=st.sampled_from(["finished", "failed"]),
    started=TIMES,
    ended=TIMES,
    exit_code=st.none() | st.integers(0, 2),
    author=st.none() | AUTHORS,
    parent=st.none() | TEXTS,
    note=st.none() | TEXTS,
    tags=st.dictionaries(st.just("t"), TEXTS),
    source=st.dictionaries(st.sampled_from(["commit", "snapshot", "dirty"]), TEXTS | st.booleans()),
    environment=st.dictionaries(st.sampled_from(["python", "cpus", "variables"]), VERSIONS | NUMBERS | PARAMS),
    params=PARAMS | st.dictionaries(st.just("n"), PARAMS),
    metrics=st.dictionaries(st.sampled_from("mp"), SUMMARIES),
    inputs=st.dictionaries(TEXTS, st.fixed_dictionaries({}, optional={"rows": VALUES, "context": VALUES}), max_size=2),
)
FIELDS = st.one_of(
    st.builds(Field, st.just("metrics"), st.sampled_from("mpx"), st.sampled_from(["", *PARTS])),
    st.builds(Field, st.just("params"), st.sampled_from(["p", "q", "n.p", "n", "x"])),
    st.builds(Field, st.just("tags"), st.sampled_from("tx")),
    st.builds(Field, st.just("code"), st.sampled_from(CODE)),
    st.builds(Field, st.just("environment"), st.sampled_from(["python", "cpus", "variables.p", "x"])),
    st.builds(Field, st.just("dataset"), st.sampled_from(list(DATASET))),
    st.builds(Field, st.just("attributes"), st.sampled_from(list(ATTRIBUTES))),
)
SIGNS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
EQUALITY = st.sampled_from(["=", "!="])
LITERAL_NUMBERS = NUMBERS.map(query.fields.bounded)
PATTERNS = st.tuples(
    st.sampled_from(["like", "ilike"]), st.sampled_from(["a%", "%", "_", "A", "%1%", "[1]"])
) | st.tuples(st.just("rlike"), st.sampled_from(["^a", "1$", "[A-Z]", "a|b", ""]))


@st.composite
def conditions(draw: st.DrawFn) -> Expression:
    field = draw(FIELDS)
    kind = draw(st.sampled_from(["null", "match", "in", "compare", "compare", "compare"]))
    if kind == "null":
        return IsNull(field)
    if kind == "match" and field.type in ("text", "version", "any"):
        return Match(field, *draw(PATTERNS))
    numbers = LITERAL_NUMBERS if field.type == "duration" else LITERAL_NUMBERS | NAN
    literals: dict[str, Any] = {
        "text": TEXTS,
        "version": VERSIONS,
        "any": TEXTS | numbers | st.booleans(),
        "time": st.builds(lambda low, lasts: Span(low, low + lasts), st.integers(0, 4), st.integers(0, 2)),
    }
    values = literals.get(field.type, numbers)
    if field in (Field("code", "commit"), Field("code", "snapshot")):
        values = st.sampled_from(["abcd", "abcd1", "ffff", "1"])
    if field == Field("attributes", "author"):
        values = AUTHORS
    if kind == "in":
        return In(field, tuple(draw(st.lists(values, min_size=1, max_size=3))))
    literal = draw(values)
    return Comparison(field, draw(EQUALITY if isinstance(literal, bool) or literal != literal else SIGNS), literal)


EXPRESSIONS = st.recursive(
    conditions(),
    lambda inner: (
        inner.map(Not)
        | st.lists(inner, max_size=3).map(lambda parts: And(tuple(parts)))
        | st.lists(inner, max_size=3).map(lambda parts: Or(tuple(parts)))
    ),
    max_leaves=4,
)


def distinct(runs: list[Run]) -> list[Run]:
    return [replace(run, id=f"20261123-08300{i}-abcd000{i}") for i, run in enumerate(runs)]


def view_of(runs: list[Run]) -> cache.View:
    """The runs in tables of their own."""
    db = tables._in_memory(Path("nowhere"))
    rows = tables.Rows(db)
    for key, run in enumerate(runs, 1):
        rows.add(key, bytes([key]), run)
    rows.write()
    db.execute("insert into listing (id, runs) values (1, ?)", (str([*range(1, len(runs) + 1)]),))
    return cache.View(db, [cache.Place(1, Experiment("taxi", "x" * 8), None)])


@given(st.lists(RUNS, max_size=4).map(distinct), st.lists(EXPRESSIONS, min_size=1, max_size=5))
def test_sql_means_what_the_expression_means(runs: list[Run], expressions: list[Expression]) -> None:
    view = view_of(runs)
    for expression in expressions:
        found, total = view.select(expression)
        expected = [run.id for run in runs if query.matches(expression, run)]
        assert sorted(run.id for run in found) == expected and total == len(expected)


@given(
    st.lists(RUNS, max_size=5).map(distinct),
    st.lists(st.builds(SortKey, FIELDS, st.booleans()), max_size=3),
    st.none() | st.integers(0, 3),
)
def test_sql_sorts_as_python_does(runs: list[Run], keys: list[SortKey], limit: int | None) -> None:
    expected = query.sort(sorted(runs, key=lambda run: (run.started or 0, run.id)), keys)
    found, total = view_of(runs).select(And(()), keys, limit)
    assert [run.id for run in found] == [run.id for run in expected][:limit] and total == len(runs)


@given(st.lists(RUNS, max_size=3).map(distinct))
def test_a_run_comes_back_as_it_was(runs: list[Run]) -> None:
    view = view_of(runs)
    found = view.select(And(()), [SortKey(Field("attributes", "run_id"), False)]).runs
    assert repr([vars(run) for run in found]) == repr([vars(run) for run in runs])
    assert set(view.fields()) == set(query.fields_of(runs))
    known = query.KnownOf(runs)
    for name in ("p", "q", "n", "n.p", "m", "t", "commit", "x"):
        assert view.kinds(name) == set(known.kinds(name))


@given(st.text(max_size=40))
@example("name = 'x'); delete from run; --'")
@example("metrics.`m); delete from run; --` > 1")
@example("params.\"'; drop table run; --\" = '1'")
def test_a_filter_s_text_is_never_sql(text: str) -> None:
    run = replace(Run("20261123-083000-abcd0000", "taxi", name=text or "x"), tags={text or "x": text})
    view = view_of([run])
    assert len(view.select(Comparison(Field("attributes", "name"), "=", text or "x")).runs) == 1
    assert len(view.select(Comparison(Field("tags", text or "x"), "=", text)).runs) == 1
    with contextlib.suppress(UsageError, NotFoundError):
        view.select(
            query.parse_filter(text, view, allow_unknown=True), [query.parse_sort(text, view, allow_unknown=True)]
        )
    assert view.select(And(())).total == 1


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the runs that are read from git, as they are."""
    found: list[str] = []
    read = layout.read_run_as_far_as_possible

    def reading(experiment: str, run_id: str, files: dict[str, bytes]) -> Run:
        found.append(run_id)
        return read(experiment, run_id, files)

    monkeypatch.setattr(layout, "read_run_as_far_as_possible", reading)
    return found


def listed(repo: Repository, **options: Any) -> list[str]:
    return [run.id for run in catalog.listing(repo, **options).runs]


def file_of(repo: Repository) -> Path:
    return store.root(repo) / cache.FILE


def test_a_run_is_read_once(repo: Repository, reads: list[str]) -> None:
    ids = [record(repo, experiment) for experiment in ("taxi", "taxi", "other")]
    assert listed(repo) == ids and sorted(reads) == sorted(ids)
    reads.clear()
    assert listed(repo) == ids and listed(repo, experiments=["taxi"]) == ids[:2]
    more = record(repo, "taxi")
    assert listed(repo) == [*ids, more] and reads == [more]
    store.mark_deleted(repo, ids[0], True)
    assert listed(repo) == [*ids[1:], more] and reads == [more, ids[0]]
    assert listed(repo, deleted=True) == [ids[0]] and sorted(listed(repo, deleted=None)) == sorted([*ids, more])
    store.purge(repo, [ids[0]])
    assert listed(repo, deleted=None) == [*ids[1:], more] and reads == [more, ids[0]]


def test_looking_at_nothing_leaves_nothing_behind(repo: Repository) -> None:
    assert listed(repo) == [] and not store.root(repo).exists()


def test_every_point_in_history_is_served(repo: Repository, reads: list[str]) -> None:
    ids, commits = [], []
    for number in range(12):
        ids.append(record(repo, "taxi" if number % 3 else "other"))
        commits.append(run_git("rev-parse", "gxt"))
    run_git("tag", "after-four", commits[3])
    assert len(listed(repo)) == 12
    for number in (3, 11, 0, 7, 5, 3):
        assert listed(repo, at=commits[number]) == ids[: number + 1]
    assert listed(repo, at="after-four") == ids[:4] and listed(repo, at="gxt~2") == ids[:10]
    assert sorted(reads) == sorted(ids)


def test_a_time_means_the_branch_as_it_was_then(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = git.find(work)
    when = 1_700_000_000

    def commit(parents: list[str], date: int, number: int) -> str:
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"{date} +0000")
        files = layout.run_files(
            Run(f"20231114-00000{number}-0000000{number}", "taxi", name=f"run-{number}", started=date)
        )
        if parents:
            run_git("update-ref", "refs/heads/gxt", parents[0])
        else:
            tree = run_git("mktree", stdin="")
            run_git("update-ref", "refs/heads/gxt", run_git("commit-tree", tree, "-m", "begin"))
        for name, data in files.items():
            put_on_branch(f"experiments/taxi/20231114-00000{number}-0000000{number}/{name}", data.decode())
        tree = run_git("rev-parse", "gxt^{tree}")
        made = run_git("commit-tree", tree, *(part for parent in parents for part in ("-p", parent)), "-m", "runs")
        run_git("update-ref", "refs/heads/gxt", made)
        return made

    first = commit([], when, 0)
    side = commit([first], when + 100, 1)
    second = commit([first], when + 200, 2)
    commit([second, side], when + 300, 3)
    monkeypatch.delenv("GIT_COMMITTER_DATE")
    run_git("update-ref", "refs/heads/side", side)

    def at(seconds: int) -> list[str]:
        text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
        return [run.name for run in catalog.listing(repo, at=text).runs]

    # A merged side's commits were not on the branch at their time.
    assert at(when + 150) == ["run-0"] and at(when + 250) == ["run-0", "run-2"] and len(at(when + 999)) == 3
    with pytest.raises(NotFoundError, match="no commit from"):
        at(when - 10)


def test_at_a_commit_there_are_no_live_runs(repo: Repository) -> None:
    record(repo)
    with_live = recorder.begin(repo, "taxi")
    assert len(listed(repo)) == 2 and len(listed(repo, at="gxt")) == 1
    with_live.end()


@pytest.mark.parametrize("damage", ["missing", "text", "cut", "version", "table", "directory", "zeroes"])
def test_a_broken_file_is_made_anew(repo: Repository, reads: list[str], damage: str) -> None:
    ids = [record(repo) for _ in range(30)]
    listed(repo)
    path = file_of(repo)
    if damage == "missing":
        path.unlink()
    elif damage == "text":
        path.write_text("no database")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "zeroes":
        data = path.read_bytes()
        path.write_bytes(data[:4096] + bytes(len(data) - 4096))
    elif damage == "directory":
        path.unlink()
        path.mkdir()
    else:
        with sqlite3.connect(path) as db:
            db.execute("update about set version = '0'" if damage == "version" else "drop table about")
        db.close()
    reads.clear()
    assert listed(repo) == ids and len(reads) == 30
    reads.clear()
    assert listed(repo) == ids and len(reads) == (30 if damage == "directory" else 0)


def test_where_nothing_can_be_written_the_cache_is_in_memory(
    repo: Repository, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [record(repo) for _ in range(3)]
    listed(repo)
    ids.append(record(repo))
    reads.clear()
    connect = sqlite3.connect

    def read_only(where: Any, **options: Any) -> sqlite3.Connection:
        if where == file_of(repo):
            raise sqlite3.OperationalError("unable to open database file")
        return connect(where, **options)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    for _ in range(2):
        assert listed(repo) == ids
    # What the file has is taken over.
    assert reads == [ids[3]] * 2
    file_of(repo).write_text("no database")
    assert listed(repo) == ids


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_repository_is_read(repo: Repository) -> None:
    ids = [record(repo)]
    folder = store.root(repo)
    folder.chmod(0o555)
    try:
        assert listed(repo) == ids
    finally:
        folder.chmod(0o755)


def test_a_locked_file_is_not_waited_for_for_ever(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_LOCK_TIMEOUT", 0.1)
    ids = [record(repo)]
    listed(repo)
    other = sqlite3.connect(file_of(repo), isolation_level=None)
    other.execute("begin immediate")
    ids.append(record(repo))
    assert listed(repo) == ids
    other.close()


def test_the_listings_of_a_view_have_to_be_there(repo: Repository) -> None:
    db = tables._in_memory(Path("nowhere"))
    with pytest.raises(sqlite3.OperationalError):
        cache.View(db, [cache.Place(1, Experiment("taxi", "x" * 8), None)])


def test_many_processes_and_threads_at_once(repo: Repository, work: Path) -> None:
    ids = [record(repo) for _ in range(20)]
    code = """
import gxt
found = gxt.search_runs(search_all_experiments=True, order_by=["start_time", "run_id"], output_format="list")
print(*[run.id for run in found])
"""
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda: results.append(run_python(code=code, cwd=work).stdout)) for _ in range(6)
    ]
    threads += [threading.Thread(target=lambda: results.append(" ".join(listed(repo)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 10 and all(result.split() == ids for result in results)


def test_an_experiment_s_history_may_be_rewritten(repo: Repository, reads: list[str]) -> None:
    first, second = record(repo), record(repo)
    assert listed(repo) == [first, second]
    seen = run_git("rev-parse", "gxt:experiments/taxi")
    orphan = run_git("commit-tree", "gxt~1^{tree}", "-m", "rewritten")
    run_git("update-ref", "refs/heads/gxt", orphan)
    assert listed(repo) == [first]
    shutil.rmtree(repo.common_dir / "logs")
    run_git("gc", "-q", "--prune=now")
    assert git.read_objects(repo, [seen]) == [None]
    third = "20991231-000000-00000000"
    put_on_branch(f"experiments/taxi/{third}/run.yaml", "started: 2099-12-31T00:00:00Z\n")
    assert listed(repo) == [first, third]


def test_the_same_folder_twice_is_two_runs(repo: Repository) -> None:
    run_id = record(repo, params={"a": 1})
    for name in layout.RUN_DOCUMENTS[:3]:
        content = run_git("show", f"gxt:experiments/taxi/{run_id}/{name}") + "\n"
        put_on_branch(f"experiments/taxi/20200101-000000-00000000/{name}", content)
        put_on_branch(f"experiments/copies/20200101-000000-00000001/{name}", content)
    runs = catalog.listing(repo, where="params.a = 1").runs
    assert sorted((run.id, run.experiment) for run in runs) == sorted(
        [(run_id, "taxi"), ("20200101-000000-00000000", "taxi"), ("20200101-000000-00000001", "copies")]
    )


def test_a_live_run_stands_for_the_one_it_goes_on_with(repo: Repository) -> None:
    run_id = record(repo, metrics={"rmse": 1.0})
    record(repo, metrics={"rmse": 2.0})
    again = recorder.resume(repo, run_id)
    again.log_metric("rmse", 3.0, step=5)
    again.log_metric("other", 1.0)
    assert [run.metrics["rmse"].last for run in catalog.listing(repo, order_by=["rmse"]).runs] == [2.0, 3.0]
    assert listed(repo, where="rmse = 1") == [] and listed(repo, where="rmse = 3 and other = 1") == [run_id]
    found = catalog.listing(repo, order_by=["rmse:desc"], limit=1)
    assert [run.id for run in found.runs] == [run_id] and found.total == 2
    again.end()
    assert listed(repo, where="rmse = 3") == [run_id]


# --- what is wrong on the branch ------------------------------------------------------------------------------------


def test_what_can_be_read_of_a_run_is_shown_with_the_reason(repo: Repository, reads: list[str]) -> None:
    good, bad = record(repo, metrics={"rmse": 1.0}), record(repo, params={"a": 1}, metrics={"rmse": 2.0})
    put_on_branch(f"experiments/taxi/{bad}/params.yaml", "a: [1\n")
    for _ in range(2):
        found = catalog.listing(repo, where="rmse > 1")
        assert [(run.id, dict(run.params)) for run in found.runs] == [(bad, {})]
        assert "params.yaml, line 2" in str(found.runs[0].problem)
        assert len(found.problems) == 1 and f"experiments/taxi/{bad}: params.yaml, line 2" in str(found.problems[0])
    assert reads.count(bad) == 1
    put_on_branch(f"experiments/taxi/{bad}/metrics.yaml", "rmse: high\n")
    assert "params.yaml" in str(catalog.find(repo, bad).problem) and "metrics.yaml" in str(
        catalog.find(repo, bad).problem
    )
    put_on_branch(f"experiments/taxi/{bad}/run.yaml", None)
    found = catalog.listing(repo)
    statuses = {run.id: run for run in found.runs}
    assert (statuses[good].status, statuses[bad].status) == ("finished", "unreadable")
    assert "run.yaml is missing" in str(statuses[bad].problem) and statuses[bad].started is not None


@pytest.mark.parametrize(
    "params",
    [
        "a: &x [1]\nb: *x\n",
        "a: &a [*a]\n",
        "\n".join(["a0: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30))]) + "\n",
        "a: " + "[" * 5000 + "\n",
        'a: "\\ud800"\n',
        "a: !!binary aGVsbG8=\n",
        "a: !!set {x, y}\n",
        "? [a, b]\n: c\n",
        "a: " + "9" * 5000 + "\n",
        "- a\n",
        "",
    ],
)
def test_no_document_breaks_a_listing(repo: Repository, params: str) -> None:
    good, odd = record(repo), record(repo)
    put_on_branch(f"experiments/taxi/{odd}/params.yaml", params)
    for _ in range(2):
        assert listed(repo) == [good, odd]
        assert listed(repo, where="params.a is null", allow_unknown=True)[:1] == [good]


def test_files_that_nobody_knows_are_passed_over(repo: Repository) -> None:
    run_id = record(repo)
    for path in (
        "README.md",
        "experiments/notes.txt",
        "experiments/taxi/notes.txt",
        f"experiments/taxi/{run_id}/x.bin",
    ):
        put_on_branch(path, "hello\n")
    put_on_branch("experiments/taxi/archive/run.yaml", "a: 1\n")
    found = catalog.listing(repo)
    assert [run.id for run in found.runs] == [run_id] and found.problems == []


def test_a_newer_format_is_read_as_far_as_it_goes(repo: Repository) -> None:
    run_id = record(repo)
    put_on_branch("gxt.yaml", "format: 2\n")
    found = catalog.listing(repo)
    assert [run.id for run in found.runs] == [run_id]
    assert len(found.problems) == 1 and "format 2" in str(found.problems[0])
    put_on_branch("gxt.yaml", "format: two\n")
    assert isinstance(catalog.listing(repo).problems[0], FormatError)


def test_an_experiment_s_document_is_as_it_was_there(repo: Repository) -> None:
    record(repo)
    before = run_git("rev-parse", "gxt")
    store.edit_experiment(
        repo, store.experiment(repo, "taxi"), lambda known: replace(known, description="new", deleted=1), "deleted"
    )
    assert listed(repo) == [] and len(listed(repo, at=before)) == 1 and len(listed(repo, deleted=None)) == 1
    assert [e.description for e in catalog.listing(repo, at=before).experiments] == [None]
    assert [e.description for e in catalog.listing(repo).experiments] == ["new"]


@pytest.mark.parametrize("revision", ["@{u}", "gxt@{99}", "gxt^{tree}", "--all", "gxt..gxt", "a\nb"])
def test_what_is_no_revision_is_said_clearly(repo: Repository, revision: str) -> None:
    record(repo)
    with pytest.raises(NotFoundError, match="is neither a commit nor a time") as error:
        listed(repo, at=revision)
    assert "cat-file" not in str(error.value) and error.value.hint and error.value.message.isprintable()


# --- a file that is not as it was written ---------------------------------------------------------------------------


DAMAGE = [
    "update document set content = replace(content, 'base', 'bass')",
    "update document set content = cast(x'ff' as text)",
    "update document set content = null",
    "delete from document where run = 2",
    "delete from run where id = 2",
    "drop table document",
    "drop table metric",
    "update listing set runs = '[1]'",
    "update listing set runs = '[1, 2, 3'",
    "update listing set document = x'00'",
    "update value set text = cast(x'ff' as text)",
    "update run set problem = cast(x'ff' as text)",
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_noticed_and_the_file_made_anew(repo: Repository, damage: str) -> None:
    for i in range(3):
        record(repo, name=f"base{i}", params={"a": "x"}, metrics={"m": i})
    where = "params.a like 'x%' or metrics.m > 5"
    before = listed(repo, where=where)
    path = store.root(repo) / cache.FILE
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(damage)
    number = path.stat().st_ino
    assert listed(repo, where=where) == before and len(before) == 3
    assert path.stat().st_ino != number or cache.problem(store.root(repo)) is None
    assert listed(repo) == before


def test_a_file_that_was_cut_is_made_anew(repo: Repository, reads: list[str]) -> None:
    runs = [recorder.begin(repo, "taxi") for _ in range(30)]
    for i, run in enumerate(runs):
        run.log_params({f"p{k}": f"{i} {'x' * 60}" for k in range(5)})
        run.end()
    path = store.root(repo) / cache.FILE
    where = " and ".join(f"p{k} like '% x%'" for k in range(5))
    assert len(listed(repo, where=where)) == 30
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    whole = path.read_bytes()
    assert not tables._is_cut(path)
    for size in [*range(0, len(whole), 20_000), *range(len(whole) - 4096, len(whole), 500)]:
        for rest in path.parent.glob(f"{cache.FILE}-*"):
            rest.unlink()
        path.write_bytes(whole[:size])
        reads.clear()
        assert len(listed(repo, where=where)) == 30, size
        assert reads  # SQLite itself would take the end of the last page for blank


def test_the_doctor_looks_through_the_file(repo: Repository) -> None:
    record(repo)
    listed(repo)
    assert cache.problem(store.root(repo)) is None
    with contextlib.closing(sqlite3.connect(store.root(repo) / cache.FILE)) as db, db:
        db.execute("update document set sum = sum + 1")
    assert cache.problem(store.root(repo)) == "is broken"


# --- in good time -----------------------------------------------------------------------------------------------


def test_a_filter_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gxt.query.deadline.LIMIT", -1.0)
    monkeypatch.setattr("gxt.cache.view._INSTRUCTIONS", 1)
    view = view_of(distinct([Run("20261123-083000-00000000", "taxi")] * 4))
    with pytest.raises(UsageError, match="longer than"):
        view.select(query.parse_filter("name rlike 'a'", view))


def test_a_test_that_takes_long_by_itself_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gxt.query.deadline.LIMIT", -1.0)  # and SQLite never comes to looking at the clock
    view = view_of(distinct([Run("20261123-083000-00000000", "taxi", name="a")]))
    with pytest.raises(UsageError, match="longer than"):
        view.select(query.parse_filter("name like 'a%'", view))


def test_runs_beside_the_branch_have_the_same_time(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = recorder.begin(repo, "taxi", name="a")
    assert len(listed(repo, where="name like 'a%'")) == 1
    monkeypatch.setattr("gxt.query.deadline.LIMIT", -1.0)
    with pytest.raises(UsageError, match="longer than"):
        listed(repo, where="name like 'a%'")
    recording.end()


DEEP_LEAVES = [
    "params.p = '1'",
    "metrics.m > 0",
    "author = 'a'",
    "dataset.rows = 3",
    "params.p in ('1', 2, 'x')",
    "started > '2 days ago'",
    "params.p not like '1%'",
]


def deep(depth: int, text: str = "") -> str:
    """Filters in parentheses, each with tests before and behind; `and` and `or` in turns."""
    found = text or DEEP_LEAVES[0]
    for i in range(depth):
        test, word = DEEP_LEAVES[i % len(DEEP_LEAVES)], ("and", "or")[i % 2]
        found = f"{test} {word} ({found}) {word} {test}"
    return found


def forked(depth: int, at: int = 0) -> str:
    """Parentheses on both sides of each `and` and `or`."""
    if not depth:
        return DEEP_LEAVES[at % len(DEEP_LEAVES)]
    return f"({forked(depth - 1, at + 1)}) {('and', 'or')[depth % 2]} ({forked(depth - 1, at + 2)})"


@pytest.mark.parametrize(
    "text", [deep(50), f"not ({deep(49)})", forked(8), deep(43, forked(7)), "(" * 50 + "name = 'x'" + ")" * 50]
)
def test_filters_may_be_as_deep_as_is_said(text: str) -> None:
    about = Run(
        "20261123-083000-00000000",
        "taxi",
        name="a",
        author="a <b>",
        params={"p": "1"},
        metrics={"m": Summary(1, 1, 1, 1, 0, 1)},
        inputs={"d": {"rows": 3}},
    )
    view = view_of([about])
    expression = query.parse_filter(text, view)
    assert view.select(expression).total == query.matches(expression, about)


def test_the_largest_filter_there_may_be_is_run() -> None:
    view = view_of(distinct([Run("20261123-083000-00000000", "taxi", params={"a": 1})]))
    values = ", ".join(["'1'"] * 400)
    for text in (
        " and ".join(["(params.a between 0 and 2)"] * 400),
        " or ".join(["not exists(metrics.b) and params.a = '1'"] * 200),
        "(" * 50 + "params.a = 1" + ")" * 50,
        f"params.a in ({values})",
        "not " * 1001 + "params.a = 2",
        "run_id not in (" + ", ".join(f"'{i}'" for i in range(5000)) + ")",
    ):
        assert view.select(query.parse_filter(text, view, allow_unknown=True)).total == 1, text[:60]


def test_progress_is_told(repo: Repository) -> None:
    told: list[tuple[int, int]] = []
    for _ in range(3):
        record(repo)
    catalog.listing(repo, progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 3), (3, 3)]
    catalog.listing(repo, progress=lambda done, total: told.append((done, total)))
    assert len(told) == 2


def test_counts(repo: Repository) -> None:
    for name in ("taxi", "taxi", "other"):
        record(repo, name)
    recording = recorder.begin(repo, "new")
    counted = {count.experiment.name: (count.runs, count.live) for count in catalog.counts(repo)[0]}
    assert counted == {"taxi": (2, 0), "other": (1, 0), "new": (1, 1)}
    recording.end()
    assert [str(field) for field in catalog.fields(repo)] == []
