"""MBG/NBD, BG/NBD, Pareto/NBD and sBG against their definitions."""

import math
import warnings
from dataclasses import astuple

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transforms.purchase_models import oracle, simulated
from transforms.purchase_models.occasions import (
    HISTORY,
    BgNbd,
    MbgNbd,
    ParetoNbd,
    Sbg,
    fit_bg_nbd,
    fit_mbg_nbd,
    fit_pareto_nbd,
    purchase_outlook,
)

CDNOW = (0.525, 6.183, 0.891, 1.614)
HISTORIES = [
    (0, 0.0, 0.0, 52),
    (0, 0.0, 38.857, 52),
    (1, 12.0, 12.0, 52),
    (1, 1 / 7, 12.0, 0.5),
    (5, 10.0, 50.0, 52),
    (26, 30.857, 31.0, 39),
]
BETA_GEOMETRIC = [
    kind(*parameters)
    for kind in (MbgNbd, BgNbd)
    for parameters in (CDNOW, (0.5, 6.0, 1.0, 1.6), (2.0, 0.5, 0.3, 0.9), (1.5, 20.0, 8.0, 300.0))
]
PARETO = [
    ParetoNbd(0.553, 10.578, 0.606, 11.669),
    ParetoNbd(0.8, 20.0, 1.0, 5.0),
    ParetoNbd(1.4, 3.0, 2.3, 40.0),
]


def columns(*histories):
    """x, t_x, T as arrays, one account for each history."""
    x, t_x, T = zip(*histories, strict=True)
    return np.array(x), np.array(t_x, float), np.array(T, float)


def judged(model, x, t_x, T, weeks):
    """Log-likelihood, p_alive and expected occasions of one account."""
    history = columns((x, t_x, T))
    found = model.log_likelihood(*history), model.p_alive(*history), model.expected_occasions(*history, weeks)
    return [float(each[0]) for each in found]


@pytest.mark.parametrize("model", BETA_GEOMETRIC, ids=str)
@pytest.mark.parametrize("history", HISTORIES, ids=str)
def test_dropping_out_at_a_purchase_is_what_its_story_says(model, history):
    assert judged(model, *history) == pytest.approx(oracle.beta_geometric(model, *history), rel=2e-6, abs=1e-9)


@pytest.mark.parametrize("model", PARETO, ids=str)
@pytest.mark.parametrize("history", HISTORIES, ids=str)
def test_dropping_out_at_any_moment_is_what_its_story_says(model, history):
    assert judged(model, *history) == pytest.approx(oracle.pareto(model, *history), rel=2e-6, abs=1e-9)


@pytest.mark.parametrize(
    "model",
    [
        ParetoNbd(0.7, 5220.6, 1.0, 2.61),
        ParetoNbd(0.7, 3000.0, 2.0, 0.5),
        ParetoNbd(2.0, 1.4047125613375067, 0.45591318455741775, 3549.2666655310463),
        ParetoNbd(2.0, 0.4277358352551862, 0.13651483338167417, 2144.827346888135),
    ],
    ids=str,
)
def test_whole_shapes_and_very_unlike_scales_do_not_lose_the_chance_to_be_alive(model):
    alive = model.p_alive(*columns((0, 0.0, 10.0)))[0]
    assert alive == pytest.approx(oracle.pareto(model, 0, 0.0, 10.0, 52)[1], rel=1e-5)


@pytest.mark.parametrize("renewals", [0, 1, 2, 7, 40])
def test_survival_of_contracts_is_what_its_story_says(renewals):
    model = Sbg(alpha=0.668, beta=3.806)
    survival = model.survival(40)
    assert len(survival) == 41
    assert survival[renewals] == pytest.approx(oracle.sbg_survival(model, renewals), rel=1e-9)


shapes = st.floats(0.05, 20)
beta_geometric_models = st.builds(
    lambda kind, *parameters: kind(*parameters),
    st.sampled_from([MbgNbd, BgNbd]),
    shapes,
    st.floats(0.5, 200),
    shapes,
    st.floats(0.05, 200),
)
pareto_models = st.builds(ParetoNbd, shapes, st.floats(0.5, 80), shapes, st.floats(0.5, 80))
models = beta_geometric_models | pareto_models


@st.composite
def possible_histories(draw):
    """An account of 0 to 10 years that bought on no more days than there were."""
    tenure = draw(st.integers(0, 3650))
    repeats = draw(st.integers(0, min(tenure, 400)))
    last = draw(st.integers(repeats, tenure)) if repeats else 0
    return repeats, last / 7, tenure / 7


@given(model=beta_geometric_models, history=possible_histories())
def test_slopes_are_those_of_the_log_likelihood(model, history):
    here = columns(history)
    for position, slope in enumerate(model.slopes(*here)):
        values = list(astuple(model))
        step = values[position] * 1e-5
        sides = []
        for sign in (1, -1):
            moved = values.copy()
            moved[position] += sign * step
            sides.append(type(model)(*moved).log_likelihood(*here)[0])
        measured = (sides[0] - sides[1]) / (2 * step)
        assert slope[0] == pytest.approx(measured, rel=1e-4, abs=1e-5 * max(1, abs(sides[0])))


