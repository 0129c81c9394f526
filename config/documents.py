"""A YAML file that a person wrote: read strictly, and each mistake told in one sentence with its line.

YAML as most people expect it: only true and false are booleans, dates and times stay text, and there are no
anchors, aliases, tags or repeated keys, which hide what a file says.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from yaml.reader import ReaderError

from config.errors import ConfigurationError
from config.nearest import did_you_mean

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20


def _day(given: object) -> object:
    if isinstance(given, date) and not isinstance(given, datetime):
        return given
    if isinstance(given, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", given):
        return date.fromisoformat(given)
    raise ValueError("must be a day, such as 2025-06-30.")


Day = Annotated[date, BeforeValidator(_day)]

Place = tuple[str | int, ...]
Fault = tuple[Place, str]
Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """A frozen model that refuses unknown keys, converts nothing and never prints what it was given."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


@dataclass(frozen=True)
class Document:
    """What a file says, the line on which each part of it starts, and what is wrong in how it is written."""

    path: Path
    data: Any
    lines: dict[Place, int]
    mistakes: dict[Place, str]


def read(path: Path) -> Document:
    """Return the one YAML document of a file.

    Repeated keys, anchors and tags do not stop the reading: they are mistakes of the document, told along
    with those of its content.

    Raises:
        ConfigurationError: the file is not there, larger than 256 KB, not UTF-8 or not YAML.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        beside = [str(other) for other in path.parent.glob("*.y*ml")]
        raise ConfigurationError(f"{path}: there is no such file.{did_you_mean(str(path), beside)}") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: the file cannot be read: {error.strerror}.") from None
    if len(content) > MAX_BYTES:
        raise ConfigurationError(f"{path}: the file has {len(content):,} bytes; the most is {MAX_BYTES:,}.")
    try:
        loader = _Loader(content.decode())
        node = loader.get_single_node()
    except UnicodeDecodeError as error:
        fault = f"byte {error.start + 1} is not UTF-8. Save the file as UTF-8."
        raise ConfigurationError(f"{path}: {fault}") from None
    except ReaderError as error:
        fault = f"character {error.position + 1} (code {error.character}) has no place in YAML. Take it out."
        raise ConfigurationError(f"{path}: {fault}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigurationError(f"{path}:{line}: this is not YAML: {problem}.") from None
    return Document(path, loader.plain(node, ()) if node else {}, loader.lines, loader.mistakes)


def checked(document: Document, model: type[Model]) -> tuple[Model | None, list[Fault]]:
    """Return the document as the model, or None where it does not fit, and every fault with its place."""
    try:
        value = model.model_validate(document.data)
        faults = []
    except ValidationError as error:
        value = None
        schema = model.model_json_schema()
        certain = [details for details in error.errors(include_url=False) if not _follows(details)]
        faults = [_fault(details, schema) for details in certain]
    misread = document.mistakes
    faults = [fault for fault in faults if not any(start in misread for start in _starts(fault[0]))]
    return value, [*misread.items(), *faults]


def sentences(document: Document, faults: list[Fault]) -> list[str]:
    """Return each fault as a sentence with its file, line and key, in the order of the lines."""
    by_line = sorted((_line(document, place), _written(place), fault) for place, fault in faults)
    return [f"{document.path}:{line}: {written}{fault}" for line, written, fault in by_line]


class _Loader(yaml.SafeLoader):
    """PyYAML's composer with YAML 1.2's scalars and a bounded depth; it notes lines and mistakes."""

    def __init__(self, text: str):
        super().__init__(text)
        self.lines: dict[Place, int] = {(): 1}
        self.mistakes: dict[Place, str] = {}
        self._named: set[yaml.Node] = set()
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        event = self.peek_event()
        if self._depth > MAX_DEPTH:
            problem = f"it is nested deeper than {MAX_DEPTH} levels"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        anchor, event.anchor = event.anchor, None
        if isinstance(event, yaml.AliasEvent):
            self.get_event()
            node = yaml.ScalarNode(_NULL, "", event.start_mark, event.end_mark)
        else:
            self._depth += 1
            node = super().compose_node(parent, index)
            self._depth -= 1
        if anchor is not None:
            self._named.add(node)
        return node

    def plain(self, node: yaml.Node, place: Place) -> Any:
        """Return the node as plain data; its line is that of its key, where it has one."""
        self.lines.setdefault(place, node.start_mark.line + 1)
        if node in self._named:
            self.mistakes[place] = "anchors (&) and aliases (*) have no place here. Write the value out again."
        match node:
            case yaml.MappingNode(tag="tag:yaml.org,2002:map"):
                return self._mapping(node, place)
            case yaml.SequenceNode(tag="tag:yaml.org,2002:seq"):
                return [self.plain(item, (*place, at)) for at, item in enumerate(node.value)]
            case yaml.ScalarNode() if node.tag in _SCALARS:
                return _SCALARS[node.tag](node.value)
        self.mistakes[place] = "tags (!) have no place here. Write the plain value."
        return None

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key in self._named:
                self.lines[(*place, "?")] = line
                self.mistakes[(*place, "?")] = "a key is one plain text."
                continue
            here = (*place, key.value)
            if key.value in data:
                first = self.lines[here]
                self.mistakes[here] = f"this key stands here twice, first on line {first}. Keep one of them."
                self.lines[here] = line
                continue
            self.lines[here] = line
            data[key.value] = self.plain(value, here)
        return data


_NULL = "tag:yaml.org,2002:null"
_BOOLEAN = "tag:yaml.org,2002:bool"
_INTEGER = "tag:yaml.org,2002:int"
_FLOAT = "tag:yaml.org,2002:float"
_DECIMAL = r"[-+]?(0|[1-9][0-9]{0,17})(\.[0-9]{0,18})?([eE][-+]?[0-9]{1,3})?$"

_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver(_NULL, re.compile("(null|~|)$"), ["n", "~", ""])
_Loader.add_implicit_resolver(_BOOLEAN, re.compile("(true|false)$"), list("tf"))
_Loader.add_implicit_resolver(_INTEGER, re.compile("[-+]?(0|[1-9][0-9]{0,17})$"), list("-+0123456789"))
_Loader.add_implicit_resolver(_FLOAT, re.compile(_DECIMAL), list("-+0123456789"))

_SCALARS = {
    _NULL: lambda text: None,
    _BOOLEAN: lambda text: text == "true",
    _INTEGER: int,
    _FLOAT: float,
    "tag:yaml.org,2002:str": str,
}


def _starts(place: Place) -> Iterator[Place]:
    return (place[:end] for end in range(len(place), -1, -1))


def _line(document: Document, place: Place) -> int:
    return next(document.lines[start] for start in _starts(place) if start in document.lines)


def _follows(details: ErrorDetails) -> bool:
    """Tell whether the error only follows from others: a list of wrong items only counts as too short."""
    return details["type"] == "too_short" and bool(details["input"])


def _written(place: Place) -> str:
    """Return the place as it is written in messages: `sources.orders[0].columns.amount: `."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
    return f"{path if path.isprintable() else repr(path)}: " if place else ""


