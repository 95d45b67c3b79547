"""Joining two histories of the run branch: what a merge commit of the two changes, and says.

Folders that only one side changed since the two parted are taken whole, by their tree's id, and nothing in them is
read. For the others `merging` decides, by who edited what and when; that is looked up in the commits that only one of
the two sides has, so it does not matter who joined whom before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from gxt import git, layout, merging
from gxt.errors import FormatError
from gxt.git import Entry, Repository, Step, TreeEntry
from gxt.merging import Edit, Joined, Versions
from gxt.model import RUN_ID

Changes = list[tuple[str, git.Content]]

_TOLD = 20  # of what gave way, in a commit's message


class Merge(NamedTuple):
    """What joining two commits comes to.

    Attributes:
        changes: what the merge commit has otherwise than our side.
        message: its message.
        both: the folders of runs, and the files, that both sides had changed.
    """

    changes: Changes
    message: str
    both: list[str]


def plan(repo: Repository, settings: Mapping[str, str], ours: str, theirs: str, name: str) -> Merge:
    """What the merge of two commits of the run branch changes; `name` says in its message what theirs is.

    Raises:
        FormatError: theirs is in a later format, or no run branch at all.
    """
    check_format(repo, theirs, name)
    bases = git.merge_bases(repo, ours, theirs)
    trees = [f"{commit}^{{tree}}" for commit in (ours, theirs, *bases)]
    ids = [found.oid if found else "" for found in git.read_batch(repo, trees)]
    empty = git.empty_tree(settings)
    units = _differing(repo, ids[0], ids[1], ids[2:] or [empty], empty)
    steps = git.steps_apart(repo, ours, theirs)
    touched = _Touched(steps)
    changes: Changes = []
    both = []
    for unit in units:
        by_us, by_them = touched.by(unit)
        if by_us and by_them:
            both.append(unit)
        elif by_them:
            changes.append((unit.path, Entry(unit.theirs.oid, unit.theirs.is_tree) if unit.theirs else None))
    said = []
    history = _History(repo, ours, theirs, steps, [unit.path for unit in both])
    for unit in both:
        joined = history.join(unit)
        changes += _changes(unit, joined)
        said += [f"{_where(unit.path, path)}: {_told(lost)}" for path, lost in joined.lost]
    runs = sorted(unit.path.rpartition("/")[2] for unit in both if unit.is_run)
    return Merge(changes, _message(name, _new_runs(repo, units), said, runs), [unit.path for unit in both])


def _new_runs(repo: Repository, units: Sequence[Unit]) -> int:
    """How many runs theirs alone has, those of whole experiments included."""
    runs, folders = 0, [entry for unit in units if not unit.ours and (entry := unit.theirs)]
    while folders := [entry for entry in folders if entry.is_tree]:
        runs += sum(RUN_ID.fullmatch(entry.name) is not None for entry in folders)
        above = [entry.oid for entry in folders if not RUN_ID.fullmatch(entry.name)]
        folders = [entry for tree in git.read_trees(repo, above) for entry in tree or ()]
    return runs


class Moved(NamedTuple):
    """A run that is otherwise in one commit than in another.

    Attributes:
        run: its id.
        folder: its experiment's folder.
        what: "new", "changed" or "gone".
    """

    run: str
    folder: str
    what: str


def moved(repo: Repository, settings: Mapping[str, str], old: str | None, new: str | None) -> list[Moved]:
    """The runs that two commits differ in, by id; None for a commit stands for no runs at all."""
    return moved_in(changed_files(repo, settings, old, new))


def changed_files(
    repo: Repository, settings: Mapping[str, str], old: str | None, new: str | None
) -> list[tuple[str, str]]:
    """The files of experiments that two commits differ in, each with A where it was added, D deleted, else M."""
    return git.changed_paths(repo, old or git.empty_tree(settings), new or git.empty_tree(settings), layout.EXPERIMENTS)


def moved_in(changed: Sequence[tuple[str, str]]) -> list[Moved]:
    """The runs that these files are of, by id."""
    found: dict[tuple[str, str], str] = {}
    for status, path in changed:
        parts = path.split("/", 3)
        if len(parts) == 4 and RUN_ID.fullmatch(parts[2]):
            run = parts[2], parts[1]
            whole = parts[3] == layout.RUN_YAML and status in ("A", "D")
            if whole or run not in found:
                found[run] = {"A": "new", "D": "gone"}[status] if whole else "changed"
    return sorted(Moved(run, folder, what) for (run, folder), what in found.items())


def experiments_in(changed: Sequence[tuple[str, str]]) -> list[str]:
    """The folders of the experiments whose own documents were changed; of those that are new, their runs tell."""
    parts = [path.split("/") for status, path in changed if status == "M"]
    return sorted(part[1] for part in parts if len(part) == 3 and part[2] == layout.EXPERIMENT_YAML)


def moved_since(repo: Repository, settings: Mapping[str, str], have: str | None, other: str | None) -> list[Moved]:
    """The runs that a history has otherwise than another, and has changed since the two parted."""
    bases = git.merge_bases(repo, have, other) if have is not None and other is not None else []
    if other in bases:
        return []
    apart = moved(repo, settings, have, other)
    if have in bases:
        return apart
    parted: list[str | None] = [*bases] if bases else [None]
    for base in parted:
        changed = {one.run for one in moved(repo, settings, base, other)}
        apart = [one for one in apart if one.run in changed]
    return apart


def conflicts(repo: Repository, settings: Mapping[str, str], ours: str, theirs: str) -> list[str]:
    """The files in which two commits conflict where not gxt joins them, but a host by git alone.

    Where git cannot tell, those that both sides have changed, and not alike.
    """
    base = next(iter(git.merge_bases(repo, ours, theirs)), git.empty_tree(settings))
    if base in (ours, theirs):
        return []
    by_us, by_them = ({path for _, path in git.changed_paths(repo, base, side)} for side in (ours, theirs))
    both = by_us & by_them
    if both:
        both &= {path for _, path in git.changed_paths(repo, ours, theirs)}
    if not both:
        return []
    # A copy of a repository elsewhere lacks the files that would be merged.
    found = git.merge_conflicts(repo, ours, theirs) if repo.origin is None else None
    return sorted(both) if found is None else found


def differing(repo: Repository, settings: Mapping[str, str], old: str, new: str, beside: str) -> list[Unit]:
    """The runs and files that two commits differ in, as `ours` and `theirs`, with what a third has there as base."""
    ids = [found.oid if found else "" for found in git.read_batch(repo, [f"{c}^{{tree}}" for c in (old, new, beside)])]
    return _differing(repo, ids[0], ids[1], ids[2:], git.empty_tree(settings), whole=False)


def on_top(repo: Repository, path: str, old: TreeEntry, new: TreeEntry, onto: TreeEntry) -> Changes:
    """What to write at a run's folder, or another file, that is `onto`, for what was done between `old` and `new` to be
    done to it as well: key by key, so that all else stays as it is there."""
    then, now, there = (_files(repo, path, entry) for entry in (old, new, onto))
    edits: dict[str, list[Edit]] = {}
    for ours, files in ((True, now), (False, there)):
        for name in then.keys() | files.keys():
            if then.get(name) != files.get(name):
                commit = "now" if ours else "there"
                edits.setdefault(name, []).append(Edit(commit, ours, [then.get(name)], files.get(name)))

    def read(oid: str) -> bytes:
        return git.read_objects(repo, [oid])[0] or b""

    joined = merging.join(Versions(now, there, [then], edits, read, lambda commit: commit == "now"))
    return _changes(Unit(path, onto, new, [old]), joined)


def joined_file(repo: Repository, ours: str, theirs: str, path: str) -> bytes | None:
    """What the merge of two commits has at the path of a file, for who merges file by file, as `git merge` does."""
    parts = path.split("/")
    is_run = len(parts) > 3 and parts[0] == layout.EXPERIMENTS and RUN_ID.fullmatch(parts[2]) is not None
    where = "/".join(parts[:3]) if is_run else path
    bases = git.merge_bases(repo, ours, theirs)
    found = git.read_batch(repo, [f"{commit}:{where}" for commit in (ours, theirs, *bases)])
    entries = [TreeEntry(parts[-1], entry.oid, is_run, not is_run) if entry else None for entry in found]
    unit = Unit(where, entries[0], entries[1], entries[2:])
    joined = _History(repo, ours, theirs, git.steps_apart(repo, ours, theirs), [where]).join(unit)
    content = joined.files.get(path[len(where) + 1 :] if is_run else path)
    return git.read_objects(repo, [content])[0] if isinstance(content, str) else content


def check_format(repo: Repository, theirs: str, name: str, writing: bool = True) -> None:
    """Raise FormatError where a commit holds no runs, or, for who is `writing`, where it is in a later format."""
    document, runs = git.read_objects(repo, [f"{theirs}:{layout.GXT_YAML}", f"{theirs}:{layout.EXPERIMENTS}"])
    if document is None and runs is None:
        raise FormatError(f"{name} is no branch of runs: it has neither {layout.GXT_YAML} nor {layout.EXPERIMENTS}/")
    if writing and document is not None and (version := layout.read_format(document)) > layout.FORMAT:
        raise FormatError(
            f"{name} is written in format {version}; this gxt writes format {layout.FORMAT}",
            "upgrade: pip install -U git-gxt",
        )


# --- what the two sides differ in ---------------------------------------------------------------------------------


class Unit(NamedTuple):
    """A run's folder, or another file, that the two sides differ in: what each has there, and what was where they
    parted."""

    path: str
    ours: TreeEntry | None
    theirs: TreeEntry | None
    bases: Sequence[TreeEntry | None]

    @property
    def is_run(self) -> bool:
        """Whether it is a run's folder."""
        return _is_run(self.path)


