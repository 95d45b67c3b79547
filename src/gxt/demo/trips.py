"""Made-up green taxi trips that look like New York's, for a demo that needs no download.

Zones, hours, speeds, the meter and the share of incomplete records follow the trips of early 2021. That data's
slips are not imitated: distances of 200,000 miles, negative fares, trips of the year 2009.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

# The busier taxi zones: TLC's number, latitude, longitude, and of 1,000 trips how many were hailed there in
# the street, ended there after that, and (the same for both ends) were dispatched by a base.
_ZONES: tuple[tuple[int, float, float, int, int, int], ...] = (
    (7, 40.768, -73.921, 19, 9, 9),
    (17, 40.689, -73.950, 4, 8, 12),
    (24, 40.799, -73.965, 6, 10, 1),
    (25, 40.686, -73.987, 14, 6, 8),
    (33, 40.696, -73.994, 13, 7, 8),
    (35, 40.663, -73.910, 1, 2, 14),
    (37, 40.697, -73.918, 1, 2, 7),
    (39, 40.640, -73.899, 1, 2, 15),
    (41, 40.805, -73.949, 95, 49, 11),
    (42, 40.818, -73.942, 52, 56, 18),
    (43, 40.782, -73.965, 31, 12, 2),
    (48, 40.762, -73.989, 0, 6, 2),
    (49, 40.688, -73.965, 5, 12, 8),
    (51, 40.874, -73.828, 1, 1, 13),
    (52, 40.687, -73.996, 12, 2, 1),
    (61, 40.673, -73.945, 5, 11, 28),
    (65, 40.694, -73.985, 31, 3, 6),
    (69, 40.828, -73.919, 4, 6, 9),
    (71, 40.644, -73.937, 0, 1, 11),
    (72, 40.656, -73.922, 0, 1, 13),
    (74, 40.801, -73.937, 160, 67, 15),
    (75, 40.790, -73.945, 147, 58, 13),
    (76, 40.662, -73.884, 2, 2, 20),
    (82, 40.741, -73.881, 17, 7, 9),
    (89, 40.642, -73.961, 1, 4, 15),
    (91, 40.622, -73.933, 0, 1, 11),
    (95, 40.720, -73.847, 40, 12, 13),
    (97, 40.691, -73.974, 33, 10, 14),
    (116, 40.826, -73.950, 19, 19, 7),
    (129, 40.756, -73.886, 8, 7, 7),
    (130, 40.705, -73.794, 17, 6, 10),
    (132, 40.645, -73.785, 0, 2, 0),
    (134, 40.708, -73.829, 5, 5, 4),
    (138, 40.773, -73.873, 0, 3, 0),
    (140, 40.765, -73.955, 0, 11, 7),
    (141, 40.767, -73.960, 0, 10, 2),
    (142, 40.772, -73.982, 0, 10, 2),
    (151, 40.798, -73.968, 0, 24, 3),
    (152, 40.818, -73.955, 12, 14, 3),
    (161, 40.758, -73.978, 0, 5, 2),
    (166, 40.809, -73.962, 44, 29, 5),
    (174, 40.880, -73.879, 1, 1, 10),
    (181, 40.671, -73.979, 7, 9, 12),
    (188, 40.658, -73.948, 1, 5, 21),
    (196, 40.726, -73.860, 6, 4, 7),
    (197, 40.695, -73.829, 6, 10, 7),
    (213, 40.818, -73.860, 4, 5, 12),
    (225, 40.686, -73.930, 1, 5, 14),
    (236, 40.780, -73.957, 4, 34, 3),
    (237, 40.769, -73.966, 0, 13, 2),
    (238, 40.791, -73.973, 0, 32, 2),
    (239, 40.784, -73.978, 0, 16, 1),
    (242, 40.848, -73.857, 1, 1, 17),
    (244, 40.841, -73.942, 59, 21, 12),
    (247, 40.829, -73.926, 5, 6, 8),
    (262, 40.776, -73.949, 0, 11, 1),
    (263, 40.778, -73.953, 1, 23, 4),
)
_BELOW_96TH = (
    43,
    48,
    140,
    141,
    142,
    161,
    236,
    237,
    238,
    239,
    262,
    263,
)  # where the congestion surcharge is due
_MILES_A_DEGREE = (69.0, 52.3)  # of latitude and of longitude, at New York
_RARE = 0.3  # of 1,000 trips, where rounding made a zone's share 0

_DISPATCHED_SHARE = 0.48  # trips that only a base's records know: no passengers, payment, rate or trip type

# By hour of the day: of 1,000 trips, how many begin; and how much faster than at noon they are.
_STREET_HOURS = (10, 6, 4, 3, 2, 6, 17, 36, 54, 62, 63, 63, 64, 70, 74, 80, 85, 75, 69, 56, 38, 26, 21, 16)
_DISPATCHED_HOURS = (3, 2, 1, 2, 7, 17, 28, 56, 79, 99, 102, 91, 88, 88, 77, 65, 55, 40, 30, 26, 18, 11, 9, 5)
# fmt: off
_PACE = (1.34, 1.32, 1.38, 1.6, 1.65, 1.9, 1.42, 1.17, 1.07, 1.06, 1.05, 1.02,
         1.0, 0.97, 0.93, 0.93, 0.93, 0.94, 1.02, 1.12, 1.22, 1.28, 1.32, 1.33)
# fmt: on
_STREET_DAYS = (131, 141, 146, 151, 169, 155, 108)  # Monday first
_DISPATCHED_DAYS = (152, 170, 175, 170, 169, 91, 73)

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


class _Kind(NamedTuple):
    """A way of getting a cab: in the street, or through a base."""

    dispatched: bool
    pickups: _Floats
    dropoffs: _Floats
    reach: float  # miles; trips that are longer than this get rare
    hours: tuple[int, ...]
    days: tuple[int, ...]


class _Ride(NamedTuple):
    """Candidates for trips: where, when, how far and how long."""

    pickup: _Ints  # positions in _ZONES
    dropoff: _Ints
    start: NDArray[np.datetime64]
    seconds: _Ints
    miles: _Floats

    def where(self, chosen: NDArray[Any]) -> _Ride:
        return _Ride(*(column[chosen] for column in self))


def generate_trips(year: int, month: int, rows: int, seed: int) -> pd.DataFrame:
    """Trips of one month, in the columns and types of the prepared TLC data; the same for the same arguments.

    As there, durations are 1 to 60 minutes, zones are text, and the dispatched trips come last.

    Raises:
        ValueError: no such month, or fewer than no rows.
    """
    if not 1 <= month <= 12 or rows < 0:
        raise ValueError(f"no trips for month {month}, {rows} rows")
    rng = np.random.default_rng([seed, year, month])
    zones = np.array(_ZONES)
    street = _Kind(False, zones[:, 3], zones[:, 4], 2.6, _STREET_HOURS, _STREET_DAYS)
    base = _Kind(True, zones[:, 5], zones[:, 5], 4.5, _DISPATCHED_HOURS, _DISPATCHED_DAYS)
    dispatched = round(rows * _DISPATCHED_SHARE)
    first_day = np.datetime64(f"{year:04d}-{month:02d}-01")
    blocks = [
        _street_trips(rng, _rides(rng, street, first_day, rows - dispatched)),
        _dispatched_trips(rng, _rides(rng, base, first_day, dispatched)),
    ]
    return pd.concat(blocks, ignore_index=True)


def features(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A model's inputs, one mapping a trip: the pair of zones as one category, and the distance."""
    pairs = frame["PULocationID"].astype(str) + "_" + frame["DOLocationID"].astype(str)
    rows = zip(pairs.tolist(), frame["trip_distance"].tolist(), strict=True)
    return [{"PU_DO": pair, "trip_distance": miles} for pair, miles in rows]


