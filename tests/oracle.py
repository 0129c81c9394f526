"""Features, scores and verdicts computed slowly from their definitions: loops over rows, fractions for money.

It shares no code with the product, so that a difference shows a mistake in one of the two. Rows are plain dicts with
the columns of `checked_orders` and `checked_engagements`.
"""

import math
from calendar import monthrange
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import Any

Row = dict[str, Any]
Key = tuple[str, str]
Value = int | float | Fraction | None

WINDOW_DAYS = 365
REFERRAL_DAYS = 730
LIVE = ("meeting", "call", "visit", "consultation")
DEVELOPING = ("consultation", "feature_request", "pilot", "design_review")
SELF_SERVICE = ("web", "shop", "store", "online", "app", "kiosk", "self_service", "marketplace")
MBG_NBD = (0.525, 6.183, 0.891, 1.614)
GAMMA_GAMMA = (6.25, 3.74, 15.44)
CANCELLED = ("cancelled", "canceled", "void", "voided")

ORDER_TIES = [
    "updated_at",
    "delivered_at",
    "amount",
    "ordered_at",
    "account_id",
    "line",
    "status",
    "handler",
    "channel",
    "product_id",
    "category",
    "quantity",
    "list_amount",
    "is_custom",
    "is_recurring",
    "is_service",
    "term_months",
]
ENGAGEMENT_TIES = [
    "updated_at",
    "delivered_at",
    "occurred_at",
    "account_id",
    "line",
    "kind",
    "direction",
    "is_bulk",
    "thread_id",
    "in_reply_to",
    "contact",
    "handler",
    "minutes",
    "score",
]


@dataclass(frozen=True)
class History:
    """What is known of an account in one line: its order lines as they stand, and its engagement, up to `as_of`."""

    as_of: date
    sold: tuple[Row, ...]
    met: tuple[Row, ...]
    others_sold: tuple[Row, ...] = ()

    def age(self, day: date) -> int:
        return (self.as_of - day).days

    def in_window(self, day: date, days: int = WINDOW_DAYS) -> bool:
        return 0 <= self.age(day) < days


def standing(rows: Iterable[Row], key: tuple[str, ...], ties: Sequence[str]) -> list[Row]:
    """The latest good version of each key; what is not given comes before what is."""
    latest: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        if row["reason"] is None:
            name = tuple(row[column] for column in key)
            if name not in latest or _rank(row, ties) > _rank(latest[name], ties):
                latest[name] = row
    return list(latest.values())


def _rank(row: Row, ties: Sequence[str]) -> list[tuple[bool, Any]]:
    return [(row[column] is not None, row[column]) for column in ties]


def standing_orders(rows: Iterable[Row]) -> list[Row]:
    """Order lines as they stand, each with `counted_on`: of a return that names its order the day of that order.

    Such a return is of the kind that the order's lines are, where all are of one; one that says nothing of its kind is divided.
    """
    latest = standing(rows, ("source", "order_id", "line_number"), ORDER_TIES)
    good = [row | {"amount": Fraction(row["amount"])} for row in latest if row["status"] not in CANCELLED]
    same = ("source", "order_id", "account_id", "line")
    found = []
    for row in good:
        alike = [other for other in good if all(other[name] == row[name] for name in same)]
        found += _divided(row, alike) or [row | _as_sold(row, alike)]
    return found


KINDS = ("is_custom", "is_recurring", "is_service", "term_months")


def _kind(row: Row) -> tuple:
    return tuple(row[name] for name in KINDS)


def _is_silent(row: Row) -> bool:
    return row["amount"] < 0 and set(_kind(row)) == {None}


