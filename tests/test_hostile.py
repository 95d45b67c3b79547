"""Names, values and files that nobody meant well: refused by one clear error at the call, or kept exactly."""

from __future__ import annotations

import math
import os
import socket
import threading
import unicodedata
import warnings
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gxt.git
from gxt import catalog, recorder, store
from gxt.errors import UsageError
from gxt.git import Repository
from gxt.masking.values import mask_value
from gxt.model import Run, clean_text
from gxt.pointers import Pointer, write_pointer
from gxt.recorder import ActiveRun
from helpers import git, put_on_branch, record, run_python
from soundness import check_sound

# What a name may be all the same: none of these is refused as the name of a param, a tag, a metric or a run.
ODD = [
    *("..", ".", "...", "-", "-rf", "--help", "con", "CON", "nul.txt", "aux", "dot.", "d/b", "/etc/hosts", "d//b"),
    *("../../outside", "..\\..\\outside", "C:\\x", "~", "~root", ".git", ".git/config", "git~1", "x.lock", "HEAD", "@"),
    *(
        "@{u}",
        "refs/heads/gxt",
        "a:b",
        "a^",
        "*",
        "?",
        "[a]",
        "$(id)",
        "`id`",
        ";",
        "&&",
        "|",
        "<b>",
        "%20",
        "%",
        "%00",
    ),
    *("a,b", 'say "it"', "'", '"', '""', "\\", "\\n", "\\x00", "#comment", "a #b", "key: value", "- item", "{a: b}"),
    *("!!python/object:os.system", "&anchor", "*alias", "|", ">", "? a", "---", "...", "<<", "=", "=1+1", "@last"),
    *("yes", "no", "null", "Null", "true", "~", "nan", ".inf", "1", "1.0", "1e3", "0x10", "012", "1_000", "12:30:45"),
    *("2001-01-01", "2001-01-01T00:00:00Z", "a  b", "a=b", "step", "metric", "step,metric,value,time", "__proto__"),
    *("A", "a", "Ä", "ä", "ß", "SS", "İ", "i", "ı", "\u00e9", "e\u0301", "\ufb01", "fi", "Å", "A\u030a", "\u212b"),
    *("日本語", "مرحبا", "שלום", "🚀", "👍🏽", "𝒳", "\u0301", "ﷺ", "zalgo" + "\u0335\u0321" * 20, "x" * 250, "é" * 125),
]
ODD = list(dict.fromkeys(ODD))
# No name can be these; any of them can be a value.
ILL = [
    *(
        "",
        " ",
        " a",
        "a ",
        "\t",
        "a\tb",
        "a\nb",
        "\n",
        "a\r\nb",
        "a\rb",
        "a\0b",
        "\0",
        "\x1b[31m",
        "\x7f",
        "\x85",
        "\u2028",
    ),
    *(
        "\u202eevil",
        "a\u200bb",
        "\ufeffbom",
        "\u00ad",
        "👩\u200d👩",
        "\ud800",
        "a\udcffb",
        "\U000e0001",
        "\uffff",
        "\ufffe",
    ),
    *("x" * 251, "é" * 126, "x" * 10_240, "🚀" * 2_560, "a\u00a0"),
]
TEXTS = ODD + ILL


def recorded(run: ActiveRun) -> dict[str, bytes]:
    """All that a live run has."""
    names = [path for path in run.folder.rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in names if "environment.txt" not in path.name}


def refused(run: ActiveRun, call: Callable[..., object], *args: Any, **options: Any) -> bool:
    """Whether the call raises the one error that it may, and then nothing was recorded."""
    before = recorded(run)
    try:
        call(*args, **options)
    except UsageError as error:
        assert recorded(run) == before
        assert str(error).strip() and "\n" not in str(error) and len(str(error)) < 500
        assert str(error).isprintable(), "a message must not carry what it warns of"
        return True
    return False


