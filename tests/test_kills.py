"""Processes that are killed, or told to end, at random moments: what was acknowledged is kept, and nothing is corrupt.

A victim records run after run, each by the same calls, and after each call that returned writes so into a pipe. Once it
is dead, a run must hold what was acknowledged, and nothing more but for the call that was under way.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gxt import catalog, layout, live, store
from gxt import git as gxt_git
from gxt.errors import GitError
from gxt.git import Repository
from gxt.model import Run
from helpers import git, run_python
from soundness import check_sound

BIG = "line of a large artifact\n" * 8000  # 200 KB: some pages, so that a copy takes its time
CALLS: list[tuple[str, Any]] = [
    ("params", {"alpha": 0.1, "model": {"depth": 3}}),
    ("metrics", {"loss": 4.0}),
    ("tags", {"stage": "dev"}),
    ("metrics", {"loss": 2.0, "acc": 0.25, "a,b": 1e300}),
    ("text", ["log.txt", "one\n"]),
    ("metrics", {"loss": 1.0}),
    ("params", {"batch": 32}),
    ("big", ["models/big.txt", ""]),
    ("metrics", {"loss": 0.5, "acc": 0.5}),
    ("tags", {"stage": "prod", "who": "ada"}),
    ("metrics", {"loss": 0.25}),
    ("text", ["sub/last.txt", "two\n"]),
]

VICTIM = textwrap.dedent("""
    import json, os, sys
    import gxt

    acknowledgements = int(sys.argv[1])

    def done(*words):
        os.write(acknowledgements, " ".join(words).encode() + b"\\n")

    def record(number, run):
        for kind, content in calls:
            if kind == "params":
                gxt.log_params(content)
            elif kind == "tags":
                gxt.set_tags(content)
            elif kind == "metrics":
                gxt.log_metrics(content, step=number)
            elif kind == "text":
                gxt.log_text(content[1], content[0])
            else:
                gxt.log_text(big, content[0])
            done("logged")

    def follow(frame, event, argument):
        place = frame.f_code.co_filename, frame.f_lineno
        if not place[0].endswith(followed):
            return None
        if event == "line" and place not in lines:
            lines.add(place)
            if len(lines) == last_line:
                os.kill(os.getpid(), 9)
        return follow

    calls, big = json.loads(sys.argv[2]), "line of a large artifact\\n" * 8000
    names = "recorder.py live.py store/runs.py store/commits.py git/commits.py git/process.py".split()
    followed = tuple(f"gxt/{name}" for name in names)
    lines, last_line = set(), int(sys.argv[3])
    gxt.start_run().discard()  # what is imported late is there now
    done("ready")
    sys.stdin.readline()
    if last_line:
        sys.settrace(follow)
    for number in range(3 if last_line else 100_000):
        done("lines", str(len(lines)))
        if number % 2:
            with gxt.start_run(experiment_name="odd") as run:
                done("start", run.run_id)
                record(number, run)
                done("ending")
        else:
            run = gxt.start_run(experiment_name="even")
            done("start", run.run_id)
            record(number, run)
            done("ending")
            gxt.end_run()
        done("ended")
""")


def pipe() -> tuple[int, int]:
    """A pipe that ends when the process that got its other end is dead, and none holds copies of that one's locks.

    A git that was just being started has copies of every file until it is under way, and closes them in the order of
    their numbers; this one is above all locks.
    """
    ours, low = os.pipe()
    theirs = fcntl.fcntl(low, fcntl.F_DUPFD, 200)
    os.close(low)
    return ours, theirs


@dataclass
class Acknowledged:
    """What a victim said of one run: its number among the victim's runs, and how far it came."""

    run_id: str
    number: int
    logged: int = 0
    ending: bool = False
    ended: bool = False


