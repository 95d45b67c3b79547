"""Secrets in what holds other values: mappings and lists, and JSON of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gxt.masking.names import MASK, is_secret, is_signature, looks_signed, may_count


class Maskers(NamedTuple):
    """How values that hold no others are masked.

    Attributes:
        text: a text.
        words: the words of a command.
    """

    text: Callable[[str], str]
    words: Callable[[Sequence[str]], Sequence[str]]


def mask_nested(name: str, value: Any, by: Maskers) -> Any:
    """A value with its secrets masked: all that stands under a secret's name, and what the maskers find."""
    if is_secret(name):
        return _masked(name, value)
    if isinstance(value, Mapping):
        return {key: mask_nested(f"{name}.{key}", item, by) for key, item in value.items()}
    if isinstance(value, str):
        return MASK if is_signature(name) and looks_signed(value) else by.text(value)
    if not isinstance(value, (list, tuple)):
        return value
    if all(isinstance(item, str) for item in value) and any(item.startswith("-") for item in value):
        return type(value)(by.words(value))
    return type(value)(mask_nested(name, item, by) for item in value)


def _masked(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _masked(name, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_masked(name, item) for item in value)
    if value is None or isinstance(value, bool) or value == "":
        return value
    return value if isinstance(value, (int, float)) and may_count(name) else MASK


def masked_json(text: str, by: Maskers) -> str | None:
    """A text that is a list or mapping in JSON with its secrets masked; None where it is none.

    >>> masked_json('{"db": {"password": {"old": "x"}}, "lr": 1}', Maskers(str, list))
    '{"db": {"password": {"old": "***"}}, "lr": 1}'
    """
    if text.strip()[:1] not in ("{", "[") or '"' not in text:
        return None
    import json  # here for start-up time

    try:
        value = json.loads(text)
        masked = mask_nested("", value, by)
        return text if masked == value else json.dumps(masked, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None


def masked_literal(text: str, by: Maskers) -> str | None:
    """The same of what Python shows of a mapping, a list or a tuple.

    >>> masked_literal("{'password': ['x', 'y'], 'lr': 1}", Maskers(str, list))
    "{'password': ['***', '***'], 'lr': 1}"
    """
    if text.strip()[:1] not in ("{", "[", "("):
        return None
    import ast  # here for start-up time
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know
            value = ast.literal_eval(text.strip())
        masked = mask_nested("", value, by)
        return text if masked == value else repr(masked)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