# --- where, when, how far, how long -------------------------------------------------------------------


def _rides(rng: Generator, kind: _Kind, first_day: np.datetime64, rows: int) -> _Ride:
    candidates = rows + rows // 4 + 50  # some last longer than an hour, as some real ones did
    pickup, dropoff, straight = _zone_pairs(rng, kind, candidates)
    start, hour = _starts(rng, kind, first_day, candidates)
    # Streets are no bee-lines, and a trip within one zone is not zero miles.
    miles = np.hypot(1.22 * straight, 0.8) * rng.lognormal(0.0, 0.24, candidates)
    zone_pace = _zone_pace()
    speed = (8.0 + 21.0 * (1 - np.exp(-miles / 13.0))) * np.array(_PACE)[hour]
    speed *= zone_pace[pickup] * zone_pace[dropoff] * rng.lognormal(0.0, 0.19, candidates)
    minutes = 60 * miles / speed + rng.exponential(0.8, candidates)
    seconds = 60 * np.round(minutes) if kind.dispatched else np.round(60 * minutes)
    ride = _Ride(pickup, dropoff, start, seconds.astype(np.int64), np.round(miles, 2))
    kept = ride.where(np.flatnonzero((ride.seconds >= 60) & (ride.seconds <= 3600))[:rows])
    return kept.where(np.argsort(kept.start, kind="stable"))


