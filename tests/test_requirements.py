"""`gxt env`: a run's packages for pip, conda and uv, tried with pip and, where it is installed, uv."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gxt.environment import requirements
from gxt.environment.requirements import CONDA, FORMATS, REQUIREMENTS, UV
from gxt.errors import UsageError
from gxt.model import Run
from helpers import run_python

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# An environment that is not activated has it beside its Python.
UV_PROGRAM = shutil.which(
    "uv", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
)

ENVIRONMENT = b"""\
click==8.1.7
demo==1.0  # from https://example.com/demo.git at 0123abc
direct==2.0  # from https://example.com/direct-2.0.zip
numpy==2.1.0  # from conda
pip==24.0
six==1.16.0  # from a local file
taxi==0.1  # editable
torch==2.3.0+cu121
tools==1  # from a local folder
"""
RUN = Run(
    id="20261123-083000-3f9a1c2e",
    experiment="taxi",
    name="calm otter",
    environment={"python": "3.11.7", "platform": "Linux-6.1.0-x86_64"},
)


def written(form: str, environment: bytes = ENVIRONMENT, run: Run = RUN) -> str:
    return requirements.write(run, requirements.read(environment), form)


def test_requirements() -> None:
    lines = [line for line in written(REQUIREMENTS).splitlines() if not line.startswith("#")]
    assert lines == [
        "click==8.1.7",
        "demo @ git+https://example.com/demo.git@0123abc",
        "direct @ https://example.com/direct-2.0.zip",
        "numpy==2.1.0",
        "pip==24.0",
        "six==1.16.0",
        "torch==2.3.0+cu121",
    ]
    assert "# Left out: taxi==0.1, editable\n# Left out: tools==1, from a local folder\n" in written(REQUIREMENTS)


def test_conda() -> None:
    found = yaml.safe_load(written(CONDA))
    assert found["name"] == "calm-otter" and found["channels"] == ["conda-forge"]
    *first, by_pip = found["dependencies"]
    assert first == ["python=3.11.7", "pip=24.0", "numpy=2.1.0"]
    assert by_pip["pip"][:2] == ["click==8.1.7", "demo @ git+https://example.com/demo.git@0123abc"]


def test_uv() -> None:
    found = tomllib.loads(written(UV))
    assert found["project"]["requires-python"] == "==3.11.7"
    assert found["project"]["dependencies"] == found["tool"]["uv"]["override-dependencies"]
    assert found["tool"]["uv"]["environments"] == ["sys_platform == 'linux' and platform_machine == 'x86_64'"]


def test_what_cannot_be_installed_elsewhere_is_said() -> None:
    said = " ".join(requirements.remarks(requirements.read(ENVIRONMENT)))
    for name in ("taxi==0.1", "tools==1", "six==1.16.0", "torch==2.3.0+cu121"):
        assert name in said
    assert "click" not in said and "numpy" not in said


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_that_others_wrote_gets_in(form: str) -> None:
    hostile = (
        b"--index-url https://evil.example\nevil==1; import os\n-e .\nok==1\n"
        b'a==1  # from https://x/"]\\nname = "evil at 1\nb==1  # from https://x/ --index-url=evil\n'
    )
    run = Run(
        id=RUN.id,
        experiment="taxi",
        name="x\n--index-url https://evil.example",
        environment={"python": '3"\nevil', "platform": "Linux\nevil==1-x86_64"},
    )
    text = written(form, hostile, run)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert not any("evil" in line and "name" not in line for line in lines)
    if form == REQUIREMENTS:
        assert lines == ["ok==1", "a==1", "b==1"]
    elif form == CONDA:
        assert yaml.safe_load(text)["dependencies"] == ["python", "pip", {"pip": ["ok==1", "a==1", "b==1"]}]
    else:
        assert tomllib.loads(text)["project"]["dependencies"] == ["ok==1", "a==1", "b==1"]


def test_the_command(work: Path) -> None:
    run_id = run_python("-m", "gxt", "log", "-m", "a=1").stdout.strip()
    done = run_python("-m", "gxt", "env", run_id)
    assert "\nclick==" in done.stdout and "git-gxt" in done.stdout + done.stderr
    (work / "environment.yml").write_text("mine")
    assert run_python("-m", "gxt", "env", run_id, "-o", "environment.yml", check=False).returncode == 2
    assert (work / "environment.yml").read_text() == "mine"
    run_python("-m", "gxt", "env", run_id, "-o", "environment.yml", "--force")
    assert yaml.safe_load((work / "environment.yml").read_text())["dependencies"][-1]["pip"]


def test_pip_takes_the_requirements_of_this_environment(work: Path) -> None:
    run_id = run_python("-m", "gxt", "log", "-m", "a=1").stdout.strip()
    run_python("-m", "gxt", "env", run_id, "-o", "requirements.txt")
    refused = run_python("-m", "gxt", "env", run_id, "-o", "uv.lock", check=False)
    assert refused.returncode == 2 and "-o pyproject.toml" in refused.stderr and not Path("uv.lock").exists()
    # All of it is installed here, so that pip has nothing to fetch.
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--dry-run", "-r", "requirements.txt"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Would install" not in done.stdout


def _wheel(folder: Path, name: str, version: str, requires: str = "") -> None:
    """A package of nothing but its metadata."""
    import zipfile

    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
    files: dict[str, Any] = {
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{name}.py": "",
    }
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"]))


@pytest.mark.skipif(UV_PROGRAM is None, reason="uv is not installed")
def test_uv_locks_and_installs_just_these_versions(work: Path) -> None:
    wheels = work / "wheels"
    wheels.mkdir()
    _wheel(wheels, "alpha", "1.0", "Requires-Dist: beta>=2\n")  # which was not what was installed
    _wheel(wheels, "beta", "1.0")
    _wheel(wheels, "beta", "2.0")
    run = Run(
        id=RUN.id, experiment="taxi", name="calm", environment={"python": ".".join(map(str, sys.version_info[:3]))}
    )
    (work / "pyproject.toml").write_text(written(UV, b"alpha==1.0\nbeta==1.0\n", run))
    command = [
        str(UV_PROGRAM),
        "sync",
        "--no-index",
        "--find-links",
        str(wheels),
        "--python",
        sys.executable,
        "--no-config",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    python = work / ".venv" / "bin" / "python"
    code = "import importlib.metadata as m; print(*sorted(f'{d.name}=={d.version}' for d in m.distributions()))"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert found == ["alpha==1.0", "beta==1.0"]


@pytest.mark.parametrize("name", ["uv.lock", "pylock.toml", "pylock.dev.toml", "Pipfile", "poetry.lock", "setup.cfg"])
def test_names_of_other_formats_are_refused(name: str) -> None:
    for asked in (None, *FORMATS):
        with pytest.raises(UsageError, match="another format"):
            requirements.form_of(name, asked)


def test_a_name_and_its_format() -> None:
    forms = {"": "requirements", "req.in": "requirements", "pinned": "requirements", "e.YAML": "conda", "p.toml": "uv"}
    assert {name: requirements.form_of(name) for name in forms} == forms
    assert requirements.form_of("", "uv") == requirements.form_of("pinned", "uv") == "uv"
    assert requirements.form_of("packages.json", "conda") == "conda"
    for name, asked in (("pyproject.toml", "requirements"), ("requirements.txt", "conda"), ("environment.yml", "uv")):
        with pytest.raises(UsageError, match="no name for the format"):
            requirements.form_of(name, asked)
    with pytest.raises(UsageError, match="which format"):
        requirements.form_of("packages.json")
