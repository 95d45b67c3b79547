"""Files that hold keys and passwords by custom. Where nobody has told git to ignore them, a push must not publish them.

The names are those of the programs that write them, of GitHub's templates for .gitignore and of secret scanners, less
what code and data of experiments are called as well: `token.py`, `tokens.json` and `tokens.txt` (vocabularies),
`tokenizer_config.json`, `keys.csv`, `*.asc` (grids), `config.json`. Copies and backups of such a file hold the same.
"""

from __future__ import annotations

import re
from functools import lru_cache

_OWNERS = (
    r"api|access|auth|oauth2?|refresh|bearer|jwt|session|personal|login|bot|hf|hugging_?face|git_?hub|gh|git_?lab|slack"
    r"|discord|telegram|wandb|openai|anthropic|kaggle|azure|gcp|google|pypi|npm|vault|deploy|user|my|secret|service|admin"
)
_NAMES = rf"""
    \.env(?!\.(example|sample|template|dist)(~|\.(bak|old|orig))?$)(\..+)? | .+\.env | \.envrc
    | env\.(prod|production|stage|staging|dev|development|local|test|testing|ci|live|secrets?)
    # Keys and stores of keys
    | .+\.(pem|key|keypair|p8|p12|pfx|pkcs12|ppk|jks|keystore|keytab|kdbx?|psafe3|keychain|ovpn)
    | id_(rsa|dsa|ecdsa|ed25519)(_sk)? | .+_(rsa|dsa|ecdsa|ed25519)
    # Of programs
    | [._]?netrc | \.pypirc | \.npmrc | \.?pgpass(\.conf)? | \.?htpasswd | \.git-credentials | \.vault-token
    | \.dockercfg | \.dockerconfigjson | \.s3cfg | \.boto | \.my(login)?\.cnf | \.databrickscfg | \.sentryclirc
    | \.terraformrc | rclone\.conf | kubeconfig | kaggle\.json | sftp-config\.json | robomongo\.json | \.?proftpdpasswd
    | .+\.tfstate(\..*)? | .+\.tfvars(\.json)? | credentials\.tfrc\.json
    | \.Renviron(\.site)? | \.modal\.toml | \.lakefs\.yaml | \.lakectl\.yaml | pip\.(conf|ini) | \.condarc
    | (local|host)\.settings\.json
    | \.(bash|zsh|sh|python|psql|mysql|sqlite|rediscli|node_repl)_history
    | client_secret.*\.json | .*service[-_]account.*\.json | .*adminsdk.*\.json | application_default_credentials\.json
    # By what they are called
    | \.?([a-z0-9]+[-_.])?(passwords?|passwd|passphrase|credentials?|secrets?
        |(api|access|secret|private|deploy|ssh|signing|encryption|license|root|master|service|account|wandb|openai|anthropic
        |gcp|gcs|gcloud|google|firebase|aws|azure|github|gitlab|huggingface|hf|vault|stripe|slack|ssl|tls)[-_]?keys?)
      (\.(txt|json|ya?ml|toml|ini|cfg|conf|csv|properties|xml|enc|pickle|pkl))?
    | \.?(({_OWNERS})[-_.]?)?token(\.(txt|json|ya?ml|toml|ini|cfg|pickle|pkl))?
    | \.?(api|access|auth|oauth2?|refresh|stored|bearer|bot|github|hf)[-_.]?tokens(\.(txt|json|ya?ml|toml|db))?
    | \.?key\.(txt|json)
    | \.?auth\.(json|toml) | \.?cookies\.(txt|json|sqlite)
    """
_PATHS = r"""(.*/)?(
    \.kube/config | \.docker/config\.json | \.aws/(config|credentials|(sso|cli)/cache/.+) | \.azure/.*(token|profile).*
    | \.config/gcloud/.+ | (\.config/)?gh/hosts\.yml | \.config/hub | \.cargo/credentials(\.toml)?
    | \.m2/settings\.xml | \.ssh/(?!.+\.pub$|known_hosts).+ | \.gnupg/.+ | \.?huggingface/(token|stored_tokens)
    | \.mc/config\.json | \.jupyter/jupyter_.*config\.json | \.vscode/sftp\.json | \.password-store/.+ | \.oci/.+
    | \.snowsql/config | \.dvc/config\.local | \.?wandb/settings
    )"""


def may_hold_secrets(path: str) -> bool:
    """Whether a file of that path, with `/` between its parts, holds secrets by custom.

    >>> [may_hold_secrets(path) for path in (".env", ".kube/config", "hf_token.txt", "src/token.py", "tokens.json")]
    [True, True, True, False, False]
    """
    names, paths = _patterns()
    folder, slash, name = path.rpartition("/")
    return any(
        names.fullmatch(one) is not None or (slash and paths.fullmatch(f"{folder}/{one}") is not None)
        for one in _as_first_called(name)
    )


# What editors and people call a copy: `id_rsa.bak`, `.env~`, `.token.swp`, `Copy of kaggle.json`.
_COPY = re.compile(
    r"""(?P<before>Copy\ of\ |[.]?\#(?=.))?(?P<name>.+?)
    (?P<after>~|\# | [-_. ](?:bak|back|backup|old|orig|original|save|sav|copy|previous|prev)[-_. ]?\d*
        | \.(?:swp|swo|tmp|rej|\d{1,8}|~\d+~) | \ copy(?:\ \d+)?| \ ?\(\d+\))?""",
    re.VERBOSE | re.IGNORECASE,
)


def _as_first_called(name: str) -> list[str]:
    """A file's name, and those that it may be a copy of: `kaggle (1).json` of `kaggle.json`.

    >>> _as_first_called(".env.bak~")
    ['.env.bak~', '.env.bak', '.env']
    """
    found = [name]
    for one in found:  # which grows meanwhile
        stem, dot, ending = one.rpartition(".")
        for whole, rest in ((one, ""), *([(stem, dot + ending)] if stem else [])):
            match = _COPY.fullmatch(whole)
            if match is not None and (match["before"] or match["after"]) and match["name"] + rest not in found:
                found.append(match["name"] + rest)
    return found


@lru_cache(maxsize=1)
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Not at start-up: they are asked for in the background."""
    flags = re.VERBOSE | re.IGNORECASE
    return re.compile(_NAMES, flags), re.compile(_PATHS, flags)
