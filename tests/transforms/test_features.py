"""Each feature on its own: its boundary days, its least evidence, its edge cases."""

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from config.catalogue import FEATURES
from tests import oracle
from tests.drawn import drawn
from tests.frames import statistic_frame
from tests.night import EVERYTHING, by_account, features, memory
from tests.rows import engagement, numbered, order
from transforms.features import relationship_features, unrecorded_features

AS_OF = date(2026, 3, 31)


def of_statistics(name: str, as_of: date = AS_OF, /, **known):
    """A feature of one row of statistics."""
    return relationship_features(statistic_frame(known).lazy(), as_of, EVERYTHING).collect()[name].item()


@pytest.fixture(scope="module")
def con():
    return memory()


def of_rows(con, name: str, orders: str = "ordered_on", engagements: str = "occurred_on", as_of: date = AS_OF):
    """A feature of the one account with these drawn orders and events, each an order or event of its own."""
    sold = [order(row.pop("ordered_on"), **row) for row in drawn(orders)]
    met = [engagement(row.pop("occurred_on"), **row) for row in drawn(engagements)]
    return by_account(features(con, numbered(sold), numbered(met), as_of))["A", "all"][name]


def day(text: str) -> date:
    return date.fromisoformat(text)


# --- what is not known


ALWAYS_KNOWN = {"live_contact_days": 0, "co_development": 0.0}


def test_an_account_of_which_nothing_is_known_has_no_feature_but_those_that_count_contacts():
    found = relationship_features(statistic_frame({}).lazy(), AS_OF, EVERYTHING).collect().to_dicts()
    unknown = dict.fromkeys(feature.name for feature in FEATURES)
    assert found == [{"account_id": "A", "line": "all", "as_of": AS_OF} | unknown | ALWAYS_KNOWN]


def test_a_feature_that_needs_a_column_which_is_not_recorded_stays_unknown_for_all():
    known = statistic_frame(
        {"inbound_12m": 5, "outbound_12m": 5, "occasions": 1, "scores_12m": 1, "live_contact_days_12m": 3}
    )
    found = relationship_features(known.lazy(), AS_OF, {"account_id", "ordered_at", "email"}).collect()
    assert found["satisfaction"].item() is None
    assert found["live_contact_days"].item() is None
    assert found["reciprocity"].item() == 10 / 12
    without_events = relationship_features(known.lazy(), AS_OF, {"account_id", "ordered_at"}).collect()
    assert [without_events[name].item() for name in ("reciprocity", "live_contact_days", "order_days")] == [
        None,
        None,
        1,
    ]


def test_what_is_unknown_for_all_is_told():
    everything_but = EVERYTHING - {"is_custom", "channel", "referral"}
    assert unrecorded_features(everything_but) == ["custom_revenue_share", "self_service_share", "referrals"]
    assert unrecorded_features(EVERYTHING) == []


def test_rows_keep_the_order_in_which_they_are_given():
    known = statistic_frame({"account_id": "B"}, {"account_id": "A"}, {"account_id": "C"})
    found = relationship_features(known.lazy(), AS_OF, EVERYTHING).collect()
    assert found["account_id"].to_list() == ["B", "A", "C"]


# --- days


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("tenure_days", "first_order_on"),
        ("days_since_last_order", "last_order_on"),
        ("days_since_last_contact", "last_contact_on"),
    ],
)
def test_days_are_counted_from_midnight_to_midnight_leap_days_too(name, column):
    assert of_statistics(name, **{column: AS_OF}) == 0
    assert of_statistics(name, **{column: AS_OF - timedelta(days=1)}) == 1
    assert of_statistics(name, day("2024-03-01"), **{column: day("2024-02-28")}) == 2
    assert of_statistics(name, day("2026-03-01"), **{column: day("2025-03-01")}) == 365


def test_bulk_mail_and_surveys_are_no_contact(con):
    events = """
        occurred_on  kind      direction  is_bulk
        2026-01-01   email     outbound   no
        2026-02-01   email     outbound   yes
        2026-03-01   survey    inbound    no
        2026-03-02   campaign  outbound   no
    """
    assert of_rows(con, "days_since_last_contact", engagements=events) == 89