def _divided(row: Row, alike: list[Row]) -> list[Row]:
    """A return that says nothing of its kind, as one row a kind, of what is left of each by then; none where nothing is left."""
    if not _is_silent(row):
        return []
    known = [other for other in alike if not _is_silent(other) and other["ordered_on"] <= row["ordered_on"]]
    left = {kind: sum(each["amount"] for each in known if _kind(each) == kind) for kind in map(_kind, known)}
    # false before true before unknown, so that what cannot be divided evenly goes to the same kinds
    some = sorted(
        (kind for kind in left if left[kind] > 0), key=lambda kind: [(value is None, value or 0) for value in kind]
    )
    whole = sum(left[kind] for kind in some)
    silent = [other for other in alike if _is_silent(other)]
    before = sum(-each["amount"] for each in silent if each["ordered_on"] < row["ordered_on"])
    before += sum(-each["amount"] for each in silent[: silent.index(row)] if each["ordered_on"] == row["ordered_on"])
    sold_on = [each["ordered_on"] for each in known if left[_kind(each)] > 0]
    parts, reached = [], Fraction(0)
    for kind in some:
        shares = [
            math.floor(10_000 * back * (reached + each) / whole)
            for back in (before, before - row["amount"])
            for each in (0, left[kind])
        ]
        reached += left[kind]
        amount = Fraction(shares[3] - shares[2] - shares[1] + shares[0], 10_000)
        parts.append(row | dict(zip(KINDS, kind, strict=True)) | {"amount": -amount, "counted_on": min(sold_on)})
    return parts


def _as_sold(row: Row, alike: list[Row]) -> Row:
    sold = [
        other for other in alike if row["amount"] < 0 < other["amount"] and other["ordered_on"] <= row["ordered_on"]
    ]
    found: Row = {"counted_on": min([row["ordered_on"], *(other["ordered_on"] for other in sold)])}
    for name in ("is_custom", "is_recurring", "is_service", "term_months"):
        kinds = {other[name] for other in sold}
        if len(kinds) == 1 and kinds != {None}:
            found[name] = kinds.pop()
    return found


def histories(orders: Iterable[Row], engagements: Iterable[Row], as_of: date) -> dict[Key, History]:
    """Every account x line with an order line (cancelled or not) or an event up to `as_of`."""
    orders = list(orders)
    named = standing(orders, ("source", "order_id", "line_number"), ORDER_TIES)
    met = [row for row in standing(engagements, ("source", "event_id"), ENGAGEMENT_TIES) if row["occurred_on"] <= as_of]
    sold = [row for row in standing_orders(orders) if row["ordered_on"] <= as_of]
    keys = {_key(row) for row in named if row["ordered_on"] <= as_of} | {_key(row) for row in met}
    return {
        key: History(
            as_of,
            tuple(row for row in sold if _key(row) == key),
            tuple(row for row in met if _key(row) == key),
            tuple(row for row in sold if row["line"] == key[1] and row["account_id"] != key[0]),
        )
        for key in keys
    }


def _key(row: Row) -> Key:
    return row["account_id"], row["line"]


def features(orders: Iterable[Row], engagements: Iterable[Row], as_of: date) -> dict[Key, dict[str, Value]]:
    """All features of each account x line."""
    found = histories(orders, engagements, as_of)
    return {key: {name: feature(history) for name, feature in FEATURES.items()} for key, history in found.items()}


# --- days, months and occasions


def net_of_days(history: History) -> dict[date, Fraction]:
    nets: dict[date, Fraction] = {}
    for row in history.sold:
        nets[row["counted_on"]] = nets.get(row["counted_on"], Fraction(0)) + row["amount"]
    return nets


def occasions(history: History) -> list[date]:
    return sorted(day for day, net in net_of_days(history).items() if net > 0)


def recent_occasions(history: History) -> list[date]:
    return [day for day in occasions(history) if history.in_window(day)]


def months_since(first: date, last: date) -> list[tuple[int, int]]:
    """Calendar months from that of `first` to that of `last`, the last 12 of them."""
    months, month = [], (first.year, first.month)
    while month <= (last.year, last.month):
        months.append(month)
        month = (month[0] + 1, 1) if month[1] == 12 else (month[0], month[1] + 1)
    return months[-12:]


def is_personal(row: Row) -> bool:
    return not row["is_bulk"] and row["kind"] not in ("campaign", "survey")


def messages(row: Row) -> tuple[int, int]:
    """How many messages an event is from the account, and from the business."""
    if not is_personal(row) or row["kind"] == "referral":
        return 0, 0
    if row["kind"] in LIVE or row["direction"] == "mutual":
        return 1, 1
    return (1, 0) if row["direction"] == "inbound" else (0, 1)


