"""Segment, stage, treatment and roll-up, at their boundaries."""

from datetime import date, timedelta
from decimal import Decimal

import polars as pl
import pytest

from tests.frames import feature_frame, statistic_frame
from tests.rulers import ruler
from transforms.holding import NO_OVERRIDES, NO_STANDINGS
from transforms.judgement import held_verdicts, judgement
from transforms.verdicts import TREATMENTS, rolled_up

AS_OF = date(2026, 3, 31)


def judged(base: float = 0.0, enter: float = 50, leave: float = 45, **known) -> dict:
    """The verdict on an account that scores at its ruler's base, of which these statistics are known."""
    scale = ruler(base=base, enter=enter, leave=leave, satisfaction=(1, 0.5, 1))
    return held_verdicts(
        feature_frame({}), statistic_frame(known), scale, AS_OF, NO_STANDINGS, NO_OVERRIDES
    ).to_dicts()[0]


def ago(days: int) -> date:
    return AS_OF - timedelta(days=days)


def customer(occasions: int, first: int, last: int, **known) -> dict:
    """The verdict on a customer that ordered on so many days, the first and the last so many days ago."""
    return judged(base=-1, occasions=occasions, first_order_on=ago(first), last_order_on=ago(last), **known)


# --- segment


@pytest.mark.parametrize(
    ("base", "occasions", "segment"),
    [
        (0.0, 2, "client"),
        (-1e-12, 2, "customer"),
        (5.0, 2, "client"),
        (-5.0, 2, "customer"),
        (5.0, 1, "customer"),
        (-5.0, 1, "customer"),
        (5.0, 0, "prospect"),
        (-5.0, 0, "prospect"),
    ],
)
def test_a_client_scores_at_least_what_it_takes_and_has_ordered_on_two_days(base, occasions, segment):
    verdict = judged(base=base, occasions=occasions, first_order_on=ago(500), last_order_on=ago(5))
    assert (verdict["raw_segment"], verdict["segment"]) == (segment, segment)


# --- stage


def test_a_customer_with_one_occasion_is_one_time_however_new_or_long_ago():
    assert customer(1, 0, 0)["stage"] == "one_time"
    assert customer(1, 900, 900)["stage"] == "one_time"


def test_one_occasion_under_a_running_contract_is_not_one_time():
    assert customer(1, 10, 10, contract_runs_until=AS_OF)["stage"] == "new"
    assert customer(1, 300, 300, contract_runs_until=AS_OF)["stage"] == "active"
    assert customer(1, 300, 300, contract_runs_until=ago(1))["stage"] == "one_time"


def test_an_account_is_new_for_90_days_from_its_first_order_or_contact():
    assert customer(2, 89, 89)["stage"] == "new"
    assert customer(2, 90, 90)["stage"] != "new"
    assert customer(2, 80, 80, first_contact_on=ago(89))["stage"] == "new"
    assert customer(2, 80, 80, first_contact_on=ago(90))["stage"] != "new"


def test_quiet_is_measured_from_the_last_order_or_two_way_contact():
    assert customer(2, 130, 100)["stage"] == "at_risk"
    assert customer(2, 130, 100, first_two_way_on=ago(120), last_two_way_on=ago(60))["stage"] == "active"
    assert customer(2, 130, 60, first_two_way_on=ago(120), last_two_way_on=ago(100))["stage"] == "active"
    assert customer(2, 130, 100, first_contact_on=ago(120), last_contact_on=ago(1))["stage"] == "at_risk"


@pytest.mark.parametrize(
    ("last", "stage"),
    [(0, "active"), (60, "active"), (61, "at_risk"), (120, "at_risk"), (121, "lapsed"), (900, "lapsed")],
)
def test_an_account_is_at_risk_past_two_and_lapsed_past_four_of_the_least_usual_gaps(last, stage):
    assert customer(3, last + 60, last, first_contact_on=ago(1000))["stage"] == stage
    assert customer(3, last + 31, last, first_contact_on=ago(1000))["stage"] == stage


