"""Params, tags and environment variables as they are recorded: without their secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gxt.masking.assignments import mask_assigned
from gxt.masking.names import MASK, is_secret, is_secret_variable, may_count
from gxt.masking.shapes import mask_text


def mask_value(name: str, value: Any) -> Any:
    """A param's value with its secrets masked: all that stands under a secret's name, and what looks like one.

    >>> mask_value("openai", {"key": "k", "model": "gpt-5"})
    {'key': '***', 'model': 'gpt-5'}
    """
    if is_secret(name):
        return _masked(name, value)
    if isinstance(value, Mapping):
        return {key: mask_value(f"{name}.{key}", item) for key, item in value.items()}
    if isinstance(value, str):
        return masked_json(value) or mask_text(value)
    return [mask_value(name, item) for item in value] if isinstance(value, list) else value


def _masked(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _masked(name, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(name, item) for item in value]
    if value is None or isinstance(value, bool) or value == "":
        return value
    return value if isinstance(value, (int, float)) and may_count(name) else MASK


def masked_json(text: str) -> str | None:
    """A text that is a list or mapping in JSON with its secrets masked; None where it is none.

    >>> masked_json('{"db": {"password": {"old": "x"}}, "lr": 1}')
    '{"db": {"password": {"old": "***"}}, "lr": 1}'
    """
    if text.strip()[:1] not in ("{", "[") or '"' not in text:
        return None
    import json  # here for start-up time

    try:
        value = json.loads(text)
        masked = mask_value("", value)
        return text if masked == value else json.dumps(masked, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None


def mask_variable(name: str, value: str) -> str:
    """An environment variable's value with its secrets masked: all of it where the name sounds like one, else what is
    assigned in it or looks like one.

    >>> mask_variable("MY_KEY", "x"), mask_variable("DSN", "host=db password=x"), mask_variable("KEY_DIM", "64")
    ('***', 'host=db password=***', '64')
    """
    if value and is_secret_variable(name) and (is_secret(name) or not _is_number(value)):
        return MASK
    return masked_json(value) or mask_text(mask_assigned(value))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return len(text) < 8
