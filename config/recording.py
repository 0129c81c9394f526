"""What a business records, as far as its configuration tells."""

from collections.abc import Iterable

from config.expressions import fixed_texts
from config.rules import KINDS
from config.settings import Sources
from config.sources import alternatives


def recorded(sources: Sources) -> frozenset[str]:
    """Return the conformed columns that any source maps, and the kinds of engagement that any source can bring.

    A source whose `kind` is one fixed text, or chosen from such by a CASE, brings those kinds alone. One whose `is_bulk` is
    fixed to true brings none: bulk mail is no contact.
    """
    columns = {column for source in (*sources.orders, *sources.engagements) for column in source.columns}
    kinds = {kind for source in sources.engagements for kind in _kinds(source.columns)}
    return frozenset(columns | kinds)


def _kinds(columns: dict[str, str | list[str]]) -> Iterable[str]:
    if [text.strip().lower() for text in alternatives(columns.get("is_bulk", []))] == ["true"]:
        return ()
    fixed = [fixed_texts(text) for text in alternatives(columns["kind"])]
    texts = {text.strip().lower() for found in fixed if found is not None for text in found}
    return KINDS if None in fixed else texts & set(KINDS)