def _zone_pace() -> _Floats:
    """How fast traffic is in each zone, 1 being usual. It belongs to the city: the caller's seed is not in it."""
    pace = np.random.default_rng(1811).lognormal(0.0, 0.15, len(_ZONES))
    return np.asarray(np.where(np.isin([zone[0] for zone in _ZONES], _BELOW_96TH), 0.85 * pace, pace))


def _zone_pairs(rng: Generator, kind: _Kind, rows: int) -> tuple[_Ints, _Ints, _Floats]:
    """Pickup and drop-off zones and the miles between them; near pairs are likelier than far ones."""
    places = np.array([zone[1:3] for zone in _ZONES]) * _MILES_A_DEGREE
    straight = np.hypot(*(places[:, None, :] - places[None, :, :]).transpose(2, 0, 1))
    weights = np.maximum(kind.dropoffs, _RARE) * np.exp(-straight / kind.reach)
    weights /= weights.sum(axis=1, keepdims=True)
    weights *= np.maximum(kind.pickups, _RARE)[:, None]
    chosen = rng.choice(weights.size, size=rows, p=(weights / weights.sum()).ravel())
    pickup, dropoff = np.divmod(chosen, len(_ZONES))
    return pickup, dropoff, straight[pickup, dropoff]


def _starts(rng: Generator, kind: _Kind, first_day: np.datetime64, rows: int) -> tuple[NDArray[np.datetime64], _Ints]:
    month = first_day.astype("datetime64[M]")
    days = np.arange(month.astype("datetime64[D]"), (month + 1).astype("datetime64[D]"))
    weekday = (days.astype(np.int64) + 3) % 7  # 1970 began on a Thursday
    of_day = np.array(kind.days, dtype=np.float64)[weekday]
    of_hour = np.array(kind.hours, dtype=np.float64)
    day = rng.choice(days, size=rows, p=of_day / of_day.sum())
    hour = rng.choice(24, size=rows, p=of_hour / of_hour.sum())
    second = rng.integers(0, 3600, rows)
    if kind.dispatched:  # bases keep minutes
        second -= second % 60
    start: NDArray[np.datetime64] = day.astype("datetime64[s]") + (3600 * hour + second).astype("timedelta64[s]")
    return start, hour


# --- what it cost, and who says so --------------------------------------------------------------------


def _street_trips(rng: Generator, ride: _Ride) -> pd.DataFrame:
    rows = len(ride.miles)
    minutes = ride.seconds / 60
    negotiated = rng.random(rows) < 0.02
    fare = np.where(negotiated, np.round(9 + 2.6 * ride.miles), _meter(ride.miles, minutes))
    payment = rng.choice([1, 2, 3, 4], size=rows, p=[0.604, 0.391, 0.004, 0.001])
    extra = np.where(negotiated, 0.0, _rush_and_night(ride.start))
    surcharge = np.where(~negotiated & _in_the_core(ride) & (rng.random(rows) < 0.85), 2.75, 0.0)
    tipped = (payment == 1) & (rng.random(rows) < 0.8)
    tip = np.where(tipped, (fare + extra) * rng.normal(0.24, 0.06, rows).clip(0.02), 0.0)
    return _frame(
        ride,
        VendorID=rng.choice([2, 1], size=rows, p=[0.82, 0.18]),
        store_and_fwd_flag=np.where(rng.random(rows) < 0.006, "Y", "N").astype(object),
        RatecodeID=np.where(negotiated, 5.0, 1.0),
        passenger_count=rng.choice(
            [1.0, 2.0, 5.0, 3.0, 6.0, 4.0, 0.0],
            size=rows,
            p=[0.901, 0.058, 0.018, 0.008, 0.008, 0.004, 0.003],
        ),
        fare_amount=fare,
        extra=extra,
        mta_tax=np.where(negotiated, 0.0, 0.5),
        tip_amount=tip,
        tolls_amount=_tolls(rng, ride.miles),
        improvement_surcharge=np.full(rows, 0.3),
        payment_type=payment.astype(np.float64),
        trip_type=np.where(negotiated, 2.0, 1.0),
        congestion_surcharge=surcharge,
    )