@pytest.mark.parametrize(("last", "stage"), [(200, "active"), (201, "at_risk"), (400, "at_risk"), (401, "lapsed")])
def test_the_usual_gap_is_the_mean_of_the_accounts_own_where_that_is_longer(last, stage):
    assert customer(4, last + 300, last)["stage"] == stage


def test_a_running_contract_keeps_an_account_active_through_its_last_day():
    assert customer(2, 900, 800, contract_runs_until=AS_OF)["stage"] == "active"
    assert customer(2, 900, 800, contract_runs_until=ago(1))["stage"] == "lapsed"


@pytest.mark.parametrize(
    ("known", "stage"),
    [
        ({"first_contact_on": ago(89), "last_contact_on": ago(89)}, "new"),
        ({"first_contact_on": ago(90), "last_contact_on": ago(0)}, "lapsed"),
        ({"first_contact_on": ago(90), "last_two_way_on": ago(60)}, "active"),
        ({"first_contact_on": ago(90), "last_two_way_on": ago(61)}, "at_risk"),
        ({"first_contact_on": ago(200), "last_two_way_on": ago(121)}, "lapsed"),
        ({}, "lapsed"),
    ],
)
def test_a_prospect_has_the_stage_of_its_contacts_and_without_any_is_lapsed(known, stage):
    verdict = judged(**known)
    assert (verdict["segment"], verdict["stage"]) == ("prospect", stage)


# --- treatment


def test_every_segment_and_stage_that_there_can_be_has_a_treatment_of_its_own():
    stages = ("new", "active", "at_risk", "lapsed")
    possible = {(segment, stage) for segment in ("client", "customer", "prospect") for stage in stages}
    assert set(TREATMENTS) == possible | {("customer", "one_time")}
    assert len(set(TREATMENTS.values())) == len(TREATMENTS)


def test_the_treatment_follows_from_segment_and_stage():
    assert customer(1, 5, 5)["treatment"] == TREATMENTS["customer", "one_time"]
    assert judged()["treatment"] == TREATMENTS["prospect", "lapsed"]


def test_each_row_is_judged_by_its_own_statistics():
    scale = ruler(enter=50, satisfaction=(1, 0.5, 1))
    names = [{"account_id": name} for name in "BAC"]
    counts = [{"account_id": name, "occasions": count} for name, count in zip("BAC", (0, 1, 2), strict=True)]
    found = held_verdicts(feature_frame(*names), statistic_frame(*counts), scale, AS_OF, NO_STANDINGS, NO_OVERRIDES)
    assert dict(zip(found["account_id"], found["segment"], strict=True)) == {
        "B": "prospect",
        "A": "customer",
        "C": "client",
    }


# --- roll-up


STAGE_FACTS = {"occasions": pl.Int64, "known_days": pl.Int64, "is_under_contract": pl.Boolean, "quiet_gaps": pl.Float64}


def whole(*lines: tuple[str, str, float, str | None, int], facts: list[tuple] | None = None) -> dict:
    """The account as a whole, of lines given as name, segment, score, revenue and contacts, and the facts that stages rest on."""
    columns = {
        "account_id": pl.String,
        "line": pl.String,
        "segment": pl.String,
        "score": pl.Float64,
        "revenue_12m": pl.Decimal(18, 4),
        "personal_contacts_12m": pl.Int64,
    } | STAGE_FACTS
    rows = [
        ("A", name, segment, score, revenue and Decimal(revenue), contacts, *known)
        for (name, segment, score, revenue, contacts), known in zip(
            lines, facts or [(2, 9, False, 1.5)] * len(lines), strict=True
        )
    ]
    found = rolled_up(pl.DataFrame(rows, schema=columns, orient="row")).to_dicts()
    assert [(row["account_id"], row["line"]) for row in found] == [("A", "*")]
    return found[0]


