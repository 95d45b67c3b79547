"""Looking for the commit that made a metric worse: what recorded runs say of commits, and which commit to test next.

git chooses: first among the commits that recorded runs tell of, by what halves the rest best, and then by `git bisect`.

question    what is asked, of the runs of which experiment, and the answers
data        whether recorded runs read the same data
recorded    what recorded runs say of commits, and why some say nothing
search      which commit is next
"""

from gxt.bisecting.question import (
    BAD,
    GOOD,
    SKIP,
    TAG,
    Answer,
    Outcome,
    Question,
    fields_of,
    find_experiment,
    parse_condition,
)
from gxt.bisecting.recorded import Recorded, check_end, latest_good
from gxt.bisecting.search import ask, bisect

__all__ = [
    "BAD",
    "GOOD",
    "SKIP",
    "TAG",
    "Answer",
    "Outcome",
    "Question",
    "Recorded",
    "ask",
    "bisect",
    "check_end",
    "fields_of",
    "find_experiment",
    "latest_good",
    "parse_condition",
]
