from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from gxt.errors import FormatError
from gxt.yamlreader import load, parse_scalar
from gxt.yamltext import Flow, Plain, _load_own, dump, load_mapping, parse_value

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
# Text that looks like something else, in one YAML or another.
LOOKALIKES = st.sampled_from(
    [
        "yes",
        "No",
        "ON",
        "off",
        "y",
        "N",
        "true",
        "null",
        "~",
        ".inf",
        "-.INF",
        ".nan",
        "1e-3",
        "1E5",
        "0x1F",
        "0o17",
        "017",
        "0b1",
        "1_000",
        "12:30",
        "12:30:45",
        "1.5",
        "+1",
        "-1",
        ".5",
        "5.",
        "2026-11-23",
        "2026-11-23T08:30:00Z",
        "-",
        "--",
        "---",
        "...",
        "?",
        ":",
        ":a",
        "a:",
        "a:b",
        "[a]",
        "{a}",
        "<<",
        "",
        "=",
        "&",
        "*",
        "!",
        "|",
        ">",
        "%",
        "@",
        "`",
        "#",
        "a#b",
        "''",
        '""',
        "1e5",
        "_",
        ".5e3",
        "0",
        "00",
        "1:",
        "1:2",
        "1:60",
        "0.1e+3",
        "._1",
        "/x",
        ".x",
        "//",
    ]
) | st.from_regex(r"[-+.0-9_:eExobTZ ]{1,12}", fullmatch=True)
ANY_TEXT = TEXT | LOOKALIKES | st.text("a \n#:-'\"\t\\{}[],&*?|>%@!", max_size=12)
SCALARS = ANY_TEXT | st.integers() | st.floats() | st.booleans() | st.none()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(ANY_TEXT, VALUES, max_size=6)