def _dispatched_trips(rng: Generator, ride: _Ride) -> pd.DataFrame:
    rows = len(ride.miles)
    fare = 13.7 + 1.63 * ride.miles + 0.14 * ride.seconds / 60 + rng.gumbel(-1.4, 2.4, rows)
    tipped = rng.random(rows) < 0.55  # the base adds the same sum to the tip, or to the extras
    return _frame(
        ride,
        VendorID=np.full(rows, 2),
        store_and_fwd_flag=np.full(rows, None, dtype=object),
        RatecodeID=np.full(rows, np.nan),
        passenger_count=np.full(rows, np.nan),
        fare_amount=fare.clip(5.0),
        extra=np.where(~tipped & (rng.random(rows) < 0.85), 2.75, 0.0),
        mta_tax=np.zeros(rows),
        tip_amount=np.where(tipped, 2.75, 0.0),
        tolls_amount=_tolls(rng, ride.miles),
        improvement_surcharge=np.full(rows, 0.3),
        payment_type=np.full(rows, np.nan),
        trip_type=np.full(rows, np.nan),
        congestion_surcharge=np.full(rows, np.nan),
    )


def _meter(miles: _Floats, minutes: _Floats) -> _Floats:
    """New York's tariff of 2021: $2.50, and 50 cents a fifth of a mile, or a minute where it is slow."""
    speed = 60 * miles / minutes
    slow_minutes = minutes * (1.05 - speed / 30).clip(0.1, 0.8)
    fast_miles = (miles - slow_minutes * 4 / 60).clip(0.0)  # traffic that is slow moves at some 4 mph
    return np.asarray(2.5 + 0.5 * np.ceil(5 * fast_miles + slow_minutes))


def _rush_and_night(start: NDArray[np.datetime64]) -> _Floats:
    moment = pd.DatetimeIndex(start)
    hour = moment.hour.to_numpy()
    rush = (hour >= 16) & (hour < 20) & (moment.weekday.to_numpy() < 5)
    return np.where(rush, 1.0, np.where((hour >= 20) | (hour < 6), 0.5, 0.0))


def _in_the_core(ride: _Ride) -> NDArray[np.bool_]:
    core = np.isin([zone[0] for zone in _ZONES], _BELOW_96TH)
    return np.asarray(core[ride.pickup] | core[ride.dropoff])


def _tolls(rng: Generator, miles: _Floats) -> _Floats:
    tunnel_or_bridge = rng.random(len(miles)) < (0.03 * (miles - 3)).clip(0.0, 0.5)
    return np.where(tunnel_or_bridge, 6.12, 0.0)


def _frame(ride: _Ride, **columns: NDArray[Any]) -> pd.DataFrame:
    """The columns in TLC's order, the total worked out, money in cents."""
    names = np.array([str(zone[0]) for zone in _ZONES], dtype=object)
    charges = ("fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount", "improvement_surcharge")
    money = {name: np.round(columns[name], 2) for name in charges}
    surcharge = columns["congestion_surcharge"]
    total = np.sum(list(money.values()), axis=0) + np.nan_to_num(surcharge)
    table: dict[str, Any] = {
        "VendorID": columns["VendorID"].astype(np.int64),
        "lpep_pickup_datetime": ride.start.astype("datetime64[us]"),
        "lpep_dropoff_datetime": (ride.start + ride.seconds.astype("timedelta64[s]")).astype("datetime64[us]"),
        "store_and_fwd_flag": pd.Series(columns["store_and_fwd_flag"], dtype=str),
        "RatecodeID": columns["RatecodeID"],
        "PULocationID": pd.Series(names[ride.pickup], dtype=str),
        "DOLocationID": pd.Series(names[ride.dropoff], dtype=str),
        "passenger_count": columns["passenger_count"],
        "trip_distance": ride.miles,
        "fare_amount": money["fare_amount"],
        "extra": money["extra"],
        "mta_tax": money["mta_tax"],
        "tip_amount": money["tip_amount"],
        "tolls_amount": money["tolls_amount"],
        "ehail_fee": pd.Series([None] * len(total), dtype=object),
        "improvement_surcharge": money["improvement_surcharge"],
        "total_amount": np.round(total, 2),
        "payment_type": columns["payment_type"],
        "trip_type": columns["trip_type"],
        "congestion_surcharge": surcharge,
        "duration": ride.seconds / 60,
    }
    frame: pd.DataFrame = pd.DataFrame(table)
    return frame
