"""What two versions of a file come to."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gxt import layout, merging
from gxt.merging import Edit, Joined, Versions
from gxt.merging.lines import join_lines

Files = Mapping[str, bytes]


def join(ours: Files, theirs: Files, base: Files | None = None, ours_is_later: bool = True) -> Joined:
    """Both sides in one edit each; checks that it does not matter which is called ours."""

    def of(one: Files, other: Files, one_is_first: bool) -> Joined:
        contents = {f"{data!r}": data for files in (one, other, base or {}) for data in files.values()}
        sides = [{path: f"{data!r}" for path, data in files.items()} for files in (one, other, base or {})]
        edits: dict[str, list[Edit]] = {}
        for side, files in ((True, sides[0]), (False, sides[1])):
            for path in files.keys() | sides[2].keys():
                before, after = sides[2].get(path), files.get(path)
                if before != after:
                    edits.setdefault(path, []).append(
                        Edit("first" if side == one_is_first else "second", side, [before], after)
                    )
        later = "first" if ours_is_later else "second"
        versions = Versions(sides[0], sides[1], [sides[2]] if base else [], edits, contents.__getitem__, later.__eq__)
        joined = merging.join(versions)
        files = {path: contents[data] if isinstance(data, str) else data for path, data in joined.files.items()}
        return joined._replace(files=files)  # type: ignore[arg-type]

    joined = of(ours, theirs, True)
    assert joined == of(theirs, ours, False)
    return joined


def document(ours: str, theirs: str, base: str = "", name: str = layout.RUN_YAML, **how: bool) -> str:
    files = join({name: ours.encode()}, {name: theirs.encode()}, {name: base.encode()}, **how).files
    content = files[name]
    assert isinstance(content, bytes)
    return content.decode()


def test_different_keys_are_all_kept() -> None:
    assert document("a: 1\ntags:\n  x: 1\n", "a: 1\nnote: hi\n", "a: 1\n") == "tags:\n  x: 1\nnote: hi\na: 1\n"


def test_the_later_edit_of_one_key_wins() -> None:
    for later, kept in ((True, "mine"), (False, "theirs")):
        assert document("note: mine\n", "note: theirs\n", "note: old\n", ours_is_later=later) == f"note: {kept}\n"


def test_what_gave_way_is_named() -> None:
    joined = join({layout.RUN_YAML: b"tags:\n  a: x\n"}, {layout.RUN_YAML: b"tags:\n  a: y\n"})
    ((path, lost),) = joined.lost
    assert (path, lost.key, lost.lost, lost.kept) == ("run.yaml", "tags.a", "y", "x")


def test_another_moment_of_the_same_end_is_not_named() -> None:
    def ended(at: str, code: int) -> dict[str, bytes]:
        return {layout.RUN_YAML: f"status: failed\nended: 2026-11-23T{at}.000Z\nexit_code: {code}\n".encode()}

    assert join(ended("10:00:00", 1), ended("10:00:07", 1)).lost == []
    ((_, lost),) = join(ended("10:00:00", 1), ended("10:00:07", 2)).lost
    assert lost.key == "status"
    (_,) = join(ended("10:00:00", 1), {layout.RUN_YAML: b"status: finished\nended: 2026-11-23T10:00:00.000Z\n"}).lost


def test_a_key_that_one_side_took_away_is_gone() -> None:
    assert document("a: 1\n", "a: 1\ntags:\n  x: 1\nnote: hi\n", "a: 1\ntags:\n  x: 1\n") == "note: hi\na: 1\n"


def test_how_a_run_ended_is_not_mixed() -> None:
    ours = "status: finished\nended: 2026-11-23T10:00:00.000Z\nexit_code: 0\n"
    theirs = "status: killed\nended: 2026-11-23T11:00:00.000Z\n"
    assert document(ours, theirs, "status: running\n", ours_is_later=False) == theirs
    assert document(ours, theirs, "status: running\n", ours_is_later=True) == ours


def test_a_document_that_cannot_be_read_gives_way() -> None:
    assert document("a: [", "b: 1\n", "c: 1\n") == "b: 1\n"


def test_the_experiment_that_was_begun_first_keeps_its_identity() -> None:
    ours = "id: zzzzzzzz\nname: taxi\ncreated: 2026-11-23T10:00:00.000Z\ngoals:\n  a: min\n"
    theirs = "id: aaaaaaaa\nname: taxi\ncreated: 2026-11-23T11:00:00.000Z\ndescription: about\n"
    name = f"experiments/taxi/{layout.EXPERIMENT_YAML}"
    merged = document(ours, theirs, name=name, ours_is_later=False)
    assert merged == (
        "id: zzzzzzzz\nname: taxi\ncreated: 2026-11-23T10:00:00.000Z\ndescription: about\ngoals:\n  a: min\n"
    )


def test_the_greater_format_stays() -> None:
    assert document("format: 1\nstore: a\n", "format: 2\n", "format: 1\n", name="gxt.yaml") == "format: 2\nstore: a\n"


@pytest.mark.parametrize("value", ["1", "1.0", "true", '"1"', ".nan", "[1, 2]", "{}"])
def test_params_keep_their_types(value: str) -> None:
    assert document(f"a: {value}\nb: 1\n", f"a: {value}\nc: 1\n", f"a: {value}\n", "params.yaml") == (
        f"a: {value}\nb: 1\nc: 1\n"
    )


def test_points_of_both_sides_and_a_summary_of_them() -> None:
    head = layout.METRICS_HEADER
    base = {layout.METRICS_CSV: head + b"0,a,1,10\n0,a,1,10\n", layout.METRICS_YAML: b"{}\n"}
    ours = {layout.METRICS_CSV: head + b"0,a,1,10\n0,a,1,10\n2,a,3,30\n", layout.METRICS_YAML: b"x: 1\n"}
    theirs = {layout.METRICS_CSV: head + b"0,a,1,10\n0,a,1,10\n1,a,2,20\n", layout.METRICS_YAML: b"y: 1\n"}
    joined = join(ours, theirs, base)
    assert joined.files == {
        layout.METRICS_CSV: head + b"0,a,1,10\n0,a,1,10\n1,a,2,20\n2,a,3,30\n",
        layout.METRICS_YAML: b"a: {last: 3.0, min: 1.0, max: 3.0, first: 1.0, step: 2, count: 4}\n",
    }
    assert joined.lost == []


def test_points_that_one_side_dropped_stay_dropped() -> None:
    assert join_lines(b"t\n1\n4\n", b"t\n1\n2\n5\n", [b"t\n1\n2\n"], b"t\n", 0) == b"t\n1\n4\n5\n"


lines = st.lists(
    st.sampled_from([b"1,a", b"2,a", b"2,b", b'3,"x,y"', b"broken", b"10,a", b"9,-1", b"9,10"]), max_size=8
)


@given(lines, lines, lines)
def test_lines_join_in_any_order_and_grouping(one: list[bytes], two: list[bytes], three: list[bytes]) -> None:
    def joined(*files: bytes) -> bytes:
        whole = files[0]
        for file in files[1:]:
            whole = join_lines(whole, file, [], b"h\n", 0)
        return whole

    a, b, c = (b"h\n" + b"".join(line + b"\n" for line in some) for some in (one, two, three))
    assert joined(a, b, c) == joined(c, joined(b, a)) == joined(joined(a, c), b)
    assert joined(a, b, b, a) == joined(a, b)


def test_the_longer_output_stays() -> None:
    files = join({layout.OUTPUT_LOG: b"one\ntwo\n"}, {layout.OUTPUT_LOG: b"one\n"}, {layout.OUTPUT_LOG: b""}).files
    assert files == {layout.OUTPUT_LOG: b"one\ntwo\n"}


def test_artifacts() -> None:
    base = {"artifacts/a": b"old", "artifacts/b": b"old", "artifacts/c": b"old"}
    ours = {"artifacts/a": b"ours", "artifacts/c": b"ours", "artifacts/d": b"new"}
    theirs = {"artifacts/a": b"theirs", "artifacts/b": b"edited", "artifacts/c": b"old", "artifacts/e/f": b"new"}
    assert join(ours, theirs, base).files == {
        "artifacts/a": b"ours",
        "artifacts/b": b"edited",
        "artifacts/c": b"ours",
        "artifacts/d": b"new",
        "artifacts/e/f": b"new",
    }
    assert join({"artifacts/x": b"1"}, {"artifacts/x/y": b"2"}).files == {"artifacts/x/y": b"2"}