@dataclass
class Victim:
    """A process that records runs, and the pipe of its acknowledgements."""

    process: subprocess.Popen[bytes]
    pipe: int
    heard: bytes = b""
    runs: list[Acknowledged] = field(default_factory=list)

    def listen(self, deadline: float | None = None, lines: int | None = None) -> None:
        """Hear what it says until a time, a number of lines, or its end."""
        while lines is None or self.heard.count(b"\n") < lines:
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([self.pipe], [], [], left)[0]:
                    return
            piece = os.read(self.pipe, 1 << 16)
            self.heard += piece
            if not piece:
                return

    def begin(self) -> None:
        assert self.process.stdin
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()

    def end(self) -> tuple[int, str]:
        """Hear the rest; its exit code and what it complained of. Nobody holds a lock of its any more then."""
        self.listen()
        _, errors = self.process.communicate(timeout=60)
        os.close(self.pipe)
        for line in self.heard.decode().split("\n")[:-1]:
            word, *rest = line.split()
            if word == "start":
                self.runs.append(Acknowledged(rest[0], len(self.runs)))
            elif word == "logged":
                self.runs[-1].logged += 1
            elif word in ("ending", "ended"):
                setattr(self.runs[-1], word, True)
        return self.process.returncode, errors.decode()


def start_victim(last_line: int = 0) -> Victim:
    """A victim that is about to begin: it has imported gxt, or does so while others are looked at."""
    ours, theirs = pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(theirs), json.dumps(CALLS), str(last_line)],
        pass_fds=[theirs],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(theirs)
    return Victim(process, ours)


@contextmanager
def victims(last_lines: Sequence[int]) -> Iterator[Iterator[Victim]]:
    """Victims that are ready one after another; to save time, the next one gets ready meanwhile."""
    started: list[Victim] = []

    def each() -> Iterator[Victim]:
        for number in range(len(last_lines)):
            started.extend(start_victim(last_line) for last_line in last_lines[len(started) : number + 2])
            started[number].listen(lines=1)
            yield started[number]

    try:
        yield each()
    finally:
        for victim in started:
            if victim.process.poll() is None:
                victim.process.kill()
                victim.process.communicate()


class Moment(NamedTuple):
    """When to strike: so many seconds after the start, or after so many acknowledgements; git, too, or not."""

    seconds: float | None
    lines: int | None
    whole_group: bool

    def wait(self, victim: Victim) -> None:
        if self.seconds is not None:
            victim.listen(deadline=time.monotonic() + self.seconds)
        else:
            victim.listen(lines=self.lines)

    def strike(self, victim: Victim, number: int) -> None:
        if self.whole_group:
            os.killpg(victim.process.pid, number)
        else:
            victim.process.send_signal(number)


def moments(seed: int, count: int) -> list[Moment]:
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        by_time = chance.random() < 0.6  # most of the time goes into ends, most of the calls into logging
        found.append(
            Moment(
                chance.uniform(0, 0.2) if by_time else None,
                None if by_time else 3 + chance.randrange(3 * (len(CALLS) + 4)),
                chance.random() < 0.5,
            )
        )
    return found


# --- what a run must hold ---------------------------------------------------------------------------------------


class Content(NamedTuple):
    """What some of the calls come to."""

    params: dict[str, Any]
    tags: dict[str, str]
    points: list[tuple[int, str, float]]
    artifacts: dict[str, bytes]


def content_after(calls: int, number: int) -> Content:
    params: dict[str, Any] = {}
    tags: dict[str, str] = {}
    points: list[tuple[int, str, float]] = []
    artifacts: dict[str, bytes] = {}
    for kind, content in CALLS[:calls]:
        if kind == "params":
            params |= content
        elif kind == "tags":
            tags |= content
        elif kind == "metrics":
            points += [(number, name, value) for name, value in content.items()]
        else:
            artifacts[content[0]] = (content[1] or BIG).encode()
    return Content(params, tags, points, artifacts)


def check_content(found: Content, run: Acknowledged, where: str) -> None:
    """Everything acknowledged is there as it was logged, and nothing else but the call that was under way."""
    kept, at_most = content_after(run.logged, run.number), content_after(run.logged + 1, run.number)
    assert found.params in (kept.params, at_most.params), where
    assert found.tags in (kept.tags, at_most.tags), where
    assert len(kept.points) <= len(found.points), where
    assert found.points == at_most.points[: len(found.points)], where
    assert found.artifacts in (kept.artifacts, at_most.artifacts), where


