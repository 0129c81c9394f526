"""The features, computed by SQL and Polars, are those that the oracle computes from their definitions."""

from fractions import Fraction

import pytest
from hypothesis import given

from config.catalogue import FEATURES
from tests import oracle
from tests.histories import Drawn, histories
from tests.night import by_account, features, memory

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def con():
    return memory()


def test_the_oracle_knows_every_feature_of_the_catalogue():
    assert set(oracle.FEATURES) == {feature.name for feature in FEATURES}


@given(drawn=histories())
def test_every_feature_is_what_its_definition_says(con, drawn: Drawn):
    computed = by_account(features(con, drawn.orders, drawn.engagements, drawn.as_of))
    expected = oracle.features(drawn.orders, drawn.engagements, drawn.as_of)
    assert set(computed) == set(expected)
    for key, values in expected.items():
        assert differences(computed[key], values) == {}, key


def differences(computed: dict, expected: dict) -> dict:
    return {
        feature.name: (computed[feature.name], expected[feature.name])
        for feature in FEATURES
        if not same(feature.unit, computed[feature.name], expected[feature.name])
    }


def same(unit: str, computed, expected) -> bool:
    """Counts, days and money are exact; the rest within 1e-9."""
    if computed is None or expected is None:
        return computed is expected
    if unit in ("share", "number", "premium"):
        return computed == pytest.approx(expected, rel=1e-9, abs=1e-9)
    return Fraction(computed) == expected