def two_way_days(history: History) -> list[date]:
    return sorted(row["occurred_on"] for row in history.met if messages(row)[0])


def contact_days(history: History) -> list[date]:
    return sorted(row["occurred_on"] for row in history.met if is_personal(row))


def last(days: list[date], history: History) -> int | None:
    return history.age(days[-1]) if days else None


# --- features


def tenure_days(history: History) -> Value:
    days = occasions(history)
    return history.age(days[0]) if days else None


def order_days(history: History) -> Value:
    return len(occasions(history)) or None


def order_days_12m(history: History) -> Value:
    return len(recent_occasions(history)) if occasions(history) else None


def repeat_order_days(history: History) -> Value:
    return len(occasions(history)) - 1 if occasions(history) else None


def days_since_last_order(history: History) -> Value:
    return last(occasions(history), history)


def days_since_last_contact(history: History) -> Value:
    return last(contact_days(history), history)


def active_month_share(history: History) -> Value:
    active = occasions(history) + two_way_days(history)
    if not active:
        return None
    months = months_since(min(active), history.as_of)
    if len(months) < 2:
        return None
    return sum(1 for month in months if any((day.year, day.month) == month for day in active)) / len(months)


def gap_regularity(history: History) -> Value:
    days = recent_occasions(history)
    gaps = [(later - earlier).days for earlier, later in pairwise(days)]
    if len(gaps) < 3:
        return None
    regularity = (1 - burstiness(gaps)) / 2
    return (len(gaps) * regularity + 3 * 0.5) / (len(gaps) + 3)


def burstiness(gaps: list[int]) -> float:
    """Kim and Jo 2016, for n events and the n - 1 gaps between them."""
    n = len(gaps) + 1
    mean = Fraction(sum(gaps), len(gaps))
    spread = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    r = math.sqrt(spread / mean**2)
    return (math.sqrt(n + 1) * r - math.sqrt(n - 1)) / ((math.sqrt(n + 1) - 2) * r + math.sqrt(n - 1))


def revenue(history: History, counts: Callable[[Row], bool]) -> Fraction:
    return sum((row["amount"] for row in history.sold if counts(row)), Fraction(0))


def share(history: History, flag: str) -> Value:
    """Share of the window's revenue of flagged lines, of those whose flag is known."""
    whole = revenue(history, lambda row: history.in_window(row["counted_on"]) and row[flag] is not None)
    part = revenue(history, lambda row: history.in_window(row["counted_on"]) and row[flag] is True)
    return float(min(max(part / whole, 0), 1)) if whole > 0 else None


def custom_revenue_share(history: History) -> Value:
    return share(history, "is_custom")


def service_revenue_share(history: History) -> Value:
    return share(history, "is_service")


def reciprocity(history: History) -> Value:
    recent = [messages(row) for row in history.met if history.in_window(row["occurred_on"])]
    inbound, outbound = sum(each[0] for each in recent), sum(each[1] for each in recent)
    return 2 * min(inbound, outbound) / (inbound + outbound + 2) if inbound + outbound else None


def live_contact_days(history: History) -> Value:
    return len(
        {
            row["occurred_on"]
            for row in history.met
            if is_personal(row) and row["kind"] in LIVE and history.in_window(row["occurred_on"])
        }
    )


def co_development(history: History) -> Value:
    d = 0.0
    for row in history.met:
        consulted = row["kind"] in DEVELOPING or (row["kind"] == "feedback" and row["direction"] != "outbound")
        if is_personal(row) and consulted and history.in_window(row["occurred_on"]):
            d += 2 ** (-history.age(row["occurred_on"]) / 180)
    return d / (d + 3)


def revenue_total(history: History) -> Value:
    return revenue(history, lambda row: True) if has_revenue(history) else None


def revenue_12m(history: History) -> Value:
    return revenue(history, lambda row: history.in_window(row["counted_on"])) if has_revenue(history) else None


