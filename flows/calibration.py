"""Calibrating a ruler on accounts that people have labelled, into a file that people review."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from config.errors import ConfigurationError, WarehouseError
from config.nearest import did_you_mean
from config.settings import Business
from flows.postgres_warehouse import up_to_date
from flows.rulers import require_new, write_ruler
from flows.runs import at_work, new_run
from flows.stages import facts_and_features
from flows.warehouse import live, opened, place
from transforms.calibration import LEAST_LABELS, LEAST_OF_EACH, Calibration, calibrated_ruler
from transforms.names import named

COLUMNS = ("account_id", "line", "label", "labelled_on")
REQUIRED = ("account_id", "label")
LABELS = ("1", "2", "3", "4", "5")
"""5 and 4: a client. 3: neither, left out. 2 and 1: a customer."""
MOST_DAYS = 60


@dataclass(frozen=True)
class Calibrated:
    """A calibration, and what became of the labels.

    Attributes:
        calibration: the ruler and its quality.
        days: how many days the labels are of.
        undecided: labels of 3.
        unmet: sentences on labels that could not be used.
    """

    calibration: Calibration
    days: int
    undecided: int
    unmet: tuple[str, ...]


def calibrate(business: Business, labels: Path, out: Path) -> Calibrated:
    """Writes the business's ruler with base and weights fitted to labels.

    A label is read beside the features as of its day, so that nothing later is known to the fit.

    Args:
        business: the business.
        labels: a CSV with `account_id`, `label` (1 to 5), and where there are more than one `line`, and `labelled_on` (a day; without it
            the last one published).
        out: the file to write.

    Raises:
        ConfigurationError: the labels are wrong or too few, or the file exists already.
        WarehouseError: nothing was published yet.
    """
    require_new(out)
    path = up_to_date(business)
    present = live(path)
    if present is None:
        raise WarehouseError(f"warehouse {place(business.warehouse)}: nothing was published yet. Run: rapport run")
    last_day = present["as_of"]
    given = _read(labels, last_day)
    days = given["labelled_on"].unique().sort().to_list()
    if len(days) > MOST_DAYS:
        raise ConfigurationError(
            f"{labels}: the labels are of {len(days)} days, and each takes the time of a night. Nothing was written. Give those of a month "
            f"or quarter one day, {MOST_DAYS} days at most."
        )
    known = pl.concat(_features(business, path, days, last_day))
    found, unmet = _matched(labels, given, known)
    _require_enough(labels, found, unmet)
    calibration = calibrated_ruler(found, business.ruler, last_day)
    write_ruler(
        calibration.ruler,
        out,
        f"Base and weights fitted to {calibration.labels:,} labelled accounts of {business.business}.",
    )
    undecided = given.filter(pl.col("label") == "3").height
    return Calibrated(calibration, len(days), undecided, tuple(unmet))


def _features(business: Business, path: Path, days: list[date], last_day: date) -> Iterator[pl.DataFrame]:
    """The features of each account line as of each day: those published, or of an earlier day as a dry run gives them."""
    for day in days:
        if day == last_day:
            with opened(path) as con:
                known = con.sql("select * from rapport.account_features").pl()
        else:
            run = new_run(business, as_of=day, dry_run=True)
            with at_work(run):
                _, known = facts_and_features(run)
        yield known.with_columns(labelled_on=pl.lit(day))


def _read(labels: Path, last_day: date) -> pl.DataFrame:
    """The labels: account_id, line (NULL where not given), label, labelled_on; each once."""
    try:
        read = pl.read_csv(labels, infer_schema=False)
    except (OSError, PolarsError) as error:
        raise ConfigurationError(
            f"{labels}: it cannot be read as CSV ({str(error).splitlines()[0]}). Nothing was written. Correct the file or its path."
        ) from error
    for column in REQUIRED:
        if column not in read.columns:
            raise ConfigurationError(
                f"{labels}: there is no column {column}.{did_you_mean(column, read.columns)} Nothing was written. Name the columns "
                f"{', '.join(COLUMNS)}; line and labelled_on may be left out."
            )
    given = read.select(
        pl.col(column).str.strip_chars().replace("", None)
        if column in read.columns
        else pl.lit(None, pl.String).alias(column)
        for column in COLUMNS
    ).unique(maintain_order=True)
    _refuse(labels, given, pl.col("account_id").is_null(), "have no account")
    _refuse(labels, given, pl.col("label").is_in(LABELS).not_().fill_null(True), "are not 1, 2, 3, 4 or 5")
    day = pl.col("labelled_on").str.to_date("%Y-%m-%d", strict=False)
    _refuse(
        labels,
        given,
        pl.col("labelled_on").is_not_null() & day.is_null(),
        "have a labelled_on that is no day such as 2025-06-30",
    )
    given = given.with_columns(labelled_on=day.fill_null(last_day))
    _refuse(labels, given, pl.col("labelled_on") > last_day, f"are of a day after {last_day}, the last one published")
    return given


def _refuse(labels: Path, given: pl.DataFrame, wrong: pl.Expr, what: str) -> None:
    found = given.filter(wrong)
    if found.height:
        accounts = named(found["account_id"].fill_null("(none)").to_list())
        raise ConfigurationError(
            f"{labels}: {found.height:,} labels {what}: {accounts}. Nothing was written. Correct them."
        )


def _matched(labels: Path, given: pl.DataFrame, known: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The features beside the labels that decide, `is_client` among them, and sentences on labels that could not be used."""
    lines = known.group_by("account_id", "labelled_on").agg(
        pl.len().alias("lines"), pl.first("line").alias("only_line")
    )
    placed = given.join(lines, on=["account_id", "labelled_on"], how="left").with_columns(
        line=pl.coalesce("line", pl.when(pl.col("lines") == 1).then("only_line"))
    )
    placed = placed.unique(maintain_order=True)
    contradicts = pl.len().over("account_id", "line", "labelled_on") > 1
    _refuse(labels, placed, contradicts, "contradict another of the same account, line and day")
    decided = placed.filter(pl.col("label") != "3")
    found = decided.join(known, on=["account_id", "line", "labelled_on"], how="left").with_columns(
        is_client=pl.col("label").is_in(["4", "5"]),
        unmet=pl.when(pl.col("lines").is_null())
        .then(pl.lit("are of accounts that were not there on the day"))
        .when(pl.col("line").is_null())
        .then(pl.lit("name no line, and their account has several"))
        .when(pl.col("as_of").is_null())
        .then(pl.lit("are of a line that their account had not on the day"))
        .when(pl.col("order_days").is_null())
        .then(pl.lit("are of prospects, whose verdict does not rest on the score")),
    )
    unmet = found.filter(pl.col("unmet").is_not_null()).group_by("unmet", maintain_order=True).agg("account_id")
    sentences = [f"{len(keys):,} labels {why}: {named(keys)}. They were left out." for why, keys in unmet.iter_rows()]
    return found.filter(pl.col("unmet").is_null()), sentences


def _require_enough(labels: Path, found: pl.DataFrame, unmet: Sequence[str]) -> None:
    clients = found["is_client"].sum()
    customers = found.height - clients
    if found.height < LEAST_LABELS or min(clients, customers) < LEAST_OF_EACH:
        raise ConfigurationError(
            "\n".join(
                [
                    f"{labels}: {clients:,} labels say client (4 and 5) and {customers:,} customer (1 and 2); it takes {LEAST_LABELS}, and "
                    f"{LEAST_OF_EACH} of each. Nothing was written. Label more accounts.",
                    *unmet,
                ]
            )
        )
