"""The accounts that were forgotten: from the list nobody can read who they are, only ask of an account whether it is one.

It lasts as long as the state: what is landed later leaves their rows out.
"""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from hashlib import sha256
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from config.errors import SourceError
from flows.disk import sync
from flows.duck import literal

FILE = "forgotten.json"
DELIMITERS = r"[,;\t|\"'{}\[\]:]"
"""What stands around the values of a line that could not be read as CSV or JSON."""


@dataclass(frozen=True)
class Forgotten:
    """Which accounts were forgotten.

    Attributes:
        salt: what is hashed before each account, so that lists of two businesses have nothing in common.
        since: the SHA-256 of each, with the day on which it was forgotten, UTC.
    """

    salt: str = ""
    since: Mapping[str, date] = field(default_factory=dict)

    def day_of(self, account: str) -> date | None:
        """The day on which an account was forgotten; None where it was not."""
        return self.since.get(self._hashed(account))

    def is_named(self, line: str) -> bool:
        """Whether a value of a line that could not be read is one of them."""
        return bool(self.since) and any(self.day_of(value) for value in values_of(line))

    def left_out(self, select: str, account: str) -> str:
        """A select without their rows.

        Args:
            select: SQL.
            account: SQL of the account of a row, NULL where it has none.
        """
        hashes = ", ".join(map(literal, sorted(self.since)))
        return f"select * from ({select}) where coalesce(sha256({literal(self.salt)} || {account}) not in ({hashes}), true)"

    def with_more(self, accounts: Iterable[str], today: date) -> "Forgotten":
        """The list with further accounts."""
        salted = self if self.salt else replace(self, salt=secrets.token_hex(16))
        return replace(salted, since={salted._hashed(account): today for account in accounts} | dict(self.since))

    def without(self, accounts: Iterable[str]) -> "Forgotten":
        """The list without some of them."""
        let_in = {self._hashed(account) for account in accounts}
        return replace(self, since={hashed: day for hashed, day in self.since.items() if hashed not in let_in})

    def _hashed(self, account: str) -> str:
        return sha256((self.salt + account).encode()).hexdigest()


NOBODY = Forgotten()
_LIST = TypeAdapter(Forgotten)


def values_of(line: str) -> list[str]:
    """The values of a line that could not be read, as far as they can be told apart."""
    return [value.strip() for value in re.split(DELIMITERS, line)]


def forgotten(state: Path) -> Forgotten:
    """The list of a business.

    Args:
        state: the business's state directory.

    Raises:
        SourceError: it cannot be read.
    """
    if not (state / FILE).exists():
        return NOBODY
    try:
        return _LIST.validate_json((state / FILE).read_bytes())
    except ValidationError as error:
        raise SourceError(
            f"state {state / FILE}: the list of accounts that were forgotten cannot be read. Nothing was read, for their rows "
            "would come back. Restore it from a backup."
        ) from error


def write_list(listed: Forgotten, state: Path) -> None:
    """Writes the list of a business, whole or not at all."""
    temporary = (state / FILE).with_suffix(".part")
    temporary.write_bytes(_LIST.dump_json(listed, indent=1))
    sync(temporary)
    temporary.replace(state / FILE)
    sync(state)