def has_revenue(history: History) -> bool:
    """Whether there is anything to add up: orders that were given back in full equal never having had them."""
    return any(net != 0 for net in net_of_days(history).values())


def mean_order_value(history: History) -> Value:
    days = recent_occasions(history)
    return round(revenue(history, lambda row: history.in_window(row["counted_on"])) / len(days), 4) if days else None


def recurring_revenue_share(history: History) -> Value:
    """Prepayments are taken day by day over their term, so that those of before the window count in it too."""
    whole = part = Fraction(0)
    for row in history.sold:
        if row["is_recurring"] is not None:
            if is_prepaid(row):
                term = term_days(row["counted_on"], row["term_months"])
                days = [row["counted_on"] + timedelta(days=number) for number in range(term)]
                amount = row["amount"] * sum(1 for day in days if history.in_window(day)) / term
            else:
                amount = row["amount"] if history.in_window(row["counted_on"]) else Fraction(0)
            whole += amount
            part += amount if row["is_recurring"] else 0
    return float(min(max(part / whole, 0), 1)) if whole > 0 else None


def is_prepaid(row: Row) -> bool:
    return row["is_recurring"] is True and row["term_months"] is not None and row["term_months"] > 1


def term_days(first: date, months: int) -> int:
    """Days up to the same day so many months on, from a month's last day, or to a month that has no such day, to the last."""
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    longest = monthrange(year, month + 1)[1]
    ends_a_month = first.day == monthrange(first.year, first.month)[1]
    return (date(year, month + 1, longest if ends_a_month else min(first.day, longest)) - first).days


def p_alive(history: History) -> Value:
    """MBG/NBD of Batislam et al. 2007, with the parameters of the tests; certain under a running contract."""
    if not occasions(history):
        return None
    return 1.0 if runs_a_contract(history) else _alive(*purchases(history))


def purchases(history: History) -> tuple[int, float, float]:
    """Repeat occasions, weeks from the first to the last, weeks since the first."""
    days = occasions(history)
    return len(days) - 1, (days[-1] - days[0]).days / 7, history.age(days[0]) / 7


def _alive(x: int, t_x: float, tenure: float) -> float:
    r, alpha, a, b = MBG_NBD
    return 1 / (1 + a / (b + x) * ((alpha + tenure) / (alpha + t_x)) ** (r + x))


def expected_order_days_12m(history: History) -> Value:
    if not occasions(history):
        return None
    x, t_x, tenure = purchases(history)
    r, alpha, a, b = MBG_NBD
    total = alpha + tenure + 52
    series = _hypergeometric(r + x, b + x + 1, a + b + x, 52 / total)
    ahead = (a + b + x) / (a - 1) * (1 - ((alpha + tenure) / total) ** (r + x) * series)
    return ahead * _alive(x, t_x, tenure)


def _hypergeometric(a: float, b: float, c: float, z: float) -> float:
    """Gauss's series, summed until its terms vanish."""
    terms, term, n = [], 1.0, 0
    while term > 1e-18:
        terms.append(term)
        term *= (a + n) * (b + n) / ((c + n) * (n + 1)) * z
        n += 1
    return math.fsum(terms)


def expected_order_value(history: History) -> Value:
    """Revenue of one occasion, as money."""
    return _money(_order_value(history)) if occasions(history) else None


def _order_value(history: History) -> float:
    """Gamma-Gamma of Fader and Hardie 2013, with the parameters of the tests; the first occasion's value is left out."""
    days = occasions(history)
    p, q, gamma = GAMMA_GAMMA
    repeats = float(sum(net_of_days(history)[day] for day in days[1:]))
    return p * (gamma + repeats) / (p * (len(days) - 1) + q - 1)


def clv_12m(history: History) -> Value:
    if not occasions(history):
        return None
    return _money(float(expected_order_days_12m(history) or 0) * _order_value(history))


def _money(amount: float) -> Fraction:
    """To the four places that money is kept with."""
    return round(Fraction(amount), 4)


def contract_coverage(history: History) -> Value:
    if not occasions(history):
        return None
    days = {
        start + timedelta(days=number)
        for (start, term), amount in contracts(history).items()
        if amount > 0
        for number in range(term)
    }
    return sum(history.in_window(day) for day in days) / WINDOW_DAYS