@pytest.fixture
def run(repo: Repository) -> ActiveRun:
    begun = recorder.begin(repo, "taxi", name="calm-otter")
    assert begun.provenance and begun.provenance.thread
    begun.provenance.thread.join()  # from here on only we write
    return begun


@pytest.fixture
def clone(repo: Repository, tmp_path: Path) -> Callable[[], Repository]:
    """A function that clones the repository and finds the clone."""

    def make() -> Repository:
        check_sound(repo)
        git("clone", "-q", str(repo.work_tree), str(tmp_path / "clone"))
        return gxt.git.find(tmp_path / "clone")

    return make


Clone = Callable[[], Repository]


def both(repo: Repository, clone: Clone, run_id: str) -> list[tuple[Repository, Run]]:
    """The run as it is read here and in a clone."""
    there = clone()
    return [(place, catalog.find(place, run_id)) for place in (repo, there)]


# --- names and texts --------------------------------------------------------------------------------------------


def test_params(run: ActiveRun, repo: Repository, clone: Clone) -> None:
    assert [name for name in TEXTS if refused(run, run.log_param, name, name)] == ILL
    run.log_params({f"value{number}": text for number, text in enumerate(ILL)})
    run.log_param("nested", {name: [name, {name: name}] for name in ODD})
    run.end()
    expected = (
        {name: name for name in ODD}
        | {f"value{number}": clean_text(text) for number, text in enumerate(ILL)}
        | {"nested": {name: [name, {name: name}] for name in ODD}}
    )
    for _, found in both(repo, clone, run.run_id):
        assert found.params == expected
    document = git("show", f"gxt:experiments/taxi/{run.run_id}/params.yaml", cwd=repo.common_dir)
    assert yaml.safe_load(document) == expected  # and so anybody reads them


def test_tags_and_note(run: ActiveRun, repo: Repository, clone: Clone) -> None:
    assert [name for name in TEXTS if refused(run, run.set_tag, name, name)] == ILL
    run.set_tags({f"value{number}": text for number, text in enumerate(ILL)})
    run.set_note("".join(TEXTS))
    run.end()
    expected = {name: name for name in ODD} | {f"value{number}": clean_text(text) for number, text in enumerate(ILL)}
    for _, found in both(repo, clone, run.run_id):
        assert found.tags == expected
        assert found.note == clean_text("".join(TEXTS))


def test_metrics(run: ActiveRun, repo: Repository, clone: Clone) -> None:
    values = {name: float(number) for number, name in enumerate(TEXTS)}
    for name in TEXTS:
        answers = {
            refused(run, run.log_metric, name, values[name]),
            refused(run, run.log_metrics, {name: values[name]}),
            refused(run, run.log, {name: values[name]}, step=0),
        }
        assert answers == {name in ILL}, name
    assert refused(run, run.log_metrics, values)
    run.end()
    for place, found in both(repo, clone, run.run_id):
        assert {name: summary.last for name, summary in found.metrics.items()} == {name: values[name] for name in ODD}
        assert [(p.metric, p.value) for p in catalog.points(place, found)] == [
            (name, values[name]) for name in ODD for _ in range(3)
        ]


def test_experiments_and_run_names(repo: Repository, work: Path, clone: Clone) -> None:
    begun = {}
    too_long = [name for name in ODD if len(name.encode()) > 80]  # three letters a byte, in a folder's name
    for name in TEXTS:
        if name in ILL + too_long:
            with pytest.raises(UsageError):
                recorder.begin(repo, name)
        if name in ILL:
            with pytest.raises(UsageError):
                recorder.begin(repo, "taxi", name=name)
        else:
            begun[name] = recorder.begin(repo, "taxi" if name in too_long else name, name=name)
    assert len(catalog.listing(repo).runs) == len(ODD)
    for active in begun.values():
        active._live.finish()
    store.commit_pending(repo)
    for place in (repo, clone()):
        listing = catalog.listing(place)
        assert listing.problems == []
        assert sorted(run.name for run in listing.runs) == sorted(ODD)
        assert all(run.experiment in (run.name, "taxi") for run in listing.runs)
        assert {e.name for e in listing.experiments} == {*ODD, "taxi"} - set(too_long)
    check_sound(repo)


