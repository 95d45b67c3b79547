"""docs/guides/tables.md is run: its runs are made and its transcripts compared, from the first to the last."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from test_query_page import environment, printed_by

PAGE = (Path(__file__).parent.parent / "docs" / "guides" / "tables.md").read_text(encoding="utf-8")


def test_the_transcripts(work: Path) -> None:
    (runs,) = re.findall(r"<!-- runs -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
    subprocess.run(["bash", "-ec", runs], cwd=work, env=environment(), check=True, capture_output=True)
    blocks = "".join(re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL))
    transcripts = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", blocks, re.MULTILINE)
    assert len(transcripts) > 10
    for command, expected in transcripts:
        printed = printed_by(command, work)
        if not re.match("gxt (start|log)", command):  # which print the run's id
            assert printed == expected, command


def test_grouping_with_pandas(work: Path) -> None:
    (runs,) = re.findall(r"<!-- runs -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
    subprocess.run(["bash", "-ec", runs], cwd=work, env=environment(), check=True, capture_output=True)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    lines = block.splitlines()
    code = "\n".join([*lines[:-1], f"print({lines[-1]}.loc[('forest', 8)].tolist())"])
    done = subprocess.run([sys.executable, "-c", code], cwd=work, check=True, capture_output=True, text=True)
    assert done.stdout == "[4.97, nan, 1.0]\n"
