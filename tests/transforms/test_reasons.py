"""The reasons of a verdict in words, and the nearest change that would flip it."""

import math
import re
from datetime import date
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.catalogue import BY_NAME, FEATURES, Feature
from config.scoring import Ruler
from tests import oracle
from tests.frames import feature_frame
from tests.rulers import EVERY_FEATURE, ruler
from transforms.features import POLARS_TYPES
from transforms.reasons import PLACES, SIDES, flips, reasons, told
from transforms.score import log_odds_at, scores
from transforms.words import in_words


def scored(scale: Ruler, *accounts: dict) -> pl.DataFrame:
    """Scored rows with the segment that each score alone gives, but for those that ordered once."""
    is_client = (pl.col("score") >= scale.verdict.enter) & pl.col("order_days").ne_missing(1)
    segment = pl.when(is_client).then(pl.lit("client")).otherwise(pl.lit("customer"))
    return scores(feature_frame(*accounts).lazy(), scale).with_columns(segment=segment).collect()


def listed(found: pl.DataFrame) -> list[tuple[int, str, int, str, str]]:
    """Row, side, place, feature and words of every reason."""
    return [
        (row, side, place, reason[f"{side}_{place}_feature"], reason[f"{side}_{place}"])
        for row, reason in enumerate(found.to_dicts())
        for side in SIDES
        for place in PLACES
        if reason[f"{side}_{place}"] is not None
    ]


def said(name: str, value) -> str:
    feature = BY_NAME[name]
    return in_words(feature, pl.Series([value], dtype=POLARS_TYPES[feature.unit]), "USD").item()


# --- words


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("active_month_share", 11 / 12, "ordered or in touch in 92 % of recent months"),
        ("custom_revenue_share", 0.0, "0 % of revenue from bespoke work"),
        ("satisfaction", 1.0, "satisfaction of 100 %"),
        ("order_days", 14, "ordered on 14 days in all"),
        ("order_days", 1_000, "ordered on 1,000 days in all"),
        ("tenure_days", 0, "first ordered 0 days ago"),
        ("tenure_days", 1, "first ordered 1 day ago"),
        ("tenure_days", 89, "first ordered 89 days ago"),
        ("tenure_days", 90, "first ordered 3 months ago"),
        ("tenure_days", 729, "first ordered 24 months ago"),
        ("tenure_days", 730, "first ordered 2.0 years ago"),
        ("tenure_days", 1278, "first ordered 3.5 years ago"),
    ],
)
def test_a_value_is_said_in_its_unit(name, value, words):
    assert said(name, value) == words


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("0", "0"),
        ("0.4999", "0"),
        ("999.4", "999"),
        ("999.5", "1,000"),
        ("1000", "1,000"),
        ("12400", "12,400"),
        ("100005", "100,005"),
        ("1002003", "1,002,003"),
        ("999999999.9999", "1,000,000,000"),
        ("12345678901", "12,345,678,901"),
        ("-1", "-1"),
        ("-999", "-999"),
        ("-1234567.8", "-1,234,568"),
    ],
)
def test_an_amount_is_said_in_whole_units_with_commas_and_its_currency(amount, words):
    assert said("revenue_total", Decimal(amount)) == f"revenue of {words} USD in all"


# --- reasons


def test_the_three_largest_contributions_each_way_are_named_the_largest_first():
    scale = ruler(
        tenure_days=(0.1, 0, 1),
        order_days=(0.4, 0, 1),
        referrals=(0.2, 0, 1),
        live_contact_days=(0.3, 0, 1),
        self_service_share=(-0.5, 0, 1),
        satisfaction=(-0.25, 0, 1),
    )
    known = dict.fromkeys(["tenure_days", "order_days", "referrals", "live_contact_days"], 1)
    found = reasons(scored(scale, known | {"self_service_share": 1.0, "satisfaction": 0.5}), scale, "USD")
    assert listed(found) == [
        (0, "for", 1, "order_days", "ordered on 1 day in all"),
        (0, "for", 2, "live_contact_days", "met or talked on 1 day in the last 12 months"),
        (0, "for", 3, "referrals", "sent us 1 account in two years"),
        (0, "against", 1, "self_service_share", "100 % of orders by self-service"),
        (0, "against", 2, "satisfaction", "satisfaction of 50 %"),
    ]


def test_what_is_unknown_or_neutral_is_no_reason():
    scale = ruler(tenure_days=(0.1, 365, 1), order_days=(0.4, 0, 1))
    assert listed(reasons(scored(scale, {"tenure_days": 365}), scale, "USD")) == []


def test_what_moves_the_score_by_less_than_a_point_is_no_reason():
    scale = ruler(order_days=(0.0499, 0, 1), referrals=(0.0501, 0, 1), satisfaction=(-0.04, 0, 1))
    found = reasons(scored(scale, {"order_days": 1, "referrals": 1, "satisfaction": 1.0}), scale, "USD")
    assert listed(found) == [(0, "for", 1, "referrals", "sent us 1 account in two years")]


