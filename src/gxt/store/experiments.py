"""Experiments: the document on the branch, and whether it is open to new runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gxt import git, layout, live
from gxt.errors import UsageError
from gxt.git import Repository
from gxt.model import Experiment, experiment_folder
from gxt.store.commits import change
from gxt.store.tips import Changes, Tip, check_writable, root, tip


def edit_experiment(
    repo: Repository, experiment: Experiment, edit: Callable[[Experiment], Experiment], what: str
) -> Experiment:
    """Change an experiment's document on the branch, or write it there as it is created; `what` says so in the commit's
    message. What others changed since `experiment` was read stays.
    """
    message = layout.experiment_message(experiment.name, what)
    _open_experiments.discard((repo.common_dir, experiment.name))
    path = layout.experiment_path(experiment.name)
    edited: list[Experiment] = []

    def plan(at: Tip) -> tuple[Changes, str]:
        (data,) = git.read_objects(repo, [f"{at.commit}:{path}"]) if at.commit else [None]
        now_there = layout.read_experiment(experiment_folder(experiment.name), data) if data is not None else experiment
        edited[:] = [edit(now_there)]
        return [(path, layout.experiment_document(edited[0]))], message

    change(repo, plan)
    live.forget_experiment(root(repo), experiment.name)
    return edited[0]


def experiment(repo: Repository, name: str) -> Experiment:
    """The experiment of that name: on the branch, or the one that the first commit of a run will put there.

    Raises:
        UsageError: it was deleted.
    """
    commit = tip(repo, git.config(repo)).commit
    path = layout.experiment_path(name)
    (data,) = git.read_objects(repo, [f"{commit}:{path}"]) if commit else [None]
    if data is None:
        check_writable(repo)
        return live.new_experiment(root(repo), name)
    found = layout.read_experiment(experiment_folder(name), data)
    if found.deleted:
        raise UsageError(f"experiment {name!r} is deleted", f"`gxt restore --experiment {name}` brings it back")
    return found


_open_experiments: set[tuple[Path, str]] = set()


def check_open(repo: Repository, name: str) -> None:
    """Raise UsageError where the experiment was deleted; looked up once a process, since it takes git to tell."""
    if (repo.common_dir, name) not in _open_experiments:
        experiment(repo, name)
        _open_experiments.add((repo.common_dir, name))


def has_experiment(repo: Repository, name: str) -> bool:
    """Whether the experiment is on the branch."""
    commit = tip(repo, git.config(repo)).commit
    return commit is not None and git.read_objects(repo, [f"{commit}:{layout.experiment_path(name)}"]) != [None]
