"""Secrets that are assigned to in a text: `password=X`, `"api_key": "X"`, `--token X`, `Authorization: Bearer X`."""

from __future__ import annotations

import re
from collections.abc import Callable

from gxt.masking.names import MASK, is_secret, may_count

# A name and what assigns to it, anywhere in a text: after -p, in JSON, in a header, in a script given by -c.
# An option's letter may run into the name: -ppassword=X. No name is so long that looking for it takes time.
_ASSIGNMENT = re.compile(
    r"""(?:(?P<option>(?<![-\w])-[A-Za-z])|(?<!\w))(?P<name>\w[\w.-]{0,99})
    (?: (?:\\?["'])?\s*(?P<sign>:=|=|:(?!//))\s* | (?P<space>\s+)(?=[^\s=:-]) )""",
    re.VERBOSE,
)
_QUOTED = r"""\\"(?:[^"\\]|\\[^"])*\\"|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"""
_VALUE = re.compile(rf"""(?:(?:Bearer|Basic|Token)\s+)?({_QUOTED}|[^\s,;&}}"']+)""", re.IGNORECASE | re.DOTALL)
_LITERAL = re.compile(_QUOTED, re.DOTALL)
_HEADER = re.compile(r"""[^\n"']+""")  # all of it: Cookie: a=1; b=2
# What stands before a name whose value is all the rest: nothing, or another option.
_FIRST = re.compile(r"--?|(?:-{1,2}[\w.-]+=|-[A-Za-z])?")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_REFERENCE = re.compile(r"[\"']?\$(?:[A-Z_][A-Z0-9_]*|\{[A-Z_][A-Z0-9_]*\})[\"']?")
_SWITCH = re.compile(r"(true|false|yes|no|none|null|)", re.IGNORECASE)
_COUNT = re.compile(r"-?\d{1,5}(\.\d+)?")


def is_harmless(name: str, value: str, is_script: bool = False) -> bool:
    """Whether a value given to a secret's name is none: a switch, a small number that counts something, a pattern, or,
    in a script, the name of an environment variable.

    >>> is_harmless("--use-auth-token", "True"), is_harmless("--token", "7"), is_harmless("--password", "7")
    (True, True, False)
    """
    plain = value.strip("\"'")
    if _SWITCH.fullmatch(plain) or plain == MASK:
        return True
    if may_count(name) and (_COUNT.fullmatch(plain) or (name.endswith("pat") and any(sign in plain for sign in "*?["))):
        return True
    return is_script and _REFERENCE.fullmatch(value) is not None


def mask_assigned(text: str, *, is_script: bool = False, is_code: bool = False) -> str:
    """Text with what is assigned to secrets' names masked.

    Args:
        is_script: whether a shell reads it, to which `$NAME` means a variable.
        is_code: whether it is Python, where only literals are values: `token = text[0]` is none.

    >>> mask_assigned("Server=db;Password=x;Timeout=3")
    'Server=db;Password=***;Timeout=3'
    """
    parts, at = [], 0
    for match in _ASSIGNMENT.finditer(text):
        if match.start() < at or not _is_assigned(text, match):
            continue
        end = _end_of_value(text, match, is_script, is_code)
        if end is not None and not is_harmless(match["name"], text[match.end() : end], is_script):
            parts += [text[at : match.end()], MASK]
            at = end
    return "".join([*parts, text[at:]])


def _is_assigned(text: str, match: re.Match[str]) -> bool:
    if not is_secret(match["name"]) and not is_secret((match["option"] or "")[1:] + match["name"]):
        return False
    # `--api-key X` within one argument is meant; "the password is" in a sentence assigns nothing.
    return not match["space"] or text[: match.start("name")].endswith("-")


def _end_of_value(text: str, match: re.Match[str], is_script: bool, is_code: bool) -> int | None:
    shape: Callable[[str, int], re.Match[str] | None] = _LITERAL.match if is_code else _VALUE.match
    name = match["name"].lower()
    if match["sign"] == ":" and name.endswith(("cookie", "authorization")):
        shape = _HEADER.match
    elif match["sign"] == "=" and not is_script and not is_code and _is_whole(text, match):
        return len(text)
    value = shape(text, match.end())
    return value.end() if value is not None else None


def _is_whole(text: str, match: re.Match[str]) -> bool:
    """Whether an argument is this assignment, whatever stands in its value; `NAME=X command` looks like a script."""
    is_first = _FIRST.fullmatch(text, 0, match.start("name")) is not None
    return is_first and not (_VARIABLE.fullmatch(match["name"]) and re.search(r"\s", text))
