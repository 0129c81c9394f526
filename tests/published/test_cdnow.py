"""The data are prepared as the publications did: everything else here stands on these counts."""

import pytest


def test_the_file_has_6919_orders_of_2357_customers_on_6696_days(cdnow_rows, cdnow_days):
    assert (cdnow_rows.height, cdnow_rows["account_id"].n_unique(), cdnow_days.height) == (6919, 2357, 6696)


def test_repeat_order_days_have_the_published_histogram(calibration):
    x, _, _ = calibration
    counts = [int((x == days).sum()) for days in range(7)] + [int((x >= 7).sum())]
    assert counts == [1411, 439, 214, 100, 62, 38, 29, 64]
    assert (x.sum(), x.max()) == (2457, 29)


def test_tenure_runs_from_27_to_38_857_weeks(calibration):
    _, _, T = calibration
    assert (T.min(), T.max()) == pytest.approx((27, 38.857), abs=1e-3)


def test_the_holdout_has_1882_order_days(later):
    assert later.sum() == 1882


@pytest.mark.parametrize(("account_id", "history"), [("0001", (2, 30.42857, 38.85714)), ("1516", (26, 30.85714, 31.0))])
def test_a_customer_has_the_published_history(histories, account_id, history):
    _, *found = histories.filter(account_id=account_id).row(0)
    assert found[:3] == pytest.approx(history, abs=1e-5)
