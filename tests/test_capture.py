from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

import gxt.git
from gxt import capture, catalog, masking
from gxt.git import Repository
from helpers import git, run_python, write_script


def test_a_masked_argument_can_be_told_from_one_that_looks_masked() -> None:
    about = capture.command_about(["x", "a b", "***", "--token", "k", "password=k", "it's '***'"])
    assert shlex.split(about["command"]) == ["x", "a b", "***", "--token", "***", "password=***", "it's '***'"]
    assert about["masked"] == [4, 5]
    assert capture.command_about(["x", "***"])["masked"] == [] and "masked" not in capture.command_about(["x"])


def test_a_command_as_one_would_type_it() -> None:
    assert capture.command_text(["python", "a b.py", "--token", "k"]) == "python 'a b.py' --token ***"


def recorded(repo: Repository) -> gxt.Run:
    return catalog.find(repo, "@last")


SCRIPT = "import gxt\nwith gxt.start_run():\n    pass\n"


def test_a_script_is_its_run_s_entrypoint(repo: Repository, work: Path) -> None:
    (work / "src").mkdir()
    write_script(work / "src" / "fit.py", SCRIPT)
    run_python("src/fit.py", "--alpha", "0.1", "--api-key", "hunter2", "https://me:hunter2@example.com/x")
    source = recorded(repo).source
    assert source["entrypoint"] == "src/fit.py"
    assert source["command"].startswith(Path(sys.executable).name)
    assert source["command"].endswith("src/fit.py --alpha 0.1 --api-key *** https://example.com/x")
    everything = "".join(
        (catalog.read_file(repo, recorded(repo), path) or b"").decode() for path in catalog.files(repo, recorded(repo))
    )
    assert "hunter2" not in everything


def test_a_module_is_its_run_s_entrypoint(repo: Repository, work: Path) -> None:
    (work / "pack").mkdir()
    for name, code in (("__init__", ""), ("fit", SCRIPT), ("__main__", SCRIPT)):
        (work / "pack" / f"{name}.py").write_text(code)
    run_python("-m", "pack.fit")
    assert recorded(repo).source["entrypoint"] == "pack.fit"
    run_python("-m", "pack")
    assert recorded(repo).source["entrypoint"] == "pack"


def test_a_script_outside_of_the_repository_is_named_without_its_folders(
    repo: Repository, work: Path, tmp_path: Path
) -> None:
    write_script(tmp_path / "away.py", SCRIPT)
    run_python(str(tmp_path / "away.py"))
    source = recorded(repo).source
    assert source["entrypoint"] == "away.py"
    assert source["command"].endswith(f" {tmp_path / 'away.py'}")  # which is how it is found again


def test_a_command_that_we_start(work: Path, tmp_path: Path) -> None:
    origin = capture.command_origin(["bash", "-x", "train.py", "--token", "k"], work)
    assert origin == {"command": "bash -x train.py --token ***", "entrypoint": "train.py", "masked": [4]}
    assert capture.command_origin(["make", "train"], work)["entrypoint"] == "make"


def source(repo: Repository) -> dict[str, object]:
    settings = gxt.git.config(repo)
    return capture.source(settings, gxt.git.look(repo, settings, gxt.git.Deadline(60)))


def test_the_state_of_the_code(repo: Repository, work: Path) -> None:
    assert source(repo) == {"commit": git("rev-parse", "HEAD"), "branch": "main", "dirty": False}
    git("remote", "add", "upstream", "https://u:p@example.com/up.git")
    (work / "train.py").write_text("changed\n")
    found = source(repo)
    assert found["dirty"] is True and found["remote"] == "https://example.com/up.git"
    git("remote", "add", "origin", "git@example.com:team/taxi.git")
    assert source(repo)["remote"] == "git@example.com:team/taxi.git"
    git("config", "branch.main.remote", "upstream")
    assert source(repo)["remote"] == "https://example.com/up.git"


