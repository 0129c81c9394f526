"""Score, segment, stage and roll-up are those that the oracle computes from their definitions."""

import math

import pytest
from hypothesis import given, settings

from config.catalogue import DIMENSIONS
from tests import oracle
from tests.histories import Drawn, histories
from tests.night import by_account, memory, night
from tests.rulers import EVERY_FEATURE
from transforms.verdicts import TREATMENTS

pytestmark = pytest.mark.timeout(3600)

# an account as a whole follows its lines, which are held
NOT_HELD = dict.fromkeys(["held_segment", "held_since", "contrary_since", "is_under_contract"])
EXAMPLES = settings().max_examples // 4


@pytest.fixture(scope="module")
def con():
    return memory()


@settings(max_examples=EXAMPLES)
@given(drawn=histories())
def test_every_verdict_is_what_its_definition_says(con, drawn: Drawn):
    segments = by_account(night(con, drawn.orders, drawn.engagements, drawn.as_of, EVERY_FEATURE).segments)
    found = oracle.histories(drawn.orders, drawn.engagements, drawn.as_of)
    values = oracle.features(drawn.orders, drawn.engagements, drawn.as_of)
    assert {key for key in segments if key[1] != "*"} == set(found)
    for key, history in found.items():
        row, known = segments[key], values[key]
        assert row["score"] == pytest.approx(oracle.score(known, EVERY_FEATURE), rel=0, abs=1e-9)
        assert row["evidence"] == pytest.approx(oracle.evidence(known, EVERY_FEATURE), rel=0, abs=1e-9)
        assert row["raw_segment"] == oracle.raw_segment(history, known, EVERY_FEATURE)
        assert row["stage"] == oracle.stage([history], row["raw_segment"], EVERY_FEATURE)
        points = [row[f"{dimension}_points"] for dimension in (*DIMENSIONS, "base")]
        assert math.fsum(points) == pytest.approx(oracle.log_odds(known, EVERY_FEATURE), rel=0, abs=1e-9)


@settings(max_examples=EXAMPLES)
@given(drawn=histories())
def test_every_account_has_the_verdict_of_its_leading_line_and_the_stage_of_all(con, drawn: Drawn):
    segments = by_account(night(con, drawn.orders, drawn.engagements, drawn.as_of, EVERY_FEATURE).segments)
    found = oracle.histories(drawn.orders, drawn.engagements, drawn.as_of)
    accounts = {account for account, _ in found}
    assert {key for key in segments if key[1] == "*"} == {(account, "*") for account in accounts}
    for account in accounts:
        lines = {
            line: segments[account, line] | {"personal_contacts_12m": oracle.personal_contacts_12m(history)}
            for (owner, line), history in found.items()
            if owner == account
        }
        leads = oracle.leading_line(lines)
        leading = segments[account, leads]
        revenue = sum(row["revenue_12m"] for row in lines.values())
        without = oracle.leading_line(lines | {leads: lines[leads] | {"segment": "prospect", "score": -1.0}})
        keeps = without != leads and segments[account, without]["segment"] == "client"
        kept = f" By its line {without} it would stay a client." * keeps
        stage = oracle.stage(
            [history for (owner, _), history in found.items() if owner == account], leading["segment"], EVERY_FEATURE
        )
        whole = {"line": "*", "revenue_12m": revenue, "reasons": leading["reasons"] + kept}
        whole |= {"stage": stage, "treatment": TREATMENTS[leading["segment"], stage]}
        assert segments[account, "*"] == leading | NOT_HELD | whole