@given(model=models, history=possible_histories())
def test_p_alive_is_a_probability_and_the_expectation_at_most_that_of_an_account_that_stays(model, history):
    here = columns(history)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alive, expected = model.p_alive(*here)[0], model.expected_occasions(*here, 52)[0]
    x, _, T = history
    assert 0 <= alive <= 1
    assert 0 <= expected <= alive * 52 * (model.r + x) / (model.alpha + T) * (1 + 1e-9)


@given(model=models, history=possible_histories(), earlier=st.floats(0, 1))
def test_p_alive_falls_with_the_time_since_the_last_order(model, history, earlier):
    x, t_x, T = history
    later_last, earlier_last = model.p_alive(*columns((x, t_x, T), (x, t_x * earlier, T)))
    assert earlier_last <= later_last * (1 + 1e-9)


@given(model=models, history=possible_histories(), more=st.floats(0, 200))
def test_p_alive_falls_with_silence_after_the_last_order(model, history, more):
    x, t_x, T = history
    today, later = model.p_alive(*columns((x, t_x, T), (x, t_x, T + more)))
    assert later <= today * (1 + 1e-9)


@given(model=models, history=possible_histories(), weeks=st.floats(0, 52))
def test_a_longer_time_ahead_is_expected_to_bring_no_fewer_orders(model, history, weeks):
    here = columns(history)
    shorter, longer = (model.expected_occasions(*here, ahead)[0] for ahead in (weeks, 52))
    assert shorter <= longer + 1e-9


@pytest.mark.parametrize("near", [1 - 2e-6, 1 - 1e-7, 1.0, 1 + 1e-9, 1 + 2e-6])
def test_the_expectation_is_smooth_where_its_formula_is_0_over_0(near):
    history = (3, 20.0, 30.0, 52)
    at_one = oracle.beta_geometric(MbgNbd(0.5, 6.0, 1.0, 1.6), *history)[2]
    assert judged(MbgNbd(0.5, 6.0, near, 1.6), *history)[2] == pytest.approx(at_one, rel=1e-5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("b", [0.001, 1.0, 170.0, 1e4])
@pytest.mark.parametrize("a", [0.001, 0.3, 1.0, 170.0, 1e4])
@pytest.mark.parametrize("r", [0.001, 1.0, 300.0])
def test_no_parameter_within_its_bounds_loses_the_expectation(r, a, b):
    model = MbgNbd(r, max(0.25, r / 7), a, b)
    history = columns((0, 0.0, 0.0), (1, 1.0, 1.0), (700, 100.0, 100.0), (3600, 520.0, 520.0))
    for weeks in (1 / 7, 52):
        expected = model.expected_occasions(*history, weeks)
        assert expected == pytest.approx(_in_turn(model, history, weeks), rel=1e-3, abs=1e-5)


def _in_turn(model, history, weeks):
    """Chances that the account would place its next order, the one after, ... if it is still active."""
    expected = []
    for x, _, T in zip(*history, strict=True):
        rate, odds, b = model.r + x, weeks / (model.alpha + T), model.b + x + 1
        alive = model.p_alive(*columns((x, T, T)))[0]  # held to its own oracle above
        orders, log_so_many, stays, at_most, total = 0, -rate * math.log1p(odds), 1.0, 0.0, 0.0
        while at_most < 1 - 1e-13 and stays > 1e-14 and orders < 20_000:
            at_most += math.exp(log_so_many)
            total += (1 - min(at_most, 1)) * stays
            log_so_many += math.log((rate + orders) / (orders + 1) * odds / (1 + odds))
            stays *= (b + orders) / (model.a + b + orders)
            orders += 1
        expected.append(alive * total)
    return expected


def test_a_fit_on_counts_has_the_likelihood_of_the_accounts_one_by_one():
    accounts = simulated.histories(400, seed=1)
    for fit in (fit_mbg_nbd, fit_bg_nbd, fit_pareto_nbd):
        found = fit(accounts)
        one_by_one = [found.model.log_likelihood(*columns(row))[0] for row in accounts.select(HISTORY).iter_rows()]
        assert found.log_likelihood == pytest.approx(math.fsum(one_by_one), rel=1e-12)
        assert found.accounts == 400


@pytest.mark.parametrize("fit", [fit_mbg_nbd, fit_bg_nbd, fit_pareto_nbd])
def test_no_parameter_near_the_fit_is_likelier(fit):
    accounts = simulated.histories(400, seed=1)
    found = fit(accounts)
    history = [accounts[name].to_numpy() for name in HISTORY]
    assert found.is_good
    for position in range(4):
        for factor in (0.98, 1.02):
            values = list(astuple(found.model))
            values[position] *= factor
            assert type(found.model)(*values).log_likelihood(*history).sum() < found.log_likelihood


def test_the_fit_comes_close_to_the_parameters_that_made_the_histories():
    found = fit_mbg_nbd(simulated.histories(4000, seed=3, model=(0.8, 9.0, 0.7, 2.0))).model
    assert astuple(found) == pytest.approx((0.8, 9.0, 0.7, 2.0), rel=0.25)


@pytest.mark.parametrize(
    ("accounts", "last", "tenure", "lower_top", "higher_by"),
    [
        ([66, 7, 8, 5, 4, 1], [0, 29, 36, 37, 50, 65], 100, (0.93712, 11.19683, 0.94205, 0.45160), 1.695),
        ([190, 7, 9, 11, 10, 2], [0, 5, 18, 19, 27, 45], 50, (0.06521, 1.51929, 9.13707, 53.81229), 10.608),
    ],
)
def test_of_two_tops_of_the_likelihood_the_higher_one_is_found(accounts, last, tenure, lower_top, higher_by):
    rows = [
        (x, float(t_x), float(tenure))
        for x, t_x, count in zip([0, 1, 2, 4, 10, 30], last, accounts, strict=True)
        for _ in range(count)
    ]
    found = fit_mbg_nbd(pl.DataFrame(rows, schema=HISTORY, orient="row"))
    assert found.is_good
    lower = MbgNbd(*lower_top).log_likelihood(*columns(*rows)).sum()
    assert found.log_likelihood - lower == pytest.approx(higher_by, abs=1e-2)


@pytest.mark.parametrize("fit", [fit_mbg_nbd, fit_pareto_nbd])
def test_the_order_of_rows_does_not_change_a_digit_of_the_fit(fit):
    accounts = simulated.histories(300, seed=2)
    assert fit(accounts.sample(fraction=1, shuffle=True, seed=5)) == fit(accounts)


def test_every_account_twice_has_the_same_parameters_and_twice_the_log_likelihood():
    accounts = simulated.histories(300, seed=2)
    once, twice = fit_mbg_nbd(accounts), fit_mbg_nbd(pl.concat([accounts, accounts]))
    assert astuple(twice.model) == pytest.approx(astuple(once.model), rel=1e-4)
    assert (twice.log_likelihood, twice.accounts) == (pytest.approx(2 * once.log_likelihood), 600)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "history",
    [
        pytest.param((0, 0.0, 30.0), id="nobody came back"),
        pytest.param((0, 0.0, 0.0), id="all bought today for the first time"),
        pytest.param((20, 40.0, 40.0), id="all buy all the time"),
    ],
)
@pytest.mark.parametrize("fit", [fit_mbg_nbd, fit_bg_nbd, fit_pareto_nbd])
def test_histories_that_do_not_determine_the_parameters_are_flagged(fit, history):
    found = fit(pl.DataFrame([history] * 300, schema=HISTORY, orient="row"))
    assert found.at_bound
    assert not found.is_good


