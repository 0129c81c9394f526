"""account_lines.sql: an account in one line, and all its statistics."""

from flows.duck import materialise
from tests.drawn import Row, drawn, ordered, put, result

COUNTS = [
    "occasions",
    "occasions_12m",
    "gaps_12m",
    "gap_days_12m",
    "gap_days_squared_12m",
    "channel_known_days_12m",
    "self_service_days_12m",
    "prepaid_booked_12m",
    "prepaid_recognised_12m",
    "contract_days_12m",
    "sent_12m",
    "answered_12m",
    "conversations_12m",
    "account_conversations_12m",
    "handled_contacts_12m",
    "top_handler_contacts_12m",
    "people_contacts_12m",
    "people_n_ln_n_12m",
    "priced_lines_12m",
    "priced_12m",
    "weighted_premium_12m",
    "personal_contacts_12m",
    "inbound_12m",
    "outbound_12m",
    "live_contact_days_12m",
    "co_development_mass",
    "referrals_24m",
    "scores_12m",
    "score_sum_12m",
    "active_months",
]
UNKNOWN = [
    "first_order_on",
    "last_order_on",
    "repeat_revenue",
    "revenue_total",
    "revenue_12m",
    "custom_12m",
    "custom_known_12m",
    "recurring_12m",
    "recurring_known_12m",
    "service_12m",
    "service_known_12m",
    "monthly_revenue_sum",
    "monthly_revenue_squared_sum",
    "contract_runs_until",
    "first_contact_on",
    "last_contact_on",
    "first_two_way_on",
    "last_two_way_on",
    "last_co_development_on",
]


def account_lines(*rows: Row) -> list[Row]:
    """The rows expected: a count that is not given is 0, all else unknown."""
    nothing = {"account_id": "A", "line": "all"} | dict.fromkeys(COUNTS, 0) | dict.fromkeys(UNKNOWN)
    return ordered(nothing | row for row in rows)


def lines_of(con) -> list[Row]:
    materialise(con, "features/account_statistics")
    return result(con, "features/account_lines")


def known(text: str) -> Row:
    return drawn(text, account_id="A", line="all")[0]


def test_every_account_and_line_with_an_order_or_an_event_has_one_row(con):
    put(con, "order_statistics", drawn("account_id line\nA all\nA law\nB all"))
    put(con, "contact_statistics", drawn("account_id line\nA law\nC all"))
    assert lines_of(con) == account_lines(
        {"account_id": "A"}, {"account_id": "A", "line": "law"}, {"account_id": "B"}, {"account_id": "C"}
    )


def test_a_row_holds_all_the_statistics_of_its_account_and_line(con):
    orders = known(
        """
        first_order_on  last_order_on  occasions  occasions_12m  gaps_12m  gap_days_12m  gap_days_squared_12m
        2025-01-01      2026-01-01     9          8              7         60            500
        """
    ) | known(
        """
        revenue_12m  custom_12m  custom_known_12m  recurring_12m  recurring_known_12m  service_12m  service_known_12m
        800          1           2                 3              4                    5            6
        """
    )
    channels = known("repeat_revenue revenue_total channel_known_days_12m self_service_days_12m\n700 900 4 3")
    months = known("monthly_revenue_sum monthly_revenue_squared_sum\n800 90000")
    contracts = known(
        """
        prepaid_booked_12m  prepaid_recognised_12m  contract_days_12m  contract_runs_until
        1200                600.5                   200                2026-12-31
        """
    )
    talk = known("sent_12m answered_12m conversations_12m account_conversations_12m\n30 21 12 11")
    people = known(
        """
        handled_contacts_12m  top_handler_contacts_12m  people_contacts_12m  people_n_ln_n_12m
        40                    31                        17                   32.5
        """
    )
    prices = known("priced_lines_12m priced_12m weighted_premium_12m\n14 650 13.25")
    contacts = known(
        """
        first_contact_on  last_contact_on  first_two_way_on  last_two_way_on  inbound_12m  outbound_12m
        2025-02-01        2026-02-01       2025-02-02        2026-01-31       10           9
        """
    ) | known(
        """
        personal_contacts_12m  live_contact_days_12m  referrals_24m  scores_12m  score_sum_12m
        20                     8                      2              3           2.25
        """
    )
    developments = known("last_co_development_on co_development_mass\n2026-01-30 1.5")
    active = known("active_months\n11")
    put(con, "order_statistics", [orders | channels])
    put(con, "monthly_revenue", [months])
    put(con, "contract_statistics", [contracts])
    put(con, "conversation_statistics", [talk])
    put(con, "people_statistics", [people])
    put(con, "price_statistics", [prices])
    put(con, "contact_statistics", [contacts])
    put(con, "co_development_statistics", [developments])
    put(con, "active_months", [active])
    every = orders | channels | months | contracts | talk | people | prices | contacts | developments | active
    assert set(every) == {"account_id", "line", *COUNTS, *UNKNOWN}
    assert lines_of(con) == [every]


def test_statistics_of_another_line_or_account_stay_out(con):
    put(con, "order_statistics", [known("occasions\n1")])
    for table, statistic in (
        ("monthly_revenue", "monthly_revenue_sum"),
        ("contract_statistics", "prepaid_booked_12m"),
        ("conversation_statistics", "sent_12m"),
        ("people_statistics", "handled_contacts_12m"),
        ("price_statistics", "priced_lines_12m"),
        ("co_development_statistics", "co_development_mass"),
        ("active_months", "active_months"),
    ):
        put(con, table, drawn(f"account_id line {statistic}\nA law 5\nB all 5"))
    assert lines_of(con) == account_lines({"occasions": 1})


def test_lines_with_a_list_price_count_beside_those_compared_with_others(con):
    listed = "occasions listed_lines_12m listed_12m listed_premium_12m\n1 4 300 1.5"
    put(con, "order_statistics", [known(listed)])
    put(con, "price_statistics", [known("priced_lines_12m priced_12m weighted_premium_12m\n3 200 -0.25")])
    both = {"priced_lines_12m": 7, "priced_12m": 500, "weighted_premium_12m": 1.25}
    assert lines_of(con) == account_lines({"occasions": 1} | both)