@pytest.mark.parametrize(
    ("law", "shop", "segment"),
    [
        ("10", "90", "client"),
        ("9.9999", "90.0001", "customer"),
        ("0.3", "2.7", "client"),
        ("0.2999", "2.7001", "customer"),
        ("0.0001", "0.0009", "client"),
        ("11111111.1111", "99999999.9999", "client"),
    ],
)
def test_a_line_with_a_tenth_of_revenue_leads_and_with_less_it_does_not(law, shop, segment):
    assert whole(("law", "client", 80, law, 0), ("shop", "customer", 20, shop, 0))["segment"] == segment


@pytest.mark.parametrize(("law", "shop", "segment"), [(1, 9, "client"), (1, 10, "customer"), (3, 27, "client")])
def test_a_line_with_a_tenth_of_contacts_leads_and_with_less_it_does_not(law, shop, segment):
    assert whole(("law", "client", 80, "0", law), ("shop", "customer", 20, "100", shop))["segment"] == segment


def test_a_line_with_a_tenth_of_contacts_leads_even_without_revenue_or_with_less_than_none():
    assert whole(("law", "client", 80, None, 5), ("shop", "customer", 20, "100", 0))["segment"] == "client"
    assert whole(("law", "client", 80, "-500", 5), ("shop", "customer", 20, "100", 0))["segment"] == "client"


def test_what_one_line_gave_back_does_not_make_another_line_weigh_more():
    assert whole(("law", "client", 80, "9", 0), ("shop", "customer", 20, "91", 0), ("web", "customer", 9, "-90", 0))[
        "segment"
    ] == ("customer")


def test_where_no_line_has_revenue_or_contacts_any_line_can_lead():
    assert whole(("law", "client", 80, "0", 0), ("shop", "customer", 20, None, 0))["segment"] == "client"


def test_a_client_leads_before_a_customer_before_a_prospect_then_the_score_then_the_name():
    assert (
        whole(("a", "prospect", 99, "10", 1), ("b", "customer", 50, "10", 1), ("c", "client", 60, "10", 1))["score"]
        == 60
    )
    assert whole(("a", "prospect", 99, "10", 1), ("b", "customer", 50, "10", 1))["score"] == 50
    assert whole(("a", "client", 61, "10", 1), ("b", "client", 62, "10", 1))["score"] == 62
    assert whole(("b", "client", 61, "20", 1), ("a", "client", 61, "10", 1))["personal_contacts_12m"] == 1
    assert whole(("b", "client", 61, "20", 7), ("a", "client", 61, "10", 8))["personal_contacts_12m"] == 8


def test_the_account_has_the_revenue_of_all_its_lines_and_all_else_of_the_leading_one():
    assert whole(
        ("law", "client", 80, "10.5", 4), ("shop", "customer", 20, "-2.25", 9), ("web", "prospect", 7, None, 0)
    ) == {
        "account_id": "A",
        "line": "*",
        "segment": "client",
        "score": 80,
        "revenue_12m": Decimal("8.25"),
        "personal_contacts_12m": 4,
        "kept_by": None,
        "occasions": 6,
        "known_days": 9,
        "is_under_contract": False,
        "quiet_gaps": 1.5,
    }


def test_what_a_stage_rests_on_is_that_of_all_lines_whichever_leads_or_matters():
    found = whole(
        ("law", "client", 80, "99", 9),
        ("shop", "customer", 20, "1", 0),
        ("web", "prospect", 9, None, 0),
        facts=[(1, 20, False, 5.0), (3, 700, True, 0.5), (0, None, False, None)],
    )
    assert {name: found[name] for name in STAGE_FACTS} == {
        "occasions": 4,
        "known_days": 700,
        "is_under_contract": True,
        "quiet_gaps": 0.5,
    }


