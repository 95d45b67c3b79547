from __future__ import annotations

import hashlib
from pathlib import Path

import numpy
import pandas
import pytest

from gxt import catalog, recorder
from gxt.datasets import describe
from gxt.errors import UsageError
from gxt.git import Repository


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "green.csv").write_bytes(b"a,b\n")
    digest = f"sha256:{hashlib.sha256(b'a,b' + bytes([10])).hexdigest()}"
    expected = {"digest": digest, "source": "green.csv", "size": 4}
    assert describe(tmp_path / "green.csv", tmp_path) == ("green.csv", expected)
    assert describe(str(tmp_path / "green.csv"), tmp_path) == ("green.csv", expected)
    assert describe(f"file://{tmp_path}/green.csv", tmp_path)[1] == expected
    _, elsewhere = describe(tmp_path / "green.csv", tmp_path / "other")
    assert elsewhere["source"] == (tmp_path / "green.csv").as_posix()


def test_a_folder_s_digest_is_of_names_and_content(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "sub").mkdir(parents=True)
    (data / "a").write_bytes(b"1")
    (data / "sub" / "b").write_bytes(b"22")
    name, first = describe(data, tmp_path)
    assert (name, first["source"], first["size"], first["files"]) == ("data", "data", 3, 2)
    assert describe(data, tmp_path)[1] == first
    (data / "a").rename(data / "c")
    assert describe(data, tmp_path)[1]["digest"] != first["digest"]
    (data / "c").rename(data / "a")
    assert describe(data, tmp_path)[1] == first
    (data / "a").write_bytes(b"3")
    assert describe(data, tmp_path)[1]["digest"] != first["digest"]


def test_a_url_without_its_password() -> None:
    assert describe("https://me:pw@example.com/data/green.parquet", None) == (
        "green.parquet",
        {"source": "https://example.com/data/green.parquet"},
    )
    assert describe("s3://bucket/folder/", None) == ("folder", {"source": "s3://bucket/folder/"})


def test_a_dataframe() -> None:
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", None]})
    name, found = describe(frame, None)
    assert (name, found["rows"], list(found["columns"])) == ("dataframe", 2, ["a", "b"])
    assert describe(frame.copy(), None)[1] == found
    assert describe(frame.assign(a=[1, 3]), None)[1]["digest"] != found["digest"]
    assert describe(frame.rename(columns={"a": "c"}), None)[1]["digest"] != found["digest"]
    assert describe(pandas.DataFrame({"lists": [[1], [2]]}), None)[1]["rows"] == 2


def test_an_array() -> None:
    array = numpy.arange(6).reshape(2, 3)
    name, found = describe(array, None)
    assert (name, found["shape"], found["dtype"], found["rows"]) == ("array", [2, 3], "int64", 2)
    assert describe(numpy.asfortranarray(array), None)[1] == found
    assert describe(array.reshape(3, 2), None)[1]["digest"] != found["digest"]
    assert describe(array.astype("int32"), None)[1]["digest"] != found["digest"]
    assert describe(numpy.array(1.0), None)[1]["rows"] == 1


def test_what_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such dataset"):
        describe("missing.csv", None)
    with pytest.raises(UsageError):
        describe(object(), None)


def test_a_run_names_its_inputs(repo: Repository, work: Path) -> None:
    (work / "green.csv").write_bytes(b"a,b\n")
    run = recorder.begin(repo, "taxi")
    run.log_input("green.csv", context="train")
    run.log_input("green.csv", context="train")
    (work / "green.csv").write_bytes(b"a,c\n")
    run.log_input("green.csv", context="valid")
    run.log_input(numpy.zeros(3), name="labels")
    with pytest.raises(UsageError):
        run.log_input("missing.csv")
    run.end()
    found = catalog.find(repo, run.run_id)
    assert sorted(found.inputs) == ["green.csv", "green.csv (2)", "labels"]
    assert found.inputs["green.csv"]["context"] == "train" and found.inputs["green.csv (2)"]["context"] == "valid"
    assert found.inputs["green.csv"]["source"] == "green.csv"


def test_one_dataset_used_for_two_things_keeps_both(repo: Repository, work: Path) -> None:
    run = recorder.begin(repo, "taxi")
    run.log_input("train.py", context="train")
    run.log_input("train.py", context="valid")
    run.end()
    contexts = [values["context"] for values in catalog.find(repo, run.run_id).inputs.values()]
    assert sorted(str(context) for context in contexts) in (
        ["train", "valid"],
        ["train, valid"],
        ["['train', 'valid']"],
    )
