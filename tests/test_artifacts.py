from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from gxt import artifacts
from gxt.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "models"
    (top / "sub").mkdir(parents=True)
    (top / "b.bin").write_bytes(b"b")
    (top / "a.bin").write_bytes(b"a")
    (top / "sub" / "c.bin").write_bytes(b"c")
    (top / "empty").mkdir()
    return top


def paths(*args: object, **options: bool) -> list[str]:
    return [path for _, path in artifacts.files_of(*args, **options)]  # type: ignore[arg-type]


def test_a_file_keeps_its_name(folder: Path) -> None:
    assert paths(folder / "a.bin", None) == ["a.bin"]
    assert paths(folder / "a.bin", "x/y") == ["x/y/a.bin"]
    assert paths(folder / "a.bin", "x/") == ["x/a.bin"]


def test_a_folder_keeps_its_name_or_gives_its_contents(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert paths(folder, None) == ["models/a.bin", "models/b.bin", "models/sub/c.bin"]
    assert paths(folder, "out", contents_only=True) == ["out/a.bin", "out/b.bin", "out/sub/c.bin"]
    monkeypatch.chdir(folder)
    assert paths(Path("."), None)[0] == "models/a.bin"


def test_links_are_followed_but_not_in_circles(folder: Path) -> None:
    (folder / "link.bin").symlink_to(folder / "a.bin")
    (folder / "more").symlink_to(folder / "sub")
    assert paths(folder, None, contents_only=True) == ["a.bin", "b.bin", "link.bin", "more/c.bin", "sub/c.bin"]
    (folder / "sub" / "around").symlink_to(folder)
    with pytest.raises(UsageError, match="around"):
        paths(folder, None)


def test_what_is_no_file_is_refused(folder: Path) -> None:
    (folder / "broken").symlink_to("nowhere")
    with pytest.raises(UsageError, match="broken link"):
        paths(folder, None)
    with pytest.raises(UsageError, match="does not exist"):
        paths(folder / "missing", None)
    os.mkfifo(folder / "sub" / "pipe")
    with pytest.raises(UsageError, match="not a file or folder"):
        paths(folder / "sub" / "pipe", None)
    with pytest.raises(UsageError, match="not a regular file"):
        paths(folder / "sub", None)


def test_names_that_not_every_system_takes_are_refused_before_anything_is_copied(folder: Path) -> None:
    (folder / "what?").write_bytes(b"")
    with pytest.raises(UsageError, match=r"'\?'"):
        paths(folder, None)
    with pytest.raises(UsageError):
        paths(folder / "a.bin", "../out")


def test_a_file_that_cannot_be_read_is_the_caller_s_mistake(tmp_path: Path) -> None:
    fill = artifacts.copier(tmp_path / "missing")
    with pytest.raises(UsageError, match="cannot be read"):
        fill(io.BytesIO())


def test_content_is_copied(folder: Path) -> None:
    out = io.BytesIO()
    artifacts.copier(folder / "a.bin")(out)
    assert out.getvalue() == b"a"
