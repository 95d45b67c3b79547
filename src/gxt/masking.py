"""Secrets by their names, and in URLs: what is masked before anybody else sees it."""

from __future__ import annotations

import re

MASK = "***"

_SECRET_WORDS = frozenset(
    "token password passwd passphrase pwd pass secret apikey credential auth authorization cookie bearer".split()
)
_SECRET_KEYS = frozenset("api access secret private auth account ssh encryption signing openai license shared".split())
# Words of language models, whose `eos_token` and the like are no secrets.
_HARMLESS_TOKENS = frozenset(
    "pad eos bos unk sep cls mask special start end stop sos blank decoder per next image prompt n num max".split()
)


def is_secret(name: str) -> bool:
    """Whether a param or option of that name holds a secret: `api_key`, `dbPassword`, `HF_TOKEN`, not `eos_token`.

    >>> is_secret("passwords"), is_secret("max_tokens"), is_secret("keyword")
    (True, False, False)
    """
    split = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    words = [word for word in re.split(r"[^A-Za-z0-9]+", split.lower()) if word]
    if not words:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last == "token":  # but `tokens` are counted
        return before not in _HARMLESS_TOKENS
    if last in ("key", "keys"):
        return before in _SECRET_KEYS
    return last in _SECRET_WORDS or (last.endswith("s") and last[:-1] in _SECRET_WORDS - {"token", "pas"})


_URL_USER = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^\s/@:]*)(?P<password>:\S*)?@(?=[^\s@]*)")
_URL_QUERY = re.compile(r"(?P<name>[?&][A-Za-z][\w.-]*=)(?P<value>[^\s&#]+)")


def mask_urls(text: str) -> str:
    """Text without the passwords of the URLs in it; for http also without the user, who may be a token.

    Secrets among a URL's query values are masked as well, signatures included.
    """

    def shown(match: re.Match[str]) -> str:
        keep_user = not match["scheme"].lower().startswith("http") and match["user"]
        return f"{match['scheme']}{match['user']}@" if keep_user else match["scheme"]

    def query(match: re.Match[str]) -> str:
        name = match["name"][1:-1]
        return f"{match['name']}{MASK}" if is_secret(name) or name.lower() in ("sig", "signature") else match[0]

    return _URL_QUERY.sub(query, _URL_USER.sub(shown, text)) if "://" in text else text


# As a path, a URL has lost one of its slashes.
_COLLAPSED = re.compile(r"\b(https?|ssh|git|s?ftps?|s3|gs|gcs):/(?![/\s])")


def mask_message(text: str) -> str:
    """A message to be shown, as `mask_urls`; of a URL too that somebody gave for a path.

    >>> mask_message("no such file: https:/ada:secret@host/runs.zip")
    'no such file: https://host/runs.zip'
    """
    return mask_urls(_COLLAPSED.sub(r"\1://", text))
