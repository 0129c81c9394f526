"""The relationship features: one function each, named as in `config.catalogue`.

Each function returns an expression over the statistics of `sql/features/account_lines.sql` (one row per account x
line), so that a
feature of one account never depends on another account. Unless named otherwise a feature covers the 365 days that end
at `as_of`.
Too little evidence gives NULL, never 0.
"""

from collections.abc import Collection
from datetime import date

import polars as pl

from config.catalogue import FEATURES

SHRINKING_GAPS = 3
CO_DEVELOPMENT_HALF = 3
CO_DEVELOPMENT_HALVES_DAYS = 180
MONTHS = 12
WINDOW_DAYS = 365


def relationship_features(statistics: pl.LazyFrame, as_of: date, recorded: Collection[str]) -> pl.LazyFrame:
    """All features of each account x line.

    Args:
        statistics: one row per account x line, as `sql/features/account_lines.sql` gives it.
        as_of: the last day counted, inclusive.
        recorded: the conformed columns that the business's sources map, and the kinds of engagement that they bring. A
            feature that needs another stays NULL for all.

    Returns:
        `account_id`, `line`, `as_of` and one column per feature of the catalogue, rows in the order given.
    """
    day = pl.lit(as_of)
    unknown = unrecorded_features(recorded)
    features = [
        (pl.lit(None) if feature.name in unknown else FUNCTIONS[feature.name](day))
        .cast(POLARS_TYPES[feature.unit])
        .alias(feature.name)
        for feature in FEATURES
    ]
    return statistics.select("account_id", "line", day.alias("as_of"), *features)


def unrecorded_features(recorded: Collection[str]) -> list[str]:
    """Features that are NULL for every account, since no source maps a conformed column or brings an event that they need."""
    return [
        feature.name
        for feature in FEATURES
        if not all(any(name in recorded for name in need.split("|")) for need in feature.needs)
    ]


POLARS_TYPES = {
    "days": pl.Int64,
    "count": pl.Int64,
    "money": pl.Decimal(18, 4),
    "share": pl.Float64,
    "number": pl.Float64,
    "premium": pl.Float64,
}

_ordered = pl.col("occasions") > 0


def _days_since(day: pl.Expr, column: str) -> pl.Expr:
    return (day - pl.col(column)).dt.total_days()


def _share(part: str, whole: str) -> pl.Expr:
    """Part of a net revenue, kept within [0, 1]; NULL where the whole is not positive."""
    whole_amount = pl.col(whole).cast(pl.Float64)
    return pl.when(whole_amount > 0).then((pl.col(part).cast(pl.Float64) / whole_amount).clip(0, 1))


def _months_since(day: pl.Expr, column: pl.Expr) -> pl.Expr:
    """Calendar months from that of a date to that of `day`, both counted, at most 12."""
    months = (
        (day.dt.year() - column.dt.year()) * 12 + day.dt.month().cast(pl.Int32) - column.dt.month().cast(pl.Int32) + 1
    )
    return months.clip(upper_bound=MONTHS)


def tenure_days(day: pl.Expr) -> pl.Expr:
    """Days since the first purchase occasion."""
    return _days_since(day, "first_order_on")


def order_days(day: pl.Expr) -> pl.Expr:
    """Purchase occasions ever."""
    return pl.when(_ordered).then(pl.col("occasions"))


def order_days_12m(day: pl.Expr) -> pl.Expr:
    """Purchase occasions in the window."""
    return pl.when(_ordered).then(pl.col("occasions_12m"))


def repeat_order_days(day: pl.Expr) -> pl.Expr:
    """Purchase occasions after the first: x of the buy-till-you-die models."""
    return pl.when(_ordered).then(pl.col("occasions") - 1)


def days_since_last_order(day: pl.Expr) -> pl.Expr:
    """Days since the last purchase occasion."""
    return _days_since(day, "last_order_on")


def days_since_last_contact(day: pl.Expr) -> pl.Expr:
    """Days since the last personal contact, either way; bulk mail, automatic replies and surveys do not count."""
    return _days_since(day, "last_contact_on")


def active_month_share(day: pl.Expr) -> pl.Expr:
    """Months with a purchase occasion or a two-way contact, of the calendar months since the first of either.

    At most the last 12 calendar months, that of `as_of` included; NULL under 2. A contact is two-way when the account
    took part: it wrote,
    or it was live. After the "ongoing exchange" of Dwyer, Schurr and Oh (1987).
    """
    first = pl.min_horizontal("first_order_on", "first_two_way_on")
    months = _months_since(day, first)
    return pl.when(months >= 2).then(pl.col("active_months") / months)


