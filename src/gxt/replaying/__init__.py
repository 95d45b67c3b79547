"""Running a run again: the command as it was (`plan`), the files that are not code (`supplies`), the Python and its
packages (`environments`), and whether the metrics held (`verdicts`). The command line starts what is planned here."""

from gxt.environment.interpreters import Interpreter, look_at
from gxt.replaying.environments import make_environment
from gxt.replaying.plan import Plan, Replacement, arguments_in, parse_changes, plan
from gxt.replaying.supplies import Supply, supply
from gxt.replaying.verdicts import DIFFERS, HELD, IDENTICAL, MISSING, NEW, Verdict, held, is_compared, verdicts

__all__ = [
    "DIFFERS",
    "HELD",
    "IDENTICAL",
    "MISSING",
    "NEW",
    "Interpreter",
    "Plan",
    "Replacement",
    "Supply",
    "Verdict",
    "arguments_in",
    "held",
    "is_compared",
    "look_at",
    "make_environment",
    "parse_changes",
    "plan",
    "supply",
    "verdicts",
]
