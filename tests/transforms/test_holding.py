"""The held verdict: what it waits for, what it does not wait for, and that it is what its rules say, day by day."""

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.scoring import Verdict
from tests import oracle
from tests.oracle import Dated
from transforms.holding import NO_OVERRIDES, NO_STANDINGS, STANDING, held

RULES = Verdict(enter=60, leave=45, enter_days=1, leave_days=14, dwell_days=28)
FIRST = date(2026, 1, 1)


def replayed(days: Sequence[Dated], rules: Verdict = RULES, account: str = "A") -> list[dict]:
    """The held verdict of each day, each from what the day before left."""
    standings, found = NO_STANDINGS, []
    for each in days:
        raw = "prospect" if each.occasions == 0 else "customer"
        if each.occasions > 1 and each.score >= rules.enter:
            raw = "client"
        judged = pl.LazyFrame(
            {
                "account_id": [account],
                "line": ["law"],
                "raw_segment": [raw],
                "score": [each.score],
                "occasions": [each.occasions],
                "is_under_contract": [each.contract],
            }
        )
        given_by_hand = [(account, "law", each.override, "Set by hand")] if each.override else []
        overrides = pl.DataFrame(given_by_hand, schema=NO_OVERRIDES.schema, orient="row")
        joined = [account] if each.joined else []
        row = held(judged, standings.lazy(), overrides.lazy(), each.day, rules, joined).collect()
        found.append(row.to_dicts()[0])
        standings = row.select("account_id", "line", *STANDING)
    return found


def scores(*runs: tuple[int, float], occasions: int = 5, contract: bool = False) -> list[Dated]:
    """Days from the first on: so many days with a score, then so many with another."""
    by_day = [score for days, score in runs for _ in range(days)]
    return [Dated(FIRST + timedelta(days=n), score, occasions, contract) for n, score in enumerate(by_day)]


def segments(days: Sequence[Dated], rules: Verdict = RULES) -> str:
    """The segments of the days, one letter a day: l client, u customer, p prospect."""
    letters = {"client": "l", "customer": "u", "prospect": "p"}
    return "".join(letters[row["segment"]] for row in replayed(days, rules))


@pytest.mark.parametrize(("score", "segment"), [(60, "l"), (59.999, "u"), (45, "u"), (10, "u")])
def test_the_first_verdict_is_what_the_score_says(score, segment):
    assert segments(scores((1, score))) == segment


def test_an_account_becomes_a_client_on_the_first_day_that_calls_for_it_once_it_has_dwelt():
    assert segments(scores((28, 50), (2, 60))) == "u" * 28 + "ll"
    assert segments(scores((20, 50), (10, 60))) == "u" * 28 + "ll"
    assert segments(scores((28, 50), (2, 59.999))) == "u" * 30


def test_a_client_becomes_a_customer_on_the_fourteenth_day_in_a_row_that_calls_for_it():
    assert segments(scores((40, 70), (15, 44.999))) == "l" * 53 + "uu"
    assert segments(scores((40, 70), (15, 45))) == "l" * 55


def test_a_day_between_the_thresholds_starts_the_count_anew():
    assert segments(scores((40, 70), (13, 30), (1, 50), (14, 30))) == "l" * 67 + "u"


def test_a_segment_lasts_four_weeks_whatever_the_score_says_in_them():
    assert segments(scores((1, 70), (40, 10))) == "l" * 28 + "u" * 13
    assert segments(scores((30, 50), (1, 70), (40, 10))) == "u" * 30 + "l" * 28 + "u" * 13


def test_days_that_were_not_published_count_between_those_that_were():
    low = [
        Dated(day, 20, 5, False) for day in (date(2026, 3, 2), date(2026, 3, 9), date(2026, 3, 14), date(2026, 3, 15))
    ]
    assert segments([Dated(FIRST, 80, 5, False), *low]) == "llllu"


@pytest.mark.parametrize(("score", "after"), [(80, "l"), (50, "u"), (10, "u")])
def test_the_first_order_ends_a_prospect_at_once(score, after):
    days = [*scores((3, 80), occasions=0), Dated(FIRST + timedelta(days=3), score, 2, False)]
    assert segments(days) == f"ppp{after}"
    assert replayed(days)[-1]["because"] == "first order"


@pytest.mark.parametrize(("occasions", "after"), [(1, "u"), (0, "p")])
def test_orders_taken_back_end_a_client_at_once(occasions, after):
    days = [*scores((3, 80)), Dated(FIRST + timedelta(days=3), 80, occasions, False)]
    assert segments(days) == f"lll{after}"
    assert replayed(days)[-1]["because"] == "orders taken back"


