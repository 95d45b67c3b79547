"""Secrets in a command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import NamedTuple

from gxt.masking.assignments import is_harmless, mask_assigned
from gxt.masking.names import MASK, is_secret, is_signature
from gxt.masking.nested import Maskers, masked_json, masked_literal
from gxt.masking.shapes import mask_text


def mask_arguments(arguments: Sequence[str], *, is_script: bool = False) -> list[str]:
    """A command's arguments with secrets masked: `--token X`, `token=X`, `-u me:X`, `mysql -pX`, what looks like one.

    Args:
        is_script: whether a shell reads them, to which `$NAME` means a variable.

    >>> mask_arguments(["train.py", "--api-key", "k", "-p", "password=x", "https://me:pw@host/"])
    ['train.py', '--api-key', '***', '-p', 'password=***', 'https://host/']
    """
    return [_masked(place, is_script) for place in _places(arguments)]


class _Place(NamedTuple):
    """An argument, and what stands before it.

    Attributes:
        program: the program that it is an argument of, without its folder.
        before: the arguments of that program before it.
        several: the name of an option that takes several values, of which it is one.
    """

    argument: str
    program: str
    before: Sequence[str]
    several: str

    @property
    def option(self) -> str:
        return self.before[-1] if self.before else ""


_WRAPPERS = frozenset("sudo env nohup time exec nice xargs --".split())
_ENDS = re.compile(r"[;|&()]+")
_ASSIGNS = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)


def _places(arguments: Sequence[str]) -> Iterator[_Place]:
    program, before, several = "", list[str](), ""
    expected = True
    for argument in arguments:
        if _ENDS.fullmatch(argument):
            program, before, several, expected = "", [], "", True
            yield _Place(argument, "", (), "")
            continue
        if argument.startswith("--"):
            several = ""
        yield _Place(argument, program, before, several)
        name = re.sub(r"(?<=python)[\d.]+$", "", PurePath(argument).name.removesuffix(".exe"))
        # After `sudo -u bob` or `timeout 5` a program that is known is one, too; not after `--db`.
        is_known = name in _OPTIONS and not (before and before[-1].startswith("-"))
        may_be = not argument.startswith("-") and not _ASSIGNS.fullmatch(argument) and argument not in _WRAPPERS
        if may_be and (expected or is_known):
            program = name
            before, expected = [], False
        elif argument in _WRAPPERS:
            expected, before = True, []
        else:
            before = [*before, argument] if len(before) < 16 else [*before[:8], *before[-7:], argument]
        if argument.startswith("-") and "=" not in argument and argument.endswith("s") and is_secret(argument):
            several = argument


def _masked(place: _Place, is_script: bool) -> str:
    argument, option = place.argument, place.option
    given = place.several or (option.removesuffix("=") if _is_option(option) or _is_set(place) else "")
    if given and "=" not in given and (is_secret(given) or is_signature(given)) and not argument.startswith("--"):
        return argument if is_harmless(given, argument, is_script) else MASK
    if (taken := _password(place)) is not None:
        return taken
    if option.startswith("-") and option.endswith("c") and place.program in _SHELLS:
        return _masked_script(argument)
    if (masked := masked_json(argument, MASKERS)) is not None:
        return masked
    is_code = option == "-c" and place.program == "python"
    return mask_text(mask_assigned(argument, is_script=is_script, is_code=is_code))


def _is_option(text: str) -> bool:
    return text.startswith("-")


def _is_set(place: _Place) -> bool:
    """`aws configure set aws_secret_access_key X`"""
    return len(place.before) > 1 and place.before[-2] in ("set", "config")


# --- programs whose options are known ---------------------------------------------------------------------------------

_SHELLS = frozenset("sh bash zsh dash ksh".split())
_APART, _JOINED = "apart", "joined"
_OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        "mysql mysqldump mysqladmin mysqlimport mariadb mariadb-dump 7z 7za 7zz".split(), ("-p", (_JOINED,))
    ),
    **dict.fromkeys("sshpass mongo mongosh mongodump mongorestore mongoexport".split(), ("-p", (_JOINED, _APART))),
    **dict.fromkeys("ldapsearch ldapadd ldapmodify ldapdelete ldapwhoami".split(), ("-w", (_JOINED, _APART))),
    **dict.fromkeys("zip unzip sqlcmd bcp".split(), ("-P", (_JOINED, _APART))),
    "redis-cli": ("-a", (_APART,)),
}
_REGISTRIES = frozenset("docker podman nerdctl buildah skopeo helm oras".split())
_HAVE_USERS = frozenset("docker podman nerdctl kubectl chown install".split())
_USER_OPTIONS = ("-u", "-U", "--user", "--proxy-user")
_USER_PASSWORD = re.compile(
    r"(?P<before>(?:--user=|--proxy-user=)?[A-Za-z_][^\s:/@=]*:)(?!//|[\\/])(?!-?[\d.]+$)\S.*", re.DOTALL
)


def _password(place: _Place) -> str | None:
    """An argument without the password that it is, or has, to its program; None where it has none."""
    argument, option = place.argument, place.option
    known, ways = _OPTIONS.get(place.program, ("", ()))
    if place.program in _REGISTRIES and "login" in place.before:
        known, ways = "-p", (_JOINED, _APART)
    if known and _APART in ways and option == known:
        return MASK
    if known and _JOINED in ways and argument.startswith(known) and len(argument) > len(known):
        return known + MASK
    return _user_and_password(place)


def _user_and_password(place: _Place) -> str | None:
    if place.program in _HAVE_USERS:
        return None
    if place.program == "python" and all(map(_is_option, place.before)):  # python -u is another
        return None
    argument, joined = place.argument, ""
    if place.program == "curl" and re.match("-[uU].", argument):
        argument, joined = argument[2:], argument[:2]
    elif place.option not in _USER_OPTIONS and not argument.startswith("--"):
        return None
    match = _USER_PASSWORD.fullmatch(argument)
    return f"{joined}{match['before']}{MASK}" if match else None


# --- scripts ----------------------------------------------------------------------------------------------------------

_WORD = re.compile(r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|\\.|[^\s"'\\;|&()])+|[;|&()]+""", re.DOTALL)