# --- purchase occasions


def test_several_orders_on_a_day_are_one_occasion(con):
    orders = "ordered_on\n2026-01-01\n2026-01-01\n2026-02-01"
    assert of_rows(con, "order_days", orders) == 2
    assert of_rows(con, "repeat_order_days", orders) == 1


def test_day_365_of_the_window_is_in_and_day_366_is_out(con):
    orders = "ordered_on amount\n2025-03-31 1\n2025-04-01 10\n2026-03-31 100\n2026-04-01 1000"
    assert of_rows(con, "order_days", orders) == 3
    assert of_rows(con, "order_days_12m", orders) == 2
    assert of_rows(con, "revenue_total", orders) == 111
    assert of_rows(con, "revenue_12m", orders) == 110
    assert of_rows(con, "mean_order_value", orders) == 55


def test_the_window_of_a_leap_day_begins_on_the_second_of_march(con):
    orders = "ordered_on\n2023-03-01\n2023-03-02\n2024-02-29"
    assert of_rows(con, "order_days_12m", orders, as_of=day("2024-02-29")) == 2


def test_an_account_that_ordered_before_the_window_only_has_no_order_in_it(con):
    orders = "ordered_on\n2025-03-31"
    assert of_rows(con, "order_days_12m", orders) == 0
    assert of_rows(con, "revenue_12m", orders) == 0
    assert of_rows(con, "mean_order_value", orders) is None


def test_one_order_is_no_repeat(con):
    assert of_rows(con, "repeat_order_days", "ordered_on\n2026-01-01") == 0


# --- active_month_share


def share_of_months(first_order_on: str | None, first_two_way_on: str | None, active_months: int, as_of: date = AS_OF):
    return of_statistics(
        "active_month_share",
        as_of,
        first_order_on=first_order_on and day(first_order_on),
        first_two_way_on=first_two_way_on and day(first_two_way_on),
        active_months=active_months,
    )


def test_under_two_calendar_months_the_share_of_active_months_is_unknown():
    assert share_of_months("2026-03-01", None, 1) is None
    assert share_of_months("2026-02-28", None, 1) == 0.5


def test_two_days_in_two_months_are_two_months():
    assert share_of_months("2026-02-28", None, 2, day("2026-03-01")) == 1
    assert share_of_months("2025-12-31", None, 1, day("2026-01-01")) == 0.5


def test_months_are_counted_from_the_first_order_or_two_way_contact():
    assert share_of_months("2026-02-01", "2025-12-31", 1) == 0.25
    assert share_of_months("2025-12-31", "2026-02-01", 1) == 0.25
    assert share_of_months(None, "2025-12-31", 1) == 0.25


def test_no_more_than_twelve_months_are_counted():
    assert share_of_months("2025-04-30", None, 6) == 0.5
    assert share_of_months("2025-03-31", None, 6) == 0.5
    assert share_of_months("2016-03-31", None, 12) == 1


def test_orders_and_messages_from_the_account_make_a_month_active(con):
    events = """
        occurred_on  direction  is_bulk
        2025-12-01   inbound    no
        2026-01-01   outbound   no
        2026-02-01   inbound    yes
    """
    assert of_rows(con, "active_month_share", "ordered_on\n2026-03-31\n2026-03-01", events) == 0.5


# --- gap_regularity


PUBLISHED_BURSTINESS = [
    ([0, 7, 14, 21, 28], -1.0),
    ([0, 30, 61, 91, 122], -0.9763),
    ([0, 1, 2, 30], 0.5481),
    ([0, 1, 60, 61], 0.6220),
]


def ordered_on_days(con, *days: int):
    orders = "ordered_on\n" + "\n".join(str(day("2025-06-01") + timedelta(days=days)) for days in days)
    return of_rows(con, "gap_regularity", orders)


