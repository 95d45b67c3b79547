"""Numbers as documents print them: finding those before a citation, and whether one is a value, rounded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Context, Decimal, DecimalException
from typing import NamedTuple

_SPACE = r"(?:['\u2019\u00a0\u2009\u202f~]|\\[,;:! ])"  # between thousands
_MARK = r"(?:[.,]|\{[.,]\})"
_DIGITS = rf"(?:\d+(?:{_MARK}\d+|{_SPACE}\d{{3}}(?!\d))*|\.\d+)"
_SIGN = r"[-+\u2212\u2013]"
_POWER = rf"\^?\s*\{{?(?P<power>{_SIGN}?\d+)\}}?"
_NUMBER = re.compile(
    rf"(?P<number>(?:(?<![\w.^]){_SIGN}|(?<![\w.^]))(?:10(?=\s*\^)|{_DIGITS}(?:[eE]{_SIGN}?\d+)?)|(?<!\w)-?(?:nan|inf)\b)"
    rf"(?P<off>(?:\s|\\[,;: ]|\$)*(?:\u00b1|\+/?-|\\pm\b)(?:\s|\\[,;: ]|\$)*{_DIGITS}(?:[eE]{_SIGN}?\d+)?|\(\d+\))?"
    rf"(?P<times>(?:\s|\$|\)|\\[,;: ])*(?:\\times|\\cdot|[x*\u00d7\u00b7])(?:\s|\\[,;: ])*10\s*{_POWER}"
    rf"|(?<=10)\s*\^\s*\{{?(?P<bare>{_SIGN}?\d+)\}}?)?",
    re.IGNORECASE,
)
_MARKS = re.compile(r"(?:[^\w\\]|\\[A-Za-z]+|\\[^A-Za-z])*")
_BESIDE = r"\\[A-Za-z]+|\\[^A-Za-z]"
_WORD = r"[^\W\d_]{1,15}"
_UNIT = re.compile(
    rf"(?:[^\w\\.!?]|\.(?!\s)|{_BESIDE})*{_WORD}(?:\s?[/\u00b7*]\s?{_WORD}|\^-?\d)*(?:[^\w\\]|{_BESIDE})*"
)
_PERCENT = re.compile(r"(?:\s|\\[,;: ]|[$}{)])*(?:\\?%|\\percent\b|per ?cent\b)", re.IGNORECASE)
_SENTENCE = re.compile(r"\n\s*\n|[.!?]\s")
_TAG = re.compile(r"<(?:/|[A-Za-z])[^<>]*>")
_RAISED = re.compile(
    r"(?<=10)\s*<sup>\s*([-\u2212\u2013+]?\d+)\s*</sup>|(?<=10)([\u207a\u207b]?[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+)"
)
_LOWERED = str.maketrans("\u207a\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079", "+-0123456789")


class Printed(NamedTuple):
    """The numbers before a citation.

    Attributes:
        here: the one right before it; empty where there is none.
        near: where there is none, those in the sentence, the last first. With a unit alone between, the first counts as
            one right before.
        has_unit: whether a unit alone is between.
    """

    here: str = ""
    near: tuple[str, ...] = ()
    has_unit: bool = False


def before(text: str) -> Printed:
    """The numbers that stand before a citation, given what does.

    >>> before("An RMSE of 6.30 (").here, before("6.3 after 10 epochs (").near
    ('6.30', ('10', '6.3'))
    """
    import html  # here for start-up time

    text = html.unescape(text)
    text = _RAISED.sub(lambda match: f"^{(match[1] or match[2]).translate(_LOWERED)}", text)
    text = _TAG.sub(" ", text)
    found = list(_NUMBER.finditer(text))
    if found and _MARKS.fullmatch(_rest(text, found[-1])):
        return Printed(_shown(text, found[-1]))
    sentence = max((match.end() for match in _SENTENCE.finditer(text)), default=0)
    near = [match for match in found if match.start() >= sentence]
    has_unit = bool(near) and _UNIT.fullmatch(text, near[-1].end()) is not None
    return Printed("", tuple(_shown(text, match) for match in reversed(near)), has_unit)


def _rest(text: str, match: re.Match[str]) -> str:
    percent = _PERCENT.match(text, match.end())
    return text[percent.end() if percent else match.end() :]


def _shown(text: str, match: re.Match[str]) -> str:
    percent = "%" if _PERCENT.match(text, match.end()) else ""
    times = re.sub(r"^[\s$)]+", " ", match["times"] or "")
    return re.sub(r"[ \t\r\n]+", " ", match["number"] + times + percent)  # a narrow space is one of the number


def agrees(printed: str, value: float, is_far: bool = False) -> bool:
    """Whether a value, rounded to as many digits as are printed, is what is printed.

    A comma may be a point, or stand between thousands; `%` may be a hundredth, or begin a comment.

    Args:
        is_far: the number may be another one of the sentence: one digit alone has to be all of the value.

    >>> agrees("6.30", 6.2998), agrees("6.30", 6.31), agrees("93.1%", 0.9312)
    (True, False, True)
    """
    match = _NUMBER.fullmatch(printed.removesuffix("%"))
    if match is None:
        return False
    power = int(_minus(match["power"] or match["bare"] or "0"))
    text = "1" if match["bare"] else _minus(match["number"]).lower()
    return any(
        _agrees(reading, shift, value, is_far)
        for reading in _readings(text)
        for shift in ((power, power - 2) if printed.endswith("%") else (power,))
    )


def _minus(text: str) -> str:
    return re.sub("[\u2212\u2013]", "-", text)


def _readings(text: str) -> Iterator[str]:
    """What the digits may mean, as Python has numbers."""
    text = re.sub(r"[{}]", "", text)
    grouped = re.sub(_SPACE, "_", text)
    mantissa, exponent, power = grouped.partition("e") if "nan" not in text and "inf" not in text else (grouped, "", "")
    rest = exponent + power
    if not _is_grouped(mantissa, "_"):
        return
    plain = mantissa.replace("_", "")
    points, commas = plain.count("."), plain.count(",")
    if points and commas:
        decimal = "." if plain.rindex(".") > plain.rindex(",") else ","
        other = "," if decimal == "." else "."
        if plain.count(decimal) == 1 and _is_grouped(plain.partition(decimal)[0], other):
            yield plain.replace(other, "").replace(decimal, ".") + rest
        return
    mark = "." if points else ","
    if points + commas <= 1:
        yield plain.replace(",", ".") + rest
    if (commas == 1 or points + commas > 1) and "_" not in mantissa and _is_grouped(plain, mark):
        yield plain.replace(mark, "") + rest


def _is_grouped(text: str, mark: str) -> bool:
    """Whether a mark, where it is at all, stands between groups as thousands (or a lakh) have them."""
    if mark not in text:
        return True
    whole = re.split("[.,]", text)[0] if mark == "_" else text
    mark = re.escape(mark)
    return re.fullmatch(rf"[-+]?\d{{1,3}}(?:{mark}\d{{2,3}})*{mark}\d{{3}}", whole) is not None


_EXACT = Context(prec=1500, rounding=ROUND_HALF_EVEN, Emax=999_999, Emin=-999_999)  # a double has at most 767 digits


def _agrees(text: str, shift: int, value: float, is_far: bool) -> bool:
    try:
        printed = Decimal(text)
        exact = Decimal(value)
        if not printed.is_finite() or not exact.is_finite():
            return str(printed) == str(exact)
        printed = printed.scaleb(shift, _EXACT)
        about = printed.as_tuple()
        assert isinstance(about.exponent, int)
        if is_far and len(about.digits) < 2:
            return printed == exact
        # A hair more than half a unit: 0.125 is 0.12 to some who round, and 0.13 to others.
        hair = 1 + Decimal("1e-9")
        return abs(_EXACT.subtract(exact, printed)) <= Decimal(5).scaleb(about.exponent - 1, _EXACT) * hair
    except DecimalException:
        return False
