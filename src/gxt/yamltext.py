"""The YAML that gxt writes and reads.

Writing is our own because the branch format is: the same value always gives the same bytes, whatever the version of
a YAML library, and every document reads the same under YAML 1.1 and 1.2. Reading is by YAML 1.2's core schema, so that
`1e-3` is a number and `no` is a word: what was written here a line at a time, anything else by `yamlreader`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from gxt.errors import FormatError
from gxt.yamlreader import DEEPEST, load, parse_scalar


class Plain(str):
    """Text to write as it stands, without quotes: a time, which YAML 1.1 readers then take for one."""

    __slots__ = ()


class Flow(dict[str, Any]):
    """A mapping to write on one line: `{last: 6.3, min: 6.3}`."""

    __slots__ = ()


# --- writing ----------------------------------------------------------------------------------------


def dump(document: Mapping[str, Any]) -> bytes:
    """A document as UTF-8, in the mapping's own order; `{}` where it is empty.

    Values are text, booleans, numbers, None, lists and mappings with text keys.

    >>> dump({"lr": 1e-05, "layers": [64, 32], "note": "no"}).decode()
    'lr: 1.0e-05\\nlayers: [64, 32]\\nnote: "no"\\n'
    """
    if not document:
        return b"{}\n"
    lines: list[str] = []
    _block(document, "", lines)
    return "".join(lines).encode("utf-8")


def _block(mapping: Mapping[str, Any], indent: str, lines: list[str]) -> None:
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value and not isinstance(value, Flow):
            lines.append(f"{indent}{_text(key)}:\n")
            _block(value, indent + "  ", lines)
        elif isinstance(value, str) and "\n" in value and _fits_literal(value):
            lines.append(f"{indent}{_text(key)}: |{'' if value.endswith(chr(10)) else '-'}\n")
            for line in value.removesuffix("\n").split("\n"):
                lines.append(f"{indent}  {line}\n" if line else "\n")
        else:
            lines.append(f"{indent}{_text(key)}: {_inline(value, flow=False)}\n")


def _fits_literal(text: str) -> bool:
    """Whether a `|` block can hold the text: starts at its margin, ends in at most one newline, all printable."""
    body = text.removesuffix("\n")
    return (
        body != ""
        and body[0] not in " \t\n"
        and body[-1] != "\n"
        and all(line.isprintable() for line in body.split("\n"))
        and not any(line.isspace() for line in body.split("\n"))
    )


def _inline(value: Any, flow: bool = True) -> str:
    if isinstance(value, str):
        return _flow_text(value) if flow else _text(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow_text(k)}: {_inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    raise TypeError(f"cannot be written as YAML: {type(value).__name__}")


def _float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    text = repr(value)
    # YAML 1.1 takes `1e-05` for text: it wants a point before the exponent.
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


# A first character and what may follow so that a plain scalar cannot be taken for YAML's own signs, in block and in
# flow context alike. `: ` and ` #` are looked for apart.
_PLAIN = re.compile(r"(?:[\w/]|\.(?=[\w/]))[^\x00-\x1f\x7f\[\]{},?\"'`\\]*")
# Plain text that some YAML reader would take for a boolean, null, number, or time (YAML 1.1 types, PyYAML's
# resolver, and the core schema of 1.2, where they differ the widest of them).
_TYPED = re.compile(
    r"""~|=|<<|null|Null|NULL|[yYnN]|yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF
    |[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)
    |[eE][0-9]+
    |[-+]?0b[01_]+|[-+]?0o?[0-7_]+|[-+]?0x[0-9a-fA-F_]+
    |[-+]?(\.[0-9_]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?
    |[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?
    |[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt\ \t].*)?""",
    re.VERBOSE,
)


@lru_cache(maxsize=4096)
def _text(text: str) -> str:
    if isinstance(text, Plain):
        return str(text)
    return text if _is_plain(text) or _is_plain_word(text) else _quoted(text)


def _flow_text(text: str) -> str:
    """Inside brackets, older parsers take a colon for a key's wherever it stands."""
    return _quoted(text) if ":" in text and not isinstance(text, Plain) else _text(text)


def _is_plain(text: str) -> bool:
    return (
        _PLAIN.fullmatch(text) is not None
        and _TYPED.fullmatch(text) is None
        and ": " not in text
        and " #" not in text
        and text[-1] not in ": "
        and text.isprintable()
        and text.isascii()
    )


def _is_plain_word(text: str) -> bool:
    """Words in any script: letters and single spaces need no quotes."""
    return not text.isascii() and all(word.isalpha() for word in text.split(" "))


def _quoted(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    # JSON leaves DEL, C1 controls, line separators and BOM raw; YAML readers would refuse or fold them.
    return "".join(c if c.isprintable() else _escape(c) for c in quoted)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


# --- reading ------------------------------------------------------------------------------------------


def parse_value(text: str) -> Any:
    """A value as it is typed on a command line: a scalar, or a list, mapping or quoted text in YAML's flow style.

    >>> parse_value("[64, 32]"), parse_value("lasso"), parse_value('"1"')
    ([64, 32], 'lasso', '1')
    """
    if text[:1] in ("[", "{", '"', "'"):
        try:
            return load(text.encode("utf-8", "backslashreplace"), "value")
        except FormatError:
            return text
    return parse_scalar(text)


def load_mapping(data: bytes, where: str) -> dict[str, Any]:
    """As `load`, for a document that has to be a mapping; an empty document is an empty one."""
    own = _load_own(data) if data else {}
    if own is not None:
        return own
    document = load(data, where)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise FormatError(f"{where}: expected `key: value` lines, found {type(document).__name__}")
    return document


# --- reading our own ------------------------------------------------------------------------------------
# A listing reads three documents a run, and PyYAML would take most of its time. What `dump` wrote is simple enough to
# be read a line at a time; whatever looks the least bit different is left to PyYAML. A test holds the two together.

_PRINTABLE = bytes([0x0A, *range(0x20, 0x7F)])
_OWN_LINE = re.compile(r"( *)([A-Za-z_][\w./-]*(?: [\w./-]+)*|\"[^\"\\]*\"):(?: (.+))?", re.ASCII)
_DOUBLE = r"(-?[0-9]+\.[0-9]+(?:e[-+]?[0-9]+)?|-?\.inf|\.nan)"
_DOUBLES = rf"last: {_DOUBLE}, min: {_DOUBLE}, max: {_DOUBLE}, first: {_DOUBLE}"
_SUMMARY = rf"\{{{_DOUBLES}, step: (-?[0-9]{{1,18}}), count: ([0-9]{{1,18}})\}}"
_OWN_SUMMARY = re.compile(_SUMMARY)
_OWN_METRIC = re.compile(rf"([A-Za-z_][\w./-]*): {_SUMMARY}\n", re.ASCII)
_OWN_PLAIN = (
    re.compile(  # what it may begin with is said by what it may not, which takes a tenth of the time to compile
        r"(?:[^\x00-.:-@\[-^`{-\xa0]|\.(?=[\w/])|-(?=[0-9.]))(?:[^:#]|:(?=[^ ])|(?<=[^ ])#)*(?<![: ])", re.ASCII
    )
)
_OWN_QUOTED = re.compile(r"\"(?:[^\"\\]|\\[\"\\nrtbf])*\"")
_OWN_ITEM = re.compile(r"[A-Za-z_][\w./-]*(?: [\w./-]+)*|-?[0-9][\w.+-]*|-?\.inf|\.nan|\"[^\"\\,\[\]{}]*\"", re.ASCII)
_LONGEST_KEY = 1000  # YAML wants a key's colon within 1,024 characters


@lru_cache(maxsize=1)
def _strange() -> re.Pattern[str]:
    """What no document has as it stands. Compiled when it is needed, since that takes as long as a git command."""
    return re.compile("[^\n -~\u00a1-\u2027\u2030-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def _load_own(data: bytes) -> dict[str, Any] | None:
    """What `load` would give for a mapping in the very form of `dump`; None for anything else."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    strange = data.translate(None, _PRINTABLE) if data.isascii() else _strange().search(text)
    if strange or not text.endswith("\n"):
        return None
    if text == "{}\n":
        return {}
    if text.endswith("}\n"):
        metrics = _own_metrics(text)
        if metrics is not None:
            return metrics
    lines = text.split("\n")[:-1]
    whole: dict[str, Any] = {}
    open_mappings = [whole]
    opened = False  # whether the line before began a mapping
    at = 0
    while at < len(lines):
        match = _OWN_LINE.fullmatch(lines[at])
        if match is None:
            return None
        indent, key, value = match.groups()
        depth, odd = divmod(len(indent), 2)
        # A deeper line has to come after `key:`, and nothing else may follow that.
        if (
            odd
            or len(key) > _LONGEST_KEY
            or depth >= DEEPEST
            or (depth != len(open_mappings) - 1 if opened else depth >= len(open_mappings))
        ):
            return None
        del open_mappings[depth + 1 :]
        at += 1
        key = key[1:-1] if key[0] == '"' else key
        if key in open_mappings[-1]:
            return None
        opened = value is None
        if value is None:
            inner: dict[str, Any] = {}
            open_mappings[-1][key] = inner
            open_mappings.append(inner)
        elif value in ("|", "|-"):
            taken = _own_literal(lines, at, indent + "  ")
            if not taken:
                return None
            open_mappings[-1][key] = "\n".join(taken) + ("\n" if value == "|" else "")
            at += len(taken)
        else:
            found = _own_value(value)
            if found is _NOT_OWN:
                return None
            open_mappings[-1][key] = found
    return None if opened else whole


def _own_metrics(text: str) -> dict[str, Any] | None:
    """A whole metrics.yaml, which is the longest of a run's documents; None for anything else."""
    metrics, at = {}, 0
    while at < len(text):
        match = _OWN_METRIC.match(text, at)
        if match is None or match[1] in metrics:
            return None
        metrics[match[1]] = _own_summary(*match.groups()[1:])
        at = match.end()
    return metrics


def _own_summary(*values: str) -> dict[str, Any]:
    doubles = [float(text) if text[-1].isdigit() else parse_scalar(text) for text in values[:4]]
    summary = dict(zip(("last", "min", "max", "first"), doubles, strict=True))
    return summary | {"step": int(values[4]), "count": int(values[5])}


_NOT_OWN = object()


def _own_value(text: str) -> Any:
    first = text[0]
    if first == "{":
        match = _OWN_SUMMARY.fullmatch(text)
        return _own_summary(*match.groups()) if match else {} if text == "{}" else _NOT_OWN
    if first == '"':
        return json.loads(text) if _OWN_QUOTED.fullmatch(text) else _NOT_OWN
    if first == "[":
        items = text[1:-1].split(", ") if text != "[]" else []
        if text[-1] != "]" or not all(map(_OWN_ITEM.fullmatch, items)):
            return _NOT_OWN
        return [item[1:-1] if item[0] == '"' else parse_scalar(item) for item in items]
    return parse_scalar(text) if _OWN_PLAIN.fullmatch(text) else _NOT_OWN


def _own_literal(lines: list[str], at: int, indent: str) -> list[str]:
    """The lines of a `|` block without their indent; none where it begins or ends in a way that YAML has rules for."""
    taken = []
    for line in lines[at:]:
        if line and not line.startswith(indent):
            break
        taken.append(line[len(indent) :])
    return [] if not taken or taken[0][:1] in ("", " ") or not taken[-1].strip() else taken
