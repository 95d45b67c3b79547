"""Objects as files: figures, images, tables and documents, each a function that writes into an open file.

Nothing of matplotlib, plotly, PIL or pandas is imported until an object needs it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

from gxt.artifacts import copier
from gxt.errors import FormatError, MissingPackageError, UsageError
from gxt.model import plain
from gxt.yamltext import dump

Fill = Callable[[IO[bytes]], object]


def _ending(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def document(content: Any, path: str) -> Fill:
    """A mapping or list as YAML or JSON, by the path's ending."""
    value = plain(content)
    if _ending(path) in (".yaml", ".yml"):
        if not isinstance(value, dict):
            raise UsageError(f"{path}: only a mapping can be written as YAML", "call it .json")
        data = dump(value)
    else:
        data = json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"
    return lambda out: out.write(data)


# --- figures ------------------------------------------------------------------------------------------------


def figure(figure: Any, path: str, options: Mapping[str, Any]) -> Fill:
    """A matplotlib or plotly figure in the format of the path's ending."""
    if hasattr(figure, "savefig"):
        return _matplotlib(figure, path, options)
    if hasattr(figure, "to_plotly_json"):
        return _plotly(figure, path, options)
    # An Axes, or what seaborn gives back.
    inner = getattr(figure, "figure", None)
    if hasattr(inner, "savefig"):
        return _matplotlib(inner, path, options)
    raise UsageError(f"not a matplotlib or plotly figure: {type(figure).__name__}")


def _matplotlib(figure: Any, path: str, options: Mapping[str, Any]) -> Fill:
    kind = _ending(path).lstrip(".") or "png"
    supported = figure.canvas.get_supported_filetypes()
    if kind not in supported:
        raise UsageError(f"matplotlib does not write .{kind}", f"one of {', '.join(sorted(supported))}")
    keywords: dict[str, Any] = {"format": kind, "bbox_inches": "tight", **options}
    buffer = io.BytesIO()
    figure.savefig(buffer, **keywords)
    return lambda out: out.write(buffer.getvalue())


def _plotly(figure: Any, path: str, options: Mapping[str, Any]) -> Fill:
    kind = _ending(path).lstrip(".")
    if kind == "html":
        text = figure.to_html(**{"include_plotlyjs": "cdn", **options})
    elif kind == "json":
        text = figure.to_json(**options)
    else:
        try:
            image_bytes: bytes = figure.to_image(format=kind or "png", **options)
        except ValueError as error:  # kaleido is missing, or the format unknown
            reason = str(error).strip().split("\n")[0]
            raise UsageError(f"plotly cannot write {path!r}: {reason}", "call it .html or .json") from None
        return lambda out: out.write(image_bytes)
    return lambda out: out.write(text.encode())


# --- images -------------------------------------------------------------------------------------------------


def image(image: Any, path: str) -> Fill:
    """An image given as a path, a PIL image or an array."""
    if isinstance(image, (str, Path)):
        if not Path(image).is_file():
            raise UsageError(f"no such image: {str(image)!r}")
        return copier(Path(image))
    if hasattr(image, "__array__") and not hasattr(image, "save"):
        image = _array_image(image)
    if not hasattr(image, "save"):
        raise UsageError(f"not an image: {type(image).__name__}", "a path, a PIL image or a numpy array")
    kind = {".jpg": "JPEG", "": "PNG"}.get(_ending(path), _ending(path).lstrip(".").upper())
    buffer = io.BytesIO()
    try:
        image.save(buffer, format=kind)
    except (KeyError, OSError) as error:
        raise UsageError(f"the image cannot be written as {path!r}: {error}") from None
    return lambda out: out.write(buffer.getvalue())


def _array_image(array: Any) -> Any:
    try:
        import numpy
        from PIL import Image
    except ImportError:
        raise MissingPackageError("pillow", "logging an array as an image") from None
    pixels = numpy.asarray(array)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
        raise UsageError(f"an image has the shape H x W or H x W x 1, 3 or 4, not {' x '.join(map(str, pixels.shape))}")
    if pixels.dtype == bool:
        pixels = pixels * numpy.uint8(255)
    low, high = (float(pixels.min()), float(pixels.max())) if pixels.size else (0.0, 0.0)
    top = 1 if pixels.dtype.kind == "f" else 255
    if not (low >= 0 and high <= top):
        raise UsageError(
            f"pixels go from {low:g} to {high:g}",
            f"{pixels.dtype} pixels are 0 to {top}; scale or convert the array",
        )
    scaled = (pixels * 255).round() if top == 1 else pixels
    return Image.fromarray(scaled.astype(numpy.uint8))


