"""One scalar SQL expression of a mapping, checked against allow-lists and written anew in canonical form.

Nothing is passed through. The text is parsed in DuckDB's dialect and rendered anew from the nodes, functions
and types listed here; whatever is not listed is refused. Every operation gets its parentheses, so that each
engine reads it the same way.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import ClassVar

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokens import Token, TokenType

from config.errors import ConfigurationError
from config.nearest import did_you_mean

MAX_CHARACTERS = 4000
MAX_TOKENS = 500
MAX_DIGITS = 38
MAX_SHOWN = 80

# The fewest and the most arguments of each function.
FUNCTIONS = {
    "abs": (1, 1),
    "ceil": (1, 1),
    "ceiling": (1, 1),
    "coalesce": (1, 100),
    "concat": (1, 100),
    "concat_ws": (2, 100),
    "contains": (2, 2),
    "date_trunc": (2, 2),
    "epoch_ms": (1, 1),
    "floor": (1, 1),
    "greatest": (1, 100),
    "least": (1, 100),
    "left": (2, 2),
    "length": (1, 1),
    "lower": (1, 1),
    "ltrim": (1, 2),
    "make_date": (3, 3),
    "make_timestamp": (1, 6),
    "md5": (1, 1),
    "nullif": (2, 2),
    "regexp_extract": (2, 3),
    "regexp_matches": (2, 3),
    "regexp_replace": (3, 4),
    "replace": (3, 3),
    "right": (2, 2),
    "round": (1, 2),
    "rtrim": (1, 2),
    "split_part": (3, 3),
    "starts_with": (2, 2),
    "strptime": (2, 2),
    "substr": (2, 3),
    "substring": (2, 3),
    "trim": (1, 2),
    "try_strptime": (2, 2),
    "upper": (1, 1),
}

TYPES = {
    exp.DType.BIGINT: "BIGINT",
    exp.DType.BOOLEAN: "BOOLEAN",
    exp.DType.DATE: "DATE",
    exp.DType.DECIMAL: "DECIMAL",
    exp.DType.DOUBLE: "DOUBLE",
    exp.DType.FLOAT: "FLOAT",
    exp.DType.INT: "INTEGER",
    exp.DType.SMALLINT: "SMALLINT",
    exp.DType.TEXT: "VARCHAR",
    exp.DType.TIMESTAMP: "TIMESTAMP",
    exp.DType.TIMESTAMPNTZ: "TIMESTAMP",
    exp.DType.TIMESTAMPTZ: "TIMESTAMPTZ",
}

_OPERATORS: dict[type[exp.Expr], str] = {
    exp.Add: "+",
    exp.And: "AND",
    exp.DPipe: "||",
    exp.Div: "/",
    exp.EQ: "=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.ILike: "ILIKE",
    exp.IntDiv: "//",
    exp.Is: "IS",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.Like: "LIKE",
    exp.Mod: "%",
    exp.Mul: "*",
    exp.NEQ: "<>",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
    exp.Or: "OR",
    exp.Sub: "-",
}

_COMPARISONS = {exp.EQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NEQ}

# The parts of each node that are written out. A node with any other part is refused, none is dropped unseen.
_PARTS: dict[type[exp.Expr], set[str]] = {
    **{operator: {"this", "expression"} for operator in _OPERATORS},
    exp.Anonymous: {"this", "expressions"},
    exp.Between: {"this", "low", "high"},
    exp.Boolean: {"this"},
    exp.Case: {"this", "ifs", "default"},
    exp.Cast: {"this", "to"},
    exp.Column: {"this"},
    exp.DPipe: {"this", "expression", "safe"},
    exp.ILike: {"this", "expression", "negate"},
    exp.In: {"this", "expressions"},
    exp.Like: {"this", "expression", "negate"},
    exp.Literal: {"this", "is_string"},
    exp.Neg: {"this"},
    exp.Not: {"this"},
    exp.Null: set(),
    exp.Paren: {"this"},
    exp.TryCast: {"this", "to", "safe"},
}

_REFUSED: dict[type[exp.Expr], str] = {
    exp.Alias: "a value with a second name, or one after another, has no place here. Write one value.",
    exp.AtTimeZone: "a time zone has no place here. Give the source its timezone.",
    exp.Exists: "a query has no place here. Write an expression over the columns of one row.",
    exp.Filter: "a filter has no place here. Write an expression over the columns of one row.",
    exp.In: "after IN comes a list of values, such as ('web', 'shop').",
    exp.Star: "'*' is not one column. Name the column.",
    exp.Subquery: "a query has no place here. Write an expression over the columns of one row.",
    exp.Window: "a window function has no place here. Write an expression over the columns of one row.",
}

_SYMBOLS = {
    TokenType.COMMA,
    TokenType.DASH,
    TokenType.DCOLON,
    TokenType.DIV,
    TokenType.DPIPE,
    TokenType.EQ,
    TokenType.GT,
    TokenType.GTE,
    TokenType.L_PAREN,
    TokenType.LT,
    TokenType.LTE,
    TokenType.MOD,
    TokenType.NEQ,
    TokenType.PLUS,
    TokenType.R_PAREN,
    TokenType.SLASH,
    TokenType.STAR,
}

_SYNTAX = "and between case cast else from ilike in like not or then try_cast when"
_SIZED_TYPES = {"decimal", "numeric", "varchar"}
_WORD = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(r"\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)

# DuckDB answers to these names itself, even in double quotes, where the source has no such column.
_CLOCK_AND_SESSION = {
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "session_user",
}


class _Scalar(DuckDB):
    """DuckDB's grammar with each function call left as written: a name and its arguments."""

    class Parser(DuckDB.Parser):
        FUNCTIONS: ClassVar = {}
        FUNCTION_PARSERS: ClassVar = {name: DuckDB.Parser.FUNCTION_PARSERS[name] for name in ("CAST", "TRY_CAST")}
        NO_PAREN_FUNCTIONS: ClassVar = {}
        NO_PAREN_FUNCTION_PARSERS: ClassVar = {"CASE": DuckDB.Parser.NO_PAREN_FUNCTION_PARSERS["CASE"]}


