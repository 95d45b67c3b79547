"""`python -m gxt` is the command `gxt`."""

from gxt.cli import main

if __name__ == "__main__":
    main()
