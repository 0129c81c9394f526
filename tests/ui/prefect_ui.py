"""What a person does in the Prefect UI."""

from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page


@dataclass(frozen=True)
class PrefectUi:
    """The Prefect UI in a browser.

    Attributes:
        page: the browser's.
        address: the server's.
        screenshots: where they are kept.
    """

    page: Page
    address: str
    screenshots: Path

    def keep(self, name: str) -> None:
        """Keeps what is on the screen, once it has come to rest."""
        self.page.wait_for_timeout(500)
        self.page.screenshot(path=self.screenshots / f"{name}.png")

    def open_form(self) -> None:
        """Goes from the list of deployments to the form of `ad-hoc`."""
        self.page.goto(f"{self.address}/deployments")
        self.page.get_by_role("link", name="ad-hoc", exact=True).click()
        self.page.get_by_role("button", name="Run", exact=True).click()
        self.page.get_by_text("Custom run").click()
        self.page.get_by_role("button", name="Submit").wait_for()

    def choose_first_of_month(self) -> None:
        """Enters the first day of this month as `as_of`, by the calendar."""
        self.page.get_by_role("button", name="date", exact=True).click()
        self.page.get_by_text("Select date").click()
        self.page.get_by_role("button", name="1", exact=True).first.click()
        self.page.get_by_role("button", name="Apply").click()

    def set_dry_run(self) -> None:
        self.page.get_by_role("switch").nth(1).click()

    def choose_business(self, name: str) -> list[str]:
        """Chooses a business, and gives all that were there to choose from."""
        self.page.get_by_role("button", name="firm", exact=True).focus()
        self.page.keyboard.press("ArrowDown")
        chosen = self.page.get_by_role("option", name=name)
        chosen.wait_for()
        choices = [each.inner_text() for each in self.page.get_by_role("option").all()]
        chosen.click()
        return choices

    def submit(self) -> None:
        self.page.get_by_role("button", name="Submit").click()

    def submit_and_follow(self) -> str:
        """Submits the form, goes to the run, and gives its id."""
        for _ in range(5):
            with self.page.expect_response("**/create_flow_run") as made:
                self.submit()
            if made.value.status != 503:  # its database was busy: one presses the button again
                break
        assert made.value.ok, made.value.text()
        run_id = made.value.json()["id"]
        self.open_run(run_id)
        return run_id

    def open_run(self, run_id: str) -> None:
        self.page.goto(f"{self.address}/runs/flow-run/{run_id}")

    def wait_for_state(self, name: str) -> None:
        """Waits until the run's heading says that it is in a state."""
        self.page.get_by_role("banner").get_by_text(name, exact=True).wait_for()

    def cancel(self) -> None:
        self.page.get_by_role("button", name="Cancel", exact=True).click()
        self.keep("6 cancelling")
        self.page.get_by_role("button", name="Confirm").click()