def seen_as(path: str) -> str:
    """What macOS and Windows make of a path: one of two that differ in case or in how accents are encoded."""
    return unicodedata.normalize("NFC", path).casefold()


def test_artifact_names(run: ActiveRun, repo: Repository, work: Path, tmp_path: Path, clone: Clone) -> None:
    kept = [name for name in TEXTS if not refused(run, run.log_text, f"in {name}", name)]
    assert {"-rf", "d/b", "A", "Ä", "ß", "\u00e9", "🚀", "%20", "--help", "~"} <= set(kept)
    assert not {"..", "../../outside", "/etc/hosts", "con", "nul.txt", "dot.", ".git", ".git/config", "C:\\x"} & set(
        kept
    )
    assert not {"a", "ä", "SS", "e\u0301", "A\u030a"} & set(kept), "a second spelling of one that is there"
    files = {"/".join(part for part in name.split("/") if part not in ("", ".")): f"in {name}" for name in kept}
    assert len({seen_as(path) for path in files}) == len(files)
    run.end()
    for place, found in both(repo, clone, run.run_id):
        read = {path: catalog.read_file(place, found, f"artifacts/{path}") for path in files}
        assert read == {path: text.encode() for path, text in files.items()}
        (target := tmp_path / str(place.common_dir).replace("/", "_")).mkdir()
        catalog.export(place, found, target, "artifacts")
        exported = [path for path in target.rglob("*") if path.is_file()]
        assert {path.relative_to(target / "artifacts").as_posix(): path.read_text() for path in exported} == files
    git("worktree", "add", "-q", str(tmp_path / "checkout"), "gxt", cwd=work)
    assert git("status", "--porcelain", cwd=tmp_path / "checkout") == ""


ANY = st.text(st.characters(), max_size=12)


