"""MBG/NBD on CDNOW: Batislam and others (2007) as BTYDplus and lifetimes print it, and recomputed figures."""

from dataclasses import astuple

import numpy as np
import pytest

from transforms.purchase_models.occasions import BgNbd


def test_the_fit_finds_the_published_parameters(mbg_nbd):
    assert astuple(mbg_nbd.model) == pytest.approx((0.525, 6.183, 0.891, 1.614), abs=5e-4)
    assert astuple(mbg_nbd.model) == pytest.approx((0.5248431, 6.1830843, 0.8913595, 1.6140024), rel=1e-5)
    assert mbg_nbd.log_likelihood == pytest.approx(-9582.1357, abs=1e-3)
    assert mbg_nbd.accounts == 2357
    assert mbg_nbd.is_good


def test_one_order_is_no_certainty(bg_nbd, mbg_nbd, pareto_nbd):
    one_order = (np.array([0]), np.array([0.0]), np.array([38.857]))
    found = [fit.model.p_alive(*one_order)[0] for fit in (bg_nbd, mbg_nbd, pareto_nbd)]
    assert found == pytest.approx([1.0, 0.38972, 0.29511], abs=1e-5)


def test_without_drop_out_the_likelihood_is_the_one_of_the_nbd(calibration):
    nbd = BgNbd(r=0.384766, alpha=12.072023, a=1e-12, b=1.0)
    assert nbd.log_likelihood(*calibration).sum() == pytest.approx(-9763.6576, abs=1e-3)
