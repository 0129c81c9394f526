"""Checked rows, as `conform` makes them: what is not said is as ordinary as can be."""

from datetime import date, datetime, time, timedelta
from typing import Any

Row = dict[str, Any]

DELIVERED_AT = datetime(2026, 6, 30, 2)

_ORDER: Row = {
    "source": "shop",
    "batch": "b1",
    "position": 0,
    "delivered_at": DELIVERED_AT,
    "order_id": "o1",
    "line_number": "1",
    "account_id": "A",
    "line": "all",
    "ordered_at": None,
    "amount": 100,
    "currency": "USD",
    "quantity": None,
    "list_amount": None,
    "product_id": None,
    "category": None,
    "handler": None,
    "channel": None,
    "is_custom": None,
    "is_recurring": None,
    "is_service": None,
    "term_months": None,
    "status": None,
    "updated_at": None,
    "ordered_on": None,
    "reason": None,
}

_ENGAGEMENT: Row = {
    "source": "mail",
    "batch": "b1",
    "position": 0,
    "delivered_at": DELIVERED_AT,
    "event_id": "e1",
    "account_id": "A",
    "line": "all",
    "occurred_at": None,
    "kind": "email",
    "direction": "inbound",
    "in_reply_to": None,
    "thread_id": None,
    "contact": None,
    "handler": None,
    "minutes": None,
    "score": None,
    "is_bulk": None,
    "updated_at": None,
    "occurred_on": None,
    "reason": None,
}


def order(on: date, **known: Any) -> Row:
    """An order line of a day, at noon."""
    return _checked(_ORDER, "ordered", on, known)


def engagement(on: date, **known: Any) -> Row:
    """An engagement event of a day, at noon."""
    return _checked(_ENGAGEMENT, "occurred", on, known)


def _checked(ordinary: Row, verb: str, on: date, known: Row) -> Row:
    assert set(known) <= set(ordinary), f"no such column: {set(known) - set(ordinary)}"
    moment = datetime.combine(on, time(12))
    return ordinary | {f"{verb}_on": on, f"{verb}_at": moment} | known


def numbered(rows: list[Row]) -> list[Row]:
    """The rows, each an order or an event of its own."""
    key = "event_id" if rows and "event_id" in rows[0] else "order_id"
    return [row | {key: f"{row[key]}-{number}"} for number, row in enumerate(rows)]


def days(start: date, *offsets: int) -> list[date]:
    """The days so many days after another."""
    return [start + timedelta(days=offset) for offset in offsets]
