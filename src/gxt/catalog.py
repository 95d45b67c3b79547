"""Every run of a clone, wherever it is: on the branch, waiting to be committed, or still recording."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gxt import git, layout, live, query, store
from gxt.errors import FormatError, NotFoundError, UsageError
from gxt.git import Repository
from gxt.model import RUN_ID, Experiment, MetricPoint, Run, experiment_folder

_LISTED = 5


@dataclass(frozen=True)
class Listing:
    """Runs as they stood at one moment.

    Attributes:
        runs: oldest first.
        experiments: all that are known, deleted ones included, and those whose first run is still to come.
        problems: what could not be read, and why.
        tip: where the run branch stood.
    """

    runs: list[Run]
    experiments: list[Experiment]
    problems: list[FormatError]
    tip: store.Tip

    def goal(self, experiment: str, metric: str) -> str:
        """Whether less ("min") or more ("max") of a metric is better there; "min" where nobody has said."""
        goals = next((e.goals for e in self.experiments if e.name == experiment), {})
        return goals.get(metric, "min")


def listing(
    repo: Repository,
    experiments: Sequence[str] | None = None,
    deleted: bool = False,
    run_id: str | None = None,
) -> Listing:
    """The runs of all experiments, or of those named; the deleted ones instead with `deleted`.

    With `run_id`, only that run is read.

    Raises:
        NotFoundError: an experiment has no run and no document.
    """
    # In the order in which a run moves on, so that one that ends meanwhile is seen at least once.
    waiting, problems = _not_on_branch(repo, run_id)
    at = store.tip(repo, git.config(repo))
    on_branch, unreadable = store.read_experiments(repo, at.commit)
    folders = None if experiments is None else [experiment_folder(name) for name in experiments]
    known_folders = None if folders is None else [folder for folder in folders if folder in on_branch]
    entries = store.list_runs(repo, at.commit, known_folders)
    if run_id is not None:
        entries = [entry for entry in entries if entry.run_id == run_id]
    runs, broken = store.read_runs(repo, entries, on_branch)
    problems += unreadable + broken
    wanted = [run for run in waiting if experiments is None or run.experiment in experiments]
    by_id = {run.id: run for run in (*runs, *wanted)}
    new = live.new_experiments(store.root(repo))
    all_experiments = {e.name: e for e in (*new, *on_branch.values())}
    for name in experiments or ():
        if name not in all_experiments and not any(run.experiment == name for run in by_id.values()):
            raise NotFoundError(f"no experiment {name!r}", _near(name, all_experiments))
    hidden = {e.name for e in all_experiments.values() if e.deleted}
    shown = [run for run in by_id.values() if bool(run.deleted or run.experiment in hidden) == deleted]
    return Listing(
        sorted(shown, key=lambda run: (run.started or 0, run.id)),
        list(all_experiments.values()),
        problems,
        at,
    )


def _not_on_branch(repo: Repository, run_id: str | None) -> tuple[list[Run], list[FormatError]]:
    """Live and pending runs, a live one after a pending one of the same id (it was resumed)."""
    base = store.root(repo)
    runs: dict[str, Run] = {}
    problems = []
    for folders in (live.live_runs, live.pending_runs):
        for folder in folders(base):
            if run_id is not None and folder.name != run_id:
                continue
            try:
                runs.setdefault(folder.name, live.read(folder))
            except FormatError as error:
                problems.append(error)
            except FileNotFoundError:  # it has just moved on
                continue
    return list(runs.values()), problems


def find_experiment(repo: Repository, name: str) -> Experiment:
    """The experiment of that name, deleted or not. Raises NotFoundError where there is none."""
    known = {experiment.name: experiment for experiment in listing(repo).experiments}
    if name not in known:
        raise NotFoundError(f"no experiment {name!r}", _near(name, known))
    return known[name]


def _near(name: str, known: Iterable[str]) -> str:
    import difflib  # here for start-up time

    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else "`gxt list` shows them"


def find(repo: Repository, text: str, deleted: bool = False) -> Run:
    """The run that a text names: id, unique prefix of it or of its random part, unique name, `@last`,
    `@best:rmse`, `@best:acc:max`, or one of those two within an experiment: `nyc-taxi/@last`.

    Raises:
        NotFoundError: none answers to it, or several do; the message lists them.
    """
    if RUN_ID.fullmatch(text):
        runs = listing(repo, deleted=deleted, run_id=text).runs
        if not runs:
            raise NotFoundError(f"no run {text}", _deleted_hint(repo, text, deleted))
        return runs[0]
    experiment, slash, reference = text.rpartition("/@")
    if slash or text.startswith("@"):
        found = listing(repo, [experiment] if slash else None, deleted)
        return _referred(found, reference if slash else text[1:], text)
    everything = listing(repo, deleted=deleted).runs
    matching = _matching(everything, text)
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise NotFoundError(f"no run {text!r}", _elsewhere_hint(repo, everything, text, deleted))
    several = ", ".join(f"{run.id} ({run.name}, {run.experiment})" for run in matching[-_LISTED:])
    more = f" and {len(matching) - _LISTED} more" if len(matching) > _LISTED else ""
    raise NotFoundError(f"{text!r} names {len(matching)} runs: {several}{more}", "say the id")


def _matching(runs: Sequence[Run], text: str) -> list[Run]:
    named = [run for run in runs if run.name == text]
    return named or [run for run in runs if run.id.startswith(text) or run.short_id.startswith(text)]


def _elsewhere_hint(repo: Repository, runs: Sequence[Run], text: str, deleted: bool) -> str:
    """What may have been meant by a name that no run has."""
    others = _matching(listing(repo, deleted=not deleted).runs, text)
    if len(others) == 1:
        return _deleted_hint(repo, others[0].id, deleted) or ""
    if any(run.experiment == text for run in runs):
        return f"it is an experiment: `gxt table {text}` shows its runs"
    near = _near(text, {run.name for run in runs})
    return near if near.startswith("did you") else f"`gxt table{' --deleted' if deleted else ''}` shows them"


def _deleted_hint(repo: Repository, run_id: str, deleted: bool) -> str | None:
    others = listing(repo, deleted=not deleted, run_id=run_id).runs
    if not others:
        return None
    if deleted:
        return "it is not deleted"
    what = run_id if others[0].deleted else f"--experiment {others[0].experiment}"
    return f"it is deleted; `gxt restore {what}` brings it back"


def _referred(found: Listing, reference: str, text: str) -> Run:
    word, *rest = reference.split(":")
    if word == "last" and not rest:
        if not found.runs:
            raise NotFoundError(
                "there are no runs yet", "`gxt log`, `gxt run` or gxt.start_run() in Python records one"
            )
        return found.runs[-1]
    if word == "best" and rest and rest[0]:
        *metric, goal = rest if rest[-1] in ("min", "max") and len(rest) > 1 else (*rest, "")
        name = ":".join(metric)
        having = [run for run in found.runs if name in run.metrics]
        goals = {found.goal(run.experiment, name) for run in having}
        if not goal and len(goals) > 1:
            raise UsageError(f"{text}: experiments differ in which {name} is better", f"say {text}:min or {text}:max")
        return query.best(found.runs, name, goal or next(iter(goals), "min"))
    raise UsageError(f"no run can be named {text!r}", "@last, @best:METRIC or @best:METRIC:max")


# --- what is in a run ---------------------------------------------------------------------------------------------


def folder_of(repo: Repository, run: Run) -> Path | None:
    """Where a run's files are while it is not on the branch."""
    if run.place == "branch":
        return None
    where = live.live_path if run.place == "live" else live.pending_path
    return where(store.root(repo), run.id)


