"""engagements.sql: an event as it stands, and what it counts as."""

import pytest

from config.rules import KINDS
from tests.drawn import Row, drawn, ordered, put, standing_rows

NOON = drawn("occurred_at occurred_on\n2026-03-01T12:00 2026-03-01")[0]
FLAGS = ["is_personal", "is_live", "is_inbound", "is_outbound", "is_co_development", "is_referral"]


def checked(text: str) -> list[Row]:
    """Checked rows: what is not drawn is as ordinary as can be."""
    delivered_at = drawn("delivered_at\n2026-04-01T02:00")[0]
    ordinary = {"source": "mail", "account_id": "A", "line": "all", "kind": "email", "direction": "inbound"}
    rows = drawn(text, batch="b1", **ordinary, **NOON, **delivered_at)
    return [row | {"position": position} for position, row in enumerate(rows)]


def standing(text: str) -> list[Row]:
    """Events as they stand: what is not drawn is as in `checked`, a personal email from the account."""
    ordinary = {"source": "mail", "account_id": "A", "line": "all", "kind": "email", "direction": "inbound"}
    unknown = dict.fromkeys(["in_reply_to", "thread_id", "contact", "handler", "score"])
    email = dict.fromkeys(FLAGS, False) | {"is_personal": True, "is_inbound": True}
    return ordered(drawn(text, **ordinary, **NOON, **unknown, **email))


def counted(con, text: str) -> list[tuple]:
    """What each drawn event counts as, its flags by name."""
    put(con, "checked_engagements", [row | {"event_id": str(number)} for number, row in enumerate(checked(text))])
    found = sorted(standing_rows(con, "engagements"), key=lambda row: row["event_id"])
    return [tuple(name for name in FLAGS if row[name]) for row in found]


def test_the_version_of_an_event_that_was_written_last_stands(con):
    given = """
        event_id  contact  updated_at
        e1        p1       2026-03-01T12:00
        e1        p2       2026-03-03T12:00
        e1        p3       2026-03-02T12:00
        e1        p4       -
        e2        p1       -
    """
    put(con, "checked_engagements", checked(given))
    assert standing_rows(con, "engagements") == standing("event_id contact\ne1 p2\ne2 p1")


def test_of_versions_written_at_the_same_time_the_one_delivered_later_stands(con):
    given = """
        event_id  contact  delivered_at
        e1        p1       2026-04-02T02:00
        e1        p2       2026-04-01T02:00
    """
    put(con, "checked_engagements", checked(given))
    assert standing_rows(con, "engagements") == standing("event_id contact\ne1 p1")


TIES = [
    ("account_id", "A", "B"),
    ("line", "all", "law"),
    ("kind", "chat", "email"),
    ("thread_id", "t1", "t2"),
    ("in_reply_to", "e1", "e2"),
    ("contact", "p1", "p2"),
    ("handler", "h1", "h2"),
    ("score", "0.25", "0.5"),
]


@pytest.mark.parametrize(("column", "less", "more"), TIES)
def test_a_tie_goes_to_the_greater_value_whatever_the_order_of_rows(con, column, less, more):
    for first, second in ((less, more), (more, less)):
        put(con, "checked_engagements", checked(f"event_id {column}\ne1 {first}\ne1 {second}"))
        assert standing_rows(con, "engagements") == standing(f"event_id {column}\ne1 {more}")


@pytest.mark.parametrize("column", ["thread_id", "in_reply_to", "contact", "handler"])
def test_a_tie_goes_to_the_value_that_is_given(con, column):
    put(con, "checked_engagements", checked(f"event_id {column}\ne1 -\ne1 x\ne1 -"))
    assert standing_rows(con, "engagements") == standing(f"event_id {column}\ne1 x")


