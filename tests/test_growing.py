"""What the points of a growing file come to, from where the last reader stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gxt import growing, layout, live, recorder
from gxt.git import Repository
from gxt.model import MetricPoint, summarise

POINTS = st.lists(
    st.builds(
        MetricPoint,
        step=st.integers(-3, 9),
        metric=st.sampled_from(["loss", "a,b"]),
        value=st.floats(),
        time=st.integers(0, 3),
    ),
    max_size=12,
)


@given(st.lists(POINTS, max_size=4), st.integers(0, 30))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_many_readings_come_to_what_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: list[list[MetricPoint]], cut: int
) -> None:
    monkeypatch.setattr(growing, "_WORTH_KEEPING", 1)
    file = tmp_path / layout.METRICS_CSV
    for path in (file, tmp_path / growing.FILE):
        path.unlink(missing_ok=True)
    points: list[MetricPoint] = []
    for chunk in chunks:
        points += chunk
        data = layout.write_points(points)
        file.write_bytes(data + data[-cut:-1])  # a line that is still being written
        whole = (data + data[-cut:-1]).rfind(b"\n") + 1
        expected = summarise(layout.read_points((data + data[-cut:-1])[:whole]))
        assert repr(growing.summarise_file(tmp_path)) == repr(expected)
        file.write_bytes(data)
        if whole == len(data):
            assert (tmp_path / growing.FILE).exists()
        else:  # lines that went: written anew, as a resumed run's are
            assert repr(growing.summarise_file(tmp_path)) == repr(summarise(points))


def test_a_long_run_is_gone_through_once(repo: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(growing, "_WORTH_KEEPING", 100)
    with recorder.begin(repo, "taxi") as run:
        folder = live.live_path(Path(repo.common_dir) / "gxt", run.run_id)
        for step in range(50):
            run.log_metric("loss", 50 - step, step=step)
        assert live.read(folder).metrics["loss"].count == 50
        read: list[int] = []
        points = layout.read_points
        monkeypatch.setattr(layout, "read_points", lambda data: read.append(len(data)) or points(data))
        run.log_metric("loss", 0.5, step=50)
        found = live.read(folder).metrics["loss"]
        assert (found.count, found.last, found.first, read[0] < 50) == (51, 0.5, 50, True)
        assert growing.FILE not in live.snapshot(folder).files
        (folder / growing.FILE).write_text("{broken")
        assert live.read(folder).metrics["loss"].count == 51


def test_a_run_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        growing.summarise_file(tmp_path / "gone")
    assert growing.summarise_file(tmp_path) == {}
