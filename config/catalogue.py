"""The relationship features, declared once.

A feature is an entry here and a function of the same name in `transforms.features`. The schema of `account_features`, the score, the words
of `explain`, the audits and the README's table are all read from this list.
"""

from dataclasses import dataclass
from typing import Literal

Dimension = Literal["ongoing", "personal", "two_way", "involvement", "value", "service", "advocacy"]
DIMENSIONS: tuple[Dimension, ...] = (
    "ongoing",
    "personal",
    "two_way",
    "involvement",
    "value",
    "service",
    "advocacy",
)

Unit = Literal["days", "count", "money", "share", "number", "premium"]

DUCKDB_TYPES: dict[Unit, str] = {
    "days": "BIGINT",
    "count": "BIGINT",
    "money": "DECIMAL(18,4)",
    "share": "DOUBLE",
    "number": "DOUBLE",
    "premium": "DOUBLE",
}

_RANGES: dict[Unit, tuple[float | None, float | None]] = {
    "days": (0, None),
    "count": (0, None),
    "money": (None, None),
    "share": (0, 1),
    "number": (0, None),
    "premium": (-1, 1),
}


@dataclass(frozen=True)
class Feature:
    """A relationship feature of an account in a line of business, as of a day.

    Attributes:
        name: column and function name.
        dimension: which part of the relationship it speaks of.
        unit: days, count, money (reporting currency), share (0 to 1), number (a quantity that need not be whole) or premium
            (logarithm of a ratio, -1 to 1).
        meaning: what it is, for the README and the warehouse.
        words: the sentence of a reason; `{}` takes the value in words.
        needs: conformed columns beyond the required ones of orders, or kinds of engagement, without which it stays NULL for
            every account; of `a|b` one is enough.
        source: author and year of the formula, "judgement" or "common".
    """

    name: str
    dimension: Dimension
    unit: Unit
    meaning: str
    words: str
    needs: tuple[str, ...] = ()
    source: str = "common"

    @property
    def low(self) -> float | None:
        """Least possible value, None where there is none."""
        return _RANGES[self.unit][0]

    @property
    def high(self) -> float | None:
        """Greatest possible value, None where there is none."""
        return _RANGES[self.unit][1]


_LIVE = "call|consultation|meeting|visit"
_DEVELOPMENT = "consultation|design_review|feature_request|feedback|pilot"
_EXCHANGE = f"{_LIVE}|{_DEVELOPMENT}|chat|email|ticket"

# fmt: off
FEATURES: tuple[Feature, ...] = (
    Feature("tenure_days", "ongoing", "days",
            "days since the first purchase occasion",
            "first ordered {} ago"),
    Feature("order_days", "ongoing", "count",
            "purchase occasions ever",
            "ordered on {} days in all"),
    Feature("order_days_12m", "ongoing", "count",
            "purchase occasions in the last 365 days",
            "ordered on {} days in the last 12 months"),
    Feature("repeat_order_days", "ongoing", "count",
            "purchase occasions after the first",
            "came back to order on {} days", source="Fader, Hardie and Lee 2005"),
    Feature("days_since_last_order", "ongoing", "days",
            "days since the last purchase occasion",
            "last ordered {} ago"),
    Feature("days_since_last_contact", "ongoing", "days",
            "days since the last personal contact, either way",
            "last personal contact {} ago", (f"{_EXCHANGE}|referral",)),
    Feature("active_month_share", "ongoing", "share",
            "months with an order or a two-way contact, of the last 12 at most",
            "ordered or in touch in {} of recent months", source="Dwyer, Schurr and Oh 1987"),
    Feature("gap_regularity", "ongoing", "share",
            "evenness of the gaps between orders: 1 clockwork, 0 bursts, shrunk to 0.5",
            "orders come with a regularity of {}", source="Kim and Jo 2016"),
    Feature("p_alive", "ongoing", "share",
            "probability that the account still orders; 1 under a running contract",
            "probability of ordering again {}", source="Batislam et al. 2007"),
    Feature("expected_order_days_12m", "ongoing", "number",
            "purchase occasions expected in the next 52 weeks",
            "about {} orders expected in the next 12 months", source="Batislam et al. 2007"),
    Feature("contract_coverage", "ongoing", "share",
            "share of the last 365 days under a contract",
            "under contract for {} of the last 12 months", ("is_recurring",)),
    Feature("custom_revenue_share", "personal", "share",
            "share of revenue from bespoke, quoted or configured lines",
            "{} of revenue from bespoke work", ("is_custom",), "relational exchange"),
    Feature("handler_share", "personal", "share",
            "share of handled contacts and order days served by the most frequent handler, shrunk",
            "served by the same person of ours: {} of the most possible", ("handler",)),
    Feature("reciprocity", "two_way", "share",
            "balance of messages both ways: 1 even, 0 one-sided",
            "balance of messages both ways {}", (_EXCHANGE,), "dyadic reciprocity"),
    Feature("reply_rate", "two_way", "share",
            "share of the business's personal messages answered within 7 days",
            "answers {} of our messages within a week", (_EXCHANGE,)),
    Feature("contact_initiation", "two_way", "share",
            "share of conversations that the account opened",
            "opens {} of the conversations", (_EXCHANGE,)),
    Feature("live_contact_days", "two_way", "count",
            "days with a meeting, call, visit or consultation",
            "met or talked on {} days in the last 12 months", (_LIVE,)),
    Feature("contact_breadth", "two_way", "number",
            "how many of the account's people take part, by entropy",
            "about {} of its people in regular contact", ("contact",)),
    Feature("co_development", "involvement", "share",
            "how much it is consulted in development, recent events counting more",
            "consulted in development: {} of the most possible", (_DEVELOPMENT,), "judgement"),
    Feature("revenue_total", "value", "money",
            "revenue ever, net of returns",
            "revenue of {} in all"),
    Feature("revenue_12m", "value", "money",
            "revenue of the last 365 days, net of returns",
            "revenue of {} in the last 12 months"),
    Feature("mean_order_value", "value", "money",
            "revenue of the last 365 days per purchase occasion",
            "{} an order"),
    Feature("expected_order_value", "value", "money",
            "revenue expected of one purchase occasion; without a repeat order it is a prior, the line's mean",
            "{} expected an order", source="Fader and Hardie 2013"),
    Feature("clv_12m", "value", "money",
            "margin expected in the next 52 weeks",
            "worth {} over the next 12 months", source="Fader and Hardie 2013"),
    Feature("recurring_revenue_share", "value", "share",
            "share of revenue under contract, subscription or retainer; prepayments spread over their term",
            "{} of revenue under contract", ("is_recurring",)),
    Feature("revenue_stability", "value", "share",
            "evenness of monthly revenue: 1 the same each month",
            "monthly revenue is even to {}"),
    Feature("price_premium", "value", "premium",
            "logarithm of prices paid over list price, or over what others paid",
            "paid {} list or usual price", ("list_amount|quantity",)),
    Feature("service_revenue_share", "service", "share",
            "share of revenue from professional services",
            "{} of revenue from professional services", ("is_service",)),
    Feature("self_service_share", "service", "share",
            "share of purchase occasions without a named handler or by a self-service channel",
            "{} of orders by self-service", ("channel",)),
    Feature("referrals", "advocacy", "count",
            "accounts referred in the last 730 days",
            "sent us {} accounts in two years", ("referral",)),
    Feature("satisfaction", "advocacy", "share",
            "mean of the scores it gave",
            "satisfaction of {}", ("score",)),
)
# fmt: on

BY_NAME: dict[str, Feature] = {feature.name: feature for feature in FEATURES}
