"""What is called like a secret, and what only sounds like it: a masked hyperparameter would be a loss, too."""

from __future__ import annotations

import re

MASK = "***"

_SECRET_WORDS = frozenset(
    "token password passwd passphrase pwd secret apikey credential auth authorization cookie bearer pat".split()
)
# Whose key or token it is, or what for. Not `public`, `sort`, `primary`, `query` and the like.
_SECRET_KEYS = frozenset(
    "api access secret private auth account ssh encryption decryption signing license shared deploy master root admin"
    " service subscription consumer openai anthropic wandb hf huggingface comet neptune clearml mlflow kaggle github"
    " gitlab slack stripe sendgrid aws azure gcp google gemini cohere mistral groq deepseek openrouter replicate"
    " pinecone tavily serper langchain langsmith langfuse ngc nvidia runpod roboflow labelbox datadog sentry".split()
)
# Words of language models, whose `eos_token` and the like are no secrets, and of counts and measures.
_HARMLESS_TOKENS = frozenset(
    "pad padding eos bos unk unknown oov sep separator cls class mask special start end stop sos eot eod eom blank"
    " newline begin decoder encoder per by next prev previous first last current new image video audio vision visual"
    " text prompt prefix suffix middle n num max min total avg mean input output bad forced target source placeholder"
    " initializer modifier instance rare fill think register query extra reserved virtual soft latent style task"
    " language lang timestamp label answer question context word sub subword added dummy null single multi"
    " memory global".split()
)
# `first_pass` and `n_pass` are no passwords.
_SECRET_PASSES = frozenset(
    "db database user root admin smtp mail email imap ftp sftp ssh http https proxy redis mysql postgres pg mongo ldap"
    " sudo login my key store".split()
)
_DENIED = frozenset("no without skip disable".split())
_QUALIFIERS = frozenset("prod production staging dev base b64 base64 value".split())
_JOINED = re.compile(r"(?P<whose>.+?)(key|token)s?")
_NUMBERED = re.compile(r"(password|passwd|secret|key|apikey)\d+")


def is_secret(name: str) -> bool:
    """Whether a param or option of that name holds a secret: `api_key`, `dbPassword`, `HF_TOKEN`, not `eos_token`.

    >>> is_secret("passwords"), is_secret("max_tokens"), is_secret("keyword")
    (True, False, False)
    """
    words = _words(name)
    while len(words) > 1 and (words[-1].isdigit() or words[-1] in _QUALIFIERS):
        words.pop()
    if not words or words[0] in _DENIED:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if _NUMBERED.fullmatch(last):
        last = last.rstrip("0123456789")
    if last == "token":  # but `tokens` are counted
        return before not in _HARMLESS_TOKENS
    if last in ("key", "keys"):
        return before in _SECRET_KEYS
    if last in ("pass", "pw"):  # YOLO has the weights `cls_pw` and `obj_pw`
        return not before or before in _SECRET_PASSES
    one = last.removesuffix("s")
    if last in _SECRET_WORDS or one in _SECRET_WORDS - {"token"}:
        return True
    joined = _JOINED.fullmatch(last)
    return one.endswith(("password", "passwd", "passphrase")) or (
        joined is not None and joined["whose"] in _SECRET_KEYS
    )


def may_count(name: str) -> bool:
    """Whether a number of that name counts something: one called `token` does, one called `password` may be one."""
    words = _words(name)
    return bool(words) and words[-1] in ("token", "pat", "pw")


_SIGNED = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9+/=%~_-]{20,}")


def is_signature(name: str) -> bool:
    """Whether a value of that name may be a signature, as the links to stores have it: `sig`, `X-Amz-Signature`. By its
    name alone it may as well be a model's, or a sigma: see `looks_signed`."""
    words = _words(name)
    return bool(words) and words[-1] in ("sig", "signature")


def looks_signed(value: str) -> bool:
    """Whether a value may be a signature.

    >>> looks_signed("9b1c2d3e4f5a69788796a5b4c3d2e1f0"), looks_signed("serving_default"), looks_signed("0.5")
    (True, False, False)
    """
    return _SIGNED.fullmatch(value) is not None


_ANYWHERE = frozenset("key keys token secret secrets password passwd credential credentials apikey".split())


def is_secret_variable(name: str) -> bool:
    """Whether an environment variable of that name may hold a secret. No hyperparameter is lost there, so that any key
    is one: `MY_KEY`, `TOKEN_GITHUB`.

    >>> is_secret_variable("STRIPE_KEY_TEST"), is_secret_variable("TOKENIZERS_PARALLELISM")
    (True, False)
    """
    return is_secret(name) or not _ANYWHERE.isdisjoint(_words(name))


def _words(name: str) -> list[str]:
    split = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return [word for word in re.split(r"[^A-Za-z0-9]+", split.lower()) if word]
