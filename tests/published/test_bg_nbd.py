"""BG/NBD on CDNOW: Fader, Hardie, Lee (2005), the BTYD walkthrough, and recomputed figures."""

import math
from dataclasses import astuple

import numpy as np
import pytest

from transforms.purchase_models.occasions import BgNbd, fit_bg_nbd

PAPER = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)
WALKTHROUGH = BgNbd(r=0.2425982, alpha=4.4136842, a=0.7929899, b=2.4261667)
NEW = [np.zeros(1)] * 3
CUSTOMER_1516 = (np.array([26]), np.array([30.85714]), np.array([31.0]))


def test_the_fit_finds_the_published_parameters(bg_nbd):
    assert astuple(bg_nbd.model) == pytest.approx((0.2425945, 4.4136024, 0.7929221, 2.4259072), rel=1e-3)
    assert astuple(bg_nbd.model) == pytest.approx(astuple(WALKTHROUGH), rel=1e-3)
    assert astuple(bg_nbd.model) == pytest.approx(astuple(PAPER), abs=1e-3)
    assert bg_nbd.log_likelihood == pytest.approx(-9582.4292, abs=1e-3)
    assert bg_nbd.accounts == 2357
    assert bg_nbd.is_good


def test_times_rounded_to_two_decimals_move_the_log_likelihood_as_recomputed(summary):
    assert fit_bg_nbd(summary).log_likelihood == pytest.approx(-9582.4256, abs=1e-3)


@pytest.mark.parametrize(
    ("weeks", "expected"),
    [(0.1429, 0.0078), (1, 0.0532), (3, 0.1506), (31.8571, 1.0405), (32, 1.0437), (78, 1.8576)],
)
def test_a_new_customer_is_expected_to_repeat_as_in_the_paper(bg_nbd, weeks, expected):
    assert bg_nbd.model.expected_occasions(*NEW, weeks) == pytest.approx(expected, abs=5e-4)


def test_a_new_customer_is_expected_to_repeat_1_444_times_in_a_year(bg_nbd):
    assert WALKTHROUGH.expected_occasions(*NEW, 52) == pytest.approx(1.444004, abs=2e-6)
    assert bg_nbd.model.expected_occasions(*NEW, 52) == pytest.approx(1.444012, abs=1e-5)


def test_the_customer_of_the_paper_is_expected_to_buy_1_226_times(bg_nbd):
    history = (np.array([2]), np.array([30.43]), np.array([38.86]))
    assert PAPER.expected_occasions(*history, 39) == pytest.approx(1.226, abs=1e-3)
    assert bg_nbd.model.expected_occasions(*history, 39) == pytest.approx(1.22591, abs=2e-5)


def test_customer_1516_is_almost_surely_active(bg_nbd):
    assert WALKTHROUGH.expected_occasions(*CUSTOMER_1516, 52) == pytest.approx(25.75659, abs=1e-4)
    assert WALKTHROUGH.p_alive(*CUSTOMER_1516) == pytest.approx(0.9688523, abs=1e-6)
    assert bg_nbd.model.expected_occasions(*CUSTOMER_1516, 52) == pytest.approx(25.75734, abs=1e-4)
    assert bg_nbd.model.p_alive(*CUSTOMER_1516) == pytest.approx(0.9688544, abs=1e-6)


def test_of_two_customers_silent_since_week_20_the_busier_one_is_expected_less():
    x = np.array([10, 15, 20, 25])
    found = WALKTHROUGH.expected_occasions(x, np.full(4, 20.0), np.full(4, 39.0), 52)
    assert found == pytest.approx([0.3474606, 0.04283391, 0.004158973, 0.0003585685], rel=1e-3)


@pytest.mark.parametrize(
    ("orders", "weeks", "probability"),
    [(10, 2, 1.07869e-07), (0, 39, 0.5737864), (11, 30, 0.0019995214), (20, 30, 0.0002222260)],
)
def test_the_likelihood_integrates_to_the_published_chance_of_so_many_orders(orders, weeks, probability):
    assert _chance(PAPER, orders, weeks) == pytest.approx(probability, rel=1e-6)


def _chance(model, orders, weeks):
    """Integrates the density of order times over all times of the last order and of those before it."""
    if orders == 0:
        return math.exp(model.log_likelihood(np.zeros(1, int), np.zeros(1), np.full(1, float(weeks)))[0])
    nodes, weights = np.polynomial.legendre.leggauss(200)
    last = weeks * (nodes + 1) / 2
    x, T = np.full(200, orders), np.full(200, float(weeks))
    log_density = model.log_likelihood(x, last, T) + (orders - 1) * np.log(last) - math.lgamma(orders)
    return weeks / 2 * float((weights * np.exp(log_density)).sum())


def test_the_likelihood_of_200_orders_does_not_underflow():
    model = BgNbd(r=0.25, alpha=4, a=0.8, b=2.5)
    found = model.log_likelihood(np.array([0, 200]), np.array([0.0, 38.0]), np.array([40.0, 40.0]))
    assert found == pytest.approx([-0.59947382, 100.79569], abs=1e-5)


@pytest.mark.filterwarnings("error")
def test_a_thousand_orders_then_90_weeks_of_silence_leave_no_chance_and_no_warning():
    assert PAPER.p_alive(np.array([1000]), np.array([10.0]), np.array([100.0])) == [0.0]


def test_an_account_without_a_repeat_is_certainly_alive():
    assert PAPER.p_alive(np.array([0]), np.array([0.0]), np.array([38.857])) == [1.0]
