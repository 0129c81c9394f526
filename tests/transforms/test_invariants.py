"""What must always hold: a change of the rows that must change nothing, or one thing alone, does so.

Compared are the statistics of each account and line, of which features and verdicts are functions, or the whole night.
"""

from collections import Counter
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.catalogue import FEATURES
from tests import oracle
from tests.histories import AGES, AMOUNTS, GOODS, TALK, Drawn, histories
from tests.night import Night, by_account, features, memory, night, statistics
from tests.rows import Row, engagement, order
from tests.rulers import EVERY_FEATURE

pytestmark = pytest.mark.timeout(3600)

FEW = settings(max_examples=settings().max_examples // 10)


@pytest.fixture(scope="module")
def con():
    return memory()


def statistics_of(con, orders: list[Row], engagements: list[Row], drawn: Drawn) -> dict:
    return by_account(statistics(con, orders, engagements, drawn.as_of))


def night_of(con, orders: list[Row], engagements: list[Row], drawn: Drawn) -> Night:
    return night(con, orders, engagements, drawn.as_of, EVERY_FEATURE)


def published(found: Night) -> tuple[dict, dict, list]:
    """All that a night publishes, whatever the order of its rows."""
    summary = sorted(found.summary.rows(), key=lambda row: row[:4])
    return by_account(found.segments), by_account(found.features), summary


@FEW
@given(drawn=histories(), later=histories(), days=st.integers(1, 400))
def test_rows_after_the_day_change_nothing(con, drawn, later, days):
    base = statistics_of(con, drawn.orders, drawn.engagements, drawn)
    orders = [_postponed(row, drawn, days) for row in later.orders]
    events = [_postponed(row, drawn, days) | {"event_id": f"later-{row['event_id']}"} for row in later.engagements]
    assert statistics_of(con, drawn.orders + orders, drawn.engagements + events, drawn) == base


def _postponed(row: Row, drawn: Drawn, days: int) -> Row:
    """The row some days after the last day counted; of an order a further line, so that returns name earlier orders."""
    verb = "ordered" if "order_id" in row else "occurred"
    on = drawn.as_of + timedelta(days=days)
    further = {"line_number": f"later-{row['line_number']}"} if "order_id" in row else {}
    return row | further | {f"{verb}_on": on, f"{verb}_at": row[f"{verb}_at"].replace(on.year, on.month, on.day)}


@FEW
@given(drawn=histories(), random=st.randoms(use_true_random=False))
def test_the_order_of_rows_and_exact_duplicates_change_nothing(con, drawn, random):
    base = published(night_of(con, drawn.orders, drawn.engagements, drawn))
    orders = drawn.orders + [row for row in drawn.orders if random.random() < 0.3]
    events = drawn.engagements + [row for row in drawn.engagements if random.random() < 0.3]
    random.shuffle(orders)
    random.shuffle(events)
    assert published(night_of(con, orders, events, drawn)) == base


@FEW
@given(drawn=histories())
def test_renaming_accounts_changes_nothing_but_names(con, drawn):
    names = {"A": "zoë & sons", "B": "B", "C": "A"}
    back = {new: old for old, new in names.items()}
    base = published(night_of(con, drawn.orders, drawn.engagements, drawn))
    orders = [row | {"account_id": names[row["account_id"]]} for row in drawn.orders]
    events = [row | {"account_id": names[row["account_id"]]} for row in drawn.engagements]
    segments, known, summary = published(night_of(con, orders, events, drawn))
    assert (_renamed(segments, back), _renamed(known, back), summary) == base


def _renamed(rows: dict, names: dict) -> dict:
    return {(names[account], line): row | {"account_id": names[account]} for (account, line), row in rows.items()}


@FEW
@given(drawn=histories())
def test_another_accounts_data_never_changes_this_accounts_verdict(con, drawn):
    together = by_account(night_of(con, drawn.orders, drawn.engagements, drawn).segments)
    orders = [row for row in drawn.orders if row["account_id"] == "A"]
    events = [row for row in drawn.engagements if row["account_id"] == "A"]
    alone = by_account(night_of(con, orders, events, drawn).segments)
    assert {key: row for key, row in together.items() if key[0] == "A"} == alone


@FEW
@given(drawn=histories(), factor=st.sampled_from([2, 3, 7, 100]))
def test_scaling_all_money_scales_money_features_alone(con, drawn, factor):
    base = by_account(features(con, drawn.orders, drawn.engagements, drawn.as_of))
    orders = [
        row | {"amount": row["amount"] * factor, "list_amount": row["list_amount"] and row["list_amount"] * factor}
        for row in drawn.orders
    ]
    scaled = by_account(features(con, orders, drawn.engagements, drawn.as_of))
    assert set(scaled) == set(base)
    for key, row in base.items():
        for feature in FEATURES:
            if feature.name in ("expected_order_value", "clv_12m"):
                continue  # their models' parameters are money too, and stand
            before, after = row[feature.name], scaled[key][feature.name]
            if before is None:
                assert after is None
            elif feature.unit == "money":
                rounding = Fraction(factor + 1, 20_000) if feature.name == "mean_order_value" else 0
                assert abs(Fraction(after) - factor * Fraction(before)) <= rounding
            else:
                assert after == pytest.approx(before, rel=0, abs=1e-9)


@FEW
@given(drawn=histories())
def test_splitting_an_order_in_two_on_one_day_changes_nothing(con, drawn):
    orders = [row | {"list_amount": None, "quantity": None} for row in drawn.orders]
    base = statistics_of(con, orders, drawn.engagements, drawn)
    halves = [half for row in orders for half in _halves(row)]
    assert statistics_of(con, halves, drawn.engagements, drawn) == base


def _halves(row: Row) -> list[Row]:
    half = (row["amount"] / 2).quantize(Decimal("0.0001"))
    if half <= 0:
        return [row]
    return [row | {"amount": half}, row | {"order_id": f"{row['order_id']}-half", "amount": row["amount"] - half}]


@st.composite
def refunded_orders(draw: st.DrawFn, as_of) -> list[Row]:
    """An order that was given back in full, in one or two parts, up to the last day counted."""
    age = abs(draw(AGES))
    who = {"account_id": draw(st.sampled_from("ABZ")), "line": draw(st.sampled_from(["law", "shop"]))}
    goods = draw(st.sampled_from(GOODS))
    sold = order(as_of - timedelta(days=age), order_id="refunded", amount=draw(AMOUNTS), **who, **goods)
    at_first = draw(st.sampled_from([sold["amount"], (sold["amount"] / 4).quantize(Decimal("0.0001"))]))
    back = [
        order(
            as_of - timedelta(days=draw(st.integers(0, age))),
            order_id="refunded",
            line_number=f"back {number}",
            amount=-amount,
            **who,
            **goods,
        )
        for number, amount in enumerate([at_first, sold["amount"] - at_first])
    ]
    return [sold, *back]


@FEW
@given(drawn=histories(), data=st.data())
def test_refunding_an_order_in_full_equals_never_having_had_it(con, drawn, data):
    base = by_account(features(con, drawn.orders, drawn.engagements, drawn.as_of))
    refunded = data.draw(refunded_orders(drawn.as_of))
    found = by_account(features(con, drawn.orders + refunded, drawn.engagements, drawn.as_of))
    of_the_sale = ("self_service_share", "handler_share", "price_premium")  # who served, and at what price, stays true
    kept = [feature.name for feature in FEATURES if feature.name not in of_the_sale]
    never_seen = by_account(features(con, [], [engagement(drawn.as_of, is_bulk=True)], drawn.as_of))["A", "all"]
    for key, row in found.items():
        expected = base.get(key, never_seen)
        assert {name: row[name] for name in kept} == {name: expected[name] for name in kept}


@FEW
@given(drawn=histories())
def test_a_contract_refunded_in_full_keeps_no_account_active(con, drawn):
    contract = order(drawn.as_of, order_id="contract", is_recurring=True, term_months=24, line="law")
    refund = contract | {"line_number": "back", "amount": -contract["amount"]}
    base = statistics_of(con, drawn.orders, drawn.engagements, drawn)
    found = statistics_of(con, [*drawn.orders, contract, refund], drawn.engagements, drawn)
    until = {key: row["contract_runs_until"] for key, row in found.items()}
    assert until == {("A", "law"): None} | {key: row["contract_runs_until"] for key, row in base.items()}


@FEW
@given(drawn=histories())
def test_every_row_is_counted_once(con, drawn):
    statistics(con, drawn.orders, drawn.engagements, drawn.as_of)
    for table, given_rows, key in (
        ("orders", drawn.orders, ("source", "order_id", "line_number")),
        ("engagements", drawn.engagements, ("source", "event_id")),
    ):
        good = [row for row in given_rows if row["reason"] is None]
        accepted = len({tuple(row[name] for name in key) for row in good})
        assert con.execute(f"select count(*) from {table}").fetchall() == [(accepted,)]


@FEW
@given(drawn=histories())
def test_every_amount_is_counted_once_on_the_day_it_counts_for(con, drawn):
    expected: Counter[tuple] = Counter()
    for row in oracle.standing_orders(drawn.orders):
        expected[row["account_id"], row["line"], row["counted_on"], row["ordered_on"]] += row["amount"]
    statistics(con, drawn.orders, drawn.engagements, drawn.as_of)
    found = con.execute("select account_id, line, order_day, booked_on, amount from order_days").fetchall()
    assert {tuple(key): amount for *key, amount in found if amount} == {
        key: sum_ for key, sum_ in expected.items() if sum_
    }


@FEW
@given(drawn=histories(), data=st.data())
def test_bulk_mail_moves_nothing(con, drawn, data):
    base = statistics_of(con, drawn.orders, drawn.engagements, drawn)
    if not base:
        return
    bulk = [
        engagement(
            drawn.as_of - timedelta(days=data.draw(AGES)),
            **talk | {"event_id": f"bulk{number}", "is_bulk": True, "score": None},
            **dict(zip(("account_id", "line"), data.draw(st.sampled_from(sorted(base))), strict=True)),
        )
        for number, talk in enumerate(TALK)
    ]
    assert statistics_of(con, drawn.orders, drawn.engagements + bulk, drawn) == base


@FEW
@given(drawn=histories())
def test_an_account_with_one_purchase_occasion_is_never_a_client(con, drawn):
    generous = EVERY_FEATURE.model_copy(update={"base": 20.0})
    segments = by_account(night(con, drawn.orders, drawn.engagements, drawn.as_of, generous).segments)
    for key, history in oracle.histories(drawn.orders, drawn.engagements, drawn.as_of).items():
        expected = {0: "prospect", 1: "customer"}.get(len(oracle.occasions(history)), "client")
        assert segments[key]["segment"] == expected


@FEW
@given(drawn=histories())
def test_accounts_in_are_accounts_segmented(con, drawn):
    found = night_of(con, drawn.orders, drawn.engagements, drawn)
    lines = set(oracle.histories(drawn.orders, drawn.engagements, drawn.as_of))
    expected = lines | {(account, "*") for account, _ in lines}
    assert sorted(found.segments.select("account_id", "line").rows()) == sorted(expected)
    assert by_line(found.summary, "accounts") == Counter(line for _, line in expected)


@FEW
@given(drawn=histories())
def test_revenue_by_segment_is_revenue(con, drawn):
    found = night_of(con, drawn.orders, drawn.engagements, drawn)
    expected: Counter[str] = Counter()
    for row in oracle.standing_orders(drawn.orders):
        if row["ordered_on"] <= drawn.as_of and (drawn.as_of - row["counted_on"]).days < 365:
            expected.update({row["line"]: row["amount"], "*": row["amount"]})
    assert by_line(found.summary, "revenue_12m") == expected


def by_line(summary: pl.DataFrame, column: str) -> Counter:
    """A column of the summary added up by line of business."""
    added: Counter = Counter()
    for line, amount in summary.select("line", column).rows():
        added[line] += amount
    return added


@FEW
@given(drawn=histories(), timezone=st.sampled_from(["Pacific/Kiritimati", "America/Los_Angeles", "Asia/Kathmandu"]))
def test_another_time_zone_and_number_of_threads_change_no_bit(con, drawn, timezone):
    elsewhere = memory(threads=4, timezone=timezone)
    here = published(night_of(con, drawn.orders, drawn.engagements, drawn))
    assert published(night_of(elsewhere, drawn.orders, drawn.engagements, drawn)) == here
