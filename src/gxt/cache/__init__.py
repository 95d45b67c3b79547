"""A cache of the runs on the branch, in SQLite: what a listing would otherwise read from git and parse each time.

A run is kept under the id of its tree, which is the hash of its content: it is never stale, and serves every commit
that has it. So is the listing of an experiment's folder. What git has and the cache lacks is added as it is asked for
(`update`). The file can be deleted at any time; where it cannot be written or trusted, the same is built in memory
(`tables`). Questions about the runs of one commit are a `View`'s (`view`).
"""

from gxt.cache.tables import FILE, problem, remove, use
from gxt.cache.update import Place, Progress, places
from gxt.cache.view import MetricRange, ValueCount, View

__all__ = ["FILE", "MetricRange", "Place", "Progress", "ValueCount", "View", "places", "problem", "remove", "use"]