@pytest.mark.parametrize(("days", "burstiness"), PUBLISHED_BURSTINESS)
def test_regularity_rests_on_the_published_burstiness(con, days, burstiness):
    gaps = len(days) - 1
    shrunk = ordered_on_days(con, *days)
    regularity = (shrunk * (gaps + 3) - 1.5) / gaps
    assert 1 - 2 * regularity == pytest.approx(burstiness, abs=5e-5)


@pytest.mark.parametrize(("days", "burstiness"), [*PUBLISHED_BURSTINESS, ([0, 10, 40], -0.2929)])
def test_the_oracles_burstiness_is_the_published_one(days, burstiness):
    gaps = [later - earlier for earlier, later in pairwise(days)]
    assert oracle.burstiness(gaps) == pytest.approx(burstiness, abs=5e-5)


def test_equal_gaps_are_as_regular_as_their_number_lets_believe(con):
    assert ordered_on_days(con, 0, 7, 14, 21) == 0.75
    assert ordered_on_days(con, 0, 7, 14, 21, 28) == pytest.approx(11 / 14, abs=1e-15)


def test_under_three_gaps_regularity_is_unknown(con):
    assert ordered_on_days(con, 0, 10, 40) is None
    assert ordered_on_days(con, 0, 10, 40, 50) is not None


def test_a_gap_that_begins_before_the_window_does_not_count(con):
    inside = "ordered_on\n2025-04-01\n2025-04-02\n2025-04-03\n2025-04-04"
    across = "ordered_on\n2025-03-31\n2025-04-02\n2025-04-03\n2025-04-04"
    assert of_rows(con, "gap_regularity", inside) == 0.75
    assert of_rows(con, "gap_regularity", across) is None


# --- shares of revenue


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("custom_revenue_share", "custom"),
        ("service_revenue_share", "service"),
        ("recurring_revenue_share", "recurring"),
    ],
)
def test_a_share_of_revenue_lies_between_nothing_and_all_and_needs_revenue(name, part):
    def share(of: str, whole: str):
        return of_statistics(name, **{f"{part}_12m": Decimal(of), f"{part}_known_12m": Decimal(whole)})

    assert share("25", "100") == 0.25
    assert share("120", "100") == 1
    assert share("-20", "100") == 0
    assert share("0", "0.0001") == 0
    assert share("0", "0") is None
    assert share("-5", "-10") is None


def test_a_share_of_revenue_is_of_the_lines_whose_flag_is_known(con):
    orders = """
        ordered_on  amount  is_custom  is_service  is_recurring
        2026-01-01  30      yes        no          -
        2026-01-02  10      no         -           yes
        2026-01-03  60      -          yes         no
    """
    assert of_rows(con, "custom_revenue_share", orders) == 30 / 40
    assert of_rows(con, "service_revenue_share", orders) == 60 / 90
    assert of_rows(con, "recurring_revenue_share", orders) == 10 / 70


def test_a_prepayment_counts_for_the_days_of_its_term_in_the_window(con):
    begun_before = """
        ordered_on  amount  is_recurring  term_months
        2024-10-02  365     yes           12
        2026-01-01  184     no            -
    """
    assert of_rows(con, "recurring_revenue_share", begun_before) == pytest.approx(184 / 368, abs=1e-12)
    runs_on = """
        ordered_on  amount  is_recurring  term_months
        2026-03-31  365     yes           12
        2026-01-01  3       no            -
    """
    assert of_rows(con, "recurring_revenue_share", runs_on) == pytest.approx(1 / 4, abs=1e-12)


# --- two ways


@pytest.mark.parametrize(
    ("inbound", "outbound", "balance"),
    [(0, 0, None), (1, 0, 0), (0, 1, 0), (1, 1, 0.5), (20, 20, 40 / 42), (3, 9, 6 / 14), (9, 3, 6 / 14)],
)
def test_messages_are_balanced_where_both_sides_write(inbound, outbound, balance):
    assert of_statistics("reciprocity", inbound_12m=inbound, outbound_12m=outbound) == balance


