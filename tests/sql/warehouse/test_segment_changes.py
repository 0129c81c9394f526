"""segment_changes.sql: who entered, moved and left since the last day published before."""

from datetime import date

from tests.drawn import drawn, ordered, put, result

AS_OF = date(2026, 3, 31)


def changes(con, before: str, now: str, merged: str = "account_id") -> list[dict]:
    put(con, "standings_before", drawn(before))
    put(con, "verdicts", drawn(now))
    put(con, "merged_accounts", drawn(merged))
    return result(con, "warehouse/segment_changes", AS_OF)


def test_new_moved_and_gone_account_lines_are_changes_and_all_others_are_not(con):
    before = """
        account_id  line  segment
        A           law   client
        A           *     client
        B           law   client
        C           law   prospect
        C           shop  customer
    """
    now = """
        account_id  line  segment   because      score  revenue_12m
        A           law   client    -            70     500
        A           *     client    -            70     500
        B           law   customer  score        30     20
        B           shop  customer  first_seen   10     5
        C           law   customer  first_order  40     7
    """
    expected = """
        account_id  line  change   previous_segment  segment   because      score  revenue_12m
        B           law   moved    client            customer  score        30     20
        B           shop  entered  -                 customer  first_seen   10     5
        C           law   moved    prospect          customer  first_order  40     7
    """
    left = {"account_id": "C", "line": "shop", "change": "left", "previous_segment": "customer"}
    nothing = {"segment": None, "score": None, "revenue_12m": None, "because": "no longer known"}
    assert changes(con, before, now) == ordered([*drawn(expected, as_of=AS_OF), left | nothing | {"as_of": AS_OF}])


def test_on_the_first_day_everybody_enters(con):
    found = changes(
        con, "account_id", "account_id line segment because\nA law client first_seen\nA * client first_seen"
    )
    assert [(row["line"], row["change"], row["previous_segment"]) for row in found] == [
        ("*", "entered", None),
        ("law", "entered", None),
    ]


def test_an_account_that_left_by_a_merge_is_told_as_merged(con):
    before = "account_id line segment\nA law client\nB law client\nC law client"
    now = "account_id line segment because score revenue_12m\nC law client - 70 500"
    found = changes(con, before, now, merged="account_id\nB\nC")
    assert {row["account_id"]: row["because"] for row in found} == {"A": "no longer known", "B": "accounts merged"}
