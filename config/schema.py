"""The JSON Schema of a business file, for editors.

`python -m config.schema > config/business.schema.json` writes it anew.
"""

import json
from typing import Any

from config.settings import BusinessFile


def business_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) that editors complete and check a business file with."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **BusinessFile.model_json_schema()}


def schema_text() -> str:
    """Return the schema as it is written in the file that is shipped, with one line feed at the end."""
    return json.dumps(business_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