def test_a_meeting_counts_one_message_each_way(con):
    assert of_rows(con, "reciprocity", engagements="occurred_on kind direction\n2026-01-01 meeting inbound") == 0.5


def test_live_contact_is_counted_by_the_day_and_365_days_back(con):
    events = """
        occurred_on  kind
        2025-03-31   meeting
        2025-04-01   call
        2026-01-01   visit
        2026-01-01   consultation
        2026-01-02   email
        2026-03-31   call
        2026-04-01   call
    """
    assert of_rows(con, "live_contact_days", engagements=events) == 3


# --- involvement


def test_being_consulted_is_worth_half_after_180_days(con):
    assert of_rows(con, "co_development", engagements="occurred_on kind\n2026-03-31 pilot") == 0.25
    assert of_rows(con, "co_development", engagements="occurred_on kind\n2025-10-02 pilot") == pytest.approx(0.5 / 3.5)
    assert of_rows(con, "co_development", engagements="occurred_on kind\n2025-03-31 pilot") == 0


def test_a_complaint_or_a_score_click_is_no_co_development(con):
    events = "occurred_on kind score\n2026-03-01 ticket -\n2026-03-02 survey 0.5"
    assert of_rows(con, "co_development", engagements=events) == 0


# --- money


def test_what_was_given_back_leaves_revenue_below_nothing(con):
    orders = "ordered_on amount\n2026-01-01 100\n2026-02-01 -130"
    assert of_rows(con, "revenue_total", orders) == -30
    assert of_rows(con, "mean_order_value", orders) == -30


@pytest.mark.parametrize(
    ("revenue", "occasions", "mean"),
    [("10", 3, "3.3333"), ("20", 3, "6.6667"), ("0.0001", 2, "0"), ("0.0003", 2, "0.0002")],
)
def test_the_mean_order_value_is_rounded_to_four_places_halves_to_even(revenue, occasions, mean):
    known = {"revenue_12m": Decimal(revenue), "occasions_12m": occasions}
    assert of_statistics("mean_order_value", **known) == Decimal(mean)


# --- revenue_stability


def test_the_same_revenue_each_month_is_stable_to_the_last_bit(con):
    orders = "ordered_on amount\n" + "\n".join(f"2025-{month:02}-15 19.99" for month in range(7, 13))
    assert of_rows(con, "revenue_stability", orders, as_of=day("2025-12-31")) == 1


def test_under_three_months_stability_is_unknown(con):
    assert of_rows(con, "revenue_stability", "ordered_on\n2026-02-01") is None
    assert of_rows(con, "revenue_stability", "ordered_on\n2026-01-31") == pytest.approx(1 / (1 + 2**0.5))


def test_months_without_revenue_count_from_the_first_order_on_and_no_more_than_twelve(con):
    one_in_twelve = 1 / (1 + 11**0.5)
    assert of_rows(con, "revenue_stability", "ordered_on\n2025-04-30") == pytest.approx(one_in_twelve)
    assert of_rows(con, "revenue_stability", "ordered_on\n2025-03-31\n2026-03-01") == pytest.approx(one_in_twelve)


def test_stability_is_unknown_where_revenue_is_not_above_nothing(con):
    assert of_rows(con, "revenue_stability", "ordered_on amount\n2025-12-01 100\n2026-01-01 -100") is None
    assert of_rows(con, "revenue_stability", "ordered_on amount\n2025-12-01 100\n2026-01-01 -101") is None
    assert of_rows(con, "revenue_stability", "ordered_on amount\n2025-12-01 100\n2026-01-01 -99") is not None


def test_stability_holds_for_the_greatest_amounts():
    half = Decimal("49999999999999.9999")
    known = {
        "first_order_on": day("2025-10-01"),
        "monthly_revenue_sum": 2 * half,
        "monthly_revenue_squared_sum": 2 * half * half,
    }
    assert of_statistics("revenue_stability", **known) == pytest.approx(1 / (1 + 2**0.5))


# --- service and advocacy


