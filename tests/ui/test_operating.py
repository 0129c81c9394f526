"""A person operates Rapport from the Prefect UI, in a real browser on the real server."""

import re
from datetime import UTC, datetime

import pytest

from flows.warehouse import live
from tests.ui.prefect_ui import PrefectUi

FIRST_OF_MONTH = datetime.now(UTC).date().replace(day=1)


def test_a_wrong_parameter_is_refused_in_the_form(ui: PrefectUi):
    ui.open_form()
    ui.page.get_by_role("spinbutton").fill("-1")
    ui.submit()
    ui.page.get_by_text("Validation failed for field 'wait_seconds'. Failure reason: -1 is less than").first.wait_for()
    ui.keep("1 refused")


@pytest.fixture(scope="module")
def submitted() -> dict[str, str]:
    """The ids of two runs that were submitted at once, and one after the other cancelled."""
    return {}


def test_the_form_is_filled_and_submitted_twice_at_once(ui: PrefectUi, submitted):
    ui.open_form()
    ui.choose_first_of_month()
    ui.set_dry_run()
    ui.keep("2 filled")
    submitted["first"] = ui.submit_and_follow()
    ui.open_form()
    assert ui.choose_business("large") == ["firm", "large"]
    submitted["second"] = ui.submit_and_follow()
    assert submitted["first"] != submitted["second"]


def test_the_run_is_watched_to_its_end_and_its_artifacts_are_read(ui: PrefectUi, submitted):
    ui.open_run(submitted["first"])
    ui.wait_for_state("Completed")
    assert ui.page.get_by_role("banner").get_by_text(f"firm up to {FIRST_OF_MONTH}").is_visible()
    ui.page.get_by_text("Artifacts", exact=True).click()
    ui.page.get_by_text(re.compile(r"\d+ passed, 0 failed, 0 broken")).wait_for()
    ui.keep("3 artifacts")
    ui.page.get_by_role("link", name="table segments").click()
    ui.page.get_by_text("customer", exact=True).first.wait_for()
    ui.keep("4 segments")


def test_the_second_waits_for_the_first_and_is_cancelled_at_work(ui: PrefectUi, client, served, submitted):
    before = live(served.folder / "warehouse.duckdb")
    ui.open_run(submitted["second"])
    ui.wait_for_state("Running")
    ui.keep("5 running")
    ui.cancel()
    ui.wait_for_state("Cancelled")
    ui.keep("7 cancelled")
    first, second = (client.read_flow_run(submitted[which]) for which in ("first", "second"))
    assert second.start_time >= first.end_time
    assert live(served.folder / "warehouse.duckdb") == before
