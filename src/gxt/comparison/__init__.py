"""Runs compared: what differs in params, metrics, curves, tags, inputs, code, environment and artifacts.

values      a difference, and how a number changed
packages, curves, files     what differs in environment.txt, in histories, in the contents of a file
findings    what differs between runs, section by section
gather      reading what that needs
parts, codepart, outline     what is shown of it; terminal, markdown and webpage show it
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gxt import catalog, fluent, git, history, media, render
from gxt.comparison import gather, markdown, webpage
from gxt.comparison.findings import Findings
from gxt.comparison.outline import outline_of
from gxt.comparison.parts import Outline
from gxt.comparison.values import TOLERANCE, Difference, Differences
from gxt.errors import UsageError
from gxt.git import Repository
from gxt.history import AnyRun
from gxt.model import Run

_SECTIONS = "attributes params metrics curves tags inputs source environment packages artifacts".split()


class Comparison(Findings):
    """What differs between runs, with ways to show it. A notebook shows it as HTML.

    Each of `attributes`, `params`, `metrics`, `curves`, `tags`, `inputs`, `source`, `environment`, `packages` and
    `artifacts` is a `Differences`: it iterates over what differs, and `.same` counts what does not. See `Findings`.

    >>> found = gxt.compare(["ridge", "lasso"])  # doctest: +SKIP
    >>> found.params["alpha"].values  # doctest: +SKIP
    (1, 0.1)
    >>> found.metrics["rmse"].changes[1]  # doctest: +SKIP
    Change(difference=0.58552, percent=11.88, verdict='worse')
    """

    def outline(self, now: int | None = None) -> Outline:
        """What is shown of it; starts relative to `now`, in milliseconds since 1970 UTC, where it is given."""
        return outline_of(self, now)

    def to_markdown(self) -> str:
        """Markdown for a pull request's comment: tables, the long parts folded away."""
        return markdown.markdown(self.outline())

    def to_html(self) -> str:
        """A page that needs nothing else."""
        return webpage.page(self.outline())

    def _repr_html_(self) -> str:
        return webpage.fragment(self.outline())

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(found)} {name}" for name in (*_SECTIONS, "files") if (found := getattr(self, name)))
        return f"<Comparison of {', '.join(run.name or run.id for run in self.runs)}: {counts or 'nothing'} differ>"

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, as `gxt diff --json` gives it; docs/json.md describes it."""
        return {
            "different": self.different,
            "runs": [_run_dict(run) for run in self.runs],
            **{name: _section_dict(getattr(self, name)) for name in _SECTIONS},
            "code": [
                {
                    "run": change.run,
                    "only_here": [_commit_dict(commit) for commit in change.only_here],
                    "only_first": [_commit_dict(commit) for commit in change.only_first],
                    "files": [file._asdict() for file in change.files],
                    "missing": list(change.missing),
                    "as_it_ran": change.as_it_ran,
                }
                for change in self.code
            ],
            "files": [
                {
                    "path": file.path,
                    "kind": file.kind,
                    "form": file.form,
                    "sizes": list(file.sizes),
                    "different": [_difference_dict(difference) for difference in file.different],
                    "lines": list(file.lines),
                    "remark": file.remark,
                }
                for file in self.files
            ],
        }

    def to_frame(self) -> Any:
        """A DataFrame with a row for each thing that differs and a column for each run, indexed by section and name.

        For two runs, `change`, `percent` and `verdict` say how numbers changed. Needs the `pandas` extra.
        """
        pandas = media.require_pandas("a comparison as a DataFrame")
        labels = self.outline().labels
        rows, index = [], []
        for section in _SECTIONS:
            for difference in getattr(self, section):
                index.append((section, difference.name))
                row = [_plain(value) for value in difference.values]
                if len(labels) == 2:
                    change = difference.changes[1] if difference.changes else None
                    row += list(change) if change is not None else [None, None, None]
                rows.append(row)
        columns = [*labels, *(["change", "percent", "verdict"] if len(labels) == 2 else [])]
        names = ["section", "name"]
        return pandas.DataFrame(rows, columns=columns, index=pandas.MultiIndex.from_tuples(index, names=names))


def compare(
    runs: AnyRun | Iterable[AnyRun],
    *others: AnyRun,
    goals: Mapping[str, str] | None = None,
    files: bool | Sequence[str] = False,
    tolerance: float = TOLERANCE,
) -> Comparison:
    """What differs between runs: two, or more than two, each compared with the first.

    Args:
        runs: runs, or what names them (ids, names, `@last`, `@best:rmse`), or the DataFrame that `search_runs` gives.
            Live runs can be compared too.
        others: more of them, where `runs` is one.
        goals: what is better of a metric, "min" or "max", where its experiment does not say so, or says otherwise.
        files: True to compare the contents of artifacts too; or only these files, by path, folder or pattern.
        tolerance: metrics whose values differ by no more than this share of the greater one are the same: 0.01 for
            one per cent, 0 for what is the same to the last bit.

    Raises:
        NotFoundError: no such run, metric or file.
        UsageError: less than two runs, the contents of more than two, or what is no tolerance.

    >>> gxt.compare("@last", "@best:rmse")  # doctest: +SKIP
    """
    names = [*history.names_of(runs), *history.names_of(others)]
    if len(names) == 1:
        raise UsageError("only one run to compare", 'name two or more: gxt.compare("ridge", "lasso")')
    repo = fluent.repository()
    return of(repo, catalog.find_all(repo, names), goals or {}, files, tolerance)


def of(
    repo: Repository,
    runs: Sequence[Run],
    goals: Mapping[str, str],
    files: bool | Sequence[str],
    tolerance: float = TOLERANCE,
    also_at: str | None = None,
) -> Comparison:
    """The comparison of runs that have been found. Raises as `compare` does.

    `also_at` is a commit where the files of those are that the branch has not.
    """
    if not 0 <= tolerance < 1:
        raise UsageError(f"a tolerance of {tolerance:g}?", "a share from 0 to below 1, such as 0.01")
    if len(runs) < 2:
        raise UsageError(f"{len(runs)} run{'' if len(runs) == 1 else 's'} to compare", "name two or more")
    if isinstance(files, bool):
        found = gather.compare_runs(repo, runs, goals, files, tolerance, also_at)
    else:
        found = gather.compare_files(repo, runs, files)
    return Comparison(**vars(found))


def _run_dict(run: Run) -> dict[str, Any]:
    shown = "id name experiment status place started ended duration".split()
    return {key: value for key, value in render.run_json(run).items() if key in shown}


def _section_dict(differences: Differences) -> dict[str, Any]:
    return {"different": [_difference_dict(difference) for difference in differences], "same": differences.same}


def _difference_dict(difference: Difference) -> dict[str, Any]:
    return {
        "name": difference.name,
        "kind": difference.kind,
        "values": [_plain(value) for value in difference.values],
        "absent": list(difference.absent),
        "changes": [None if change is None else change._asdict() for change in difference.changes],
        "goal": difference.goal,
    }


def _commit_dict(commit: git.Commit) -> dict[str, Any]:
    return {**commit._asdict(), "time": render.time_text(commit.time)}


def _plain(value: Any) -> Any:
    """A value as JSON has it: a Blob or a Divergence as a mapping."""
    return value._asdict() if hasattr(value, "_asdict") else value
