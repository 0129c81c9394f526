"""The ruler: how features become a score, and a score a segment and a stage.

`score = 100 * sigmoid(base + sum of weight * z)`, `z = clip((feature - neutral) / scale, -2, 2)`. A ruler is fixed: no number in it
comes from the accounts being scored, so an account's score never changes because another account did.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from config.catalogue import BY_NAME
from config.nearest import did_you_mean

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _nonzero(value: float) -> float:
    if value == 0:
        raise ValueError("must not be 0; leave the feature out instead")
    return value


def _known(feature: str) -> str:
    if feature not in BY_NAME:
        raise ValueError(
            f"there is no such feature.{did_you_mean(feature, BY_NAME)} The features are {', '.join(BY_NAME)}."
        )
    return feature


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Gauge(_Model):
    """How one feature is read: its weight, where it says nothing (neutral), and how far one step is (scale)."""

    weight: Annotated[Finite, AfterValidator(_nonzero)] = Field(
        description="log-odds a step adds; below 0 it counts against"
    )
    neutral: Finite = Field(description="the value that says nothing either way, in the feature's unit")
    scale: Positive = Field(description="one step from neutral, in the feature's unit; the reading stops at two steps")


class Verdict(_Model):
    """Scores at which an account enters and leaves the client segment, and for how long a score has to say so."""

    enter: float = Field(gt=0, lt=100, description="client from this score on")
    leave: float = Field(gt=0, lt=100, description="no longer a client under this score")
    enter_days: int = Field(ge=1, le=366, description="days that a score has to call for client before it is one")
    leave_days: int = Field(ge=1, le=366, description="days that a score has to call for customer before it is one")
    dwell_days: int = Field(ge=0, le=366, description="least days in a segment, unless a hard fact ends it")

    @model_validator(mode="after")
    def _leave_is_below_enter(self) -> "Verdict":
        if self.leave > self.enter:
            raise ValueError(f"leave ({self.leave:g}) must not be above enter ({self.enter:g})")
        return self


class Stages(_Model):
    """When an account is new, at risk and lapsed. Quiet is measured in its own usual gap between purchase occasions."""

    new_days: int = Field(gt=0, description="new until this many days after the first order or contact")
    usual_gap_days: Positive = Field(description="least usual gap assumed, and that of an account with one occasion")
    at_risk_gaps: Positive = Field(description="at risk when quiet for more than this many usual gaps")
    lapsed_gaps: Positive = Field(description="lapsed when quiet for more than this many usual gaps")

    @model_validator(mode="after")
    def _lapsed_comes_after_at_risk(self) -> "Stages":
        if self.lapsed_gaps <= self.at_risk_gaps:
            raise ValueError(f"lapsed_gaps ({self.lapsed_gaps:g}) must be above at_risk_gaps ({self.at_risk_gaps:g})")
        return self


class Ruler(_Model):
    """A versioned ruler for one kind of business."""

    version: str = Field(min_length=1, description="changes whenever a number changes; published with every verdict")
    origin: Literal["judgement", "fitted", "calibrated"] = Field(description="where the numbers come from")
    base: Finite = Field(description="log-odds of an account whose features are all neutral or unknown")
    features: dict[Annotated[str, AfterValidator(_known)], Gauge] = Field(
        min_length=1, description="the features that count, by name"
    )
    verdict: Verdict
    stages: Stages
