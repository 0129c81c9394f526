"""Calibrating a ruler on labels: the fit is the optimum that it says, and its quality is of labels that it has not seen."""

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from config.scoring import Ruler
from tests.rulers import ruler as any_ruler
from transforms.calibration import (
    LEAST_WEIGHT,
    calibrated_ruler,
    quality,
)

AS_OF = date(2026, 1, 31)
RULER = any_ruler(
    base=-0.5,
    active_month_share=(1.0, 0.5, 0.25),
    reciprocity=(0.5, 0.5, 0.25),
    self_service_share=(-0.5, 0.5, 0.25),
)
NAMES = list(RULER.features)


def drawn(count: int, base: float, *weights: float, seed: int = 1, days: int = 1) -> pl.DataFrame:
    """Labels of as many accounts, whose chance to be a client is that of these weights."""
    random = np.random.default_rng(seed)
    readings = random.uniform(-2, 2, (count, len(NAMES)))
    chance = 1 / (1 + np.exp(-(base + readings @ np.array(weights))))
    return pl.DataFrame(
        {
            "account_id": [f"A{row}" for row in range(count)],
            "labelled_on": [AS_OF - timedelta(days=int(row * days / count)) for row in range(count)],
            "is_client": random.uniform(size=count) < chance,
            **{name: 0.5 + 0.25 * readings[:, place] for place, name in enumerate(NAMES)},
        }
    )


def weights(ruler: Ruler) -> list[float]:
    return [gauge.weight for gauge in ruler.features.values()]


def probabilities(labelled: pl.DataFrame, ruler: Ruler) -> list[tuple[float, bool]]:
    """The chance that a ruler gives each label, in plain Python, and what it is."""
    found = []
    for row in labelled.to_dicts():
        log_odds = ruler.base
        for name, gauge in ruler.features.items():
            value = row[name]
            steps = 0.0 if value is None else (value - gauge.neutral) / gauge.scale
            log_odds += gauge.weight * max(-2.0, min(2.0, steps))
        found.append((1 / (1 + math.exp(-log_odds)), row["is_client"]))
    return found


def penalised_loss(labelled: pl.DataFrame, ruler: Ruler, ridge: float) -> float:
    missed = -sum(math.log(chance if is_client else 1 - chance) for chance, is_client in probabilities(labelled, ruler))
    pairs = zip([ruler.base, *weights(ruler)], [RULER.base, *weights(RULER)], strict=True)
    return missed + ridge / 2 * sum((new - old) ** 2 for new, old in pairs)


def moved(ruler: Ruler, base: float = 0.0, **steps: float) -> Ruler:
    features = {
        name: gauge.model_copy(update={"weight": gauge.weight + steps.get(name, 0.0)})
        for name, gauge in ruler.features.items()
    }
    return ruler.model_copy(update={"base": ruler.base + base, "features": features})


def test_many_labels_give_the_weights_that_they_were_drawn_by():
    found = calibrated_ruler(drawn(10_000, 0.8, 0.4, 1.2, -1.5), RULER, AS_OF)
    assert found.ruler.base == pytest.approx(0.8, abs=0.12)
    assert weights(found.ruler) == pytest.approx([0.4, 1.2, -1.5], abs=0.12)
    assert (found.labels, found.accounts, found.ruler.origin) == (10_000, 10_000, "calibrated")


@pytest.mark.parametrize(("count", "seed"), [(40, 0), (300, 1), (300, 2)])
def test_no_ruler_nearby_fits_better(count, seed):
    labelled = drawn(count, -1.0, 0.8, 0.1, -0.9, seed=seed)
    found = calibrated_ruler(labelled, RULER, AS_OF)
    least = penalised_loss(labelled, found.ruler, found.ridge)
    for step in (-0.03, 0.03):
        assert penalised_loss(labelled, moved(found.ruler, base=step), found.ridge) > least
        for name in NAMES:
            assert penalised_loss(labelled, moved(found.ruler, **{name: step}), found.ridge) > least


def test_few_labels_change_less_than_many():
    few, many = (calibrated_ruler(drawn(count, 1.0, 0.5, 2.0, -0.1), RULER, AS_OF) for count in (40, 4_000))
    assert few.ridge >= 10 > many.ridge
    assert abs(few.ruler.base - RULER.base) < abs(many.ruler.base - RULER.base)
    assert RULER.features["reciprocity"].weight < weights(few.ruler)[1] < weights(many.ruler)[1]


def test_labels_that_say_what_the_ruler_says_change_little():
    found = calibrated_ruler(drawn(400, RULER.base, *weights(RULER)), RULER, AS_OF)
    assert weights(found.ruler) == pytest.approx(weights(RULER), abs=0.25)
    assert found.after.log_loss == pytest.approx(found.before.log_loss, abs=0.03)


def test_a_weight_keeps_its_sign():
    found = calibrated_ruler(drawn(500, 0.0, 1.0, -2.0, 1.0), RULER, AS_OF)
    assert weights(found.ruler)[1:] == [LEAST_WEIGHT, -LEAST_WEIGHT]


def test_what_is_unknown_for_all_keeps_its_weight():
    labelled = drawn(300, 0.0, 2.0, 1.0, -1.0).with_columns(reciprocity=pl.lit(None, pl.Float64))
    assert weights(calibrated_ruler(labelled, RULER, AS_OF).ruler)[1] == RULER.features["reciprocity"].weight


def test_labels_that_are_all_told_apart_give_a_ruler_too():
    labelled = drawn(200, 0.0, 1.0, 1.0, -1.0).with_columns(is_client=pl.col("reciprocity") > 0.5)
    found = calibrated_ruler(labelled, RULER, AS_OF)
    assert all(math.isfinite(each) for each in (found.ruler.base, *weights(found.ruler)))
    assert found.after.auc > 0.99