def _masked_script(script: str) -> str:
    """A shell's script, masked word by word as a command's arguments are."""
    found = list(_WORD.finditer(script))
    words = [_plain(match[0]) for match in found]
    parts, at = [], 0
    for match, word, masked in zip(found, words, mask_arguments(words, is_script=True), strict=True):
        if masked != word:
            shown = masked if MASK in masked and not re.search(r"[\s\"']", masked) else shlex.quote(masked)
            parts += [script[at : match.start()], shown]
            at = match.end()
    return mask_text(mask_assigned("".join([*parts, script[at:]]), is_script=True))


def _plain(word: str) -> str:
    """A word without its quotes, but where they are what matters: a variable's value is not known here."""
    try:
        return word if "$" in word else "".join(shlex.split(word)) if word[:1] != "#" else word
    except ValueError:
        return word


# --- text of any kind -------------------------------------------------------------------------------------------------


def mask_document(text: str) -> str:
    """Text that somebody logged, masked: it may be JSON or YAML, what Python shows of a mapping, a connection string, a
    command, a prompt.

    >>> mask_document("Server=db;User Id=a;Password=x"), mask_document("mysql -px taxi")
    ('Server=db;User Id=a;Password=***', 'mysql -p*** taxi')
    """
    if (masked := masked_json(text, MASKERS)) is not None:
        return masked
    if not _MAY_ASSIGN.search(text):
        return mask_text(text)
    if " -" in text and _KNOWN_PROGRAM.search(text):
        text = _masked_script(text)
    assigned = mask_assigned(text, is_document=True)
    if assigned != text and (literal := masked_literal(text, MASKERS)) is not None:
        return literal
    return mask_text(assigned)


_MAY_ASSIGN = re.compile("[=:-]")
_KNOWN_PROGRAM = re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, (*_OPTIONS, *_REGISTRIES, 'curl')))})\s")
MASKERS = Maskers(mask_document, mask_arguments)
"""How texts and lists of words are masked that stand in others."""
