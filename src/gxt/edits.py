"""Changing a run after the fact: a note in its journal while it records, a commit once it is on the branch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from gxt import live, recorder, rescue, store
from gxt.errors import NotFoundError, UsageError
from gxt.git import Repository
from gxt.masking.values import mask_value
from gxt.model import RUNNING, Experiment, Run, check_name, clean_text, now


def tag(repo: Repository, run: Run, tags: Mapping[str, str], delete: Iterable[str] = ()) -> None:
    """Set tags of a run and take others away.

    Raises:
        NotFoundError: the run has no tag of a name to delete.
    """
    gone = list(delete)
    for name in gone:
        if name not in run.tags:
            raise NotFoundError(f"run {run.name} has no tag {name!r}")
    values = {check_name("tag", name): mask_value(name, clean_text(text)) for name, text in tags.items()}
    if _is_recording(repo, run):
        active = recorder.amend(repo, run.id)
        active.set_tags(values)
        for name in gone:
            active.delete_tag(name)
        active.end()
        return
    said = [f"{name}={text}" for name, text in values.items()] + [f"-{name}" for name in gone]

    def edit(at: Run) -> Run:
        kept = {name: text for name, text in at.tags.items() if name not in gone}
        return replace(at, tags=kept | values)

    _on_branch(repo, run)
    store.edit_run(repo, run.id, edit, f"tagged {', '.join(said)}")


def note(repo: Repository, run: Run, text: str) -> None:
    """Set a run's note; blank text takes it away."""
    cleaned = clean_text(text).strip()
    if _is_recording(repo, run):
        active = recorder.amend(repo, run.id)
        active.set_note(cleaned)
        active.end()
        return
    _on_branch(repo, run)
    store.edit_run(repo, run.id, lambda at: replace(at, note=cleaned or None), "noted")


def delete(repo: Repository, run: Run) -> None:
    """Hide a run from every reader. Raises UsageError while it records."""
    if _is_recording(repo, run):
        owned = live.is_owned(live.live_path(store.root(repo), run.id))
        hint = "it ends with the process that records it" if owned else f"`gxt finish {run.id}` ends it"
        raise UsageError(f"run {run.name} ({run.id}) is still recording", hint)
    _on_branch(repo, run)
    store.mark_deleted(repo, run.id, True)


def restore(repo: Repository, run: Run) -> None:
    """Show a deleted run again. Raises UsageError where it is its experiment that was deleted."""
    if not run.deleted:
        hint = f"`gxt restore --experiment {run.experiment}` brings it back with all its runs"
        raise UsageError(f"run {run.name} is hidden with its experiment {run.experiment!r}", hint)
    store.mark_deleted(repo, run.id, False)


def delete_experiment(repo: Repository, experiment: Experiment) -> None:
    """Hide an experiment and all its runs."""
    store.edit_experiment(repo, experiment, lambda known: replace(known, deleted=now()), "experiment deleted")


def restore_experiment(repo: Repository, experiment: Experiment) -> None:
    """Show a deleted experiment and its runs again."""
    store.edit_experiment(repo, experiment, lambda known: replace(known, deleted=None), "experiment restored")


def set_goals(repo: Repository, experiment: Experiment, goals: Mapping[str, str], delete: Iterable[str] = ()) -> None:
    """Say of an experiment's metrics whether less ("min") or more ("max") is better, and take back what was said of
    others.

    Raises:
        NotFoundError: a metric to delete has no goal.
    """
    gone = list(delete)
    values = {check_name("metric", metric): goal for metric, goal in goals.items()}
    said = [f"{metric}:{goal}" for metric, goal in values.items()] + [f"-{metric}" for metric in gone]

    def edit(known: Experiment) -> Experiment:
        for metric in gone:
            if metric not in known.goals:
                raise NotFoundError(f"experiment {known.name} has no goal for {metric!r}")
        kept = {metric: goal for metric, goal in known.goals.items() if metric not in gone}
        return replace(known, goals=kept | values)

    store.edit_experiment(repo, experiment, edit, f"goals {', '.join(said)}")


def finish(repo: Repository, run_id: str, status: str) -> None:
    """End a run that no process owns, or whose process is gone, and commit it.

    So too one that is on the branch as running, by a checkpoint of another clone.

    Raises:
        NotFoundError: it is not recording.
        UsageError: its process is alive and will end it itself.
    """
    base = store.root(repo)
    folder = live.live_path(base, run_id)
    if not folder.is_dir():
        if store.read_run(repo, run_id).status != RUNNING:
            raise NotFoundError(f"run {run_id} is not recording")
        store.edit_run(repo, run_id, lambda at: replace(at, status=status, ended=now()), f"ended as {status}")
        return
    if not live.is_owned(folder):
        live.LiveRun(base, run_id).finish(status)
    elif live.recover(base, run_id, status) is None:
        raise UsageError(f"run {run_id} is recorded by a process that is alive", "it ends with that process")
    store.commit_pending(repo)


def take_back_rescued(repo: Repository) -> list[str]:
    """Add to committed runs what a full disk refused of them after they had ended. Returns the ids of these runs."""
    found = []
    for run_id in rescue.kept_runs():
        with contextlib.suppress(NotFoundError):  # it is another repository's
            if any(rescue.kept_lines(run_id)) and not _is_recording(repo, store.read_run(repo, run_id)):
                run = recorder.amend(repo, run_id)
                live.take_back_rescued(run.folder)
                run.end()
                found.append(run_id)
    return found


def _is_recording(repo: Repository, run: Run) -> bool:
    folder = live.live_path(store.root(repo), run.id)
    return folder.is_dir() and live.is_alive(folder)


def _on_branch(repo: Repository, run: Run) -> None:
    if run.place != "branch":
        store.commit_pending(repo)