def test_a_contract_that_starts_does_not_wait_and_one_that_ends_neither():
    starts = [*scores((3, 50)), *(Dated(FIRST + timedelta(days=n), 70, 5, True) for n in (3, 4))]
    assert segments(starts) == "uuull"
    assert [row["because"] for row in replayed(starts)] == ["first seen", None, None, "contract started", None]
    ends = [*scores((3, 70), contract=True), Dated(FIRST + timedelta(days=3), 30, 5, False)]
    assert segments(ends) == "lllu"
    assert replayed(ends)[-1]["because"] == "contract ended"


def test_a_contract_moves_nobody_against_the_score():
    assert segments([*scores((3, 50)), Dated(FIRST + timedelta(days=3), 59, 5, True)]) == "uuuu"
    assert segments([*scores((3, 70), contract=True), Dated(FIRST + timedelta(days=3), 46, 5, False)]) == "llll"
    ended_when_called_for_client = [*scores((3, 50), contract=True), Dated(FIRST + timedelta(days=3), 70, 5, False)]
    assert segments(ended_when_called_for_client) == "uuuu"


def test_merged_accounts_do_not_wait():
    joined = [*scores((3, 50)), Dated(FIRST + timedelta(days=3), 70, 9, False, joined=True)]
    assert segments(joined) == "uuul"
    assert replayed(joined)[-1]["because"] == "accounts merged"


def test_an_override_stands_above_what_is_held_and_leaves_it_as_it_was():
    day = [FIRST + timedelta(days=n) for n in range(5)]
    days = [
        Dated(day[0], 50, 5, False),
        Dated(day[1], 50, 5, False, override="client"),
        Dated(day[2], 50, 5, False, override="client"),
        Dated(day[3], 50, 5, False),
    ]
    found = replayed(days)
    assert [row["segment"] for row in found] == ["customer", "client", "client", "customer"]
    assert [row["held_segment"] for row in found] == ["customer"] * 4
    assert [row["segment_since"] for row in found] == [day[0], day[1], day[1], day[3]]
    assert [row["previous_segment"] for row in found] == [None, "customer", "customer", "client"]
    assert [row["because"] for row in found] == ["first seen", "set by hand", None, "no longer set by hand"]


def test_what_is_held_goes_on_beneath_an_override():
    days = scores((40, 70), (20, 30))
    days[40:55] = [Dated(each.day, each.score, 5, False, override="client") for each in days[40:55]]
    assert segments(days) == "l" * 55 + "u" * 5


def test_each_account_and_line_has_a_standing_of_its_own():
    def day(*rows):
        names = ("account_id", "line", "raw_segment", "score", "occasions", "is_under_contract")
        return pl.LazyFrame([dict(zip(names, row, strict=True)) for row in rows])

    first = held(
        day(("A", "law", "client", 70.0, 3, False), ("A", "shop", "customer", 20.0, 3, False)),
        NO_STANDINGS.lazy(),
        NO_OVERRIDES.lazy(),
        FIRST,
        RULES,
    ).collect()
    second = held(
        day(
            ("B", "law", "customer", 50.0, 3, False),
            ("A", "shop", "client", 70.0, 3, False),
            ("A", "law", "customer", 50.0, 3, False),
        ),
        first.select("account_id", "line", *STANDING).lazy(),
        NO_OVERRIDES.lazy(),
        FIRST + timedelta(days=30),
        RULES,
    ).collect()
    assert second.select("account_id", "line", "segment", "segment_since").rows() == [
        ("B", "law", "customer", FIRST + timedelta(days=30)),
        ("A", "shop", "client", FIRST + timedelta(days=30)),
        ("A", "law", "client", FIRST),
    ]


DAYS = st.lists(
    st.builds(
        lambda gap, score, occasions, contract, override, joined: (gap, score, occasions, contract, override, joined),
        st.sampled_from([1, 1, 1, 2, 7, 13, 14, 27, 28]),
        st.sampled_from([10.0, 44.9, 45.0, 59.9, 60.0, 90.0]),
        st.sampled_from([0, 1, 2, 2, 9]),
        st.booleans(),
        st.sampled_from([None, None, None, "client", "customer"]),
        st.sampled_from([False, False, True]),
    ),
    min_size=1,
    max_size=25,
)


@given(drawn=DAYS, leave_days=st.sampled_from([1, 3, 14]), dwell_days=st.sampled_from([0, 5, 28]))
def test_every_day_is_what_the_rules_say(drawn, leave_days, dwell_days):
    rules = Verdict(enter=60, leave=45, enter_days=2, leave_days=leave_days, dwell_days=dwell_days)
    day, days = FIRST, []
    for gap, *facts in drawn:
        days.append(Dated(day, *facts))
        day += timedelta(days=gap)
    found = replayed(days, rules)
    assert [row["segment"] for row in found] == oracle.held_segments(days, rules)
    since = None
    for number, row in enumerate(found):
        changed = number > 0 and row["segment"] != found[number - 1]["segment"]
        since = days[number].day if changed or number == 0 else since
        assert row["segment_since"] == since
        assert (row["because"] is not None) == (changed or number == 0)
