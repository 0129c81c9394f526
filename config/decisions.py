"""What people decided about single accounts: a reviewed file of verdicts set by hand and of accounts that are one.

```yaml
overrides:
  - {account_id: "1042", line: legal, segment: client, from: 2026-01-01, until: 2026-06-30,
     author: managing partner, reason: signed for three years on 2 January}
merges:
  - {account_id: "2077", into: "1042", from: 2026-02-01, author: accounts, reason: the same company since its sale}
```
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Literal

from pydantic import Field, model_validator

from config.documents import Day, Fault, Strict


class _Decision(Strict):
    account_id: str = Field(min_length=1, description="the account")
    author: str = Field(min_length=1, description="who decided")
    reason: str = Field(min_length=1, description="why, as the reasons of the verdict show it")


class Override(_Decision):
    """A verdict set by hand, for a time."""

    line: str | None = Field(None, min_length=1, description="the line of business; every line where not given")
    segment: Literal["client", "customer"] = Field(description="the segment that it has in that time")
    first_day: Day = Field(alias="from", description="first day")
    last_day: Day = Field(alias="until", description="last day, inclusive")

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> "Override":
        if self.last_day < self.first_day:
            raise ValueError(f"until ({self.last_day}) must not be before from ({self.first_day})")
        return self

    def meets(self, other: "Override") -> bool:
        """Whether two overrides would set the same account and line on the same day."""
        same_line = self.line is None or other.line is None or self.line == other.line
        same_days = self.first_day <= other.last_day and other.first_day <= self.last_day
        return self.account_id == other.account_id and same_line and same_days


class Merge(_Decision):
    """Two accounts that are one from a day on: all that the first has or ever had counts for the other."""

    into: str = Field(min_length=1, description="the account that it becomes part of")
    first_day: Day = Field(alias="from", description="first day")


class Decisions(Strict):
    """The decisions file."""

    overrides: tuple[Override, ...] = Field((), strict=False, description="verdicts set by hand")
    merges: tuple[Merge, ...] = Field((), strict=False, description="accounts that are one from a day on")


def contradictions(decisions: Decisions) -> Iterator[Fault]:
    """What no single decision shows: overrides that overlap, and merges of which one undoes or repeats another."""
    numbered = enumerate(decisions.overrides)
    for (first, one), (second, other) in combinations(numbered, 2):
        if one.meets(other):
            fault = (
                f"it overlaps with override {first + 1} of account {one.account_id!r}. Let one end before the other."
            )
            yield ("overrides", second), fault
    merged = {each.account_id for each in decisions.merges}
    taken: set[str] = set()
    for place, each in enumerate(decisions.merges):
        if each.account_id in taken:
            yield ("merges", place), f"account {each.account_id!r} is merged already. Keep one of the two."
        if each.into in merged:
            yield ("merges", place), f"account {each.into!r} is merged itself. Name the account that remains."
        taken.add(each.account_id)
