"""What people decided, on the day that it counts."""

from datetime import date

import polars as pl
import pytest

from config.decisions import Decisions
from transforms.decided import joined_accounts, merges_in_force, overrides_in_force, unmet_overrides

LINES = pl.DataFrame({"account_id": ["A", "A", "B"], "line": ["law", "shop", "law"]})
MERGE = {"account_id": "B", "into": "A", "from": date(2026, 2, 5), "author": "accounts", "reason": "sold"}
FROM, UNTIL = date(2026, 2, 1), date(2026, 2, 28)


def override(account: str, line: str | None = None) -> dict:
    given = {"account_id": account, "segment": "client", "from": FROM, "until": UNTIL, "author": "partner"}
    return given | {"reason": "signed."} | ({"line": line} if line else {})


def decisions(*overrides: dict, merges: tuple[dict, ...] = ()) -> Decisions:
    return Decisions.model_validate({"overrides": list(overrides), "merges": list(merges)})


def in_force(given: Decisions, day: date) -> list[tuple]:
    return overrides_in_force(given, LINES, day).select("account_id", "line", "override_segment").rows()


@pytest.mark.parametrize(
    ("day", "is_in_force"),
    [(date(2026, 1, 31), False), (FROM, True), (UNTIL, True), (date(2026, 3, 1), False)],
)
def test_an_override_is_in_force_from_its_first_day_to_its_last(day, is_in_force):
    assert in_force(decisions(override("B")), day) == ([("B", "law", "client")] if is_in_force else [])


def test_without_a_line_it_sets_every_line_and_with_one_that_alone():
    assert in_force(decisions(override("A")), FROM) == [("A", "law", "client"), ("A", "shop", "client")]
    assert in_force(decisions(override("A", "shop")), FROM) == [("A", "shop", "client")]


def test_its_note_says_who_until_when_and_why():
    assert overrides_in_force(decisions(override("B")), LINES, FROM)["override_note"].to_list() == [
        "Set by hand until 2026-02-28 by partner: signed"
    ]


def test_overrides_of_accounts_or_lines_that_there_are_not_are_unmet_while_they_are_in_force():
    given = decisions(override("A"), override("B", "shop"), override("Z"))
    assert [(each.account_id, each.line) for each in unmet_overrides(given, LINES, FROM)] == [
        ("B", "shop"),
        ("Z", None),
    ]
    assert unmet_overrides(given, LINES, date(2026, 3, 1)) == []


@pytest.mark.parametrize(("as_of", "is_in_force"), [(date(2026, 2, 4), False), (date(2026, 2, 5), True)])
def test_a_merge_is_in_force_from_its_first_day_on(as_of, is_in_force):
    assert bool(merges_in_force(decisions(merges=(MERGE,)), as_of)) is is_in_force


@pytest.mark.parametrize(("before", "joined"), [({"A", "B"}, ["A"]), ({"B"}, ["A"]), ({"A"}, []), (set(), [])])
def test_an_account_is_joined_while_the_other_had_a_verdict_of_its_own(before, joined):
    assert joined_accounts(decisions(merges=(MERGE,)).merges, before) == joined
