"""Every table's columns, once: type, unit and meaning.

The schemas of landed and published tables, the README's column tables and the audits are read from here.
"""

from dataclasses import dataclass

from config.catalogue import DIMENSIONS, DUCKDB_TYPES, FEATURES

MONEY = DUCKDB_TYPES["money"]


@dataclass(frozen=True)
class Column:
    """One column: its DuckDB type, its unit (or what kind of value it is) and its meaning in a sentence."""

    name: str
    type: str
    unit: str
    meaning: str
    required: bool = False


Table = tuple[Column, ...]

CONTENT_KEYS = {"orders": "line_number", "engagements": "event_id"}
"""The column that is the content of the whole row where a source does not map it or a row has none."""

NO_LINE = "all"
"""The line of business of rows whose source has none."""

ORDERS: Table = (
    Column("order_id", "VARCHAR", "id", "the order that the line belongs to", required=True),
    Column("line_number", "VARCHAR", "id", "the line within its order; without it a line is known by its content"),
    Column("account_id", "VARCHAR", "id", "the buying party", required=True),
    Column("line", "VARCHAR", "name", f"line of business; '{NO_LINE}' where the source has none"),
    Column("ordered_at", "TIMESTAMP", "UTC", "when it was ordered", required=True),
    Column("amount", MONEY, "money", "net of tax and shipping; a return is negative", required=True),
    Column(
        "currency",
        "VARCHAR",
        "ISO 4217",
        "currency of the amount, which must be the reporting one; taken as such where not given",
    ),
    Column("quantity", "DOUBLE", "units", "units ordered"),
    Column("list_amount", MONEY, "money", "what the line would cost at list price"),
    Column("product_id", "VARCHAR", "id", "what was bought"),
    Column("category", "VARCHAR", "name", "kind of product"),
    Column("handler", "VARCHAR", "id", "who served the order"),
    Column(
        "channel",
        "VARCHAR",
        "name",
        "how it was ordered, such as phone; web, online, app, marketplace, kiosk, self_service, shop and store are self-service",
    ),
    Column("is_custom", "BOOLEAN", "flag", "bespoke, quoted or configured; NULL is unknown, not false"),
    Column("is_recurring", "BOOLEAN", "flag", "under a contract, subscription or retainer; NULL is unknown, not false"),
    Column("is_service", "BOOLEAN", "flag", "a professional service; NULL is unknown, not false"),
    Column(
        "term_months", "INTEGER", "months", "calendar months that a contract or prepayment runs; 1 where none are given"
    ),
    Column("status", "VARCHAR", "name", "cancelled, canceled, void or voided takes the line out"),
    Column("updated_at", "TIMESTAMP", "UTC", "when this version of the row was written"),
)

ENGAGEMENTS: Table = (
    Column("event_id", "VARCHAR", "id", "the event; without it an event is known by its content"),
    Column("account_id", "VARCHAR", "id", "the account that the event is with", required=True),
    Column("line", "VARCHAR", "name", f"line of business; '{NO_LINE}' where the source has none"),
    Column("occurred_at", "TIMESTAMP", "UTC", "when it happened", required=True),
    Column("kind", "VARCHAR", "name", "email, call, meeting, chat, ticket, visit, consultation, ...", required=True),
    Column("direction", "VARCHAR", "name", "inbound (from the account), outbound or mutual", required=True),
    Column("in_reply_to", "VARCHAR", "id", "the event that this one answers"),
    Column("thread_id", "VARCHAR", "id", "the conversation that it belongs to, the same in all sources"),
    Column("contact", "VARCHAR", "id", "the account's person"),
    Column("handler", "VARCHAR", "id", "the business's person"),
    Column("minutes", "DOUBLE", "minutes", "how long it took"),
    Column("score", "DOUBLE", "0 to 1", "satisfaction given"),
    Column("is_bulk", "BOOLEAN", "flag", "bulk mail or an automatic reply"),
    Column("updated_at", "TIMESTAMP", "UTC", "when this version of the row was written"),
)

_POINTS = tuple(
    Column(f"{dimension}_points", "DOUBLE", "log-odds", f"what the dimension {dimension} adds to the score", True)
    for dimension in DIMENSIONS
)

_ACCOUNT_LINE = (
    Column("account_id", "VARCHAR", "id", "the buying party", True),
    Column("line", "VARCHAR", "name", "line of business; '*' is the account as a whole", True),
)

