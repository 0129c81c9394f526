"""Calibrating a ruler on accounts that people have labelled, into a file that people review."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from config.errors import ConfigurationError, RapportError, WarehouseError
from config.nearest import did_you_mean
from config.rules import FIRST_DAY
from config.scoring import Ruler
from config.settings import Business
from flows.postgres_warehouse import up_to_date
from flows.rulers import require_new, write_ruler
from flows.runs import at_work, new_run
from flows.stages import facts_and_features
from flows.warehouse import live, opened, place
from transforms.calibration import LEAST_ACCOUNTS, LEAST_OF_EACH, Calibration, calibrated_ruler
from transforms.names import named

COLUMNS = ("account_id", "line", "label", "labelled_on")
REQUIRED = ("account_id", "label")
LABELS = ("1", "2", "3", "4", "5")
"""5 and 4: a client. 3: neither, left out. 2 and 1: a customer."""
MOST_DAYS = 60
SEPARATORS = (",", ";", "\t")


@dataclass(frozen=True)
class Calibrated:
    """A calibration, and what became of the labels.

    Attributes:
        calibration: the ruler and its quality.
        days: how many days the labels are of.
        undecided: labels of 3.
        unmet: sentences on labels that could not be used.
        doubts: sentences on what speaks against using the ruler.
    """

    calibration: Calibration
    days: int
    undecided: int
    unmet: tuple[str, ...]
    doubts: tuple[str, ...]


def calibrate(business: Business, labels: Path, out: Path) -> Calibrated:
    """Writes the business's ruler with base and weights fitted to labels.

    A label is read beside the features as of its day, so that the fit knows nothing that happened later.

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
    accounts = given["account_id"].unique()
    known = pl.concat(
        each.filter(pl.col("account_id").is_in(accounts.implode()))
        for each in _features(business, labels, path, days, last_day)
    )
    found, unmet = _matched(labels, given, known)
    _require_enough(labels, found, unmet)
    calibration = calibrated_ruler(found, business.ruler, last_day)
    origin = f"Base and weights fitted to {calibration.labels:,} labels of accounts of {business.business}."
    write_ruler(calibration.ruler, out, origin)
    undecided = given.filter(pl.col("label") == "3").height
    return Calibrated(calibration, len(days), undecided, tuple(unmet), tuple(_doubts(calibration, business.ruler)))


def _features(business: Business, labels: Path, path: Path, days: list[date], last_day: date) -> Iterator[pl.DataFrame]:
    """The features of each account line as of each day: those published, or of an earlier day as a dry run gives them."""
    for day in days:
        if day == last_day:
            with opened(path) as con:
                known = con.sql("select * from rapport.account_features").pl()
        else:
            try:
                run = new_run(business, as_of=day, dry_run=True)
                with at_work(run):
                    _, known = facts_and_features(run)
            except RapportError as error:
                raise type(error)(f"{labels}: features of {day}, for labels of that day: {error}") from error
        yield known.with_columns(labelled_on=pl.lit(day))


def _read(labels: Path, last_day: date) -> pl.DataFrame:
    """The labels: account_id, line (NULL where not given), label, labelled_on; each once."""
    read = _as_text(labels)
    missing = next((column for column in REQUIRED if column not in read.columns), None)
    if missing:
        near = did_you_mean(missing, read.columns)
        raise ConfigurationError(
            f"{labels}: there is no column {missing}.{near} Nothing was written. Name the columns {', '.join(COLUMNS)}; line and "
            "labelled_on may be left out."
        )
    given = read.select(
        pl.col(column).str.strip_chars().replace("", None)
        if column in read.columns
        else pl.lit(None, pl.String).alias(column)
        for column in COLUMNS
    )
    given = given.filter(~pl.all_horizontal(pl.all().is_null())).unique(maintain_order=True)
    if given.is_empty():
        raise ConfigurationError(f"{labels}: there are no labels. Nothing was written. Add them.")
    _refuse(labels, given, pl.col("account_id").is_null(), "have no account", "label")
    _refuse(labels, given, pl.col("label").is_in(LABELS).not_().fill_null(True), "are not 1, 2, 3, 4 or 5", "label")
    day = pl.col("labelled_on").str.to_date("%Y-%m-%d", strict=False)
    is_none = pl.col("labelled_on").is_not_null() & (day.is_null() | (day < date.fromisoformat(FIRST_DAY)))
    _refuse(labels, given, is_none, "have a labelled_on that is no day such as 2025-06-30", "labelled_on")
    given = given.with_columns(labelled_on=day.fill_null(last_day))
    late = pl.col("labelled_on") > last_day
    _refuse(labels, given, late, f"are of a day after {last_day}, the last one published", "labelled_on")
    return given