def _is_run(path: str) -> bool:
    parts = path.split("/")
    return len(parts) == 3 and parts[0] == layout.EXPERIMENTS and RUN_ID.fullmatch(parts[2]) is not None


def _differing(
    repo: Repository, ours: str, theirs: str, bases: Sequence[str], empty: str, whole: bool = True
) -> list[Unit]:
    """The runs and files that two trees differ in, level by level, each level by one call of git.

    With `whole`, a folder that only one side has, and always had alone, stands for all that is in it.
    """
    units: list[Unit] = []
    level = [("", ours, theirs, list(bases))]
    while level:
        pairs = [pair for _, mine, other, olds in level for pair in [(mine, other), *((old, mine) for old in olds)]]
        found = iter(git.changed_in_pairs(repo, pairs))
        below = []
        for prefix, _, _, olds in level:
            apart = next(found)
            since = [{change.name: change.old for change in next(found)} for _ in olds]
            for change in apart:
                name, mine, other = change.name, change.old, change.new
                before = [changed.get(name, mine) for changed in since]
                unit = Unit(prefix + name, mine, other, before)
                if _goes_deeper(unit, whole):
                    trees = [entry.oid if entry and entry.is_tree else empty for entry in (mine, other, *before)]
                    below.append((f"{unit.path}/", trees[0], trees[1], trees[2:]))
                else:
                    units.append(unit)
        level = below
    return units