def gap_regularity(day: pl.Expr) -> pl.Expr:
    """Evenness of the gaps between purchase occasions, (1 - B) / 2, shrunk to 0.5 with the weight of 3 gaps.

    B is the burstiness for finite sequences of Kim and Jo (2016), equation 28: -1 clockwork, 0 random, towards 1 in
    bursts. NULL under 3 gaps.
    """
    gaps = pl.col("gaps_12m")
    mean = pl.col("gap_days_12m") / gaps
    variance = (gaps * pl.col("gap_days_squared_12m") - pl.col("gap_days_12m") ** 2) / gaps**2
    ratio = variance.clip(0).sqrt() / mean
    more, less = (gaps + 2).sqrt(), gaps.sqrt()
    burstiness = (more * ratio - less) / ((more - 2) * ratio + less)
    regularity = (1 - burstiness) / 2
    shrunk = (gaps * regularity + SHRINKING_GAPS * 0.5) / (gaps + SHRINKING_GAPS)
    return pl.when(gaps >= 3).then(shrunk)


def p_alive(day: pl.Expr) -> pl.Expr:
    """Probability that the account still orders, by the purchase model of its line; 1 while a contract runs.

    MBG/NBD of Batislam et al. (2007): unlike the BG/NBD, an account with one order can have gone.
    """
    runs = (pl.col("contract_runs_until") >= day).fill_null(False)
    return pl.when(_ordered & runs).then(1.0).when(_ordered).then(pl.col("model_p_alive"))


def expected_order_days_12m(day: pl.Expr) -> pl.Expr:
    """Purchase occasions expected in the next 52 weeks, by the purchase model of its line."""
    return pl.when(_ordered).then(pl.col("model_expected_order_days"))


def expected_order_value(day: pl.Expr) -> pl.Expr:
    """Revenue expected of one purchase occasion: Gamma-Gamma of Fader and Hardie (2013).

    Without a repeat order it is a prior, the mean of the line's accounts. NULL for a line in which the number and the value of orders
    go together (correlation above 0.3): the model does not hold there.
    """
    return pl.when(_ordered).then(pl.col("model_order_value"))


def clv_12m(day: pl.Expr) -> pl.Expr:
    """Margin expected in the next 52 weeks: expected occasions x expected value x the business's margin, undiscounted."""
    revenue = pl.col("model_expected_order_days") * pl.col("model_order_value")
    return pl.when(_ordered).then(revenue * pl.col("margin_share"))


def custom_revenue_share(day: pl.Expr) -> pl.Expr:
    """Share of revenue from bespoke, quoted or configured lines, where the flag is known; NULL where they net to 0 or less."""
    return _share("custom_12m", "custom_known_12m")


def reciprocity(day: pl.Expr) -> pl.Expr:
    """Balance of messages, 2 min(I, O) / (I + O + 2): (1, 0) gives 0, (20, 20) gives 0.952; NULL where there are none.

    I and O are personal messages from the account and from the business; a live contact counts one each way.
    """
    inbound, outbound = pl.col("inbound_12m"), pl.col("outbound_12m")
    total = inbound + outbound
    return pl.when(total > 0).then(2 * pl.min_horizontal(inbound, outbound) / (total + 2))


def live_contact_days(day: pl.Expr) -> pl.Expr:
    """Days with a meeting, call, visit or consultation."""
    return pl.col("live_contact_days_12m")


def co_development(day: pl.Expr) -> pl.Expr:
    """How much the account is consulted in development: d / (d + 3), d = sum of 2^(-age / 180 days). Judgement.

    Consultations, feature requests, pilots, design reviews and feedback from the account count; complaints and score
    clicks do not.
    """
    halvings = _days_since(day, "last_co_development_on") * (1 / CO_DEVELOPMENT_HALVES_DAYS)
    mass = (pl.col("co_development_mass") / pl.lit(2.0).pow(halvings)).fill_null(0.0)
    return mass / (mass + CO_DEVELOPMENT_HALF)


def handler_share(day: pl.Expr) -> pl.Expr:
    """Share of handled contacts and order days served by the most frequent handler, top / (n + 2); NULL under 2."""
    handled = pl.col("handled_contacts_12m")
    return pl.when(handled >= 2).then(pl.col("top_handler_contacts_12m") / (handled + 2))


def reply_rate(day: pl.Expr) -> pl.Expr:
    """Share of the business's messages that the account answered within 7 days; NULL under 3 messages.

    A message names what it answers, is in the same thread, or is the account's next where there are no threads. Messages
    of the last 7 days are left out.
    """
    sent = pl.col("sent_12m")
    return pl.when(sent >= 3).then(pl.col("answered_12m") / sent)


