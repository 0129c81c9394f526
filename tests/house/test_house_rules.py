"""The rules of the house that a machine can hold: style, types, SQL and the one direction of imports."""

import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sysconfig.get_path("scripts"))

RULES = {
    "Python is clean": ["ruff", "check", "."],
    "Python is formatted": ["ruff", "format", "--check", "."],
    "types hold": ["ty", "check"],
    "SQL is clean": ["sqlfluff", "lint", "--disable-progress-bar", "sql"],
    "data goes one way": ["lint-imports", "--no-cache"],
}


@pytest.mark.parametrize("command", RULES.values(), ids=RULES.keys())
def test_a_rule_of_the_house_holds(command: list[str]) -> None:
    found = subprocess.run([str(SCRIPTS / command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_flows_knowledge_stays_out_of_the_transforms(tmp_path: Path) -> None:
    forbidden = "import duckdb\nimport prefect\nfrom datetime import datetime\n\nNOW = datetime.now()\n"
    found = subprocess.run(
        [str(SCRIPTS / "ruff"), "check", "--select", "TID251", "--stdin-filename", "transforms/probe.py", "-"],
        cwd=ROOT,
        input=forbidden,
        capture_output=True,
        text=True,
    )
    assert found.stdout.count("TID251") == 3, found.stdout
