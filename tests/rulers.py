"""Rulers for tests."""

from typing import Any

from config.scoring import Ruler

WAITS = {"enter_days": 1, "leave_days": 14, "dwell_days": 28}
STAGES = {"new_days": 90, "usual_gap_days": 30, "at_risk_gaps": 2, "lapsed_gaps": 4}


def ruler(base: float = 0.0, enter: float = 60, leave: float = 45, **features: tuple[float, float, float]) -> Ruler:
    """A ruler that reads these features, each with its weight, neutral and scale."""
    gauges: dict[str, Any] = {
        name: {"weight": weight, "neutral": neutral, "scale": scale}
        for name, (weight, neutral, scale) in features.items()
    }
    return Ruler.model_validate(
        {
            "version": "test-1",
            "origin": "judgement",
            "base": base,
            "features": gauges,
            "verdict": {"enter": enter, "leave": leave} | WAITS,
            "stages": STAGES,
        }
    )


EVERY_FEATURE = ruler(
    base=0.2,
    tenure_days=(0.4, 365, 365),
    order_days=(0.1, 3, 2),
    order_days_12m=(0.3, 2, 3),
    repeat_order_days=(0.1, 1, 1),
    days_since_last_order=(-0.3, 90, 60),
    days_since_last_contact=(-0.2, 60, 90),
    active_month_share=(0.7, 0.4, 0.25),
    gap_regularity=(0.2, 0.5, 0.2),
    custom_revenue_share=(0.5, 0.3, 0.3),
    reciprocity=(0.6, 0.4, 0.25),
    live_contact_days=(0.6, 1, 2),
    co_development=(0.4, 0.15, 0.2),
    revenue_total=(0.1, 1000, 2000),
    revenue_12m=(0.4, 1000, 3000),
    mean_order_value=(0.2, 300, 500),
    recurring_revenue_share=(0.5, 0.2, 0.3),
    revenue_stability=(0.2, 0.4, 0.2),
    service_revenue_share=(0.2, 0.5, 0.5),
    self_service_share=(-0.5, 0.5, 0.5),
    referrals=(0.3, 0, 1),
    satisfaction=(0.2, 0.7, 0.2),
    p_alive=(0.3, 0.6, 0.3),
    expected_order_days_12m=(0.1, 3, 3),
    expected_order_value=(0.1, 100, 100),
    clv_12m=(0.1, 500, 500),
    contract_coverage=(0.2, 0.3, 0.4),
    handler_share=(0.4, 0.5, 0.25),
    contact_breadth=(0.3, 1.5, 1),
    reply_rate=(0.2, 0.4, 0.25),
    contact_initiation=(0.2, 0.4, 0.3),
)