def contact_initiation(day: pl.Expr) -> pl.Expr:
    """Share of conversations that the account opened; a conversation opens after 30 silent days. NULL under 3."""
    conversations = pl.col("conversations_12m")
    return pl.when(conversations >= 3).then(pl.col("account_conversations_12m") / conversations)


def contact_breadth(day: pl.Expr) -> pl.Expr:
    """How many of the account's people take part, exp(entropy) over those with 2 or more contacts; NULL without one."""
    contacts = pl.col("people_contacts_12m")
    entropy = contacts.log() - pl.col("people_n_ln_n_12m") / contacts
    return pl.when(contacts > 0).then(entropy.exp().clip(lower_bound=1))


def contract_coverage(day: pl.Expr) -> pl.Expr:
    """Share of the window's days under a contract; a recurring line without a term runs for a month."""
    return pl.when(_ordered).then(pl.col("contract_days_12m") * (1 / WINDOW_DAYS))


def price_premium(day: pl.Expr) -> pl.Expr:
    """Revenue-weighted mean of ln(price paid / reference), each within [-1, 1]; NULL under 3 comparable lines.

    The reference is the list price, else the median of what other accounts paid for the product in that month: the one
    feature that looks at others.
    """
    return pl.when(pl.col("priced_lines_12m") >= 3).then(pl.col("weighted_premium_12m") / pl.col("priced_12m"))


def revenue_total(day: pl.Expr) -> pl.Expr:
    """Revenue ever, net of returns and cancellations; may be 0 or less after returns."""
    return pl.col("revenue_total")


def revenue_12m(day: pl.Expr) -> pl.Expr:
    """Revenue of the window, net of returns and cancellations; a return takes back on the day of its order."""
    return pl.col("revenue_12m")


def mean_order_value(day: pl.Expr) -> pl.Expr:
    """Revenue of the window per purchase occasion in it; NULL without one."""
    return pl.when(pl.col("occasions_12m") > 0).then(pl.col("revenue_12m") / pl.col("occasions_12m"))


def recurring_revenue_share(day: pl.Expr) -> pl.Expr:
    """Share of revenue under contract, subscription or retainer, prepayments spread evenly over the days of their term.

    Of the lines whose flag is known; NULL where they net to 0 or less.
    """
    moved = pl.col("prepaid_recognised_12m") - pl.col("prepaid_booked_12m").cast(pl.Float64)
    whole = pl.col("recurring_known_12m").cast(pl.Float64) + moved
    return pl.when(whole > 0).then(((pl.col("recurring_12m").cast(pl.Float64) + moved) / whole).clip(0, 1))


def revenue_stability(day: pl.Expr) -> pl.Expr:
    """Evenness of monthly revenue, 1 / (1 + CV), over the calendar months since the first order, at most the last 12.

    CV is the population standard deviation over the mean. The month of `as_of` counts. NULL under 3 months, or where
    the mean is not positive.
    """
    months = _months_since(day, pl.col("first_order_on"))
    total = pl.col("monthly_revenue_sum").cast(pl.Decimal(38, 8))
    spread = pl.col("monthly_revenue_squared_sum") * months - total * total  # exact: even months give 1, not nearly 1
    variation = spread.cast(pl.Float64).sqrt() / total.cast(pl.Float64)
    return pl.when((months >= 3) & (total > 0)).then(1 / (1 + variation))


def service_revenue_share(day: pl.Expr) -> pl.Expr:
    """Share of revenue from professional services, of the lines whose flag is known; NULL where they net to 0 or less."""
    return _share("service_12m", "service_known_12m")


def self_service_share(day: pl.Expr) -> pl.Expr:
    """Share of purchase occasions by self-service or without a named handler on all their lines, where the channel is known."""
    known = pl.col("channel_known_days_12m")
    return pl.when(known > 0).then(pl.col("self_service_days_12m") / known)


def referrals(day: pl.Expr) -> pl.Expr:
    """Accounts referred in the last 730 days; NULL where there were none."""
    return pl.when(pl.col("referrals_24m") > 0).then(pl.col("referrals_24m"))


def satisfaction(day: pl.Expr) -> pl.Expr:
    """Mean of the scores given, 0 to 1; NULL where there were none."""
    return pl.when(pl.col("scores_12m") > 0).then(pl.col("score_sum_12m") / pl.col("scores_12m"))


FUNCTIONS = {each.name: globals()[each.name] for each in FEATURES}