def test_of_equal_contributions_the_one_that_the_ruler_names_first_comes_first():
    known = {"referrals": 1, "order_days": 1}
    forth = ruler(referrals=(0.5, 0, 1), order_days=(0.5, 0, 1))
    back = ruler(order_days=(0.5, 0, 1), referrals=(0.5, 0, 1))
    assert [each[3] for each in listed(reasons(scored(forth, known), forth, "USD"))] == ["referrals", "order_days"]
    assert [each[3] for each in listed(reasons(scored(back, known), back, "USD"))] == ["order_days", "referrals"]


def test_each_row_has_its_own_reasons():
    scale = ruler(order_days=(0.5, 2, 1), satisfaction=(0.5, 0.5, 1))
    found = reasons(scored(scale, {"order_days": 3}, {}, {"order_days": 1, "satisfaction": 0.75}), scale, "USD")
    assert [(row, side, words) for row, side, _, _, words in listed(found)] == [
        (0, "for", "ordered on 3 days in all"),
        (2, "for", "satisfaction of 75 %"),
        (2, "against", "ordered on 1 day in all"),
    ]


# --- flips


def flip(scale: Ruler, **known) -> str | None:
    return flips(scored(scale, known), scale, "USD").item()


def test_a_customer_flips_at_the_first_whole_number_that_reaches_the_score_to_enter():
    scale = ruler(base=-1, enter=50, order_days=(0.3, 2, 1))
    assert flip(scale, order_days=2) is None  # 0.6 at most
    scale = ruler(base=-1, enter=50, order_days=(0.75, 2, 2))
    assert flip(scale, order_days=2) == "ordered on 5 days in all"


def test_a_client_flips_under_the_score_to_leave():
    scale = ruler(base=1, enter=60, leave=45, order_days=(1, 10, 5))
    assert 45 < scored(scale, {"order_days": 5})["score"].item() < 60
    assert flip(scale, order_days=10) == "ordered on 3 days in all"


def test_the_nearest_change_is_the_one_of_fewest_steps():
    near_by_weight = ruler(base=-1, enter=50, order_days=(0.6, 2, 1), satisfaction=(2, 0, 1))
    assert flip(near_by_weight, order_days=2, satisfaction=0.0) == "satisfaction of 51 %"
    assert flip(near_by_weight, order_days=2) == "ordered on 4 days in all"


def test_a_change_beyond_the_range_of_a_feature_or_the_reach_of_the_ruler_is_none():
    assert flip(ruler(base=-1, enter=50, satisfaction=(1, 0.5, 0.5)), satisfaction=0.0, order_days=2) is None
    assert (
        flip(ruler(base=-1, enter=50, satisfaction=(1, 0.0, 0.9)), satisfaction=0.0, order_days=2)
        == "satisfaction of 91 %"
    )
    assert flip(ruler(base=-1, enter=50, satisfaction=(1, 0.5, 0.6)), satisfaction=0.0, order_days=2) is None
    assert flip(ruler(base=-2.1, enter=50, order_days=(1, 2, 1)), order_days=2) is None


def test_an_unknown_feature_does_not_flip():
    assert flip(ruler(base=-1, enter=50, satisfaction=(2, 0, 1), order_days=(0.1, 2, 1)), order_days=2) is None


def test_nothing_flips_an_account_with_less_than_two_purchase_occasions():
    scale = ruler(base=-1, enter=50, satisfaction=(2, 0, 1))
    assert flip(scale, satisfaction=0.0, order_days=2) == "satisfaction of 51 %"
    assert flip(scale, satisfaction=0.0, order_days=1) is None
    assert flip(scale, satisfaction=0.0) is None


UNITS = {"day": 1, "days": 1, "months": 365 / 12, "years": 365}


def stated(feature: Feature, words: str) -> float | None:
    """The value that a sentence about a feature states; None where the sentence is about another."""
    before, after = map(re.escape, feature.words.split("{}"))
    singular = (
        words.replace(" 1 day ", " 1 days ").replace(" 1 account", " 1 accounts") if feature.unit == "count" else words
    )
    match = re.fullmatch(f"{before}(-?[0-9,.]+)( [^ ]+| % above| % below)??{after}", singular)
    if not match:
        return None
    number, unit = float(match[1].replace(",", "")), (match[2] or "").strip()
    if feature.unit == "premium":
        return math.log1p(number / 100 * (1 if unit.endswith("above") else -1))
    return number * {"%": 0.01, "USD": 1, "": 1}.get(unit, UNITS.get(unit, 1))


VALUES = {
    "days": st.integers(0, 2000),
    "count": st.integers(0, 40),
    "money": st.decimals(-2000, 20_000, places=2),
    "share": st.floats(0, 1),
    "number": st.floats(0, 30),
    "premium": st.floats(-1, 1),
}
SOMEONE = st.fixed_dictionaries(
    {"order_days": st.integers(2, 40)},
    optional={feature.name: VALUES[feature.unit] for feature in FEATURES if feature.name != "order_days"},
)