def test_an_occasion_is_self_service_where_nobody_served_any_of_its_lines(con):
    orders = """
        ordered_on  channel  handler
        2026-01-01  web      h1
        2026-01-02  phone    -
        2026-01-03  phone    h1
        2026-01-04  web      -
        2026-01-04  phone    h1
        2026-01-05  -        -
    """
    assert of_rows(con, "self_service_share", orders) == 0.5
    assert of_rows(con, "self_service_share", "ordered_on\n2026-01-01") is None


def test_referrals_count_for_730_days_and_none_is_unknown(con):
    events = "occurred_on kind\n2024-03-31 referral\n2024-04-01 referral\n2026-03-31 referral"
    assert of_rows(con, "referrals", engagements=events) == 2
    assert of_rows(con, "referrals", engagements="occurred_on\n2026-03-31") is None


def test_satisfaction_is_the_mean_of_the_scores_of_the_window(con):
    events = (
        "occurred_on kind score\n2025-03-31 survey 0\n2025-04-01 survey 0.5\n2026-03-31 feedback 1\n2026-03-31 email -"
    )
    assert of_rows(con, "satisfaction", engagements=events) == 0.75
    assert of_rows(con, "satisfaction", engagements="occurred_on kind score\n2026-03-31 survey 0") == 0
    assert of_rows(con, "satisfaction", engagements="occurred_on\n2026-03-31") is None


# --- conversations


ASKED = """
    occurred_on  direction  event_id  thread_id  in_reply_to
    2025-06-01   outbound   m1        t1         -
    2025-07-01   outbound   m2        t2         -
    2025-08-01   outbound   m3        t3         -
"""


@pytest.mark.parametrize(
    ("answer", "rate"),
    [
        ("2025-06-08 inbound a1 t1 -", 1 / 3),
        ("2025-06-09 inbound a1 t1 -", 0),
        ("2025-05-31 inbound a1 t1 -", 0),
        ("2025-06-08 mutual a1 t1 -", 1 / 3),
        ("2025-06-02 inbound a1 t9 -", 0),
        ("2025-06-02 inbound a1 - m1", 1 / 3),
        ("2025-06-09 inbound a1 - m1", 0),
        ("2025-06-02 inbound a1 t2 m1", 1 / 3),
    ],
)
def test_a_message_is_answered_within_seven_days_in_its_thread_or_by_name(con, answer, rate):
    met = [engagement(row.pop("occurred_on"), **row) for row in drawn(ASKED + answer)]
    assert by_account(features(con, [], met, AS_OF))["A", "all"]["reply_rate"] == rate


def test_where_there_are_no_threads_the_accounts_next_message_answers(con):
    events = """
        occurred_on  direction
        2025-06-01   outbound
        2025-06-02   outbound
        2025-06-05   inbound
        2025-08-01   outbound
    """
    assert of_rows(con, "reply_rate", engagements=events) == 2 / 3


def test_messages_of_the_last_seven_days_may_yet_be_answered(con):
    sent = "occurred_on direction\n2026-03-01 outbound\n2026-03-10 outbound\n{} outbound"
    assert of_rows(con, "reply_rate", engagements=sent.format("2026-03-24")) == 0
    assert of_rows(con, "reply_rate", engagements=sent.format("2026-03-25")) is None


def test_a_meeting_needs_no_answer_but_is_one(con):
    events = "occurred_on kind direction\n" + "\n".join(f"2026-0{month}-01 email outbound" for month in (1, 2, 3))
    assert of_rows(con, "reply_rate", engagements=f"{events}\n2026-03-02 call outbound") == 1 / 3


def test_thirty_silent_days_end_a_conversation_and_thirty_one_open_another(con):
    events = """
        occurred_on  direction
        2025-05-01   inbound
        2025-05-31   outbound
        2025-07-01   outbound
        2025-07-02   inbound
        2025-09-01   inbound
    """
    assert of_rows(con, "contact_initiation", engagements=events) == 2 / 3
    assert of_rows(con, "contact_initiation", engagements=events.replace("2025-07-01", "2025-06-30")) is None