class _Refusal(Exception):
    """What is wrong, and where: the first character's index, or the node that it lies under."""

    def __init__(self, fault: str, at: int | exp.Expr):
        super().__init__(fault)
        self.position = at if isinstance(at, int) else _start(at)


@cache
def scalar_sql(expression: str) -> str:
    """Return the expression as checked, canonical DuckDB SQL, with every identifier in double quotes.

    A cast is written as try_cast and strptime as try_strptime, so that what does not convert becomes NULL, as
    does a division by zero. A single word is always a column's name, whatever it means in SQL; only null,
    true and false are values.

    Args:
        expression: one SQL expression over the columns of one source row, at most 4,000 characters.

    Raises:
        ConfigurationError: the text is not one expression, or uses what a mapping may not; it says where.
    """
    try:
        return _sql(_parsed(expression))
    except _Refusal as refusal:
        raise ConfigurationError(_sentence(expression, refusal)) from None


def moment_sql(expression: str) -> str:
    """Return the same for an expression that tells a moment, so that its value keeps what it says of its zone.

    A text that would be cast to a timestamp stays text, for the cast would drop its offset, or take it as UTC where it has
    none. What is counted from the epoch is a moment whatever the source's zone.

    Raises:
        ConfigurationError: as `scalar_sql` does.
    """
    scalar_sql(expression)
    return _moment(_parsed(expression))


@cache
def source_columns(expression: str) -> frozenset[str]:
    """Return the names of the source's columns that the expression reads, as they are written in it.

    DuckDB ignores case in names, and knows more names than a table has columns (`rowid`, `user`, the table's
    own): make sure that each is a column of the source before the SQL is run.

    Raises:
        ConfigurationError: as `scalar_sql` does.
    """
    scalar_sql(expression)
    return frozenset(column.name for column in _parsed(expression).find_all(exp.Column))