def _goes_deeper(unit: Unit, whole: bool) -> bool:
    there = [entry for entry in (unit.ours, unit.theirs) if entry is not None]
    if unit.is_run or not all(entry.is_tree for entry in there):
        return False
    return not whole or len(there) == 2 or any(entry is not None for entry in unit.bases)


class _Touched:
    """Which sides changed a run or file since they parted: as their trees say, or, where it is as it was, the messages
    of their commits."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._named: dict[bool, set[str]] = {True: set(), False: set()}
        for step in steps:
            if len(step.parents) > 1:
                continue
            for key, value in step.trailers:
                if key == layout.RUN_TRAILER:
                    self._named[step.ours].add(value)
                elif key == layout.EXPERIMENT_TRAILER and value:
                    self._named[step.ours].add(layout.experiment_path(value))

    def by(self, unit: Unit) -> tuple[bool, bool]:
        """Whether we did, and whether they did."""
        name = unit.path.rpartition("/")[2] if unit.is_run else unit.path
        by_us = name in self._named[True] or any(base != unit.ours for base in unit.bases)
        by_them = name in self._named[False] or any(base != unit.theirs for base in unit.bases)
        return by_us, by_them


# --- who did what -------------------------------------------------------------------------------------------------


class _History:
    """What each side did to some runs and files since the two parted."""

    def __init__(self, repo: Repository, ours: str, theirs: str, steps: Sequence[Step], paths: Sequence[str]) -> None:
        self._repo = repo
        self._tips = (ours, theirs)
        self._steps = {step.commit: step for step in steps}
        self._edits: dict[str, dict[str, list[Edit]]] = {path: {} for path in paths}
        self._contents: dict[str, bytes] = {}
        self._ages: dict[str, tuple[int, int]] | None = None
        for edit in git.edits_apart(repo, ours, theirs, paths) if paths else ():
            where = edit.path if edit.path in self._edits else "/".join(edit.path.split("/")[:3])
            if where in self._edits and (step := self._steps.get(edit.commit)):
                inside = edit.path[len(where) + 1 :] or edit.path
                known = self._edits[where].setdefault(inside, [])
                known.append(Edit(edit.commit, step.ours, edit.before, edit.after))

    def join(self, unit: Unit) -> Joined:
        """Both sides' versions of a run or file as one."""
        edits = self._edits[unit.path]
        if unit.is_run and (unit.ours is None or unit.theirs is None):
            kept = self._kept(unit, edits)
            if kept is None:
                return Joined({}, [])
            unit = kept
        sides = (unit.ours, unit.theirs, *unit.bases)
        ours, theirs, *bases = (_files(self._repo, unit.path, entry) for entry in sides)
        return merging.join(Versions(ours, theirs, bases, edits, self._read, self._rank))

    def _kept(self, unit: Unit, edits: Mapping[str, Sequence[Edit]]) -> Unit | None:
        """A run that one side purged, and the other edited without knowing: as it was before it was purged.

        None where nobody edited it.
        """
        has_ours = unit.ours is not None
        by_owner = {edit.commit for some in edits.values() for edit in some if edit.ours == has_ours and edit.after}
        purges = [edit.commit for edit in edits.get(layout.RUN_YAML, ()) if edit.after is None]
        known = self._ancestors([commit for commit in purges if self._steps[commit].ours == has_ours])
        if not by_owner - known:
            return None
        others = [commit for commit in purges if self._steps[commit].ours != has_ours and self._steps[commit].parents]
        if not others:
            return unit._replace(ours=unit.ours or unit.theirs, theirs=unit.theirs or unit.ours)
        last = max(others, key=self._rank)
        (before,) = git.read_batch(self._repo, [f"{self._steps[last].parents[0]}:{unit.path}"])
        gone = TreeEntry(unit.path, before.oid, True, False) if before else unit.ours or unit.theirs
        return unit._replace(theirs=gone) if has_ours else unit._replace(ours=gone)

    def _ancestors(self, commits: Collection[str]) -> set[str]:
        """Among the steps, those that these commits have in their history."""
        found: set[str] = set()
        waiting = list(commits)
        while waiting:
            step = self._steps.get(waiting.pop())
            if step is not None and step.commit not in found:
                found.add(step.commit)
                waiting += step.parents
        return found

    def _read(self, oid: str) -> bytes:
        if oid not in self._contents:
            self._contents[oid] = git.read_objects(self._repo, [oid])[0] or b""
        return self._contents[oid]

    def _rank(self, commit: str) -> tuple[int, int]:
        if self._ages is None:
            self._ages = git.ages(self._repo, self._tips)
        return self._ages.get(commit, (0, 0))


