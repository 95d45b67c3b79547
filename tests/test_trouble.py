"""Trouble underneath: a full disk, a read-only repository, a wrong clock, a hook that refuses, a branch that changes.

Training goes on with one warning, what was logged is kept, and once the trouble is over `gxt recover` commits it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from gxt import catalog, live, recorder, store
from gxt import git as gxt_git
from gxt.errors import GxtWarning
from gxt.git import Repository
from gxt.model import Run
from helpers import git, record, run_python, write_script
from soundness import check_sound

GXT = [sys.executable, "-m", "gxt"]


def the_run(repo: Repository, name: str) -> Run:
    """The run of that name, which is on the branch, in a repository that is sound."""
    check_sound(repo)
    run = catalog.find(repo, name)
    assert run.place == "branch"
    return run


def steps(repo: Repository, run: Run, metric: str = "loss") -> list[int]:
    return [point.step for point in catalog.points(repo, run) if point.metric == metric]


# --- permissions ------------------------------------------------------------------------------------------------


def unwritable(folder: Path) -> Callable[[], object]:
    """Take the right to write from everything in a folder; returns what gives it back."""
    paths = [path for path in (folder, *folder.rglob("*")) if not path.is_symlink()]
    modes = {path: path.stat().st_mode for path in paths}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)

    def give_back() -> None:
        for path, mode in modes.items():
            if path.exists():
                path.chmod(mode)

    return give_back


TRAINS_WHILE_IT_BECOMES_READ_ONLY = """
    import sys, gxt
    with gxt.start_run(run_name="trained") as run:
        gxt.log_param("alpha", 0.1)
        gxt.log_metric("loss", 0, step=0)
        run.provenance.thread.join()
        print("recording", flush=True)
        sys.stdin.readline()
        for step in range(1, 100):
            gxt.log_metric("loss", step / 7, step=step)
        gxt.log_param("late", 1)
    print("trained on", flush=True)