def plain_column(expression: str) -> str | None:
    """Return the source column that the expression merely reads or converts; None where it computes."""
    node = _parsed(expression)
    while isinstance(node, exp.Cast | exp.Paren | exp.Anonymous):
        if isinstance(node, exp.Anonymous):
            if node.name.lower() not in ("strptime", "try_strptime", "trim"):
                return None
            node = node.expressions[0]
        else:
            node = node.this
    return node.name if isinstance(node, exp.Column) else None


def fixed_texts(expression: str) -> frozenset[str] | None:
    """Return the texts that a literal, or a CASE of literals, can come out as; None where that depends on the source."""
    return _texts(_parsed(expression))


def _texts(node: exp.Expr) -> frozenset[str] | None:
    match node:
        case exp.Paren():
            return _texts(node.this)
        case exp.Null():
            return frozenset()
        case exp.Literal() if node.is_string:
            return frozenset({node.name})
        case exp.Case():
            results = [branch.args["true"] for branch in node.args["ifs"]] + [node.args.get("default") or exp.Null()]
            texts = [found for found in map(_texts, results) if found is not None]
            return frozenset().union(*texts) if len(texts) == len(results) else None
        case _:
            return None


def _sentence(expression: str, refusal: _Refusal) -> str:
    shown = expression if len(expression) <= MAX_SHOWN else f"{expression[:MAX_SHOWN]}..."
    return f"expression {shown!r}, character {refusal.position + 1}: {refusal}"


def _start(node: exp.Expr) -> int:
    return min((part.meta["start"] for part in node.walk() if "start" in part.meta), default=0)


def _parsed(expression: str) -> exp.Expr:
    if len(expression) > MAX_CHARACTERS:
        raise _Refusal(f"it has {len(expression):,} characters; the most is {MAX_CHARACTERS:,}.", MAX_CHARACTERS)
    if _is_name(expression):
        return exp.column(exp.to_identifier(expression, quoted=True))
    tokens = _tokens(expression)
    try:
        nodes = _Scalar().parse_into(exp.Condition, expression, error_message_context=MAX_CHARACTERS)
    except ParseError as error:
        first = error.errors[0]
        fault = f"this is not one SQL expression; it goes wrong at or after {first['highlight']!r}."
        raise _Refusal(fault + _guess(expression, tokens), len(first["start_context"] or "")) from None
    except RecursionError:
        raise _Refusal("it is nested too deeply. Prepare the column in the source.", 0) from None
    if len(nodes) != 1 or nodes[0] is None:
        raise _Refusal("this is not one SQL expression.", tokens[0].start)
    return nodes[0]


def _guess(expression: str, tokens: list[Token]) -> str:
    if all(_WORD.fullmatch(token.text) for token in tokens):
        return " A column's name of several words goes in double quotes, in YAML within single ones: '\"a b\"'."
    if expression.count("(") != expression.count(")"):
        return " In a YAML list in brackets, an expression that holds a comma goes in quotes."
    return ""


def _is_name(expression: str) -> bool:
    return bool(_WORD.fullmatch(expression)) and expression.lower() not in {"null", "true", "false"}


def _tokens(expression: str) -> list[Token]:
    try:
        tokens = _Scalar().tokenize(expression)
    except TokenError:
        raise _Refusal("a quote is opened and never closed.", 0) from None
    if not tokens:
        raise _Refusal("it is empty. Write a column's name or an SQL expression.", 0)
    if len(tokens) > MAX_TOKENS:
        raise _Refusal(f"it has {len(tokens)} words and signs; the most is {MAX_TOKENS}.", tokens[MAX_TOKENS].start)
    ends = [0, *(token.end + 1 for token in tokens)]
    starts = [*(token.start for token in tokens), len(expression)]
    for end, start in zip(ends, starts, strict=True):
        if expression[end:start].strip():
            raise _Refusal("a comment has no place inside. Write it on the line above, after '#'.", end)
    for token in tokens:
        written = expression[token.start : token.end + 1]
        if written == ".":
            raise _Refusal("name a column without its table, and write a number as 0.5.", token.start)
        if not _is_allowed(token, written):
            raise _Refusal(f"{written!r} has no place in a mapping.", token.start)
    kinds = [token.token_type for token in tokens]
    if kinds.count(TokenType.L_PAREN) != kinds.count(TokenType.R_PAREN):
        # the parser would close some by itself
        raise _Refusal("its brackets do not match." + _guess(expression, tokens), tokens[-1].end)
    for before, token, after in zip([tokens[0], *tokens], tokens, tokens[1:], strict=False):
        _check_pair(before, token, after)
    return tokens


