"""Large artifacts: on the branch a pointer, the bytes in Git LFS or a store, and a copy of them in the git directory.

`settings.py` says from which size on and where to, `objects.py` keeps the copies by digest, `placing.py` makes pointers
of a run's files when it is committed, `places.py` says what a place for bytes does, `lfs.py` and `store.py` are the
two kinds there are, `choosing.py` says which ones a clone has, and `opening.py` reads what a pointer stands for.
"""

from gxt.large.choosing import place_for, places_for, source_for
from gxt.large.objects import Objects, cloned, digest_of
from gxt.large.opening import fetch, save_content
from gxt.large.places import Place, Progress, Sent, Shown
from gxt.large.placing import attributes_change, placed, with_pointers
from gxt.large.settings import Settings, checked_url, read_settings, shared_url, shown_url
from gxt.large.store import GRACE, StorePlace, check_kind

__all__ = [
    "GRACE",
    "Objects",
    "Place",
    "Progress",
    "Sent",
    "Settings",
    "Shown",
    "StorePlace",
    "attributes_change",
    "check_kind",
    "checked_url",
    "cloned",
    "digest_of",
    "fetch",
    "place_for",
    "placed",
    "places_for",
    "read_settings",
    "save_content",
    "shared_url",
    "shown_url",
    "source_for",
    "with_pointers",
]
