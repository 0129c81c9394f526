"""The firm's files as its systems export them: each with its own names, formats and bad habits."""

from pathlib import Path

import polars as pl

from flows.example import firm

LOCAL = "%Y-%m-%d %H:%M:%S"
ZULU = "%Y-%m-%dT%H:%M:%SZ"
BROKEN_DATES = ["2024-02-31 10:00:00", "31/13/2024", "next Tuesday", ""]
BROKEN_AMOUNTS = ["n/a", "1,2OO.00", "see letter", ""]


def ledger(orders: pl.DataFrame) -> pl.DataFrame:
    """Invoice lines of the practice: text, local times."""
    return orders.select(
        "file_year",
        invoice_no=order_id(),
        pos="line_number",
        account_id=account_id(),
        invoiced_at=time_text("at", LOCAL),
        net_amount=instead("broken_amount", money("amount").cast(pl.String), BROKEN_AMOUNTS),
        units="quantity",
        tariff=money("list_price"),
        service_code="product_id",
        practice_area="category",
        responsible="handler",
        received_by="channel",
        bespoke=pl.when(pl.col("custom") == "yes").then(pl.lit("Y")).otherwise(pl.lit("N")),
        agreement=pl.when(pl.col("recurring") == "yes").then("category").otherwise(pl.lit("none")),
        term="months",
        state="status",
        changed_at=time_text("updated_at", LOCAL),
    )


def till(orders: pl.DataFrame) -> pl.DataFrame:
    """Basket lines of the shop: typed, times in UTC, no value where a date or an amount was lost."""
    return orders.select(
        "file_year",
        basket_id=order_id(),
        position="line_number",
        account_no=account_id(),
        bought_at=pl.when(free_of("broken_date")).then(in_utc("at")),
        paid=pl.when(free_of("broken_amount")).then(money("amount")),
        pieces="quantity",
        shelf_price=money("list_price"),
        sku="product_id",
        shelf="category",
        served_by="handler",
        sold_via="channel",
        made_to_order=pl.col("custom") == "yes",
        is_plan=pl.col("recurring") == "yes",
        is_service=pl.col("service") == "yes",
        plan_months="months",
        status="status",
        updated_at=in_utc("updated_at"),
    )


def mailbox(events: pl.DataFrame) -> pl.DataFrame:
    """Messages of the mailboxes, times in UTC; headers tell newsletters and automatic answers."""
    return events.select(
        "file_year",
        message_id="event_id",
        account=account_id(),
        desk="line",
        sent_at=time_text("at", ZULU),
        folder=pl.when(pl.col("direction") == "outbound").then(pl.lit("sent")).otherwise(pl.lit("inbox")),
        in_reply_to="in_reply_to",
        thread="thread_id",
        person="contact",
        staff="handler",
        precedence=pl.when(pl.col("kind") == "newsletter").then(pl.lit("bulk")),
        auto_submitted=pl.when(pl.col("kind") == "auto_reply").then(pl.lit("auto-replied")),
    )


def diary(events: pl.DataFrame) -> pl.DataFrame:
    """Entries of the firm's calendar: text, local times, kinds as people write them ('Design review')."""
    kind = pl.col("kind").str.replace_all("_", " ")
    arranged_by = {"inbound": "account", "outbound": "firm", "mutual": "both"}
    return events.select(
        "file_year",
        entry="event_id",
        account_no=account_id(),
        practice="line",
        starts=time_text("at", LOCAL),
        type=kind.str.slice(0, 1).str.to_uppercase() + kind.str.slice(1),
        arranged_by=pl.col("direction").replace_strict(arranged_by),
        person="contact",
        staff="handler",
        minutes="minutes",
        changed=time_text("updated_at", LOCAL),
    )