def _check_pair(before: Token, token: Token, after: Token) -> None:
    """Refuse calls of unknown functions and gaps between commas, on which the parser is slow or lenient."""
    opens, closes, comma = TokenType.L_PAREN, TokenType.R_PAREN, TokenType.COMMA
    if (token.token_type, after.token_type) in {(opens, comma), (comma, comma), (comma, closes)}:
        raise _Refusal("a value is missing beside the comma.", after.start)
    if after.token_type != opens or token.token_type in _SYMBOLS:
        return
    name = token.text.lower()
    is_type = name in _SIZED_TYPES and before.token_type in {TokenType.ALIAS, TokenType.DCOLON}
    if name not in FUNCTIONS and name not in _SYNTAX.split() and not is_type:
        near = did_you_mean(name, FUNCTIONS)
        raise _Refusal(f"there is no function '{token.text}' here.{near}", token.start)


def _is_allowed(token: Token, written: str) -> bool:
    match token.token_type:
        case TokenType.STRING | TokenType.IDENTIFIER:
            return written != '""' and "\0" not in written
        case TokenType.NUMBER:
            return bool(_NUMBER.fullmatch(written))
        case symbol:
            return symbol in _SYMBOLS or bool(_WORD.fullmatch(written))


def _sql(node: exp.Expr) -> str:
    parts = _PARTS.get(type(node), set())
    if type(node) not in _PARTS or any(value and part not in parts for part, value in node.args.items()):
        raise _Refusal(_REFUSED.get(type(node), f"'{node.key}' has no place in a mapping."), node)
    match node:
        case exp.Column():
            return _column(node)
        case exp.Literal():
            return "'{}'".format(node.name.replace("'", "''")) if node.is_string else node.name
        case exp.Null():
            return "NULL"
        case exp.Boolean():
            return "TRUE" if node.this else "FALSE"
        case exp.Paren():
            return _sql(node.this)
        case exp.Neg():
            return f"(- {_sql(node.this)})"
        case exp.Not():
            return f"(NOT {_sql(node.this)})"
        case exp.Between():
            low, high = _sql(node.args["low"]), _sql(node.args["high"])
            return f"({_sql(node.this)} BETWEEN {low} AND {high})"
        case exp.In():
            return f"({_sql(node.this)} IN ({_constants(node)}))"
        case exp.Case():
            return _case(node, _sql)
        case exp.Cast():
            return f"TRY_CAST({_sql(node.this)} AS {_type(node)})"
        case exp.Anonymous():
            return _call(node)
        case _:
            _check_chain(node)
            operator = f"{'NOT ' if node.args.get('negate') else ''}{_OPERATORS[type(node)]}"
            return f"({_sql(node.this)} {operator} {_right(node)})"


def _check_chain(node: exp.Expr) -> None:
    sides = {type(node.this), type(node.args["expression"])}
    if type(node) in _COMPARISONS and sides & _COMPARISONS:
        raise _Refusal("comparisons do not make a chain. Join two of them by AND.", node)


def _column(node: exp.Column) -> str:
    if node.name.lower() in _CLOCK_AND_SESSION:
        raise _Refusal(f"'{node.name}' is not a column: a mapping knows neither the clock nor the session.", node)
    return '"{}"'.format(node.name.replace('"', '""'))


def _constants(node: exp.In) -> str:
    values = [value.unnest() for value in node.expressions]
    bare = [value.this if isinstance(value, exp.Neg) else value for value in values]
    if not bare or not all(isinstance(value, exp.Literal | exp.Boolean) for value in bare):
        raise _Refusal(_REFUSED[exp.In], node)
    return ", ".join(_sql(value) for value in values)


