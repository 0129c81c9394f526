"""The README says what is so: its tables come from the code, its commands and links exist."""

import re
from pathlib import Path
from typing import cast

from click import Group
from typer.main import get_command
from typer.testing import CliRunner

from flows.cli import app
from tests.documentation.readme_tables import README, with_blocks

ROOT = Path(__file__).parents[2]


def commands() -> set[str]:
    return set(cast(Group, get_command(app)).commands)


def test_the_tables_of_the_readme_are_those_of_the_code() -> None:
    text = README.read_text()
    assert text == with_blocks(text), "run: uv run python -m tests.documentation.readme_tables"


def test_every_command_has_a_line_in_the_readme_and_every_line_a_command() -> None:
    told = set(re.findall(r"^\| `rapport (\w[\w-]*)", README.read_text(), flags=re.MULTILINE))
    assert told == commands()


def test_every_command_has_help() -> None:
    for name in commands():
        shown = CliRunner().invoke(app, [name, "--help"])
        assert shown.exit_code == 0
        assert "Usage" in shown.output


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    commands = re.findall(r"^pip install .*$", README.read_text(), flags=re.MULTILINE)
    script = (ROOT / ".ci" / "run").read_text()
    assert commands[1].replace("pip install", "pip install --quiet", 1) in script


def test_the_files_that_the_readme_names_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README.read_text()):
        assert (ROOT / target).exists(), target
