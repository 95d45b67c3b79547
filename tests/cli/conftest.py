"""The command line, called in this process."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from gxt.cli import main


class Done(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Gxt = Callable[..., Done]


@pytest.fixture
def gxt(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Gxt:
    """`gxt("log", "-m", "a=1", stdin="…", code=0)`: run a command, check its exit code, give what it printed."""

    def call(*arguments: str, stdin: str = "", code: int = 0) -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        monkeypatch.setattr(sys, "argv", ["gxt", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main(list(arguments))
        sys.stdout.flush()
        printed = capfd.readouterr()
        done = Done(exit_.value.code if isinstance(exit_.value.code, int) else 1, printed.out, printed.err)
        assert done.code == code, done
        return done

    return call


@pytest.fixture
def three(gxt: Gxt, work: Any) -> dict[str, str]:
    """Three runs of one experiment, by name to id: the lower alpha, the lower rmse, the higher acc."""
    made = {}
    for name, alpha, rmse, acc in (("one", 0.1, 6.3, 0.9), ("two", 0.5, 7.7, 0.5), ("three", 1, 9.9, 0.1)):
        arguments = ["-p", f"alpha={alpha}", "-p", "model=lasso", "-m", f"rmse={rmse}", "-m", f"acc={acc}"]
        made[name] = gxt("log", "-e", "taxi", "-n", name, *arguments).out.strip()
    return made
