"""Running a run again.

plan, supplies, environments    the command as it was, the files that are not code, the packages it had
again       all of it in a work tree of its own, recorded
verdicts    whether the metrics held
outcome     what came of it, as values that are shown
calls       what Python and the command line call
"""

from gxt.environment.interpreters import Interpreter, look_at
from gxt.replaying.again import CURRENT, REPRODUCES, RERUN_OF, VENV, Rehearsal, Watch, Wish, in_folder, rehearse
from gxt.replaying.calls import check_metrics, reproduce, reproduction, rerun, rerun_of
from gxt.replaying.environments import Kept, forget, kept, make_environment
from gxt.replaying.outcome import Reproduction, Rerun, exact
from gxt.replaying.plan import Plan, Replacement, arguments_in, parse_changes, plan
from gxt.replaying.supplies import Supply, supply
from gxt.replaying.verdicts import DIFFERS, HELD, IDENTICAL, MISSING, NEW, Verdict, held, is_compared, verdicts

__all__ = [
    "CURRENT",
    "DIFFERS",
    "HELD",
    "IDENTICAL",
    "MISSING",
    "NEW",
    "REPRODUCES",
    "RERUN_OF",
    "VENV",
    "Interpreter",
    "Kept",
    "Plan",
    "Rehearsal",
    "Replacement",
    "Reproduction",
    "Rerun",
    "Supply",
    "Verdict",
    "Watch",
    "Wish",
    "arguments_in",
    "check_metrics",
    "exact",
    "forget",
    "held",
    "in_folder",
    "is_compared",
    "kept",
    "look_at",
    "make_environment",
    "parse_changes",
    "plan",
    "rehearse",
    "reproduce",
    "reproduction",
    "rerun",
    "rerun_of",
    "supply",
    "verdicts",
]
