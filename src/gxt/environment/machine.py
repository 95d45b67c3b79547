"""The machine: system, processors, memory, NVIDIA GPUs and their driver."""

from __future__ import annotations

import os
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

_ROOT = Path("/")


@lru_cache(maxsize=1)
def describe() -> dict[str, Any]:
    """What run.yaml says of the machine; empty values for what is not known."""
    return {
        "distribution": distribution(),
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "memory": memory(),
        **gpus(),
    }


def distribution(root: Path = _ROOT) -> str | None:
    """Which Linux it is, such as `Debian GNU/Linux 12 (bookworm)`; https://www.freedesktop.org/software/systemd/man/os-release.html"""
    for path in ("etc/os-release", "usr/lib/os-release"):
        if match := re.search(r'^PRETTY_NAME=["\']?([^"\'\n]+)', _text(root / path), re.MULTILINE):
            return match[1]
    return None


def cpu_model(root: Path = _ROOT) -> str | None:
    """The processors' model, as Linux, macOS or Windows has it."""
    about = _text(root / "proc" / "cpuinfo")
    if match := re.search(r"^(?:model name|Model|cpu model)\s*:\s*(.+)$", about, re.MULTILINE):
        return " ".join(match[1].split())
    if sys.platform == "darwin":
        return _macos_cpu()
    return os.environ.get("PROCESSOR_IDENTIFIER")  # Windows


def _macos_cpu() -> str | None:
    import ctypes  # here for start-up time

    try:
        library = ctypes.CDLL("libc.dylib")
        buffer, size = ctypes.create_string_buffer(256), ctypes.c_size_t(256)
        library.sysctlbyname(b"machdep.cpu.brand_string", buffer, ctypes.byref(size), None, 0)
        return buffer.value.decode("utf-8", "replace") or None
    except (OSError, AttributeError):
        return None


def memory() -> int | None:
    """The machine's memory in bytes."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def gpus(root: Path = _ROOT) -> dict[str, Any]:
    """NVIDIA GPUs' models, the driver's version and the newest CUDA that it can run.

    As the driver lists them in /proc; where it does not (Windows, WSL), as nvidia-ml-py says, if it is loaded.
    """
    driver = root / "proc" / "driver" / "nvidia"
    names = []
    for information in sorted(driver.glob("gpus/*/information")):
        match = re.search(r"^Model:\s*(.+)$", _text(information), re.MULTILINE)
        names.append(match[1].strip() if match else "NVIDIA GPU")
    version = re.search(r"NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s", _text(driver / "version"))
    found: dict[str, Any] = {"gpus": names, "gpu_driver": version[1] if version else None}
    if not names and "pynvml" in sys.modules:
        found = _by_nvml()
    if found["gpus"]:
        found["cuda"] = _cuda()
    return found


def _by_nvml() -> dict[str, Any]:
    import pynvml

    try:
        pynvml.nvmlInit()
        names = [
            pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(i)) for i in range(pynvml.nvmlDeviceGetCount())
        ]
        return {"gpus": [_decoded(name) for name in names], "gpu_driver": _decoded(pynvml.nvmlSystemGetDriverVersion())}
    except Exception:  # the library raises its own errors for every way a driver can be absent
        return {"gpus": [], "gpu_driver": None}


def _decoded(text: str | bytes) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def _cuda() -> str | None:
    """The CUDA version of the driver's library, which tells it without being initialised."""
    import ctypes  # here for start-up time; `preload` has loaded it where there is a driver

    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            version = ctypes.c_int()
            if ctypes.CDLL(name).cuDriverGetVersion(ctypes.byref(version)) == 0:
                return f"{version.value // 1000}.{version.value % 1000 // 10}"
        except (OSError, AttributeError):
            continue
    return None


def preload() -> None:
    """Import what `describe` needs on this machine, before it is called in a thread."""
    if os.path.exists("/proc/driver/nvidia/version"):
        import ctypes  # noqa: F401


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
