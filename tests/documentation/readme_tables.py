"""The parts of the README that are written from the code: `python -m tests.documentation.readme_tables` writes them."""

import re
from pathlib import Path

from config.catalogue import FEATURES
from config.tables import ENGAGEMENTS, ORDERS, PUBLISHED, Table

README = Path(__file__).parents[2] / "README.md"


def blocks() -> dict[str, str]:
    """The text of each generated part, by the name in its markers."""
    published = "\n\n".join(f"#### `{name}`\n\n{_columns(table)}" for name, table in PUBLISHED.items())
    return {
        "published": published,
        "orders": _columns(ORDERS),
        "engagements": _columns(ENGAGEMENTS),
        "features": _features(),
    }


def with_blocks(text: str) -> str:
    """The README's text with every generated part as it should be."""
    for name, block in blocks().items():
        pattern = rf"(<!-- {name}: from the code -->\n).*?(<!-- end -->)"
        text, found = re.subn(
            pattern, lambda match, block=block: f"{match[1]}{block}\n{match[2]}", text, flags=re.DOTALL
        )
        assert found == 1, f"the README has {found} places for {name}"
    return text


def _columns(table: Table) -> str:
    rows = [
        f"| `{column.name}` | {column.type} | {column.unit} | {column.meaning}{'' if column.required else ' (may be NULL)'} |"
        for column in table
    ]
    return "\n".join(["| column | type | unit | meaning |", "|---|---|---|---|", *rows])


def _features() -> str:
    rows = [f"| `{each.name}` | {each.dimension} | {each.unit} | {each.meaning} | {each.source} |" for each in FEATURES]
    return "\n".join(["| feature | dimension | unit | meaning | after |", "|---|---|---|---|---|", *rows])


if __name__ == "__main__":
    README.write_text(with_blocks(README.read_text()))
