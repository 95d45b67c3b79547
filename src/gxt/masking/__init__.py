"""Secrets, by their names, by their shapes and in URLs: what is masked before anybody else sees it.

`names` knows what is called like a secret, `shapes` what looks like one, `assignments` and `commands` where one is
given in text and in a command line, `values` what becomes of params and variables, `files` which files hold them by
custom.
"""

from __future__ import annotations

from gxt.masking.names import MASK, is_secret
from gxt.masking.shapes import mask_message, mask_text, mask_urls

__all__ = ["MASK", "is_secret", "mask_message", "mask_text", "mask_urls"]
