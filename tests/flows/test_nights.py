"""Nights that add to the state make the same tables, to the last digit, as one rebuild from the same landed batches."""

import shutil
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import GateRefused, SourceError
from config.settings import Business
from config.tables import ENGAGEMENTS, ORDERS, Table
from flows.batches import batches
from flows.ledger import LEDGER_TABLES, ROLES, fitted_models
from flows.stages import Run, audit_incoming, check_incoming, conform_rows, extract, features, ledger, models
from flows.state import connected
from tests.histories import Drawn, histories
from tests.ingest import firm, source
from tests.night import MODELS, POLARS_TYPES
from tests.rows import Row, engagement, order

pytestmark = pytest.mark.timeout(3600)

FEW = settings(max_examples=settings().max_examples // 15)
STAGES = (extract, check_incoming, conform_rows, ledger, models, features)
KEPT = (
    *(f"{kept}_{role}" for kept in ("checked", "superseded", "named") for role in ROLES),
    *LEDGER_TABLES,
    "conversed",
    "quarantine",
    "purchase_histories",
    "account_statistics",
    "reduced",
    "fitted",
    "batches",
)
WHERE_IT_LIES = ("batch", "position")
MADE = ("account_lines", "account_features", "row_counts")
COLUMNS: dict[str, Table] = {"orders": ORDERS, "engagements": ENGAGEMENTS}


@dataclass(frozen=True)
class Delivery:
    """What a night finds: files that are new or say something else than before, and the day it counts up to.

    Attributes:
        as_of: the last day counted.
        files: per role and file, the rows in it, by their place in the history.
    """

    as_of: date
    files: dict[tuple[str, str], list[int]]


@dataclass(frozen=True)
class Nights:
    """A drawn history, and how it comes."""

    rows: dict[str, list[Row]]
    deliveries: list[Delivery]


@st.composite
def nights(draw: st.DrawFn) -> Nights:
    """The rows of some accounts over some nights: late, twice, in files that are delivered again, longer, shorter or other."""
    drawn: Drawn = draw(histories(most_orders=14, most_engagements=14))
    rows = {"orders": drawn.orders, "engagements": drawn.engagements}
    steps = draw(st.lists(st.sampled_from([0, 1, 1, 1, 2, 7, 31, -1]), min_size=1, max_size=3))
    days = [drawn.as_of - timedelta(days=sum(steps[number:])) for number in range(len(steps) + 1)]
    deliveries = []
    for number, day in enumerate(days):
        files = {
            (role, name): draw(st.lists(st.integers(0, len(rows[role]) - 1), max_size=len(rows[role])))
            for role in ROLES
            for name in draw(st.sets(st.sampled_from(["a", "b", "c", f"night {number}"]), min_size=number == 0))
            if rows[role]
        }
        deliveries.append(Delivery(day, files))
    if rows["orders"]:
        deliveries[0].files.setdefault(("orders", "a"), [0])
    return Nights(rows, deliveries)


def write(folder: Path, role: str, name: str, rows: list[Row]) -> None:
    """A file of a source that calls its columns as we do; a row that is to be refused has a foreign currency or kind."""
    spoilt = {"orders": {"currency": "EUR"}, "engagements": {"kind": "gossip"}}[role]
    given = [row | (spoilt if row["reason"] else {}) for row in rows]
    schema = {column.name: POLARS_TYPES[column.type] for column in COLUMNS[role]}
    frame = pl.DataFrame([{column: row[column] for column in schema} for row in given], schema=schema)
    frame.write_parquet(folder / f"{role} {name}.parquet")


def sources(folder: Path) -> Business:
    def of(role: str) -> Row:
        columns = {column.name: column.name for column in COLUMNS[role]}
        return source(f"{folder}/{role} *.parquet", columns, name=role)

    return firm(of("orders"), engagements=[of("engagements")], timezone="UTC", state=str(folder / "state"))


def run_of(business: Business, as_of: date, **more) -> Run:
    started = datetime.now(UTC)
    return Run(business, f"{started:%H%M%S%f}", as_of, more.pop("known_at", None), started, **more)


def outcome(run: Run, stages=STAGES) -> dict[str, list[tuple]]:
    """Every table after a run, rows in the order of their values."""
    for stage in stages:
        stage(run)
    return tables(run)


def tables(run: Run, without: Sequence[str] = ()) -> dict[str, list[tuple]]:
    places = {name: f"state.{name}" for name in KEPT} | {name: f"work.main.{name}" for name in MADE}
    with connected(run.business, run.folder) as con:
        return {
            name: con.execute(
                f"select columns(lambda name: not list_contains({list(without)}::varchar[], name)) from {place} order by all"
            ).fetchall()
            for name, place in places.items()
        }


@contextmanager
def elsewhere(business: Business) -> Generator[Business]:
    """The business with nothing but its landed batches."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(business.state / "landed", Path(folder) / "landed")
        yield business.model_copy(update={"state": Path(folder)})


def rebuilt(run: Run) -> dict[str, list[tuple]]:
    with elsewhere(run.business) as business:
        return outcome(replace(run, business=business), STAGES[1:])


def assert_landing_again_changes_nothing(run: Run) -> None:
    """Holds `--rebuild` after a night to the same tables but for where a row lies, and how many came since the beginning."""
    before = tables(run, WHERE_IT_LIES)
    again = replace(run, run_id=f"{run.run_id}-again", rebuild=True)
    for stage in STAGES:
        stage(again)
    after = tables(again, WHERE_IT_LIES)
    del before["row_counts"]
    assert_same(after, before)


def assert_same(found: dict[str, list[tuple]], expected: dict[str, list[tuple]]) -> None:
    for name, rows in expected.items():
        assert found[name] == rows, name


@FEW
@given(drawn=nights())
def test_nights_make_what_a_rebuild_makes(drawn):
    if not drawn.rows["orders"] or not drawn.rows["engagements"]:
        return
    with tempfile.TemporaryDirectory() as at:
        folder = Path(at)
        for role in ROLES:
            write(folder, role, "first", drawn.rows[role][:1])
        business = sources(folder)
        for delivery in drawn.deliveries:
            for (role, name), places in delivery.files.items():
                write(folder, role, name, [drawn.rows[role][place] for place in places])
            run = run_of(business, delivery.as_of)
            try:
                found = outcome(run)
            except SourceError as error:
                assert "there is no order and no event up to" in str(error)
                found = None
        if found:
            assert_same(found, rebuilt(run))
            assert_landing_again_changes_nothing(run)


def test_what_stands_in_for_a_model_that_did_not_fit_is_fitted_anew_each_night(tmp_path):
    write(tmp_path, "orders", "a", [order(SENT, order_id="o1", account_id="A", line="law")])
    write(tmp_path, "engagements", "a", [event(0, "e1")])
    run = run_of(sources(tmp_path), SENT + timedelta(days=40))
    assert outcome(run)["fitted"] == []
    with connected(run.business, run.folder) as con:
        for last_good in (MODELS, None):
            fitted = fitted_models(con, run.as_of, last_good)
            assert {fit.origin for fit in fitted.occasions.values()} == {"last_good" if last_good else "none"}


SENT = date(2025, 1, 10)


def nightly(folder: Path, *deliveries: list[Row]) -> dict[str, list[tuple]]:
    """The tables after nights a week apart that each brought these events, which must be those of a rebuild."""
    write(folder, "orders", "a", [order(SENT, order_id="o1", account_id="A", line="law")])
    for number, events in enumerate(deliveries):
        write(folder, "engagements", f"{number}", events)
        run = run_of(sources(folder), SENT + timedelta(days=7 + 7 * number))
        found = outcome(run)
    assert_same(found, rebuilt(run))
    return found


def event(days: int, number: str, **known) -> Row:
    return engagement(SENT + timedelta(days=days), event_id=number, account_id="A", line="law", **known)


@pytest.mark.parametrize(("days", "answered"), [(0, 1), (7, 1), (8, 0)])
@pytest.mark.parametrize("how", [{}, {"thread_id": "t1"}, {"thread_id": "t2", "in_reply_to": "sent"}])
def test_an_answer_that_a_later_night_brings_counts_for_the_day_of_the_message(tmp_path, days, answered, how):
    sent = event(0, "sent", direction="outbound", thread_id="t1" if how else None)
    reply = event(days, "reply", **how) | {"occurred_at": datetime(2025, 1, 10, 18) + timedelta(days=days)}
    found = nightly(tmp_path, [sent], [reply])
    assert [row[3:5] for row in found["conversation_days"] if row[2] == SENT] == [(1, answered)]


def test_an_answer_that_is_taken_back_no_longer_counts(tmp_path):
    sent, reply = event(0, "sent", direction="outbound"), event(2, "reply")
    found = nightly(tmp_path, [sent], [reply], [reply | {"kind": "survey", "updated_at": datetime(2025, 2, 1)}])
    assert [row[3:5] for row in found["conversation_days"]] == [(1, 0)]


def test_conversations_are_kept_as_far_back_as_they_count_on_an_earlier_day_too(tmp_path):
    write(tmp_path, "orders", "a", [order(SENT, order_id="o1", account_id="A", line="law")])
    for number, (days, kept) in enumerate([(394, [0, 20]), (395, [20]), (394, [0, 20]), (393, [0, 20]), (440, [])]):
        write(tmp_path, "engagements", f"{number}", [event(0, "e1"), event(20, "e2"), event(20, f"late {number}")])
        run = run_of(sources(tmp_path), SENT + timedelta(days=days))
        found = outcome(run)
        assert [(row[2] - SENT).days for row in found["conversation_days"]] == kept
        assert_same(found, rebuilt(run))


def test_a_return_that_a_later_night_brings_counts_on_the_day_of_its_order(tmp_path):
    sold = order(SENT, order_id="o1", account_id="A", line="law")
    write(tmp_path, "orders", "b", [sold | {"line_number": "r", "amount": Decimal(-30)} | days_later(sold, 20)])
    found = nightly(tmp_path, [event(0, "e1")], [], [event(1, "e2")])
    write(tmp_path, "orders", "c", [sold | {"line_number": "s", "amount": Decimal(-70)} | days_later(sold, 21)])
    run = run_of(sources(tmp_path), SENT + timedelta(days=21))
    found = outcome(run)
    assert_same(found, rebuilt(run))
    assert {row[2] for row in found["order_days"]} == {SENT}


def days_later(sold: Row, days: int) -> Row:
    moved = {"ordered_on": sold["ordered_on"] + timedelta(days=days)}
    return moved | {"ordered_at": sold["ordered_at"] + timedelta(days=days)}


def lines(prefix: str, count: int, **known) -> list[Row]:
    return [order(SENT, order_id=f"{prefix}{number}", account_id="A", line="law", **known) for number in range(count)]


ALL_STAGES = (extract, check_incoming, audit_incoming, *STAGES[2:])
UNFIT = {"reason": "a foreign currency"}


@pytest.mark.parametrize(
    ("first", "then", "is_refused"),
    [
        ({"a": lines("g", 6) + lines("b", 1, **UNFIT)}, {"b": lines("h", 2) + lines("c", 1, **UNFIT)}, False),
        ({"a": lines("g", 6) + lines("b", 1, **UNFIT)}, {"b": lines("h", 1) + lines("c", 1, **UNFIT)}, True),
        ({"a": lines("g", 90), "b": lines("b", 20, **UNFIT)}, {"a": lines("g", 1)}, True),
        ({"a": lines("g", 90), "b": lines("b", 20, **UNFIT)}, {"a": []}, True),
        ({"a": lines("g", 20, quantity=1.0)}, {"b": lines("h", 9) + lines("much", 1, quantity=2e9)}, False),
    ],
    ids=["at the limit", "above it", "good rows that shrink", "good rows that go", "a column that few rows have"],
)
def test_a_night_is_refused_where_a_rebuild_is(tmp_path, first, then, is_refused):
    write(tmp_path, "engagements", "a", [event(0, "e1")])
    for number, files in enumerate((first, then)):
        for name, rows in files.items():
            write(tmp_path, "orders", name, rows)
        run = run_of(sources(tmp_path), SENT + timedelta(days=number))
        if not number:
            outcome(run, ALL_STAGES)
    extract(run)
    with elsewhere(run.business) as business:
        for each in (run, replace(run, business=business)):
            check_incoming(each)
            if is_refused:
                with pytest.raises(
                    GateRefused, match=r"(?s)some rule is broken.*orders [ab]\.parquet: .* rows are unfit"
                ):
                    audit_incoming(each)
            else:
                audit_incoming(each)


def test_a_batch_that_is_landed_again_since_its_manifest_was_taken_away_counts_from_then(tmp_path):
    sold = order(SENT, order_id="o1", account_id="A", line="law", amount=Decimal(100))
    write(tmp_path, "engagements", "a", [event(0, "e1")])
    for name, amount in (("a", 100), ("b", 50)):
        write(tmp_path, "orders", name, [sold | {"amount": Decimal(amount)}])
        outcome(run_of(sources(tmp_path), SENT))
    first = batches(tmp_path / "state/landed", "orders")[0]
    first.path(tmp_path / "state/landed").with_suffix(".json").unlink()
    run = run_of(sources(tmp_path), SENT)
    found = outcome(run)
    assert [row[4] for row in found["order_days"]] == [Decimal(100)]
    assert_same(found, rebuilt(run))