def handler_share(history: History) -> Value:
    met = [row["handler"] for row in history.met if is_personal(row) and history.in_window(row["occurred_on"])]
    served = {(row["counted_on"], row["handler"]) for row in history.sold if row["amount"] > 0}
    handlers = Counter(met + [handler for day, handler in served if history.in_window(day)])
    del handlers[None]
    return max(handlers.values()) / (handlers.total() + 2) if handlers.total() >= 2 else None


def contact_breadth(history: History) -> Value:
    met = [row["contact"] for row in history.met if is_personal(row) and history.in_window(row["occurred_on"])]
    people = [contacts for person, contacts in Counter(met).items() if person is not None and contacts >= 2]
    return math.exp(-math.fsum(n / sum(people) * math.log(n / sum(people)) for n in people)) if people else None


def talk(history: History) -> list[Row]:
    """Personal events in the order of time, the account's first where several happened at one instant."""
    personal = [row for row in history.met if is_personal(row) and row["kind"] != "referral"]
    rank = {"inbound": 0, "mutual": 1, "outbound": 2}
    return sorted(personal, key=lambda row: (row["occurred_at"], rank[row["direction"]]))


def reply_rate(history: History) -> Value:
    sent = [
        row
        for row in talk(history)
        if row["direction"] == "outbound"
        and row["kind"] not in LIVE
        and 7 <= history.age(row["occurred_on"]) < WINDOW_DAYS
    ]
    return sum(is_answered(row, history) for row in sent) / len(sent) if len(sent) >= 3 else None


def is_answered(sent: Row, history: History) -> bool:
    answers = [row for row in talk(history) if messages(row)[0]]
    thread = [
        row for row in answers if row["thread_id"] == sent["thread_id"] and row["occurred_at"] > sent["occurred_at"]
    ]
    named = [row for row in answers if (row["source"], row["in_reply_to"]) == (sent["source"], sent["event_id"])]
    later_named = [row for row in named if row["occurred_at"] > sent["occurred_at"]]
    return any((row["occurred_on"] - sent["occurred_on"]).days <= 7 for row in thread + later_named)


def contact_initiation(history: History) -> Value:
    events = talk(history)
    openings = [
        row
        for before, row in zip([None, *events], events, strict=False)
        if before is None or (row["occurred_on"] - before["occurred_on"]).days > 30
    ]
    recent = [row["direction"] == "inbound" for row in openings if history.in_window(row["occurred_on"])]
    return sum(recent) / len(recent) if len(recent) >= 3 else None


def price_premium(history: History) -> Value:
    compared: list[tuple[int, Fraction, float]] = []
    bought = [row for row in history.sold if row["amount"] > 0 and history.in_window(row["counted_on"])]
    for row in bought:
        if row["list_amount"] is not None and row["list_amount"] > 0:
            compared.append((1, row["amount"], float(row["amount"]) / float(row["list_amount"])))
    for product in {_product(row) for row in bought if is_priced(row)}:
        own = [row for row in bought if is_priced(row) and _product(row) == product]
        others: dict[str, list[Row]] = {}
        for row in history.others_sold:
            if is_priced(row) and history.in_window(row["counted_on"]) and _product(row) == product:
                others.setdefault(row["account_id"], []).append(row)
        if others:
            reference = median([unit_price(rows) for rows in others.values()])
            compared.append((len(own), sum((row["amount"] for row in own), Fraction(0)), unit_price(own) / reference))
    if sum(lines for lines, _, _ in compared) < 3:
        return None
    weighted = math.fsum(float(amount) * max(-1.0, min(1.0, math.log(ratio))) for _, amount, ratio in compared)
    return weighted / float(sum(amount for _, amount, _ in compared))


def is_priced(row: Row) -> bool:
    listed = row["list_amount"] is not None and row["list_amount"] > 0
    return row["amount"] > 0 and not listed and row["product_id"] is not None and (row["quantity"] or 0) > 5e-7


