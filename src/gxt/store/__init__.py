"""Runs on the run branch: commit them, list them, read them, edit them, take them away.

Every write is one commit made from an explicit tip and tried again when the tip has moved, so that any number of
processes can write at once. Nothing here touches the work tree or the index.

`tips` says where the branch stands and `reading` what is on it; `locking` lets one process of a clone commit at a time,
`commits` makes the commits; `runs` and `experiments` say what is in them, `contents` where large artifacts go;
`branches` makes, moves, joins and drops run branches, `aside` keeps what is not on one yet.
"""

from gxt.store.aside import aside
from gxt.store.branches import (
    drop_branch,
    forward,
    init,
    join,
    make_branch,
    refresh_attributes,
    replace_tip,
    runs_begun_on,
    switch_branch,
)
from gxt.store.commits import change, check_not_checked_out, clean_up, leftovers
from gxt.store.contents import (
    artifact_settings,
    behind_pointer,
    checked_artifact,
    objects,
    read_artifact,
    save_artifact,
    set_artifact_store,
)
from gxt.store.experiments import check_open, edit_experiment, experiment, has_experiment
from gxt.store.locking import committing
from gxt.store.reading import (
    FETCH,
    RunEntry,
    entry_named,
    holds_runs,
    list_runs,
    lost,
    missing_runs,
    open_file,
    read_documents,
    read_entries,
    read_experiments,
    read_file,
    read_histories,
    read_run,
    read_runs,
    resumable_files,
    run_files,
)
from gxt.store.runs import (
    Checkpoint,
    branch_of,
    checkpoint,
    commit_pending,
    commit_waiting,
    edit_run,
    mark_deleted,
    purge,
    withdraw,
)
from gxt.store.tips import DEFAULT_BRANCH, Changes, Tip, base_of, branch_name, branch_tip, check_writable, root, tip

__all__ = [
    "DEFAULT_BRANCH",
    "FETCH",
    "Changes",
    "Checkpoint",
    "RunEntry",
    "Tip",
    "artifact_settings",
    "aside",
    "base_of",
    "behind_pointer",
    "branch_name",
    "branch_of",
    "branch_tip",
    "change",
    "check_not_checked_out",
    "check_open",
    "check_writable",
    "checked_artifact",
    "checkpoint",
    "clean_up",
    "commit_pending",
    "commit_waiting",
    "committing",
    "drop_branch",
    "edit_experiment",
    "edit_run",
    "entry_named",
    "experiment",
    "forward",
    "has_experiment",
    "holds_runs",
    "init",
    "join",
    "leftovers",
    "list_runs",
    "lost",
    "make_branch",
    "mark_deleted",
    "missing_runs",
    "objects",
    "open_file",
    "purge",
    "read_artifact",
    "read_documents",
    "read_entries",
    "read_experiments",
    "read_file",
    "read_histories",
    "read_run",
    "read_runs",
    "refresh_attributes",
    "replace_tip",
    "resumable_files",
    "root",
    "run_files",
    "runs_begun_on",
    "save_artifact",
    "set_artifact_store",
    "switch_branch",
    "tip",
    "withdraw",
]
