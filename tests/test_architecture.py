"""What holds the code in shape: who may import whom, what loads when, and who may print or call git."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gxt
from helpers import run_python

SOURCE = Path(gxt.__file__).parent

# Each may import only from those before it, inside functions too.
ORDER = [
    "showing",
    "errors",
    "masking",
    "cards",
    "model",
    "names",
    "commandline",
    "yamlreader",
    "yamltext",
    "layout",
    "pointers",
    "merging",
    "query",
    "stats",
    "render",
    "tables",
    "git",
    "rescue",
    "appender",
    "growing",
    "live",
    "textmap",
    "pins",
    "temporary",
    "large",
    "joining",
    "store",
    "cache",
    "catalog",
    "journal",
    "codehistory",
    "doctor",
    "artifacts",
    "transfer",
    "uploads",
    "snapshots",
    "remotecode",
    "worktrees",
    "asread",
    "loaded",
    "capture",
    "environment",
    "provenance",
    "sharing",
    "driver",
    "review",
    "behind",
    "bundles",
    "mirrors",
    "media",
    "datasets",
    "system",
    "recorder",
    "edits",
    "lifecycle",
    "fluent",
    "commands",
    "exchange",
    "reading",
    "history",
    "comparison",
    "exports",
    "plots",
    "against",
    "report",
    "gate",
    "intake",
    "replaying",
    "verify",
    "citing",
    "records",
    "codenotes",
    "bisecting",
    "demo",
    "cli",
]

# The output of a command that a program runs again is shown as it comes, in a notebook's cell too.
PASSES_ON = [SOURCE / "replaying" / "echo.py"]

HEAVY = [
    "pandas",
    "git",
    "numpy",
    "scipy",
    "sklearn",
    "matplotlib",
    "plotly",
    "uniplot",
    "PIL",
    "psutil",
    "fsspec",
    "s3fs",
    "yaml",
    "click",
    "rich",
]


def layer_of(path: Path) -> str:
    """The module in ORDER that a file belongs to: its own name, or its package's."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def files() -> list[Path]:
    return [path for path in sorted(SOURCE.rglob("*.py")) if layer_of(path) not in ("__init__", "__main__")]


def imported_layers(path: Path) -> Iterator[tuple[str, int]]:
    """The modules of gxt that a file imports anywhere in it, each with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "gxt" else [node.module or ""]
            )
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "gxt" and rest:
                yield rest.split(".")[0], node.lineno


def test_every_module_has_its_place() -> None:
    assert {layer_of(path) for path in files()} <= set(ORDER)


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_a_module_imports_only_from_above(path: Path) -> None:
    own = layer_of(path)
    allowed = {*ORDER[: ORDER.index(own)], "__version__", "_imported_at"}
    if path.parent != SOURCE:
        allowed.add(own)  # a package's modules know each other
    wrong = [f"line {line}: {name}" for name, line in imported_layers(path) if name not in allowed]
    assert wrong == []


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_only_the_command_line_prints_exits_and_reads_arguments(path: Path) -> None:
    if layer_of(path) == "cli" or path in PASSES_ON:
        return
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("print", "exit", "input")
        ):
            found.append(f"line {node.lineno}: {node.func.id}()")
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and (node.value.id, node.attr) in {("sys", "exit"), ("sys", "argv"), ("sys", "stdout"), ("sys", "stderr")}
        ):
            found.append(f"line {node.lineno}: sys.{node.attr}")
    assert found == []


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_only_the_git_package_calls_git(path: Path) -> None:
    if layer_of(path) == "git":
        return
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "git" for alias in node.names):
            found.append(f"line {node.lineno}: imports GitPython")
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "git":
            found.append(f"line {node.lineno}: imports GitPython")
        if isinstance(node, (ast.List, ast.Tuple)) and node.elts:
            first = node.elts[0]
            if isinstance(first, ast.Constant) and first.value == "git":
                found.append(f"line {node.lineno}: a git command")
    assert found == []


def test_few_modules_start_processes() -> None:
    def starts(path: Path) -> bool:
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        return any(isinstance(node, ast.Import) and any(a.name == "subprocess" for a in node.names) for node in nodes)

    allowed = {"git", "environment", "uploads", "commands", "replaying", "cli"}
    assert {layer_of(path) for path in files() if starts(path)} <= allowed


def loaded_after(code: str) -> set[str]:
    done = run_python(code=f"{code}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])")
    return set(done.stdout.split())


def test_importing_gxt_loads_nothing_heavy() -> None:
    assert loaded_after("import gxt; gxt.start_run") == set()


def test_recording_a_run_loads_nothing_heavy(work: Path) -> None:
    code = """
import gxt
gxt.set_experiment("taxi")
with gxt.start_run(tags={"a": 1}) as run:
    gxt.log_param("alpha", 0.1)
    gxt.log_metric("rmse", 6.3, step=1)
    gxt.log_text("hello", "a.txt")
    gxt.log_artifact("train.py")
    gxt.log_dict({"a": 1}, "a.json")
    gxt.log_input("train.py")
"""
    assert loaded_after(code) - {"yaml"} == set()


def test_the_public_names() -> None:
    assert sorted(gxt.__all__) == [
        "ActiveRun",
        "Comparison",
        "Experiment",
        "GxtError",
        "GxtWarning",
        "MetricPoint",
        "NotFoundError",
        "Reproduction",
        "Rerun",
        "Run",
        "Summary",
        "UsageError",
        "__version__",
        "active_run",
        "best_run",
        "compare",
        "create_experiment",
        "create_run",
        "delete_tag",
        "download_artifacts",
        "end_run",
        "get_artifact_uri",
        "get_experiment_by_name",
        "get_run",
        "get_tracking_uri",
        "last_active_run",
        "load_metrics",
        "load_table",
        "log",
        "log_artifact",
        "log_artifacts",
        "log_dict",
        "log_figure",
        "log_image",
        "log_input",
        "log_metric",
        "log_metrics",
        "log_param",
        "log_params",
        "log_table",
        "log_text",
        "metric_history",
        "plot",
        "pull",
        "push",
        "reproduce",
        "rerun",
        "search_runs",
        "set_experiment",
        "set_note",
        "set_tag",
        "set_tags",
        "set_tracking_uri",
        "start_run",
        "sync",
    ]
    for name in gxt.__all__:
        assert getattr(gxt, name) is not None
        assert name in dir(gxt)
    with pytest.raises(AttributeError):
        gxt.no_such_name  # noqa: B018


def test_public_functions_are_documented() -> None:
    undocumented = [name for name in gxt.__all__ if name != "__version__" and not getattr(gxt, name).__doc__]
    assert undocumented == []
