"""segment_summary.sql: segments and stages of a line of business, added up."""

from itertools import permutations

from tests.drawn import Row, drawn, ordered, put, result


def segments(text: str) -> list[Row]:
    """Verdicts: what is not drawn is an active client of long standing with a revenue of 100."""
    days = drawn("as_of segment_since\n2026-03-31 2025-01-01")[0]
    return drawn(text, line="all", segment="client", stage="active", revenue_12m=100, **days)


def summary(text: str) -> list[Row]:
    as_of = drawn("as_of\n2026-03-31")[0]
    nothing = {"revenue_stability": None, "entered_accounts": 0, "left_accounts": 0}
    return ordered(drawn(text, line="all", segment="client", stage="active", accounts=1, **as_of, **nothing))


def test_accounts_and_revenue_are_added_up_by_line_segment_and_stage(con):
    given = """
        account_id  line  segment   stage   revenue_12m
        A           all   client    active  300
        B           all   client    active  100
        C           all   client    new     50
        D           all   customer  active  50
        A           law   client    active  20
        A           *     client    active  320
    """
    put(con, "account_segments", segments(given))
    expected = """
        line  segment   stage   accounts  revenue_12m  revenue_share
        all   client    active  2         400          0.8
        all   client    new     1         50           0.1
        all   customer  active  1         50           0.1
        law   client    active  1         20           1.0
        *     client    active  1         320          1.0
    """
    found = result(con, "warehouse/segment_summary")
    assert [row | {"revenue_share": round(row["revenue_share"], 9)} for row in found] == [
        row | {"revenue_share": float(row["revenue_share"])} for row in summary(expected)
    ]


def test_the_share_is_unknown_where_the_lines_revenue_is_not_above_nothing(con):
    put(con, "account_segments", segments("account_id line revenue_12m\nA all 0\nB law -5\nC shop 4\nD shop -4"))
    expected = """
        line  accounts  revenue_12m  revenue_share
        all   1         0            -
        law   1         -5           -
        shop  2         0            -
    """
    assert result(con, "warehouse/segment_summary") == summary(expected)


def test_stability_is_the_mean_over_the_accounts_of_which_it_is_known(con):
    put(con, "account_segments", segments("account_id line\nA all\nB all\nC all\nA law\nA *"))
    given = """
        account_id  line  revenue_stability
        A           all   0.5
        B           all   0.75
        C           all   -
        A           law   0.25
    """
    put(con, "account_features", drawn(given))
    expected = """
        line  accounts  revenue_12m  revenue_share  revenue_stability
        all   3         300          1              0.625
        law   1         100          1              0.25
        *     1         100          1              -
    """
    assert result(con, "warehouse/segment_summary") == summary(expected)


def test_the_order_of_accounts_changes_no_bit_of_the_mean(con):
    accounts = segments("account_id\nA\nB\nC\nD")
    known = [
        {"account_id": account, "line": "all", "revenue_stability": value}
        for account, value in zip("ABCD", (0.1, 0.2, 0.3, 0.7), strict=True)
    ]
    means = set()
    for turn in permutations(range(4)):
        put(con, "account_segments", [accounts[place] for place in turn])
        put(con, "account_features", [known[place] for place in turn])
        means |= {row["revenue_stability"] for row in result(con, "warehouse/segment_summary")}
    assert len(means) == 1


def test_an_account_enters_and_leaves_on_the_day_its_segment_changed(con):
    given = """
        account_id  segment   stage   segment_since  previous_segment
        A           client    active  2026-03-31     customer
        B           client    active  2026-03-30     customer
        C           client    new     2026-03-31     -
        D           customer  lapsed  2026-03-31     client
        E           prospect  new     2025-01-01     -
    """
    put(con, "account_segments", segments(given))
    expected = """
        segment   stage   accounts  revenue_12m  revenue_share  entered_accounts  left_accounts
        client    active  2         200          0.4            1                 0
        client    lapsed  0         0            0.0            0                 1
        client    new     1         100          0.2            1                 0
        customer  active  0         0            0.0            0                 1
        customer  lapsed  1         100          0.2            1                 0
        prospect  new     1         100          0.2            0                 0
    """
    found = result(con, "warehouse/segment_summary")
    assert [row | {"revenue_share": round(row["revenue_share"], 9)} for row in found] == [
        row | {"revenue_share": float(row["revenue_share"])} for row in summary(expected)
    ]
