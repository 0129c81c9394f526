"""Which model a line of business uses: its own, that of the small lines together, or the last good one."""

from dataclasses import astuple

import polars as pl
import pytest

from tests.transforms.purchase_models import simulated
from transforms.purchase_models import fits
from transforms.purchase_models.fits import LineFit, fits_by_line
from transforms.purchase_models.occasions import HAS_ORDERED, HISTORY, BgNbd, fit_bg_nbd, fit_sbg
from transforms.purchase_models.values import fit_gamma_gamma

LAST = BgNbd(0.243, 4.414, 0.793, 2.426)
COLUMNS = ["account_id", "line", *HISTORY]


def by_line(*frames, last_good=None):
    return fits_by_line(pl.concat(frames), fit_bg_nbd, HAS_ORDERED, last_good or {})


def same_history(line, count, history):
    rows = [(f"{line}-{number}", line, *history) for number in range(count)]
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def test_a_line_of_200_accounts_is_fitted_on_its_own_and_smaller_ones_together():
    large = simulated.histories(200, seed=1, line="large")
    small = [simulated.histories(199, seed=2, line="b"), simulated.histories(20, seed=3, line="a")]
    found = by_line(large, *small)
    own, pooled = fit_bg_nbd(large), fit_bg_nbd(pl.concat(small))
    assert own.is_good
    assert pooled.is_good
    assert found == {
        "a": LineFit(pooled.model, "pooled", pooled),
        "b": LineFit(pooled.model, "pooled", pooled),
        "large": LineFit(own.model, "own", own),
    }


def test_small_lines_that_are_under_200_accounts_together_use_a_fit_on_all_lines():
    large = simulated.histories(300, seed=1, line="large")
    small = [simulated.histories(150, seed=2, line="a"), simulated.histories(49, seed=3, line="b")]
    found = by_line(large, *small)
    pooled = fit_bg_nbd(pl.concat([large, *small]))
    assert {line: each.origin for line, each in found.items()} == {
        "a": "pooled",
        "b": "pooled",
        "large": "own",
    }
    assert found["a"].attempt == found["b"].attempt == pooled
    assert found["large"].attempt == fit_bg_nbd(large)


def test_a_business_of_few_accounts_is_fitted_on_all_of_them():
    few = simulated.histories(120, seed=1)
    assert by_line(few) == {"all": LineFit(fit_bg_nbd(few).model, "pooled", fit_bg_nbd(few))}


def test_accounts_without_an_order_do_not_count():
    ordered = simulated.histories(199, seed=1, line="line")
    prospects = same_history("line", 50, (None, None, None)).cast(ordered.schema)
    found = by_line(ordered, prospects)["line"]
    assert (found.origin, found.attempt) == ("pooled", fit_bg_nbd(ordered))


@pytest.mark.parametrize(
    ("last_good", "model", "origin"), [({"quiet": LAST}, LAST, "last_good"), ({"other": LAST}, None, "none")]
)
def test_a_fit_at_its_bound_keeps_the_line_s_last_good_model(last_good, model, origin):
    quiet = same_history("quiet", 250, (0, 0.0, 30.0))
    found = by_line(quiet, last_good=last_good)["quiet"]
    assert (found.model, found.origin) == (model, origin)
    assert found.attempt == fit_bg_nbd(quiet)
    assert found.attempt.at_bound


def test_a_good_fit_replaces_the_last_good_model():
    accounts = simulated.histories(300, seed=1)
    found = by_line(accounts, last_good={"all": LAST})["all"]
    assert (found.model, found.origin) == (fit_bg_nbd(accounts).model, "own")


def test_a_line_of_prospects_uses_the_fit_on_the_lines_with_orders():
    accounts = simulated.histories(300, seed=1, line="orders")
    prospects = same_history("talks", 3, (None, None, None)).cast(accounts.schema)
    found = by_line(accounts, prospects)
    assert (found["talks"].model, found["talks"].origin) == (fit_bg_nbd(accounts).model, "pooled")


def test_without_any_account_to_fit_on_the_last_good_models_stay():
    prospects = [same_history(line, 3, (None, None, None)) for line in ("a", "b")]
    found = by_line(*prospects, last_good={"a": LAST})
    assert found == {"a": LineFit(LAST, "last_good", None), "b": LineFit(None, "none", None)}


REPEATED = simulated.histories(400, seed=1).filter(pl.col("repeat_order_days") > 0)
SPENT = REPEATED.with_columns(mean_repeat_value=20.0 + pl.int_range(pl.len()) * 37 % 101)


@pytest.mark.parametrize(
    ("fit", "known"),
    [(fit_bg_nbd, REPEATED), (fit_gamma_gamma, SPENT), (fit_sbg, [1000, 869, 743, 653, 593])],
    ids=["occasions", "values", "renewals"],
)
def test_histories_taken_a_few_at_a_time_give_the_model_of_all_at_once(monkeypatch, fit, known):
    whole = fit(known)
    monkeypatch.setattr(fits, "AT_ONCE", 3)
    pieced = fit(known)
    assert astuple(pieced.model) == pytest.approx(astuple(whole.model), rel=1e-5)
    assert pieced.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-10)
