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
from typing import NamedTuple

from gxt import catalog, git, layout, query, store
from gxt.citing import numbers
from gxt.citing.documents import text_of
from gxt.citing.numbers import Printed, agrees
from gxt.errors import FormatError, NotFoundError, UsageError
from gxt.git import Repository
from gxt.model import RUN_ID, Run, Summary, flatten
from gxt.query import Field, In, KnownMetrics
from gxt.query.fields import PARTS
from gxt.showing import one_line, shortened

__all__ = [
    "CHANGED",
    "DISAGREES",
    "GONE",
    "HOLDS",
    "UNREADABLE",
    "Citation",
    "Cited",
    "Found",
    "Verdict",
    "agrees",
    "check",
    "cite",
    "find",
    "parse",
    "text_of",
    "token",
]

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
# Within a word, as where the space before it was forgotten, only what can be nothing else.
_BEGINNING = re.compile(rf"(?<![A-Za-z])gxt:\s*(?=\d{{8}})|gxt:(?={RUN_ID.pattern}@)", re.IGNORECASE)


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

    `@best:rmse` cites its rmse, and a run with one metric that metric.
    The commit is the last one that changed the run, so that later runs change nothing.

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
    if not metric and len(run.metrics) == 1:
        (metric,) = run.metrics
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
        before: the numbers before it.
    """

    line: int
    text: str
    citation: Citation | None
    before: Printed = Printed()

    @property
    def printed(self) -> str:
        """The number that stands for it, as it stands there; empty where there is none."""
        return self.before.here


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
        cut = match is not None and not match["metric"] and _CUT.match(text, end)
        if match is None or cut or re.match(r"[A-Za-z0-9_@=]", text[end : end + 1]):
            yield Found(line, _whole(text, at), None)
        else:
            before = re.split(r"\n\s*\n", text[max(last, at - _REACH) : at])[-1]
            yield Found(line, match[0], _citation(match), numbers.before(before))
        last = end


_CUT = re.compile(r":[ \t]*\n\s*[A-Za-z0-9+]")
"""What a line break leaves of the metric."""


def _whole(text: str, at: int) -> str:
    return " ".join(re.match(r"gxt:\s*\S{0,80}", text[at:], re.IGNORECASE)[0].split())  # type: ignore[index]


def _why_unreadable(text: str) -> str:
    if not text.startswith("gxt:") or re.search("[A-F]", text.partition("@")[2].partition(":")[0]):
        return "begins like a citation, in other letters: it is all as `gxt cite` prints it, in lower case"
    return "begins like a citation, and is not whole: there may be a line break or a space in it"


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
        return Verdict(one, UNREADABLE, _why_unreadable(one.text))
    run = runs.get(citation.run)
    if run is None:
        return Verdict(one, GONE, "there is no such run")
    if run.deleted or run.experiment in hidden:
        return Verdict(one, GONE, "the run is deleted", run=run)
    pinned = then.get((citation.run, citation.commit))
    if not citation.metric:
        return _of_run(one, run, pinned)
    now = _value(run.metrics, citation)
    before = None if pinned is None else _value(pinned, citation)
    if now is None:
        return Verdict(one, GONE, f"the run has no metric {citation.metric!r}", then=before, run=run)
    same = before is not None and (before == now or (before != before and now != now))
    if one.printed or one.before.near:
        return _of_printed(one, run, before, now, same)
    if same:
        return Verdict(one, HOLDS, "there is no number right before it to compare", before, now, run)
    if before is None:
        return Verdict(one, CHANGED, "the commit that it names does not have the value, or is not here", None, now, run)
    return Verdict(one, CHANGED, f"it was {before!r}", before, now, run)


def _of_run(one: Found, run: Run, pinned: Mapping[str, Summary] | None) -> Verdict:
    """Of a citation without a metric: whether the run has what it had, and the number right before it, if any is."""
    if pinned is None:
        return Verdict(one, HOLDS, "the commit that it names does not have the run, or is not here", run=run)
    if moved := sorted(name for name in {*pinned, *run.metrics} if pinned.get(name) != run.metrics.get(name)):
        return Verdict(
            one, CHANGED, f"the run has other metrics now: {shortened(one_line(', '.join(moved)), 80)}", run=run
        )
    if not one.printed or (run.name or "").endswith(one.printed):
        return Verdict(one, HOLDS, run=run)
    known = [float(getattr(summary, part)) for summary in run.metrics.values() for part in PARTS]
    known += [float(value) for value in flatten(run.params).values() if isinstance(value, (int, float))]
    if any(agrees(one.printed, value) for value in known):
        return Verdict(one, HOLDS, run=run)
    return Verdict(one, DISAGREES, "no metric and no param of the run has this value", run=run)


def _of_printed(one: Found, run: Run, then: float | None, now: float, same: bool) -> Verdict:
    if (printed := _agreeing(one.before, now)) is not None:
        one = one._replace(before=Printed(printed))
        if same:
            return Verdict(one, HOLDS, "", then, now, run)
        why = "the commit that it names is not here" if then is None else "the run has changed, not in these digits"
        return Verdict(one, HOLDS, why, then, now, run)
    if then is not None and (printed := _agreeing(one.before, then)) is not None:
        one = one._replace(before=Printed(printed))
        return Verdict(one, CHANGED, "the run said so when it was cited", then, now, run)
    if one.printed:
        return Verdict(one, DISAGREES, "the number before it is not the run's", then, now, run)
    one = one._replace(before=Printed(one.before.near[0]))
    return Verdict(one, DISAGREES, "none of the numbers before it in the sentence is the run's", then, now, run)


def _agreeing(before: Printed, value: float) -> str | None:
    """The number before a citation that is the value; None where there is none."""
    if before.here:
        return before.here if agrees(before.here, value) else None
    for at, printed in enumerate(before.near):
        if agrees(printed, value, is_far=at > 0 or not before.has_unit or len(before.near) > 1):
            return printed
    return None


def _value(metrics: Mapping[str, Summary], citation: Citation) -> float | None:
    summary = metrics.get(citation.metric)
    return None if summary is None else float(getattr(summary, citation.part))