MODELS = {"shop": MbgNbd(*CDNOW), "advice": PARETO[0]}


def test_each_account_is_judged_by_the_model_of_its_line():
    rows = [("a", "shop", 2, 30.0, 38.0), ("b", "advice", 2, 30.0, 38.0), ("c", "shop", 0, 0.0, 9.0)]
    found = purchase_outlook(pl.DataFrame(rows, schema=["account_id", "line", *HISTORY], orient="row"), MODELS)
    by_hand = [
        oracle.beta_geometric(MODELS["shop"], 2, 30.0, 38.0, 52),
        oracle.pareto(MODELS["advice"], 2, 30.0, 38.0, 52),
        oracle.beta_geometric(MODELS["shop"], 0, 0.0, 9.0, 52),
    ]
    assert found.drop("p_alive", "expected_order_days_12m").rows() == rows
    assert found["p_alive"].to_list() == pytest.approx([each[1] for each in by_hand], rel=1e-6)
    assert found["expected_order_days_12m"].to_list() == pytest.approx([each[2] for each in by_hand], rel=1e-6)


def test_without_an_order_or_a_model_the_outlook_is_null():
    rows = [("prospect", "shop", None, None, None), ("b", "new line", 1, 2.0, 3.0)]
    found = purchase_outlook(pl.DataFrame(rows, schema=["account_id", "line", *HISTORY], orient="row"), MODELS)
    assert found.rows() == [(*rows[0], None, None), (*rows[1], None, None)]


def test_no_accounts_have_an_outlook_of_no_rows():
    found = purchase_outlook(simulated.histories(1, seed=0).clear(), MODELS)
    assert found.schema["p_alive"] == found.schema["expected_order_days_12m"] == pl.Float64
    assert found.height == 0


@given(rows=st.lists(st.tuples(possible_histories(), st.sampled_from(sorted(MODELS))), min_size=1, max_size=40))
def test_one_account_s_outlook_does_not_depend_on_the_others(rows):
    accounts = pl.DataFrame([(line, *history) for history, line in rows], schema=["line", *HISTORY], orient="row")
    together = purchase_outlook(accounts, MODELS)
    alone = pl.concat([purchase_outlook(accounts[row], MODELS) for row in range(accounts.height)])
    assert together.equals(alone)
    assert purchase_outlook(accounts.reverse(), MODELS).reverse().equals(alone)
