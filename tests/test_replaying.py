"""Running a run again: the command with changed params, the verdict on metrics, packages as requirements."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gxt import replaying
from gxt.errors import NotFoundError, UsageError
from gxt.gate.limits import Tolerance
from gxt.model import Run, Summary
from gxt.replaying.environments import requirements_of
from gxt.replaying.plan import is_python
from gxt.replaying.supplies import GONE, supply

ID = "20261123-083000-3f9a1c2e"


def run(command: str | None = "python train.py --lr 0.1", **source: Any) -> Run:
    return Run(ID, "taxi", name="then", source={**({"command": command} if command else {}), **source})


def replanned(command: str, **changes: str) -> str:
    return shlex.join(replaying.plan(run(command), changes).command)


@pytest.mark.parametrize(
    ("command", "name", "expected"),
    [
        ("python train.py --lr 0.1 --epochs 3", "lr", "python train.py --lr 9 --epochs 3"),
        ("python train.py --lr=0.1", "lr", "python train.py --lr=9"),
        ("python train.py with lr=0.1", "lr", "python train.py with lr=9"),
        ("python train.py +model.lr=0.1", "model.lr", "python train.py +model.lr=9"),
        ("train -lr 0.1", "lr", "train -lr 9"),
        ("train --learning-rate -0.1", "learning_rate", "train --learning-rate 9"),
        ("train --learning_rate .1", "learning-rate", "train --learning_rate 9"),
        ("train --lr 0.1 --lr 0.2", "lr", "train --lr 9 --lr 9"),
        ("train --note 'with lr=0.1' --lr 0.1", "lr", "train --note 'with lr=0.1' --lr 9"),
        ("python train.py --token ***", "token", "python train.py --token 9"),
    ],
)
def test_a_param_is_changed_where_the_command_has_it(command: str, name: str, expected: str) -> None:
    assert replanned(command, **{name: "9"}) == expected


@pytest.mark.parametrize(
    "command", ["train", "train --lr", "train --lr --fast", "train --lr2 0.1", "lr=3 x", "x alr=3"]
)
def test_a_param_without_a_place_is_refused(command: str) -> None:
    with pytest.raises(UsageError, match="no argument for the param lr") as caught:
        replanned(command, lr="9")
    assert str(caught.value.hint).endswith(f"-- {command} --lr 9")


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_any_value_is_one_argument(value: str) -> None:
    assert replaying.plan(run(), {"lr": value}).command == ["python", "train.py", "--lr", value]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"command": "python train.py --token ***"}, "recorded without its secrets"),
        ({"command": "gxt log -m rmse=1"}, "recorded by `gxt log`, which computes nothing"),
        ({"command": "python"}, "no program to run"),
        ({"command": "python -i"}, "no program to run"),
        ({"command": "python -"}, "no program to run"),
        ({"command": None}, "none is recorded"),
        ({"command": "python 'half"}, "none is recorded"),
        ({"command": None, "entrypoint": "notebook"}, "a notebook whose name is not known"),
        ({"cwd": "../.."}, "outside of its code"),
        ({"command": None, "entrypoint": "/etc/x.ipynb"}, "outside of its code"),
    ],
)
def test_what_cannot_be_run_again(source: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        replaying.plan(run(**source), {})


def test_an_argument_that_looks_masked_is_run_again() -> None:
    for command, masked in (("x '***' --glob='***'", []), ("x *** --token 9", [])):
        assert "***" in replaying.plan(run(command, masked=masked), {}).command
    made = replaying.plan(run("x *** --token ***", masked=[3]), {"token": "k"})
    assert made.command == ["x", "***", "--token", "k"]
    for masked in ([3], [1, 3], None, "broken"):
        with pytest.raises(UsageError, match="recorded without its secrets"):
            replaying.plan(run("x *** --token ***", masked=masked), {})
    assert replaying.plan(run("x --token ***"), {}, ["x", "***"]).command == ["x", "***"]


def test_what_was_taken_out_of_a_command_without_a_sign_is_missed() -> None:
    with pytest.raises(UsageError, match="recorded without its secrets"):
        replaying.plan(run("x https://host/", masked=[1]), {})


def test_a_command_of_ones_own() -> None:
    made = replaying.plan(run("gxt log -m a=1"), {"lr": "2"}, ["python", "other.py", "--lr", "1"])
    assert made.command == ["python", "other.py", "--lr", "2"] and made.starts_python
    with pytest.raises(UsageError) as caught:
        replaying.plan(run(None), {}, asked="gxt reproduce")
    assert "gxt reproduce" in str(caught.value.hint)
    assert replaying.plan(run("python -c 'print(1)'"), {}).command == ["python", "-c", "print(1)"]


def test_a_notebook() -> None:
    made = replaying.plan(run(None, entrypoint="notes/a.ipynb"), {"lr": "2"})
    assert (made.notebook, str(made.cwd), made.params) == ("notes/a.ipynb", "notes", {"lr": "2"})


def test_changes() -> None:
    assert replaying.parse_changes(["a=1", "b:=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    for text in ("a", "=1"):
        with pytest.raises(UsageError, match="not a param"):
            replaying.parse_changes([text])


def test_what_is_python() -> None:
    assert all(
        map(is_python, ("python", "python3", "/a b/python3.11", ".venv/bin/python", "pypy3", "C:\\py\\python.exe"))
    )
    assert not any(map(is_python, ("pythonic", "ipython", "python.sh", "train", "/python/x")))


def test_paths_lead_into_the_other_folder(tmp_path: Path) -> None:
    top, folder = tmp_path / "work", tmp_path / "again"
    for place in (top, folder):
        (place / "sub").mkdir(parents=True)
        (place / "sub" / "train.py").touch()
    (top / "data").mkdir()
    (top / "run.sh").touch()

    def moved(command: str, cwd: str = ".", entrypoint: str = "") -> list[str]:
        made = replaying.plan(run(command, cwd=cwd), {})
        return replaying.arguments_in(made, folder, top, "/py", entrypoint)

    assert moved(f"python {top}/sub/train.py --out {top}/out") == [
        "/py",
        f"{folder}/sub/train.py",
        "--out",
        f"{folder}/out",
    ]
    assert moved(f"python -u {top}/sub/train.py --data={top}/data") == [
        "/py",
        "-u",
        f"{folder}/sub/train.py",
        f"--data={top}/data",
    ]
    assert moved("python sub/train.py", cwd="sub") == ["/py", f"{folder}/sub/train.py"]
    assert moved("python train.py", cwd="sub") == ["/py", "train.py"]
    assert moved("python /home/bob/taxi/sub/train.py", entrypoint="sub/train.py")[1] == f"{folder}/sub/train.py"
    assert moved("./run.sh")[0] == f"{top}/run.sh"  # ignored by git: a program of the user's own
    assert moved(f"python {'x' * 300}")[1] == "x" * 300  # no file can be called that
    assert moved(f"./{'x' * 300}")[0] == f"./{'x' * 300}"


# --- verdicts ---------------------------------------------------------------------------------------------------------


def with_metrics(**metrics: list[float]) -> Run:
    def summary(values: list[float]) -> Summary:
        return Summary(values[-1], min(values), max(values), values[0], len(values) - 1, len(values))

    return Run(ID, "taxi", name="then", metrics={name: summary(values) for name, values in metrics.items()})


def statuses(then: Run, now: Run, **tolerances: Tolerance) -> dict[str, str]:
    goals = {"loss": "min", "acc": "max"}
    found = replaying.verdicts(then, now, goals.get, {name.strip("_"): t for name, t in tolerances.items()})
    return {verdict.metric: verdict.status for verdict in found}


def test_verdicts() -> None:
    then = with_metrics(loss=[3, 1, 2], acc=[0.5], other=[1.0, 2.0], gone=[1.0])
    now = with_metrics(loss=[3, 1.1, 2], acc=[0.5 + 1e-12], other=[7.0, 2.0], new=[1.0])
    expected = {"loss": "identical", "loss.min": "differs", "acc": "held", "other": "identical"}
    assert statuses(then, now) == expected | {"gone": "missing", "new": "new"}
    assert not replaying.held(replaying.verdicts(then, now, lambda name: None, {}, ["gone"]))
    assert replaying.held(replaying.verdicts(with_metrics(), with_metrics(a=[1.0]), lambda name: None, {}))


def test_the_best_value_counts_where_it_is_not_the_last_one_in_either_run() -> None:
    then, now = with_metrics(loss=[1.0, 0.5, 0.333]), with_metrics(loss=[1.0, -5.0, 0.333])
    assert statuses(then, now) == statuses(now, then) == {"loss": "identical", "loss.min": "differs"}
    assert statuses(with_metrics(), now) == {"loss": "new", "loss.min": "new"}


def test_tolerances() -> None:
    then, now = with_metrics(loss=[100.0], acc=[0.5]), with_metrics(loss=[101.0], acc=[0.6])
    assert statuses(then, now) == {"loss": "differs", "acc": "differs"}
    assert statuses(then, now, loss=Tolerance(0.01, True)) == {"loss": "held", "acc": "differs"}
    assert statuses(then, now, _=Tolerance(0.2, False), loss=Tolerance(2, False)) == {"loss": "held", "acc": "held"}
    assert statuses(then, now, _=Tolerance(0.0, False)) == {"loss": "differs", "acc": "differs"}


def test_numbers_that_are_none() -> None:
    odd = with_metrics(a=[math.nan], b=[math.inf], c=[-math.inf], d=[0.0])
    assert set(statuses(odd, odd).values()) == {"identical"}
    other = with_metrics(a=[1.0], b=[-math.inf], c=[math.nan], d=[-0.0])
    assert statuses(odd, other) == {"a": "differs", "b": "differs", "c": "differs", "d": "identical"}


@given(st.floats(), st.floats())
def test_a_verdict_says_identical_only_of_the_same_number(then: float, now: float) -> None:
    status = statuses(with_metrics(m=[then]), with_metrics(m=[now]))["m"]
    assert (status == "identical") == (then == now or (math.isnan(then) and math.isnan(now)))


def test_a_metric_that_there_was_not() -> None:
    with pytest.raises(NotFoundError, match="has no metric"):
        replaying.verdicts(with_metrics(), with_metrics(), lambda name: None, {}, ["rmse"])


# --- packages ---------------------------------------------------------------------------------------------------------


def test_requirements() -> None:
    found = requirements_of(
        b"numpy==2.1.0\n"
        b"taxi==0.1  # editable\n"
        b"git-gxt==0.1.0  # from a local folder\n"
        b"tool==1.0+local.1  # from https://host/team/tool.git at 0123abc\n"
        b"wheel-of==1  # from https://host/wheel_of-1-py3-none-any.whl\n"
        b"--index-url==evil\n"
        b"no version\n"
    )
    assert found.lines == [
        "numpy==2.1.0",
        "tool @ git+https://host/team/tool.git@0123abc",
        "wheel-of @ https://host/wheel_of-1-py3-none-any.whl",
    ]
    assert list(found.left_out) == ["taxi"] and found.has_ours


@pytest.mark.parametrize("about", [{"problem": "x"}, {"size": 9}])
def test_nothing_is_written_or_removed_through_a_link_in_the_code(tmp_path: Path, about: dict[str, Any]) -> None:
    """Whoever can push a run and a link would else choose which file of somebody else's goes."""
    top, folder, theirs = (tmp_path / name for name in ("work", "code", "theirs"))
    for place in (top, folder, theirs):
        place.mkdir()
    (theirs / "rc").write_text("precious\n")
    (top / "new").write_text("new\n")
    for place in (top, folder):
        (place / "conf").symlink_to(theirs)
        (place / "gone").symlink_to(tmp_path / "nowhere")
    then = run(left_out={"conf/rc": about, ".git/config": about, "gone/x": about})
    inputs = {"data": "conf/rc", "lost": "gone/x.csv", "odd": "a**.csv", "own": ".git/config", "new": "new"}
    then = replace(then, inputs={name: {"source": source} for name, source in inputs.items()})
    found = {one.path: one for one in supply(then, top, folder)}
    assert (theirs / "rc").read_text() == "precious\n" and list(theirs.iterdir()) == [theirs / "rc"]
    assert sorted(path.name for path in folder.iterdir()) == ["conf", "gone", "new"]
    assert found["conf/rc"].linked and not found["conf/rc"].brought
    assert not (tmp_path / "nowhere").exists()


def test_names_that_no_file_can_have_are_of_none(tmp_path: Path) -> None:
    top, folder = (tmp_path / name for name in ("work", "code"))
    for place in (top, folder):
        place.mkdir()
        (place / "loop").symlink_to("loop")
    long = "x" * 300
    inputs = {"a": f"/{long}", "b": long, "c": f"{long}/*.csv", "d": f"{long}/x", "e": "loop/x"}
    then = run(left_out={f"{long}y": {"size": 1}, f"{long}z": {"problem": "x"}})
    found = supply(
        replace(then, inputs={name: {"source": s, "digest": "sha256:0"} for name, s in inputs.items()}), top, folder
    )
    assert {one.path: one.state for one in found} == {
        **dict.fromkeys(inputs.values(), GONE),
        f"{long}y": GONE,
        f"{long}z": GONE,
    }