def same(one: Any, other: Any) -> bool:
    """Equal in value and type; NaN equals NaN, and 0.0 is not -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return repr(one) == repr(other)
    return bool(one == other)


@given(DOCUMENTS)
@example({"list": ["0:?", "why?"]})
@example({"note": "two\nlines\n", "poem": " indented\nlines", "end": "trailing\n\n"})
@example({"a": {"b": {}}, "c": [], "d": [[], {}]})
def test_what_is_dumped_loads_as_the_same_value(document: dict[str, Any]) -> None:
    assert same(load(dump(document), "here"), document)


@given(DOCUMENTS)
@example({"list": [{"0?": None}, "why?", "0:?"]})
def test_a_yaml_1_1_reader_sees_the_same_values(document: dict[str, Any]) -> None:
    assert same(yaml.safe_load(dump(document)), document)


@given(DOCUMENTS)
def test_both_of_pyyaml_s_parsers_agree(document: dict[str, Any]) -> None:
    data = dump(document)
    assert same(yaml.load(data, yaml.SafeLoader), yaml.load(data, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


@given(DOCUMENTS)
def test_dumping_is_deterministic_and_clean(document: dict[str, Any]) -> None:
    data = dump(document)
    assert dump(load(data, "here") or {}) == data
    assert b"\r" not in data and data.endswith(b"\n")
    assert b"\t" not in data


@given(st.dictionaries(ANY_TEXT, ANY_TEXT | st.floats() | st.integers(), min_size=1, max_size=4))
def test_a_flow_mapping_takes_one_line_and_loads_the_same(mapping: dict[str, Any]) -> None:
    data = dump({"rmse": Flow(mapping)})
    assert data.count(b"\n") == 1
    assert same(load(data, "here"), {"rmse": mapping})
    assert same(yaml.safe_load(data), {"rmse": mapping})


def test_long_text_is_not_folded_and_repeated_objects_are_no_anchors() -> None:
    shared = ["word " * 50]
    data = dump({"one": shared, "two": shared})
    assert data.count(b"\n") == 2
    assert b"&" not in data and b"*" not in data


def test_words_stay_readable_without_quotes() -> None:
    assert dump({"name": "calm-otter", "město": "Plzeň", "path": "models/a.bin", "cmd": "python train.py --x 1"}) == (
        "name: calm-otter\nměsto: Plzeň\npath: models/a.bin\ncmd: python train.py --x 1\n".encode()
    )


def test_several_lines_become_a_literal_block() -> None:
    assert dump({"note": "# Title\n\n- one\n- two\n"}) == b"note: |\n  # Title\n\n  - one\n  - two\n"
    assert dump({"note": "one\ntwo"}) == b"note: |-\n  one\n  two\n"


def test_a_plain_time_is_a_time_to_others_and_the_same_text_as_a_value_is_not() -> None:
    text = "2026-11-23T08:30:00.123Z"
    assert dump({"started": Plain(text)}) == f"started: {text}\n".encode()
    assert dump({"param": text}) == f'param: "{text}"\n'.encode()
    assert dump({"started": Plain(text)}) == f"started: {text}\n".encode()


def test_an_empty_document_is_an_empty_mapping() -> None:
    assert dump({}) == b"{}\n"
    assert load_mapping(dump({}), "here") == {}


def test_what_is_no_value_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        dump({"a": object()})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        ("12", 12),
        ("-12", -12),
        ("0x1F", 31),
        ("0o17", 15),
        ("007", 7),
        ("no", "no"),
        ("yes", "yes"),
        ("12:30", "12:30"),
        ("2026-11-23", "2026-11-23"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("1_000", "1_000"),
        ("lasso", "lasso"),
    ],
)
def test_plain_scalars_are_read_by_the_core_schema(text: str, value: object) -> None:
    assert same(parse_scalar(text), value)
    assert same(load(f"a: {text}\n".encode(), "here")["a"], value)


def test_nan_is_read() -> None:
    assert math.isnan(parse_scalar(".nan"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[64, 32]", [64, 32]),
        ("{a: 1}", {"a": 1}),
        ("'1'", "1"),
        ('"1"', "1"),
        ("[unclosed", "[unclosed"),
        ("a: b", "a: b"),
        ("0.1", 0.1),
    ],
)
def test_values_as_typed_on_a_command_line(text: str, value: object) -> None:
    assert same(parse_value(text), value)


@given(ANY_TEXT)
def test_any_text_can_be_typed_on_a_command_line(text: str) -> None:
    parse_value(text)


def test_a_broken_document_is_named_with_line_and_column() -> None:
    with pytest.raises(FormatError, match=r"params\.yaml, line 2, column \d+"):
        load(b"a: 1\nb: ]\n", "params.yaml")
    with pytest.raises(FormatError, match=r"params\.yaml"):
        load(b"a: \xff\n", "params.yaml")


def test_keys_are_text_at_every_level() -> None:
    data = b"a: {x: 1, 2: 3, null: 4, true: 5, 1.50: 6, ~: 7}\nb: [{1: 2}]\n? 3\n: 4\n"
    keys = {"x": 1, "2": 3, "null": 4, "true": 5, "1.50": 6, "~": 7}
    assert load(data, "here") == {"a": keys, "b": [{"1": 2}], "3": 4}


@pytest.mark.parametrize(
    "text",
    ["a: 1\na: 2\n", "a:\n  b: 1\n  b: 2\n", "m: {last: 1, last: 2}\n", "1: a\n'1': b\n"],
)
def test_a_key_twice_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match="is there twice"):
        load_mapping(text.encode(), "here")


def test_a_summary_twice_is_refused() -> None:
    line = "m: {last: 1.0, min: 1.0, max: 1.0, first: 1.0, step: 0, count: 1}\n"
    with pytest.raises(FormatError, match="'m' is there twice"):
        load_mapping((line * 2).encode(), "here")


@pytest.mark.parametrize(
    ("text", "value"),
    [("!!str 5", "5"), ("! 5", "5"), ("!!int 0x10", 16), ("!!float 5", 5.0), ("!!null ''", None), ("!!seq [1]", [1])],
)
def test_tags_of_the_core_schema_are_read(text: str, value: object) -> None:
    assert same(load(f"a: {text}\n".encode(), "here")["a"], value)


@pytest.mark.parametrize(
    "tag", ["int x", "float true", "bool 1", "seq {a: 1}", "binary aGk=", "omap [a: 1]", "map [1]"]
)
def test_other_tags_and_those_that_do_not_fit_are_refused(tag: str) -> None:
    with pytest.raises(FormatError):
        load(f"a: !!{tag}\n".encode(), "here")


def test_what_is_written_at_its_deepest_is_read() -> None:
    from gxt.model import MAX_DEPTH, param_value

    value: Any = 1
    for i in range(MAX_DEPTH):
        value = {"a": value} if i % 2 else [value]
    assert same(load_mapping(dump({"p": {"q": param_value(value)}}), "here"), {"p": {"q": value}})
    blocks: Any = 1
    for _ in range(MAX_DEPTH):
        blocks = {"a": blocks}
    assert same(load_mapping(dump({"p": param_value(blocks)}), "here"), {"p": blocks})


def test_a_number_too_large_to_be_written_is_text() -> None:
    for text in ("0x" + "f" * 3990, "9" * 3999, "9" * 5000):
        assert load(f"a: {text}\n".encode(), "here") == {"a": text}
    assert load(b"a: " + b"9" * 3000, "here") == {"a": int("9" * 3000)}


def test_both_of_pyyaml_s_parsers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from gxt import yamlreader

    for parser in (yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        monkeypatch.setattr(yamlreader, "_parser", lambda parser=parser: parser)
        for text in ("a: " + "[" * 100_000, "a: " + "{a: " * 100_000, "- " * 100_000, 'a: "\\ud800"'):
            with pytest.raises(FormatError):
                load(text.encode(), "here")


def test_a_document_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(FormatError, match="found list"):
        load_mapping(b"- 1\n", "params.yaml")
    assert load_mapping(b"", "params.yaml") == {}


def test_aliases_that_grow_and_tags_that_run_code_do_no_harm() -> None:
    with pytest.raises(FormatError):
        load(b"a: !!python/object/apply:os.system ['true']\n", "here")


@given(st.binary(max_size=30))
def test_any_bytes_load_or_raise_a_format_error(data: bytes) -> None:
    with contextlib.suppress(FormatError):
        load(data, "here")


# --- reading our own, without PyYAML ----------------------------------------------------------------------------


def as_pyyaml_has_it(data: bytes) -> Any:
    document = load(data, "x")
    return {key if isinstance(key, str) else str(key): value for key, value in document.items()}


OWN_SUMMARY = st.fixed_dictionaries(
    {
        "last": st.floats(),
        "min": st.floats(),
        "max": st.floats(),
        "first": st.floats(),
        "step": st.integers(-5, 10**20),
        "count": st.integers(0, 10**9),
    }
).map(Flow)
OWN_DOCUMENTS = st.dictionaries(
    TEXT.filter(bool) | LOOKALIKES.filter(bool) | st.sampled_from(["rmse", "learning rate", "val/acc", "a.b-c"]),
    st.recursive(
        TEXT | LOOKALIKES | st.integers() | st.floats() | st.booleans() | st.none() | OWN_SUMMARY,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT.filter(bool) | LOOKALIKES.filter(bool), inner),
        max_leaves=5,
    ),
    max_size=6,
)


@given(OWN_DOCUMENTS)
@example({"note": "one\n\n  two\n"})
@example({"a": {"b": {"c": 1}}, "d": [1.5, "x y", "z"], "e": []})
def test_what_is_read_fast_is_what_pyyaml_reads(document: dict[str, Any]) -> None:
    data = dump(document)
    own = _load_own(data)
    assert own is None or same(own, as_pyyaml_has_it(data))
    assert same(load_mapping(data, "x"), as_pyyaml_has_it(data))


LINES = st.sampled_from(
    """a: 1|a:|  b: 2|    c: x|  b:|- x|a: - x|a: |a:  x|a: x |a: |- text|  text|   text|a: |-|a: |\n|  |a: 'x'|a: "x"
