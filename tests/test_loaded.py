from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from helpers import git, run_python

PAUSE = "import time; time.sleep(0.05)\n"  # so that a file's time is later than the process's own
TRAIN = PAUSE + "import features, gxt, importlib\n{edit}\nwith gxt.start_run(): pass\n"


def edited(work: Path, edit: str) -> list[str] | None:
    """What a run's source says, whose program did that before the run began."""
    (work / "features.py").write_text("SPEED = 18\n")
    (work / "train.py").write_text(TRAIN.format(edit=edit))
    run_python(str(work / "train.py"), cwd=work)
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
