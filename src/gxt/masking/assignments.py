"""Secrets that are assigned to in a text: `password=X`, `"api_key": "X"`, `--token X`, `Authorization: Bearer X`."""

from __future__ import annotations

import re
from collections.abc import Callable

from gxt.masking.names import MASK, is_secret, is_signature, looks_signed, may_count

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
# What a template has in place of a value: {token}, <password>, [TOKEN], %s.
_PLACEHOLDER = re.compile(r"\{+[\w.]*\}*|<[\w |/-]*>|\[[A-Z_]+\]|%s|%\(\w+\)s?")


def is_harmless(name: str, value: str, is_script: bool = False) -> bool:
    """Whether a value given to a secret's name is none: a switch, a small number that counts something, a pattern, or,
    in a script, the name of an environment variable.

    >>> is_harmless("--use-auth-token", "True"), is_harmless("--token", "7"), is_harmless("--password", "7")
    (True, True, False)
    """
    plain = value.strip("\"'")
    if is_signature(name):
        return not looks_signed(plain)
    if _SWITCH.fullmatch(plain) or plain == MASK:
        return True
    if may_count(name) and (_COUNT.fullmatch(plain) or (name.endswith("pat") and any(sign in plain for sign in "*?["))):
        return True
    return is_script and _REFERENCE.fullmatch(value) is not None


def mask_assigned(text: str, *, is_script: bool = False, is_code: bool = False, is_document: bool = False) -> str:
    """Text with what is assigned to secrets' names masked.

    Args:
        is_script: whether a shell reads it, to which `$NAME` means a variable.
        is_code: whether it is Python, where only literals are values: `token = text[0]` is none.
        is_document: whether it may be text of any kind, such as YAML, a connection string or a prompt, in which "the
            password: it is" assigns nothing.

    >>> mask_assigned("Server=db;Password=x;Timeout=3")
    'Server=db;Password=***;Timeout=3'
    """
    parts, at = [], 0
    for match in _ASSIGNMENT.finditer(text):
        if match.start() < at or not _is_assigned(text, match):
            continue
        start = match.end()
        if is_document:
            start, end = _in_document(text, match)
        else:
            end = _end_of_value(text, match, is_script, is_code)
        if end is not None and not is_harmless(match["name"], text[start:end], is_script):
            parts += [text[at:start], MASK]
            at = end
    return "".join([*parts, text[at:]])


def _is_assigned(text: str, match: re.Match[str]) -> bool:
    # `--api-key X` within one argument is meant; "the password is" in a sentence assigns nothing.
    if match["space"] and not text.endswith("-", 0, match.start("name")):
        return False
    names = match["name"], (match["option"] or "")[1:] + match["name"]
    return any(is_secret(name) or is_signature(name) for name in names)


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


# --- documents --------------------------------------------------------------------------------------------------------

_BEFORE_LINE = re.compile(r"(?:\A|\n)(?P<indent>[ \t]*(?:- +)*)[\"']?\Z")
_BEFORE_COLON = re.compile(r"[\"'{\[(,;&]\s*\Z")
_BEFORE_PART = re.compile(r"(?:\A|[;\n])\s*\Z")
_CONNECTION_PART = re.compile(r"[^;\n'\"]+(?=;)")
_OTHER_ASSIGNMENT = re.compile(r"[\s,;&]\w[\w .-]{0,40}=")
_LINE = re.compile(r"[^\n]*")


def _in_document(text: str, match: re.Match[str]) -> tuple[int, int | None]:
    """Where a value begins and ends in text that is no argument; it ends nowhere where it is none."""
    start, before = match.end(), text[max(0, match.start("name") - 200) : match.start("name")]
    value = _VALUE.match(text, start)
    if value is None or _PLACEHOLDER.fullmatch(text[start : value.end()].strip("\"'")):
        return start, None
    if match["sign"] != ":":
        if _BEFORE_PART.search(before) and (part := _CONNECTION_PART.match(text, start)) is not None:
            return start, part.end()
        is_all = match["sign"] == "=" and _is_whole(text, match) and not _OTHER_ASSIGNMENT.search(text, start)
        return start, len(text) if is_all else value.end()
    if (line := _BEFORE_LINE.search(before)) is not None:
        return _in_yaml(text, match, len(line["indent"]))
    return start, value.end() if _BEFORE_COLON.search(before) or text[start - 1] == ":" else None


def _in_yaml(text: str, match: re.Match[str], indent: int) -> tuple[int, int | None]:
    """All of a key's value: the rest of the line, and the lines below that are indented deeper."""
    after = match.end("sign")
    first = _LINE.match(text, after)
    assert first is not None
    start, end = after + len(first[0]) - len(first[0].lstrip()), first.end()
    if may_count(match["name"]) and _COUNT.fullmatch(first[0].split()[0] if first[0].split() else ""):
        return start, None
    deeper = re.compile(rf"\n(?:[ \t]*(?=\n)|[ \t]{{{indent + 1},}}[^\n]*|[ \t]{{{indent}}}- [^\n]*)")
    while (line := deeper.match(text, end)) is not None:
        end = line.end()
    has_none = not text[start:end].strip() or (end == first.end() and first[0].strip().startswith("# "))
    return start, None if has_none else start + len(text[start:end].rstrip())
