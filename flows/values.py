"""What values say, as SQL of text: one value, and all values of a row."""

import re
from collections.abc import Mapping

from flows.duck import identifier, literal

ROW_KEY = "row_md5"
"""The column that holds what a whole row says, see `content`."""

FRACTIONAL = re.compile(r"DOUBLE|FLOAT|DECIMAL\(\d+,\d+\)")
"""The types of DuckDB that write a whole number with a point behind it."""


def text(sql: str, kind: str) -> str:
    """SQL of a value as text without surrounding blanks, NULL where empty.

    A whole number that a file keeps as a float or a decimal reads like the integer; what is not finite is NULL.
    """
    if FRACTIONAL.fullmatch(kind):
        whole = f"case when {sql} = trunc({sql}) then cast(try_cast({sql} as hugeint) as varchar) end"
        sql = f"case when isfinite(cast({sql} as double)) then coalesce({whole}, cast({sql} as varchar)) end"
    return f"nullif(trim(cast({sql} as varchar)), '')"


def content(columns: Mapping[str, str]) -> str:
    """SQL, for DuckDB and Postgres, of all that a row says: in any order of its columns, with or without empty ones.

    A number reads the same whichever type a Parquet file keeps it in: integers become floats where a value is missing.

    Args:
        columns: the columns with their types.
    """
    said = ", ".join(
        f"{literal(name.lower() + '=')} || nullif({_said(identifier(name), columns[name])}, '')"
        for name in sorted(columns, key=str.lower)
    )
    return f"md5(coalesce(array_to_string(array[{said}], chr(31)), ''))"


def _said(column: str, kind: str) -> str:
    written = f"cast({column} as varchar)"
    if not FRACTIONAL.fullmatch(kind):
        return written
    return f"case when {written} like '%.%' and {written} not like '%e%' then rtrim(rtrim({written}, '0'), '.') else {written} end"
