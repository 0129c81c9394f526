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
DELIMITERS = r"([,;\t|\"'{}\[\]:])"
"""What may stand around the values of a line that could not be read as CSV or JSON, or in them."""
PIECES = 9
"""Of how many of them, with what is between, a value may be made."""
WITHHELD = "withheld: an account that was forgotten may be named here"


@dataclass(frozen=True)
class Forgotten:
    """Which accounts were forgotten.

    Attributes:
        salt: what is hashed before each account, so that lists of two businesses have nothing in common.
        since: the SHA-256 of each, with the day on which it was forgotten, UTC.
        unfinished: those of which not all was erased yet.
    """

    salt: str = ""
    since: Mapping[str, date] = field(default_factory=dict)
    unfinished: frozenset[str] = frozenset()

    def day_of(self, account: str) -> date | None:
        """The day on which an account was forgotten; None where it was not."""
        return self.since.get(self._hashed(account))

    def is_finished(self, account: str) -> bool:
        """Whether an account is one of them, and all was erased of it."""
        return self.day_of(account) is not None and self._hashed(account) not in self.unfinished

    def shown(self, line: str, is_read: bool) -> str:
        """What may be kept of a line that could not be read.

        Args:
            line: the line.
            is_read: whether accounts stand in lines as they are, and are not computed.
        """
        may_name_one = self.since and (not is_read or any(self.day_of(value) for value in values_of(line)))
        return WITHHELD if may_name_one else line

    def left_out(self, select: str, account: str) -> str:
        """A select without their rows.

        Args:
            select: SQL.
            account: SQL of the account of a row, NULL where it has none.
        """
        hashes = ", ".join(map(literal, sorted(self.since)))
        return f"select * from ({select}) where coalesce(sha256({literal(self.salt)} || {account}) not in ({hashes}), true)"

    def with_more(self, accounts: Iterable[str], today: date) -> "Forgotten":
        """The list with further accounts, of which all has yet to be erased."""
        salted = self if self.salt else replace(self, salt=secrets.token_hex(16))
        more = {salted._hashed(account): today for account in accounts}
        return replace(salted, since=more | dict(self.since), unfinished=self.unfinished.union(more))

    def finished(self, accounts: Iterable[str]) -> "Forgotten":
        """The list once all was erased of accounts."""
        return replace(self, unfinished=self.unfinished.difference(map(self._hashed, accounts)))

    def without(self, accounts: Iterable[str]) -> "Forgotten":
        """The list without some of them."""
        let_in = {self._hashed(account) for account in accounts}
        since = {hashed: day for hashed, day in self.since.items() if hashed not in let_in}
        return replace(self, since=since, unfinished=self.unfinished.difference(let_in))

    def _hashed(self, account: str) -> str:
        return sha256((self.salt + account).encode(errors="replace")).hexdigest()


NOBODY = Forgotten()
_LIST = TypeAdapter(Forgotten)


def values_of(line: str) -> set[str]:
    """All that may be a value of a line that could not be read, as it stands there and as CSV or JSON would read it."""
    as_json = re.sub(r"\\(.)", r"\1", re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), line))
    values = set()
    for text in {line, line.replace('""', '"'), as_json}:
        pieces = re.split(DELIMITERS, text)
        values |= {
            "".join(pieces[first:last]).strip()
            for first in range(len(pieces))
            for last in range(first + 1, min(first + PIECES, len(pieces)) + 1)
        }
    return values - {""}


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


def require_finished(state: Path) -> None:
    """Makes sure that all was erased of each account on the list of a business, else what is left of it would be published again.

    Raises:
        SourceError: the command was killed or failed.
    """
    unfinished = forgotten(state).unfinished
    if unfinished:
        raise SourceError(
            f"state {state}: not all was erased of {len(unfinished):,} accounts that are to be forgotten, since the command was killed or "
            "failed. Nothing was published. Give it again: rapport forget, with the same accounts."
        )


def write_list(listed: Forgotten, state: Path) -> None:
    """Writes the list of a business, whole or not at all."""
    temporary = (state / FILE).with_suffix(".part")
    temporary.write_bytes(_LIST.dump_json(listed, indent=1))
    sync(temporary)
    temporary.replace(state / FILE)
    sync(state)