def _as_text(labels: Path) -> pl.DataFrame:
    """The columns of the file, their names in small letters, all values as text."""
    if not labels.is_file():
        raise ConfigurationError(f"{labels}: there is no such file. Nothing was written. Correct its path.")
    try:
        with labels.open(encoding="utf-8-sig") as file:
            header = file.readline()
        separator = max(SEPARATORS, key=header.count)
        return pl.read_csv(labels, infer_schema=False, separator=separator).rename(lambda name: name.strip().lower())
    except (OSError, UnicodeDecodeError, PolarsError) as error:
        raise ConfigurationError(
            f"{labels}: it cannot be read as CSV ({str(error).splitlines()[0]}). Nothing was written. Save it as CSV in UTF-8, with a "
            "first line of column names, each once, and as many values in each line."
        ) from error


def _refuse(labels: Path, given: pl.DataFrame, wrong: pl.Expr, what: str, column: str) -> None:
    found = given.filter(wrong)
    if found.height:
        accounts = named(found["account_id"].fill_null("(none)").unique(maintain_order=True).to_list())
        raise ConfigurationError(
            f"{labels}: {found.height:,} labels {what}, the first with {column} {str(found[column][0])!r}: {accounts}. "
            "Nothing was written. Correct them."
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
    _refuse(labels, placed, contradicts, "contradict another of the same account, line and day", "label")
    decided = placed.filter(pl.col("label") != "3")
    found = decided.join(known, on=["account_id", "line", "labelled_on"], how="left").with_columns(
        is_client=pl.col("label").is_in(["4", "5"]),
        unmet=pl.when(pl.col("lines").is_null())
        .then(pl.lit("are of accounts that were not there on the day"))
        .when(pl.col("line").is_null())
        .then(pl.lit("name no line, and their account has several"))
        .when(pl.col("as_of").is_null())
        .then(pl.format("are of a line {} that their account had not on the day", "line"))
        .when(pl.col("order_days").is_null())
        .then(pl.lit("are of prospects, whose verdict does not rest on the score")),
    )
    unmet = found.filter(pl.col("unmet").is_not_null()).group_by("unmet", maintain_order=True).agg("account_id")
    sentences = [f"{len(keys):,} labels {why}: {named(keys)}. They were left out." for why, keys in unmet.iter_rows()]
    return found.filter(pl.col("unmet").is_null()), sentences


def _require_enough(labels: Path, found: pl.DataFrame, unmet: Sequence[str]) -> None:
    clients, customers = (found.filter(kind)["account_id"].n_unique() for kind in ("is_client", ~pl.col("is_client")))
    if found["account_id"].n_unique() < LEAST_ACCOUNTS or min(clients, customers) < LEAST_OF_EACH:
        raise ConfigurationError(
            "\n".join(
                [
                    f"{labels}: of {clients:,} accounts labels say client (4 and 5), of {customers:,} customer (1 and 2); it takes "
                    f"{LEAST_ACCOUNTS}, and {LEAST_OF_EACH} of each. Nothing was written. "
                    f"{'Correct those that were left out, or label' if unmet else 'Label'} more accounts.",
                    *unmet,
                ]
            )
        )


def _doubts(calibration: Calibration, ruler: Ruler) -> Iterator[str]:
    before, after = calibration.before, calibration.after
    if before.auc < 0.5:
        yield "The score as it is speaks against the labels. Is 5 a client in this file, and 1 a customer?"
    if after.log_loss >= before.log_loss:
        yield "The calibrated score is no better than the score as it is, on labels that it has not seen: keep the ruler."
    if ruler.origin == "calibrated":
        yield "The ruler was calibrated before. Where these labels were among those, the score as it is looks better than it is."
    if calibration.at_bound:
        yield f"By these labels the weights of {', '.join(calibration.at_bound)} would change their sign; they count next to nothing."
