from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path

import pytest

from gxt import catalog, comparison, environment
from gxt.environment import host, machine
from gxt.git import Repository
from gxt.model import Run
from helpers import git, run_python


def write(root: Path, **files: str) -> Path:
    """Files below a folder that stands for `/`; `__` in a name is `/`."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_this_machine() -> None:
    found = environment.describe()
    assert found["python"] == platform.python_version() and found["implementation"] == "CPython"
    assert found["platform"].count("-") >= 2 and found["cpus"] == os.cpu_count()
    assert found["memory"] > 1 << 28
    order = "python implementation prefix platform distribution cpu cpus memory gpus gpu_driver cuda variables".split()
    order += ["container", "ci", "job"]
    assert [key for key in order if key in found] == list(found)


def test_the_kind_of_installation(tmp_path: Path) -> None:
    assert environment.prefix_kind("/usr", "/usr") == "system"
    assert environment.prefix_kind("/home/ada/.venv", "/usr") == "venv"
    (tmp_path / "conda-meta").mkdir()
    assert environment.prefix_kind(str(tmp_path), str(tmp_path)) == "conda"
    expected = "venv" if sys.prefix != sys.base_prefix else "system"
    assert environment.prefix_kind(sys.prefix, sys.base_prefix) == expected


def test_a_machine_with_gpus(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        proc__cpuinfo="processor\t: 0\nmodel name\t: AMD EPYC  7B13\nprocessor\t: 1\nmodel name\t: AMD EPYC  7B13\n",
        proc__driver__nvidia__version="NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release\n",
    )
    for i in range(2):
        folder = root / "proc" / "driver" / "nvidia" / "gpus" / f"0000:0{i}:00.0"
        folder.mkdir(parents=True)
        (folder / "information").write_text("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ: 1\n")
    (root / "etc").mkdir()
    (root / "etc" / "os-release").write_text('NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    assert machine.cpu_model(root) == "AMD EPYC 7B13"
    assert machine.distribution(root) == "Debian GNU/Linux 12 (bookworm)"
    found = machine.gpus(root)
    assert found["gpus"] == ["NVIDIA H100 80GB HBM3"] * 2 and found["gpu_driver"] == "550.54.15"
    assert machine.gpus(tmp_path / "nothing") == {"gpus": [], "gpu_driver": None}


def test_no_nvidia_smi_is_started(work: Path) -> None:
    stand_in = work / "bin" / "nvidia-smi"  # a script in its place, which hangs
    stand_in.parent.mkdir()
    stand_in.write_text(f"#!/bin/sh\ntouch {work}/started\nsleep 60\n")
    stand_in.chmod(0o755)
    run_python("-m", "gxt", "log", "-m", "a=1", PATH=f"{stand_in.parent}:{os.environ['PATH']}")
    assert not (work / "started").exists()


def test_variables_are_chosen_by_name_and_secrets_masked() -> None:
    environ = {
        "PYTHONHASHSEED": "0",
        "MY_URL": "https://ada:pw@example.com/",
        "MY_API_KEY": "x",
        "HOME": "/h",
        "RANK": "",
    }
    assert environment.variables(environ) == {"PYTHONHASHSEED": "0"}
    assert environment.variables(environ, ["MY_*"]) == {
        "MY_API_KEY": "***",
        "MY_URL": "https://example.com/",
        "PYTHONHASHSEED": "0",
    }


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, {}),
        ({"GITHUB_ACTIONS": "false"}, {}),
        (
            {
                "GITHUB_ACTIONS": "true",
                "GITHUB_SERVER_URL": "https://github.com",
                "GITHUB_REPOSITORY": "team/taxi",
                "GITHUB_RUN_ID": "4711",
                "GITHUB_JOB": "train",
                "GITHUB_SHA": "abc",
                "GITHUB_ACTOR": "ada",
            },
            {
                "ci": {
                    "kind": "github-actions",
                    "url": "https://github.com/team/taxi/actions/runs/4711",
                    "job": "train",
                    "sha": "abc",
                    "actor": "ada",
                }
            },
        ),
        (
            {"GITLAB_CI": "true", "CI_JOB_URL": "https://gitlab.com/t/-/jobs/1", "CI_JOB_NAME": "train"},
            {"ci": {"kind": "gitlab-ci", "url": "https://gitlab.com/t/-/jobs/1", "job": "train"}},
        ),
        (
            {"JENKINS_URL": "https://u:p@j/", "BUILD_URL": "https://u:p@j/1/"},
            {"ci": {"kind": "jenkins", "url": "https://j/1/"}},
        ),
        (
            {
                "TF_BUILD": "True",
                "SYSTEM_COLLECTIONURI": "https://dev.azure.com/t/",
                "SYSTEM_TEAMPROJECT": "p",
                "BUILD_BUILDID": "7",
            },
            {"ci": {"kind": "azure-pipelines", "url": "https://dev.azure.com/t/p/_build/results?buildId=7"}},
        ),
        (
            {
                "SLURM_JOB_ID": "12",
                "SLURM_ARRAY_JOB_ID": "10",
                "SLURM_ARRAY_TASK_ID": "2",
                "SLURM_JOB_PARTITION": "gpu",
            },
            {"job": {"kind": "slurm", "id": "12", "array": "10_2", "partition": "gpu"}},
        ),
        ({"APPTAINER_CONTAINER": "/images/a.sif"}, {"container": {"kind": "apptainer", "image": "/images/a.sif"}}),
    ],
)
def test_what_started_the_program(tmp_path: Path, environ: dict[str, str], expected: dict[str, object]) -> None:
    assert host.describe(environ, tmp_path) == expected


def test_containers(tmp_path: Path) -> None:
    oid = "ab" * 32
    mounts = f"1 2 0:1 /var/lib/docker/containers/{oid}/hostname /etc/hostname rw - ext4 /dev/a rw\n"
    docker = write(tmp_path / "docker", proc__self__mountinfo=mounts)
    (docker / ".dockerenv").touch()
    assert host.container({}, docker) == {"kind": "docker", "id": oid}
    assert host.container({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "train-x7"}, docker) == {
        "kind": "kubernetes",
        "name": "train-x7",
        "id": oid,
    }
    podman = tmp_path / "podman"
    (podman / "run").mkdir(parents=True)
    (podman / "run" / ".containerenv").write_text(
        'engine="podman-5"\nname="a"\nid="12"\nimage="docker.io/python:3.12"\n'
    )
    expected = {"kind": "podman", "id": "12", "image": "docker.io/python:3.12", "name": "a"}
    assert host.container({}, podman) == expected


def test_a_run_records_variables_that_git_s_configuration_names(repo: Repository, work: Path) -> None:
    git("config", "gxt.recordEnv", "TAXI_*")
    git("config", "--add", "gxt.recordEnv", "OTHER")
    code = "import gxt\nwith gxt.start_run() as run: print(run.info.run_id)"
    variables = {"TAXI_CITY": "nyc", "OTHER": "1", "NOT_ME": "2", "OMP_NUM_THREADS": "3", "GITLAB_CI": "true"}
    run_id = run_python(code=code, **variables, CI_JOB_NAME="train").stdout.strip()
    found = catalog.find(repo, run_id).environment
    assert found["variables"] == {"OMP_NUM_THREADS": "3", "OTHER": "1", "TAXI_CITY": "nyc"}
    assert found["ci"] == {"kind": "gitlab-ci", "job": "train"}
    shown = run_python("-m", "gxt", "show", run_id).stdout
    assert "OMP_NUM_THREADS=3, OTHER=1" in shown and "gitlab-ci, job train" in shown


def test_a_comparison_passes_over_what_no_two_runs_share() -> None:
    def run(**about: object) -> Run:
        return Run(
            id="20261123-083000-3f9a1c2e", experiment="taxi", name="a", environment={"python": "3.11.7", **about}
        )

    one = run(
        memory=67_000_000_000, ci={"kind": "gitlab-ci", "url": "https://x/1"}, container={"kind": "docker", "id": "a"}
    )
    other = run(
        memory=67_000_100_000, ci={"kind": "gitlab-ci", "url": "https://x/2"}, container={"kind": "docker", "id": "b"}
    )
    assert not comparison.findings.environment([one, other])
    local = run(memory=8 << 30, variables={"OMP_NUM_THREADS": "4"})
    found = comparison.findings.environment([one, local])
    assert {each.name: each.values for each in found} == {
        "memory": ("62 GiB", "8 GiB"),
        "ci.kind": ("gitlab-ci", None),
        "container.kind": ("docker", None),
        "variables.OMP_NUM_THREADS": (None, "4"),
    }


def test_json_has_all_of_it(work: Path) -> None:
    run_id = run_python("-m", "gxt", "log", "-m", "a=1", SLURM_JOB_ID="12").stdout.strip()
    shown = json.loads(run_python("-m", "gxt", "show", run_id, "--json").stdout)
    assert shown["environment"]["job"] == {"kind": "slurm", "id": "12"}
