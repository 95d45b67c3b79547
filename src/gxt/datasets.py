"""What is recorded of a dataset: name, digest, source, size, rows and columns. Never the data itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gxt.errors import MissingPackageError, UsageError
from gxt.masking import mask_urls
from gxt.model import clean_text


def describe(dataset: Any, base: Path | None) -> tuple[str, dict[str, Any]]:
    """A dataset's name, and what inputs.yaml says of it. Paths below `base` are given relative to it.

    Raises:
        UsageError: no such file, or an object that no digest can be made of.
    """
    if isinstance(dataset, str) and re.match(r"[a-z][a-z0-9+.-]+://", dataset) and not dataset.startswith("file://"):
        source = mask_urls(dataset)
        return source.rstrip("/").rsplit("/", 1)[-1] or source, {"source": source}
    if isinstance(dataset, (str, Path)):
        return _describe_path(Path(str(dataset).removeprefix("file://")), base)
    if hasattr(dataset, "columns") and hasattr(dataset, "to_numpy"):
        return "dataframe", _describe_frame(dataset)
    if hasattr(dataset, "__array__"):
        return "array", _describe_array(dataset)
    raise UsageError(
        f"cannot record a {type(dataset).__name__} as an input", "a path, a URL, a DataFrame or a numpy array"
    )


def _describe_path(path: Path, base: Path | None) -> tuple[str, dict[str, Any]]:
    if path.is_file():
        digest, size, files = _digest_file(path), path.stat().st_size, None
    elif path.is_dir():
        members = sorted(file for file in path.rglob("*") if file.is_file())
        lines = (f"{_digest_file(file)}  {file.relative_to(path).as_posix()}\n" for file in members)
        digest, size = _digest(line.encode("utf-8", "surrogateescape") for line in lines), 0
        size, files = sum(file.stat().st_size for file in members), len(members)
    else:
        raise UsageError(f"no such dataset: {str(path)!r}", f"looked in {Path.cwd()}")
    source = path.resolve()
    if base is not None and source.is_relative_to(base.resolve()):
        source = source.relative_to(base.resolve())
    values: dict[str, Any] = {"digest": digest, "source": clean_text(source.as_posix()), "size": size}
    if files is not None:
        values["files"] = files
    return clean_text(path.resolve().name), values


def _describe_frame(frame: Any) -> dict[str, Any]:
    try:
        from pandas.util import hash_pandas_object
    except ImportError:
        raise MissingPackageError("pandas", "recording a DataFrame as an input", "pandas") from None
    columns = {_column(name): str(kind) for name, kind in zip(frame.columns, frame.dtypes, strict=True)}
    try:
        rows = hash_pandas_object(frame, index=False).to_numpy()
    except TypeError:  # cells that are lists or arrays
        rows = hash_pandas_object(frame.astype(str), index=False).to_numpy()
    return {
        "digest": _digest([repr(sorted(columns)).encode(), rows.tobytes()]),
        "rows": len(frame),
        "columns": columns,
    }


def _column(name: object) -> str:
    """A column's name as a key in YAML, which may not be long."""
    return clean_text(str(name))[:200]


def _describe_array(array: Any) -> dict[str, Any]:
    import numpy  # the caller has made an array with it

    values = numpy.ascontiguousarray(array)
    about = f"{values.dtype.str}{values.shape}"
    content = values.tobytes() if values.dtype != object else repr(values.tolist()).encode()
    return {
        "digest": _digest([about.encode(), content]),
        "shape": list(values.shape),
        "dtype": str(values.dtype),
        "rows": int(values.shape[0]) if values.ndim else 1,
    }


def _digest_file(path: Path) -> str:
    try:
        with open(path, "rb") as stream:
            return _digest(iter(lambda: stream.read(1 << 20), b""))
    except OSError as error:
        raise UsageError(f"dataset {str(path)!r} cannot be read: {error.strerror}") from None


def _digest(pieces: Iterable[bytes]) -> str:
    import hashlib  # here for start-up time

    sha = hashlib.sha256()
    for piece in pieces:
        sha.update(piece)
    return f"sha256:{sha.hexdigest()}"
