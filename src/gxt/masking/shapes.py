"""What looks like a secret, whatever it is called: passwords in URLs, keys and tokens of well-known shapes.

The shapes are those that their issuers and secret scanners publish, such as
https://github.com/gitleaks/gitleaks/blob/master/config/gitleaks.toml. Each asks for so many characters that a model,
a branch or a file of a similar name is none.
"""

from __future__ import annotations

import binascii
import re

from gxt.masking.names import MASK, is_secret, is_signature

_URL_USER = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^\s/@:]*)(?P<password>:\S*)?@(?=[^\s@]*)")
_URL_QUERY = re.compile(r"(?P<name>[?&][A-Za-z][\w.-]*=)(?P<value>[^\s&#]+)")
# Whoever knows these addresses may post there.
_WEBHOOK = re.compile(
    r"(https://(?:hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)|discord(?:app)?\.com/api/webhooks"
    r"|[\w.-]+\.webhook\.office\.com/webhookb2)/)[^\s\"'<>]+"
)


def mask_urls(text: str) -> str:
    """Text without the passwords of the URLs in it; for http also without the user, who may be a token.

    Secrets among a URL's query values are masked as well, signatures included, and the addresses of webhooks.
    """

    def shown(match: re.Match[str]) -> str:
        keep_user = not match["scheme"].lower().startswith("http") and match["user"]
        return f"{match['scheme']}{match['user']}@" if keep_user else match["scheme"]

    def query(match: re.Match[str]) -> str:
        name = match["name"][1:-1]
        return f"{match['name']}{MASK}" if is_secret(name) or is_signature(name) else match[0]

    if "://" not in text:
        return text
    return _WEBHOOK.sub(rf"\1{MASK}", _URL_QUERY.sub(query, _URL_USER.sub(shown, text)))


_TOKEN = re.compile(
    r"""(?<![A-Za-z0-9])(?:
    sk-(?=[A-Za-z0-9]*[0-9])[A-Za-z0-9]{20,}                              # OpenAI's and its likes
    | sk-(?:ant|proj|svcacct|admin|or|lf)-(?=[\w-]*[0-9])[\w-]{16,}       # Anthropic, OpenAI, OpenRouter, Langfuse
    | (?:hf|api_org|gsk|r8|npm)_[A-Za-z0-9]{30,}                          # Hugging Face, Groq, Replicate, npm
    | gh[opusr]_[A-Za-z0-9]{30,} | github_pat_[A-Za-z0-9_]{22,}
    | gl(?:pat|ptt|rt|dt|cbt|ft|soat|agent|oas|imt|ffct)-[\w-]{20,}       # GitLab
    | (?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])      # AWS
    | xox[abeoprs]-[\w-]{10,} | xapp-[0-9]-[\w-]{10,}                     # Slack
    | AIza[\w-]{35,} | ya29\.[\w-]{20,} | GOCSPX-[\w-]{20,}       # Google
    | [rs]k_(?:live|test|prod)_[A-Za-z0-9]{10,}                           # Stripe
    | SG\.[\w-]{16,32}\.[\w-]{16,64} | shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32} # SendGrid, Shopify
    | pypi-[\w-]{50,} | dckr_pat_[\w-]{20,} | do[opr]_v1_[0-9a-f]{64} | dapi[0-9a-f]{32}
    | nvapi-[\w-]{40,} | xai-[A-Za-z0-9]{60,} | lsv2_[ps][tk]_[0-9a-f]{32}\w* | wandb_v1_\w{30,}
    | hv[bs]\.[\w-]{20,} | AGE-SECRET-KEY-1[A-Z0-9]{58} | ATATT3[\w=-]{50,} | sntry[su]_[\w=+/-]{30,}
    | [0-9]{8,10}:AA[\w-]{33}(?![\w-])                                    # Telegram
    | eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]*                                # JWT
    | -----BEGIN\ [A-Z0-9\ ]{0,30}PRIVATE\ KEY(?:\ BLOCK)?-----
        (?s:.*?-----END\ [A-Z0-9\ ]{0,30}PRIVATE\ KEY(?:\ BLOCK)?-----|.*)
    )""",
    re.VERBOSE | re.ASCII,
)
_SHORTEST = 15  # characters: xoxb-1234567890
_SAYS_KIND = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr]|[Bb][Aa][Ss][Ii][Cc]")
_BEARER = re.compile(r"\b(?P<kind>Bearer|Basic)(?P<space>\s+)(?P<value>[\w.~+/-]{6,}=*)", re.IGNORECASE)
_ONLY_BEARER = re.compile(r"(\s*Bearer\s+)\S+\s*", re.IGNORECASE)


def mask_text(text: str) -> str:
    """Text with its secrets masked, as far as they can be told by their shape: those of `mask_urls`, keys and tokens.

    >>> mask_text("push with glpat-abcdefghij0123456789 to https://me:pw@host/")
    'push with *** to https://host/'
    """
    masked = mask_urls(text)
    if len(masked) >= _SHORTEST:
        masked = _TOKEN.sub(MASK, masked)
    if not _SAYS_KIND.search(masked):
        return masked
    alone = _ONLY_BEARER.fullmatch(masked)
    return f"{alone[1]}{MASK}" if alone else _BEARER.sub(_borne, masked)


def _borne(match: re.Match[str]) -> str:
    """What HTTP's Authorization has; "basic training" and "the bearer of news" are words."""
    value = match["value"]
    if match["kind"].lower() == "basic":
        is_one = _is_user_and_password(value)
    else:
        is_one = re.search(r"[0-9A-Z]", value) is not None
    return f"{match['kind']}{match['space']}{MASK}" if is_one else match[0]


def _is_user_and_password(value: str) -> bool:
    try:
        return b":" in binascii.a2b_base64(value)
    except ValueError:
        return False


# As a path, a URL has lost one of its slashes.
_COLLAPSED = re.compile(r"\b(https?|ssh|git|s?ftps?|s3|gs|gcs):/(?![/\s])")


def mask_message(text: str) -> str:
    """A message to be shown, as `mask_text`; of a URL too that somebody gave for a path.

    >>> mask_message("no such file: https:/ada:secret@host/runs.zip")
    'no such file: https://host/runs.zip'
    """
    return mask_text(_COLLAPSED.sub(r"\1://", text))
