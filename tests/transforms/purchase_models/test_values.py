"""Gamma-Gamma against its definition, and who is given a value."""

import math
import random
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transforms.purchase_models import oracle
from transforms.purchase_models.values import HAS_REPEATED, GammaGamma, fit_gamma_gamma, value_outlook

CDNOW = GammaGamma(p=6.25, q=3.74, gamma=15.44, correlation=0.11)
COLUMNS = ["account_id", "line", "repeat_order_days", "mean_repeat_value"]

models = st.builds(
    GammaGamma,
    p=st.floats(0.05, 50),
    q=st.floats(1.1, 50),
    gamma=st.floats(0.01, 1000),
    correlation=st.just(0.0),
)
repeats = st.integers(1, 400)
amounts = st.floats(0.01, 1e5)


def accounts(count, seed=1, line="all", unit=1.0):
    """Accounts with one to ten repeats, drawn from the Gamma-Gamma story in steps of a cent of the unit."""
    draw = random.Random(seed)
    rows = []
    for account in range(count):
        x, scale = draw.randint(1, 10), 1 / draw.gammavariate(4.0, 1 / 15.0)
        mean = math.fsum(draw.gammavariate(6.0, scale) for _ in range(x)) / x
        rows.append((f"{line}-{account}", line, x, round(mean, 2) * unit))
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


@pytest.mark.parametrize("model", [CDNOW, GammaGamma(0.7, 1.5, 300.0, 0.0), GammaGamma(40.0, 12.0, 2.0, 0.0)], ids=str)
@pytest.mark.parametrize(("x", "mean"), [(1, 20.0), (2, 0.5), (7, 35.0), (29, 400.0)])
def test_spend_is_what_its_story_says(model, x, mean):
    log_likelihood = model.log_likelihood(np.array([x]), np.array([mean]))[0]
    expected = model.expected_value(np.array([x]), np.array([mean]))[0]
    assert (log_likelihood, expected) == pytest.approx(oracle.gamma_gamma(model, x, mean), rel=1e-7)


def test_without_a_repeat_the_population_s_mean_is_expected():
    found = CDNOW.expected_value(np.zeros(2), np.array([np.nan, 99.0]))
    assert found.tolist() == pytest.approx([oracle.gamma_gamma(CDNOW, 0, None)[1]] * 2, rel=1e-9)


@given(model=models, x=repeats, mean=amounts)
def test_slopes_are_those_of_the_log_likelihood(model, x, mean):
    x, mean = np.array([x]), np.array([mean])
    for name, slope in zip(("p", "q", "gamma"), model.slopes(x, mean), strict=True):
        values = vars(model)
        step = values[name] * 1e-5
        above, below = (
            GammaGamma(**values | {name: values[name] + way}).log_likelihood(x, mean)[0] for way in (step, -step)
        )
        rounding = 1e-14 * (1 + model.p * x[0]) * 1000 / step
        assert slope[0] == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=max(rounding, 1e-6))


@given(model=models, x=repeats, mean=amounts)
def test_the_expected_value_lies_between_the_account_s_own_mean_and_the_population_s(model, x, mean):
    expected = model.expected_value(np.array([x]), np.array([mean]))[0]
    low, high = sorted([mean, model.gamma * model.p / (model.q - 1)])
    assert low * (1 - 1e-9) <= expected <= high * (1 + 1e-9)


@given(model=models, x=st.integers(1, 399), mean=amounts)
def test_with_more_repeats_the_expected_value_comes_closer_to_the_account_s_own_mean(model, x, mean):
    fewer, more = model.expected_value(np.array([x, x + 1]), np.array([mean, mean]))
    assert abs(more - mean) <= abs(fewer - mean) * (1 + 1e-6) + 1e-9 * mean


def test_a_fit_on_counts_has_the_likelihood_of_the_accounts_one_by_one():
    frame = accounts(300)
    found = fit_gamma_gamma(pl.concat([frame, frame.head(50)]))
    rows = [*frame.iter_rows(), *frame.head(50).iter_rows()]
    one_by_one = [found.model.log_likelihood(np.array([x]), np.array([mean]))[0] for *_, x, mean in rows]
    assert found.log_likelihood == pytest.approx(math.fsum(one_by_one), rel=1e-12)
    assert found.accounts == 350


def test_no_parameter_near_the_fit_is_likelier():
    frame = accounts(300)
    found = fit_gamma_gamma(frame)
    assert found.is_good
    x, mean = frame["repeat_order_days"].to_numpy(), frame["mean_repeat_value"].to_numpy()
    for name in ("p", "q", "gamma"):
        for factor in (0.98, 1.02):
            values = vars(found.model)
            moved = GammaGamma(**values | {name: values[name] * factor})
            assert moved.log_likelihood(x, mean).sum() < found.log_likelihood


def test_the_fit_comes_close_to_the_parameters_that_made_the_spend():
    found = fit_gamma_gamma(accounts(3000)).model
    assert (found.p, found.q, found.gamma) == pytest.approx((6.0, 4.0, 15.0), rel=0.15)