def _fault(details: ErrorDetails, schema: dict[str, Any]) -> Fault:
    """Return the place in the file that a pydantic error is about, and the fault without the value."""
    place, here = _found(details["loc"], schema)
    _, parent = _found(details["loc"][:-1], schema)
    meaning = f": {here['description']}" if "description" in here else ""
    match details["type"]:
        case "missing":
            return place, f"this key is missing{meaning}. Add it."
        case "extra_forbidden":
            known = list(parent.get("properties", {}))
            near = did_you_mean(str(place[-1]), known)
            return place, f"there is no such key here.{near} The keys are {', '.join(known)}."
        case "union_tag_not_found":
            return place, f"the key kind is missing. Add kind: {' or '.join(_kinds(here))}."
        case "union_tag_invalid":
            kinds = _kinds(here)
            near = did_you_mean(str(details["ctx"]["tag"]), kinds)
            return (*place, "kind"), f"there is no such kind.{near} The kinds are {', '.join(kinds)}."
        case "literal_error":
            names = re.findall("'(.*?)'", details["ctx"]["expected"])
            return place, f"must be {' or '.join(names)}.{did_you_mean(str(details['input']), names)}"
        case "value_error":
            fault = str(details["ctx"]["error"])
            return place, fault if fault.endswith((".", "?")) else f"{fault}."
        case _ if details["input"] is None:
            return place, f"this key has no value{meaning}. Give one, or take the key out."
        case other:
            fault = _WRONG.get(other) or details["msg"].replace("Input should", "must")
            return place, f"{fault}{meaning}."


_WRONG = {
    "dict_type": "must be keys with values",
    "float_type": "must be a number, without quotes",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number, without quotes",
    "list_type": "must be a list",
    "model_attributes_type": "must be keys with values",
    "model_type": "must be keys with values",
    "path_type": "must be text, in quotes where YAML takes it for something else",
    "string_pattern_mismatch": "is not of the right form",
    "string_too_short": "must not be empty",
    "string_type": "must be text, in quotes where YAML takes it for something else",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
}


def _found(location: tuple[str | int, ...], schema: dict[str, Any]) -> tuple[Place, dict[str, Any]]:
    """Follow a pydantic location down a JSON Schema; a kind in it is a choice of models and not a key."""
    place, here = (), schema
    for part in location:
        if part == "[key]":
            continue
        kinds = here.get("discriminator", {}).get("mapping", {})
        if part in kinds:
            here = _resolved({"$ref": kinds[part]}, schema)
            continue
        place = (*place, part)
        inner = here.get("properties", {}).get(part) or here.get("additionalProperties") or here.get("items")
        here = _resolved(inner or {}, schema)
    return place, here


def _resolved(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = part.get("$ref", "").removeprefix("#/$defs/")
    return {**schema["$defs"][name], **part} if name else part


def _kinds(here: dict[str, Any]) -> list[str]:
    return list(here["discriminator"]["mapping"])
