"""Frames of the shapes that the transforms take, of which only what matters is said."""

from datetime import date
from functools import cache
from typing import Any

import polars as pl

from config.catalogue import FEATURES
from tests.night import memory, statistics
from transforms.features import POLARS_TYPES

Row = dict[str, Any]

UNITS = {feature.name: feature.unit for feature in FEATURES}


@cache
def _account_lines() -> dict[str, Any]:
    return dict(statistics(memory(), [], [], date(2026, 1, 1)).schema)


def statistic_frame(*rows: Row) -> pl.DataFrame:
    """Rows of `account_lines`: a count that is not given is 0, all else unknown."""
    schema = _account_lines()
    counts = {name: 0 for name, kind in schema.items() if kind.is_integer() or kind == pl.Float64}
    counts["prepaid_booked_12m"] = 0
    expected = dict.fromkeys(["model_p_alive", "model_expected_order_days", "model_order_value"]) | {
        "margin_share": 1.0
    }
    nothing = dict.fromkeys(schema) | {"account_id": "A", "line": "all"} | counts | expected
    schema = schema | dict.fromkeys(expected, pl.Float64)
    assert all(set(row) <= set(schema) for row in rows), set().union(*rows) - set(schema)
    return pl.DataFrame([nothing | row for row in rows], schema=schema)


def feature_frame(*rows: Row) -> pl.DataFrame:
    """Rows of features: what is not given is unknown."""
    schema = {"account_id": pl.String, "line": pl.String} | {name: POLARS_TYPES[unit] for name, unit in UNITS.items()}
    nothing = dict.fromkeys(schema) | {"account_id": "A", "line": "all"}
    assert all(set(row) <= set(schema) for row in rows), set().union(*rows) - set(schema)
    return pl.DataFrame([nothing | row for row in rows], schema=schema)