def test_a_repository_that_git_does_not_read_is_recorded_as_such(repo: Repository) -> None:
    head = git("rev-parse", "HEAD")
    (repo.git_dir / "index").write_bytes(b"broken")
    run_python(code=SCRIPT)
    found = recorded(repo)
    assert found.status == "finished" and "command" in found.source
    assert found.source["commit"] == head and found.source["branch"] == "main" and "dirty" not in found.source
    assert "index file" in found.source["problem"]


def test_installed_packages_are_pinned_and_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def install(name: str, version: str, **files: str) -> None:
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: not me\n")
        for file, content in files.items():
            (folder / file.replace("__", ".")).write_text(content)

    install("zeta", "1.0")
    install("Alpha_Beta", "2.0")
    install("made", "3", direct_url__json='{"url": "file:///home/ada/made", "dir_info": {"editable": true}}')
    install(
        "pinned",
        "4",
        direct_url__json='{"url": "https://u:p@example.com/r.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}',
    )
    install(
        "beside", "1", direct_url__json='{"url": "file:///home/ada/r", "vcs_info": {"vcs": "git", "commit_id": "abc"}}'
    )
    install("spoiled", "5", direct_url__json="{")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert capture.packages().splitlines() == [
        "Alpha_Beta==2.0",
        "beside==1  # from a local folder",
        "made==3  # editable",
        "pinned==4  # from https://example.com/r.git at abc",
        "spoiled==5",
        "zeta==1.0",
    ]


def test_a_notebook_that_a_command_executes_is_known(repo: Repository, work: Path) -> None:
    import nbformat

    (work / "notes").mkdir()
    cell = nbformat.v4.new_code_cell("import gxt\nwith gxt.start_run(): gxt.log_metric('a', 1)")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), work / "notes" / "fit.ipynb")
    run_python(str(Path(sys.executable).parent / "jupyter-execute"), "notes/fit.ipynb", JUPYTER_PLATFORM_DIRS="1")
    assert recorded(repo).source["entrypoint"] == "notes/fit.ipynb"
    assert b"gxt.log_metric('a', 1)" in (catalog.read_file(repo, recorded(repo), "notebook.py") or b"")


def test_of_several_notebooks_none_is_named(tmp_path: Path) -> None:
    def named(*words: str) -> str | None:
        (tmp_path / "cmdline").write_bytes("\0".join(words).encode())
        return capture._notebook_of_command(tmp_path)

    (tmp_path / "cwd").mkdir()
    for name in "ab":
        (tmp_path / "cwd" / f"{name}.ipynb").touch()
    assert named("python", "/bin/papermill", "a.ipynb", "b.ipynb") == str(tmp_path / "cwd" / "a.ipynb")
    assert named("python", "/bin/jupyter-nbconvert", "--execute", "a.ipynb", "b.ipynb") is None
    assert named("python", "/bin/jupyter-nbconvert", "--execute", "c.ipynb") is None
    assert named("python", "/bin/jupyter-lab", "a.ipynb") is None


def test_outside_of_notebooks_there_is_no_notebook() -> None:
    assert run_python(code="from gxt import capture; print(capture.notebook_path())").stdout == "None\n"


@pytest.mark.parametrize(
    "command",
    [
        ["unbundle", "https://ada:hunter2@host/runs.zip"],
        ["report", "--base", "https://ada:hunter2@host/x"],
        ["show", "https://hunter2@host/x"],
        ["-C", "https://ada:hunter2@127.0.0.1:1/x.git", "table"],
        ["table", "--https://ada:hunter2@host/x"],
        ["export", "https://ada:hunter2@host/x", "-e", "https://ada:hunter2@host/x"],
    ],
    ids=lambda command: command[0],
)
def test_what_an_argument_brought_is_masked_in_every_message(work: Path, command: list[str]) -> None:
    done = run_python("-m", "gxt", *command, check=False)
    assert done.returncode != 0 and done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_masked_messages() -> None:
    assert masking.mask_message("no such file: https:/a:b@host/x") == "no such file: https://host/x"
    assert masking.mask_message("no such file: C:/a@b/x") == "no such file: C:/a@b/x"
    assert masking.mask_message("vol:/data:ro@x") == "vol:/data:ro@x"
