"""gxt reproduce and gxt rerun, with real programs: from old code, in a folder of its own, recorded as a new run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from conftest import Done, Gxt
from gxt import __version__, catalog
from gxt.git import Repository, find
from gxt.model import Run
from helpers import checkout_state, git, put_on_branch, run_python, write_script

TRAIN = """
import argparse, math, sys
import gxt

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--data", default="data/trips.csv")
arguments = parser.parse_args()
rows = [float(line) for line in open(arguments.data)]
weight = 0.0
gxt.set_experiment("taxi")
with gxt.start_run():
    gxt.log_param("lr", arguments.lr)
    gxt.log_input(arguments.data)
    for step in range(30):
        weight -= arguments.lr * math.fsum(weight - row for row in rows) / len(rows)
        rmse = math.sqrt(math.fsum((weight - row) ** 2 for row in rows) / len(rows))
        gxt.log_metric("rmse", rmse, step=step)
print("trained on", len(rows))
"""


@pytest.fixture
def lesson(work: Path, repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose data git ignores, with a committed program that is not the one that will run."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    write_script(work / "train.py", TRAIN.replace("weight = 0.0", "weight = 100.0"))
    (work / ".gitignore").write_text("/data/\n__pycache__/\n")
    (work / "data").mkdir()
    (work / "data" / "trips.csv").write_text("".join(f"{(i * 37) % 11 / 7!r}\n" for i in range(50)))
    git("add", ".")
    git("commit", "-q", "-m", "the lesson")
    return work


def train(folder: Path, *arguments: str) -> None:
    run_python("train.py", *arguments, cwd=folder)


def last(folder: Path) -> Run:
    return catalog.find(find(folder), "@last")


def temporary_folders() -> list[Path]:
    return sorted(Path(tempfile.gettempdir()).glob("gxt-again-*"))


def test_a_run_from_a_dirty_tree_on_a_rebased_branch_by_a_colleague_holds_to_the_last_digit(
    gxt: Gxt, lesson: Path, tmp_path: Path
) -> None:
    git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    git("remote", "add", "origin", str(tmp_path / "hub.git"))
    git("push", "-q", "origin", "main")
    git("checkout", "-q", "-b", "idea")
    (lesson / "notes.md").write_text("an idea\n")
    git("add", ".")
    git("commit", "-q", "-m", "an idea")
    write_script(lesson / "train.py", "import helper\n" + TRAIN)  # uncommitted, with a file that git does not know
    (lesson / "helper.py").write_text("x = 1\n")
    train(lesson, "--lr", "0.37")
    then = last(lesson)
    assert then.source["dirty"] is True and then.metrics["rmse"].last != 0
    # The branch is rebased away, the changes are thrown away, and git forgets all about both.
    git("checkout", "-q", "-f", "main")
    git("clean", "-q", "-f")
    (lesson / "other.md").write_text("more\n")
    git("add", ".")
    git("commit", "-q", "-m", "more")
    git("rebase", "-q", "main", "idea")
    git("checkout", "-q", "main")
    git("reflog", "expire", "--expire=now", "--all")
    git("gc", "-q", "--prune=now")
    before = checkout_state(lesson)
    done = gxt("reproduce", "@last")
    assert "identical" in done.out and "held: " in done.out and "trained on 50" in done.err
    assert checkout_state(lesson) == before | {
        key: value for key, value in checkout_state(lesson).items() if "/.git/worktrees" in key
    }
    check_same(then, last(lesson))
    gxt("push")

    git("clone", "-q", "--no-local", str(tmp_path / "hub.git"), str(tmp_path / "bob"))
    os.chdir(tmp_path / "bob")
    gxt("pull")
    shutil.copytree(lesson / "data", "data")
    found = gxt("reproduce", then.id, "--json").json
    assert found["held"] is True and {metric["status"] for metric in found["metrics"]} == {"identical"}
    check_same(then, last(tmp_path / "bob"))
    assert found["new_run"] == last(tmp_path / "bob").id and found["run"] == then.id
    assert temporary_folders() == [] and len(git("worktree", "list").splitlines()) == 1


def check_same(then: Run, now: Run) -> None:
    """A run that reproduces another says so, and is of the very same code, data and metrics."""
    assert now.id != then.id and now.source["reproduces"] == then.id and now.status == "finished"
    assert now.metrics == then.metrics and now.params == then.params and now.inputs == then.inputs
    kept = ("command", "entrypoint", "commit", "branch", "dirty", "snapshot")
    assert [now.source.get(key) for key in kept] == [then.source.get(key) for key in kept]


def test_what_does_not_hold(gxt: Gxt, lesson: Path) -> None:
    write_script(
        lesson / "train.py",
        TRAIN.replace("rmse, step", "rmse * NOISE, step").replace(
            "import gxt", "import gxt, os, random\nNOISE = random.random() + 1"
        ),
    )
    train(lesson)
    done = gxt("reproduce", "@last", code=1)
    assert "differs" in done.out and "did not hold: " in done.out
    gxt("reproduce", "@last", "--tolerance", "200%", "--tolerance", "rmse=5000%")
    gxt("reproduce", "@last", "--tolerance", "rmse=1e-7%", "--dry-run")
    assert "has no metric 'nothing'" in gxt("reproduce", "@last", "--metric", "nothing", code=3).err
    assert "no tolerance 'much'" in gxt("reproduce", "@last", "--tolerance", "much", code=2).err


def test_data_that_has_changed_or_gone(gxt: Gxt, lesson: Path) -> None:
    train(lesson)
    then = last(lesson)
    runs = len(catalog.listing(_repo(lesson)).runs)
    data = lesson / "data" / "trips.csv"
    data.write_text(data.read_text() + "9.0\n")
    refused = gxt("reproduce", "@last", code=2).err
    assert "data/trips.csv is not what run" in refused and "its content has changed" in refused
    assert len(catalog.listing(_repo(lesson)).runs) == runs
    assert "its content has changed" in gxt("rerun", "@last").err
    data.unlink()
    gone = gxt("reproduce", "@last", code=8)
    assert (
        "data/trips.csv, which it read, is not here" in gone.err and "the command failed with exit code 1" in gone.out
    )
    assert "cannot be told: the command failed, " in gone.out
    found = gxt("reproduce", then.id, "--json", code=8).json
    assert (found["held"], found["status"], found["exit_code"]) == (None, "failed", 1)


def _repo(folder: Path) -> Repository:
    return find(folder)


def test_a_program_that_writes_where_it_read_changes_nothing_of_the_user_s(gxt: Gxt, lesson: Path) -> None:
    write_script(lesson / "train.py", TRAIN + "open(arguments.data, 'a').write('1.0\\n')\n")
    train(lesson)
    content = (lesson / "data" / "trips.csv").read_text()
    (lesson / "data" / "trips.csv").write_text(content.removesuffix("1.0\n"))
    before = (lesson / "data" / "trips.csv").read_bytes()
    gxt("reproduce", "@last")
    assert (lesson / "data" / "trips.csv").read_bytes() == before


def test_a_rerun_with_changes(gxt: Gxt, lesson: Path) -> None:
    train(lesson, "--lr", "0.5")
    then = last(lesson)
    before = len(catalog.listing(_repo(lesson)).runs)
    said = gxt("rerun", then.id, "-p", "lr=0.25", "--dry-run").out
    assert "lr: 0.5 → 0.25" in said and "train.py --lr 0.25" in said
    assert len(catalog.listing(_repo(lesson)).runs) == before
    done = gxt("rerun", then.id, "-p", "lr=0.25", "-n", "slower")
    now = last(lesson)
    assert now.name == "slower" and now.params["lr"] == 0.25 and now.source["rerun_of"] == then.id
    assert now.source["command"].endswith("train.py --lr 0.25") and "reproduces" not in now.source
    assert now.source["snapshot"] == then.source["snapshot"] and "lr: 0.5 → 0.25" in done.out
    refused = gxt("rerun", then.id, "-p", "depth=3", code=2).err
    assert "no argument for the param depth" in refused and f"gxt rerun {then.id} --" in refused
    assert f"gxt reproduce {then.id} -- " in gxt("reproduce", then.id, "-p", "depth=3", code=2).err
    gxt("rerun", then.id, "--", "python", "train.py", "--lr", "0.125")
    assert last(lesson).params["lr"] == 0.125
    assert gxt("table", "--where", f"code.rerun_of = '{then.id}'", "--json").json[0]["params"] == {"lr": 0.125}


def test_a_command_that_fails_leaves_its_folder(gxt: Gxt, lesson: Path) -> None:
    write_script(
        lesson / "train.py",
        TRAIN + "sys.exit(3 if 'again' in __file__ or 'again' in __import__('os').getcwd() else 0)\n",
    )
    train(lesson)
    then = last(lesson)
    done = gxt("reproduce", "@last", code=8)
    assert "the command failed with exit code 3; then, it finished" in done.out
    assert (last(lesson).status, last(lesson).exit_code) == ("failed", 3)
    (folder,) = temporary_folders()
    kept = folder / "work"
    assert f"kept {kept} for a day" in done.err and (kept / "train.py").exists()
    git("worktree", "remove", "--force", str(kept))
    assert gxt("rerun", then.id, code=3).code == 3


def test_keep(gxt: Gxt, lesson: Path) -> None:
    train(lesson)
    gxt("reproduce", "@last", "--keep")
    (folder,) = temporary_folders()
    kept = folder / "work"
    assert git("rev-parse", "HEAD", cwd=kept) == last(lesson).source["snapshot"]


def test_what_gxt_run_recorded(gxt: Gxt, lesson: Path) -> None:
    (lesson / "sub").mkdir()
    write_script(
        lesson / "sub" / "job.py", "import sys; print('job', sys.argv[1:]); open('../out.txt', 'w').write('x')"
    )
    os.chdir(lesson / "sub")
    gxt("run", "-e", "jobs", "-p", "depth=3", "-p", "seed=1", "--", "python", "job.py", "--depth", "3")
    os.chdir(lesson)
    (lesson / "out.txt").unlink()
    then = last(lesson)
    done = gxt("reproduce", "@last", code=2)
    now = last(lesson)
    assert "job ['--depth', '3']" in done.err and "no metric to compare" in done.out
    assert now.params == then.params and now.experiment == "jobs" and not (lesson / "out.txt").exists()
    gxt("rerun", "@last", "-p", "depth=4")
    assert last(lesson).params == {"depth": 4, "seed": 1}
    shell = write_script(lesson / "job.sh", "echo from a shell\n")
    gxt("run", "--", "sh", shell.name)
    assert "from a shell" in gxt("reproduce", "@last", code=2).err
    assert catalog.read_file(_repo(lesson), last(lesson), "output.log") == b"from a shell\n"


def test_one_of_several_runs_of_a_program(gxt: Gxt, lesson: Path) -> None:
    code = """
    import gxt
    gxt.set_experiment("taxi")
    for lr in (1, 2, 3):
        with gxt.start_run():
            gxt.log_param("lr", lr)
            gxt.log_metric("rmse", 1 / lr)
    """
    write_script(lesson / "train.py", code)
    train(lesson)
    (second,) = catalog.listing(_repo(lesson), where=["lr = 2"]).runs
    done = gxt("reproduce", second.id)
    assert "compared with" in done.out and "0.5" in done.out and "held: 1 identical" in done.out
    children = catalog.listing(_repo(lesson), where=["parent is not null"]).runs
    assert [child.source["snapshot"] for child in children] == [second.source["snapshot"]] * 2


def test_data_beside_the_repository_and_files_that_nothing_names(gxt: Gxt, lesson: Path) -> None:
    shutil.move(lesson / "data", lesson.parent / "data")
    (lesson / "data").mkdir()
    (lesson / "data" / "factor").write_text("2")
    write_script(lesson / "train.py", "factor = float(open('data/factor').read())\n" + TRAIN)
    train(lesson, "--data", "../data/trips.csv")
    failed = gxt("reproduce", "@last", code=8)
    assert "FileNotFoundError" in failed.err
    git("worktree", "prune")
    runs = catalog.listing(_repo(lesson), order_by=["started"]).runs
    gxt("reproduce", runs[0].id, "--with", "data/factor")
    assert "not in the work tree" in gxt("reproduce", runs[0].id, "--with", "/etc", code=2).err
    assert "no such file" in gxt("reproduce", runs[0].id, "--with", "nothing", code=2).err


def test_files_that_were_left_out_come_from_the_work_tree(gxt: Gxt, lesson: Path) -> None:
    write_script(
        lesson / "train.py",
        "import gxt\nwith gxt.start_run():\n"
        "    gxt.log_metric('size', len(open('extra.txt').read() + open('.env').read()))\n",
    )
    git("commit", "-q", "-a", "-m", "size")
    git("config", "gxt.snapshotMaxFile", "1k")
    (lesson / "extra.txt").write_text("x" * 2000)
    (lesson / ".env").write_text("TOKEN=s3cret\n")
    train(lesson)
    assert set(last(lesson).source["left_out"]) == {"extra.txt", ".env"}
    done = gxt("reproduce", "@last")
    assert ".env and extra.txt are taken as they are here; what they were is not known" in done.err
    assert last(lesson).metrics["size"].last == 2013
    (lesson / "extra.txt").write_text("x" * 1999)
    assert "extra.txt is not what run" in gxt("reproduce", "@last", code=2).err
    (lesson / "extra.txt").unlink()
    gone = gxt("reproduce", "@last", code=8).err
    assert "extra.txt, which was left out of the snapshot, is not here" in gone and "it read" not in gone


def test_a_folder_that_was_left_out_is_there_by_links(gxt: Gxt, lesson: Path) -> None:
    code = """
    import glob, os, gxt
    with gxt.start_run():
        gxt.log_metric("files", sum(len(files) for folder, _, files in os.walk(".") if "img" in folder))
        gxt.log_metric("found", len(glob.glob("img/*/*.png")))
    """
    write_script(lesson / "train.py", code)
    (lesson / "img" / "0").mkdir(parents=True)
    (lesson / "img" / "0" / "tracked.png").write_text("code\n")
    git("add", "train.py", "img")
    git("commit", "-q", "-m", "images")
    git("config", "gxt.snapshotMaxFiles", "10")
    for number in range(60):
        (lesson / "img" / str(number % 3)).mkdir(exist_ok=True)
        (lesson / "img" / str(number % 3) / f"{number}.png").write_text(f"{number}\n")
    train(lesson)
    assert last(lesson).source["left_out"] == {"img": {"problem": "60 files that git does not track"}}
    done = gxt("reproduce", "@last")
    assert last(lesson).metrics["found"].last == 61 and "held: 2 identical" in done.out
    assert "img is taken as it is here; what it was is not known" in done.err
    assert "img is large, and linked: the command must not write to it" in done.err
    assert temporary_folders() == []
    assert len(list((lesson / "img").rglob("*.png"))) == 61
    shutil.rmtree(lesson / "img")
    assert "img, which was left out of the snapshot, is not here" in gxt("reproduce", "@last", code=1).err


def test_a_repository_inside_takes_no_submodule_away(gxt: Gxt, lesson: Path) -> None:
    git("config", "--global", "protocol.file.allow", "always")
    for name in ("lib", "nested"):
        folder = (lesson.parent if name == "lib" else lesson) / name
        git("init", "-q", str(folder))
        (folder / "l.py").write_text("VALUE = 3\n")
        git("add", ".", cwd=folder)
        git("commit", "-q", "-m", "inner", cwd=folder)
    git("submodule", "--quiet", "add", str(lesson.parent / "lib"), "lib")
    git("commit", "-q", "-m", "with a submodule")
    write_script(
        lesson / "train.py", "import gxt\nfrom lib.l import VALUE\nwith gxt.start_run(): gxt.log_metric('v', VALUE)\n"
    )
    train(lesson)
    done = gxt("reproduce", "@last")
    assert "held: 1 identical" in done.out and "submodules are empty" not in done.err
    assert "nested is empty: .gitmodules does not name it, so there is no URL to bring it from" in done.err
    there = lesson.parent / "there"
    assert "submodule update --init --recursive -- lib` brings" in gxt("checkout", "@last", "--code", str(there)).err
    git("submodule", "--quiet", "update", "--init", "--recursive", "--", "lib", cwd=there)
    assert (there / "lib" / "l.py").exists()
    git("config", "--global", "--unset", "protocol.file.allow")
    assert "lib: git submodule failed: transport 'file' not allowed" in gxt("reproduce", "@last", code=8).err


@pytest.mark.parametrize(
    ("large", "said"),
    [
        ("data/more.csv", "data cannot be brought to {disk}/gxt-again-"),
        ("notes.txt", "gxt: the code takes 2.0 MB, and {disk}/gxt-again-"),
    ],
)
def test_no_room_for_the_code_or_its_data(lesson: Path, tmp_path: Path, large: str, said: str) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no disk can be mounted here")
    (lesson / large).write_text(f"{7:04}\n" * 400_000)
    git("add", ".")
    git("commit", "-q", "--allow-empty", "-m", "more")
    write_script(lesson / "train.py", "import gxt\nwith gxt.start_run(): gxt.log_input('data')\n")
    train(lesson)
    (disk := tmp_path / "disk").mkdir()
    script = f"mount -t tmpfs -o size=1m none {disk} && TMPDIR={disk} exec gxt reproduce @last"
    command = ["unshare", "-rm", "--propagation", "private", "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.format(disk=disk) in done.stderr and "TMPDIR" in done.stderr, done.stderr
    assert done.returncode in (1, 5) and len(catalog.listing(find(lesson)).runs) == 1


def test_the_code_imports_itself_and_not_what_is_installed_as_editable(gxt: Gxt, lesson: Path) -> None:
    (lesson / "src" / "taxilib").mkdir(parents=True)
    (lesson / "src" / "taxilib" / "__init__.py").write_text("VALUE = 1\n")
    write_script(
        lesson / "train.py", "import taxilib, gxt\nwith gxt.start_run(): gxt.log_metric('value', taxilib.VALUE)\n"
    )
    folder = Path(os.environ["HOME"]) / "site"
    folder.mkdir()
    os.environ["PYTHONPATH"] = str(lesson / "src")  # as a .pth file of `pip install -e` would have it
    try:
        train(lesson)
        (lesson / "src" / "taxilib" / "__init__.py").write_text("VALUE = 2222\n")
        done = gxt("reproduce", "@last")
    finally:
        del os.environ["PYTHONPATH"]
    assert "held: 1 identical" in done.out and last(lesson).metrics["value"].last == 1


def test_variables_are_set_as_they_were(gxt: Gxt, lesson: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_script(
        lesson / "train.py", "import os\nprint('threads', os.environ.get('OMP_NUM_THREADS'), os.environ.get('RANK'))\n"
    )
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("RANK", "7")
    gxt("run", "--", "python", "train.py")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("RANK")
    assert "threads 3 None" in gxt("reproduce", "@last", code=2).err  # nothing to compare
    assert last(lesson).environment["variables"]["OMP_NUM_THREADS"] == "3"


def test_other_packages_are_told(gxt: Gxt, lesson: Path) -> None:
    train(lesson)
    path = f"experiments/taxi/{last(lesson).id}/"
    listed = git("show", f"gxt:{path}environment.txt").replace("click==", "click==0.")
    put_on_branch(path + "environment.txt", listed + "\n")
    put_on_branch(path + "run.yaml", git("show", f"gxt:{path}run.yaml").replace("python: 3", "python: 2") + "\n")
    said = gxt("reproduce", "@last").err
    assert "1 package is not what the run had: click 0." in said and "Python is 3." in said


def wheel(folder: Path, name: str, version: str, code: str) -> None:
    """A package that pip can install without a network."""
    folder.mkdir(exist_ok=True)
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", code)
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", f"{name}.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n")


@pytest.mark.parametrize("by", ["uv", "pip"])
def test_an_environment_with_the_recorded_packages(
    gxt: Gxt, lesson: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    which = shutil.which
    if by == "uv" and which("uv") is None:
        pytest.skip("uv is not installed")
    monkeypatch.setattr(
        shutil, "which", lambda name, *rest, **more: None if (name, by) == ("uv", "pip") else which(name, *rest, **more)
    )
    wheel(tmp_path / "wheels", "taxidep", "1.0", "VALUE = 1\n")
    wheel(tmp_path / "wheels", "taxidep", "2.0", "VALUE = 2\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    write_script(lesson / "dep.py", "import taxidep; print('value', taxidep.VALUE)")
    git("add", ".")
    git("commit", "-q", "-m", "dep")
    gxt("run", "--", "python", "dep.py", code=1)
    then = last(lesson)
    path = f"experiments/default/{then.id}/environment.txt"
    put_on_branch(path, "taxidep==1.0\nmine==1  # editable\n")
    done = gxt("rerun", then.id, "--env", "venv")
    assert "value 1" in done.err and "mine" in done.err and "making an environment with 1 package," in done.err
    assert "taxidep==1.0" in str(catalog.read_file(_repo(lesson), last(lesson), "environment.txt"))
    assert "making an environment" not in gxt("rerun", then.id, "--env", "venv").err  # it is there already
    check_kept(gxt)
    # What is installed as editable from the work tree is imported from the old code; and gxt is there, again and again.
    (lesson / "lib" / "mine").mkdir(parents=True)
    (lesson / "lib" / "mine" / "__init__.py").write_text("VALUE = 5\n")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "own")], check=True)
    (site,) = (tmp_path / "own").glob("lib/python*/site-packages")
    (site / "mine.pth").write_text(f"{lesson / 'lib'}\n")  # as `pip install -e` has it
    monkeypatch.setenv("PATH", f"{tmp_path / 'own' / 'bin'}{os.pathsep}{os.environ['PATH']}")
    write_script(lesson / "dep.py", "import gxt, mine, taxidep; print('mine', mine.VALUE, gxt.__version__)")
    git("add", ".")
    git("commit", "-q", "-m", "mine")
    gxt("run", "--", "python", "dep.py", code=1)
    second = last(lesson)
    put_on_branch(path.replace(then.id, second.id), "git-gxt==0.1.0  # editable\ntaxidep==2.0\nmine==1  # editable\n")
    (lesson / "lib" / "mine" / "__init__.py").write_text("VALUE = 6666\n")
    assert f"mine 5 {__version__}" in gxt("rerun", second.id, "--env", "venv").err
    assert "git-gxt==" in str(catalog.read_file(_repo(lesson), last(lesson), "environment.txt"))
    assert "mine 5" in gxt("rerun", "@last", "--env", "venv").err
    put_on_branch(path, "taxidep==3.0\n")
    refused = gxt("rerun", then.id, "--env", "venv", code=3).err
    assert "the recorded packages could not be installed" in refused and "taxidep" in refused
    put_on_branch(path, None)
    assert "did not record its packages" in gxt("rerun", then.id, "--env", "venv", code=2).err


def check_kept(gxt: Gxt) -> None:
    """The one environment that there is goes on demand, or once nobody has used it for a month."""
    (folder,) = (Path(os.environ["XDG_CACHE_HOME"]) / "gxt" / "environments").glob("*/")
    known = gxt("gc", "--json").json["environments"]
    assert (known["removed"], known["kept"]) == ([], 1) and known["size"] > 10_000
    assert "kept 1 environment of --env venv, " in gxt("gc").out
    copy = Path(shutil.copytree(folder, folder.with_name("0123456789abcdef"), symlinks=True))
    old = (copy / "whole").stat().st_mtime - 31 * 86_400
    os.utime(copy / "whole", (old, old))
    assert gxt("gc", "--json").json["environments"]["removed"] == [str(copy)]
    assert folder.exists() and not copy.exists()
    shutil.copytree(folder, copy, symlinks=True)
    assert "removed 2 environments of --env venv, " in gxt("gc", "--environments").out and not folder.exists()


def test_a_notebook(gxt: Gxt, lesson: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    cells = [
        "import gxt",
        "lr = 0.5",
        "with gxt.start_run():\n    gxt.log_param('lr', lr)\n    gxt.log_metric('rmse', lr * 3)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.cells[1].metadata["tags"] = ["parameters"]
    (lesson / "notes").mkdir()
    nbformat.write(notebook, lesson / "notes" / "a.ipynb")
    write_script(
        lesson / "train.py",
        "import gxt\nwith gxt.start_run():\n    gxt.log_param('lr', 0.5)\n    gxt.log_metric('rmse', 1.5)\n",
    )
    train(lesson)
    then = last(lesson)
    path = f"experiments/default/{then.id}/run.yaml"
    text = git("show", f"gxt:{path}").splitlines()
    kept = [line for line in text if not line.startswith(("  command:", "  entrypoint:"))]
    put_on_branch(path, "\n".join(kept).replace("source:", "source:\n  entrypoint: notes/a.ipynb") + "\n")
    done = gxt("reproduce", then.id)
    assert "held: 1 identical" in done.out and last(lesson).source["entrypoint"] == "notes/a.ipynb"
    gxt("rerun", then.id, "-p", "lr=2")
    assert last(lesson).params == {"lr": 2} and last(lesson).metrics["rmse"].last == 6


def test_a_child_that_is_killed(lesson: Path) -> None:
    write_script(
        lesson / "train.py",
        "import os, signal, gxt\nwith gxt.start_run(): gxt.log_metric('a', 1)\n"
        "if os.environ.get('AGAIN'): os.kill(os.getpid(), signal.SIGTERM)\n",
    )
    train(lesson)
    done = subprocess.run(
        [sys.executable, "-m", "gxt", "reproduce", "@last"],
        cwd=lesson,
        env=os.environ | {"AGAIN": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 8 and last(lesson).status == "killed" and "exit code 143" in done.stdout


def test_an_argument_that_looks_masked_is_run_again(gxt: Gxt, lesson: Path) -> None:
    gxt("run", "--", "true", "***", "--glob=***")
    gxt("reproduce", "@last", code=2)  # there is no metric to compare
    assert last(lesson).source["command"] == "true *** '--glob=***'" and last(lesson).source["masked"] == []


def test_many_secrets_that_were_left_out_are_said_in_a_line(gxt: Gxt, lesson: Path) -> None:
    names = [".env", "a.pem", *(f"{number}.key" for number in range(12))]
    for name in names:
        (lesson / name).write_text("k\n")
    gxt("run", "--", "true")
    said = gxt("reproduce", "@last", code=2).err.splitlines()
    assert [line for line in said if ".env" in line] == [
        "gxt: 14 files that look like secrets were left out: .env, 0.key and 12 more",
        "gxt: .env, 0.key and 12 more are taken as they are here; what they were is not known",
    ]
    assert not [line for line in said if "a.pem" in line]


def test_secrets_are_not_run_again(gxt: Gxt, lesson: Path) -> None:
    gxt("run", "--", "true", "--token", "s3cret")
    assert "recorded without its secrets" in gxt("reproduce", "@last", code=2).err
    done: Done = gxt("reproduce", "@last", "-p", "token=s3cret", code=2)
    assert last(lesson).source["command"] == "true --token ***" and "s3cret" not in done.out
