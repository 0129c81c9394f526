"""Small random histories: few accounts, days on and around every boundary, all that goes wrong in data."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from tests.rows import DELIVERED_AT, Row, engagement, order

ACCOUNTS = st.sampled_from(["A", "A", "A", "B", "C"])
LINES = st.sampled_from(["law", "law", "shop"])

AS_OF = st.sampled_from(
    [
        date(2024, 2, 29),
        date(2024, 3, 1),
        date(2024, 12, 31),
        date(2025, 1, 1),
        date(2025, 2, 28),
        date(2025, 3, 31),
        date(2025, 4, 30),
        date(2025, 7, 15),
    ]
)
AGES = st.one_of(
    st.sampled_from([0, 1, 27, 28, 29, 30, 31, 59, 60, 61, 89, 90, 91, 182, 363, 364, 365, 366, 728, 729, 730]),
    st.integers(-3, 60),
    st.integers(0, 420),
    st.integers(0, 1200),
)
LATER_DAYS = st.one_of(st.just(0), AGES)
TIMES = st.sampled_from([time(0), time(12), time(23, 59, 59)])
AMOUNTS = st.one_of(
    st.sampled_from(
        [
            Decimal(100),
            Decimal(100),
            Decimal(50),
            Decimal(0),
            Decimal("0.01"),
            Decimal("33.3333"),
            Decimal(1200),
            Decimal(150_000),
        ]
    ),
    st.decimals(Decimal("0.01"), Decimal(9999), places=2),
)
VERSIONS = st.sampled_from([None, None, DELIVERED_AT - timedelta(days=9), DELIVERED_AT - timedelta(days=8)])

GOODS: tuple[dict[str, Any], ...] = (
    {},
    {"channel": "web"},
    {"channel": "web", "handler": "h1", "is_custom": False, "is_recurring": False, "is_service": False},
    {"channel": "phone", "handler": "h1", "is_custom": True, "is_service": True},
    {"channel": "phone", "is_custom": False},
    {"handler": "h2", "is_custom": True, "is_recurring": False, "is_service": True},
    {"is_recurring": True, "is_service": True},
    {"is_recurring": True, "term_months": 1},
    {"is_recurring": True, "term_months": 2, "channel": "app", "handler": "h1"},
    {"is_recurring": True, "term_months": 12, "is_custom": False},
    {"is_recurring": True, "term_months": 18, "is_service": False},
    {"is_recurring": False, "term_months": 12},
    {"term_months": 3},
)
TALK: tuple[dict[str, Any], ...] = (
    {"kind": "email", "direction": "inbound"},
    {"kind": "email", "direction": "outbound"},
    {"kind": "email", "direction": "outbound", "is_bulk": False},
    {"kind": "email", "direction": "inbound", "is_bulk": True},
    {"kind": "email", "direction": "mutual"},
    {"kind": "chat", "direction": "mutual", "is_bulk": False},
    {"kind": "call", "direction": "outbound"},
    {"kind": "meeting", "direction": "mutual"},
    {"kind": "meeting", "direction": "inbound", "is_bulk": True},
    {"kind": "visit", "direction": "inbound"},
    {"kind": "consultation", "direction": "outbound"},
    {"kind": "ticket", "direction": "inbound"},
    {"kind": "feature_request", "direction": "inbound"},
    {"kind": "pilot", "direction": "mutual"},
    {"kind": "design_review", "direction": "outbound"},
    {"kind": "feedback", "direction": "inbound", "score": 0.75},
    {"kind": "feedback", "direction": "outbound"},
    {"kind": "survey", "direction": "inbound", "score": 0.9},
    {"kind": "survey", "direction": "inbound", "score": 1 / 3},
    {"kind": "survey", "direction": "outbound", "is_bulk": True},
    {"kind": "email", "direction": "inbound", "score": 0.0},
    {"kind": "referral", "direction": "inbound"},
    {"kind": "referral", "direction": "inbound", "is_bulk": True},
    {"kind": "campaign", "direction": "outbound"},
    {"kind": "campaign", "direction": "outbound", "is_bulk": False},
)


PRICED: tuple[dict[str, Any], ...] = (
    {},
    {"list_amount": Decimal(90)},
    {"list_amount": Decimal(0), "product_id": "p1", "quantity": 2.0},
    {"list_amount": Decimal("10000")},
    {"product_id": "p1", "quantity": 1.0},
    {"product_id": "p1", "quantity": 3.0},
    {"product_id": "p2", "quantity": 0.5},
    {"product_id": "p1", "quantity": 0.0},
    {"product_id": "p1", "quantity": 1e-7},
    {"product_id": "p2"},
)
PEOPLE_AND_THREADS = st.fixed_dictionaries(
    {
        "contact": st.sampled_from([None, "anne", "ben"]),
        "handler": st.sampled_from([None, "h1", "h2"]),
        "thread_id": st.sampled_from([None, None, "t1"]),
        "in_reply_to": st.sampled_from([None, None, "e0", "e1", "e2"]),
    }
)


@dataclass(frozen=True)
class Drawn:
    """A drawn history: checked rows and the last day counted."""

    as_of: date
    orders: list[Row]
    engagements: list[Row]


@st.composite
def sales(draw: st.DrawFn, as_of: date, number: int) -> list[Row]:
    """One order line, and what became of it: sold again, returned, corrected, cancelled, or sent twice."""
    on = as_of - timedelta(days=draw(AGES))
    sale = order(
        on,
        order_id=f"o{number}",
        account_id=draw(ACCOUNTS),
        line=draw(LINES),
        amount=draw(AMOUNTS),
        updated_at=draw(VERSIONS),
        **draw(st.sampled_from(GOODS)),
        **draw(st.sampled_from(PRICED)),
    )
    sale["ordered_at"] = datetime.combine(on, draw(TIMES))
    what = draw(st.sampled_from(AFTERWARDS))
    return [sale, *(_moved(row, draw(LATER_DAYS)) for row in what(sale))] if what in LATER else [sale, *what(sale)]


def _moved(row: Row, days: int) -> Row:
    on = row["ordered_on"] + timedelta(days=days)
    return row | {"ordered_on": on, "ordered_at": datetime.combine(on, time(12))}


def stands(sale: Row) -> list[Row]:
    return []


def sent_twice(sale: Row) -> list[Row]:
    return [sale]


def cancelled_at_once(sale: Row) -> list[Row]:
    return [sale | {"status": "cancelled"}]


def cancelled_later(sale: Row) -> list[Row]:
    return [sale | {"status": "void", "updated_at": DELIVERED_AT - timedelta(days=1)}]


def corrected(sale: Row) -> list[Row]:
    return [sale | {"amount": sale["amount"] * 2, "updated_at": DELIVERED_AT - timedelta(days=1), "status": "paid"}]


def corrected_in_a_later_batch(sale: Row) -> list[Row]:
    return [sale | {"amount": sale["amount"] + 1, "delivered_at": DELIVERED_AT + timedelta(days=1), "channel": "kiosk"}]


def said_otherwise_at_the_same_time(sale: Row) -> list[Row]:
    return [sale | {"amount": sale["amount"] + 1}]


def dated_anew(sale: Row) -> list[Row]:
    return [sale | {"updated_at": DELIVERED_AT}]


def given_back(sale: Row) -> list[Row]:
    return [sale | {"line_number": "r", "amount": -sale["amount"]}]


def given_back_in_part(sale: Row) -> list[Row]:
    return [sale | {"line_number": "r", "amount": -(sale["amount"] / 2).quantize(Decimal("0.0001"))}]


def given_back_without_saying_what(sale: Row) -> list[Row]:
    unsaid = dict.fromkeys(("is_custom", "is_recurring", "is_service", "term_months"))
    return [sale | {"line_number": "r", "amount": -sale["amount"]} | unsaid]


def given_back_of_two_kinds(sale: Row) -> list[Row]:
    return [sale | {"line_number": "2", "is_custom": True, "is_recurring": None}, *given_back_without_saying_what(sale)]


def given_back_without_its_order(sale: Row) -> list[Row]:
    return [sale | {"order_id": f"{sale['order_id']}-back", "amount": -sale["amount"]}]


def given_back_and_that_cancelled(sale: Row) -> list[Row]:
    return [sale | {"line_number": "r", "amount": -sale["amount"], "status": "cancelled"}]


def given_back_by_another_account(sale: Row) -> list[Row]:
    return [sale | {"line_number": "r", "amount": -sale["amount"], "account_id": "B"}]


def given_back_in_another_line(sale: Row) -> list[Row]:
    return [sale | {"line_number": "r", "amount": -sale["amount"], "line": "shop"}]


def given_back_though_cancelled(sale: Row) -> list[Row]:
    return [sale | {"status": "canceled", "updated_at": DELIVERED_AT}, *given_back(sale)]


def with_a_second_line(sale: Row) -> list[Row]:
    return [sale | {"line_number": "2", "channel": "phone", "handler": "h9"}]


def given_back_after_a_second_line(sale: Row) -> list[Row]:
    return [*with_a_second_line(sale), *given_back(sale)]


def refused(sale: Row) -> list[Row]:
    return [
        sale | {"amount": Decimal(7), "updated_at": DELIVERED_AT, "reason": "currency is not the reporting currency"}
    ]


LATER = (
    dated_anew,
    given_back,
    given_back_in_part,
    given_back_without_saying_what,
    given_back_of_two_kinds,
    given_back_without_its_order,
    given_back_and_that_cancelled,
    given_back_by_another_account,
    given_back_in_another_line,
    given_back_though_cancelled,
    given_back_after_a_second_line,
    with_a_second_line,
)
AFTERWARDS = (
    stands,
    stands,
    stands,
    sent_twice,
    cancelled_at_once,
    cancelled_later,
    corrected,
    corrected_in_a_later_batch,
    said_otherwise_at_the_same_time,
    refused,
    *LATER,
    given_back,
)


@st.composite
def retainers(draw: st.DrawFn, as_of: date, number: int) -> list[Row]:
    """The same amount again and again: each week, every 30 days, or on a day of each month."""
    days, months = draw(st.sampled_from([(7, 0), (30, 0), (0, 1)]))
    first = as_of - timedelta(days=draw(AGES))
    paid = order(first, account_id=draw(ACCOUNTS), line="law", amount=draw(AMOUNTS), **draw(st.sampled_from(GOODS)))
    dates = [
        _months_later(first, turn * months) + timedelta(days=turn * days) for turn in range(draw(st.integers(3, 14)))
    ]
    return [_moved(paid, (day - first).days) | {"order_id": f"r{number}-{turn}"} for turn, day in enumerate(dates)]


def _months_later(day: date, months: int) -> date:
    month = day.year * 12 + day.month - 1 + months
    return date(month // 12, month % 12 + 1, min(day.day, 28))


@st.composite
def talks(draw: st.DrawFn, as_of: date, number: int) -> list[Row]:
    """One event, and perhaps a second version of it."""
    event = engagement(
        as_of - timedelta(days=draw(AGES)),
        event_id=f"e{number}",
        account_id=draw(ACCOUNTS),
        line=draw(LINES),
        updated_at=draw(VERSIONS),
        **draw(st.sampled_from(TALK)),
        **draw(PEOPLE_AND_THREADS),
    )
    again: Row | None = draw(
        st.sampled_from(
            [None, None, None, {}, {"kind": "call"}, {"is_bulk": True}, {"account_id": "A", "reason": "unfit"}]
        )
    )
    return [event] if again is None else [event, event | again]


@st.composite
def histories(draw: st.DrawFn, most_orders: int = 24, most_engagements: int = 16) -> Drawn:
    """The rows of some accounts."""
    as_of = draw(AS_OF)
    orders = [row for number in range(draw(st.integers(0, most_orders))) for row in draw(sales(as_of, number))]
    orders += [row for number in range(draw(st.integers(0, 2))) for row in draw(retainers(as_of, number))]
    events = [row for number in range(draw(st.integers(0, most_engagements))) for row in draw(talks(as_of, number))]
    return Drawn(as_of, orders, events)