def test_a_tie_between_a_direction_and_another_goes_to_the_greater_word(con):
    assert counted(con, "direction\ninbound\noutbound") == [
        ("is_personal", "is_inbound"),
        ("is_personal", "is_outbound"),
    ]
    put(con, "checked_engagements", checked("event_id direction\ne1 outbound\ne1 inbound"))
    assert [row["direction"] for row in standing_rows(con, "engagements")] == ["outbound"]


def test_a_version_marked_as_bulk_stands_before_one_that_is_not_or_does_not_say(con):
    put(con, "checked_engagements", checked("event_id is_bulk\ne1 -\ne1 yes\ne1 no"))
    assert [row["is_personal"] for row in standing_rows(con, "engagements")] == [False]


def test_an_exact_duplicate_counts_once(con):
    put(con, "checked_engagements", checked("event_id\ne1\ne1\ne1"))
    assert standing_rows(con, "engagements") == standing("event_id\ne1")


def test_a_refused_row_never_stands_not_even_as_the_latest_version(con):
    given = """
        event_id  contact  updated_at        reason
        e1        p1       2026-03-01T12:00  -
        e1        p2       2026-03-02T12:00  unfit
        e2        p1       -                 unfit
    """
    put(con, "checked_engagements", checked(given))
    assert standing_rows(con, "engagements") == standing("event_id contact\ne1 p1")


def test_the_same_numbers_in_two_sources_are_two_events(con):
    put(con, "checked_engagements", checked("event_id source\ne1 mail\ne1 phone"))
    assert standing_rows(con, "engagements") == standing("event_id source\ne1 mail\ne1 phone")


def test_a_message_counts_for_the_side_that_sent_it_and_a_mutual_one_for_both(con):
    assert counted(con, "kind direction\nemail inbound\nemail outbound\nchat mutual") == [
        ("is_personal", "is_inbound"),
        ("is_personal", "is_outbound"),
        ("is_personal", "is_inbound", "is_outbound"),
    ]


@pytest.mark.parametrize("direction", ["inbound", "outbound", "mutual"])
@pytest.mark.parametrize("kind", ["meeting", "call", "visit"])
def test_a_live_contact_counts_one_each_way_whoever_arranged_it(con, kind, direction):
    assert counted(con, f"kind direction\n{kind} {direction}") == [
        ("is_personal", "is_live", "is_inbound", "is_outbound")
    ]


def test_a_consultation_is_both_live_and_a_part_in_development(con):
    assert counted(con, "kind direction\nconsultation outbound") == [
        ("is_personal", "is_live", "is_inbound", "is_outbound", "is_co_development")
    ]


@pytest.mark.parametrize("kind", ["feature_request", "pilot", "design_review"])
def test_a_part_in_development_is_a_message_too(con, kind):
    assert counted(con, f"kind direction\n{kind} inbound") == [("is_personal", "is_inbound", "is_co_development")]


def test_feedback_is_a_part_in_development_where_the_account_gave_it(con):
    assert counted(con, "kind direction\nfeedback inbound\nfeedback outbound\nfeedback mutual") == [
        ("is_personal", "is_inbound", "is_co_development"),
        ("is_personal", "is_outbound"),
        ("is_personal", "is_inbound", "is_outbound", "is_co_development"),
    ]


def test_a_referral_is_contact_but_no_message(con):
    assert counted(con, "kind direction\nreferral inbound\nreferral outbound") == [("is_personal", "is_referral")] * 2


@pytest.mark.parametrize("kind", ["campaign", "survey"])
def test_a_campaign_or_a_survey_is_nothing_personal(con, kind):
    assert counted(con, f"kind is_bulk\n{kind} no\n{kind} -\n{kind} yes") == [(), (), ()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("direction", ["inbound", "outbound", "mutual"])
def test_bulk_mail_and_automatic_replies_count_as_nothing(con, kind, direction):
    assert counted(con, f"kind direction is_bulk\n{kind} {direction} yes") == [()]


def test_an_event_that_does_not_say_whether_it_is_bulk_is_personal(con):
    assert counted(con, "is_bulk\n-\nno") == [("is_personal", "is_inbound")] * 2
