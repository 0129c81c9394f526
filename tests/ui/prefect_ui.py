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

    def choices_of_business(self) -> list[str]:
        """The businesses that may be chosen."""
        self.page.get_by_role("button", name="firm", exact=True).focus()
        self.page.keyboard.press("ArrowDown")
        self.page.get_by_role("option", name="large").wait_for()
        choices = [each.inner_text() for each in self.page.get_by_role("option").all()]
        self.page.keyboard.press("Escape")
        return choices

    def submit(self) -> None:
        self.page.get_by_role("button", name="Submit").click()

    def submit_and_follow(self) -> str:
        """Submits the form, goes to the run, and gives its id."""
        self.submit()
        self.page.get_by_role("button", name="View run").first.dispatch_event("click")  # it moves, and goes away
        self.page.wait_for_url("**/runs/flow-run/*")
        return self.page.url.split("?")[0].rsplit("/", 1)[1]

    def open_run(self, run_id: str) -> None:
        self.page.goto(f"{self.address}/runs/flow-run/{run_id}")

    def wait_for_state(self, name: str, within_seconds: float) -> None:
        """Waits until the run's heading says that it is in a state."""
        self.page.get_by_role("banner").get_by_text(name, exact=True).wait_for(timeout=1000 * within_seconds)

    def cancel(self) -> None:
        self.page.get_by_role("button", name="Cancel", exact=True).click()
        self.keep("6 cancelling")
        self.page.get_by_role("button", name="Confirm").click()
