"""environment.txt compared."""

from __future__ import annotations

import pytest

from gxt.comparison.packages import package_differences, packages


def test_names_have_one_spelling() -> None:
    assert packages(b"Foo_Bar.baz==1\n# a remark\n\nsrc==2  # editable\n") == {
        "foo-bar-baz": "1",
        "src": "2  # editable",
    }


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("1.9", "1.10", "upgraded"),
        ("2.0", "1.9.9", "downgraded"),
        ("1.0rc1", "1.0", "upgraded"),
        ("1.0.dev3", "1.0a1", "upgraded"),
        ("1.0a2", "1.0b1", "upgraded"),
        ("1.0", "1.0.post1", "upgraded"),
        ("1!1.0", "2.0", "downgraded"),
        ("1.0", "1.0.0", "changed"),
        ("1.0", "1.0  # editable", "changed"),
        ("2.1.0+cpu", "2.1.0+cu121", "changed"),
        ("1.0", "a-branch", "changed"),
    ],
)
def test_upgrades(one: str, other: str, kind: str) -> None:
    (found,) = package_differences([f"torch=={one}\n".encode(), f"torch=={other}\n".encode()])
    assert found.kind == kind


def test_several_runs() -> None:
    found = package_differences([b"a==1\nb==1\nc==2\n", b"a==2\nb==1\nc==1\n", b"a==3\nb==1\nc==3\nd==1\n"])
    assert [(each.name, each.kind) for each in found] == [("a", "upgraded"), ("c", "changed"), ("d", "changed")]
    assert found.same == 1


def test_nothing_is_said_where_a_run_did_not_record_its_packages() -> None:
    found = package_differences([b"a==1\n", None])
    assert not found and found.same == 0
