"""Pareto/NBD on CDNOW: the BTYD and CLVTools walkthroughs, and recomputed figures.

The likelihood is flat around its top: programs agree on r and s to 0.01, on alpha and beta to 0.02.
"""

from dataclasses import astuple

import numpy as np
import pytest

from transforms.purchase_models.occasions import ParetoNbd

NEW = [np.zeros(1)] * 3
CUSTOMER_1516 = (np.array([26]), np.array([30.85714]), np.array([31.0]))


@pytest.mark.parametrize(
    "published",
    [
        (0.553, 10.578, 0.606, 11.669),
        (0.553, 10.580, 0.606, 11.656),
        (0.55315, 10.57633, 0.60625, 11.67150),
        (0.553277, 10.577684, 0.606240, 11.668726),
    ],
)
def test_the_fit_finds_the_published_parameters(pareto_nbd, published):
    r, alpha, s, beta = astuple(pareto_nbd.model)
    assert (r, s) == pytest.approx(published[::2], abs=0.01)
    assert (alpha, beta) == pytest.approx(published[1::2], abs=0.02)


def test_the_fit_finds_the_published_log_likelihood(pareto_nbd):
    assert pareto_nbd.log_likelihood == pytest.approx(-9594.9762, abs=1e-3)
    assert pareto_nbd.accounts == 2357
    assert pareto_nbd.is_good


def test_the_curvature_of_the_likelihood_gives_the_published_standard_errors(pareto_nbd, calibration):
    at = np.array(astuple(pareto_nbd.model))

    def slopes(values):
        return np.array([each.sum() for each in ParetoNbd(*values.tolist()).slopes(*calibration)])

    steps = np.diag(at * 1e-4)
    curvature = [(slopes(at + step) - slopes(at - step)) / (2 * step.sum()) for step in steps]
    errors = np.sqrt(np.diag(np.linalg.inv(-np.array(curvature))))
    assert errors == pytest.approx([0.0476264, 0.8427222, 0.1872594, 6.2105448], rel=1e-2)


def test_a_new_customer_is_expected_to_repeat_1_473_times_in_a_year(pareto_nbd):
    assert pareto_nbd.model.expected_occasions(*NEW, 52) == pytest.approx(1.473434, abs=1e-5)


def test_customer_1516_is_almost_surely_active(pareto_nbd):
    assert pareto_nbd.model.expected_occasions(*CUSTOMER_1516, 52) == pytest.approx(25.45647, rel=1e-4)
    assert pareto_nbd.model.p_alive(*CUSTOMER_1516) == pytest.approx(0.997874, abs=2e-6)


def test_of_two_customers_silent_since_week_20_the_busier_one_is_expected_less(pareto_nbd):
    x = np.array([10, 15, 20, 25])
    found = pareto_nbd.model.expected_occasions(x, np.full(4, 20.0), np.full(4, 39.0), 52)
    assert found == pytest.approx([0.7062289, 0.1442396, 0.02250658, 0.00309267], rel=1e-3)


@pytest.mark.filterwarnings("error")
def test_many_orders_do_not_underflow():
    model = ParetoNbd(r=0.55, alpha=10.58, s=0.61, beta=11.67)
    found = model.expected_occasions(np.array([132, 133]), np.full(2, 200.0), np.full(2, 200.0), 10)
    assert found == pytest.approx([6.2060517889632, 6.2528722475748], rel=1e-12)


@pytest.mark.filterwarnings("error")
def test_daily_buyers_have_a_finite_probability():
    model = ParetoNbd(r=0.5143, alpha=2.8845, s=0.2856, beta=14.1087)
    found = model.p_alive(
        np.array([221, 254, 161, 204]),
        np.array([103.42857, 97.14286, 94.71429, 98.57143]),
        np.array([103.57143, 97.28571, 98.0, 99.42857]),
    )
    assert found == pytest.approx([0.999596, 0.999558, 0.749488, 0.994255], abs=1e-6)