def _product(row: Row) -> tuple[str, int, int]:
    return row["product_id"], row["counted_on"].year, row["counted_on"].month


def unit_price(rows: list[Row]) -> float:
    return float(sum(row["amount"] for row in rows)) / math.fsum(row["quantity"] for row in rows)


def revenue_stability(history: History) -> Value:
    if not occasions(history):
        return None
    months = months_since(occasions(history)[0], history.as_of)
    amounts = [
        revenue(history, lambda row, month=month: (row["counted_on"].year, row["counted_on"].month) == month)
        for month in months
    ]
    mean = sum(amounts) / len(months)
    if len(months) < 3 or mean <= 0:
        return None
    spread = sum((amount - mean) ** 2 for amount in amounts) / len(months)
    return 1 / (1 + math.sqrt(spread / mean**2))


def self_service_share(history: History) -> Value:
    known = alone = 0
    for day in recent_occasions(history):
        lines = [
            row for row in history.sold if row["counted_on"] == day and row["amount"] > 0 and row["channel"] is not None
        ]
        known += bool(lines)
        alone += bool(lines) and all(row["handler"] is None or row["channel"] in SELF_SERVICE for row in lines)
    return alone / known if known else None


def referrals(history: History) -> Value:
    met = [row for row in history.met if history.in_window(row["occurred_on"], REFERRAL_DAYS)]
    return sum(1 for row in met if row["kind"] == "referral" and not row["is_bulk"]) or None


def satisfaction(history: History) -> Value:
    given = [row["score"] for row in history.met if history.in_window(row["occurred_on"]) and row["score"] is not None]
    return math.fsum(given) / len(given) if given else None


FEATURES: dict[str, Callable[[History], Value]] = {
    each.__name__: each
    for each in (
        tenure_days,
        order_days,
        order_days_12m,
        repeat_order_days,
        days_since_last_order,
        days_since_last_contact,
        active_month_share,
        gap_regularity,
        custom_revenue_share,
        reciprocity,
        live_contact_days,
        co_development,
        revenue_total,
        revenue_12m,
        mean_order_value,
        recurring_revenue_share,
        revenue_stability,
        service_revenue_share,
        self_service_share,
        referrals,
        satisfaction,
        p_alive,
        expected_order_days_12m,
        expected_order_value,
        clv_12m,
        contract_coverage,
        handler_share,
        contact_breadth,
        reply_rate,
        contact_initiation,
        price_premium,
    )
}


# --- score and verdict


def log_odds(known: Mapping[str, Value], ruler: Any) -> float:
    total = [ruler.base]
    for name, gauge in ruler.features.items():
        value = known[name]
        if value is not None:
            z = (float(value) - gauge.neutral) / gauge.scale
            total.append(gauge.weight * max(-2.0, min(2.0, z)))
    return math.fsum(total)


def score(known: Mapping[str, Value], ruler: Any) -> float:
    return 100 / (1 + math.exp(-log_odds(known, ruler)))


def evidence(known: dict[str, Value], ruler: Any) -> float:
    weights = {name: abs(gauge.weight) for name, gauge in ruler.features.items()}
    return sum(weight for name, weight in weights.items() if known[name] is not None) / sum(weights.values())


def raw_segment(history: History, known: dict[str, Value], ruler: Any) -> str:
    if not occasions(history):
        return "prospect"
    if len(occasions(history)) == 1 or score(known, ruler) < ruler.verdict.enter:
        return "customer"
    return "client"


def stage(lines: Sequence[History], segment: str, ruler: Any) -> str:
    """The stage of an account in one line, or as a whole, of all its lines."""
    stages, under_contract = ruler.stages, any(map(runs_a_contract, lines))
    if segment == "customer" and sum(len(occasions(each)) for each in lines) == 1 and not under_contract:
        return "one_time"
    ages = [each.age(day) for each in lines for day in occasions(each)[:1] + contact_days(each)[:1]]
    if ages and max(ages) < stages.new_days:
        return "new"
    quiet = min(quiet_gaps(each, stages.usual_gap_days) for each in lines)
    if under_contract or quiet <= stages.at_risk_gaps:
        return "active"
    return "at_risk" if quiet <= stages.lapsed_gaps else "lapsed"


