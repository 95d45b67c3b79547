"""Joining two sides' versions of what is on the run branch: contents in, contents out; knows nothing of git.

edits        what each side did: who set a value, and which of two edits is the later
documents    YAML, key by key
lines        points and samples, line by line
run          a run's folder, or any file beside

Both sides give the same result, and so does any number of clones that join each other in any order: the value of a key
is the one that was set last, wherever that was, and nothing is decided by who joins whom.
"""

from gxt.merging.documents import Lost
from gxt.merging.edits import Edit, Rank
from gxt.merging.run import Joined, Versions, join

__all__ = ["Edit", "Joined", "Lost", "Rank", "Versions", "join"]
