"""Names that came with the data, as they are shown to a person."""

import re
from collections.abc import Sequence

NAMED = 5
LONGEST_NAME = 60
STEERING = re.compile("[\\x00-\\x09\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")


def printable(text: str) -> str:
    """A text without what would steer a terminal, or turn the direction of what follows: a mark stands in its place."""
    return STEERING.sub("\ufffd", text)


def named(names: Sequence[str]) -> str:
    """Names for a sentence: the first few, each cut where it is long, and how many more."""
    whole = (printable(name).replace("\n", " ") for name in names[:NAMED])
    shown = ", ".join(name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..." for name in whole)
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED:,} more"
