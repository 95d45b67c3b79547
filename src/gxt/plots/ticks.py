"""Round numbers and moments to write beside an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from itertools import count, takewhile

import numpy as np

from gxt.plots.charts import Axis
from gxt.plots.series import Floats

Tick = tuple[float, str]
"""A value, and what is written there."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000
_SPANS = (
    *(n * 10**e for e in range(3) for n in (1, 2, 5)),
    *(n * _SECOND for n in (1, 2, 5, 10, 15, 30)),
    *(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * _HOUR for n in (1, 2, 3, 6, 12)),
    *(n * _DAY for n in (1, 2, 7, 14)),
)


def of_axis(axis: Axis, low: float, high: float, most: int, whole: bool = False) -> list[Tick]:
    """At most so many ticks from `low` to `high`, which are values and not their logarithms; `most` is 2 or more.

    Where all values are `whole` numbers, so are the ticks. Categories have their names, or nothing where they are too
    many.
    """
    if axis.kind == "category":
        return list(enumerate(axis.categories)) if len(axis.categories) <= most else []
    if axis.kind == "time":
        return _with_dates(times(low, high, most))
    found = logarithmic(low, high, most) if axis.log else numbers(low, high, most, whole)
    return list(zip(found, texts(found), strict=True))


def is_whole(*values: Floats) -> bool:
    """Whether all numbers there are, some at least, are whole.

    >>> is_whole(np.array([1.0, math.nan])), is_whole(np.array([0.5]))
    (True, False)
    """
    known = [some[np.isfinite(some)] for some in values]
    return any(len(some) for some in known) and all(bool((some == np.round(some)).all()) for some in known)


def numbers(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """The multiples of 1, 2, 2.5 or 5 times a power of ten, as close together as `most` allows.

    >>> numbers(0.3, 2.2, 5)
    [0.5, 1.0, 1.5, 2.0]
    """
    if not (high - low) / most > 0 or not math.isfinite(high - low):
        return [low] if math.isfinite(low) else []
    exponent = math.floor(math.log10((high - low) / most)) - 1
    for power in count(exponent):
        for times_ in (1, 2, 2.5, 5):
            step = times_ * 10.0**power
            if not step or (whole and step != round(step)):
                continue
            first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
            if last - first < most:
                digits = max(0, 1 - power)
                return [round(at * step, digits) + 0.0 for at in range(first, last + 1)]
    raise AssertionError  # the steps grow until they suffice


def logarithmic(low: float, high: float, most: int) -> list[float]:
    """Powers of ten, with some multiples of each where there is room, and round numbers where there are too few.

    >>> logarithmic(0.02, 30, 10)
    [0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0]
    """
    least, greatest = math.floor(math.log10(low)), math.ceil(math.log10(high))

    def within(factors: Sequence[int], every: int = 1) -> list[float]:
        powers = range(least - least % every, greatest + 1, every)
        found = (float(f"{factor}e{power}") for power in powers for factor in factors)
        return [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]

    for factors in ((1, 2, 3, 4, 5, 6, 8), (1, 2, 5)):
        if 2 <= len(found := within(factors)) <= max(most, 3):
            return found
    tens = within((1,))
    if len(tens) > most:
        return next(wide for every in count(2) if len(wide := within((1,), every)) <= most)
    return tens if len(tens) > 1 else numbers(low, high, most)


def texts(values: Sequence[float]) -> list[str]:
    """Numbers as short as they can be without looking alike.

    >>> texts([0.5, 1.0]), texts([0, 5e11, 1e12]), texts([0.00001, 0.0001])
    (['0.5', '1'], ['0', '5e11', '1e12'], ['1e-5', '1e-4'])
    """
    # With the same number of digits for all, so that 0.5 is `0.50` beside 0.25.
    for digits in range(1, 18):
        short = [_short(value, digits) for value in values]
        if len(set(short)) == len(short) and all(map(_is_exact, short, values)):
            return short
    return [repr(value) for value in values]


def _is_exact(text: str, value: float) -> bool:
    return float(text) == float(f"{value:.12g}")


def _short(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    size = abs(value)
    if size and (size >= 1e6 or size < 1e-3):
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"
    return f"{float(text):.{max(digits, 6)}g}" if "e" in text else text


# --- moments --------------------------------------------------------------------------------------------------------


def times(low: float, high: float, most: int) -> list[float]:
    """Round moments, in milliseconds since 1970 UTC: of seconds up to days, months and years."""
    for span in _SPANS:
        first, last = math.ceil(low / span), math.floor(high / span)
        if last - first < most:
            return [float(at * span) for at in range(first, last + 1)]
    for months in (1, 3, 6, *(12 * n * 10**e for e in range(4) for n in (1, 2, 5))):
        found = list(takewhile(lambda at: at <= high, (at for at in _months(low, months) if at >= low)))
        if len(found) <= most:
            return found
    return []


def _months(low: float, every: int) -> Sequence[float]:
    start = _moment(low)
    first = (start.year * 12 + start.month - 1) // every * every
    found = []
    for month in range(first, min(first + 400 * every, 9999 * 12), every):
        year, of_year = divmod(month, 12)
        if year >= 1:
            found.append((datetime(year, of_year + 1, 1, tzinfo=timezone.utc) - _EPOCH) / timedelta(milliseconds=1))
    return found


def _moment(ms: float) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def _with_dates(values: Sequence[float]) -> list[Tick]:
    """Moments as text: a time of day, with the date where a day begins; or dates alone."""
    moments = [_moment(value) for value in values]
    if all(value % _DAY == 0 for value in values) and len(values) > 1:
        yearly = all((moment.month, moment.day) == (1, 1) for moment in moments)
        monthly = all(moment.day == 1 for moment in moments)
        form = "%Y" if yearly else "%Y-%m" if monthly else "%Y-%m-%d"
        return [(value, f"{moment:{form}}") for value, moment in zip(values, moments, strict=True)]
    ticks, day = [], None
    for value, moment in zip(values, moments, strict=True):
        of_day = f"{moment:%H:%M}" if all(other % _MINUTE == 0 for other in values) else f"{moment:%H:%M:%S}"
        if any(other % _SECOND for other in values):
            of_day += f".{moment.microsecond // 1000:03}"
        ticks.append((value, of_day if moment.date() == day else f"{moment:%Y-%m-%d} {of_day}"))
        day = moment.date()
    return ticks