def quiet_gaps(history: History, gap: float) -> float:
    """The usual gaps, at least so many days each, since the last order or two-way contact."""
    ordered = occasions(history)
    if len(ordered) > 1:
        gap = max(gap, (ordered[-1] - ordered[0]).days / (len(ordered) - 1))
    heard = ordered[-1:] + two_way_days(history)[-1:]
    return history.age(max(heard)) / gap if heard else math.inf


def runs_a_contract(history: History) -> bool:
    """Whether a contract's term includes `as_of`; one that was given back in full does not run."""
    return any(amount > 0 and 0 <= history.age(start) < days for (start, days), amount in contracts(history).items())


def contracts(history: History) -> dict[tuple[date, int], Fraction]:
    """What was paid for each first day and term in days; recurring lines without a term run for a month."""
    paid: dict[tuple[date, int], Fraction] = {}
    for row in history.sold:
        if row["is_recurring"]:
            contract = row["counted_on"], term_days(row["counted_on"], row["term_months"] or 1)
            paid[contract] = paid.get(contract, Fraction(0)) + row["amount"]
    return paid


@dataclass(frozen=True)
class Dated:
    """What one day says of an account in one line."""

    day: date
    score: float
    occasions: int
    contract: bool
    override: str | None = None
    joined: bool = False


@dataclass
class Held:
    """The held verdict as the days make it, one after the other."""

    held: str
    since: date
    contract: bool
    calls: list[date]

    def switch(self, segment: str, day: date) -> None:
        self.held, self.since, self.calls = segment, day, []


def held_segments(days: Iterable[Dated], rules: Any) -> list[str]:
    """The segment of each day, by the rules as `domain` says them: thresholds, confirmation, dwell, hard facts, overrides."""
    state, found = None, []
    for each in days:
        fresh = "prospect" if each.occasions == 0 else "client" if _is_called(each, rules) else "customer"
        if state is None:
            state = Held(fresh, each.day, each.contract, [])
        else:
            _live_a_day(state, each, fresh, rules)
        state.contract = each.contract
        found.append(each.override or state.held)
    return found


def _is_called(each: Dated, rules: Any) -> bool:
    return each.occasions >= 2 and each.score >= rules.enter


def _live_a_day(state: Held, each: Dated, fresh: str, rules: Any) -> None:
    if "prospect" in (fresh, state.held) or each.occasions == 1:
        if fresh != state.held:
            state.switch(fresh, each.day)
        state.calls = []
        return
    call = "client" if each.score >= rules.enter else "customer" if each.score < rules.leave else state.held
    if call == state.held:
        state.calls = []
        return
    state.calls.append(each.day)
    starts = call == "client" and each.contract and not state.contract
    ends = call == "customer" and state.contract and not each.contract
    needed = {"client": rules.enter_days, "customer": rules.leave_days}[call]
    called = (each.day - state.calls[0]).days + 1 >= needed
    dwelt = (each.day - state.since).days >= rules.dwell_days
    if starts or ends or each.joined or (called and dwelt):
        state.switch(call, each.day)


SEGMENTS = ("client", "customer", "prospect")


def leading_line(lines: dict[str, Row]) -> str:
    """The line whose verdict the account has.

    Args:
        lines: per line `segment`, `score`, `revenue_12m` (None where there is none) and `personal_contacts_12m`.
    """
    revenues = {line: max(Fraction(row["revenue_12m"] or 0), Fraction(0)) for line, row in lines.items()}
    contacts = {line: row["personal_contacts_12m"] for line, row in lines.items()}
    matter = [
        line
        for line in lines
        if any(sum(of.values()) > 0 and 10 * of[line] >= sum(of.values()) for of in (revenues, contacts))
    ]
    return min(matter or lines, key=lambda line: (SEGMENTS.index(lines[line]["segment"]), -lines[line]["score"], line))


def personal_contacts_12m(history: History) -> int:
    return sum(1 for row in history.met if is_personal(row) and history.in_window(row["occurred_on"]))
