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
        "no model of purchase occasions could be fitted for the line shop, so that p_alive (but under a contract), "
        "expected_order_days_12m and clv_12m are unknown",
        "no model of purchase values could be fitted for the line law, so that its last good one stands, for "
        "expected_order_value and clv_12m",
    ]
    assert unfitted(MODELS) == []


def test_of_many_lines_a_few_are_named_and_those_cut_where_they_are_long():
    names = ["a", "b" * 100_000, "c\x1b[31m\n", *map(str, range(9))]
    (told,) = unfitted(PurchaseModels({name: LineFit(None, "none", None) for name in names}, {}))
    assert f"for the line a, {'b' * 60}..., c\ufffd[31m , 0, 1 and 7 more, so that" in told