@given(known=SOMEONE, base=st.sampled_from([-2.5, -1.5, -0.5, 0.2, 1.0, 2.0]))
def test_the_stated_change_flips_the_verdict(known, base):
    scale = EVERY_FEATURE.model_copy(update={"base": base})
    frame = scored(scale, known)
    words = flips(frame, scale, "USD").item()
    if words is None:
        return
    [(name, value)] = [
        (feature.name, stated(feature, words)) for feature in FEATURES if stated(feature, words) is not None
    ]
    unknown = dict.fromkeys(oracle.FEATURES)
    changed = oracle.score(unknown | known | {name: value}, scale)
    if frame["segment"].item() == "client":
        assert changed < scale.verdict.leave, words
    else:
        assert changed >= scale.verdict.enter, words


def test_a_change_that_lands_on_the_score_to_leave_goes_one_further():
    scale = ruler(base=1, enter=60, leave=50, order_days=(1, 10, 5))
    assert log_odds_at(50) == 0
    assert flip(scale, order_days=10) == "ordered on 4 days in all"


# --- told


def standing(segment: str, contrary_since: date | None = None, override_note: str | None = None) -> pl.DataFrame:
    """One row of held verdicts."""
    schema = {"segment": pl.String, "contrary_since": pl.Date, "override_note": pl.String}
    return pl.DataFrame([(segment, contrary_since, override_note)], schema=schema, orient="row")


def telling(scale: Ruler, held: pl.DataFrame | str, **known) -> str:
    frame = scored(scale, known)
    held = standing(held) if isinstance(held, str) else held
    return told(reasons(frame, scale, "USD"), flips(frame, scale, "USD"), held).item()


def test_the_reasons_say_what_speaks_for_client_what_against_and_what_would_flip():
    scale = ruler(base=-1, enter=50, order_days=(0.75, 2, 2), satisfaction=(-0.5, 0.5, 1), referrals=(0.1, 0, 1))
    assert telling(scale, "customer", order_days=3, satisfaction=1.0, referrals=1) == (
        "For client: ordered on 3 days in all; sent us 1 account in two years. Against: satisfaction of 100 %. "
        "Would be a client if: ordered on 6 days in all."
    )


def test_a_client_would_be_a_customer():
    scale = ruler(base=1, enter=60, leave=45, order_days=(1, 10, 5))
    assert telling(scale, "client", order_days=10) == (
        "For client: nothing. Against: nothing. Would be a customer if: ordered on 3 days in all."
    )


def test_where_no_single_change_would_flip_the_reasons_say_so():
    scale = ruler(base=-9, enter=50, order_days=(1, 10, 5))
    assert telling(scale, "customer", order_days=5) == (
        "For client: nothing. Against: ordered on 5 days in all. No single change would flip it."
    )


@pytest.mark.parametrize(
    ("base", "said"),
    [(1e-8, "Would be a client if: ordered on 2 days in all."), (-1e-8, "No single change would flip it.")],
)
def test_what_keeps_an_account_that_scores_enough_from_being_a_client_is_a_second_order(base, said):
    scale = ruler(base=base, enter=50, order_days=(1, 1, 5), live_contact_days=(1, 3, 5))
    assert telling(scale, "customer", order_days=1, live_contact_days=3).endswith(f" Against: nothing. {said}")


def test_a_prospect_is_told_that_it_has_no_order():
    scale = ruler(base=-9, enter=50, live_contact_days=(1, 0, 5))
    assert telling(scale, "prospect", live_contact_days=5) == (
        "For client: met or talked on 5 days in the last 12 months. Against: nothing. No order yet."
    )


def test_a_score_that_calls_for_another_segment_is_told_in_place_of_what_would_flip():
    scale = ruler(base=9, enter=60, leave=45, order_days=(1, 10, 5))
    assert telling(scale, standing("customer", date(2026, 3, 5)), order_days=10) == (
        "For client: nothing. Against: nothing. The score calls for client since 2026-03-05, and is not followed yet."
    )


def test_a_verdict_set_by_hand_is_told_with_its_note():
    scale = ruler(base=9, enter=60, leave=45, order_days=(1, 10, 5))
    note = "Set by hand until 2026-06-30 by accounts: in dispute"
    assert telling(scale, standing("customer", date(2026, 3, 5), note), order_days=10) == (
        f"For client: nothing. Against: nothing. {note}."
    )


def test_each_row_is_told_its_own():
    scale = ruler(base=0, enter=50, order_days=(1, 2, 1))
    frame = scored(scale, {"order_days": 3}, {"order_days": 1}, {})
    held = pl.concat([standing(segment) for segment in frame["segment"]])
    texts = told(reasons(frame, scale, "USD"), flips(frame, scale, "USD"), held)
    assert [text.split(". ")[:2] for text in texts] == [
        ["For client: ordered on 3 days in all", "Against: nothing"],
        ["For client: nothing", "Against: ordered on 1 day in all"],
        ["For client: nothing", "Against: nothing"],
    ]


def test_no_rows_have_no_reasons_and_no_flips():
    nobody = scored(EVERY_FEATURE, {}).clear()
    assert listed(reasons(nobody, EVERY_FEATURE, "USD")) == []
    assert flips(nobody, EVERY_FEATURE, "USD").to_list() == []