def files(repo: Repository, run: Run) -> dict[str, int]:
    """A run's files: path in its folder, and size in bytes. For a resumed run, those of before too."""
    found = {path: file.size for path, file in _files_on_branch(repo, run).items()}
    folder = folder_of(repo, run)
    if folder is not None:
        found |= {path: _size(content) for path, content in live.snapshot(folder).files.items()}
    return dict(sorted(found.items()))


def _size(content: bytes | live.Piece) -> int:
    return len(content) if isinstance(content, bytes) else content.size


def _files_on_branch(repo: Repository, run: Run) -> dict[str, git.TreeFile]:
    """A run's files on the branch by path; none for a run that has never been there."""
    commit = store.tip(repo, git.config(repo)).commit
    if commit is None or store.read_file(repo, commit, run, layout.RUN_YAML) is None:
        return {}
    return {file.path: file for file in store.run_files(repo, commit, run)}


def read_file(repo: Repository, run: Run, path: str) -> bytes | None:
    """One of a run's files whole, None where it has none of that name."""
    folder = folder_of(repo, run)
    content = live.snapshot(folder).files.get(path) if folder is not None else None
    if content is not None:
        return content if isinstance(content, bytes) else content.read()
    at = store.tip(repo, git.config(repo))
    return None if at.commit is None else store.read_file(repo, at.commit, run, path)


def points(repo: Repository, run: Run) -> list[MetricPoint]:
    """A run's metric history in logging order."""
    return list(layout.read_points(read_file(repo, run, layout.METRICS_CSV) or b""))


def export(repo: Repository, run: Run, target: Path, below: str = "") -> list[str]:
    """Write a run's files, or those below a path in its folder, to a folder; returns their paths.

    A file that is there already is replaced; others in the folder are left alone.
    """
    on_branch = _files_on_branch(repo, run)
    folder = folder_of(repo, run)
    in_folder = live.snapshot(folder).files if folder is not None else {}
    prefix = below.rstrip("/")
    wanted = sorted(
        path for path in on_branch.keys() | in_folder.keys() if not prefix or (path + "/").startswith(prefix + "/")
    )
    for path in wanted:
        destination = target / path
        destination.parent.mkdir(parents=True, exist_ok=True)
        if path in in_folder:
            content = in_folder[path]
            with open(destination, "wb") as out:
                out.writelines([content] if isinstance(content, bytes) else content.chunks())
            continue
        with store.open_file(repo, on_branch[path]) as stream, open(destination, "wb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
    return wanted