a: "x\\n"|a: "\\u0041"|a: "x" # no|a: x # no|a: x#y|a: b: c|a: b:c|a:b|a: [1, 2]|a: [a, "b"]|a: [a,b]|a: [a, [b]]
a: [ a]|a: {b: 1}|a: {last: 1.0, min: .nan, max: -.inf, first: 1.0, step: 1, count: 2}
a: {last: 1, min: 1, max: 1, first: 1, step: 1, count: 2}
true: 1|null: 2|"true": 3|? a|*a: 1|a: *b|a: &b x|<<: x|a: !x y|a: >|a: %x|a: @x|---|...|# x|a : b|a b: c|\ta: b|a: ~
a: .5|a: -5|a: +5|a: -|a: --|a: 1e5|a: 0x1F|a: 0o17|a: 017|a: 1_000|a: 1:30
a: 2026-11-23T08:30:00.123Z|a: é|é: a|a: ...
a: x\\y|a: x"y|a: x'y|a: x, y|a: x]|a: }|a: `x|a: ,x|a: ?x|a: ? x|a: :x|a: x:|a: .nan|a: -.inf|a: .|a: ./x|a: (x)|a: =
""".replace("\n", "|").split("|")
)


@given(st.lists(LINES, max_size=6), st.sampled_from(["\n", "\r\n", "\n\n"]), st.booleans())
def test_what_is_not_quite_ours_is_left_to_pyyaml(lines: list[str], newline: str, ended: bool) -> None:
    data = (newline.join(lines) + (newline if ended else "")).encode()
    own = _load_own(data)
    if own is not None:
        assert same(own, as_pyyaml_has_it(data))


@given(OWN_DOCUMENTS, st.integers(0), st.text(" \n\t:#-'\"[]{},|>&*!%@`~a1.", min_size=0, max_size=2))
def test_a_changed_document_is_read_right_or_left_to_pyyaml(document: dict[str, Any], at: int, put: str) -> None:
    text = dump(document).decode()
    at %= len(text)
    for data in ((text[:at] + put + text[at:]).encode(), (text[:at] + text[at + 1 :]).encode()):
        own = _load_own(data)
        if own is not None:
            assert same(own, as_pyyaml_has_it(data))


def test_what_a_run_holds_is_read_fast() -> None:
    from gxt import layout
    from gxt.model import Run, Summary

    run = Run(
        "20261123-083000-3f9a1c2e",
        "taxi",
        name="calm-otter",
        started=1_795_422_600_123,
        author="José <jose@example.com>",
        tags={"stage": "prod", "it is": "so"},
        note="First.\n\n- a: b\n",
        source={"command": "python train.py --alpha 0.1", "dirty": True, "remote": "git@example.com:team/taxi.git"},
        environment={"python": "3.11.7", "cpus": 2, "gpus": ["NVIDIA H100 80GB"]},
        params={"model": {"depth": 3, "layers": [64, 32]}, "lr": 1e-5, "flag": "yes", "none": None},
        metrics={
            "rmse": Summary(6.3, 1e-7, float("inf"), float("inf"), 10, 11),
            "val/acc": Summary(0.5, 0.5, float("nan"), 0.5, -1, 1),
        },
        inputs={"trips.csv": {"digest": "sha256:3c5f", "size": 33}},
    )
    assert None not in [_load_own(data) for data in layout.run_files(run).values()]
    assert _load_own(b"{}\n") == {} and _load_own(b"") is None