# --- tables -------------------------------------------------------------------------------------------------


def table(data: Any, path: str, before: bytes | None) -> Fill:
    """A table in the format of the path's ending, its rows after those of `before`, the file so far."""
    columns, rows = _columns_and_rows(data)
    kind = _ending(path)
    if kind not in (".json", ".csv", ".parquet"):
        raise UsageError(f"a table cannot be written as {path!r}", "call it .json, .csv or .parquet")
    if before is not None:
        known, old = _csv_rows(before) if kind == ".csv" else read_table(before, path)
        new = [column for column in columns if column not in known]
        all_columns = known + new
        rows = [row + [None] * len(new) for row in old] + [
            [dict(zip(columns, row, strict=True)).get(column) for column in all_columns] for row in rows
        ]
        columns = all_columns
    if kind == ".json":
        text = json.dumps({"columns": columns, "data": rows}, ensure_ascii=False, indent=None)
        return lambda out: out.write(text.encode() + b"\n")
    if kind == ".csv":
        buffer = io.StringIO()
        import csv  # here for start-up time

        csv.writer(buffer, lineterminator="\n").writerows([columns, *rows])
        return lambda out: out.write(buffer.getvalue().encode())
    frame = require_pandas("writing a table as Parquet").DataFrame(rows, columns=columns)
    return lambda out: frame.to_parquet(out, index=False)


def read_table(data: bytes, path: str) -> tuple[list[str], list[list[Any]]]:
    """A table's columns and rows, as `table` wrote them."""
    kind = _ending(path)
    try:
        if kind == ".json":
            content = json.loads(data)
            return list(content["columns"]), [list(row) for row in content["data"]]
        if kind == ".csv":
            columns, rows = _csv_rows(data)
            return columns, [[_cell(cell) for cell in row] for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path} is not a table: {error}") from None
    if kind == ".parquet":
        frame = require_pandas("reading Parquet").read_parquet(io.BytesIO(data))
        return [str(column) for column in frame.columns], frame.to_numpy(dtype=object).tolist()
    raise UsageError(f"{path} is not a table", "tables end in .json, .csv or .parquet")


def _csv_rows(data: bytes) -> tuple[list[str], list[list[Any]]]:
    import csv

    columns, *rows = csv.reader(io.StringIO(data.decode(), newline=""))
    return columns, [list(row) for row in rows]


def _cell(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None


def _columns_and_rows(data: Any) -> tuple[list[str], list[list[Any]]]:
    if hasattr(data, "columns") and hasattr(data, "to_numpy"):  # a DataFrame
        columns = [str(column) for column in data.columns]
        cells = data.astype(object).where(data.notna(), None).to_numpy().tolist()  # NaN, NaT and NA are all None
        return columns, [[_json_cell(cell) for cell in row] for row in cells]
    if isinstance(data, Mapping):
        lists = {
            str(key): list(value) if isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) > 0 else [value]
            for key, value in data.items()
        }
        lengths = {key: len(value) for key, value in lists.items()}
        if len(set(lengths.values())) > 1:
            raise UsageError(f"the table's columns differ in length: {lengths}")
        return list(lists), [[_json_cell(cell) for cell in row] for row in zip(*lists.values(), strict=True)]
    raise UsageError(f"not a table: {type(data).__name__}", "a DataFrame, or a mapping of columns to values")


def _json_cell(cell: Any) -> Any:
    if isinstance(cell, float) and cell != cell:
        return None  # pandas' mark for what is missing; JSON has no NaN
    return plain(cell)


def require_pandas(purpose: str) -> Any:
    """The module pandas. Raises MissingPackageError, which says what it is needed for."""
    try:
        import pandas
    except ImportError:
        raise MissingPackageError("pandas", purpose, "pandas") from None
    return pandas
