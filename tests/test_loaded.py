from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from gxt.asread import is_as_read
from helpers import git, run_python

PAUSE = "import time; time.sleep(0.05)\n"  # so that a file's time is later than the process's own
TRAIN = PAUSE + "import features, gxt, importlib\n{edit}\nwith gxt.start_run(): pass\n"


def edited(work: Path, edit: str, **variables: str) -> list[str] | None:
    """What a run's source says, whose program did that before the run began."""
    (work / "features.py").write_text("SPEED = 18\n")
    (work / "train.py").write_text(TRAIN.format(edit=edit))
    run_python(str(work / "train.py"), cwd=work, **variables)
    paths = git("ls-tree", "-r", "--name-only", "gxt").splitlines()
    path = next(path for path in paths if path.endswith("run.yaml"))
    source = yaml.safe_load(git("show", f"gxt:{path}"))["source"]
    assert "snapshot" in source
    found: list[str] | None = source.get("edited")
    return found


REWRITE = "open('features.py', 'w').write('SPEED = 20.5\\n')"


def test_a_module_that_was_edited_after_its_import_is_named(work: Path) -> None:
    assert edited(work, REWRITE) == ["features.py"]


def test_a_script_that_was_edited_while_it_ran_is_named(work: Path) -> None:
    assert edited(work, "open('train.py', 'a').write('# more')") == ["train.py"]


@pytest.mark.parametrize("edit", ["pass", REWRITE + "; importlib.reload(features)", "open('other.py', 'w').write('')"])
def test_what_was_read_as_it_is_is_not(work: Path, edit: str) -> None:
    assert edited(work, edit) is None


def test_a_module_written_by_the_program_before_it_is_imported_is_not(work: Path) -> None:
    assert edited(work, "open('made.py', 'w').write('X = 1\\n'); import made") is None


MADE = '''
"""Made by a program."""
from __future__ import annotations
import json as j
from os import path
SPEED: float = 18.0
NAMES = ["a", "b"]
def minutes(miles, speed=18.0, *, hurry=False):
    return [miles / speed * one for one in range(2)]
class Base:
    pass
class Model(Base):
    """A model."""
    depth = 3
    def __init__(self):
        super().__init__()
    @property
    def size(self):
        return self.depth
    @staticmethod
    def load(name):
        return name
if __name__ == "__main__":
    minutes(1)
'''.lstrip()
CHANGES = [
    ("18.0, *", "20.5, *"),
    ("SPEED: float = 18.0", "SPEED: float = 18"),
    ('"a", ', ""),
    ("return [miles", "return [2"),
    ("depth = 3", "depth = 4"),
    ("from os import path", "import posixpath as path, os"),
    ("import json", "import csv"),
    ("Model(Base)", "Model"),
    ("A model.", "Another."),
    ("return self.depth", "return 3"),
    ("@staticmethod", ""),
    ("NAMES", "OTHERS"),
    ("hurry=False", "hurry=True"),
    ("class Base:", "print()\nclass Base:"),
    ("def load", "def l"),
    ("by a program", "by hand"),
    ("        super().__init__()", "        pass"),
    ("return name", "return name.x"),
    ("SPEED: float = 18.0\n", ""),
    ("    @staticmethod\n    def load(name):\n        return name\n", ""),
]


def imported(folder: Path, text: str) -> ModuleType:
    """A module of that text."""
    (folder / "made.py").write_text(text)
    spec = importlib.util.spec_from_file_location("made", folder / "made.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_a_module_made_tells_whether_it_is_what_its_file_says(tmp_path: Path) -> None:
    module = imported(tmp_path, MADE)
    assert is_as_read(module, str(tmp_path / "made.py"))
    for old, new in CHANGES:
        assert old in MADE
        (tmp_path / "made.py").write_text(MADE.replace(old, new, 1))
        assert not is_as_read(module, str(tmp_path / "made.py")), (old, new)
    for text in ("", "def\n", MADE + "import random\nrandom.seed(1)\n"):
        (tmp_path / "made.py").write_text(text)
        assert not is_as_read(module, str(tmp_path / "made.py"))


MAKE = "open('made.py', 'w').write('def f(x=1):\\n    return x\\n')"


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (f"{MAKE}; import made", None),
        (f"{MAKE}; import made; {MAKE.replace('=1', '=2')}", ["made.py"]),
        (REWRITE, ["features.py"]),
    ],
)
def test_without_bytecode_what_ran_as_it_is_is_not_named(work: Path, edit: str, found: list[str] | None) -> None:
    assert edited(work, edit, PYTHONDONTWRITEBYTECODE="1") == found


def test_in_a_package_seen_from_another_folder(work: Path) -> None:
    (work / "taxi").mkdir()
    (work / "taxi" / "speed.py").write_text("SPEED = 18\n")
    edit = "import taxi.speed; open('taxi/speed.py', 'w').write('SPEED = 20.5\\n'); import os; os.chdir('taxi')"
    assert edited(work, edit) == ["taxi/speed.py"]


def test_a_fork_has_read_what_its_parent_has(work: Path) -> None:
    edit = (
        REWRITE
        + """
import os, sys
child = os.fork()
if child:
    sys.exit(os.waitpid(child, 0)[1])
"""
    )
    assert edited(work, edit) == ["features.py"]
