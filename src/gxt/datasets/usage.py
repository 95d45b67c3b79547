"""Which runs saw which data, and whether the data that a run saw is still here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gxt import catalog, datasets
from gxt.cache import Progress as Reading
from gxt.datasets.files import Progress
from gxt.errors import UsageError
from gxt.git import Repository
from gxt.model import Run
from gxt.query import Field, In

SAME, CHANGED, GONE = "same", "changed", "gone"
IN_MEMORY, ELSEWHERE, UNREADABLE = "in memory", "elsewhere", "unreadable"
_DIGEST = Field("dataset", "digest")
_MOST_DIGESTS = 500  # in one question to the cache


@dataclass(frozen=True)
class Input:
    """A dataset that a run saw.

    Attributes:
        name: what the run calls it.
        about: what inputs.yaml says of it.
        here: "same" where it is here with the digest that the run saw, "changed", "gone", or why it cannot be told:
            "in memory", "elsewhere" (a URL, or a repository whose work tree is not here), "unreadable".
        others: the other runs that saw data of the same digest, the latest first.
    """

    name: str
    about: Mapping[str, Any]
    here: str
    others: tuple[Run, ...]


def inputs(repo: Repository, run: Run, progress: Progress | None = None) -> list[Input]:
    """The datasets that a run saw, by name."""
    digests = {name: str(about["digest"]) for name, about in run.inputs.items() if about.get("digest")}
    seen = [other for other in _runs_that_saw(repo, set(digests.values())) if other.id != run.id]
    told = _added_up(progress)
    return [
        Input(name, about, _here(repo, about, told()), tuple(_having(seen, digests.get(name))))
        for name, about in sorted(run.inputs.items())
    ]


def _added_up(progress: Progress | None) -> Callable[[], Progress | None]:
    """One account of several datasets that are read in turn: what each is to tell of itself."""
    before = 0

    def one() -> Progress | None:
        earlier = before

        def tell(moved: int, total: int) -> None:
            nonlocal before
            before = earlier + total
            if progress is not None:
                progress(moved, before)

        return tell if progress is not None else None

    return one


def _runs_that_saw(repo: Repository, digests: Iterable[str]) -> list[Run]:
    wanted = sorted(digests)
    found: dict[str, Run] = {}
    for at in range(0, len(wanted), _MOST_DIGESTS):
        runs = catalog.listing(repo, where=In(_DIGEST, tuple(wanted[at : at + _MOST_DIGESTS]))).runs
        found.update((run.id, run) for run in runs)
    return sorted(found.values(), key=lambda run: run.id, reverse=True)


def _having(runs: Iterable[Run], digest: str | None) -> Iterable[Run]:
    return (run for run in runs if digest and any(about.get("digest") == digest for about in run.inputs.values()))


def _here(repo: Repository, about: Mapping[str, Any], progress: Progress | None) -> str:
    source, digest = about.get("source"), about.get("digest")
    if not source:
        return IN_MEMORY
    if not isinstance(source, str) or not digest or datasets.is_url(source) or repo.origin is not None:
        return ELSEWHERE
    if repo.work_tree is None and not source.startswith("/"):
        return ELSEWHERE
    try:
        is_same = datasets.is_as_recorded(about, repo, progress)
    except UsageError:
        return UNREADABLE
    return GONE if is_same is None else SAME if is_same else CHANGED


@dataclass(frozen=True)
class Dataset:
    """Data that runs saw.

    Attributes:
        digest: of its content; None for what has none, such as a URL.
        names: what runs call it, the most frequent first.
        about: what the latest of the runs says of it.
        runs: those that saw it, the latest first.
    """

    digest: str | None
    names: tuple[str, ...]
    about: Mapping[str, Any]
    runs: tuple[Run, ...]


def known(
    repo: Repository,
    experiments: Sequence[str] | None = None,
    where: Sequence[str] = (),
    progress: Reading | None = None,
) -> list[Dataset]:
    """All data that runs saw, the last used first; what has no digest is told apart by its source.

    Raises:
        NotFoundError, UsageError: as `catalog.listing`.
    """
    runs = catalog.listing(repo, experiments, where=where, order_by=["started:desc"], progress=progress).runs
    by_identity: dict[tuple[str | None, str], list[tuple[Run, str]]] = {}
    for run in runs:
        for name, about in run.inputs.items():
            digest = str(about["digest"]) if about.get("digest") else None
            identity = digest, "" if digest else str(about.get("source", name))
            by_identity.setdefault(identity, []).append((run, name))
    found = []
    for (digest, _), uses in by_identity.items():
        names = [name for _, name in uses]
        latest, called = uses[0]
        by_use = sorted(dict.fromkeys(names), key=lambda name: -names.count(name))
        of = tuple({run.id: run for run, _ in uses}.values())
        found.append(Dataset(digest, tuple(by_use), latest.inputs[called], of))
    return found
