"""What `prefect.yaml` asks for, and what is said where it is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from config.errors import ConfigurationError
from flows.deployments import Deployment, Schedule, deployments
from tests.end_to_end.serving import small_firm

NIGHTLY = "name: nightly, entrypoint: flows.nightly.segment_accounts"


@pytest.fixture
def firm(tmp_path, monkeypatch) -> Path:
    """A business file in the working directory and the configuration directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAPPORT_CONFIG_DIR", str(tmp_path))
    return small_firm(tmp_path)


def asked_for(text: str) -> list[Deployment]:
    Path("prefect.yaml").write_text(text)
    return deployments(None)


def fault(text: str) -> str:
    """What is said of a `prefect.yaml`."""
    with pytest.raises(ConfigurationError) as told:
        asked_for(text)
    return str(told.value)


def test_the_bundled_deployments_are_the_example_s(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAPPORT_CONFIG_DIR", raising=False)
    nightly, ad_hoc, backfill = deployments(None)
    assert (nightly.name, nightly.business, ad_hoc.schedules) == ("nightly", "hartley", [])
    assert nightly.schedules == [Schedule(cron="30 3 * * *", timezone="America/New_York")]
    assert backfill.entrypoint == "flows.nightly.backfill_accounts"


def test_a_file_in_the_working_directory_goes_before_the_bundled_one_and_is_due_in_the_business_s_zone(firm):
    (night,) = asked_for(
        f"""
name: ours
deployments:
  - {{{NIGHTLY}, parameters: {{business: firm, wait_seconds: 5}}, schedules: [{{cron: 0 1 * * *, timezone: UTC}}]}}
"""
    )
    assert night.parameters == {"business": "firm", "wait_seconds": 5}
    assert night.schedules == [Schedule(cron="0 1 * * *", timezone="Asia/Tokyo")]


def test_prefect_is_not_imported_before_its_settings_are_there(firm):
    Path("prefect.yaml").write_text(f"deployments: [{{{NIGHTLY}, schedules: [{{cron: 0 1 * * *}}]}}]")
    script = (
        "import sys; from pathlib import Path; from flows.deployments import deployments; import flows.serve; "
        "deployments(Path('firm.yaml')); sys.exit('prefect' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_business_given_on_the_command_line_is_that_of_all_deployments(firm):
    Path("prefect.yaml").write_text(f"deployments: [{{{NIGHTLY}, parameters: {{business: nobody}}}}]")
    assert [each.business for each in deployments(firm)] == ["firm"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "prefect.yaml:1: deployments: this key is missing: what the server offers to run. Add it."),
        ("deployments: []", "prefect.yaml:1: deployments: must not be empty: what the server offers to run."),
        ("deployments: {", "prefect.yaml:1: this is not YAML: "),
        (
            "deployments: [{name: nightly, entrypoint: flows.nightly.segment_account}]",
            "prefect.yaml:1: deployments[0].entrypoint: must be flows.nightly.segment_accounts or "
            "flows.nightly.backfill_accounts. Did you mean 'flows.nightly.segment_accounts'?",
        ),
        (
            "deployments: [{name: a/b, entrypoint: flows.nightly.segment_accounts}]",
            "prefect.yaml:1: deployments[0].name: is not of the right form: what it is called in the UI, without / % & < >.",
        ),
        (
            f"deployments: [{{{NIGHTLY}, schedule: {{cron: 0 1 * * *}}}}]",
            "prefect.yaml:1: deployments[0].schedule: there is no such key here. Did you mean 'schedules'? The keys are ",
        ),
        (
            f"deployments: [{{{NIGHTLY}, schedules: [{{interval: 3600}}]}}]",
            "prefect.yaml:1: deployments[0].schedules[0].cron: this key is missing: when it is due, in the five fields of cron, "
            "such as 30 3 * * *. Add it.",
        ),
        (
            f"deployments: [{{{NIGHTLY}, schedules: [{{cron: 25 o'clock}}]}}]",
            "prefect.yaml:1: deployments[0].schedules[0].cron: is not of the right form: when it is due, in the five fields",
        ),
        (
            f"deployments: [{{{NIGHTLY}, work_pool: {{name: theirs}}}}]",
            "prefect.yaml:1: deployments[0].work_pool.name: must be rapport.",
        ),
        (
            f"deployments: [{{{NIGHTLY}, parameters: {{business: nobody}}}}]",
            "nobody.yaml: there is no such file.",
        ),
        (
            f"deployments: [{{{NIGHTLY}, parameters: {{business: firm}}}}, {{{NIGHTLY}}}]",
            "prefect.yaml: more than one deployment is called nightly. Give each a name of its own.",
        ),
    ],
)
def test_a_wrong_file_is_told_with_its_place(firm, text, said):
    assert said in fault(text)