def test_a_conversation_that_was_opened_before_the_window_does_not_count(con):
    opened = "occurred_on direction\n{} inbound\n2025-06-01 outbound\n2025-08-01 outbound\n2025-10-01 inbound"
    assert of_rows(con, "contact_initiation", engagements=opened.format("2025-04-01")) == 2 / 4
    assert of_rows(con, "contact_initiation", engagements=opened.format("2025-03-31")) == 1 / 3


def test_people_with_a_single_contact_take_no_part(con):
    assert of_rows(con, "contact_breadth", engagements="occurred_on contact\n2026-01-01 p1\n2026-01-02 p2") is None
    one = "occurred_on contact\n2026-01-01 p1\n2026-01-02 p1\n2026-01-03 p2\n2026-01-04 -"
    assert of_rows(con, "contact_breadth", engagements=one) == 1
    two = f"{one}\n2026-01-05 p2"
    assert of_rows(con, "contact_breadth", engagements=two) == pytest.approx(2, abs=1e-9)
    uneven = f"{two}\n2026-01-06 p2\n2026-01-07 p2"
    assert of_rows(con, "contact_breadth", engagements=uneven) == pytest.approx(1.8898815748423097, abs=1e-9)


# --- who serves, at what price, for how long


def test_the_share_of_the_most_frequent_handler_is_shrunk_and_needs_two_contacts(con):
    orders = "ordered_on handler\n2026-01-01 h1\n2026-01-01 h1\n2026-01-02 h2"
    assert of_rows(con, "handler_share", orders) == 1 / 4
    assert of_rows(con, "handler_share", orders, "occurred_on handler\n2026-01-03 h1\n2026-01-04 -") == 2 / 5
    assert of_rows(con, "handler_share", "ordered_on handler\n2026-01-01 h1\n2025-03-31 h1") is None


def test_prices_paid_are_held_against_list_prices_weighted_by_revenue(con):
    orders = """
        ordered_on  amount  list_amount
        2026-01-01  300     200
        2026-01-02  100     100
        2026-01-03  100     100
    """
    expected = pytest.approx(300 * 0.4054651081081644 / 500, abs=1e-9)
    assert of_rows(con, "price_premium", orders) == expected
    assert of_rows(con, "price_premium", f"{orders.strip()}\n2025-03-31 900 1") == expected
    assert of_rows(con, "price_premium", orders.replace("2026-01-03", "2025-03-31")) is None


def test_without_a_list_price_prices_are_held_against_the_median_of_what_others_paid_in_the_month(con):
    paid = """
        account_id  ordered_on  amount  quantity
        A           2026-01-01  30      1
        A           2026-01-31  90      3
        A           2026-01-15  60      2
        A           2026-02-01  999     1
        B           2026-01-01  10      1
        C           2026-01-02  20      1
        D           2026-01-03  200     5
        D           2026-03-01  1       1
    """
    rows = [order(row.pop("ordered_on"), product_id="p1", **row) for row in drawn(paid)]
    found = by_account(features(con, numbered(rows), [], AS_OF))
    assert found["A", "all"]["price_premium"] == pytest.approx(0.4054651081081644, abs=1e-9)  # 30 against 20
    assert [found[other, "all"]["price_premium"] for other in "BCD"] == [None] * 3  # under three lines


def test_a_day_under_two_contracts_is_covered_once(con):
    orders = """
        ordered_on  is_recurring  term_months
        2026-03-22  yes           12
        2026-03-22  yes           24
        2026-03-27  yes           -
    """
    assert of_rows(con, "contract_coverage", orders) == 10 / 365
    assert of_rows(con, "p_alive", orders) == 1


def test_a_contract_that_has_ended_keeps_nobody_active(con):
    running = "ordered_on is_recurring term_months\n{} yes 12"
    assert of_rows(con, "p_alive", running.format("2025-04-01")) == 1
    ended = of_rows(con, "p_alive", running.format("2025-03-31"))
    assert ended == of_rows(con, "p_alive", "ordered_on\n2025-03-31") < 1
