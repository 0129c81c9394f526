"""Readings, contributions and score."""

import math

import pytest

from config.catalogue import DIMENSIONS, FEATURES
from config.scoring import Ruler
from tests.frames import feature_frame
from tests.rulers import EVERY_FEATURE, ruler
from transforms.score import contribution, log_odds_at, scores


def scored(scale: Ruler, **known) -> dict:
    """The scored row of an account of which this is known."""
    return scores(feature_frame(known).lazy(), scale).collect().to_dicts()[0]


@pytest.mark.parametrize(
    ("days", "adds"),
    [
        (365, 0.0),
        (730, 0.4),
        (1095, 0.8),
        (1096, 0.8),
        (36_500, 0.8),
        (0, -0.4),
        (None, 0.0),
    ],
)
def test_a_feature_adds_its_weight_for_each_step_from_neutral_at_most_two(days, adds):
    row = scored(ruler(tenure_days=(0.4, 365, 365)), tenure_days=days)
    assert row[contribution("tenure_days")] == pytest.approx(adds, abs=1e-15)
    assert row["log_odds"] == pytest.approx(adds, abs=1e-15)


def test_a_reading_stops_at_two_steps_below_neutral_too():
    assert scored(ruler(revenue_12m=(0.5, 1000, 100)), revenue_12m=-1_000_000)["log_odds"] == -1.0


def test_a_negative_weight_counts_against():
    row = scored(ruler(self_service_share=(-0.5, 0.5, 0.25)), self_service_share=0.75)
    assert row["log_odds"] == -0.5


def test_money_is_read_as_a_number_of_the_reporting_currency():
    assert scored(ruler(mean_order_value=(1, 100, 50)), mean_order_value=125)["log_odds"] == 0.5


def test_a_score_is_the_sigmoid_of_the_sum_of_all_points():
    row = scored(ruler(base=0.25, tenure_days=(0.5, 365, 365), referrals=(0.25, 0, 1)), tenure_days=0, referrals=3)
    assert row["log_odds"] == 0.25
    assert row["score"] == pytest.approx(100 / (1 + math.exp(-0.25)), abs=1e-12)


def test_an_account_of_which_nothing_is_known_stands_at_the_base():
    row = scored(ruler(base=-1.5, tenure_days=(0.5, 365, 365)))
    assert (row["log_odds"], row["base_points"], row["evidence"]) == (-1.5, -1.5, 0)
    assert scored(ruler(base=0, tenure_days=(0.5, 365, 365)))["score"] == 50


def test_points_are_the_contributions_of_each_dimension():
    row = scored(
        ruler(base=0.125, tenure_days=(0.5, 365, 365), order_days=(0.25, 0, 1), self_service_share=(-1, 0, 1)),
        tenure_days=730,
        order_days=1,
        self_service_share=0.5,
    )
    points = {f"{dimension}_points": 0.0 for dimension in DIMENSIONS}
    expected = points | {"ongoing_points": 0.75, "service_points": -0.5, "base_points": 0.125, "log_odds": 0.375}
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("known", "evidence"),
    [
        ({}, 0),
        ({"tenure_days": 1}, 0.25),
        ({"self_service_share": 0.0}, 0.75),
        ({"tenure_days": 1, "self_service_share": 0.0}, 1),
    ],
)
def test_evidence_is_the_share_of_weight_of_either_sign_on_features_that_are_known(known, evidence):
    row = scored(ruler(tenure_days=(0.5, 365, 365), self_service_share=(-1.5, 0.5, 0.5)), **known)
    assert row["evidence"] == evidence


def test_evidence_of_a_full_account_is_one_and_not_a_bit_more():
    known = {feature.name: feature.high or 1 for feature in FEATURES}
    assert scored(EVERY_FEATURE, **known)["evidence"] == 1


def test_contributions_add_up_to_the_log_odds():
    known = {
        feature.name: (feature.low or 0) + 0.3 * n for n, feature in enumerate(FEATURES) if feature.unit == "share"
    }
    row = scored(EVERY_FEATURE, **known, tenure_days=1000, order_days=17, revenue_12m=1234)
    parts = [row[contribution(name)] for name in EVERY_FEATURE.features]
    assert EVERY_FEATURE.base + math.fsum(parts) == pytest.approx(row["log_odds"], rel=0, abs=1e-9)
    assert 100 / (1 + math.exp(-row["log_odds"])) == pytest.approx(row["score"], rel=0, abs=1e-9)


def test_an_account_has_the_same_score_whoever_else_is_scored():
    accounts = [{"account_id": name, "satisfaction": score} for name, score in (("A", 0.0), ("B", 0.9), ("C", None))]
    scale = ruler(satisfaction=(0.4, 0.15, 0.2))  # 0 is read as -0.75 or, by another way of dividing, as a bit less
    together = scores(feature_frame(*accounts).lazy(), scale).collect()
    alone = [scores(feature_frame(account).lazy(), scale).collect() for account in accounts]
    assert together.to_dicts() == [frame.to_dicts()[0] for frame in alone]


@pytest.mark.parametrize(("score", "log_odds"), [(50, 0), (60, math.log(1.5)), (20, -math.log(4))])
def test_the_log_odds_of_a_score_lead_back_to_it(score, log_odds):
    assert log_odds_at(score) == pytest.approx(log_odds, abs=1e-15)
    assert 100 / (1 + math.exp(-log_odds_at(score))) == pytest.approx(score, abs=1e-12)
