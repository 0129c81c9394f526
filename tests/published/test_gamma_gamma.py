"""Gamma-Gamma on CDNOW: Fader and Hardie (2013), CLVTools, lifetimes, and recomputed figures."""

import numpy as np
import pytest

from transforms.purchase_models.values import HAS_REPEATED, GammaGamma, fit_gamma_gamma

PAPER = GammaGamma(p=6.25, q=3.74, gamma=15.44, correlation=0.0)


def test_the_fit_finds_the_published_parameters(gamma_gamma):
    found = (gamma_gamma.model.p, gamma_gamma.model.q, gamma_gamma.model.gamma)
    assert found == pytest.approx((6.25, 3.74, 15.44), abs=5e-3)
    assert found == pytest.approx((6.249574, 3.744224, 15.443513), rel=1e-5)
    assert gamma_gamma.log_likelihood == pytest.approx(-4055.91769, abs=1e-4)
    assert gamma_gamma.accounts == 946
    assert gamma_gamma.is_good


def test_values_rounded_to_two_decimals_move_the_log_likelihood_as_recomputed(summary):
    found = fit_gamma_gamma(summary.filter(HAS_REPEATED)).log_likelihood
    assert found == pytest.approx(-4055.92324, abs=1e-4)


def test_the_population_spends_35_17_on_average(gamma_gamma):
    assert gamma_gamma.model.expected_value(np.zeros(1), np.zeros(1)) == pytest.approx(35.1704, abs=1e-3)


def test_count_and_value_hardly_correlate(gamma_gamma):
    assert gamma_gamma.model.correlation == pytest.approx(0.1139, abs=5e-5)


def test_the_first_ten_customers_are_expected_to_spend_as_lifetimes_prints(histories):
    first = histories.head(10)
    found = PAPER.expected_value(
        first["repeat_order_days"].to_numpy(), first["mean_repeat_value"].fill_null(0).to_numpy()
    )
    published = [24.65, 18.91, 35.17, 35.17, 35.17, 71.46, 18.91, 35.17, 27.28, 35.17]
    assert found == pytest.approx(published, abs=0.1)