ACCOUNT_SEGMENTS: Table = (
    *_ACCOUNT_LINE,
    Column("as_of", "DATE", "day", "last day counted, inclusive, in the business's time zone", True),
    Column("segment", "VARCHAR", "name", "client, customer or prospect", True),
    Column("stage", "VARCHAR", "name", "new, active, at_risk, lapsed or one_time", True),
    Column("score", "DOUBLE", "0 to 100", "100 x sigmoid of the sum of all points", True),
    Column("evidence", "DOUBLE", "0 to 1", "share of the score's weight that rests on observed features", True),
    Column(
        "reasons",
        "VARCHAR",
        "text",
        "the largest contributions each way, and what would flip the verdict; of an account as a whole, those of its leading line, "
        "and which other line would keep it a client",
        True,
    ),
    *_POINTS,
    Column("base_points", "DOUBLE", "log-odds", "the ruler's base: where an account of neutral features stands", True),
    Column("raw_segment", "VARCHAR", "name", "the segment that this day's score alone would give", True),
    Column("segment_since", "DATE", "day", "first day of the present segment", True),
    Column("previous_segment", "VARCHAR", "name", "the segment before; NULL where there was none"),
    Column("revenue_12m", MONEY, "money", "revenue of the last 365 days, net of returns", True),
    Column("treatment", "VARCHAR", "name", "what the segment and stage call for", True),
    Column("ruler_version", "VARCHAR", "name", "the ruler that scored it", True),
    Column("run_id", "VARCHAR", "id", "the run that published it", True),
)

ACCOUNT_SEGMENT_HISTORY: Table = (
    *_ACCOUNT_LINE,
    Column("valid_from", "DATE", "day", "first day published with this segment", True),
    Column("valid_to", "DATE", "day", "last day before the next segment; NULL while it lasts"),
    Column("segment", "VARCHAR", "name", "client, customer or prospect", True),
    Column(
        "because",
        "VARCHAR",
        "text",
        "why it began: first seen, score, first order, contract started, set by hand, ...",
        True,
    ),
)

SEGMENT_CHANGES: Table = (
    Column("as_of", "DATE", "day", "the day of the change", True),
    *_ACCOUNT_LINE,
    Column(
        "change",
        "VARCHAR",
        "name",
        "entered (not there on the last day published before), moved (another segment) or left (no longer there)",
        True,
    ),
    Column("segment", "VARCHAR", "name", "the segment now; NULL where it left"),
    Column(
        "previous_segment", "VARCHAR", "name", "the segment on the last day published before; NULL where it entered"
    ),
    Column(
        "because", "VARCHAR", "text", "why: first seen, score, first order, contract started, set by hand, ...", True
    ),
    Column("score", "DOUBLE", "0 to 100", "the score now; NULL where it left"),
    Column("revenue_12m", MONEY, "money", "revenue of the last 365 days; NULL where it left"),
)

VERDICT_STANDINGS: Table = (
    *_ACCOUNT_LINE,
    Column("valid_from", "DATE", "day", "first day published with this standing", True),
    Column("valid_to", "DATE", "day", "last day before the next standing; NULL while it lasts"),
    Column("segment", "VARCHAR", "name", "client, customer or prospect", True),
    Column("segment_since", "DATE", "day", "first day of the segment", True),
    Column("previous_segment", "VARCHAR", "name", "the segment before; NULL where there was none"),
    Column(
        "held_segment", "VARCHAR", "name", "the segment beneath one that is set by hand; NULL of accounts as a whole"
    ),
    Column("held_since", "DATE", "day", "first day of what is held; NULL of accounts as a whole"),
    Column("contrary_since", "DATE", "day", "first day in a row on which the score calls for another segment"),
    Column("is_under_contract", "BOOLEAN", "flag", "a contract runs; NULL of accounts as a whole"),
)

ACCOUNT_FEATURES: Table = (
    Column("account_id", "VARCHAR", "id", "the buying party", True),
    Column("line", "VARCHAR", "name", "line of business", True),
    Column("as_of", "DATE", "day", "last day counted, inclusive", True),
    *(Column(each.name, DUCKDB_TYPES[each.unit], each.unit, each.meaning) for each in FEATURES),
)

