"""Fitting a ruler on the published accounts, into a file that people review."""

import os
from dataclasses import dataclass
from pathlib import Path

import yaml

from config.errors import ConfigurationError, WarehouseError
from config.scoring import Ruler
from config.settings import Business
from flows.postgres_warehouse import up_to_date
from flows.warehouse import live, opened, place
from transforms.rulers import fitted_ruler


@dataclass(frozen=True)
class Change:
    """What fitting changed of one feature."""

    feature: str
    old_neutral: float
    old_scale: float
    neutral: float
    scale: float


def fit_ruler(business: Business, out: Path) -> list[Change]:
    """Writes the business's ruler with its money features measured on the published `account_features`.

    Raises:
        ConfigurationError: the file exists already.
        WarehouseError: nothing was published yet.
    """
    require_new(out)
    path = up_to_date(business)
    present = live(path)
    if present is None:
        raise WarehouseError(
            f"warehouse {place(business.warehouse)}: nothing was published yet, so there is nothing to measure. Run: rapport run"
        )
    with opened(path) as con:
        features = con.sql("select * from rapport.account_features").pl()
    old, new = business.ruler, fitted_ruler(features, business.ruler, features["as_of"][0])
    write_ruler(new, out, f"Money features measured on the accounts of {business.business}.")
    return [
        Change(name, was.neutral, was.scale, gauge.neutral, gauge.scale)
        for (name, was), gauge in zip(old.features.items(), new.features.values(), strict=True)
        if was != gauge
    ]


def require_new(out: Path) -> None:
    """Makes sure that a file can be written, and none is written over.

    Raises:
        ConfigurationError: it exists already, or its directory does not.
    """
    if out.exists():
        raise ConfigurationError(f"{out}: the file exists. Nothing was written. Name another, or take it away.")
    if not os.access(out.parent, os.W_OK):
        raise ConfigurationError(
            f"{out}: it cannot be written: there is no directory {out.parent} to write to. Name another file."
        )


def write_ruler(ruler: Ruler, out: Path, origin: str) -> None:
    """Writes a ruler for people to review.

    Args:
        ruler: the ruler.
        out: the file.
        origin: a sentence on where its numbers come from.

    Raises:
        ConfigurationError: it cannot be written.
    """
    head = f"# {' '.join(origin.split())} Review it before a business file names it.\n"
    try:
        out.write_text(head + yaml.safe_dump(ruler.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{out}: it cannot be written: {error.strerror}. Name another file.") from error
