"""Params, tags and environment variables as they are recorded: without their secrets."""

from __future__ import annotations

from typing import Any

from gxt.masking.assignments import mask_assigned
from gxt.masking.commands import MASKERS
from gxt.masking.names import MASK, is_secret, is_secret_variable
from gxt.masking.nested import mask_nested, masked_json
from gxt.masking.shapes import mask_text


def mask_value(name: str, value: Any) -> Any:
    """A param's value with its secrets masked: all that stands under a secret's name, and what looks like one.

    >>> mask_value("openai", {"key": "k", "model": "gpt-5"})
    {'key': '***', 'model': 'gpt-5'}
    """
    return mask_nested(name, value, MASKERS)


def mask_variable(name: str, value: str) -> str:
    """An environment variable's value with its secrets masked: all of it where the name sounds like one, else what is
    assigned in it or looks like one.

    >>> mask_variable("MY_KEY", "x"), mask_variable("DSN", "host=db password=x"), mask_variable("KEY_DIM", "64")
    ('***', 'host=db password=***', '64')
    """
    if value and is_secret_variable(name) and (is_secret(name) or not _is_number(value)):
        return MASK
    return masked_json(value, MASKERS) or mask_text(mask_assigned(value))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return len(text) < 8
