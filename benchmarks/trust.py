"""What `gxt verify --all` costs: many runs, each recorded by a commit of its own, signed or not.

    python benchmarks/trust.py [unsigned | signed | all] [--runs N] [--signed N] [--json FILE]

`unsigned` has 10,000 runs, `signed` 2,000 whose commits are signed by SSH; the second round of each finds what the
first has left in the git directory. The exit code is 1 where a promise does not hold.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import harness
from harness import Limit, Result, Series, git, import_script, repository

from gxt import layout
from gxt.model import Experiment, Run, Summary

_FIRST = 1_767_225_600_000  # 2026-01-01


def filled(folder: Path, runs: int) -> Path:
    """A repository with so many runs on its branch, a commit for each."""
    repo = repository(folder)
    head = git("rev-parse", "HEAD", cwd=repo).decode().strip()
    experiment = layout.experiment_document(Experiment("bench", "benchbench", _FIRST))
    top = {layout.GXT_YAML: layout.gxt_document(), layout.GITATTRIBUTES: layout.GITATTRIBUTES_TEXT}
    script = [import_script(".", top, "begin", None).replace(b" inline ./", b" inline ")]
    path, _, name = layout.experiment_path("bench").rpartition("/")
    script.append(import_script(path, {name: experiment}, "bench", None))
    for i in range(runs):
        run = _run(i, head)
        files = layout.run_files(run) | {layout.METRICS_CSV: layout.METRICS_HEADER + b"0,rmse,%d,%d\n" % (i, _FIRST)}
        message = f"bench: {run.name} finished\n\n{layout.RUN_TRAILER}: {run.id}"
        script.append(import_script(layout.run_path("bench", run.id), files, message, None))
    git("fast-import", "--quiet", cwd=repo, stdin=b"".join(script))
    return repo


def _run(i: int, head: str) -> Run:
    started = _FIRST + i * 1000
    return Run(
        time.strftime("%Y%m%d-%H%M%S", time.gmtime(started / 1000)) + f"-{i:08x}",
        "bench",
        f"run-{i}",
        "finished",
        started,
        started + 500,
        author=harness.IDENTITY,
        source={"command": "python train.py", "commit": head, "branch": "main", "dirty": False, "snapshot": head},
        params={"alpha": i / 1000, "depth": 3, "model": "xgb"},
        metrics={"rmse": Summary(i, i, i, i, 0, 1)},
    )


def sign(repo: Path, folder: Path) -> None:
    """Make the run branch anew, each of its commits signed by a new SSH key that this repository trusts."""
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada", "-f", key], check=True)
    (folder / "signers").write_text(f"ada@example.com {key.with_suffix('.pub').read_text()}")
    for name, value in (
        ("gpg.format", "ssh"),
        ("user.signingKey", f"{key}.pub"),
        ("gpg.ssh.allowedSignersFile", str(folder / "signers")),
    ):
        git("config", name, value, cwd=repo)
    parent: list[str] = []
    for commit in git("rev-list", "--reverse", "gxt", cwd=repo).decode().split():
        message = git("log", "-1", "--format=%B", commit, cwd=repo)
        made = git("commit-tree", "-S", *parent, f"{commit}^{{tree}}", cwd=repo, stdin=message)
        parent = ["-p", made.decode().strip()]
    git("update-ref", "-d", "refs/heads/gxt", cwd=repo)  # with its log: nothing was rewritten that anybody has seen
    git("update-ref", "refs/heads/gxt", parent[1], cwd=repo)
    git("gc", "-q", cwd=repo)


def measured(repo: Path, name: str, runs: int) -> Result:
    """Two rounds of `gxt verify --all`."""
    took = []
    for _ in range(2):
        began = time.perf_counter()
        command = [*harness.gxt_command(), "verify", "--all"]
        said = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=False)
        took.append(time.perf_counter() - began)
        if f"nothing is wrong: {runs} runs" not in said.stdout:
            raise SystemExit(said.stdout + said.stderr)
    first, again = (Series(f"{what} round", [seconds]) for what, seconds in zip(("first", "second"), took, strict=True))
    return Result(name, "s", [first, again], [])


def unsigned(folder: Path, runs: int) -> Result:
    """Many runs that nobody signed."""
    return measured(filled(folder / "unsigned", runs), "unsigned", runs)


def signed(folder: Path, runs: int) -> Result:
    """Runs whose commits are signed by SSH."""
    repo = filled(folder / "signed", runs)
    sign(repo, folder)
    found = measured(repo, "signed", runs)
    first, again = found.series
    found.limits.append(Limit("signed runs again / the first time", again.median / first.median, 0.5))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="all", choices=["all", "unsigned", "signed"])
    parser.add_argument("--runs", type=int, default=10_000, help="how many that nobody signed")
    parser.add_argument("--signed", type=int, default=2_000, help="how many that are signed")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    results = []
    with harness.sandbox() as folder:
        if options.what in ("all", "unsigned"):
            results.append(unsigned(folder, options.runs))
        if options.what in ("all", "signed"):
            results.append(signed(folder, options.signed))
    return harness.report(results, options.json)


if __name__ == "__main__":
    sys.exit(main())
