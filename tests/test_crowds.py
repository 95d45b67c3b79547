"""Many who record at once: ranks of a job, pools of workers, forks among threads, and a user who works in git."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gxt import catalog, live, recorder, store
from gxt import git as git_module
from gxt.git import Repository
from gxt.live import LiveRun
from gxt.model import Run
from gxt.recorder import ActiveRun
from helpers import git, run_python, write_script
from soundness import check_sound

GXT = [sys.executable, "-m", "gxt"]


def all_runs(repo: Repository) -> dict[str, Run]:
    """Every run by name; fails unless all are on the branch and the repository is sound."""
    store.commit_pending(repo)
    check_sound(repo)
    assert not list(repo.common_dir.glob("fast_import_crash_*"))
    listing = catalog.listing(repo)
    assert listing.problems == []
    assert {run.place for run in listing.runs} <= {"branch"}
    assert live.live_runs(store.root(repo)) == [] and live.pending_runs(store.root(repo)) == []
    names = Counter(run.name for run in listing.runs)
    assert max(names.values(), default=1) == 1, names
    return {run.name or run.id: run for run in listing.runs}


def the_run(repo: Repository) -> Run:
    (run,) = all_runs(repo).values()
    return run


def steps(repo: Repository, run: Run, metric: str) -> list[int]:
    """The steps at which a metric was logged, in their order in the file."""
    return [point.step for point in catalog.points(repo, run) if point.metric == metric]


# --- ranks of one job -------------------------------------------------------------------------------------------

RANKS, POINTS = 8, 200

# As torchrun and mpirun start them: the same script, told apart by a variable.
RANK = f"""
    import os, warnings
    warnings.simplefilter("error")
    import gxt

    rank = int(os.environ["RANK"])
    with gxt.start_run(run_id=os.environ.get("JOIN_BY_ID")) as run:
        gxt.log_params({{"world_size": {RANKS}, f"device_{{rank}}": f"cuda:{{rank}}"}})
        gxt.set_tag(f"rank_{{rank}}", "up")
        for step in range({POINTS}):
            gxt.log_metrics({{f"loss/{{rank}}": step / 7, "loss": rank}}, step=step)
        gxt.log_text(f"rank {{rank}}", f"logs/{{rank}}.txt")
"""
LAUNCHER = f"""
    import os, subprocess, sys
    ranks = [
        subprocess.Popen([sys.executable, sys.argv[1]], env=os.environ | {{"RANK": str(n)}}) for n in range({RANKS})
    ]
    assert [rank.wait() for rank in ranks] == [0] * {RANKS}