def read_contents(repo: Repository, runs: list[Run]) -> list[Content]:
    """What is on the branch of these runs, through one git process."""
    names = [f"gxt:{layout.run_path(run.experiment, run.id)}/" for run in runs]
    kept = [content[0] for kind, content in CALLS if kind in ("text", "big")]
    paths = [layout.METRICS_CSV, *(f"{layout.ARTIFACTS}/{path}" for path in kept)]
    found = gxt_git.read_objects(repo, [name + path for name in names for path in paths])
    contents = []
    for index, run in enumerate(runs):
        csv, *artifacts = found[index * len(paths) : (index + 1) * len(paths)]
        points = [(point.step, point.metric, point.value) for point in layout.read_points(csv or b"")]
        present = {path: data for path, data in zip(kept, artifacts, strict=True) if data is not None}
        contents.append(Content(dict(run.params), dict(run.tags), points, present))
    return contents


def runs_on_branch(repo: Repository, acknowledged: list[Acknowledged], where: str) -> list[Run]:
    """These runs as they are on the branch; fails where one is not there."""
    wanted = {run.run_id: run for run in acknowledged}
    commit = store.tip(repo, {}).commit
    entries = [entry for entry in store.list_runs(repo, commit) if entry.run_id in wanted]
    runs, problems = store.read_runs(repo, entries, {})
    assert problems == [], where
    assert [run.id for run in runs] == sorted(wanted), where
    return sorted(runs, key=lambda run: wanted[run.id].number)


def check_contents(repo: Repository, acknowledged: list[Acknowledged], where: str) -> None:
    """Each of these runs is on the branch, with what it must hold and the status that it must have."""
    runs = runs_on_branch(repo, acknowledged, where)
    for found, run in zip(read_contents(repo, runs), acknowledged, strict=True):
        check_content(found, run, where)
    for found_run, run in zip(runs, acknowledged, strict=True):
        if not run.ending:
            assert found_run.status == "killed", where
        elif run.ended:
            assert found_run.status == "finished", where
        else:
            assert found_run.status in ("killed", "finished"), where


def check_repository(repo: Repository, work: Path, acknowledged: list[Acknowledged]) -> None:
    """Nothing is corrupt, nothing is left over, and no run is lost."""
    check_sound(repo)
    found = catalog.listing(repo)
    assert found.problems == []
    assert {run.run_id for run in acknowledged} <= {run.id for run in found.runs}
    assert {run.place for run in found.runs} == {"branch"}
    assert live.live_runs(store.root(repo)) == [] and live.pending_runs(store.root(repo)) == []
    assert git("status", "--porcelain", cwd=work) == ""
    assert git("rev-list", "--count", "main", cwd=work) == "1"


# --- kill -9 ----------------------------------------------------------------------------------------------------


def check_killed(repo: Repository, victim: Victim, where: str, or_not: bool = False) -> None:
    """After `kill -9`: the run that was recording shows as crashed, then as killed, and all is there."""
    code, errors = victim.end()
    assert errors == "" and (code == -signal.SIGKILL or (or_not and code == 0)), where
    if victim.runs and not victim.runs[-1].ending:
        (seen,) = catalog.listing(repo, run_id=victim.runs[-1].run_id).runs
        assert (seen.place, seen.status) == ("live", "crashed"), where
    try:
        store.commit_pending(repo)
    except GitError as error:  # git itself was killed while it moved the branch, and left the ref's lock
        assert "refs/heads/gxt.lock exists" in str(error), where
        (repo.common_dir / "refs" / "heads" / "gxt.lock").unlink()
        store.commit_pending(repo)
    check_contents(repo, victim.runs, where)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_killed_at_any_moment(repo: Repository, work: Path, seed: int) -> None:
    """25 moments for each seed, a hundred in all."""
    acknowledged: list[Acknowledged] = []
    when = moments(seed, 25)
    with victims([0] * len(when)) as line:
        for number, (victim, moment) in enumerate(zip(line, when, strict=True)):
            where = f"seed {seed}, kill {number}: {moment}"
            victim.begin()
            moment.wait(victim)
            moment.strike(victim, signal.SIGKILL)
            check_killed(repo, victim, where)
            acknowledged += victim.runs
    assert any(run.ended for run in acknowledged)
    check_repository(repo, work, acknowledged)