def test_the_order_of_rows_does_not_change_a_digit_of_the_fit():
    frame = accounts(300)
    assert fit_gamma_gamma(frame.sample(fraction=1, shuffle=True, seed=5)) == fit_gamma_gamma(frame)


def test_money_in_decimals_has_the_same_fit():
    decimals = accounts(300).with_columns(pl.col("mean_repeat_value").cast(pl.Decimal(18, 2)))
    assert fit_gamma_gamma(decimals) == fit_gamma_gamma(accounts(300))


@pytest.mark.parametrize("unit", [0.01, 150.0, 1e6])
def test_another_currency_unit_scales_the_money_and_nothing_else(unit):
    ours, theirs = fit_gamma_gamma(accounts(300)), fit_gamma_gamma(accounts(300, unit=unit))
    assert (theirs.model.p, theirs.model.q) == pytest.approx((ours.model.p, ours.model.q), rel=1e-6)
    assert theirs.model.gamma == pytest.approx(ours.model.gamma * unit, rel=1e-6)
    assert theirs.model.correlation == pytest.approx(ours.model.correlation, rel=1e-9)
    assert theirs.log_likelihood == pytest.approx(ours.log_likelihood - 300 * math.log(unit), rel=1e-9)


@pytest.mark.filterwarnings("error")
def test_accounts_that_all_spend_the_same_do_not_determine_the_parameters():
    rows = [(f"a{number}", "all", 1 + number % 5, 20.0) for number in range(300)]
    found = fit_gamma_gamma(pl.DataFrame(rows, schema=COLUMNS, orient="row"))
    assert found.at_bound
    assert not found.is_good
    assert found.model.correlation == 0


def test_the_correlation_is_of_repeats_and_mean_spend():
    rows = [("a", "all", 1, 10.0), ("b", "all", 2, 30.0), ("c", "all", 3, 20.0), ("d", "all", 3, 20.0)]
    found = fit_gamma_gamma(pl.DataFrame(rows, schema=COLUMNS, orient="row"))
    # x deviates by -5/4, -1/4, 3/4, 3/4 and spend by -10, 10, 0, 0: 10 / sqrt(11/4 * 200)
    assert found.model.correlation == pytest.approx(10 / math.sqrt(550))


def test_who_has_repeated_is_told_from_the_row():
    rows = [
        ("repeated", "all", 2, 10.0),
        ("one order", "all", 0, None),
        ("prospect", "all", None, None),
        ("all returned", "all", 3, 0.0),
    ]
    frame = pl.DataFrame(rows, schema=COLUMNS, orient="row")
    assert frame.filter(HAS_REPEATED)["account_id"].to_list() == ["repeated"]


def test_a_value_is_given_where_something_is_known_and_marked_where_it_is_the_population_s():
    rows = [
        ("repeated", "shop", 2, Decimal("10.00")),
        ("one order", "shop", 0, None),
        ("prospect", "shop", None, None),
        ("all returned", "shop", 3, Decimal("0.00")),
        ("unknown line", "new", 2, Decimal("10.00")),
    ]
    found = value_outlook(pl.DataFrame(rows, schema=COLUMNS, orient="row"), {"shop": CDNOW})
    own, population = (oracle.gamma_gamma(CDNOW, *seen)[1] for seen in ((2, 10.0), (0, None)))
    assert found.drop("expected_order_value", "is_prior_value").rows() == rows
    assert found["is_prior_value"].to_list() == [False, True, None, None, None]
    values = found["expected_order_value"].to_list()
    assert values == [pytest.approx(own), pytest.approx(population), None, None, None]


@pytest.mark.parametrize(
    ("correlation", "is_given"), [(0.3, True), (0.301, False), (-0.3, True), (-0.301, False), (0.0, True)]
)
def test_no_value_is_given_where_count_and_value_correlate_by_more_than_0_3(correlation, is_given):
    model = GammaGamma(6.25, 3.74, 15.44, correlation)
    rows = [("a", "all", 2, 10.0), ("b", "all", 0, None)]
    found = value_outlook(pl.DataFrame(rows, schema=COLUMNS, orient="row"), {"all": model})
    assert found["expected_order_value"].is_not_null().to_list() == [is_given] * 2
    assert found["is_prior_value"].is_not_null().to_list() == [is_given] * 2


@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["shop", "advice", "new"]), st.integers(0, 50), st.none() | amounts),
        min_size=1,
    )
)
def test_one_account_s_value_does_not_depend_on_the_others(rows):
    frame = pl.DataFrame(rows, schema={"line": pl.String, COLUMNS[2]: pl.Int64, COLUMNS[3]: pl.Float64}, orient="row")
    two = {"shop": CDNOW, "advice": GammaGamma(0.7, 1.5, 300.0, 0.0)}
    alone = pl.concat([value_outlook(frame[row], two) for row in range(frame.height)])
    assert value_outlook(frame, two).equals(alone)
    assert value_outlook(frame.reverse(), two).reverse().equals(alone)
