"""Real servers for tests: git daemon, git-http-backend behind lighttpd, and ones that misbehave."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from helpers import git

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


@contextlib.contextmanager
def cutting(port: int, after: int) -> Iterator[int]:
    """A port that passes everything on to another, and breaks each connection once it has sent so many bytes there."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    upstream = socket.create_connection(("127.0.0.1", port))
                    threading.Thread(target=_pass_on, args=(upstream, client, None), daemon=True).start()
                    threading.Thread(target=_pass_on, args=(client, upstream, after), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def _pass_on(source: socket.socket, target: socket.socket, at_most: int | None) -> None:
    passed = 0
    with contextlib.suppress(OSError):
        while data := source.recv(4096):
            if at_most is not None and passed + len(data) > at_most:
                break
            target.sendall(data)
            passed += len(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