@pytest.mark.parametrize(
    ("other", "stage"),
    [
        ({}, "one_time"),
        ({"occasions": 1, "first_order_on": ago(300), "last_order_on": ago(300)}, "lapsed"),
        ({"occasions": 9, "first_order_on": ago(300), "last_order_on": ago(5)}, "active"),
        ({"occasions": 9, "first_order_on": ago(80), "last_order_on": ago(70)}, "at_risk"),
        ({"occasions": 0, "first_contact_on": ago(300), "last_two_way_on": ago(1)}, "one_time"),
    ],
)
def test_the_account_has_the_stage_of_all_that_it_does(other, stage):
    scale = ruler(enter=60, satisfaction=(3.0, 0.5, 0.25))
    once = {"line": "law", "occasions": 1, "first_order_on": ago(200), "last_order_on": ago(200)}
    features = feature_frame(
        {"line": "law", "order_days": 1, "revenue_12m": 1000, "satisfaction": 0.4},
        {"line": "shop", "order_days": other.get("occasions"), "revenue_12m": 10, "satisfaction": 0.1},
    ).with_columns(as_of=pl.lit(AS_OF))
    found = judgement(features, statistic_frame(once, {"line": "shop"} | other), scale, AS_OF, "USD").verdicts
    of = {row["line"]: row for row in found.to_dicts()}
    assert (of["law"]["stage"], of["*"]["segment"], of["*"]["stage"]) == ("one_time", "customer", stage)
    assert of["*"]["treatment"] == TREATMENTS["customer", stage]


@pytest.mark.parametrize(
    ("others", "line"),
    [
        ([("shop", "client", 70, "10", 1)], "shop"),
        ([("shop", "client", 70, "20", 1), ("web", "client", 75, "20", 1)], "web"),
        ([("shop", "client", 70, "1", 0)], None),
        ([("shop", "client", 70, "1", 0), ("web", "client", 60, "1", 0)], None),
        ([("shop", "customer", 40, "10", 1)], None),
        ([], None),
    ],
)
def test_another_client_line_that_matters_would_keep_the_account_a_client(others, line):
    assert whole(("law", "client", 80, "90", 9), *others)["kept_by"] == line


def test_where_no_line_has_revenue_or_contacts_any_line_can_keep_the_account():
    assert whole(("law", "client", 80, "0", 0), ("shop", "client", 70, None, 0))["kept_by"] == "shop"
    assert whole(("law", "client", 80, "0", 0), ("shop", "customer", 40, None, 0))["kept_by"] is None


@pytest.mark.parametrize(("score", "end"), [(90, " By its line shop it would stay a client."), (40, "")])
def test_the_reasons_of_the_whole_say_which_other_line_keeps_it_a_client(score, end):
    scale = ruler(enter=60, satisfaction=(3.0, 0.5, 0.25), referrals=(1.0, 0.0, 1.0))
    ordered = {"occasions": 9, "first_order_on": ago(500), "last_order_on": ago(5)}
    facts = statistic_frame({"line": "law"} | ordered, {"line": "shop"} | ordered)
    known = {"order_days": 9, "revenue_12m": 50}
    features = feature_frame(
        {"line": "law", "satisfaction": 0.95} | known, {"line": "shop", "satisfaction": score / 100} | known
    ).with_columns(as_of=pl.lit(AS_OF))
    found = judgement(features, facts, scale, AS_OF, "USD").verdicts
    told = {row["line"]: row["reasons"] for row in found.to_dicts()}
    assert told["*"] == told["law"] + end
    assert "Would be a customer if" in told["law"]


def test_what_keeps_an_account_is_a_line_of_its_own():
    lines = pl.DataFrame(
        {
            "account_id": ["A", "B"],
            "line": ["law", "shop"],
            "segment": ["client", "client"],
            "score": [80.0, 70.0],
            "revenue_12m": [Decimal(10), Decimal(10)],
            "personal_contacts_12m": [1, 1],
            "occasions": [2, 2],
            "known_days": [9, 9],
            "is_under_contract": [False, False],
            "quiet_gaps": [1.5, 1.5],
        }
    )
    assert rolled_up(lines)["kept_by"].to_list() == [None, None]