def helpdesk(events: pl.DataFrame) -> pl.DataFrame:
    """Tickets, chats and wishes, and the answers to them: text, times in UTC."""
    return events.select(
        "file_year",
        "event_id",
        account=account_id(),
        desk="line",
        opened_at=time_text("at", ZULU),
        kind="kind",
        direction="direction",
        in_reply_to="in_reply_to",
        thread="thread_id",
        person="contact",
        staff="handler",
        updated_at=time_text("updated_at", ZULU),
    )


def reviews(events: pl.DataFrame) -> pl.DataFrame:
    """Ratings, feedback and referrals: text, local times, no number of their own, all years in one file."""
    return events.select(
        account=account_id(),
        line="line",
        given_at=time_text("at", LOCAL),
        kind="kind",
        rating="rating",
        person="contact",
    )


def account_id() -> pl.Expr:
    """The account's id as it is written: missing, with blanks around it, or as it is."""
    padded = pl.when(pl.col("fault") == "padded").then(pl.format("  {} ", "account_id")).otherwise("account_id")
    return pl.when(free_of("no_account")).then(padded)


def order_id() -> pl.Expr:
    """The order's id as it is written: missing, or as it is."""
    return pl.when(free_of("no_order")).then("order_id")


def free_of(fault: str) -> pl.Expr:
    """True where the row does not have this fault."""
    return pl.col("fault").ne_missing(fault)


def instead(fault: str, written: pl.Expr, others: list[str]) -> pl.Expr:
    """The value as it is written; where the row has this fault, one of the others in turn."""
    turn = pl.col("fault").eq_missing(fault).cum_sum() % len(others)
    return pl.when(free_of(fault)).then(written).otherwise(pl.lit(pl.Series(others)).gather(turn))


def time_text(column: str, pattern: str) -> pl.Expr:
    """A time as text; in a row with a broken date, `at` is none."""
    written = pl.col(column).dt.to_string(pattern)
    return instead("broken_date", written, BROKEN_DATES) if column == "at" else written


def in_utc(column: str) -> pl.Expr:
    """A time of the firm's own zone as an instant."""
    return pl.col(column).dt.replace_time_zone(firm.TIMEZONE).dt.convert_time_zone("UTC")


def money(column: str) -> pl.Expr:
    """Dollars and cents, exactly."""
    return pl.col(column).cast(pl.Decimal(18, 2))


# how each source's rows are exported, and to which file; with {} in its name there is one a year
EXPORTS = {
    "legal": (ledger, "orders/legal_{}.csv"),
    "shop": (till, "orders/shop_{}.parquet"),
    "mail": (mailbox, "engagements/mail_{}.jsonl"),
    "calendar": (diary, "engagements/calendar_{}.csv"),
    "helpdesk": (helpdesk, "engagements/helpdesk_{}.csv"),
    "reviews": (reviews, "engagements/reviews.csv"),
}


def write_source(source: str, rows: pl.DataFrame, folder: Path) -> None:
    """Writes a source's rows in the order in which its system came to know them."""
    export, path = EXPORTS[source]
    exported = export(rows.sort("updated_at", maintain_order=True))
    if "file_year" not in exported.columns:
        return write_file(exported, folder / path)
    for (year,), of_year in exported.partition_by("file_year", as_dict=True, include_key=False).items():
        is_first = year == firm.FIRST_DAY.year
        write_file(of_first_year(of_year, source) if is_first else of_year, folder / path.format(year))


def of_first_year(rows: pl.DataFrame, source: str) -> pl.DataFrame:
    """The ledger spelt its column otherwise in the first year, and the till knew accounts by number only."""
    if source == "legal":
        return rows.rename({"account_id": "AccountID"})
    if source == "shop":
        return rows.with_columns(pl.col("account_no").cast(pl.Float64))
    return rows


def write_file(rows: pl.DataFrame, path: Path) -> None:
    """Writes rows in the format that the file's ending says, and the folder where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    match path.suffix:
        case ".csv":
            rows.write_csv(path)
        case ".jsonl":
            rows.write_ndjson(path)
        case ".parquet":
            rows.write_parquet(path)
