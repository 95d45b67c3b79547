"""Arrays in memory, and single values as a text that is the same in every process."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy

from gxt.errors import UsageError

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def describe(array: Any) -> dict[str, Any]:
    """What inputs.yaml says of an array: digest, shape, type, rows.

    Raises:
        UsageError: it holds objects of which no digest can be made, or is on another device.
    """
    try:
        values = numpy.asarray(array)
    except (TypeError, ValueError, RuntimeError) as error:  # as torch's on a GPU say
        raise UsageError(f"cannot record this {type(array).__name__} as an input: {error}") from None
    sha = hashlib.sha256(f"{_little(values.dtype).str}{values.shape}".encode())
    if isinstance(array, numpy.ma.MaskedArray):  # what is masked is no value, whatever is below
        sha.update(b"masked")
        _add(sha, numpy.ma.getmaskarray(array))
        zero: Any = numpy.zeros((), values.dtype)[()]
        values = array.filled(zero)
    _add(sha, values)
    return {
        "digest": f"sha256:{sha.hexdigest()}",
        "shape": list(values.shape),
        "dtype": str(values.dtype),
        "rows": int(values.shape[0]) if values.ndim else 1,
    }


def _add(sha: Any, values: Any) -> None:
    if values.dtype.names is not None:  # between fields there may be bytes that mean nothing
        for name in values.dtype.names:
            sha.update(f"{name} {_little(values.dtype[name]).str}\n".encode())
            _add(sha, values[name])
    elif values.dtype.hasobject:
        sha.update(plain(values.tolist()).encode("utf-8", "surrogatepass"))
    else:
        content = numpy.ascontiguousarray(values, dtype=_little(values.dtype))
        sha.update(content.reshape(-1).view(numpy.uint8).data if content.size else b"")


def _little(dtype: Any) -> Any:
    return dtype.newbyteorder("<")


def plain(value: Any) -> str:
    """A value as a text that tells it from every other one, like JSON with names for what JSON has not.

    Raises:
        UsageError: it is of a type whose text is not the same in every process.

    >>> plain({"b": (1, 2.5), "a": None})
    '{"a": null, "b": [1, 2.5]}'
    """
    if isinstance(value, numpy.ndarray):
        value = value.tolist()
    elif isinstance(value, numpy.generic) and value.dtype.kind in "biuf":
        value = value.item()
    if isinstance(value, float):
        return "null" if value != value else json.dumps(value)
    if isinstance(value, str):
        return json.dumps(str(value), ensure_ascii=False)
    if value is None or isinstance(value, (bool, int)):
        return json.dumps(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(plain, value))}]"
    if isinstance(value, (set, frozenset)):
        return f"set [{', '.join(sorted(map(plain, value)))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(sorted(f'{plain(key)}: {plain(item)}' for key, item in value.items()))}}}"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"bytes {bytes(value).hex()}"
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    if text in ("NaT", "<NA>"):
        return "null"
    if _ADDRESS.search(text):
        raise UsageError(
            f"no digest can be made of a {type(value).__name__} among the data", "name the file that it is from"
        )
    return f"{_kind(value)} {json.dumps(text, ensure_ascii=False)}"


def _kind(value: Any) -> str:
    # pandas' Timestamp is a datetime, as pyarrow has it.
    names = [kind.__name__ for kind in type(value).__mro__]
    return next((name for name in ("datetime", "date", "timedelta") if name in names), names[0])
