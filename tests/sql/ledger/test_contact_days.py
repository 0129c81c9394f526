"""contact_days.sql: an account's engagement of one day."""

from decimal import Decimal

from tests.drawn import Row, drawn, ordered, put, result

FLAGS = {
    "is_personal": "personal_contacts",
    "is_live": "live_contacts",
    "is_inbound": "inbound_messages",
    "is_outbound": "outbound_messages",
    "is_co_development": "co_developments",
    "is_referral": "referrals",
}


def events(text: str) -> list[Row]:
    return drawn(text, account_id="A", line="all", occurred_on="2026-03-01", **dict.fromkeys(FLAGS, False))


def days(text: str) -> list[Row]:
    on = drawn("contact_day\n2026-03-01")[0]
    zero = dict.fromkeys([*FLAGS.values(), "scores", "score_sum"], 0)
    return ordered({"events": 1} | row for row in drawn(text, account_id="A", line="all", **on, **zero))


def test_events_are_counted_by_account_line_and_day(con):
    given = """
        account_id  line  occurred_on  is_personal
        A           all   2026-03-01   yes
        A           all   2026-03-01   yes
        A           all   2026-03-01   no
        A           all   2026-03-02   yes
        A           law   2026-03-01   yes
        B           all   2026-03-01   no
    """
    put(con, "engagements", events(given))
    expected = """
        account_id  line  contact_day  personal_contacts  events
        A           all   2026-03-01   2                  3
        A           all   2026-03-02   1                  1
        A           law   2026-03-01   1                  1
        B           all   2026-03-01   0                  1
    """
    assert result(con, "ledger/contact_days") == days(expected)


def test_each_kind_of_event_is_counted_by_itself(con):
    for flag, count in FLAGS.items():
        put(con, "engagements", events(f"{flag}\nyes\nyes\nno"))
        assert result(con, "ledger/contact_days") == days(f"{count} events\n2 3")


def test_scores_are_counted_and_added_up_where_given(con):
    put(con, "engagements", events("score\n0.25\n0.5\n-\n0\n1"))
    assert result(con, "ledger/contact_days") == days("scores score_sum events\n4 1.75 5")


def test_scores_keep_fifteen_places(con):
    put(con, "engagements", [events("score\n-")[0] | {"score": 1 / 3}] * 3)
    found = result(con, "ledger/contact_days")[0]["score_sum"]
    assert abs(found - 1) <= Decimal("3e-15")
