"""Histories of the run branch as several clones make them, with real edits and real merges, in one repository.

A clone is a ref. Commits are made as gxt makes them, without a process for each; the clock of each edit is given.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from unittest import mock

from gxt import git as gxt_git
from gxt import joining, layout
from gxt.git import Repository
from gxt.model import Experiment, MetricPoint, Run, summarise
from helpers import git

EXPERIMENT = "taxi"
START = 1_790_000_000


class Clones:
    """Several clones of one run branch, by number."""

    def __init__(self, repo: Repository, count: int, shared: bool) -> None:
        self.repo = repo
        self.settings = gxt_git.config(repo)
        self.count = 0
        self.tips: list[str] = []
        for number in range(count):
            self.tips.append("" if number == 0 or not shared else self.tips[0])
            if number == 0 or not shared:
                self._begin(number)

    def _begin(self, number: int) -> None:
        created = (START + number) * 1000
        changes: dict[str, bytes | None] = {
            layout.GXT_YAML: layout.gxt_document(),
            layout.GITATTRIBUTES: layout.GITATTRIBUTES_TEXT,
            layout.experiment_path(EXPERIMENT): layout.experiment_document(
                Experiment(EXPERIMENT, f"{number:016d}", created)
            ),
        }
        for run in (f"20261101-00000{number}-00000000", f"20261101-00000{number}-00000001"):
            changes |= {f"{_path(run)}/{name}": data for name, data in _new_run(run).items()}
        self.commit(number, changes, START + number, [])

    def commit(
        self, number: int, changes: Mapping[str, Any], when: int, runs: list[str], joined: str | None = None
    ) -> None:
        """Commit changes on top of a clone's tip, at a time of its clock."""
        self.count += 1
        ref = f"refs/test/{number}-{self.count}"
        message = "edit\n\n" + "".join(f"{layout.RUN_TRAILER}: {run}\n" for run in runs)
        parent = self.tips[number] or None
        with mock.patch.object(time, "time", lambda: when):
            self.tips[number] = gxt_git.commit_files(
                self.repo, ref, None, parent, changes.items(), message, self.settings, joined
            )

    def join(self, one: str, other: str) -> str:
        """The commit that joins two, as `gxt sync` does it."""
        if gxt_git.is_ancestor(self.repo, other, one):
            return one
        if gxt_git.is_ancestor(self.repo, one, other):
            return other
        merge = joining.plan(self.repo, self.settings, one, other, "another")
        self.count += 1
        ref = f"refs/test/merge-{self.count}"
        return gxt_git.commit_files(self.repo, ref, None, one, merge.changes, merge.message, self.settings, other)

    def tree(self, commit: str) -> str:
        """A commit's tree."""
        return git("rev-parse", f"{commit}^{{tree}}", cwd=self.repo.common_dir)

    # --- edits ---

    def runs(self, number: int) -> list[str]:
        """The ids of a clone's runs."""
        folder = f"{self.tips[number]}:experiments/{EXPERIMENT}"
        (entries,) = gxt_git.read_trees(self.repo, [folder])
        return [entry.name for entry in entries or () if entry.is_tree]

    def read(self, number: int, path: str) -> bytes:
        """A file at a clone's tip."""
        return gxt_git.read_objects(self.repo, [f"{self.tips[number]}:{path}"])[0] or b""

    def run(self, number: int, run_id: str) -> Run:
        """A run at a clone's tip."""
        names = layout.RUN_DOCUMENTS
        found = gxt_git.read_objects(self.repo, [f"{self.tips[number]}:{_path(run_id)}/{name}" for name in names])
        files = {name: data for name, data in zip(names, found, strict=True) if data is not None}
        return layout.read_run(EXPERIMENT, run_id, files)

    def edit(self, number: int, op: str, which: int, key: int, value: int, when: int) -> None:
        """One edit by a clone, if it can be made there."""
        at = START + 100 + when
        if op == "new":
            run_id = f"20261102-00{number:02d}{key:02d}-{self.count:08x}"
            files = {f"{_path(run_id)}/{name}": data for name, data in _new_run(run_id).items()}
            return self.commit(number, files, at, [run_id])
        if op in ("goal", "describe"):
            return self._edit_experiment(number, op, key, value, at)
        runs = self.runs(number)
        if not runs:
            return None
        run_id = runs[which % len(runs)]
        before = self.run(number, run_id)
        if op == "purge":
            return self.commit(number, {_path(run_id): None}, at, [run_id]) if before.deleted else None
        if op == "artifact":
            path = f"{_path(run_id)}/artifacts/a{key}.txt"
            return self.commit(number, {path: f"content {value}".encode()}, at, [run_id])
        after = self._edited(number, before, op, key, value, at)
        old, new = layout.run_files(before), layout.run_files(after)
        changes: dict[str, bytes | None] = {
            f"{_path(run_id)}/{name}": data for name, data in new.items() if old.get(name) != data
        }
        if op in ("late", "resume"):
            points = _points(self.read(number, f"{_path(run_id)}/metrics.csv"), key, value, at, op)
            metrics = summarise(layout.read_points(points))
            changes[f"{_path(run_id)}/metrics.csv"] = points
            changes[f"{_path(run_id)}/metrics.yaml"] = layout.metrics_document(metrics)
        if changes:
            self.commit(number, changes, at, [run_id])
        return None

    def _edited(self, number: int, run: Run, op: str, key: int, value: int, at: int) -> Run:
        tags, name = dict(run.tags), f"k{key}"
        if op == "tag":
            return replace(run, tags=tags | {name: f"v{value}"})
        if op == "untag":
            return replace(run, tags={known: text for known, text in tags.items() if known != name})
        if op == "note":
            return replace(run, note=f"note {value}" if value else None)
        if op == "name":
            return replace(run, name=f"name-{value}")
        if op in ("delete", "restore"):
            return replace(run, deleted=at * 1000 if op == "delete" else None)
        if op == "checkpoint":
            return replace(run, status="running", ended=None)
        if op == "resume":
            params = dict(run.params) | {f"late{number}-{key}": value}
            status = ["finished", "failed", "killed"][value % 3]
            return replace(run, params=params, status=status, ended=at * 1000, exit_code=value or None)
        return run

    def _edit_experiment(self, number: int, op: str, key: int, value: int, at: int) -> None:
        path = layout.experiment_path(EXPERIMENT)
        experiment = layout.read_experiment(EXPERIMENT, self.read(number, path))
        goals = {known: goal for known, goal in experiment.goals.items() if known != f"m{key}"}
        if op == "describe":
            after = replace(experiment, description=f"about {value}")
        else:
            after = replace(experiment, goals=goals | ({f"m{key}": ["min", "max"][value % 2]} if value else {}))
        if after != experiment:
            trailer = f"edit\n\n{layout.EXPERIMENT_TRAILER}: {EXPERIMENT}\n"
            with mock.patch.object(time, "time", lambda: at):
                self.count += 1
                self.tips[number] = gxt_git.commit_files(
                    self.repo,
                    f"refs/test/{number}-{self.count}",
                    None,
                    self.tips[number],
                    [(path, layout.experiment_document(after))],
                    trailer,
                    self.settings,
                )


OPERATIONS = "new tag untag note name delete restore purge checkpoint resume late artifact goal describe".split()


def _path(run_id: str) -> str:
    return layout.run_path(EXPERIMENT, run_id)


def _new_run(run_id: str) -> dict[str, bytes]:
    points = [MetricPoint(step, "loss", 1 / (step + 1), START * 1000 + step) for step in range(3)]
    source = {"command": "python train.py", "commit": "1" * 40, "branch": "main", "dirty": False}
    run = Run(
        run_id, EXPERIMENT, name="first", started=START * 1000, params={"lr": 0.1, "model": {"depth": 3}}, source=source
    )
    files = layout.run_files(replace(run, metrics=summarise(points)))
    return files | {layout.METRICS_CSV: layout.write_points(points), layout.OUTPUT_LOG: b"begin\n"}


def _points(data: bytes, key: int, value: int, at: int, op: str) -> bytes:
    points = list(layout.read_points(data))
    if op == "resume" and value == 2:  # from a step: what came after is gone
        points = [point for point in points if point.step < 2]
    step = max((point.step for point in points), default=0) + 1
    return layout.write_points([*points, MetricPoint(step, f"m{key}", float(value), at * 1000 + value)])
