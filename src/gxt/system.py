"""What the machine does while a run records: CPU, memory, disk, network and GPUs, sampled into system.csv."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gxt.appender import Appender
from gxt.errors import MissingPackageError
from gxt.layout import csv_name, metric_value
from gxt.model import now

INTERVAL = 10.0
"""Seconds between two samples."""


class SystemSampler:
    """A thread that appends a sample of each gauge to a file until it is stopped; the first sample comes at once."""

    def __init__(self, path: Path, header: bytes, pid: int | None = None, interval: float = INTERVAL) -> None:
        gauges = _machine_gauges(pid)
        self._gauges = [*gauges, *_gpu_gauges()]
        fresh = not path.exists()
        self._file = Appender(path)
        if fresh:
            self._file.append(header)
        self._interval = interval
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_stopped, name="gxt-system", daemon=True)

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample and end."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(self._interval)
        self._file.close()

    def _sample_until_stopped(self) -> None:
        stopped = False
        while True:
            when = now()
            lines = [
                f"{when},{csv_name(name)},{metric_value(round(float(value), 3))}\n"
                for gauge in self._gauges
                for name, value in gauge().items()
            ]
            with contextlib.suppress(OSError):  # a full disk; samples can be missed
                self._file.append("".join(lines).encode())
            if stopped:
                return
            stopped = self._stopping.wait(self._interval)


def check_available() -> None:
    """Raise MissingPackageError where psutil is not installed."""
    try:
        import psutil  # noqa: F401
    except ImportError:
        raise MissingPackageError("psutil", "recording system metrics", "system") from None


def _machine_gauges(pid: int | None) -> list[Callable[[], dict[str, float]]]:
    check_available()
    import psutil

    process = psutil.Process(pid)
    psutil.cpu_percent()  # the first call only begins to count
    disk, network = psutil.disk_io_counters(), psutil.net_io_counters()
    mega = 1e6

    def family() -> list[Any]:
        with contextlib.suppress(psutil.Error):  # it has ended
            return [process, *process.children(recursive=True)]
        return []

    def resident(member: Any) -> int:
        with contextlib.suppress(psutil.Error):
            return int(member.memory_info().rss)
        return 0

    def machine() -> dict[str, float]:
        memory = psutil.virtual_memory()
        return {
            "cpu_percent": psutil.cpu_percent(),
            "memory_percent": memory.percent,
            "memory_used_mb": (memory.total - memory.available) / mega,
            "process_memory_mb": sum(map(resident, family())) / mega,
        }

    def traffic() -> dict[str, float]:
        found = {}
        if disk is not None and (at := psutil.disk_io_counters()) is not None:
            found["disk_read_mb"] = (at.read_bytes - disk.read_bytes) / mega
            found["disk_written_mb"] = (at.write_bytes - disk.write_bytes) / mega
        if network is not None and (net := psutil.net_io_counters()) is not None:
            found["network_received_mb"] = (net.bytes_recv - network.bytes_recv) / mega
            found["network_sent_mb"] = (net.bytes_sent - network.bytes_sent) / mega
        return found

    return [machine, traffic]


def _gpu_gauges() -> list[Callable[[], dict[str, float]]]:
    """A gauge for each NVIDIA GPU; none where there is no driver or no nvidia-ml-py."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # the library raises its own errors for every way a driver can be absent
        return []

    def gauge(index: int, handle: Any) -> Callable[[], dict[str, float]]:
        def read() -> dict[str, float]:
            found: dict[str, float] = {}
            with contextlib.suppress(pynvml.NVMLError):
                use, memory = (
                    pynvml.nvmlDeviceGetUtilizationRates(handle),
                    pynvml.nvmlDeviceGetMemoryInfo(handle),
                )
                found[f"gpu{index}_percent"] = use.gpu
                found[f"gpu{index}_memory_used_mb"] = memory.used / 1e6
            with contextlib.suppress(pynvml.NVMLError):
                found[f"gpu{index}_power_w"] = pynvml.nvmlDeviceGetPowerUsage(handle) / 1000
            return found

        return read

    return [gauge(index, handle) for index, handle in enumerate(handles)]
