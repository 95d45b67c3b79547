"""Servers that tests start for real: git's own, over HTTP too, Git LFS, S3; one that is silent, and a cable to cut."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from helpers import git

# --- git ----------------------------------------------------------------------------------------------------------

LIGHTTPD = shutil.which("lighttpd", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin:/opt/homebrew/bin")

_CONFIG = """
server.document-root = "{root}"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{folder}/error.log"
server.modules = ("mod_alias", "mod_setenv", "mod_auth", "mod_authn_file", "mod_cgi")
alias.url = ("/git" => "{backend}")
setenv.add-environment = (
    "GIT_PROJECT_ROOT" => "{root}", "GIT_HTTP_EXPORT_ALL" => "1", "HOME" => "{folder}", "GIT_CONFIG_NOSYSTEM" => "1"
)
$HTTP["url"] =~ "^/git" {{ cgi.assign = ("" => "") }}
auth.backend = "plain"
auth.backend.plain.userfile = "{folder}/users"
{auth}
"""
_AUTH = 'auth.require = ("/git" => ("method" => "basic", "realm" => "git", "require" => "valid-user"))'


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError("the server did not start")


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield
        finally:
            process.terminate()


@contextlib.contextmanager
def http(root: Path, folder: Path, users: str | None = None) -> Iterator[str]:
    """The repositories below `root` by smart HTTP; `users` (`name:password`, a line each) have to log in.

    Gives the URL of the root. The file `users` in `folder` may change while the server runs.
    """
    assert LIGHTTPD is not None
    port = free_port()
    (folder / "users").write_text(users or "")
    backend = Path(git("--exec-path")) / "git-http-backend"
    config = folder / "lighttpd.conf"
    auth = _AUTH if users else ""
    config.write_text(_CONFIG.format(root=root, port=port, folder=folder, backend=backend, auth=auth))
    with _running([LIGHTTPD, "-D", "-f", str(config)], port):
        yield f"http://127.0.0.1:{port}/git"


@contextlib.contextmanager
def daemon(root: Path) -> Iterator[str]:
    """The repositories below `root` by git's own protocol, pushes included."""
    port = free_port()
    command = ["git", "daemon", "--export-all", "--enable=receive-pack", f"--base-path={root}", "--reuseaddr"]
    with _running([*command, "--listen=127.0.0.1", f"--port={port}", str(root)], port):
        yield f"git://127.0.0.1:{port}"


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections, and never says anything."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


# --- large artifacts ----------------------------------------------------------------------------------------------

_KEY = "the key of a server that is there for a test alone"


class LfsServer(NamedTuple):
    """giftless: its address, and where it keeps its objects."""

    port: int
    folder: Path

    def url(self, token: str | None = None, port: int | None = None) -> str:
        """What `lfs.url` is to be, with a token as password."""
        return f"http://{f'_jwt:{token}@' if token else ''}127.0.0.1:{port or self.port}/team/taxi"

    def token(self, lifetime: float = 600) -> str:
        """A token for everything, for so many seconds from now."""
        import jwt

        about = {"exp": int(time.time() + lifetime), "sub": "ada", "name": "ada", "scopes": ["obj:team/*/*:*"]}
        return jwt.encode(about, _KEY, algorithm="HS256")

    def objects(self) -> list[Path]:
        """The objects that it has."""
        return [path for path in self.folder.rglob("*") if path.is_file()]


@contextlib.contextmanager
def lfs_server(folder: Path) -> Iterator[LfsServer]:
    """A Git LFS server that wants a token."""
    from werkzeug.serving import make_server

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from giftless.app import init_app

        auth: dict[str, Any] = {
            "factory": "giftless.auth.jwt:factory",
            "options": {"algorithm": "HS256", "private_key": _KEY},
        }
        storage = {"storage_class": "giftless.storage.local_storage:LocalStorage"}
        app = init_app(
            additional_config={
                "TRANSFER_ADAPTERS": {
                    "basic": {
                        "factory": "giftless.transfer.basic_streaming:factory",
                        "options": storage | {"storage_options": {"path": str(folder)}},
                    }
                },
                "AUTH_PROVIDERS": [auth],
                "PRE_AUTHORIZED_ACTION_PROVIDER": auth,
            }
        )
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield LfsServer(server.server_port, folder)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def only_for(port: int, bucket: str) -> tuple[str, str]:
    """Have moto's S3 make a bucket, and look at keys from now on: gives the only ones that it takes.

    As in moto's own documentation: docs/docs/iam.rst, and /moto-api/reset-auth for a server.
    """
    import boto3

    url = f"http://127.0.0.1:{port}"
    about = {"endpoint_url": url, "region_name": "us-east-1", "aws_access_key_id": "-", "aws_secret_access_key": "-"}
    boto3.client("s3", **about).create_bucket(Bucket=bucket)
    users = boto3.client("iam", **about)
    users.create_user(UserName="ada")
    allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    users.put_user_policy(UserName="ada", PolicyName="all", PolicyDocument=document)
    key = users.create_access_key(UserName="ada")["AccessKey"]
    _without_keys(port, "0")
    return key["AccessKeyId"], key["SecretAccessKey"]


def _without_keys(port: int, calls: str) -> None:
    url = f"http://127.0.0.1:{port}/moto-api/reset-auth"
    urllib.request.urlopen(urllib.request.Request(url, calls.encode(), {"Content-Type": "text/plain"}, method="POST"))


@contextlib.contextmanager
def s3_server() -> Iterator[int]:
    """moto's S3; its port."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()[1]
    finally:
        _without_keys(server.get_host_and_port()[1], "inf")  # the setting is of the process
        server.stop()


# --- trouble ------------------------------------------------------------------------------------------------------


class Cable:
    """A way to a server that is cut after so many bytes of one connection have gone to it, or come from it."""

    def __init__(self, port: int) -> None:
        self.cut_after: int | None = None
        self.cuts = 0
        self._to = port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """No more connections."""
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._socket.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            while piece := source.recv(16384):
                carried += len(piece)
                if self.cut_after is not None and carried > self.cut_after:
                    self.cuts += 1
                    break
                target.sendall(piece)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
