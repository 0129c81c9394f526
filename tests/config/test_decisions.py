"""The decisions file: what it may say, and what it is told when it says something else."""

from pathlib import Path

import pytest

from config.errors import ConfigurationError
from config.settings import load

BUNDLED = Path(__file__).parents[2] / "config"
SHOP = (BUNDLED / "completejourney.yaml").read_text()


@pytest.fixture
def decided(tmp_path, monkeypatch):
    """Writes a decisions file beside a business file that names it, and loads that."""
    monkeypatch.chdir(tmp_path)

    def load_with(text: str):
        Path("decisions.yaml").write_text(text)
        Path("shop.yaml").write_text(f"{SHOP}\ndecisions: decisions.yaml\n")
        return load(Path("shop.yaml")).decided

    return load_with


def mistakes(decided, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        decided(text)
    return str(refused.value).splitlines()


OVERRIDE = '{account_id: "1", segment: client, from: 2026-01-01, until: 2026-06-30, author: partner, reason: signed}'


def test_overrides_and_merges_are_read(decided):
    found = decided(
        f"overrides:\n  - {OVERRIDE}\n"
        "merges:\n  - {account_id: '2', into: '1', from: 2026-02-01, author: accounts, reason: sold}\n"
    )
    (override,), (merge,) = found.overrides, found.merges
    assert (override.account_id, override.line, override.segment, override.author) == ("1", None, "client", "partner")
    assert (str(override.first_day), str(override.last_day)) == ("2026-01-01", "2026-06-30")
    assert (merge.account_id, merge.into, str(merge.first_day)) == ("2", "1", "2026-02-01")


def test_a_business_without_decisions_has_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("shop.yaml").write_text(SHOP)
    assert (load(Path("shop.yaml")).decided.overrides, load(Path("shop.yaml")).decided.merges) == ((), ())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "overrides:\n  - " + OVERRIDE.replace("client", "clint"),
            "decisions.yaml:2: overrides[0].segment: must be client or",
        ),
        ("overrides:\n  - " + OVERRIDE.replace("author: partner, ", ""), "decisions.yaml:2: overrides[0].author"),
        ("overrides:\n  - " + OVERRIDE.replace(", until: 2026-06-30", ""), "decisions.yaml:2: overrides[0].until"),
        (
            "overrides:\n  - " + OVERRIDE.replace("2026-06-30", "2025-12-31"),
            "until (2025-12-31) must not be before from",
        ),
        (
            f"overrides:\n  - {OVERRIDE}\n  - {OVERRIDE}",
            "decisions.yaml:3: overrides[1]: it overlaps with override 1 of account '1'",
        ),
        (
            "merges:\n  - {account_id: '2', into: '1', from: 2026-02-01, author: a, reason: r}\n"
            "  - {account_id: '1', into: '3', from: 2026-02-01, author: a, reason: r}",
            "decisions.yaml:2: merges[0]: account '1' is merged itself.",
        ),
        (
            "merges:\n  - {account_id: '2', into: '1', from: 2026-02-01, author: a, reason: r}\n"
            "  - {account_id: '2', into: '3', from: 2026-02-01, author: a, reason: r}",
            "decisions.yaml:3: merges[1]: account '2' is merged already.",
        ),
        ("verdicts: []", "decisions.yaml:1: verdicts: there is no such key here. The keys are overrides, merges."),
    ],
)
def test_a_mistake_is_told_with_its_line(decided, text, told):
    (sentence,) = mistakes(decided, text)
    assert told in sentence


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("from: 2026-01-01, until: 2026-06-30", "from: 2026-06-30, until: 2026-07-30"),
        ("from: 2026-01-01, until: 2026-06-30", "from: 2026-02-01, until: 2026-03-01"),
        ("line: law, from: 2026-01-01, until: 2026-06-30", "from: 2026-02-01, until: 2026-03-01"),
    ],
)
def test_overrides_of_one_account_and_line_must_not_overlap(decided, one, other):
    rows = "\n".join(f"  - {{account_id: '1', segment: client, {days}, author: a, reason: r}}" for days in (one, other))
    assert "overlaps" in mistakes(decided, f"overrides:\n{rows}")[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("from: 2026-01-01, until: 2026-06-30", "from: 2026-07-01, until: 2026-07-30"),
        ("line: law, from: 2026-01-01, until: 2026-06-30", "line: shop, from: 2026-02-01, until: 2026-03-01"),
    ],
)
def test_overrides_that_follow_each_other_or_are_of_other_lines_may(decided, one, other):
    rows = "\n".join(f"  - {{account_id: '1', segment: client, {days}, author: a, reason: r}}" for days in (one, other))
    assert len(decided(f"overrides:\n{rows}").overrides) == 2


def test_a_decisions_file_that_is_not_there_is_told(decided):
    Path("shop.yaml").write_text(f"{SHOP}\ndecisions: gone.yaml\n")
    with pytest.raises(ConfigurationError, match=r"gone.yaml: there is no such file"):
        load(Path("shop.yaml"))
