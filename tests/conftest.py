"""Every test has a home, a git configuration and a current directory of its own, and leaves no run open."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import gxt.git
from gxt import fluent, plots, recorder, rescue
from gxt.git import Repository
from gxt.plots import Options
from helpers import Build, Train, git

settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
# `pytest --hypothesis-profile=explore` looks for new counter-examples.
settings.register_profile("explore", parent=settings.get_profile("default"), derandomize=False, max_examples=2000)
settings.load_profile("default")

# A shell that starts something with & has it ignore Ctrl-C, and so would all that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_FOREIGN = ("GIT_", "GXT_", "JPY_", "EMAIL", "SSH_AUTH_SOCK")


@pytest.fixture(autouse=True)
def isolation(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, matplotlib_cache: Path
) -> Iterator[None]:
    """Nothing of the developer's own set-up reaches a test, and nothing of a test the next one."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(_FOREIGN):
            monkeypatch.delenv(name)
    config = home / "gitconfig"
    config.write_text("[user]\n\tname = Ada Lovelace\n\temail = ada@example.com\n[init]\n\tdefaultBranch = main\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    (home / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(home / "tmp"))
    monkeypatch.setattr(rescue, "PLACES", ("$TMPDIR",))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("MPLCONFIGDIR", str(matplotlib_cache))
    monkeypatch.chdir(home)  # outside of any repository
    yield
    _forget_runs()


@pytest.fixture(scope="session")
def matplotlib_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """matplotlib lists the fonts of the machine once, not once for each home."""
    return tmp_path_factory.mktemp("matplotlib")


def _forget_runs() -> None:
    """Bring gxt.fluent back to the state of a fresh process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fluent._end_all("killed")
    fluent._main.clear()
    fluent._local.runs = fluent._main
    fluent._process = fluent._Process()
    for name in (fluent.RUN_ID_VARIABLE, fluent.TRACKING_URI_VARIABLE, fluent.EXPERIMENT_VARIABLE):
        os.environ.pop(name, None)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with one commit, which is the current directory."""
    folder = tmp_path / "work"
    git("init", "-q", str(folder))
    (folder / "train.py").write_text("print('training')\n")
    git("add", ".", cwd=folder)
    git("commit", "-q", "-m", "first", cwd=folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def repo(work: Path) -> gxt.git.Repository:
    """`work` as gxt sees it."""
    return gxt.git.find(work)


@pytest.fixture
def train(repo: Repository) -> Train:
    """`train("a", {"lr": 0.1}, loss=[3, 2, 1])`: record a run, a value a step; its id."""

    def run(
        name: str,
        params: Mapping[str, Any] | None = None,
        experiment: str = "taxi",
        end: bool = True,
        **metrics: Sequence[float],
    ) -> str:
        recording = recorder.begin(repo, experiment, name=name)
        recording.log_params(params or {})
        for metric, values in metrics.items():
            for step, value in enumerate(values):
                recording.log_metric(metric, value, step)
        if end:
            recording.end("finished")
        return recording.run_id

    return run


@pytest.fixture
def build(repo: Repository) -> Build:
    """`build("loss", smooth=0.5)`: the chart of all runs."""

    def chart(*fields: str, runs: Sequence[str] = (), columns: int | None = None, **options: Any) -> Any:
        return plots.build(repo, plots.select(repo, runs), fields, Options(**options), columns)

    return chart


@pytest.fixture
def powerless() -> list[str]:
    """What to put before a command so that permissions hold for it, as they do not for root."""
    if os.geteuid() != 0:
        return []
    prefix = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    if shutil.which("setpriv") is None or subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("permissions do not hold for root, and there is no setpriv")
    return prefix