def _right(node: exp.Expr) -> str:
    right = node.args["expression"]
    if isinstance(node, exp.Is) and not isinstance(right, exp.Null | exp.Boolean):
        raise _Refusal("after IS comes NULL, TRUE or FALSE.", node)
    if isinstance(node, exp.Div | exp.IntDiv | exp.Mod) and not _is_never_zero(right):
        return f"nullif({_sql(right)}, 0)"
    return _sql(right)


def _is_never_zero(node: exp.Expr) -> bool:
    if isinstance(node, exp.Anonymous):
        return node.name.lower() == "nullif" and [value.sql() for value in node.expressions[1:]] == ["0"]
    return isinstance(node, exp.Literal) and bool(re.fullmatch("[0-9.]*[1-9][0-9.]*", node.sql()))


def _moment(node: exp.Expr) -> str:
    match node:
        case exp.Paren():
            return _moment(node.this)
        case exp.Cast() if _type(node).startswith("TIMESTAMP"):
            return _moment(node.this)
        case exp.Case():
            return _case(node, _moment_in_words)
        case exp.Anonymous() if node.name.lower() == "coalesce":
            return f"coalesce({', '.join(_moment_in_words(value) for value in node.expressions)})"
        case exp.Anonymous() if node.name.lower() == "nullif":
            value, none = node.expressions
            return f"CASE WHEN ({_sql(value)} = {_sql(none)}) THEN NULL ELSE {_moment(value)} END"
        case exp.Anonymous() if node.name.lower() in ("epoch_ms", "make_timestamp") and len(node.expressions) == 1:
            return f"make_timestamptz(epoch_us({_sql(node)}))"
        case _:
            return _sql(node)


def _moment_in_words(node: exp.Expr) -> str:
    """One of several values of which each may be a text or a time: as texts they go together, and keep their offsets."""
    return f"CAST({_moment(node)} AS VARCHAR)"


def _case(node: exp.Case, result: Callable[[exp.Expr], str]) -> str:
    subject = f" {_sql(node.this)}" if node.this else ""
    branches = "".join(f" WHEN {_sql(branch.this)} THEN {result(branch.args['true'])}" for branch in node.args["ifs"])
    default = f" ELSE {result(node.args['default'])}" if node.args.get("default") else ""
    return f"CASE{subject}{branches}{default} END"


def _type(node: exp.Cast) -> str:
    name = TYPES.get(node.to.this)
    if name is None:
        names = ", ".join(sorted({name.lower() for name in TYPES.values()}))
        raise _Refusal(f"cannot cast to {node.to.sql('duckdb').lower()}. The types are {names}.", node)
    return f"DECIMAL({_digits(node)})" if name == "DECIMAL" else name


def _digits(node: exp.Cast) -> str:
    written = ", ".join(parameter.name for parameter in node.to.expressions)
    digits = re.fullmatch("([0-9]{1,2})(?:, ([0-9]{1,2}))?", written)
    if not digits or not int(digits[2] or 0) <= int(digits[1]) <= MAX_DIGITS or int(digits[1]) == 0:
        raise _Refusal(f"a decimal has 1 to {MAX_DIGITS} digits, and so many of them behind the point.", node)
    return written


def _call(node: exp.Anonymous) -> str:
    name = node.name.lower()
    if not isinstance(node.this, str) or name not in FUNCTIONS:
        raise _Refusal(f"'{node.name}' has no place in a mapping as a function.", node)
    fewest, most = FUNCTIONS[name]
    if not fewest <= len(node.expressions) <= most:
        expected = str(fewest) if fewest == most else f"{fewest} to {most}"
        raise _Refusal(f"{name} takes {expected} values in parentheses, not {len(node.expressions)}.", node)
    written = "try_strptime" if name == "strptime" else name
    return f"{written}({', '.join(_sql(argument) for argument in node.expressions)})"
