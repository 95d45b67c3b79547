"""gxt for a benchmark driver that puts experiment trackers side by side; benchmarks/README.md says how it is found.

The driver calls `setup` once for a store, `open` once in each process, then the rest. The tracker is imported in
`open`, so that the driver can time it. This folder must not be on sys.path: its gxt.py would hide the package.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .base import Base, fill_values


class Adapter(Base):  # type: ignore[misc, unused-ignore]  # the driver's base is not typed
    """A store is a git repository with one commit; the runs are on its branch gxt."""

    NAME = "gxt"
    VENV = "gxt"
    IMPORT = "gxt"
    CLI = ("gxt", "--help")
    HAS_BATCH = False
    HAS_TABLE = True
    TABLE_NOTE = "gxt.search_runs: a DataFrame"
    FILL_NOTE = "own API"

    def setup(self) -> None:
        super().setup()
        self._git("init", "-q", "-b", "main")
        self._git("config", "user.name", "Ada Lovelace")
        self._git("config", "user.email", "ada@example.com")
        with open(os.path.join(self.store, "train.py"), "w", encoding="utf-8") as file:
            file.write("print('training')\n")
        self._git("add", "train.py")
        self._git("commit", "-q", "-m", "first")

    def open(self) -> None:
        os.chdir(self.store)
        import gxt

        self.gxt = gxt
        gxt.set_experiment("bench")

    # --- a run ------------------------------------------------------------------------------------------------------

    def start(self, name: str) -> Any:
        return self.gxt.start_run(run_name=name)

    def log_params(self, run: Any, params: Mapping[str, Any]) -> None:
        run.log_params(params)

    def set_tag(self, run: Any, key: str, value: str) -> None:
        run.set_tag(key, value)

    def log_metric(self, run: Any, key: str, value: float, step: int) -> None:
        run.log_metric(key, value, step)

    def log_metrics(self, run: Any, values: Mapping[str, float], step: int) -> None:
        run.log_metrics(values, step)

    def log_batch(self, run: Any, key: str, values: Sequence[float]) -> None:
        for step, value in enumerate(values):  # there is no call for many steps at once
            run.log_metric(key, value, step)

    def log_text(self, run: Any, name: str, text: str) -> None:
        run.log_text(text, name)

    def finish(self, run: Any) -> None:
        self.gxt.end_run()

    # --- reading ----------------------------------------------------------------------------------------------------

    def _runs(self, **options: Any) -> list[Any]:
        found: list[Any] = self.gxt.search_runs(output_format="list", **options)
        return found

    def table(self) -> tuple[int, int]:
        shape: tuple[int, int] = self.gxt.search_runs().shape
        return shape

    def query(self) -> list[float]:
        best = self.gxt.search_runs(
            filter_string="params.p1 = '3'", order_by=["metrics.m0 DESC"], max_results=10, output_format="list"
        )
        return [run.metrics["m0"].last for run in best]

    def complete_runs(self) -> int:
        params, metrics = {f"p{i}" for i in range(5)}, {f"m{i}" for i in range(3)}
        return sum(
            run.place == "branch"
            and run.status == "finished"
            and params <= set(run.params)
            and metrics <= set(run.metrics)
            for run in self._runs()
        )

    def points_readable(self, key: str) -> int:
        return sum(run.metrics[key].count for run in self._runs() if key in run.metrics)

    def _git(self, *args: str, stdin: bytes | None = None) -> bytes:
        return subprocess.run(["git", *args], cwd=self.store, input=stdin, stdout=subprocess.PIPE, check=True).stdout

    # --- many runs to read ------------------------------------------------------------------------------------------

    def fill(self, n: int, start: int = 0) -> None:
        """The first 1,000 runs through gxt. The rest are made of one of them, which the API's way would take minutes
        for; what is written is first compared with what gxt wrote, byte for byte."""
        recorded = min(n, 1000)
        super().fill(recorded, start)
        if n == recorded:
            return
        self.FILL_NOTE = "first 1000 by own API, the rest cloned by git fast-import (same files as an API run's)"
        (pattern,) = (run for run in self._runs() if run.name == f"r{start}")
        folder = f"experiments/bench/{pattern.id}"
        names = self._git("ls-tree", "-r", "--name-only", f"gxt:{folder}").decode().split()
        files = {name: self._git("cat-file", "blob", f"gxt:{folder}/{name}") for name in names}
        moment = int(files["metrics.csv"].split(b",")[-1])
        written = _documents(start, moment)
        assert all(files[name] == data for name, data in written.items()), "gxt writes other documents than this does"
        self._git("fast-import", "--quiet", stdin=b"".join(_clones(range(start + recorded, start + n), pattern, files)))


def _documents(i: int, moment: int) -> dict[str, bytes]:
    """The documents of a run that differ from run to run, beside run.yaml."""
    params, metrics = fill_values(i)
    lines = {
        "params.yaml": [f"{name}: {value}" for name, value in sorted(params.items())],
        "metrics.yaml": [
            f"{name}: {{last: {v}, min: {v}, max: {v}, first: {v}, step: 0, count: 1}}"
            for name, v in sorted(metrics.items())
        ],
        "metrics.csv": ["step,metric,value,time", *(f"0,{name},{_csv(v)},{moment}" for name, v in metrics.items())],
    }
    return {name: "".join(f"{line}\n" for line in found).encode() for name, found in lines.items()}


def _csv(value: float) -> str:
    return repr(value).removesuffix(".0")


def _clones(numbers: range, pattern: Any, files: Mapping[str, bytes]) -> list[bytes]:
    """What git fast-import reads: one commit with a copy of the pattern's run for each number."""
    when = int(time.time())
    script = [b"commit refs/heads/gxt\ncommitter Ada Lovelace <ada@example.com> %d +0000\n" % when]
    script.append(_data(f"bench: {len(numbers)} runs\n".encode()) + b"from refs/heads/gxt^0\n")
    for i in numbers:
        moment = pattern.started + i
        run_id = time.strftime("%Y%m%d-%H%M%S", time.gmtime(moment / 1000)) + f"-{i:08x}"
        run_yaml = files["run.yaml"].replace(pattern.id.encode(), run_id.encode())
        run_yaml = run_yaml.replace(f"name: {pattern.name}\n".encode(), f"name: r{i}\n".encode(), 1)
        for name, data in {**files, **_documents(i, moment), "run.yaml": run_yaml}.items():
            script.append(f"M 100644 inline experiments/bench/{run_id}/{name}\n".encode() + _data(data))
    return script


def _data(content: bytes) -> bytes:
    return b"data %d\n" % len(content) + content + b"\n"
