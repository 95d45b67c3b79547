"""What is masked in what is recorded, and what is not: a masked hyperparameter would be lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gxt import masking
from gxt.masking.assignments import mask_assigned
from gxt.masking.commands import mask_arguments
from gxt.masking.files import may_hold_secrets
from gxt.masking.values import mask_value, mask_variable

LETTERS = "Ab3dEfGh1jKlMn0pQrStUvWxYz2456789aBcDeFg"
SIGNATURE = "9b1c2d3e4f5a69788796a5b4c3d2e1f0"
TOKENS = [
    f"sk-{LETTERS}",
    f"sk-ant-api03-{LETTERS}-{LETTERS}AA",
    f"sk-proj-{LETTERS}",
    f"hf_{LETTERS[:34]}",
    *(f"{prefix}_{LETTERS[:36]}" for prefix in ("ghp", "gho", "ghs", "ghu")),
    f"github_pat_{LETTERS[:22]}_{LETTERS}",
    f"glpat-{LETTERS[:20]}",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    f"xoxb-1234567890-{LETTERS}",
    f"xoxp-1234567890-{LETTERS}",
    f"AIza{LETTERS[:35]}",
    f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.{LETTERS}",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\nb3BlbnNzaC1rZXk",
]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["token", "api_key", "API-KEY", "apiKey", "dbPassword", "HF_TOKEN", "aws_secret_access_key", "password",
     "--secret", "client.secret", "credentials", "passwd", "private_key", "githubToken", "--wandb-key", "--pat",
     "github_pat", "--accesskey", "--access-key", "AccountKey", "PGPASSWORD", "db_pass", "pass", "password1",
     "SECRET_KEY_BASE", "API_KEY_2", "api_keys", "accesstoken", "_password", "pw", "db_pw"],
)  # fmt: skip
def test_what_is_a_secret(name: str) -> None:
    assert masking.is_secret(name)


@pytest.mark.parametrize(
    "name",
    ["eos_token", "pad_token", "max_tokens", "tokens", "tokenizer", "key", "keyboard", "secretary", "n_token", "",
     "-", "monkey", "api", "mask_token", "password_length", "--key-dim", "--token-count", "--num-keys",
     "--keypoints", "sort_key", "primary_key", "public_key", "query_key", "first_pass", "n_pass",
     "placeholder_token", "--no-password", "--patience", "path", "patch", "turkey", "hotkey", "author", "compass",
     "bypass", "cls_pw", "obj_pw"],
)  # fmt: skip
def test_what_is_no_secret(name: str) -> None:
    assert not masking.is_secret(name)


@pytest.mark.parametrize(
    ("name", "value", "masked"),
    [
        ("api_key", "k", "***"),
        ("api_key", "", ""),
        ("api_key", None, None),
        ("config", {"api_key": "k", "lr": 1}, {"api_key": "***", "lr": 1}),
        ("config", [{"password": "k"}], [{"password": "***"}]),
        ("passwords", ["a"], ["***"]),
        ("secret", {"user": "a", "deep": ["b"]}, {"user": "***", "deep": ["***"]}),
        ("url", "https://h/x?token=k&a=1", "https://h/x?token=***&a=1"),
        ("url", "https://me:p@ss@h/x", "https://h/x"),
        ("secret", ["a", "b"], ["***", "***"]),
        ("password", 1234, "***"),
        ("password", True, True),
        ("stop_token", 50256, 50256),
        ("token", 5, 5),
        ("pat", 5, 5),
        ("db", "mysql://root:pw@host/db", "mysql://root@host/db"),
        ("urls", ["https://u:p@h/"], ["https://h/"]),
        ("openai", {"key": "k", "dim": 8}, {"key": "***", "dim": 8}),
        ("layer", {"key": "k", "num_keys": 8}, {"key": "k", "num_keys": 8}),
        ("config", '{"api_key": "k", "lr": 1}', '{"api_key": "***", "lr": 1}'),
        ("config", '{"lr":1}', '{"lr":1}'),
        ("hook", "https://hooks.slack.com/services/T0/B0/x", "https://hooks.slack.com/services/***"),
    ],
)
def test_values_are_masked(name: str, value: object, masked: object) -> None:
    assert mask_value(name, value) == masked


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("Server=x;User Id=a;Password=p w;Timeout=3", "Server=x;User Id=a;Password=***;Timeout=3"),
        (
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=b==",
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=***",
        ),
        ("user=a;pw=x", "user=a;pw=***"),
        ("password=p w", "password=***"),
        ("password: X", "password: ***"),
        ("password: #X", "password: ***"),
        ("password: *X", "password: ***"),
        ("lr: 1\npassword: a b # c\nseed: 3", "lr: 1\npassword: ***\nseed: 3"),
        ("db:\n  - password: a b\n    port: 3\n", "db:\n  - password: ***\n    port: 3\n"),
        ("password: |\n  a\n\n  b\nlr: 1\n", "password: ***\nlr: 1\n"),
        ("a:\n  passwords:\n  - x\n  - y\n  lr: 1", "a:\n  passwords:***\n  lr: 1"),
        ("secrets:\n  a: x\n  b: y\nlr: 1", "secrets:***\nlr: 1"),
        ("{'password': 'X', 'lr': 1}", "{'password': '***', 'lr': 1}"),
        ("{'db': ({'password': ['X', 'y z']}, 1)}", "{'db': ({'password': ['***', '***']}, 1)}"),
        ("Namespace(lr=1, password='X y', seed=3)", "Namespace(lr=1, password=***, seed=3)"),
        ("{'password': X, 'at': <object>}", "{'password': ***, 'at': <object>}"),
        (["--password", "X", "--lr", "3"], ["--password", "***", "--lr", "3"]),
        (["mysql", "-pX", "db"], ["mysql", "-p***", "db"]),
        ('["--password", "X"]', '["--password", "***"]'),
        ("train --password X --lr 3", "train --password *** --lr 3"),
        ("mysql -pX db", "mysql -p*** db"),
        ("curl -u bob:X https://h/", "curl -u bob:*** https://h/"),
        ("https://s3/b?X-Amz-Date=1&X-Amz-Signature=abc", "https://s3/b?X-Amz-Date=1&X-Amz-Signature=***"),
        ("https://gcs/b?X-Goog-Signature=abc", "https://gcs/b?X-Goog-Signature=***"),
        (f"sv=2021&sig={SIGNATURE}", "sv=2021&sig=***"),
        ({"sig": SIGNATURE}, {"sig": "***"}),
        ("X-Api-Key:k", "X-Api-Key:***"),
        (str(b"password=X"), "b'password=***'"),
        (str(b"{'password': 'X'}"), str(b"{'password': ***}")),
    ],
)
def test_secrets_in_texts_of_any_kind_are_masked(value: object, masked: object) -> None:
    assert mask_value("config", value) == masked
    assert mask_value("config", masked) == masked


@pytest.mark.parametrize(
    "value",
    ["lr: 1\napi_key:\nseed: 3", "api_key: # none", "token: 5\npassword: null\n", "Token: {token}\nAnswer:",
     "Do not say the secret: it is",
     "user: {user}, password: {password}", "<token>=<password>", "pad_token=<pad>,eos_token=</s>", "token=[MASK]",
     "{'pad_token': '<pad>', 'max_tokens': 5}", "sig=0.5", "signature=serving_default", "--sig 0.5", "cls_pw=1.0",
     "pw=1.0", "max_tokens=512,temperature=0.2", "the password is wrong", "zip the files - then go",
     "model.key=3 data.sort_key=date", "a=b;c=d", "{'a': 'it\\'s'}", "(1, 2)", "lambda x: x", "12:30:45", "key: value",
     "C:\\data\\x", "gpt-4o", "bert-base", "s3://bucket/key=1/x", "{", "[", "{'a",
     "Secret Santa", "auth: no", "1e-3", "sha256:0123", "use_auth_token=False", "Q: secret?\nA: none"],
)  # fmt: skip
def test_texts_without_secrets_stand(value: str) -> None:
    assert mask_value("prompt", value) == value
    assert mask_value("prompt", [value]) == [value]


@pytest.mark.parametrize(
    ("name", "value"),
    [("cls_pw", 1.0), ("obj_pw", "2.0"), ("pw", 0.5), ("sig", 0.3), ("sig", "0.123456789012345678901"),
     ("signature", "serving_default"), ("stop", ["-", "token", "x"]), ("columns", ["token", "text", "secret"]),
     ("grid", [-1, 0, 1]), ("weights", ["-1", "password", "0"])],
)  # fmt: skip
def test_hyperparameters_that_sound_alike_stand(name: str, value: object) -> None:
    assert mask_value(name, value) == value


@given(st.text(alphabet="pasword:=-{}'\"\n |#[(,;", max_size=40))
def test_any_text_can_be_masked(text: str) -> None:
    masked = mask_value("config", f"lr: 1\npassword: hunter2\n{text}")
    assert "hunter2" not in masked and masked.startswith("lr: 1\n")


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_is_known_by_its_shape(token: str) -> None:
    assert mask_value("note", token) == mask_value("note", [token])[0] == "***"
    assert mask_value("note", f"with {token}") == "with ***"
    assert mask_arguments(["train.py", token, f"--x={token}"]) == ["train.py", "***", "--x=***"]
    assert mask_variable("X", token) == "***"


@pytest.mark.parametrize(
    "value",
    ["sk-learn-random-forest-baseline-v2", "sk-ant-colony-optimization", "hf_transformers_bert_base",
     "task-12345678901", "glpat-x", "ghp_small", "AIza", "xoxb", "bert-base-uncased", "eyJ.eyJ.x",
     "AKIAIOSFODNN7EXAMPLEXYZ", "***",
     "5b6f0d1e2c3b4a5968778695a4b3c2d1e0f9a8b7", "basic resnet50v2d", "the bearer of news", "token: 5 per second"],
)  # fmt: skip
def test_what_only_looks_like_a_token(value: str) -> None:
    assert mask_value("model", value) == value
    assert mask_arguments(["--model", value]) == ["--model", value]


@pytest.mark.parametrize(
    ("arguments", "masked"),
    [
        (["train.py", "--token", "k"], ["train.py", "--token", "***"]),
        (["--token=k"], ["--token=***"]),
        (["--pw=k", "pw=k", "--pw", "k"], ["--pw=***", "pw=***", "--pw", "***"]),
        ([f"--sig={SIGNATURE}", "--sig", SIGNATURE], ["--sig=***", "--sig", "***"]),
        (["--sig=0.5", "--signature", "serving_default"], ["--sig=0.5", "--signature", "serving_default"]),
        (["token=k"], ["token=***"]),
        (["--api-key", "k", "x"], ["--api-key", "***", "x"]),
        (["--password", "--verbose"], ["--password", "--verbose"]),
        (["--eos-token", "</s>"], ["--eos-token", "</s>"]),
        (["https://ghp_abc@github.com/x"], ["https://github.com/x"]),
        (["--db=postgres://u:pw@h/d"], ["--db=postgres://u@h/d"]),
        (["--password="], ["--password="]),
        (["a=b=c"], ["a=b=c"]),
        (["-ppassword=k"], ["-ppassword=***"]),
        (["-password=k"], ["-password=***"]),
        (["--param=password=k"], ["--param=password=***"]),
        (["-p", "db={password: k}"], ["-p", "db={password: ***}"]),
        (["-H", "Authorization: Bearer k"], ["-H", "Authorization: ***"]),
        (["-H", "Cookie: a=1; session=2"], ["-H", "Cookie: ***"]),
        (["--header=X-Api-Key:k"], ["--header=X-Api-Key:***"]),
        (["--config", '{"api_key": "k", "lr": 1}'], ["--config", '{"api_key": "***", "lr": 1}']),
        (["-d", '{"db": {"password": {"a": "k"}}}'], ["-d", '{"db": {"password": {"a": "***"}}}']),
        (["--config", '{\\"password\\": \\"k l\\"}'], ["--config", '{\\"password\\": ***}']),
        (["sh", "-c", "train --api-key k --lr 3"], ["sh", "-c", "train --api-key *** --lr 3"]),
        (["--note", "the password is wrong"], ["--note", "the password is wrong"]),
        (["git@github.com:team/x.git", "--max_tokens=5"], ["git@github.com:team/x.git", "--max_tokens=5"]),
        (["--password=a, b; c"], ["--password=***"]),
        (["-p", "password=a b"], ["-p", "password=***"]),
        (["_password=k", "9password=k"], ["_password=***", "9password=***"]),
        (["TOKEN=k python train.py --lr 3"], ["TOKEN=*** python train.py --lr 3"]),
        (
            ["--wandb-key", "V", "--pat", "V", "--accesskey", "V"],
            ["--wandb-key", "***", "--pat", "***", "--accesskey", "***"],
        ),
        (["--api-keys", "a", "b", "--lr", "3"], ["--api-keys", "***", "***", "--lr", "3"]),
        (
            ["aws", "configure", "set", "aws_secret_access_key", "k"],
            ["aws", "configure", "set", "aws_secret_access_key", "***"],
        ),
        (["python", "train.py", "-u", "bob:pw"], ["python", "train.py", "-u", "bob:***"]),
        (["curl", "-ubob:pw", "--user=bob:p w"], ["curl", "-ubob:***", "--user=bob:***"]),
        (["mysql", "-ppw", "db"], ["mysql", "-p***", "db"]),
        (["sudo", "-u", "bob", "mysql", "-ppw"], ["sudo", "-u", "bob", "mysql", "-p***"]),
        (["timeout", "5", "mysql", "-ppw"], ["timeout", "5", "mysql", "-p***"]),
        (["sudo", "env", "A=1", "/usr/bin/mysqldump", "-ppw"], ["sudo", "env", "A=1", "/usr/bin/mysqldump", "-p***"]),
        (["sshpass", "-p", "pw", "ssh", "h"], ["sshpass", "-p", "***", "ssh", "h"]),
        (["docker", "login", "-p", "pw"], ["docker", "login", "-p", "***"]),
        (
            ["python", "-c", "token = tok('a'); key = f(1); api_key='k l'"],
            ["python", "-c", "token = tok('a'); key = f(1); api_key=***"],
        ),
        (
            ["bash", "-lc", 'X=1 mysql -ppw && x --token "$T" --password "a b"'],
            ["bash", "-lc", 'X=1 mysql -p*** && x --token "$T" --password ***'],
        ),
        (["bash", "-c", "x --token $T 'unfinished"], ["bash", "-c", "x --token $T 'unfinished"]),
    ],
)
def test_arguments_are_masked(arguments: list[str], masked: list[str]) -> None:
    assert mask_arguments(arguments) == masked
    assert mask_arguments(masked) == masked


@pytest.mark.parametrize(
    "arguments",
    [
        "x --key-dim 64 --token-count 5 --tokenizer bpe --num-keys 8 --keypoints 17 --password-length 8",
        "x --token 5 --pat 5 --pat *.txt --use-auth-token True --no-password train.py --first-pass x",
        "python -u train.py --lr 1",
        "python train.py -p5 -pV -p lr=3 -u cuda:0 -u http://host:80/ -u 0:10 -U",
        "docker run -u user:group -p8080:80 -p 80 image",
        "mysql -P 3306 -p database",
        "python train.py --db mysql -pV",
        "python -m train model.key=3 data.sort_key=date +trainer.token_dim=8 image_token=<image>",
    ],
)
def test_what_is_no_secret_stands_in_the_command(arguments: str) -> None:
    assert mask_arguments(arguments.split()) == arguments.split()


@given(st.lists(st.text(max_size=15), max_size=5))
def test_any_arguments_can_be_masked(arguments: list[str]) -> None:
    masked = mask_arguments(["bash", "-c", *arguments])
    assert len(masked) == len(arguments) + 2


@given(
    st.sampled_from(["--token", "--api-key", "--password", "--wandb-key"]),
    st.text(st.characters(codec="ascii", min_codepoint=33, exclude_characters="*\"'"), min_size=6),
)
def test_no_value_of_a_secret_option_stands(option: str, value: str) -> None:
    if not value.startswith("-"):
        assert mask_arguments(["x", option, value])[2] == "***"
    assert mask_arguments(["x", f"{option}={value}"])[1] == f"{option}=***"


@given(st.sampled_from(TOKENS), st.text(alphabet=" ,;\"'()=\n", min_size=1, max_size=3), st.text(max_size=20))
def test_a_token_does_not_stand_in_any_text(token: str, between: str, text: str) -> None:
    assert token not in masking.mask_text(f"{text}{between}{token}{between}{text}")


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=8),
        lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=8), each, max_size=3),
    )
)
def test_json_without_secrets_is_as_it_was(value: object) -> None:
    text = json.dumps({"a": value}, indent=1)
    masked = mask_value("config", text)
    assert json.loads(masked) == mask_value("config", {"a": value})


@pytest.mark.parametrize("before", ["a-", "a=", "a ", "sk-", "eyJ", "-----BEGIN "])
def test_a_secret_is_found_after_much_else(before: str) -> None:
    assert mask_arguments(["x", before * 3000 + " --api-key=k"])[1].endswith(" --api-key=***")


@pytest.mark.parametrize(
    ("name", "value", "masked"),
    [
        ("MY_KEY", "x", "***"),
        ("STRIPE_KEY_TEST", "x", "***"),
        ("TOKEN_GITHUB", "x", "***"),
        ("KEY_DIM", "64", "64"),
        ("MAX_TOKENS", "512", "512"),
        ("TOKENIZERS_PARALLELISM", "false", "false"),
        ("A", "Bearer abc", "Bearer ***"),
        ("A", "Basic Ym9iOnB3", "Basic ***"),
        ("A", '{"user": "bob", "password": "x"}', '{"user": "bob", "password": "***"}'),
        ("A", "AccountName=a;AccountKey=b==;End=c", "AccountName=a;AccountKey=***;End=c"),
        ("A", "postgres://bob:pw@db/x", "postgres://bob@db/x"),
        ("A", "host=db user=bob password=x", "host=db user=bob password=***"),
        ("PATH", "/usr/bin:/bin", "/usr/bin:/bin"),
        ("XLA_FLAGS", "--xla_gpu_deterministic_ops=true", "--xla_gpu_deterministic_ops=true"),
    ],
)
def test_variables_are_masked(name: str, value: str, masked: str) -> None:
    assert mask_variable(name, value) == masked


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://ada:pw@example.com/a.git", "https://example.com/a.git"),
        ("https://token@example.com/a.git", "https://example.com/a.git"),
        ("ssh://git@example.com/a.git", "ssh://git@example.com/a.git"),
        ("ssh://git:pw@example.com/a.git", "ssh://git@example.com/a.git"),
        ("git@example.com:a.git", "git@example.com:a.git"),
        ("/path/a@b.git", "/path/a@b.git"),
        ("https://example.com/a@b", "https://example.com/a@b"),
        ("two https://a:b@c/ https://d:e@f/", "two https://c/ https://f/"),
        ("https://discord.com/api/webhooks/1/x", "https://discord.com/api/webhooks/***"),
    ],
)
def test_urls_without_their_passwords(url: str, shown: str) -> None:
    assert masking.mask_urls(url) == shown


@pytest.mark.parametrize(
    "path",
    [".env", ".env.local", "prod.env", "deep/id_ed25519", "TLS.KEY", "secrets.yaml", "service-account-x.json",
     "kaggle.json", ".kube/config", "home/.docker/config.json", "token.txt", "token", ".token", "passwords.txt",
     "deploy_key", "deploy-key.txt", "my_deploy_key", "backup_rsa", "hf_token", "hf_token.txt", "github-token.json",
     "access_tokens.db", "token.pickle", "api_key.txt", "api_keys.json", "accessKeys.csv", "rootkey.csv",
     "credentials", "db-password.txt", ".aws/config", ".ssh/config", ".ssh/work", ".config/gcloud/credentials.db",
     ".config/gh/hosts.yml", "terraform.tfvars", "x.tfstate.backup", ".bash_history", "_netrc", ".my.cnf", ".s3cfg",
     "auth.json", "cookies.txt", "vpn.ovpn", "AuthKey.p8", ".huggingface/token", ".streamlit/secrets.toml",
     ".cargo/credentials.toml", "rclone.conf", ".env~", ".env copy", "my.env.bak", "env.prod", "id_rsa.bak",
     "id_rsa.old", "id_rsa~", "id_rsa copy", "token copy.txt", "token copy 2.txt", "kaggle (1).json",
     "Copy of kaggle.json", "kaggle.json.orig", "kaggle.json.bak2", "kaggle-backup.json", ".#.env", "#.netrc#",
     "x.pem.1", ".env.bak~", "secrets.yaml.20240131", ".kube/config.bak", ".kube/config~", ".aws/credentials.old",
     "gcp-key.json", "key.txt", "key.json", ".Renviron", ".modal.toml", ".snowsql/config", ".dvc/config.local",
     ".lakefs.yaml", "wandb/settings", "pip.conf", ".condarc", "local.settings.json", "..env.swp"],
)  # fmt: skip
def test_files_that_hold_secrets_by_custom(path: str) -> None:
    assert may_hold_secrets(path)


@pytest.mark.parametrize(
    "path",
    [".env.example", "secrets.py", "environment.yaml", "keys.csv", "env", "token.py", "tokens.json", "tokens.txt",
     "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "eos_token.json",
     "acc_per_token.csv", "token_counts.csv", "config.json", "docker/config.json", "kube/config", "config", "dem.asc",
     "id_rsa.pub", ".ssh/id_rsa.pub", "passwords.py", "password_strength.py", "password_strength.csv", "key.py",
     "keys.py", "primary_key.sql", "keypoints.json", "first_pass.json", "chamber-of-secrets.txt", "auth.py",
     "credentials.py", "secrets.example.yaml", "monkey.txt", "data/access.csv", "api.json", "src/aws/config.py",
     "gcloud/a.py", "cookie_cutter.json", "pass.py", "settings.toml", "test_token.py", "vocab/token_embeddings.npy",
     "train.py.bak", "train.py~", "model.old", "config.json.orig", "data copy.csv", "tokens.json.bak", ".env.example~",
     "env.yaml", "env.py", "env.yml.bak", ".dvc/config", "wandb/run-1/config.yaml", "snowsql/config", "settings",
     "config.local", "keys.csv.bak", "turkey.json", "settings.json", "public-key.txt", "sort_key.json",
     "results (1).csv", "Copy of notes.txt", "keys.txt", "tiny_gpt.1", "~", "#", "a.", ".bak", "key",
     "token_map copy.json", "hotkey.json"],
)  # fmt: skip
def test_code_and_data_with_names_of_the_kind(path: str) -> None:
    assert not may_hold_secrets(path)


def test_what_a_scripts_variable_is_called_stands() -> None:
    assert mask_assigned("x --token $HF_TOKEN", is_script=True) == "x --token $HF_TOKEN"
    assert mask_assigned("x --token $HF_TOKEN") == "x --token ***"