def test_the_order_of_labels_and_the_names_of_accounts_change_nothing():
    labelled = drawn(240, 0.3, 0.7, 0.2, -0.4, days=6)
    found = calibrated_ruler(labelled, RULER, AS_OF)
    assert calibrated_ruler(labelled.sample(fraction=1, shuffle=True, seed=7), RULER, AS_OF) == found
    assert calibrated_ruler(labelled.with_columns(pl.col("account_id").reverse()), RULER, AS_OF) == found


def test_another_ruler_has_another_version_and_the_same_one_the_same():
    one, other = (calibrated_ruler(drawn(200, 0.3, 0.7, 0.2, -0.4, seed=seed), RULER, AS_OF).ruler for seed in (1, 2))
    assert one.version != other.version
    assert calibrated_ruler(drawn(200, 0.3, 0.7, 0.2, -0.4, seed=1), RULER, AS_OF).ruler.version == one.version
    again = calibrated_ruler(drawn(300, 0.3, 0.7, 0.2, -0.4), one, AS_OF).ruler.version
    assert [each.startswith("test-1-calibrated-2026-01-31-") for each in (one.version, other.version, again)] == [
        True
    ] * 3
    assert again.count("calibrated") == 1


def test_a_ruler_is_written_that_can_be_read():
    small = moved(RULER, reciprocity=0.0001 - 0.5)
    found = calibrated_ruler(drawn(300, 0.0, 1.0, -2.0, -1.0), small, AS_OF)
    assert Ruler.model_validate(found.ruler.model_dump()) == found.ruler
    assert found.at_bound == ("reciprocity",)
    assert found.ruler.features["reciprocity"].weight == 0.001


def test_later_labels_are_judged_by_a_fit_to_earlier_ones():
    labelled = drawn(500, 1.0, 0.3, 1.5, -1.0, days=10)
    found = calibrated_ruler(labelled, RULER, AS_OF)
    assert (found.later_than, found.measured_on) == (AS_OF - timedelta(days=2), 100)
    earlier = labelled.filter(pl.col("labelled_on") <= found.later_than)
    later = labelled.filter(pl.col("labelled_on") > found.later_than)
    by_earlier = probabilities(later, calibrated_ruler(earlier, RULER, AS_OF).ruler)
    assert found.after.brier == pytest.approx(
        np.mean([(chance - truth) ** 2 for chance, truth in by_earlier]), abs=1e-3
    )
    before = probabilities(later, RULER)
    assert found.before.brier == pytest.approx(np.mean([(chance - truth) ** 2 for chance, truth in before]))


@pytest.mark.parametrize("labels_each", [1, 12])
def test_labels_of_one_day_are_judged_by_a_fit_to_other_accounts(labels_each):
    noise = pl.concat([drawn(150, 0.0, 0.0, 0.0, 0.0, seed=2)] * labels_each)
    found = calibrated_ruler(noise, RULER, AS_OF)
    assert (found.later_than, found.measured_on, found.accounts) == (None, 150 * labels_each, 150)
    assert found.after.log_loss > math.log(2), "labels by chance cannot be foretold"


def test_accounts_that_were_labelled_before_do_not_measure_the_fit():
    before = drawn(200, 0.5, 1.0, 0.5, -0.5).with_columns(labelled_on=pl.lit(AS_OF - timedelta(days=30)))
    same = drawn(200, 0.5, 1.0, 0.5, -0.5, seed=2).with_columns(labelled_on=pl.lit(AS_OF))
    assert calibrated_ruler(pl.concat([before, same]), RULER, AS_OF).later_than is None
    others = same.with_columns(pl.format("B{}", "account_id").alias("account_id"))
    some = pl.concat([before, same.head(140), others.tail(60)])
    found = calibrated_ruler(some, RULER, AS_OF)
    assert (found.later_than, found.measured_on) == (AS_OF - timedelta(days=30), 60)


@pytest.mark.parametrize(("earlier", "later", "is_told"), [(10, 5, True), (9, 5, False), (10, 4, False)])
def test_with_too_few_of_a_kind_before_or_after_fifths_measure_the_fit(earlier, later, is_told):
    labelled = drawn(100, 0.0, 1.0, 1.0, -1.0).with_columns(
        labelled_on=pl.Series([AS_OF - timedelta(days=9)] * 60 + [AS_OF] * 40),
        is_client=pl.Series([number < earlier for number in range(60)] + [number < later for number in range(40)]),
    )
    assert (calibrated_ruler(labelled, RULER, AS_OF).later_than is not None) == is_told


def test_the_quality_is_what_plain_python_says():
    log_odds = np.array([-3.0, -1.0, -0.2, 0.0, 0.4, 0.4, 2.0, 5.0])
    truth = np.array([0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0])
    chances = [1 / (1 + math.exp(-each)) for each in log_odds]
    given = list(zip(chances, truth, strict=True))
    pairs = [(one, other) for one in log_odds[truth == 1] for other in log_odds[truth == 0]]
    found = quality(log_odds, truth)
    assert found.brier == pytest.approx(np.mean([(chance - is_client) ** 2 for chance, is_client in given]))
    assert found.log_loss == pytest.approx(
        -np.mean([math.log(chance if is_client else 1 - chance) for chance, is_client in given])
    )
    assert found.auc == pytest.approx(sum((one > other) + 0.5 * (one == other) for one, other in pairs) / len(pairs))
    assert [(each.least, each.labels, each.client_share) for each in found.reliability] == [
        (0, 1, 0.0),
        (20, 1, 0.0),
        (40, 4, 0.5),
        (80, 2, 1.0),
    ]
    assert found.reliability[0].mean_score == pytest.approx(100 * chances[0])
