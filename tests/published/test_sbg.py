"""Contracts up for renewal: Fader and Hardie (2007), two cohorts of 1,000 customers over seven years."""

from dataclasses import astuple

import pytest

from transforms.purchase_models.occasions import fit_sbg


@pytest.mark.parametrize(
    ("remaining", "parameters", "recomputed", "log_likelihood"),
    [
        pytest.param(
            [1000, 869, 743, 653, 593, 551, 517, 491],
            (0.668, 3.806),
            (0.668088, 3.806095),
            -1611.158,
            id="high end",
        ),
        pytest.param(
            [1000, 631, 468, 382, 326, 289, 262, 241],
            (0.704, 1.182),
            (0.704077, 1.182043),
            -1680.265,
            id="regular",
        ),
    ],
)
def test_the_fit_finds_the_published_parameters(remaining, parameters, recomputed, log_likelihood):
    found = fit_sbg(remaining)
    assert astuple(found.model) == pytest.approx(parameters, abs=5e-4)
    assert astuple(found.model) == pytest.approx(recomputed, rel=1e-5)
    assert found.log_likelihood == pytest.approx(log_likelihood, abs=1e-3)
    assert found.accounts == 1000
    assert found.is_good