def _files(repo: Repository, path: str, entry: TreeEntry | None) -> dict[str, str]:
    if entry is None:
        return {}
    if not entry.is_tree:
        return {path: entry.oid}
    return {file.path: file.oid for file in git.list_files(repo, entry.oid)}


def _changes(unit: Unit, joined: Joined) -> Changes:
    """What to write so that our side becomes what was joined."""
    if not unit.is_run:
        content = joined.files.get(unit.path)
        return [(unit.path, Entry(content, is_tree=False) if isinstance(content, str) else content)]
    changes: Changes = [(unit.path, None)]  # then every file anew: most are there by their ids
    for path, content in joined.files.items():
        changes.append((f"{unit.path}/{path}", Entry(content, False) if isinstance(content, str) else content))
    return changes


# --- what the commit says -----------------------------------------------------------------------------------------


def _where(unit: str, path: str) -> str:
    place = unit.removeprefix(f"{layout.EXPERIMENTS}/")
    return place if unit == path else f"{place}/{path}"


def _told(lost: merging.Lost) -> str:
    key = f"{lost.key}: " if lost.key else ""
    return f"{key}{lost.lost} gave way to {lost.kept}"


def _message(name: str, came: int, said: Sequence[str], runs: Sequence[str]) -> str:
    what = [f"{came} new run{'' if came == 1 else 's'}"] if came else []
    what += [f"{len(runs)} that both sides had changed"] if runs else []
    parts = [f"merge {name}" + (f": {', '.join(what)}" if what else "")]
    if said:
        more = [f"and {len(said) - _TOLD} more"] if len(said) > _TOLD else []
        parts.append("\n".join([*said[:_TOLD], *more]))
    if runs:
        parts.append("\n".join(f"{layout.RUN_TRAILER}: {run}" for run in runs))
    return "\n\n".join(parts) + "\n"
