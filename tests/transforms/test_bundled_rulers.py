"""The rulers that come with the product: what each of them says of accounts that are plain cases."""

from collections.abc import Collection
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from config.scoring import Ruler
from config.tables import ORDERS
from tests.night import EVERYTHING, MODELS, memory, night, statistics
from tests.rows import Row, engagement, numbered, order
from transforms.features import relationship_features
from transforms.purchases import with_outlook
from transforms.score import scores

AS_OF = date(2026, 3, 31)
ORDERS_ALONE = frozenset(column.name for column in ORDERS)
FILES = sorted((Path(__file__).parents[2] / "config/scoring").glob("*.yaml"))


@pytest.fixture(scope="module")
def con():
    return memory()


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def ruler(request) -> Ruler:
    return Ruler.model_validate(yaml.safe_load(request.param.read_text()))


def ordered(account: str, amount: int, *ages: int, **more: Any) -> list[Row]:
    """Orders of one amount, so many days ago."""
    return [order(AS_OF - timedelta(days=age), account_id=account, amount=amount, **more) for age in ages]


def scored(con, ruler: Ruler, orders: list[Row], recorded: Collection[str] = EVERYTHING) -> dict[str, Row]:
    """The scores of accounts with these orders, by account."""
    known = statistics(con, numbered(orders), [], AS_OF)
    outlook = with_outlook(known, MODELS, AS_OF).with_columns(margin_share=1.0)
    found = scores(relationship_features(outlook.lazy(), AS_OF, recorded), ruler).collect()
    return {row["account_id"]: row for row in found.to_dicts()}


MONTHLY = range(0, 36 * 30, 30)
IN_BURSTS = [burst + day for burst in (20, 400, 900) for day in range(12)]


def test_many_regular_valuable_orders_over_years_score_above_as_many_small_irregular_ones(con, ruler):
    both = ordered("regular", 2_000, *MONTHLY) + ordered("irregular", 20, *IN_BURSTS)
    found = scored(con, ruler, both, ORDERS_ALONE)
    assert found["regular"]["order_days"] == found["irregular"]["order_days"]
    assert found["regular"]["score"] > found["irregular"]["score"] + 10


def test_orders_alone_leave_out_the_dimensions_that_are_not_recorded_and_lower_the_evidence(con, ruler):
    orders = ordered("A", 2_000, *MONTHLY)
    alone = scored(con, ruler, orders, ORDERS_ALONE)["A"]
    assert [alone[f"{dimension}_points"] for dimension in ("two_way", "involvement", "advocacy")] == [0, 0, 0]
    assert alone["evidence"] < scored(con, ruler, orders)["A"]["evidence"] < 1


def test_one_order_never_makes_a_client_however_great_and_with_however_much_contact(con, ruler):
    contract = {"is_recurring": True, "is_custom": True, "is_service": True, "term_months": 24, "handler": "h1"}
    segments = segments_of(con, ruler, ordered("A", 900_000, 400, **contract))
    assert segments["score"].min() > ruler.verdict.enter
    assert segments["raw_segment"].to_list() == ["customer", "customer"]


def test_heavy_engagement_without_an_order_makes_a_prospect(con, ruler):
    segments = segments_of(con, ruler, [])
    assert segments["raw_segment"].to_list() == ["prospect", "prospect"]


def segments_of(con, ruler: Ruler, orders: list[Row]) -> pl.DataFrame:
    """The verdicts of account A, by line and as a whole, with a consultation every five days for a year."""
    days = [AS_OF - timedelta(days=age) for age in range(0, 365, 5)]
    met = [engagement(day, kind="consultation", direction="mutual", contact="p1", handler="h1") for day in days]
    return night(con, numbered(orders), numbered(met), AS_OF, ruler).segments
