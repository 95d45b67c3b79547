"""Citations of runs: a text that pins a run, a commit of the run branch and a metric's value, and survives anywhere.

    gxt:20261123-131600-5424d951@1f0c5a3b9d2e:rmse         the last value of rmse
    gxt:20261123-131600-5424d951@1f0c5a3b9d2e:val+loss:min the least of val_loss
    gxt:20261123-131600-5424d951@1f0c5a3b9d2e              the run

There is nothing in it that LaTeX, markdown, HTML, a shell or a word processor takes for anything else, and it ends in a
letter or a digit, so that a full stop after it is none of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from gxt import catalog, git, layout, query, store
from gxt.errors import FormatError, NotFoundError, UsageError
from gxt.git import Repository
from gxt.model import RUN_ID, Run, Summary
from gxt.query import Field, In, KnownMetrics
from gxt.query.fields import PARTS

_HEX = 12


class Citation(NamedTuple):
    """What a citation pins.

    Attributes:
        run: the run's id.
        commit: a commit of the run branch, or the beginning of its id.
        metric: empty where it is the run alone.
        part: which of the metric's values: one of query's PARTS.
    """

    run: str
    commit: str
    metric: str = ""
    part: str = "last"


# --- as text --------------------------------------------------------------------------------------------------------

_METRIC = r"(?:[A-Za-z0-9+]|=[0-9A-F]{2})(?:[A-Za-z0-9+./-]|=[0-9A-F]{2})*"
_TOKEN = re.compile(
    rf"gxt:(?P<run>{RUN_ID.pattern})@(?P<commit>[0-9a-f]{{7,64}})"
    rf"(?::(?P<metric>{_METRIC})(?<![./-])(?::(?P<part>{'|'.join(PARTS)})\b)?)?"
)
_BEGINNING = re.compile(rf"(?<![A-Za-z0-9])gxt:(?={RUN_ID.pattern})")


def token(citation: Citation) -> str:
    """The citation as a program finds it again.

    >>> token(Citation("20261123-131600-5424d951", "1f0c5a3b9d2e", "val_loss", "min"))
    'gxt:20261123-131600-5424d951@1f0c5a3b9d2e:val+loss:min'
    """
    text = f"gxt:{citation.run}@{citation.commit}"
    if citation.metric:
        text += f":{_encoded(citation.metric)}"
        if citation.part not in ("", "last"):
            text += f":{citation.part}"
    return text


def _encoded(metric: str) -> str:
    """`_` as `+`; letters, digits, `/`, `.` and single `-` as they are; the bytes of all else as `=5B`."""

    def byte(code: int) -> str:
        return f"={code:02X}"

    def one(match: re.Match[str]) -> str:
        return "".join(map(byte, match[0].encode()))

    text = re.sub(r"[^A-Za-z0-9_./-]", one, metric).replace("_", "+")
    text = re.sub(r"(?<=-)-", one, text)  # LaTeX makes a dash of two
    text = re.sub(r"[./-]$", one, text)
    return re.sub(r"^[./-]", one, text)


def _decoded(text: str) -> str:
    data = re.sub(rb"=([0-9A-F]{2})", lambda match: bytes([int(match[1], 16)]), text.replace("+", "_").encode())
    return data.decode("utf-8", "replace")


def parse(text: str) -> Citation | None:
    """The citation that a whole text is, None for any other text."""
    match = _TOKEN.fullmatch(text)
    return _citation(match) if match else None


def _citation(match: re.Match[str]) -> Citation:
    return Citation(match["run"], match["commit"], _decoded(match["metric"] or ""), match["part"] or "last")


# --- citing ---------------------------------------------------------------------------------------------------------


class Cited(NamedTuple):
    """A run that was cited, what pins it, and the value; None where it is the run alone."""

    run: Run
    citation: Citation
    value: float | None


def cite(repo: Repository, text: str) -> Cited:
    """The citation of `RUN` or `RUN:METRIC`, as the run branch has it now.

    `@best:rmse` cites its rmse. The commit is the last one that changed the run, so that later runs change nothing.

    Raises:
        NotFoundError: no such run, or it has no such metric.
        UsageError: the run is not on the branch yet.
    """
    run, metric = _run_and_metric(repo, text)
    if run.place != "branch":
        raise UsageError(f"{run.name} is not on the run branch yet", "cite it when it has ended")
    tip = store.tip(repo, git.config(repo)).commit
    assert tip is not None
    commit = git.last_change(repo, tip, layout.run_path(run.experiment, run.id)) or tip
    if not metric:
        return Cited(run, Citation(run.id, commit[:_HEX]), None)
    field = query.resolve(metric, KnownMetrics(run.metrics), of_metric=True)
    if field.kind != "metrics":
        raise NotFoundError(f"{run.name} has no metric {metric!r}")
    value = field.value(run)
    return Cited(run, Citation(run.id, commit[:_HEX], field.name, field.part or "last"), value)


def _run_and_metric(repo: Repository, text: str) -> tuple[Run, str]:
    best = re.fullmatch(r"(?:.*/)?@best:(?P<metric>.+?)(?::(?:min|max))?", text)
    before, colon, metric = text.rpartition(":")
    try:
        return catalog.find(repo, text), best["metric"] if best else ""
    except (NotFoundError, UsageError):
        if not colon or before.endswith("@best"):
            raise
        run = catalog.find(repo, before)
    return run, metric


# --- checking -------------------------------------------------------------------------------------------------------

HOLDS, CHANGED, DISAGREES, GONE, UNREADABLE = "holds", "changed", "disagrees", "gone", "unreadable"


class Found(NamedTuple):
    """A citation in a document.

    Attributes:
        line: which line of the document it is on, from 1.
        text: as it stands there.
        citation: what it pins; None where it is none, though it begins like one.
        printed: the number right before it, as it stands there; empty where there is none.
        near: where there is none, the numbers before it in its sentence.
    """

    line: int
    text: str
    citation: Citation | None
    printed: str = ""
    near: tuple[str, ...] = ()


class Verdict(NamedTuple):
    """What a citation is worth.

    Attributes:
        status: HOLDS; CHANGED: the run says something else now; DISAGREES: the number beside it is not the run's; GONE:
            there is no such run, or metric, or it is deleted; UNREADABLE: it is no whole citation.
        why: a sentence; empty where there is nothing to say.
        then: the value at the commit that it pins, None where that is not known.
        now: the value that the run has now.
        run: the run, None where there is none.
    """

    found: Found
    status: str
    why: str = ""
    then: float | None = None
    now: float | None = None
    run: Run | None = None


# Between a number and its citation may be marks, tags of HTML and commands of LaTeX, and no words.
_NUMBER = (
    r"(?P<number>(?<![\w.])[-+\u2212]?(?:\d+(?:[.,]\d+|\{,\}\d+)*|\.\d+)(?:[eE][-+\u2212]?\d+)?|(?<!\w)-?(?:nan|inf)\b)"
    r"(?P<times>\s*\$?(?:\\times|\\cdot|[x*\u00d7\u00b7])\s*10\s*\^?\{?(?P<power>[-\u2212]?\d+)\}?)?"
)
_BETWEEN = r"(?P<between>(?:[^\w<\\]|<!--|<(?!!--)[^<>]*>|\\[A-Za-z]+|\\[^A-Za-z]|&[a-z]+;)*)"
_BEFORE = re.compile(_NUMBER + _BETWEEN + r"\Z", re.IGNORECASE)
_ANY = re.compile(_NUMBER, re.IGNORECASE)
_SENTENCE = re.compile(r"\n\s*\n|[.!?]\s")
_REACH = 300  # characters


def find(text: str) -> Iterator[Found]:
    """The citations in a document, with the number that stands before each.

    >>> [found.printed for found in find("6.30 (gxt:20261123-131600-5424d951@1f0c5a3b9d2e:rmse)")]
    ['6.30']
    """
    last = 0
    for beginning in _BEGINNING.finditer(text):
        at = beginning.start()
        match = _TOKEN.match(text, at)
        end = match.end() if match else at + len(re.match(r"\S*", text[at:])[0])  # type: ignore[index]
        line = text.count("\n", 0, at) + 1
        if match is None or re.match(r"[A-Za-z0-9_@=]", text[end : end + 1]):
            yield Found(line, re.match(r"\S{0,80}", text[at:])[0], None)  # type: ignore[index]
        else:
            before = text[max(last, at - _REACH) : at]
            before = re.split(r"\n\s*\n", before)[-1]
            number = _BEFORE.search(before)
            printed = "" if number is None else (number["number"] + (number["times"] or "") + _percent(number))
            near = () if number else tuple(one["number"] for one in _ANY.finditer(_SENTENCE.split(before)[-1]))
            yield Found(line, match[0], _citation(match), " ".join(printed.split()), near)
        last = end


def _percent(number: re.Match[str]) -> str:
    return "%" if re.match(r"\s*(?:\\,)?\\?%", number["between"]) else ""


def agrees(printed: str, value: float) -> bool:
    """Whether a value, rounded to as many digits as are printed, is what is printed.

    A comma may be a point, or stand between thousands; `%` may be a hundredth, or begin a comment.

    >>> agrees("6.30", 6.2998), agrees("6.30", 6.31), agrees("93.1%", 0.9312)
    (True, False, True)
    """
    match = re.fullmatch(_NUMBER + r"(?P<percent>%?)", printed, re.IGNORECASE)
    if match is None:
        return False
    text = match["number"].replace("\u2212", "-").replace("{,}", ",").lower()
    power = int((match["power"] or "0").replace("\u2212", "-"))
    readings = [text.replace(",", "")]
    if text.count(",") == 1 and "." not in text:
        readings.append(text.replace(",", "."))
    for reading in readings:
        for shift in (power, power - 2) if match["percent"] else (power,):
            if _agrees(reading, shift, value):
                return True
    return False


def _agrees(text: str, shift: int, value: float) -> bool:
    try:
        printed = Decimal(text)
    except InvalidOperation:
        return False
    exact = Decimal(value)
    if not printed.is_finite() or not exact.is_finite():
        return str(printed) == str(exact)
    printed = printed.scaleb(shift)
    exponent = printed.as_tuple().exponent
    assert isinstance(exponent, int)
    # A hair more than half a unit: 0.125 is 0.12 to some who round, and 0.13 to others.
    return abs(exact - printed) <= Decimal(5).scaleb(exponent - 1) * (1 + Decimal("1e-9"))


def check(repo: Repository, found: Sequence[Found]) -> list[Verdict]:
    """What each citation is worth now."""
    cited = [one.citation for one in found if one.citation is not None]
    runs = _runs(repo, list(dict.fromkeys(citation.run for citation in cited)))
    hidden = {experiment.name for experiment in catalog.all_experiments(repo) if experiment.deleted}
    then = _then(repo, cited, runs)
    return [_verdict(one, runs, hidden, then) for one in found]


def _runs(repo: Repository, ids: Sequence[str]) -> dict[str, Run]:
    found: dict[str, Run] = {}
    for start in range(0, len(ids), 500):
        where = In(Field("attributes", "run_id"), tuple(ids[start : start + 500]))
        found |= {run.id: run for run in catalog.listing(repo, deleted=None, where=where).runs}
    return found


def _then(
    repo: Repository, cited: Sequence[Citation], runs: Mapping[str, Run]
) -> dict[tuple[str, str], Mapping[str, Summary] | None]:
    """The metrics of runs at the commits that citations pin, None where they cannot be read there."""
    wanted = list(dict.fromkeys((one.run, one.commit) for one in cited if one.run in runs))
    paths = [f"{commit}:{layout.run_path(runs[run].experiment, run)}/{layout.METRICS_YAML}" for run, commit in wanted]
    found: dict[tuple[str, str], Mapping[str, Summary] | None] = {}
    for (run, commit), data in zip(wanted, git.read_objects(repo, paths, skip_damaged=True), strict=True):
        try:
            found[run, commit] = None if data is None else layout.read_summaries(data, layout.METRICS_YAML)
        except FormatError:
            found[run, commit] = None
    return found


def _verdict(
    one: Found,
    runs: Mapping[str, Run],
    hidden: set[str],
    then: Mapping[tuple[str, str], Mapping[str, Summary] | None],
) -> Verdict:
    citation = one.citation
    if citation is None:
        return Verdict(one, UNREADABLE, "begins like a citation, and is none")
    run = runs.get(citation.run)
    if run is None:
        return Verdict(one, GONE, "there is no such run")
    if run.deleted or run.experiment in hidden:
        return Verdict(one, GONE, "the run is deleted", run=run)
    pinned = then.get((citation.run, citation.commit))
    if not citation.metric:
        why = "" if pinned is not None else "the commit that it names does not have the run, or is not here"
        return Verdict(one, HOLDS, why, run=run)
    now = _value(run.metrics, citation)
    before = None if pinned is None else _value(pinned, citation)
    if now is None:
        return Verdict(one, GONE, f"the run has no metric {citation.metric!r}", then=before, run=run)
    same = before is not None and (before == now or (before != before and now != now))
    printed = one.printed or next((number for number in reversed(one.near) if agrees(number, now)), "")
    if printed:
        one = one._replace(printed=printed)
        return _of_printed(one, run, before, now, same)
    if same:
        return Verdict(one, HOLDS, "there is no number right before it to compare", before, now, run)
    if before is None:
        return Verdict(one, CHANGED, "the commit that it names does not have the value, or is not here", None, now, run)
    return Verdict(one, CHANGED, f"it was {before!r}", before, now, run)


def _of_printed(one: Found, run: Run, then: float | None, now: float, same: bool) -> Verdict:
    if agrees(one.printed, now):
        if same:
            return Verdict(one, HOLDS, "", then, now, run)
        why = "the commit that it names is not here" if then is None else "the run has changed, not in these digits"
        return Verdict(one, HOLDS, why, then, now, run)
    if then is not None and agrees(one.printed, then):
        return Verdict(one, CHANGED, "the run said so when it was cited", then, now, run)
    return Verdict(one, DISAGREES, "the number before it is not the run's", then, now, run)


def _value(metrics: Mapping[str, Summary], citation: Citation) -> float | None:
    summary = metrics.get(citation.metric)
    return None if summary is None else float(getattr(summary, citation.part))


# --- documents ------------------------------------------------------------------------------------------------------

_OF_WORD_PROCESSORS = {"word/document.xml": r"</w:p>", "content.xml": r"</text:(?:p|h)>"}


def text_of(data: bytes, name: str) -> str:
    """The text of a document: of one of Word or OpenDocument, its paragraphs; any other file's as it is.

    Raises:
        FormatError: nobody can find text in it as it is: a PDF, a broken archive.
    """
    if data.startswith(b"%PDF"):
        raise FormatError(f"{name}: the text of a PDF cannot be checked", "check what it was made from")
    if not data.startswith(b"PK\x03\x04"):
        return data.decode("utf-8", "replace")
    import html
    import io
    import zipfile  # these here for start-up time

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside = next((inner for inner in _OF_WORD_PROCESSORS if inner in archive.namelist()), None)
            if inside is None:
                raise FormatError(f"{name}: an archive that is no document", "check the files in it")
            xml = archive.read(inside).decode("utf-8", "replace")
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise FormatError(f"{name} cannot be read: {error}") from None
    paragraphs = re.split(_OF_WORD_PROCESSORS[inside], xml.replace("\n", " "))
    return "\n".join(html.unescape(re.sub(r"<[^>]*>", "", paragraph)) for paragraph in paragraphs)
