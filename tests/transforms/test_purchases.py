"""What a run says of purchase models that could not be fitted."""

from tests.night import MODELS
from transforms.purchase_models.fits import Fit, LineFit
from transforms.purchases import PurchaseModels, unfitted


def test_lines_whose_models_could_not_be_fitted_are_told_with_what_follows():
    good = MODELS.occasions["law"].model
    assert good
    attempt = Fit(good, log_likelihood=-1.0, accounts=1_234, converged=True, at_bound=True)
    occasions = {"law": LineFit(good, "own", None), "shop": LineFit(None, "none", attempt)}
    last = MODELS.values["law"].model
    values = {"law": LineFit(last, "last_good", None), "shop": LineFit(last, "pooled", None)}
    assert unfitted(PurchaseModels(occasions, values)) == [
        "line shop: no model of purchase occasions could be fitted on its 1,234 accounts, so that p_alive (but under a "
        "contract), expected_order_days_12m and clv_12m are unknown",
        "line law: no model of purchase values could be fitted on its 0 accounts, so that its last good one stands, for "
        "expected_order_value and clv_12m",
    ]
    assert unfitted(MODELS) == []