@pytest.mark.parametrize("every", [16, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_before_any_line(repo: Repository, work: Path, every: int) -> None:
    """Of the modules that write runs, before a line runs for the first time: each of them once, or some of them."""
    acknowledged: list[Acknowledged] = []
    with victims([10**9]) as line:
        whole = next(line)
        whole.begin()
        check_killed(repo, whole, "all of it", or_not=True)
    last_line = [int(said.split()[1]) for said in whole.heard.decode().splitlines() if said.startswith("lines")][1]
    chosen = range(1 + random.Random(every).randrange(every), last_line + 1, every)
    with victims(list(chosen)) as line:
        for at, victim in zip(chosen, line, strict=True):
            victim.begin()
            # What only the first commit does, or a commit that others are in the way of, is not for everybody.
            check_killed(repo, victim, f"before line {at} of {last_line}", or_not=True)
            acknowledged += victim.runs
    assert any(not run.ending for run in acknowledged) and any(run.ending for run in acknowledged)
    check_repository(repo, work, acknowledged)


# --- told to end ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("number", "codes"), [(signal.SIGTERM, {143}), (signal.SIGINT, {-2, 130})])
def test_told_to_end_at_any_moment(repo: Repository, work: Path, number: int, codes: set[int], seed: int) -> None:
    """The process itself puts its run on the branch, as killed; nobody has to recover anything."""
    acknowledged: list[Acknowledged] = []
    when = moments(seed, 16)
    with victims([0] * len(when)) as line:
        for count, (victim, moment) in enumerate(zip(line, when, strict=True)):
            where = f"signal {number}, seed {seed}, number {count}: {moment}"
            victim.begin()
            moment.wait(victim)
            moment.strike(victim, number)  # to git as well: Ctrl-C in a terminal, or a batch system's notice
            code, errors = victim.end()
            assert code in codes and "GxtWarning" not in errors, (where, errors)
            check_contents(repo, victim.runs, where + "\n" + errors)
            left = [*live.live_runs(store.root(repo)), *live.pending_runs(store.root(repo))]
            assert [folder for folder in left if not live.is_alive(folder)] == [], where + "\n" + errors
            acknowledged += victim.runs
    assert any(run.ended for run in acknowledged)
    check_repository(repo, work, acknowledged)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("place", ["recorder._create", "recorder.ActiveRun.__init__", "threading.Thread.start"])
def test_told_to_end_while_a_run_starts(repo: Repository, work: Path, place: str, number: int) -> None:
    """Right after the run's folder is there, after the run is known, and instead of the start of its thread."""
    done = run_python(
        code=f"""
        import os, threading
        import gxt
        from gxt import recorder
        gxt.start_run(run_name="before").end()
        begin = {place}

        def begin_and_be_told(*args, **options):
            {place} = begin
            made = None if begin is threading.Thread.start else begin(*args, **options)
            os.kill(os.getpid(), {int(number)})
            return made

        {place} = begin_and_be_told
        gxt.start_run(run_name="told")
        for step in range(1000):  # a signal that is held comes at the end of what it is held for
            gxt.log_metric("loss", step, step=step)
        os._exit(7)
        """,
        check=False,
    )
    assert done.returncode in (143, -2, 130) and "GxtWarning" not in done.stderr, done.stderr
    run = catalog.find(repo, "told")
    assert (run.status, run.place) == ("killed", "branch"), done.stderr
    check_repository(repo, work, [])


# --- gxt run ----------------------------------------------------------------------------------------------------

COMMAND = """
import os, sys, gxt
said = os.open(sys.argv[1], os.O_WRONLY)
gxt.start_run()
os.write(said, f"{os.getpid()}\\n".encode())
for step in range(40):
    if step == 20:
        sys.stdin.readline()
    gxt.log_metric("loss", step / 7, step=step)
    os.write(said, f"{step}\\n".encode())
gxt.end_run()
"""


class Recorded:
    """`gxt run` of a command that logs 20 points, waits for a line, and logs 20 more, acknowledging each."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        os.mkfifo(folder / "said")
        self._life, theirs = pipe()
        self.gxt = subprocess.Popen(
            [sys.executable, "-m", "gxt", "run", "--", sys.executable, "-c", COMMAND, str(folder / "said")],
            pass_fds=[theirs],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        os.close(theirs)
        self._said = open(folder / "said", "rb")  # noqa: SIM115 (waits until the command is there)
        self.command = int(self._said.readline())

    def listen(self, points: int | None = None) -> int:
        """Hear of some points, or of all there are until the command's end; the number of points heard of."""
        return sum(1 for _ in (self._said if points is None else (self._said.readline() for _ in range(points))))

    def wait(self) -> tuple[int, str]:
        """Wait for the end of `gxt run`; its exit code and what it complained of."""
        os.read(self._life, 1)
        os.close(self._life)
        assert self.gxt.stderr
        errors = self.gxt.stderr.read().decode()
        return self.gxt.wait(60), errors

    def go_on(self) -> None:
        assert self.gxt.stdin
        self.gxt.stdin.write(b"go on\n")
        self.gxt.stdin.flush()


def points_of(repo: Repository, run: Run) -> list[float]:
    return [point.value for point in catalog.points(repo, run)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_recorded_command_that_is_killed(repo: Repository, work: Path, tmp_path: Path, seed: int) -> None:
    recorded = Recorded(tmp_path / "pipes")
    heard = recorded.listen(random.Random(seed).randrange(20))
    os.kill(recorded.command, signal.SIGKILL)
    heard += recorded.listen()
    code, errors = recorded.wait()
    assert code == 128 + signal.SIGKILL, errors
    run = catalog.find(repo, "@last")
    assert (run.status, run.exit_code, run.place) == ("killed", 128 + signal.SIGKILL, "branch")
    assert points_of(repo, run) in ([step / 7 for step in range(n)] for n in (heard, heard + 1))
    check_repository(repo, work, [])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_command_outlives_the_gxt_run_that_records_it(
    repo: Repository, work: Path, tmp_path: Path, seed: int
) -> None:
    recorded = Recorded(tmp_path / "pipes")
    before = random.Random(seed).randrange(20)
    recorded.listen(before)
    recorded.gxt.kill()
    assert recorded.wait() == (-signal.SIGKILL, "")
    recorded.listen(20 - before)
    run = catalog.find(repo, "@last")
    assert (run.status, run.place) == ("crashed", "live")
    assert [found.id for found in store.commit_pending(repo)] == [run.id]
    run = catalog.find(repo, run.id)
    assert (run.status, run.place) == ("killed", "branch")
    assert points_of(repo, run) == [step / 7 for step in range(20)]
    recorded.go_on()
    assert recorded.listen() == 20
    store.commit_pending(repo)
    run = catalog.find(repo, run.id)
    assert (run.status, run.place) == ("killed", "branch")
    assert points_of(repo, run) == [step / 7 for step in range(40)]
    check_repository(repo, work, [])


@pytest.mark.parametrize("seed", [1, 2])
def test_gxt_run_and_its_command_killed_together(repo: Repository, work: Path, tmp_path: Path, seed: int) -> None:
    recorded = Recorded(tmp_path / "pipes")
    heard = recorded.listen(random.Random(seed).randrange(20))
    os.killpg(recorded.gxt.pid, signal.SIGKILL)
    heard += recorded.listen()
    assert recorded.wait()[0] == -signal.SIGKILL
    run = catalog.find(repo, "@last")
    assert (run.status, run.place) == ("crashed", "live")
    store.commit_pending(repo)
    run = catalog.find(repo, run.id)
    assert run.status == "killed" and points_of(repo, run)[:heard] == [step / 7 for step in range(heard)]
    check_repository(repo, work, [])
