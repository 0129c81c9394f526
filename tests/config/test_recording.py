"""What a business records: the columns that its sources map and the kinds of engagement that they bring."""

import pytest

from config.catalogue import FEATURES
from config.recording import recorded
from config.rules import KINDS
from config.settings import Sources
from config.tables import ENGAGEMENTS, ORDERS

ORDER_COLUMNS = {"order_id": "id", "account_id": "account", "ordered_at": "at", "amount": "paid"}
EVENT_COLUMNS = {"account_id": "account", "occurred_at": "at", "direction": "direction"}


def kinds(*sources: dict[str, object]) -> list[str]:
    """The kinds that sources of engagements with these columns bring."""
    engagements = [
        {"name": f"e{number}", "kind": "files", "path": "e.csv", "columns": EVENT_COLUMNS | columns}
        for number, columns in enumerate(sources)
    ]
    orders = [{"name": "shop", "kind": "files", "path": "o.csv", "columns": ORDER_COLUMNS}]
    found = recorded(Sources.model_validate({"orders": orders, "engagements": engagements}))
    columns = {*ORDER_COLUMNS, *(column for source in sources for column in EVENT_COLUMNS | source)}
    assert found - set(KINDS) == (columns if sources else set(ORDER_COLUMNS))
    return sorted(found & set(KINDS))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"kind": "type"}, sorted(KINDS)),
        ({"kind": "case when bulk then 'campaign' else 'Email' end"}, ["campaign", "email"]),
        (
            {"kind": "case type when 'a' then ('call') when 'b' then case when bulk then 'visit' end end"},
            ["call", "visit"],
        ),
        ({"kind": "case when bulk then 'campaign' else type end"}, sorted(KINDS)),
        ({"kind": ["'email'", "'call'"]}, ["call", "email"]),
        ({"kind": "'email'"}, ["email"]),
        ({"kind": " 'email' "}, ["email"]),
        ({"kind": ["type", "'email'"]}, sorted(KINDS)),
        ({"kind": "type", "is_bulk": "bulk"}, sorted(KINDS)),
        ({"kind": "type", "is_bulk": False}, sorted(KINDS)),
        ({"kind": "type", "is_bulk": True}, []),
        ({"kind": "'email'", "is_bulk": "TRUE"}, []),
    ],
)
def test_a_source_brings_the_kinds_that_its_mapping_leaves_open(columns, expected):
    assert kinds(columns) == expected


def test_sources_bring_what_any_of_them_brings():
    assert kinds({"kind": "'email'"}, {"kind": "'call'"}, {"kind": "type", "is_bulk": True}) == ["call", "email"]
    assert kinds() == []


def test_a_feature_needs_columns_and_kinds_that_there_are_and_none_is_both():
    columns = {column.name for column in (*ORDERS, *ENGAGEMENTS)}
    needs = {name for feature in FEATURES for need in feature.needs for name in need.split("|")}
    assert not columns & set(KINDS)
    assert needs - columns == set(KINDS) - {"campaign", "survey"}
