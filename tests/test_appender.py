"""Files that grow by lines, and what becomes of lines that a full disk refuses."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gxt import appender, layout
from gxt.appender import Appender


def test_each_line_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    file = Appender(tmp_path / "log")
    for number in range(3):
        file.append(b"line %d\n" % number)
        assert (tmp_path / "log").read_bytes().count(b"\n") == number + 1
    file.close()
    with pytest.raises(OSError):
        file.append(b"late\n")


def test_two_appenders_share_a_file(tmp_path: Path) -> None:
    one, other = Appender(tmp_path / "log"), Appender(tmp_path / "log")
    one.append(b"1\n")
    other.append(b"2\n")
    one.append(b"3\n")
    assert (tmp_path / "log").read_bytes() == b"1\n2\n3\n"
    one.close()
    other.close()


def test_threads_do_not_tear_each_other_s_lines(tmp_path: Path) -> None:
    file = Appender(tmp_path / "log")
    threads = [
        threading.Thread(target=lambda mark=mark: [file.append(mark * 99 + b"\n") for _ in range(200)])
        for mark in (b"a", b"b", b"c", b"d")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file.close()
    lines = (tmp_path / "log").read_bytes().splitlines()
    assert len(lines) == 800 and all(len(line) == 99 and len(set(line)) == 1 for line in lines)


FullDisk = Callable[[int | None], None]


@pytest.fixture
def full_disk() -> Iterator[FullDisk]:
    """A function that lets no file grow beyond some bytes, or any again with None: the disk is full, for us."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before[0] if size is None else size, before[1]))

    yield limit
    limit(None)


def test_what_a_full_disk_refuses_is_written_once_there_is_room(tmp_path: Path, full_disk: FullDisk) -> None:
    path = tmp_path / "metrics.csv"
    file = Appender(path)
    file.append(layout.METRICS_HEADER)
    file.append(b"0,rmse,1,5\n")
    full_disk(path.stat().st_size + 4)  # the next line is cut in its middle
    for line in (b"1,rmse,2,5\n", b"2,rmse,3,5\n", b"3,rmse,4,5\n"):
        with pytest.raises(OSError):
            file.append(line)
    full_disk(None)
    file.append(b"4,rmse,5,5\n")
    file.close()
    points = list(layout.read_points(path.read_bytes()))
    assert [(p.step, p.value) for p in points] == [(step, step + 1.0) for step in range(5)]


def test_a_flush_writes_what_is_left_over(tmp_path: Path, full_disk: FullDisk) -> None:
    file = Appender(tmp_path / "log")
    full_disk(0)
    with pytest.raises(OSError):
        file.append(b"kept\n")
    full_disk(None)
    file.sync()
    file.close()
    assert (tmp_path / "log").read_bytes() == b"kept\n"


def places() -> list[Path]:
    """What is kept elsewhere at the moment."""
    return [path for path in Path(os.environ["TMPDIR"]).rglob("*") if path.is_file()]


def test_what_is_refused_is_kept_elsewhere_until_it_is_taken(tmp_path: Path, full_disk: FullDisk) -> None:
    file = Appender(tmp_path / "log")
    file.append(b"a line of some length\n")
    full_disk((tmp_path / "log").stat().st_size)
    with pytest.raises(OSError):
        file.append(b"one\n")
    with pytest.raises(OSError):
        file.append(b"two\n")
    (kept,) = places()
    assert kept.read_bytes() == b"one\ntwo\n"
    assert (kept.parent.name, kept.name) == (tmp_path.name, f"{os.getpid()}@22.log")
    full_disk(None)
    file.append(b"three\n")
    assert (tmp_path / "log").read_bytes() == b"a line of some length\none\ntwo\nthree\n"
    assert places() == [] and not kept.parent.exists()
    file.close()


def test_a_place_that_others_have_set_up_is_not_used(tmp_path: Path, full_disk: FullDisk) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (Path(os.environ["TMPDIR"]) / f"gxt-{os.getuid()}").symlink_to(elsewhere)
    file = Appender(tmp_path / "log")
    full_disk(0)
    with pytest.raises(OSError):
        file.append(b"one\n")
    full_disk(None)
    assert list(elsewhere.iterdir()) == []
    file.sync()
    file.close()


def test_memory_is_not_filled_without_end(tmp_path: Path, full_disk: FullDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appender, "_MOST_IN_MEMORY", 30)
    file = Appender(tmp_path / "log")
    file.append(b"x" * 199 + b"\n")
    full_disk(200)
    for number in range(20):
        with pytest.raises(OSError):
            file.append(b"line %02d\n" % number)
    assert sum(map(len, file._backlog)) <= 30
    full_disk(None)
    file.sync()
    full_disk((tmp_path / "log").stat().st_size)
    with pytest.raises(OSError):
        file.append(b"again\n")
    full_disk(None)
    file.sync()
    file.close()
    (kept,) = places()  # what memory did not hold is there still
    assert kept.read_bytes().startswith(b"".join(b"line %02d\n" % number for number in range(20)))


def test_what_is_written_after_the_end_is_kept_nowhere(tmp_path: Path) -> None:
    file = Appender(tmp_path / "log")
    file.close()
    with pytest.raises(OSError):
        file.append(b"late\n")
    assert places() == []


def test_a_line_that_was_cut_is_taken_back_before_others_write_on_in_it(tmp_path: Path, full_disk: FullDisk) -> None:
    one, other = Appender(tmp_path / "log"), Appender(tmp_path / "log")
    one.append(b"a line\n")
    full_disk(7 + 3)
    with pytest.raises(OSError):
        one.append(b"7,rank0,0.5\n")
    assert (tmp_path / "log").read_bytes() == b"a line\n"
    full_disk(None)
    other.append(b"8,rank1,0.25\n")
    one.close()  # with room again, closing writes what waits
    other.close()
    assert (tmp_path / "log").read_bytes() == b"a line\n8,rank1,0.25\n7,rank0,0.5\n"


def test_a_forked_child_leaves_its_parent_s_backlog_alone(tmp_path: Path, full_disk: FullDisk) -> None:
    file = Appender(tmp_path / "log")
    file.append(b"x" * 99 + b"\n")
    full_disk(100)
    with pytest.raises(OSError):
        file.append(b"parent\n")
    full_disk(None)
    file._lock.acquire()  # as another thread may hold it at that moment
    child = os.fork()
    if child == 0:
        file.append(b"child\n")
        file.flush()
        os._exit(0)
    file._lock.release()
    assert os.waitpid(child, 0)[1] == 0
    assert len(places()) == 1
    file.close()
    assert (tmp_path / "log").read_bytes() == b"x" * 99 + b"\nchild\nparent\n"


def test_nothing_is_raised_where_a_file_with_a_cut_line_is_opened_on_a_full_disk(
    tmp_path: Path, full_disk: FullDisk
) -> None:
    (tmp_path / "log").write_bytes(b"0,rmse,1,5\n1,rm")
    full_disk(15)
    file = Appender(tmp_path / "log")
    full_disk(None)
    file.append(b"2,rmse,3,5\n")
    file.close()
    assert [point.step for point in layout.read_points((tmp_path / "log").read_bytes())] == [0, 2]