"""


@pytest.mark.parametrize("way", ["gxt run", "start_run", "GXT_RUN_ID", "run_id"])
def test_eight_ranks_log_to_one_run(repo: Repository, work: Path, tmp_path: Path, way: str) -> None:
    rank = str(write_script(tmp_path / "rank.py", RANK))
    launcher = str(write_script(tmp_path / "launcher.py", LAUNCHER))
    if way == "gxt run":
        subprocess.run([*GXT, "run", "-n", "job", "--", sys.executable, launcher, rank], check=True)
    elif way == "start_run":
        run_python(rank, code='import gxt\ngxt.start_run(run_name="job")\n' + textwrap.dedent(LAUNCHER))
    else:
        started = subprocess.run([*GXT, "start", "-n", "job"], capture_output=True, text=True, check=True)
        run_id = started.stdout.strip()
        if way == "run_id":
            run_python(launcher, rank, JOIN_BY_ID=run_id)
        else:
            run_python(launcher, rank, GXT_RUN_ID=run_id)
        subprocess.run([*GXT, "finish", run_id], check=True)
    run = the_run(repo)
    assert (run.name, run.status) == ("job", "finished")
    assert run.params == {"world_size": RANKS} | {f"device_{n}": f"cuda:{n}" for n in range(RANKS)}
    assert run.tags == {f"rank_{n}": "up" for n in range(RANKS)}
    for number in range(RANKS):
        assert steps(repo, run, f"loss/{number}") == list(range(POINTS))
        assert catalog.read_file(repo, run, f"artifacts/logs/{number}.txt") == f"rank {number}".encode()
    assert Counter(steps(repo, run, "loss")) == dict.fromkeys(range(POINTS), RANKS)


def test_ranks_that_outlive_the_first(repo: Repository, work: Path, tmp_path: Path) -> None:
    """Rank 0 owns the run and ends it while the others are in the middle: they add to it, all of them at once."""
    rank = write_script(
        tmp_path / "rank.py",
        f"""
        import sys, warnings
        warnings.simplefilter("error")
        import gxt
        rank = int(sys.argv[1])
        with gxt.start_run(run_name=None if rank else "job"):
            for step in range({POINTS}):
                if step == {POINTS // 2}:
                    print("half way", flush=True)
                    sys.stdin.readline()
                gxt.log_metric(f"loss/{{rank}}", step / 7, step=step)
            gxt.log_param(f"late_{{rank}}", rank)
            gxt.log_text("late", f"late/{{rank}}.txt")
        """,
    )

    def start(number: int, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(rank), str(number)],
            env=os.environ | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout and process.stdout.readline() == "half way\n"
        return process

    first = start(0)
    (folder,) = live.live_runs(store.root(repo))
    others = [start(number, GXT_RUN_ID=folder.name) for number in range(1, 6)]
    assert first.communicate("go on\n")[1] == ""
    assert catalog.find(repo, "job").place == "branch"
    for process in others:
        assert process.stdin
        process.stdin.write("go on\n")
        process.stdin.flush()
    assert "".join(process.communicate()[1] for process in others) == ""
    run = the_run(repo)
    assert (run.status, run.params) == ("finished", {f"late_{number}": number for number in range(6)})
    for number in range(6):
        assert steps(repo, run, f"loss/{number}") == list(range(POINTS))
        assert catalog.read_file(repo, run, f"artifacts/late/{number}.txt") == b"late"


def test_a_run_that_ends_while_others_are_committed_can_be_added_to(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ending takes no lock: it may come between taking along what waits and opening the run again."""
    run = recorder.begin(repo, "taxi", name="a")
    real, left = store.commit_waiting, [run]

    def committing(repo: Repository) -> list[Run]:
        taken = real(repo)
        for ending in left[:]:
            left.clear()
            ending._stop_threads()
            ending._live.finish()
        return taken

    monkeypatch.setattr(store, "commit_waiting", committing)
    again, before = recorder._reopen(repo, run.run_id)
    assert (before.status, again.is_owner) == ("finished", True)
    again.discard()


LATE_CALLS: dict[str, Callable[[ActiveRun], object]] = {
    "log_metric": lambda run: run.log_metric("late", 1),
    "log_metrics": lambda run: run.log_metrics({"late": 1}),
    "log_param": lambda run: run.log_param("late", 1),
    "set_tag": lambda run: run.set_tag("late", 1),
    "set_note": lambda run: run.set_note("late"),
    "log_text": lambda run: run.log_text("late", "deep/late.txt"),
}


@pytest.mark.parametrize("call", LATE_CALLS)
def test_a_run_that_others_end_again_and_again_under_a_late_writer(
    repo: Repository, work: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Each time it joins those who add to the ended run, they are done and gone before it has written anything."""
    owner = recorder.begin(repo, "taxi")
    late = recorder.join(repo, owner.run_id)
    owner.end()
    attach = recorder._attach
    left = 5

    def join_and_see_it_end(repo: Repository, run_id: str) -> tuple[LiveRun, Run]:
        nonlocal left
        if not left:
            return attach(repo, run_id)
        left -= 1
        monkeypatch.setattr(recorder, "_attach", attach)
        others = recorder.amend(repo, run_id)
        joined = attach(repo, run_id)
        others.end()
        monkeypatch.setattr(recorder, "_attach", join_and_see_it_end)
        return joined

    monkeypatch.setattr(recorder, "_attach", join_and_see_it_end)
    LATE_CALLS[call](late)
    late.end()
    run = the_run(repo)
    assert left == 0 and run.status == "finished"
    logged = {
        "log_metric": lambda: run.metrics["late"].count == 1,
        "log_metrics": lambda: run.metrics["late"].count == 1,
        "log_param": lambda: run.params == {"late": 1},
        "set_tag": lambda: run.tags == {"late": "1"},
        "set_note": lambda: run.note == "late",
        "log_text": lambda: catalog.read_file(repo, run, "artifacts/deep/late.txt") == b"late",
    }
    assert logged[call]()


def test_a_run_that_others_end_while_a_folder_is_made_in_it(
    repo: Repository, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder was there already, and then is not: that is no mistake of the caller's."""
    owner = recorder.begin(repo, "taxi")
    late = recorder.join(repo, owner.run_id)
    owner.end()
    others = [recorder.amend(repo, owner.run_id)]
    late.log_text("first", "first.txt")
    is_dir = Path.is_dir

    def see_it_end(path: Path) -> bool:
        if path.name == "artifacts" and others:
            others.pop().end()
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", see_it_end)
    late.log_text("second", "second.txt")
    assert others == []
    late.end()
    run = the_run(repo)
    for name in ("first", "second"):
        assert catalog.read_file(repo, run, f"artifacts/{name}.txt") == name.encode()


def test_what_is_still_written_while_git_commits_is_committed_too(
    repo: Repository, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread or a process may be past every check when the run ends, and write a moment later."""
    run = recorder.begin(repo, "taxi")
    late = live.LiveRun(store.root(repo), run.run_id)
    commit = git_module.commit_files
    rounds = 3

    def write_after_it(*args: Any) -> str:
        nonlocal rounds
        committed = commit(*args)
        if rounds:
            rounds -= 1
            late.metrics.append(f"{rounds},late,1,5\n".encode())
            late.record("tags", values={f"late {rounds}": "yes"})
        return committed

    monkeypatch.setattr(git_module, "commit_files", write_after_it)
    run.end()
    found = the_run(repo)
    assert (found.status, steps(repo, found, "late")) == ("finished", [2, 1, 0])
    assert found.tags == {f"late {number}": "yes" for number in range(3)}


# --- pools of workers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_pool(repo: Repository, work: Path, tmp_path: Path, method: str) -> None:
    """Tasks that log to the study, and have runs of their own below it."""
    script = write_script(
        tmp_path / "pool.py",
        f"""
        import multiprocessing, warnings
        from concurrent.futures import ProcessPoolExecutor
        warnings.simplefilter("error")
        import gxt

        def trial(number):
            gxt.log_metric("started", number, step=number)
            with gxt.start_run(run_name=f"trial {{number}}", nested=True):
                gxt.log_param("number", number)
                for step in range(20):
                    gxt.log_metric("loss", number / (step + 1), step=step)
            gxt.log_metric("ended", number, step=number)
            return number

        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            with gxt.start_run(run_name="study", experiment_name="sweep"):
                with ProcessPoolExecutor(3, mp_context=context) as pool:
                    assert list(pool.map(trial, range(12))) == list(range(12))
        """,
    )
    assert run_python(str(script)).stderr == ""
    runs = all_runs(repo)
    study = runs.pop("study")
    assert set(runs) == {f"trial {number}" for number in range(12)}
    assert sorted(steps(repo, study, "started")) == sorted(steps(repo, study, "ended")) == list(range(12))
    for run in runs.values():
        assert (run.status, run.experiment, run.parent) == ("finished", "sweep", study.id)
        assert steps(repo, run, "loss") == list(range(20)) and run.metrics["loss"].max == run.params["number"]


@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_joblib(repo: Repository, work: Path, tmp_path: Path, backend: str) -> None:
    pytest.importorskip("joblib")
    script = write_script(
        tmp_path / "search.py",
        f"""
        import gxt
        from joblib import Parallel, delayed

        def fold(number):
            for step in range(20):
                gxt.log_metric(f"fold {{number}}", step, step=step)
            return number

        if __name__ == "__main__":
            with gxt.start_run(run_name="search"):
                tasks = (delayed(fold)(number) for number in range(10))
                assert Parallel(n_jobs=3, backend={backend!r})(tasks) == list(range(10))
        """,
    )
    run_python(str(script))
    run = the_run(repo)
    assert (run.name, run.status) == ("search", "finished")
    assert {name: steps(repo, run, name) for name in run.metrics} == {f"fold {n}": list(range(20)) for n in range(10)}


def test_workers_of_a_data_loader_outlive_the_run(repo: Repository, work: Path, tmp_path: Path) -> None:
    """Forked workers are there before, during and after the run; some log, and some only hold what they inherited."""
    script = write_script(
        tmp_path / "training.py",
        """
        import multiprocessing, warnings
        warnings.simplefilter("error")
        import gxt

        def load(number, tasks, batches):
            for task in iter(tasks.get, None):
                if number % 2:
                    gxt.log_metric(f"worker {number}", task, step=task)
                batches.put(task)

        def epoch(begin, end):
            for task in range(begin, end):
                for queue in queues:
                    queue.put(task)
                assert [batches.get() for _ in queues] == [task] * 4
                gxt.log_metric("trained", task, step=task)

        context = multiprocessing.get_context("fork")
        batches, queues = context.Queue(), [context.Queue() for _ in range(4)]
        with gxt.start_run(run_name="first"):
            tasks = [(number, queue, batches) for number, queue in enumerate(queues)]
            workers = [context.Process(target=load, args=args, daemon=True) for args in tasks]
            for worker in workers:
                worker.start()
            epoch(0, 20)
        assert gxt.get_run("first").place == "branch"  # with the workers alive
        with gxt.start_run(run_name="second"):
            epoch(20, 40)  # the workers still mean the run that they were born into
        for queue in queues:
            queue.put(None)
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
        """,
    )
    assert run_python(str(script)).stderr == ""
    runs = all_runs(repo)
    assert {name: run.status for name, run in runs.items()} == {"first": "finished", "second": "finished"}
    assert steps(repo, runs["first"], "trained") == list(range(20))
    assert steps(repo, runs["second"], "trained") == list(range(20, 40))
    for worker in ("worker 1", "worker 3"):
        assert steps(repo, runs["first"], worker) == list(range(40))
    assert set(runs["first"].metrics) == {"trained", "worker 1", "worker 3"}


def test_forks_among_threads_that_log(repo: Repository, work: Path, tmp_path: Path) -> None:
    """Whatever another thread holds at the moment of a fork, the child logs, and records a run of its own."""
    script = write_script(
        tmp_path / "forks.py",
        """
        import os, threading, warnings
        warnings.simplefilter("error")
        import gxt

        stop = threading.Event()

        def busy(number):
            step = 0
            while not stop.is_set() or step < 100:
                run.log_metric(f"thread {number}", step, step=step)
                run.log_param(f"param {number} {step % 50}", step % 50)
                if step % 40 == 0:
                    run.log_text("x" * 10_000, f"text/{number}/{step}.txt")
                step += 1
            counts[number] = step

        counts = {}
        run = gxt.start_run(run_name="parent")
        threads = [threading.Thread(target=busy, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for number in range(12):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    gxt.log_param(f"child {number}", number)
                    gxt.log_metric("child", number, step=number)
                    with gxt.start_run(run_name=f"child {number}", nested=True):
                        gxt.log_metric("n", number)
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitpid(child, 0)[1] == 0, number
        stop.set()
        for thread in threads:
            thread.join()
        gxt.log_params({f"count {number}": count for number, count in counts.items()})
        gxt.end_run()
        """,
    )
    assert run_python(str(script)).stderr == ""
    runs = all_runs(repo)
    parent = runs.pop("parent")
    assert {name: (run.metrics["n"].last, run.parent) for name, run in runs.items()} == {
        f"child {n}": (n, parent.id) for n in range(12)
    }
    assert steps(repo, parent, "child") == list(range(12))
    assert [parent.params[f"child {number}"] for number in range(12)] == list(range(12))
    for number in range(3):
        assert steps(repo, parent, f"thread {number}") == list(range(parent.params[f"count {number}"]))


# --- beside a user at work --------------------------------------------------------------------------------------

WRITER = """
    import sys, warnings
    warnings.simplefilter("error")
    import gxt
    gxt.set_experiment(f"exp {int(sys.argv[1]) % 2}")
    for number in range(int(sys.argv[2])):
        with gxt.start_run(run_name=f"{sys.argv[1]}.{number}"):
            gxt.log_param("number", number)
            gxt.log_text("x" * 5_000, "artifact.txt")
            for step in range(50):
                gxt.log_metric("loss", step / 7, step=step)
"""


def refs_of_gxt(work: Path) -> list[str]:
    return git("for-each-ref", "--format=%(refname)", "refs/gxt", cwd=work).split()


@pytest.mark.parametrize("count", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_runs_from_several_work_trees_while_the_user_works(
    work: Path, repo: Repository, tmp_path: Path, count: int
) -> None:
    """The user commits, rebases, stashes, adds work trees and collects garbage until the last run is there."""
    writer = write_script(tmp_path / "writer.py", WRITER)
    trees = [work, *(tmp_path / f"linked {number}" for number in range(3))]
    for tree in trees[1:]:
        git("worktree", "add", "-q", "--detach", str(tree), cwd=work)
    writers = [
        subprocess.Popen(
            [sys.executable, str(writer), str(number), str(count)], cwd=tree, stderr=subprocess.PIPE, text=True
        )
        for number, tree in enumerate(trees)
    ]
    expected = ["first"]
    rounds = 0
    while rounds < 2 or any(process.poll() is None for process in writers):
        rounds += 1
        (work / "code.py").write_text(f"{rounds}\n")
        git("add", ".", cwd=work)
        git("commit", "-q", "-m", f"commit {rounds}", cwd=work)
        git("commit", "-q", "--allow-empty", "-m", f"empty {rounds}", cwd=work)
        git("rebase", "-q", "--force-rebase", "--keep-empty", "HEAD~2", cwd=work)
        expected += [f"commit {rounds}", f"empty {rounds}"]
        (work / "code.py").write_text("stashed\n")
        git("stash", "-q", cwd=work)
        git("checkout", "-q", "-b", f"topic-{rounds}", cwd=work)
        git("worktree", "add", "-q", "--detach", str(tmp_path / "short-lived"), cwd=work)
        git("gc", "-q", "--prune=now", cwd=work)
        git("worktree", "remove", "--force", str(tmp_path / "short-lived"), cwd=work)
        git("checkout", "-q", "main", cwd=work)
        git("stash", "pop", "-q", cwd=work)
        git("checkout", "-q", "code.py", cwd=work)
    assert [process.communicate()[1] for process in writers] == [""] * len(writers)
    runs = all_runs(repo)
    assert set(runs) == {f"{tree}.{number}" for tree in range(len(trees)) for number in range(count)}
    for run in runs.values():
        assert (run.status, steps(repo, run, "loss")) == ("finished", list(range(50)))
        assert catalog.read_file(repo, run, "artifacts/artifact.txt") == b"x" * 5_000
    assert git("log", "--reverse", "--format=%s", "main", cwd=work).splitlines() == expected
    assert git("status", "--porcelain", cwd=work) == "" and git("stash", "list", cwd=work) == ""
    assert git("rev-list", "--max-parents=0", "--count", "gxt", cwd=work) == "1"
    branches = git("for-each-ref", "--format=%(refname:short)", "refs/heads", cwd=work).split()
    assert sorted(branches) == sorted(["gxt", "main", *(f"topic-{number + 1}" for number in range(rounds))])
    assert {ref.rpartition("/")[0] for ref in refs_of_gxt(work)} == {"refs/gxt/code"}