@given(
    params=st.dictionaries(ANY, ANY | st.none() | st.booleans() | st.floats(), max_size=6),
    tags=st.dictionaries(ANY, ANY, max_size=6),
    metrics=st.dictionaries(ANY, st.floats(), max_size=6),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_names(repo: Repository, params: dict[str, Any], tags: dict[str, str], metrics: dict[str, float]) -> None:
    active = recorder.begin(repo, "taxi")
    assert active.provenance and active.provenance.thread
    active.provenance.thread.join()
    params = {key: value for key, value in params.items() if not refused(active, active.log_param, key, value)}
    tags = {key: value for key, value in tags.items() if not refused(active, active.set_tag, key, value)}
    metrics = {key: value for key, value in metrics.items() if not refused(active, active.log_metric, key, value)}
    active.end()
    found = store.read_run(repo, active.run_id)
    assert repr(dict(found.params)) == repr({key: masked(key, params[key]) for key in sorted(params)})
    assert dict(found.tags) == {key: masked(key, value) for key, value in tags.items()}
    points = [(point.metric, repr(point.value)) for point in catalog.points(repo, found)]
    assert points == [(name, repr(value)) for name, value in metrics.items()]


def masked(key: str, value: Any) -> Any:
    return mask_value(key, clean_text(value) if isinstance(value, str) else value)


# --- numbers ----------------------------------------------------------------------------------------------------


def test_values_of_metrics(run: ActiveRun, repo: Repository, clone: Clone) -> None:
    values: dict[str, Any] = {
        **{
            "nan": math.nan,
            "inf": math.inf,
            "-inf": -math.inf,
            "-0": -0.0,
            "least": 5e-324,
            "most": 1.7976931348623157e308,
        },
        **{"true": True, "false": False, "int": 10**300, "2**53+1": 2**53 + 1, "fraction": Fraction(1, 3)},
        **{"decimal": Decimal("0.1"), "decimal nan": Decimal("NaN"), "int64": numpy.int64(-(2**63))},
        **{"uint64": numpy.uint64(2**64 - 1), "float16": numpy.float16(0.1), "float32": numpy.float32(0.1)},
        **{
            "longdouble": numpy.longdouble("0.1"),
            "bool_": numpy.bool_(True),
            "0-d": numpy.array(7),
            "1": numpy.array([7]),
        },
    }
    for name, value in values.items():
        run.log_metric(name, value)
    run.log_metrics(values, step=1)
    run.end()
    expected = {name: float(numpy.float64(value).item()) for name, value in values.items()}
    for place, found in both(repo, clone, run.run_id):
        points = [(point.step, point.metric, repr(point.value)) for point in catalog.points(place, found)]
        assert points == [(step, name, repr(value)) for step in (0, 1) for name, value in expected.items()]
        assert {name: repr(s.last) for name, s in found.metrics.items()} == {
            name: repr(v) for name, v in expected.items()
        }


HUGE = [pytest.param(sign * 10**digits, id=f"{sign * digits} digits") for sign in (1, -1) for digits in (400, 5000)]


@pytest.mark.parametrize("value", [*HUGE, 1j, "nan", b"1", None, [1], [1, 2], numpy.array([1, 2]), math])
def test_what_is_no_value_of_a_metric(run: ActiveRun, repo: Repository, value: Any) -> None:
    assert refused(run, run.log_metric, "m", value)
    assert refused(run, run.log_metrics, {"fine": 1, "m": value})
    assert refused(run, run.log, {"fine": 1, "m": value})
    run.end()
    assert store.read_run(repo, run.run_id).metrics == {}


@pytest.mark.parametrize("number", [2**31, 2**53 + 1, 2**63, -(2**63), 2**64, 1e300, *HUGE])
def test_steps_and_times_that_are_huge(run: ActiveRun, repo: Repository, clone: Clone, number: Any) -> None:
    """Every way of logging takes the same steps, and what it takes it gives back."""
    answers = {
        refused(run, run.log_metric, "m", 1, step=number),
        refused(run, run.log_metrics, {"m": 1}, step=number),
        refused(run, run.log, {"m": 1}, step=number),
    }
    assert len(answers) == 1
    time_refused = refused(run, run.log_metric, "t", 1, timestamp=number)
    run.end()
    for place, found in both(repo, clone, run.run_id):
        points = catalog.points(place, found)
        assert [point.step for point in points if point.metric == "m"] == ([] if True in answers else [number] * 3)
        assert [point.time for point in points if point.metric == "t"] == ([] if time_refused else [number])


def test_params_that_are_no_plain_values(run: ActiveRun, repo: Repository, clone: Clone) -> None:
    deep: Any = []
    deep.append(deep)
    around: dict[str, Any] = {}
    around["around"] = around
    assert refused(run, run.log_param, "p", deep)
    assert refused(run, run.log_param, "p", around)
    assert refused(run, run.log_params, {"fine": 1, "p": 10**5000})
    assert refused(run, run.log_params, {"fine": 1, "p": {"a": {"b\n": 1}}})
    kept = {
        "int": 10**400,
        "nan": math.nan,
        "inf": -math.inf,
        "-0": -0.0,
        "empty": {},
        "none": None,
        "list": [[], {}, ""],
    }
    run.log_params(kept)
    run.end()
    for _, found in both(repo, clone, run.run_id):
        assert repr({key: found.params[key] for key in kept}) == repr(kept)
        assert found.params.keys() == kept.keys()


# --- files ------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to log, with a file in it that nothing is wrong with."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("a")
    return tmp_path / "folder"


def artifacts_of(repo: Repository, run: Run) -> dict[str, bytes]:
    names = [path.removeprefix("artifacts/") for path in catalog.files(repo, run) if path.startswith("artifacts/")]
    return {name: catalog.read_file(repo, run, f"artifacts/{name}") or b"" for name in names}


def test_folders_nested_and_empty(run: ActiveRun, repo: Repository, folder: Path, clone: Clone) -> None:
    deep = folder / "/".join("bcdefghij")
    deep.mkdir(parents=True)
    (deep / "k.txt").write_text("k")
    (folder / "empty").touch()
    (folder / "none" / "at" / "all").mkdir(parents=True)
    run.log_artifact(folder)
    run.log_artifacts(folder, "contents")
    run.log_artifact(folder / "none")
    run.log_artifacts(folder / "none", "none")
    run.end()
    files = {"a.txt": b"a", "b/c/d/e/f/g/h/i/j/k.txt": b"k", "empty": b""}
    expected = {f"{top}/{name}": data for top in ("folder", "contents") for name, data in files.items()}
    for place, found in both(repo, clone, run.run_id):
        assert artifacts_of(place, found) == expected


def test_links_are_kept_as_what_they_lead_to(
    run: ActiveRun, repo: Repository, folder: Path, tmp_path: Path, clone: Clone
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("outside")
    (folder / "sub").mkdir()
    (folder / "sub" / "b.txt").write_text("b")
    (folder / "file inside").symlink_to("a.txt")
    (folder / "folder inside").symlink_to("sub")
    (folder / "file outside").symlink_to(tmp_path / "outside" / "secret.txt")
    (folder / "folder outside").symlink_to(tmp_path / "outside", target_is_directory=True)
    (folder / "two steps").symlink_to("file inside")
    (tmp_path / "top").symlink_to(folder)
    run.log_artifacts(tmp_path / "top")
    run.log_artifact(folder / "file inside", "alone")
    run.end()
    for place, found in both(repo, clone, run.run_id):
        assert artifacts_of(place, found) == {
            "a.txt": b"a",
            "alone/file inside": b"a",
            "file inside": b"a",
            "file outside": b"outside",
            "folder inside/b.txt": b"b",
            "folder outside/secret.txt": b"outside",
            "sub/b.txt": b"b",
            "two steps": b"a",
        }
    assert set(git("ls-tree", "-r", "--format=%(objectmode)", "gxt", cwd=repo.common_dir).split()) == {"100644"}


def dangling(folder: Path) -> None:
    (folder / "b").symlink_to("nowhere")


def link_to_itself(folder: Path) -> None:
    (folder / "b").symlink_to("b")


def links_to_each_other(folder: Path) -> None:
    (folder / "b").symlink_to("c")
    (folder / "c").symlink_to("b")


def link_to_the_folder_around(folder: Path) -> None:
    (folder / "b").mkdir()
    (folder / "b" / "c").symlink_to("..")


def links_around_outside(folder: Path) -> None:
    outside = folder.with_name("elsewhere")
    outside.mkdir()
    (folder / "b").symlink_to(outside)
    (outside / "back").symlink_to(folder)


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "b")


def listening_socket(folder: Path) -> None:
    before = Path.cwd()
    os.chdir(folder)  # a socket's path may have 107 letters
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("b")
    os.chdir(before)


def device(folder: Path) -> None:
    (folder / "b").symlink_to("/dev/zero")


def no_utf_8(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/b\xff")).touch()


def name_with_a_line_in_it(folder: Path) -> None:
    (folder / "b\nc").touch()


def names_that_differ_in_case(folder: Path) -> None:
    (folder / "b.txt").touch()
    (folder / "B.txt").touch()


def a_repository(folder: Path) -> None:
    git("init", "-q", str(folder))


def name_of_a_device(folder: Path) -> None:
    (folder / "b").mkdir()
    (folder / "b" / "con.txt").touch()


SPOILED = [
    *(dangling, link_to_itself, links_to_each_other, link_to_the_folder_around, links_around_outside),
    *(
        pipe,
        listening_socket,
        device,
        no_utf_8,
        name_with_a_line_in_it,
        names_that_differ_in_case,
        a_repository,
        name_of_a_device,
    ),
]


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_a_folder_is_logged_whole_or_not_at_all(
    run: ActiveRun, repo: Repository, folder: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(folder)
    assert refused(run, run.log_artifact, folder)
    assert refused(run, run.log_artifacts, folder)
    assert refused(run, run.log_artifacts, folder, "below")
    for entry in [path for path in folder.iterdir() if path.name.startswith("b") and not path.is_dir()]:
        if entry.name == "b.txt":
            continue  # alone it is as good as any
        assert refused(run, run.log_artifact, entry)
    run.log_artifact(folder / "a.txt")
    run.end()
    assert artifacts_of(repo, store.read_run(repo, run.run_id)) == {"a.txt": b"a"}


def test_a_file_that_grows_and_shrinks_while_it_is_copied(run: ActiveRun, repo: Repository, tmp_path: Path) -> None:
    """A copy is the beginning of what the file held at some time."""
    line = bytes(range(256)) * 16
    changing = tmp_path / "changing.bin"
    changing.write_bytes(line * 100)
    stop = threading.Event()

    def change() -> None:
        with open(changing, "r+b") as file:
            while not stop.is_set():
                file.truncate(len(line) * 100)
                file.seek(0, os.SEEK_END)
                file.write(line * 400)

    writer = threading.Thread(target=change)
    writer.start()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for number in range(20):
                run.log_artifact(changing, str(number))
    finally:
        stop.set()
        writer.join()
    run.end()
    assert all("was being written while it was copied" in str(warning.message) for warning in caught)
    found = artifacts_of(repo, store.read_run(repo, run.run_id))
    assert len(found) == 20
    for data in found.values():
        assert len(line) * 100 <= len(data) <= len(line) * 500 and data == (line * 500)[: len(data)]


RECORDS_IN_LITTLE_MEMORY = """
import resource, sys, warnings
warnings.simplefilter("error")
import gxt
run = gxt.start_run(run_name="large")
run.provenance.thread.join()
resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20))
gxt.log_artifact(sys.argv[1])
gxt.end_run()
"""


@pytest.mark.parametrize("megabytes", [160, pytest.param(1024, marks=pytest.mark.slow)])
def test_an_artifact_larger_than_the_memory(repo: Repository, tmp_path: Path, megabytes: int) -> None:
    """Neither this process nor git, which inherits the limit of 256 MB, holds the file in its memory."""
    with open(tmp_path / "large.bin", "wb") as file:
        file.truncate(megabytes << 20)
        file.write(b"begin")
    run_python(str(tmp_path / "large.bin"), code=RECORDS_IN_LITTLE_MEMORY, cwd=repo.work_tree)
    found = catalog.find(repo, "large")
    assert (found.place, catalog.files(repo, found)["artifacts/large.bin"]) == ("branch", megabytes << 20)
    check_sound(repo)


def test_a_pointer_with_a_size_that_no_file_has_spoils_nothing(repo: Repository) -> None:
    bad, good = record(repo, name="bad"), record(repo, name="good")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize {'9' * 850}\n"
    put_on_branch(f"experiments/taxi/{bad}/artifacts/a.bin", pointer)
    put_on_branch(f"experiments/taxi/{good}/artifacts/b.bin", write_pointer(Pointer("1" * 64, 2**63 - 1)))
    for args in (["show", bad], ["show", good], ["artifacts"], ["artifacts", bad], ["artifacts", "verify"], ["status"]):
        done = run_python("-m", "gxt", *args, check=False)
        assert done.returncode in (0, 1) and "bug" not in done.stderr, (args, done.stderr)
    assert "a size that no file has" in run_python("-m", "gxt", "doctor", check=False).stdout