"""


@pytest.mark.parametrize("part", ["", "objects", "objects/pack", "refs", "refs/heads", "gxt", "gxt/pending"])
def test_a_repository_that_becomes_read_only(repo: Repository, work: Path, powerless: list[str], part: str) -> None:
    record(repo)
    script = textwrap.dedent(TRAINS_WHILE_IT_BECOMES_READ_ONLY)
    training = subprocess.Popen(
        [*powerless, sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert training.stdout and training.stdout.readline() == "recording\n"
    give_back = unwritable(repo.common_dir / part)
    try:
        out, errors = training.communicate("go on\n", timeout=60)
    finally:
        give_back()
    assert (training.returncode, out) == (0, "trained on\n"), errors
    assert errors.count("GxtWarning") == 1 and "gxt recover" in errors
    assert "Traceback" not in errors
    assert catalog.find(repo, "trained").status == "finished"
    done = subprocess.run([*GXT, "recover"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = the_run(repo, "trained")
    assert (run.status, run.params) == ("finished", {"alpha": 0.1, "late": 1})
    assert steps(repo, run) == list(range(100))
    assert len(catalog.listing(repo).runs) == 2


def test_a_repository_that_is_read_only_is_read_all_the_same(
    repo: Repository, work: Path, powerless: list[str]
) -> None:
    """Reading writes nothing; a run that cannot be recorded says so at its start."""
    record(repo, name="before", metrics={"loss": 1.0})
    give_back = unwritable(work)
    try:
        table = subprocess.run([*powerless, *GXT, "table", "--json"], capture_output=True, text=True, check=False)
        logged = subprocess.run([*powerless, *GXT, "log", "-m", "a=1"], capture_output=True, text=True, check=False)
    finally:
        give_back()
    assert [run["name"] for run in json.loads(table.stdout)] == ["before"], table.stderr
    assert logged.returncode == 1 and "cannot record in" in logged.stderr and "Permission denied" in logged.stderr
    assert len(logged.stderr.splitlines()) <= 2


def test_artifacts_that_may_not_be_read(repo: Repository, work: Path, tmp_path: Path, powerless: list[str]) -> None:
    """One clear error, and nothing of a folder is recorded where a part of it cannot be."""
    folder = tmp_path / "folder"
    (folder / "secret folder").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "b.txt").write_text("b")
    code = """
        import sys, gxt
        from gxt.errors import UsageError
        gxt.start_run(run_name="tried")
        for path in sys.argv[1:]:
            try:
                gxt.log_artifact(path)
            except UsageError as error:
                print(error)
        gxt.end_run()
        """
    denied = [folder / "b.txt", folder / "secret folder"]
    for path in denied:
        mode = path.stat().st_mode
        path.chmod(0)
        try:
            done = subprocess.run(
                [*powerless, sys.executable, "-c", textwrap.dedent(code), str(path), str(folder)],
                capture_output=True,
                text=True,
                check=True,
            )
        finally:
            path.chmod(mode)
        assert len(done.stdout.splitlines()) == 2 and done.stdout.count("cannot be read") == 2, done.stdout
        assert done.stderr == ""
    for run in catalog.listing(repo).runs:
        assert not [path for path in catalog.files(repo, run) if path.startswith("artifacts/")]


# --- refs that cannot be written --------------------------------------------------------------------------------


def heads_is_a_file(work: Path) -> Callable[[], object]:
    """No branch can be read, or written."""
    heads = work / ".git" / "refs" / "heads"
    heads.rename(heads.with_name("aside"))
    heads.touch()

    def mend() -> None:
        heads.unlink()
        heads.with_name("aside").rename(heads)

    return mend


def branch_below_ours(work: Path) -> Callable[[], object]:
    """A branch gxt/mine leaves no room for a branch gxt."""
    git("update-ref", "-d", "refs/heads/gxt", cwd=work)
    git("branch", "gxt/mine", cwd=work)
    return lambda: git("branch", "-D", "-q", "gxt/mine", cwd=work)


def hook_refuses(work: Path) -> Callable[[], object]:
    hook = work / ".git" / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ncat >/dev/null\necho 'not today' >&2\nexit 1\n")
    hook.chmod(0o755)
    return hook.unlink


def no_git(work: Path) -> Callable[[], object]:
    """git cannot be started any more."""
    before = os.environ["PATH"]
    os.environ["PATH"] = str(work)
    return lambda: os.environ.update(PATH=before)


def config_is_broken(work: Path) -> Callable[[], object]:
    config = work / ".git" / "config"
    before = config.read_text()
    config.write_text("[core\n")
    return lambda: config.write_text(before)


def head_is_gone(work: Path) -> Callable[[], object]:
    head = work / ".git" / "HEAD"
    head.rename(work / ".git" / "HEAD.aside")
    return lambda: (work / ".git" / "HEAD.aside").rename(head)


def tip_is_gone(work: Path) -> Callable[[], object]:
    """The branch's ref names a commit that is not there."""
    before = git("rev-parse", "gxt", cwd=work)
    ref = work / ".git" / "refs" / "heads" / "gxt"
    ref.write_text("1" * 40 + "\n")
    return lambda: ref.write_text(before + "\n")


def tip_is_no_commit(work: Path) -> Callable[[], object]:
    before = git("rev-parse", "gxt", cwd=work)
    ref = work / ".git" / "refs" / "heads" / "gxt"
    ref.write_text(git("rev-parse", "gxt^{tree}", cwd=work) + "\n")
    return lambda: ref.write_text(before + "\n")


BROKEN = [
    *(heads_is_a_file, branch_below_ours, hook_refuses, no_git, config_is_broken, head_is_gone),
    *(tip_is_gone, tip_is_no_commit),
]


@pytest.mark.parametrize("spoil", BROKEN, ids=lambda spoil: spoil.__name__)
def test_a_commit_that_is_refused_waits(
    repo: Repository, work: Path, spoil: Callable[[Path], Callable[[], object]]
) -> None:
    record(repo)
    run = recorder.begin(repo, "taxi", name="trained")
    run.log_metric("loss", 0, step=0)
    mend = spoil(work)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run.log_metric("loss", 1, step=1)
            run.log_param("alpha", 0.1)
            run.log_text("text", "note.txt")
            run.end()
    finally:
        mend()
    *before, last = [str(warning.message) for warning in caught]
    assert {warning.category for warning in caught} == {GxtWarning} and "gxt recover" in last
    if spoil in (heads_is_a_file, branch_below_ours):  # what was on the branch is not there any more
        before = [message for message in before if "was deleted" not in message]
    assert before == []
    assert live.read(live.pending_path(store.root(repo), run.run_id)).status == "finished"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert [found.id for found in store.commit_pending(repo)] == [run.run_id]
    assert all("was deleted" in str(warning.message) for warning in said)
    found = the_run(repo, "trained")
    assert (found.status, found.params, steps(repo, found)) == ("finished", {"alpha": 0.1}, [0, 1])
    assert catalog.read_file(repo, found, "artifacts/note.txt") == b"text"