SEGMENT_SUMMARY: Table = (
    Column("as_of", "DATE", "day", "last day counted, inclusive", True),
    Column("line", "VARCHAR", "name", "line of business; '*' is accounts as a whole", True),
    Column("segment", "VARCHAR", "name", "client, customer or prospect", True),
    Column("stage", "VARCHAR", "name", "new, active, at_risk, lapsed or one_time", True),
    Column("accounts", "BIGINT", "count", "accounts in this segment and stage", True),
    Column("revenue_12m", MONEY, "money", "their revenue of the last 365 days", True),
    Column(
        "revenue_share",
        "DOUBLE",
        "share",
        "their part of the line's revenue, beyond 0 to 1 where others' is negative; NULL where the line's is not positive",
    ),
    Column(
        "revenue_stability", "DOUBLE", "0 to 1", "mean evenness of their monthly revenue; NULL of accounts as a whole"
    ),
    Column(
        "entered_accounts", "BIGINT", "count", "of these, not in this segment on the last day published before", True
    ),
    Column(
        "left_accounts",
        "BIGINT",
        "count",
        "of this stage, in this segment on the last day published before and in another one now",
        True,
    ),
)

QUARANTINE: Table = (
    Column("source", "VARCHAR", "name", "the source it came from", True),
    Column("batch", "VARCHAR", "id", "the landed batch", True),
    Column("position", "BIGINT", "row", "row within the batch, from 0", True),
    Column("reason", "VARCHAR", "text", "why it was refused", True),
    Column("row_json", "VARCHAR", "JSON", "the row as it was read", True),
)

RUNS: Table = (
    Column("run_id", "VARCHAR", "id", "the run", True),
    Column("business", "VARCHAR", "name", "the business file, without .yaml; NULL of runs that did not tell"),
    Column("as_of", "DATE", "day", "last day counted, inclusive", True),
    Column("known_at", "TIMESTAMP", "UTC", "rows that had reached the pipeline by then were counted", True),
    Column("started_at", "TIMESTAMP", "UTC", "when the run began", True),
    Column("published_at", "TIMESTAMP", "UTC", "when its tables became visible", True),
    Column("config_hash", "VARCHAR", "sha256", "of the business file and ruler", True),
    Column("input_hash", "VARCHAR", "sha256", "of the landed batches that were counted", True),
    Column(
        "content_hash",
        "VARCHAR",
        "hash",
        "of the published rows, whatever their order; ends in ', erased' where rows were erased since",
        True,
    ),
    Column("ruler_version", "VARCHAR", "name", "the ruler that scored", True),
    Column("models", "VARCHAR", "JSON", "the purchase models: parameters, log-likelihood, accounts, per line", True),
    Column("code_version", "VARCHAR", "name", "version of Rapport", True),
    Column("accounts", "BIGINT", "count", "accounts published", True),
    Column("account_lines", "BIGINT", "count", "account x line rows published, roll-ups not counted", True),
    Column("row_counts", "VARCHAR", "JSON", "per source: read, accepted, superseded, quarantined", True),
    Column("gates", "VARCHAR", "JSON", "per audit: passed, failed, broken", True),
    Column("continues_run_id", "VARCHAR", "id", "the run of the last day before, whose standings it went on from"),
    Column(
        "rolled_back_to", "VARCHAR", "id", "the run whose result it published again; NULL of one that computed its own"
    ),
    Column("changed_accounts", "BIGINT", "count", "accounts that moved or left since the last day before", True),
    Column("changed_share", "DOUBLE", "0 to 1", "these of all that there were; NULL where there was no day before"),
    Column(
        "accepted_change", "VARCHAR", "text", "why a change beyond the limit was accepted; NULL where nobody was asked"
    ),
)

PUBLISHED: dict[str, Table] = {
    "account_segments": ACCOUNT_SEGMENTS,
    "account_segment_history": ACCOUNT_SEGMENT_HISTORY,
    "segment_changes": SEGMENT_CHANGES,
    "account_features": ACCOUNT_FEATURES,
    "segment_summary": SEGMENT_SUMMARY,
    "verdict_standings": VERDICT_STANDINGS,
    "quarantine": QUARANTINE,
    "runs": RUNS,
}

KEYS: dict[str, tuple[str, ...]] = {
    "account_segments": ("account_id", "line"),
    "account_segment_history": ("account_id", "line", "valid_from"),
    "segment_changes": ("as_of", "account_id", "line"),
    "account_features": ("account_id", "line"),
    "segment_summary": ("as_of", "line", "segment", "stage"),
    "verdict_standings": ("account_id", "line", "valid_from"),
    "quarantine": ("source", "batch", "position"),
    "runs": ("run_id",),
}
