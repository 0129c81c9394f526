"""What the models, fitted on 39 weeks of CDNOW, say of the 39 weeks after: BTYD's tables and recomputed ones."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from transforms.purchase_models.occasions import BgNbd

NBD = BgNbd(r=0.384766, alpha=12.072023, a=1e-12, b=1.0)  # nobody drops out
WALKTHROUGH = BgNbd(r=0.2425982, alpha=4.4136842, a=0.7929899, b=2.4261667)
WEEKS = (20, 21, 22, 23, 24, 25)


@pytest.fixture
def forecasts(bg_nbd, mbg_nbd, pareto_nbd, calibration):
    models = {"nbd": NBD, "bg": bg_nbd.model, "mbg": mbg_nbd.model, "pareto": pareto_nbd.model}
    return {name: model.expected_occasions(*calibration, 39) for name, model in models.items()}


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("nbd", (1.0410, 0.3622, 0.5568, 2929.8, 0.5834)),
        ("bg", (0.7855, 0.2343, -0.1215, 1653.4, 0.6256)),
        ("mbg", (0.7648, 0.2314, -0.1622, 1576.7, 0.6273)),
        ("pareto", (0.7545, 0.2377, -0.1150, 1665.5, 0.6302)),
    ],
)
def test_the_forecast_errs_as_recomputed(forecasts, later, name, published):
    forecast = forecasts[name]
    mean_error = np.abs(forecast - later).mean()
    mean_squared_log_error = ((np.log1p(forecast) - np.log1p(later)) ** 2).mean()
    total = forecast.sum()
    bias = total / later.sum() - 1
    correlation = np.corrcoef(forecast, later)[0, 1]
    assert total == pytest.approx(published[3], abs=0.06)
    found = (mean_error, mean_squared_log_error, bias, correlation)
    assert found == pytest.approx((*published[:3], published[4]), abs=6e-5)


@pytest.mark.parametrize(("name", "published"), [("mbg", 1.6072), ("pareto", 1.6028)])
def test_the_root_mean_squared_error_is_as_recomputed(forecasts, later, name, published):
    assert np.sqrt(((forecasts[name] - later) ** 2).mean()) == pytest.approx(published, abs=6e-5)


def test_bg_nbd_and_pareto_nbd_forecast_alike(forecasts):
    assert np.corrcoef(forecasts["bg"], forecasts["pareto"])[0, 1] == pytest.approx(0.99553, abs=6e-6)


@pytest.mark.parametrize(
    ("name", "published", "digits"),
    [
        ("bg", [0.2251, 0.5231, 1.0441, 1.5203, 2.1638, 2.6538, 3.5040, 6.1570], 3e-4),
        ("pareto", [0.138, 0.600, 1.196, 1.714, 2.399, 2.907, 3.819, 6.403], 1e-3),
    ],
)
def test_the_forecast_rises_with_earlier_orders_as_in_the_walkthrough(forecasts, calibration, name, published, digits):
    assert _means(forecasts[name], calibration) == pytest.approx(published, abs=digits)


def test_the_orders_that_came_rise_with_earlier_ones_as_in_the_walkthrough(later, calibration):
    published = [0.237, 0.697, 1.393, 1.560, 2.532, 2.947, 3.862, 6.359]
    assert _means(later, calibration) == pytest.approx(published, abs=6e-4)


def _means(values, calibration):
    group = np.minimum(calibration[0], 7)
    return [values[group == days].mean() for days in range(8)]


def test_repeat_orders_of_the_cohort_add_up_as_in_the_walkthrough(cdnow_days):
    repeats = cdnow_days.filter(pl.col("order_day") > pl.col("first_day"))
    days = (repeats["order_day"] - date(1997, 1, 1)).dt.total_days().to_numpy()
    found = [int((days < 7 * week).sum()) for week in (*WEEKS, 39, 78)]
    assert found == [1359, 1414, 1484, 1517, 1573, 1672, 2457, 4339]


def test_bg_nbd_tracks_the_cohort_as_in_the_walkthrough(bg_nbd, calibration):
    published = [1312.458, 1387.346, 1460.392, 1531.713, 1601.418, 1669.6]
    assert [_tracked(WALKTHROUGH, calibration, week) for week in WEEKS] == pytest.approx(published, abs=2e-3)
    found = [_tracked(bg_nbd.model, calibration, week) for week in (39, 78)]
    assert found == pytest.approx([2501.53, 4165.66], abs=0.02)
    assert found[1] / 4339 - 1 == pytest.approx(-0.040, abs=5e-4)


def test_pareto_nbd_tracks_the_cohort_as_in_the_walkthrough(pareto_nbd, calibration):
    walkthrough = [
        1308.856,
        1385.275,
        1459.923,
        1532.906,
        1604.32,
        1674.253,
    ]  # parameters not printed in full
    found = [_tracked(pareto_nbd.model, calibration, week) for week in (*WEEKS, 78)]
    assert found[:6] == pytest.approx(walkthrough, abs=0.1)
    assert [found[0], found[5], found[6]] == pytest.approx([1308.912, 1674.321, 4275.39], abs=0.01)
    assert found[6] / 4339 - 1 == pytest.approx(-0.015, abs=5e-4)


def _tracked(model, calibration, week):
    """Expected repeats of all customers from the start of 1997 to the end of the week."""
    _, _, tenure = calibration
    since_first = np.maximum(week - (tenure.max() - tenure), 0)
    new = np.zeros(len(tenure))
    return model.expected_occasions(new, new, new, since_first).sum()
