"""The name that a misspelt one was probably meant to be."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the known name nearest to the word, or nothing where none is near."""
    by_lower_case = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_lower_case, n=1)
    return f" Did you mean '{by_lower_case[near[0]]}'?" if near else ""
