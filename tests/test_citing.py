"""Citations: their text, finding them in documents, and what they are worth."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given, note
from hypothesis import strategies as st

from gxt import catalog, citing, store
from gxt.citing import CHANGED, DISAGREES, GONE, HOLDS, UNREADABLE, Citation
from gxt.errors import FormatError, NotFoundError, UsageError
from gxt.git import Repository
from helpers import git, put_on_branch, record

RUN, COMMIT = "20261123-131600-5424d951", "1f0c5a3b9d2e"
TOKEN = f"gxt:{RUN}@{COMMIT}:rmse"


# --- as text --------------------------------------------------------------------------------------------------------

names = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=30)


@example("a--b---.", "min", ".")
@given(names, st.sampled_from(["last", "min", "max", "first"]), st.sampled_from(["", ".", ")", ",", "}", "</a>", "`"]))
def test_any_metric_is_cited_by_harmless_characters_and_found_again(metric: str, part: str, after: str) -> None:
    citation = Citation(RUN, COMMIT, metric, part)
    text = citing.token(citation)
    assert re.fullmatch(r"[A-Za-z0-9:@+=./-]+[A-Za-z0-9+]", text) and "--" not in text.partition("@")[2]
    assert citing.parse(text) == citation
    assert [found.citation for found in citing.find(f"so ({text}{after} and\n")] == [citation]


def test_a_run_alone() -> None:
    assert citing.token(Citation(RUN, COMMIT)) == f"gxt:{RUN}@{COMMIT}"
    assert citing.parse(f"gxt:{RUN}@{COMMIT}") == Citation(RUN, COMMIT)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (f"rmse = 6.3 ({TOKEN})", "6.3"),
        (f"An RMSE of 6.30 [{TOKEN}].", "6.30"),
        (rf"$6.30$ \texttt{{{TOKEN}}}", "6.30"),
        (rf"\num{{6.30}} & % {TOKEN}", "6.30"),
        (rf"$1.5 \times 10^{{-3}}$ ({TOKEN})", r"1.5 \times 10^{-3}"),
        (f"<td>6.30</td><td><code>{TOKEN}</code></td>", "6.30"),
        (f"6.30&nbsp;<!-- {TOKEN} -->", "6.30"),
        (f"| 6.30 | `{TOKEN}` |", "6.30"),
        (f"6.30\n{TOKEN}", "6.30"),
        (f"6.30{TOKEN}", "6.30"),
        (f"6.30 min{TOKEN}", ""),
        (f"93.1 % ({TOKEN})", "93.1%"),
        (rf"93.1\% ({TOKEN})", "93.1%"),
        (f"\u22120.5 ({TOKEN})", "\u22120.5"),
        (f"nan ({TOKEN})", "nan"),
        (f"6.3 after 10 epochs ({TOKEN})", ""),
        (f"6.30\n\n{TOKEN}", ""),
        (f"v6.30a {TOKEN}", ""),
        (f"6.30 ({TOKEN}) {TOKEN.replace('rmse', 'mae')}", "6.30"),
        (TOKEN, ""),
    ],
)
def test_the_number_before_a_citation(text: str, printed: str) -> None:
    first, *others = citing.find(text)
    assert (first.printed, [other.printed for other in others]) == (printed, [""] * len(others))
    assert first.text == TOKEN


def test_what_only_begins_like_a_citation_is_told() -> None:
    text = f"x\ngxt:{RUN} gxt:{RUN}@zz {TOKEN}: and {TOKEN}_x gxt:nothing xgxt:{RUN}"
    assert [(found.line, found.citation is None) for found in citing.find(text)] == [
        (2, True),
        (2, True),
        (2, False),
        (2, True),
    ]


@pytest.mark.parametrize(
    ("printed", "value", "same"),
    [
        ("6.30", 6.2998, True),
        ("6.30", 6.3051, False),
        ("6.305", 6.3051, True),
        ("6.3", 6.25, True),
        ("6", 6.4, True),
        ("6.0", 6.4, False),
        ("1,234.5", 1234.51, True),
        ("6,30", 6.2998, True),
        ("1e-3", 0.00099, True),
        ("1.0e-3", 0.00094, False),
        ("9.9e-4", 0.00099, True),
        (r"1.5 \times 10^{-3}", 0.00151, True),
        ("93.1%", 0.9312, True),
        ("93.1%", 93.1, True),
        ("93.1%", 0.9352, False),
        ("\u22120.5", -0.52, True),
        ("nan", float("nan"), True),
        ("inf", float("inf"), True),
        ("6.3", float("nan"), False),
    ],
)
def test_a_number_agrees_as_precisely_as_it_is_printed(printed: str, value: float, same: bool) -> None:
    assert citing.agrees(printed, value) is same


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(1, 17))
def test_whatever_is_printed_with_some_digits_agrees(value: float, digits: int) -> None:
    assert citing.agrees(f"{value:.{digits}g}", value)
    assert citing.agrees(f"{value:.{digits}e}", value)


SPACED = {"nothing": "", "comma": ",", "narrow": "\u202f", "thin": "\u2009", "hard": "\u00a0", "apostrophe": "'"}
SPACED |= {"curly": "\u2019", "latex": r"\,", "braces": "{,}", "tie": "~", "entity": "&nbsp;"}
FORMS = {
    "plain": "RMSE {} [{}]",
    "maths": r"$RMSE = {}$ \texttt{{{}}}",
    "siunitx": r"\num{{{}}} \cite{{{}}}",
    "quantity": r"\SI{{{}}}{{\minute}} % {}",
    "unit": "RMSE {} min [{}]",
    "bold": "**{}** minutes ({})",
    "cell": "<td class='x'>{}</td><td colspan=2><code>{}</code>",
    "off": "{} \u00b1 0.02 ({})",
    "pm": r"${} \pm 0.02$ ({})",
    "entity": "{} &plusmn; 0.02 ({})",
    "rest": ":math:`{}` [{}]_",
    "odd": "{}\u202f\u00b5s/km\u00b2 ({})",
    "last digits": "{}(12) ({})",
}


def says(text: str, value: float) -> bool:
    """Whether the number before the one citation in a text is a value."""
    (found,) = citing.find(text)
    return citing._agreeing(found.before, value) is not None


@given(
    value=st.floats(1e-3, 1e9) | st.floats(-1e9, -1e-3),
    digits=st.integers(0, 6),
    space=st.sampled_from(sorted(SPACED)),
    form=st.sampled_from(sorted(FORMS)),
    minus=st.sampled_from(["-", "\u2212", "\u2013", "&minus;"]),
)
def test_a_number_rounded_holds_and_its_neighbour_does_not(
    value: float, digits: int, space: str, form: str, minus: str
) -> None:
    exact = Decimal(value)
    unit = Decimal(1).scaleb(-digits)
    right = exact.quantize(unit)
    for printed, is_right in ((right, True), (right + unit, False), (right - unit, False)):
        if not is_right and abs(abs(printed - exact) - unit / 2) < unit / 10**6:
            continue  # half-way: both are right
        text = f"{printed:,.{digits}f}".replace(",", SPACED[space]).replace("-", minus)
        note(text)
        assert says(FORMS[form].format(text, TOKEN), value) is is_right


@given(
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: value == 0 or abs(value) > 1e-290),
    st.integers(1, 12),
    st.sampled_from(
        ["{}e{}", r"${}\times10^{{{}}}$", r"{} \cdot 10^{{{}}}", "{} \u00d7 10<sup>{}</sup>", "{}E{}", "{} x 10^{}"]
    ),
)
def test_powers_of_ten(value: float, digits: int, form: str) -> None:
    mantissa, _, power = f"{value:.{digits}e}".partition("e")
    unit = Decimal(1).scaleb(-digits)
    for off in (0, 1, -1):
        changed = Decimal(mantissa) + off * unit
        if off and abs(abs(changed - Decimal(value).scaleb(-int(power))) - unit / 2) < unit / 10**6:
            continue  # half-way: both are right
        assert says(form.format(f"{changed:.{digits}f}", int(power)) + f" ({TOKEN})", value) is (off == 0)
    assert not value or not says(form.format(mantissa, int(power) + 1) + f" ({TOKEN})", value)


@pytest.mark.parametrize(
    ("text", "value", "same"),
    [
        ("RMSE 9.99 min", 6.3017, False),
        ("RMSE 9.99 min after 6 epochs", 6.3017, False),
        ("RMSE 6.30 min after 10 epochs", 6.3017, True),
        ("RMSE 6 min", 6.3017, True),
        ("6.30 \u00b1 0.02", 0.02, False),
        ("(6.30 \u00b1 0.02) \u00d7 10\u207b\u00b3", 0.0063, True),
        (r"$(6.30 \pm 0.02)\times10^{-3}$", 0.0063, True),
        (r"$(6.30 \pm 0.02)\times10^{-3}$", 6.3, False),
        (r"$6.30 \pm 0.02 \times 10^{-3}$", 0.0063, True),
        (r"$10^{-3}$", 0.001, True),
        (r"$10^{-3}$", -3, False),
        ("6.3 \u00d7 10\u207b\u00b3", 0.0063, True),
        ("93.1 % ", 0.931, True),
        (r"93.1\,\%", 0.931, True),
        (r"\SI{93.1}{\percent}", 0.931, True),
        ("93.1 percent", 0.931, True),
        ("93.1&thinsp;%", 0.932, False),
        ("9.31 %", 0.931, False),
        ("12.345,678", 12345.678, True),
        ("1,23,456.7", 123456.7, True),
        ("1,2345.678", 12345.678, False),
        ("12 345.678", 345.678, True),
        ("a range of 5\u20136.30", 6.3, True),
        ("RMSE \u20136.30", 6.3, False),
        (r"$-6.30$", -6.3, True),
        ("6.30", -6.3, False),
        ("6.30 & 7.50", 6.3, False),
        ("93.1GB", 93.1, True),
        (r"\textbf{6.30} \hspace{1em}", 6.3017, True),
        ("9" * 400, 6.3, False),
        ("1e999999999", 6.3, False),
    ],
)
def test_numbers_as_people_write_them(text: str, value: float, same: bool) -> None:
    assert says(f"{text} [{TOKEN}]", value) is same


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (TOKEN.upper(), "lower case"),
        (TOKEN.replace("gxt:", "GXT:"), "lower case"),
        (TOKEN.replace("gxt:", "gxt:\n"), "line break"),
        (TOKEN.replace("-5424", "-\n5424"), "line break"),
        (TOKEN.replace("@", "@\n"), "line break"),
        (TOKEN.replace(":rmse", ":\nrmse"), "line break"),
    ],
)
def test_a_citation_that_was_broken_is_told(repo: Repository, text: str, why: str) -> None:
    (found,) = citing.find(f"6.30 ({text})")
    assert found.citation is None
    status, said = verdict(repo, f"6.30 ({text})")
    assert status == UNREADABLE and why in said


# --- against runs ---------------------------------------------------------------------------------------------------


def verdict(repo: Repository, text: str) -> tuple[str, str]:
    (one,) = citing.check(repo, list(citing.find(text)))
    return one.status, one.why


def cited(repo: Repository, text: str) -> str:
    return citing.token(citing.cite(repo, text).citation)


def test_what_is_cited(repo: Repository) -> None:
    run = record(repo, name="one", metrics={"rmse": 6.3017, "val_loss": 2})
    commit = git("rev-parse", "gxt")[:12]
    record(repo, name="two", metrics={"rmse": 7})
    assert cited(repo, "one:rmse") == f"gxt:{run}@{commit}:rmse"
    assert cited(repo, "one:val_loss.min") == f"gxt:{run}@{commit}:val+loss:min"
    assert cited(repo, "@best:rmse") == f"gxt:{run}@{commit}:rmse"
    assert cited(repo, "taxi/@best:rmse:min") == f"gxt:{run}@{commit}:rmse"
    assert cited(repo, "@best:rmse:val_loss") == f"gxt:{run}@{commit}:val+loss"
    assert cited(repo, "one") == f"gxt:{run}@{commit}"
    for unknown in ("one:rmze", "nobody:rmse", "nobody", "@best:rmze"):
        with pytest.raises(NotFoundError):
            citing.cite(repo, unknown)


def test_a_run_that_still_records_cannot_be_cited(repo: Repository) -> None:
    from gxt import recorder

    run = recorder.begin(repo, "taxi", name="live")
    run.log_metric("rmse", 1)
    with pytest.raises(UsageError, match="not on the run branch yet"):
        citing.cite(repo, "live:rmse")
    run.end("finished")


def test_citations_hold_until_the_run_says_something_else(repo: Repository) -> None:
    run = record(repo, name="one", metrics={"rmse": 6.3017})
    token = cited(repo, "one:rmse")
    assert verdict(repo, f"6.30 ({token})") == (HOLDS, "")
    assert verdict(repo, token) == (HOLDS, "there is no number right before it to compare")
    assert verdict(repo, f"In 2. An RMSE of 6.30 after 10 epochs ({token})") == (HOLDS, "")
    assert verdict(repo, f"It was 6.30. And 7.5 after 10 epochs ({token})")[0] == DISAGREES
    assert verdict(repo, f"It was 6.30. It is the best ({token})")[1].startswith("there is no number")
    assert verdict(repo, f"6.40 ({token})")[0] == DISAGREES
    assert verdict(repo, f"6.30 ({token.replace('rmse', 'mae')})")[0] == GONE
    assert verdict(repo, f"6.30 ({token.replace(run, RUN)})") == (GONE, "there is no such run")
    assert verdict(repo, f"gxt:{run}@x")[0] == UNREADABLE
    summary = "rmse: {{last: {0}, min: {0}, max: {0}, first: {0}, step: 0, count: 1}}\n"
    path = f"experiments/taxi/{run}/metrics.yaml"
    put_on_branch(path, summary.format(6.3018))
    assert verdict(repo, f"6.30 ({token})") == (HOLDS, "the run has changed, not in these digits")
    assert verdict(repo, token)[0] == CHANGED
    put_on_branch(path, summary.format(7.5))
    assert verdict(repo, f"6.30 ({token})")[0] == CHANGED
    assert verdict(repo, f"7.5 ({token})")[0] == HOLDS
    store.mark_deleted(repo, run, True)
    assert verdict(repo, f"7.5 ({token})") == (GONE, "the run is deleted")
    store.mark_deleted(repo, run, False)
    store.edit_experiment(repo, catalog.find_experiment(repo, "taxi"), lambda known: replace(known, deleted=1), "-")
    assert verdict(repo, f"7.5 ({token})") == (GONE, "the run is deleted")


def test_a_citation_without_a_metric_is_of_all_that_the_run_has(repo: Repository) -> None:
    run = record(repo, name="clip 20", metrics={"rmse": 6.3017, "mae": 4}, params={"alpha": 0.1, "model": "lasso"})
    token = cited(repo, "clip 20")
    assert ":rmse" not in token
    for text in (
        f"clip 20 ({token})",
        f"as in ({token})",
        f"6.30 ({token})",
        f"alpha = 0.1 ({token})",
        f"7.7 in it {token}",
    ):
        assert verdict(repo, text) == (HOLDS, "")
    assert verdict(repo, f"7.7 ({token})") == (DISAGREES, "no metric and no param of the run has this value")
    put_on_branch(
        f"experiments/taxi/{run}/metrics.yaml",
        "rmse: {last: 6.3017, min: 6.3017, max: 6.3017, first: 6.3017, step: 0, count: 1}\n",
    )
    assert verdict(repo, f"as in ({token})") == (CHANGED, "the run has other metrics now: mae")


def test_a_run_with_one_metric_is_cited_by_it(repo: Repository) -> None:
    record(repo, name="one", metrics={"rmse": 6.3017})
    assert cited(repo, "one").endswith(":rmse")


def test_a_commit_that_is_not_here(repo: Repository) -> None:
    record(repo, name="one", metrics={"rmse": 6.3017})
    token = re.sub("@[0-9a-f]+", "@1234567890ab", cited(repo, "one:rmse"))
    assert verdict(repo, f"6.30 ({token})") == (HOLDS, "the commit that it names is not here")
    assert verdict(repo, token)[0] == CHANGED


# --- documents ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", ["word/document.xml", "content.xml"])
def test_documents_of_word_processors(inside: str) -> None:
    tag = "w:p" if inside.startswith("word") else "text:p"
    xml = f"<{tag}>RMSE</{tag}><{tag}><w:r>6.30 &#40;{TOKEN[:9]}</w:r><w:r>{TOKEN[9:]})</w:r></{tag}>"
    with zipfile.ZipFile(packed := io.BytesIO(), "w") as archive:
        archive.writestr(inside, xml)
    (found,) = citing.find(citing.text_of(packed.getvalue(), "paper"))
    assert (found.text, found.printed, found.line) == (TOKEN, "6.30", 2)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"]
)
def test_encodings(encoding: str) -> None:
    (found,) = citing.find(citing.text_of(f"\u00fcber 6.30 \u00b1 0.02 ({TOKEN})\r\n".encode(encoding), "paper"))
    assert (found.text, found.printed) == (TOKEN, "6.30")


@pytest.mark.parametrize("indent", [1, None])
def test_notebooks(indent: int | None) -> None:
    source = ["Joined:\n", "RMSE $6.30 \\times 10^{-3}$\n", f"min ({TOKEN})\n"]
    cells = [{"cell_type": "markdown", "metadata": {}, "source": source}]
    text = json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=indent)
    (found,) = citing.find(citing.text_of(text.encode(), "a.ipynb"))
    assert found.line == text[: text.index(TOKEN)].count("\n") + 1
    assert citing._agreeing(found.before, 0.0063) and not citing._agreeing(found.before, 6.3)


@pytest.mark.parametrize("data", [b"%PDF-1.7", b"PK\x03\x04 broken", b"\xd0\xcf\x11\xe0\0\0"])
def test_documents_without_text(data: bytes) -> None:
    with pytest.raises(FormatError):
        citing.text_of(data, "paper")


@pytest.mark.parametrize("name", ["paper.docx", "Paper.ODT"])
def test_a_document_of_a_word_processor_that_is_none(name: str) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        citing.text_of(TOKEN.encode(), name)


def test_an_archive_that_is_no_document(tmp_path: Path) -> None:
    with zipfile.ZipFile(packed := io.BytesIO(), "w") as archive:
        archive.writestr("a.txt", TOKEN)
    with pytest.raises(FormatError, match="no document"):
        citing.text_of(packed.getvalue(), "a.zip")


@pytest.mark.parametrize("body", ["6<!-->", "6" + "<>", "6\\a", "6&a", "<", "1,", "{,}"])
def test_no_document_keeps_the_search_busy(body: str) -> None:
    for text in (f"{body * 40}x {TOKEN}", f"6{body[1:] * 40}x {TOKEN}"):
        assert [found.text for found in citing.find(text)] == [TOKEN]