def test_without_a_home_and_an_identity(repo: Repository, work: Path, powerless: list[str]) -> None:
    """As in a container: no HOME, no user name, and git told to make up none."""
    git("config", "user.useConfigOnly", "true", cwd=work)
    kept = {name: os.environ[name] for name in ("PATH", "GIT_CONFIG_NOSYSTEM", "PYTHONPATH") if name in os.environ}
    done = subprocess.run(
        [*GXT, "log", "-n", "trained", "-m", "loss=1", "-a", "train.py"],
        env=kept | {"GIT_CONFIG_GLOBAL": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    name, email = git("log", "-1", "--format=%an%n%ae", "gxt", cwd=work).splitlines()
    assert name and "@" in email
    assert the_run(repo, "trained").author == f"{name} <{email}>"


# --- the clock --------------------------------------------------------------------------------------------------

YEAR = {1: -62_135_596_800, 1900: -2_208_988_800, 1970: 0, 2038: 2_147_483_648, 9999: 253_402_300_000}
CLOCK = """
    import time
    real_time, real_time_ns = time.time, time.time_ns
    offset = 0
    time.time = lambda: real_time() + offset
    time.time_ns = lambda: real_time_ns() + offset * 1_000_000_000
    import warnings
    warnings.simplefilter("error")
    import gxt
"""


@pytest.mark.parametrize("year", YEAR)
def test_a_clock_that_is_far_off(repo: Repository, work: Path, year: int) -> None:
    run_python(
        code=textwrap.dedent(CLOCK)
        + textwrap.dedent(
            f"""
            offset = {YEAR[year]} - int(real_time())
            with gxt.start_run(run_name="trained"):
                for step in range(20):
                    gxt.log_metric("loss", step, step=step)
                gxt.log_text("text", "note.txt")
            with gxt.start_run(run_name="again", run_id=gxt.last_active_run().info.run_id):
                gxt.log_metric("loss", 20, step=20)
            with gxt.start_run(run_name="crashed") as run:
                gxt.log_metric("loss", 1)
                run.provenance.thread.join()  # so that no git is just being started
                import os
                os.kill(os.getpid(), 9)
            """
        ),
        check=False,
    )
    store.commit_pending(repo)
    run = the_run(repo, "trained")
    assert (run.status, steps(repo, run)) == ("finished", list(range(21)))
    assert run.started is not None and run.started // 1000 - YEAR[year] in range(-1, 100)
    assert run.id.startswith(f"{year:04d}") or year == 2038
    assert the_run(repo, "crashed").status == "killed"
    shown = subprocess.run([*GXT, "show", "trained"], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert subprocess.run([*GXT, "table"], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("jump", [-3600, -86_400 * 365, 86_400 * 365])
def test_a_clock_that_jumps_in_the_middle(repo: Repository, work: Path, jump: int) -> None:
    run_python(
        code=textwrap.dedent(CLOCK)
        + textwrap.dedent(
            f"""
            for name in ("first", "second", "third"):
                with gxt.start_run(run_name=name):
                    for step in range(20):
                        if step == 10:
                            offset += {jump}
                        gxt.log_metric("loss", step, step=step)
                    gxt.log_text("text", "note.txt")
            """
        )
    )
    for name in ("first", "second", "third"):
        run = the_run(repo, name)
        assert (run.status, steps(repo, run), run.metrics["loss"].last) == ("finished", list(range(20)), 19.0)
    subprocess.run([*GXT, "table"], capture_output=True, check=True)
    subprocess.run([*GXT, "show", "second"], capture_output=True, check=True)
    git("log", "--format=%cd", "gxt", cwd=work)


# --- a branch that others change while runs record ----------------------------------------------------------------

WRITER = """
    import sys, gxt
    for number in range(8):
        with gxt.start_run(run_name=f"{sys.argv[1]}.{number}"):
            for step in range(20):
                gxt.log_metric("loss", step, step=step)
        print(number, flush=True)
        sys.stdin.readline()
"""


@pytest.mark.parametrize("change", ["delete", "rewind", "replace", "move on", "pack"])
def test_the_branch_is_changed_while_runs_record(repo: Repository, work: Path, tmp_path: Path, change: str) -> None:
    """Every run is on the branch, or on what was kept of it; runs that end after the last change are on the branch."""

    def meddle() -> None:
        tip = git("rev-parse", "refs/heads/gxt", cwd=work)
        if change == "delete":
            git("update-ref", "-d", "refs/heads/gxt", cwd=work)
        elif change == "rewind":
            git("update-ref", "refs/heads/gxt", f"{tip}~1", cwd=work)
        elif change == "replace":
            other = git("commit-tree", "-m", "by somebody", f"{tip}~1^{{tree}}", cwd=work)
            git("update-ref", "refs/heads/gxt", other, cwd=work)
        elif change == "move on":
            onward = git("commit-tree", "-m", "by somebody", "-p", tip, f"{tip}^{{tree}}", cwd=work)
            subprocess.run(["git", "update-ref", "refs/heads/gxt", onward, tip], cwd=work, check=False)
        else:
            git("pack-refs", "--all", "--prune", cwd=work)
            git("repack", "-a", "-d", "-q", cwd=work)

    ids = {record(repo), record(repo)}
    script = write_script(tmp_path / "writer.py", WRITER)
    writers = [
        subprocess.Popen(
            [sys.executable, str(script), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for number in range(8):
        for process in writers:
            assert process.stdout and process.stdout.readline() == f"{number}\n"
        if number == 6:
            break
        for process in writers:  # all of them record while the branch is changed
            assert process.stdin
            process.stdin.write("go on\n")
            process.stdin.flush()
        meddle()
    errors = "".join(process.communicate("go on\ngo on\n")[1] for process in writers)
    assert [process.returncode for process in writers] == [0] * 3
    store.commit_pending(repo)
    check_sound(repo)
    on_branch = catalog.listing(repo).runs
    assert {f"{number}.7" for number in range(3)} <= {run.name for run in on_branch}
    assert all(run.place == "branch" and run.metrics["loss"].count == 20 for run in on_branch if run.id not in ids)
    found = {run.id for run in on_branch}
    for ref in git("for-each-ref", "--format=%(objectname)", "refs/gxt/kept", cwd=work).split():
        found |= {entry.run_id for entry in store.list_runs(repo, ref)}
    assert ids <= found and len(found) == 2 + 3 * 8
    if change in ("move on", "pack"):
        assert errors == "" and {run.id for run in on_branch} == found
    else:
        assert "was deleted" in errors or "was rewritten" in errors


# --- a full disk ------------------------------------------------------------------------------------------------

ON_A_SMALL_DISK = """
set -e
mount -t tmpfs -o size=4m none "$DISK"
test -n "$TRAINING" || exit 0
git init -q "$DISK/work"
cd "$DISK/work"
git commit -q --allow-empty -m first
code=0
"$PYTHON" "$TRAINING" 2>"$OUTSIDE/errors" || code=$?
rm -f "$DISK/filler"
"$PYTHON" -m gxt recover
git clone -q --mirror "$DISK/work" "$OUTSIDE/copy.git"
exit $code
"""
FILL = """
import os, warnings
warnings.simplefilter("always")

def noise(size):
    path = os.environ["OUTSIDE"] + "/noise.bin"
    with open(path, "wb") as file:
        file.write(os.urandom(size))
    return path


def fill(leave=0):
    with open(os.environ["DISK"] + "/filler", "ab", buffering=0) as filler:
        size = 1 << 16
        while size:
            try:
                size = size if filler.write(bytes(size)) == size else size // 2
            except OSError:
                size //= 2
        filler.truncate(max(0, filler.tell() - leave))

def free():
    os.unlink(os.environ["DISK"] + "/filler")

import gxt
"""


class Trained(NamedTuple):
    """What a training on a small disk came to: a copy of its repository, its exit code, what it complained of."""

    repo: Repository
    code: int
    errors: str

    def check(self, warned: int = 1) -> None:
        """It went on to its end, with so many warnings."""
        assert self.code == 0, self.errors
        assert self.errors.count("GxtWarning") == warned and "Traceback" not in self.errors, self.errors


Train = Callable[[str], Trained]


@pytest.fixture
def train_on_a_small_disk(tmp_path: Path) -> Train:
    """A function that trains in a repository on a disk of 4 MB, makes room there, and lets gxt recover."""
    (tmp_path / "disk").mkdir()
    command = ["unshare", "-rm", "--propagation", "private", "sh", "-c", ON_A_SMALL_DISK]
    variables = os.environ | {"DISK": str(tmp_path / "disk"), "OUTSIDE": str(tmp_path), "PYTHON": sys.executable}

    def run(training: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=variables | {"TRAINING": training}, capture_output=True, text=True, check=False
        )

    if shutil.which("unshare") is None or run("").returncode:
        pytest.skip("no disk can be mounted here")

    def train(code: str) -> Trained:
        path = tmp_path / "train.py"
        path.write_text(FILL + textwrap.dedent(code))
        done = run(str(path))
        assert (tmp_path / "copy.git").is_dir(), done.stderr
        return Trained(gxt_git.find(tmp_path / "copy.git"), done.returncode, (tmp_path / "errors").read_text())

    return train


def test_a_disk_that_fills_up_while_a_run_logs(train_on_a_small_disk: Train) -> None:
    trained = train_on_a_small_disk(
        """
        with gxt.start_run(run_name="trained"):
            gxt.log_param("before", 1)
            for step in range(2000):
                if step == 500:
                    fill()
                gxt.log_metric("loss", step / 7, step=step)
                if step % 500 == 499:
                    gxt.log_param(f"param {step}", step)
                    gxt.set_tag("step", step)
                    gxt.log_text(f"text {step} " * 2000, f"{step}.txt")
        """
    )
    trained.check()
    run = the_run(trained.repo, "trained")
    assert (run.status, run.tags) == ("finished", {"step": "1999"})
    assert run.params == {"before": 1} | {f"param {step}": step for step in (499, 999, 1499, 1999)}
    points = [(point.step, point.value) for point in catalog.points(trained.repo, run)]
    assert points == [(step, step / 7) for step in range(2000)]
    for step in (499, 999, 1499, 1999):
        assert catalog.read_file(trained.repo, run, f"artifacts/{step}.txt") == (f"text {step} " * 2000).encode()


def test_a_disk_that_is_too_full_for_the_commit(train_on_a_small_disk: Train) -> None:
    """The lines of the run itself fit; what git would write does not."""
    trained = train_on_a_small_disk(
        """
        os.system("git config gxt.artifactThreshold 10m")
        with gxt.start_run(run_name="trained") as run:
            run.provenance.thread.join()
            gxt.log_artifact(noise(1_500_000))
            fill(leave=100_000)
            for step in range(1000):
                gxt.log_metric("loss", step / 7, step=step)
        """
    )
    trained.check()
    run = the_run(trained.repo, "trained")
    assert (run.status, steps(trained.repo, run)) == ("finished", list(range(1000)))
    assert len(catalog.read_file(trained.repo, run, "artifacts/noise.bin") or b"") == 1_500_000


def test_a_large_artifact_needs_no_room_for_its_commit(train_on_a_small_disk: Train) -> None:
    trained = train_on_a_small_disk(
        """
        os.system("git config gxt.artifactStore $OUTSIDE/store; git config gxt.artifactUpload false")
        with gxt.start_run(run_name="trained") as run:
            run.provenance.thread.join()
            gxt.log_artifact(noise(1_500_000))
            fill(leave=300_000)
        assert gxt.get_run("trained").place == "branch"
        """
    )
    trained.check(warned=0)
    run = the_run(trained.repo, "trained")
    assert catalog.files(trained.repo, run)["artifacts/noise.bin"] == 1_500_000


def test_a_disk_that_has_room_again_before_the_end(train_on_a_small_disk: Train) -> None:
    """Nothing needs to be recovered: the run itself writes what was refused, in its order."""
    trained = train_on_a_small_disk(
        """
        with gxt.start_run(run_name="trained"):
            for step in range(3000):
                if step == 1000:
                    fill()
                if step == 2000:
                    free()
                gxt.log_metric("loss", step / 7, step=step)
        assert gxt.get_run("trained").place == "branch"
        """
    )
    trained.check()
    run = the_run(trained.repo, "trained")
    assert (run.status, steps(trained.repo, run)) == ("finished", list(range(3000)))


def test_a_process_that_is_killed_while_the_disk_is_full(train_on_a_small_disk: Train) -> None:
    trained = train_on_a_small_disk(
        """
        gxt.start_run(run_name="trained")
        gxt.log_param("before", 1)
        for step in range(2000):
            if step == 500:
                fill()
            gxt.log_metric("loss", step / 7, step=step)
        gxt.log_param("after", 2)
        gxt.log_text("text", "after.txt")
        os.kill(os.getpid(), 9)
        """
    )
    assert trained.code == 128 + 9 and trained.errors.count("GxtWarning") == 1
    run = the_run(trained.repo, "trained")
    assert (run.status, run.params) == ("killed", {"before": 1, "after": 2})
    assert steps(trained.repo, run) == list(range(2000))
    assert catalog.read_file(trained.repo, run, "artifacts/after.txt") == b"text"


def test_ranks_on_a_full_disk(train_on_a_small_disk: Train) -> None:
    """Several processes log to one run, and each of them keeps what the disk refuses to it."""
    trained = train_on_a_small_disk(
        """
        from multiprocessing import get_context
        def rank(number):
            for step in range(500):
                gxt.log_metric(f"loss {number}", step / 7, step=step)
            gxt.log_param(f"rank {number}", number)
        with gxt.start_run(run_name="trained"):
            fill()
            ranks = [get_context("fork").Process(target=rank, args=(number,)) for number in range(4)]
            for process in ranks:
                process.start()
            for process in ranks:
                process.join()
            assert [process.exitcode for process in ranks] == [0] * 4
            gxt.log_param("owner", 1)
        """
    )
    trained.check(warned=5)
    run = the_run(trained.repo, "trained")
    assert run.status == "finished" and run.params == {"owner": 1} | {f"rank {number}": number for number in range(4)}
    for number in range(4):
        assert steps(trained.repo, run, f"loss {number}") == list(range(500))


def test_equal_points_on_both_sides_of_a_full_disk_all_count(train_on_a_small_disk: Train) -> None:
    """A line that is kept elsewhere may read like one that the disk has taken."""
    trained = train_on_a_small_disk(
        """
        with gxt.start_run(run_name="trained"):
            for number in range(1000):
                if number == 500:
                    fill()
                gxt.log_metric("loss", 1.5, timestamp=1763886601123)
        """
    )
    trained.check()
    assert the_run(trained.repo, "trained").metrics["loss"].count == 1000


def test_a_disk_that_is_full_from_the_start(train_on_a_small_disk: Train) -> None:
    """Better told at once than after hours of training; and reading goes on."""
    trained = train_on_a_small_disk(
        """
        from gxt.errors import GxtError
        with gxt.start_run(run_name="before"):
            gxt.log_metric("loss", 1)
        fill()
        try:
            gxt.start_run(run_name="never")
        except GxtError as error:
            assert "cannot record in" in str(error) and "No space left" in str(error), error
        assert gxt.get_run("before").metrics["loss"].last == 1
        """
    )
    trained.check(warned=0)
    assert [run.name for run in catalog.listing(trained.repo).runs] == ["before"]


def test_a_full_disk_for_temporary_files(train_on_a_small_disk: Train, work: Path) -> None:
    """The repository has room; only the folder for temporary files has none."""
    trained = train_on_a_small_disk(
        f"""
        os.environ["TMPDIR"] = os.environ["DISK"]
        os.chdir({str(work)!r})
        fill()
        with gxt.start_run(run_name="trained"):
            for step in range(1000):
                gxt.log_metric("loss", step, step=step)
        """
    )
    trained.check(warned=0)
    repo = gxt_git.find(work)
    run = the_run(repo, "trained")
    assert (run.status, steps(repo, run)) == ("finished", list(range(1000)))


# --- modules of the user's that are called like Python's --------------------------------------------------------------


@pytest.mark.parametrize("module", ["secrets", "json", "click", "tempfile"])
def test_modules_of_the_current_folder_are_not_gxt_s(repo: Repository, work: Path, module: str) -> None:
    (work / f"{module}.py").write_text("API_KEY = undefined_name\n")
    assert run_python("-m", "gxt", "log", "-m", "a=1").returncode == 0
    assert catalog.find(repo, "@last").metrics["a"].last == 1


@pytest.mark.parametrize(
    ("module", "code", "command"), [("secrets", "x = undefined_name", "log"), ("difflib", "x = 1", "lgo")]
)
def test_a_module_in_the_way_of_python_s_own_is_named(
    repo: Repository, work: Path, module: str, code: str, command: str
) -> None:
    (work / f"{module}.py").write_text(f"{code}\n")
    call = f"from gxt.cli import main; main(['{command}', '-m', 'a=1'])"
    done = run_python("-c", call, check=False, PYTHONPATH=str(work))
    assert f"{work}/{module}.py is in the way of Python's own module {module}: " in done.stderr
    assert "bug" not in done.stderr and "rename it" in done.stderr and done.returncode == 1
