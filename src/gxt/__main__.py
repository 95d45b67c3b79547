"""`python -m gxt` is the command `gxt`."""

import os
import sys

# Python looks for modules in the current folder first, where the user's own `secrets.py` is not the one that is meant;
# for the command `gxt` it does not.
if not getattr(sys.flags, "safe_path", False) and sys.path[:1] in ([""], [os.getcwd()]):
    del sys.path[0]

from gxt.cli import main

if __name__ == "__main__":
    main()
