"""Moments and durations as people write them: `2 days ago`, `2026-11-23 08:30`, `1h 30m`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from gxt.query.expression import Span

_UNITS = {
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
    **dict.fromkeys(("w", "week", "weeks"), 7 * 86400),
    **dict.fromkeys(("month", "months"), 30 * 86400),
    **dict.fromkeys(("y", "year", "years"), 365 * 86400),
}
_AMOUNT = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([a-z]+)", re.IGNORECASE)
_DATE = re.compile(
    r"""(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})
    (?:[Tt\ ]+(?P<minute>[0-9]{2}:[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?)?)?
    \s*(?P<zone>[Zz]|[-+][0-9]{2}:?[0-9]{2})?""",
    re.VERBOSE,
)


_FARTHEST = 2**62  # milliseconds: beyond every time that a run can have, and within 64 bits


def instant(milliseconds: int | float) -> Span:
    """A moment in milliseconds since 1970 UTC; one that is farther away than any run's counts as the farthest.

    >>> instant(float("-inf")) == instant(-(10**30))
    True
    """
    bounded = int(max(-_FARTHEST, min(_FARTHEST, milliseconds)))
    return Span(bounded, bounded)


def parse_duration(text: str) -> float | None:
    """Seconds from `10m`, `1h 30 min`, `500ms`; None for what is no duration. A month is 30 days, a year 365.

    >>> parse_duration("1h 30m")
    5400.0
    """
    seconds, at, rest = 0.0, 0, text.rstrip()
    while at < len(rest) or not rest:
        amount = _AMOUNT.match(rest, at)
        if amount is None or amount[2].lower() not in _UNITS:
            return None
        seconds += float(amount[1]) * _UNITS[amount[2].lower()]
        at = amount.end()
    return seconds


def parse_moment(text: str, now: int) -> Span | None:
    """The stretch of time that a text names, None where it names none.

    A date is a whole day, `2026-11-23 08:30` a minute, and so on; `today`, `yesterday`, `now`, `2 days ago` are
    counted from `now` (milliseconds since 1970 UTC). Without a zone, times are local, as `git log --since` has them.
    """
    words = " ".join(text.lower().split())
    if words == "now":
        return Span(now, now)
    if words in ("today", "yesterday"):
        midnight = datetime.fromtimestamp(now / 1000).replace(hour=0, minute=0, second=0, microsecond=0)
        return _span(midnight - timedelta(days=words == "yesterday"), timedelta(days=1))
    if words.endswith(" ago"):
        ago = parse_duration(words.removesuffix(" ago"))
        return None if ago is None else instant(now - ago * 1000)
    match = _DATE.fullmatch(text.strip())
    return None if match is None else _date(match)


def _date(match: re.Match[str]) -> Span | None:
    fraction, second, minute = match["fraction"], match["second"], match["minute"]
    zone = (match["zone"] or "").upper().replace("Z", "+0000").replace(":", "")
    written = f"{match['day']} {minute or '00:00'}:{second or '00'}.{(fraction or '0')[:3]:0<3}"
    try:
        moment = datetime.strptime(written + zone, "%Y-%m-%d %H:%M:%S.%f" + ("%z" if zone else ""))
    except ValueError:
        return None
    if fraction:
        lasts = timedelta(milliseconds=1)
    else:
        lasts = timedelta(seconds=1) if second else timedelta(minutes=1) if minute else timedelta(days=1)
    return _span(moment, lasts)


def _span(begin: datetime, lasts: timedelta) -> Span | None:
    try:
        # A day that begins or ends summer time is shorter or longer: the end is found on the clock.
        low, high = begin.astimezone(), (begin + lasts).astimezone()
        return Span(round(low.timestamp() * 1000), round(high.timestamp() * 1000) - 1)
    except (OverflowError, ValueError, OSError):  # before the year 1 somewhere, or after 9999
        return None
