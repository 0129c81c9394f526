"""Who would move, and by what."""

import polars as pl

from transforms.comparison import movers, moves


def side(*rows: tuple) -> pl.DataFrame:
    """Rows of account, segment, revenue, base, and the contributions of tenure and satisfaction."""
    names = (
        "account_id",
        "segment",
        "revenue_12m",
        "base_points",
        "tenure_days_contribution",
        "satisfaction_contribution",
    )
    schema = dict.fromkeys(names, pl.Float64) | {"account_id": pl.String, "segment": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        line=pl.lit("all"), score=pl.col("base_points") * 10
    )


FEATURES = ("tenure_days", "satisfaction")


def moved(ours: pl.DataFrame, theirs: pl.DataFrame, our=FEATURES, their=FEATURES) -> list[tuple]:
    return movers(ours, theirs, our, their).select("account_id", "segment", "segment_then", "moved_by").rows()


def test_who_keeps_its_segment_does_not_move():
    both = side(("A", "client", 5, 0, 1, 1), ("B", "customer", 5, 0, 0, 0))
    assert moved(both, both) == []


def test_what_moves_an_account_is_what_pushes_it_most_the_way_it_goes():
    ours = side(("A", "customer", 9, 0, 1, 1), ("B", "client", 8, 0, 1, 1), ("C", "customer", 7, 0, 1, 1))
    theirs = side(("A", "client", 9, 0.1, 1.5, -3), ("B", "customer", 8, 0.5, 2, 0.9), ("C", "client", 7, 5, 1.5, 1))
    assert moved(ours, theirs) == [
        ("A", "customer", "client", "tenure_days"),
        ("B", "client", "customer", "satisfaction"),
        ("C", "customer", "client", "base"),
    ]


def test_a_feature_of_one_ruler_alone_counts_nothing_in_the_other():
    ours = side(("A", "customer", 9, 0, 0.5, 0))
    theirs = side(("A", "client", 9, 0, 0.5, 2))
    assert moved(ours, theirs, our=("tenure_days",)) == [("A", "customer", "client", "satisfaction")]
    assert moved(ours, theirs, their=("tenure_days",)) == [("A", "customer", "client", "rules")]


def test_where_no_contribution_moves_it_the_rules_do():
    assert moved(side(("A", "customer", 9, 0, 1, 1)), side(("A", "client", 9, 0, 1, 1))) == [
        ("A", "customer", "client", "rules")
    ]


def test_an_account_that_is_not_there_on_one_side_moves_too_the_one_with_the_most_revenue_first():
    ours, theirs = side(("A", "client", 5, 0, 1, 1)), side(("B", "customer", 6, 0, 1, 1))
    assert moved(ours, theirs) == [("B", None, "customer", "rules"), ("A", "client", None, "rules")]


def test_moves_add_up_accounts_and_revenue():
    ours = side(("A", "customer", 9, 0, 0, 0), ("B", "customer", 8, 0, 0, 0), ("C", "client", 1, 0, 0, 0))
    theirs = side(("A", "client", 9, 1, 0, 0), ("B", "client", 8, 1, 0, 0), ("C", "customer", 1, -1, 0, 0))
    assert moves(movers(ours, theirs, FEATURES, FEATURES)).rows() == [
        ("all", "client", "customer", 1, 1.0),
        ("all", "customer", "client", 2, 17.0),
    ]
