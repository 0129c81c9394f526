"""The flow on a real Prefect server, and the command that serves it."""

import os
import re
import signal
import socket
import subprocess
import sysconfig
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest
from prefect import __version__, flow, task
from prefect.blocks.system import Secret
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
)
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectHTTPStatusError
from prefect.flow_engine import run_flow as run_prefect_flow
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Scheduled

from config.connections import SecretReference, secret_value
from config.errors import Busy, ConfigurationError, GateRefused, SourceError, WarehouseError
from config.settings import load
from flows.alerts import SILENCE
from flows.deployments import deployments
from flows.nightly import TASKS, may_pass_later, run_flow, segment_accounts
from flows.registration import register
from flows.runs import at_work, example_file, new_run, run_stages
from flows.warehouse import live
from tests.end_to_end.conftest import MISSED
from tests.end_to_end.runs import artifacts, deployment, ended, run_named, started
from tests.end_to_end.serving import forwarder, rapport, small_firm
from tests.waiting import WAIT_SECONDS, until

ROOT = Path(__file__).parents[2]
TOKYO = ZoneInfo("Asia/Tokyo")
LAST_DAY = date(2026, 2, 28)
DUE = datetime(2026, 2, 11, 3, 30, tzinfo=TOKYO)  # in UTC it is still the 10th


def published(folder: Path) -> tuple[str, list[tuple]]:
    """The content hash in the ledger, and the verdicts without the run that gave them."""
    with duckdb.connect(folder / "warehouse.duckdb", read_only=True) as con:
        return (
            con.execute("select content_hash from rapport.runs").fetchall()[0][0],
            con.execute("select * exclude (run_id) from rapport.account_segments order by all").fetchall(),
        )


def test_the_pinned_versions_make_a_server(served, client):
    assert client.api_version() == __version__


def test_serving_keeps_prefects_files_with_ours_and_tells_nobody(served, client):
    assert served.database.exists()
    settings = client.request("GET", "/admin/settings").json()
    assert settings["server"]["analytics_enabled"] is False
    assert settings["server"]["ui"]["show_promotional_content"] is False
    assert settings["server"]["concurrency"]["lease_storage"].endswith("filesystem")


def test_the_night_is_due_at_half_past_three_in_the_business_s_zone(served, client):
    nightly = deployment(client, "nightly")

    def look():
        of_it = DeploymentFilter(id=DeploymentFilterId(any_=[nightly.id]))
        coming = client.read_flow_runs(deployment_filter=of_it, sort=FlowRunSort.EXPECTED_START_TIME_ASC)
        return [run for run in coming if run.auto_scheduled][:3]

    coming = until(look, "the scheduler")
    first = coming[0].expected_start_time.astimezone(TOKYO)
    assert first > datetime.now(TOKYO)
    half_past_three = first.replace(hour=3, minute=30, second=0, microsecond=0)
    nights = [half_past_three + timedelta(days=later) for later in range(3)]
    assert [run.expected_start_time for run in coming] == nights
    assert {run.parameters["business"] for run in coming} == {"firm"}
    assert deployment(client, "ad-hoc").schedules == []


def test_the_form_explains_every_field(client):
    fields = deployment(client, "ad-hoc").parameter_openapi_schema["properties"]
    assert list(fields) == ["business", "as_of", "known_at", "rebuild", "dry_run", "accept_change", "wait_seconds"]
    assert all(len(field["description"]) > 20 for field in fields.values())


def test_the_business_is_a_choice_of_the_files_that_are_there(client):
    assert deployment(client, "ad-hoc").parameter_openapi_schema["properties"]["business"]["enum"] == ["firm", "large"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"business": "../firm"},
        {"business": "/etc/passwd"},
        {"business": ""},
        {"business": "nobody"},
        {"as_of": "soon"},
        {"as_of": "2026-13-01"},
        {"as_of": ""},
        {"known_at": "2026-01-31"},
        {"known_at": "2026-01-31T25:00:00"},
        {"wait_seconds": -1},
        {"dry_run": "perhaps"},
        {"accept_change": "x" * 501},
    ],
    ids=lambda parameters: str(parameters)[:40],
)
def test_the_server_refuses_what_the_form_does_not_allow(client, parameters):
    with pytest.raises(PrefectHTTPStatusError, match=f"Validation failed for field '{next(iter(parameters))}'"):
        started(client, "ad-hoc", **parameters)


def test_the_flow_publishes_what_the_stages_alone_publish(client, at_the_firm, tmp_path, monkeypatch):
    segment_accounts(business="firm", as_of=LAST_DAY)
    alone = small_firm(tmp_path / "alone")
    monkeypatch.chdir(alone.parent)
    run = new_run(load(alone), as_of=LAST_DAY)
    with at_work(run):
        list(run_stages(run, announce=lambda _: None))
    assert published(alone.parent) == published(at_the_firm.parent)


def test_a_run_counts_up_to_the_day_before_it_was_due_however_late_it_starts_and_again(client, at_the_firm):
    due = client.create_flow_run(segment_accounts, parameters={"business": "firm"}, state=Scheduled(scheduled_time=DUE))
    for _ in range(2):
        run = client.read_flow_run(due.id)
        run_prefect_flow(segment_accounts, flow_run=run, parameters=run.parameters)
        assert client.read_flow_run(due.id).name == "firm, due 2026-02-10 18:30 UTC"
        ledger = live(at_the_firm.parent / "warehouse.duckdb")
        assert ledger
        assert ledger["as_of"] == date(2026, 2, 10)
        client.set_flow_run_state(due.id, Scheduled(), force=True)


def test_a_moment_without_a_zone_is_one_of_the_business_s(client, at_the_firm):
    segment_accounts(business="firm", as_of=date(2026, 2, 22), known_at=datetime(2030, 1, 1))
    ledger = live(at_the_firm.parent / "warehouse.duckdb")
    assert ledger
    assert ledger["known_at"] == datetime(2029, 12, 31, 15)


def test_an_unknown_business_fails_the_run_with_a_sentence(client, at_the_firm):
    with pytest.raises(ConfigurationError):
        segment_accounts(business="nobody")
    state = run_named(client, "nobody, due").state
    assert state.name == "Failed"
    assert f"ConfigurationError: {at_the_firm.parent}/nobody.yaml: there is no such file." in state.message


def test_a_refused_gate_fails_the_run_with_its_sentence_and_publishes_nothing(client, at_the_firm, capfd):
    small_firm(at_the_firm.parent, unfit_orders=9)
    with pytest.raises(GateRefused) as refused:
        run_flow(at_the_firm, show=True, as_of=date(2026, 2, 26), wait_seconds=0)
    assert "amount is missing in 9 of 122 checked rows (7.38%); the limit is 1%." in str(refused.value)
    run = run_named(client, "firm up to 2026-02-26")
    assert run.state.name == "Failed"
    assert run.state.message == f"Flow run encountered an exception: GateRefused: {refused.value}"
    assert live(at_the_firm.parent / "warehouse.duckdb") is None
    said = capfd.readouterr().err
    assert "check_incoming: 122 orders" in said
    assert "Traceback" not in said


def test_the_flow_publishes_of_the_bundled_example_what_the_stages_alone_publish(client, tmp_path, monkeypatch):
    hashes = {}
    for way in ("flow", "stages"):
        folder = tmp_path / way
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.delenv("RAPPORT_CONFIG_DIR", raising=False)
        if way == "flow":
            segment_accounts()
        else:
            run = new_run(load(example_file()))
            with at_work(run):
                list(run_stages(run, announce=lambda _: None))
        ledger = live(folder / ".rapport/example/warehouse.duckdb")
        assert ledger
        assert ledger["as_of"] == date(2025, 12, 31)
        hashes[way] = ledger["content_hash"]
    assert hashes["flow"] == hashes["stages"]


def test_the_stages_that_ask_a_source_or_the_warehouse_are_tried_again():
    tried_again = {each.name: each.retries for each in TASKS if each.retries}
    assert tried_again == dict.fromkeys(("extract", "models", "judge", "audit_outgoing", "publish"), 2)


def attempts(faults: Sequence[Exception]) -> list[int]:
    """How often a stage that fails so is tried, where it may be tried twice."""
    tried = []

    @task(retries=1, retry_condition_fn=may_pass_later)
    def stage(number: int) -> None:
        tried.append(number)
        raise faults[number]

    @flow
    def night() -> str:
        for number in range(len(faults)):
            stage(number, return_state=True)
        return "over"

    night()
    return [tried.count(number) for number in range(len(faults))]


FAULTS = [
    SourceError("x"),
    WarehouseError("x"),
    Busy("x"),
    OSError("x"),
    GateRefused("x"),
    ConfigurationError("x"),
    KeyError("x"),
]


def test_a_deployment_s_run_waits_for_what_may_pass(client, monkeypatch):
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "any")
    assert attempts(FAULTS) == [2, 2, 2, 2, 1, 1, 1]


def test_who_runs_it_by_hand_hears_of_a_fault_at_once(client):
    assert attempts(FAULTS) == [1] * len(FAULTS)


def test_artifacts_that_cannot_be_written_do_not_fail_the_run(served, client, at_the_firm, caplog):
    with ExitStack() as stack:
        address, _ = stack.enter_context(forwarder(served.address, refused=b"POST /api/artifacts/"))
        stack.enter_context(temporary_settings({PREFECT_API_URL: f"{address}/api", PREFECT_CLIENT_MAX_RETRIES: 0}))
        segment_accounts(business="firm", as_of=date(2026, 2, 25), dry_run=True)
    assert run_named(client, "firm up to 2026-02-25").state.name == "Completed"
    assert "the artifacts could not be written" in caplog.text


def test_prefects_own_command_deploys_the_same(served, client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAPPORT_CONFIG_DIR", raising=False)
    bundled = deployments(None)
    text = (ROOT / "prefect.yaml").read_text()
    for each in bundled:
        text = text.replace(f"name: {each.name}", f"name: {each.name}-by-hand")
    (tmp_path / "prefect.yaml").write_text(text)
    done = subprocess.run(
        [Path(sysconfig.get_path("scripts"), "prefect"), "--no-prompt", "deploy", "--all"],
        env=os.environ | {"PREFECT_API_URL": served.api},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for each in bundled:
        by_hand, by_serve = deployment(client, f"{each.name}-by-hand"), deployment(client, each.name)
        assert by_hand.parameters == each.parameters == {"business": "hartley"}
        assert [(s.schedule.cron, s.schedule.timezone) for s in by_hand.schedules] == [
            (s.cron, s.timezone) for s in each.schedules
        ]
        assert [s.schedule.cron for s in by_serve.schedules] == [s.cron for s in each.schedules]
        for alike in (
            "entrypoint",
            "enforce_parameter_schema",
            "work_pool_name",
            "description",
        ):
            assert getattr(by_hand, alike) == getattr(by_serve, alike)
        by_hand.parameter_openapi_schema["properties"]["business"].pop("enum")
        by_serve.parameter_openapi_schema["properties"]["business"].pop("enum")
        assert by_hand.parameter_openapi_schema == by_serve.parameter_openapi_schema


def test_a_secret_is_read_from_its_block(client):
    Secret(value="hunter2").save("shop-reader")
    assert secret_value(SecretReference(prefect_block="shop-reader")).get_secret_value() == "hunter2"
    with pytest.raises(ConfigurationError, match=r"^there is no Prefect Secret block shop-writer\. Make it"):
        secret_value(SecretReference(prefect_block="shop-writer"))


def test_a_secret_whose_server_is_away_is_told(client):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    told = (
        r"^the Prefect Secret block shop-reader cannot be read: .*\. Start the Prefect server, correct PREFECT_API_URL"
    )
    away = temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api", PREFECT_CLIENT_MAX_RETRIES: 0})
    with away, pytest.raises(SourceError, match=told):
        secret_value(SecretReference(prefect_block="shop-reader"))


def test_a_taken_port_is_told(tmp_path):
    file = small_firm(tmp_path / "firm")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with rapport(file.parent, ["serve", "--config", "firm.yaml", "--port", str(port)]) as running:
            running.line(f"port {port}: Address already in use. Choose another, or leave it out.")
            assert running.process.wait(WAIT_SECONDS) == 2


@pytest.fixture
def for_the_example(monkeypatch, tmp_path) -> Path:
    """A working directory for deployments of the example, so that nothing that the server has of the firm is changed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAPPORT_CONFIG_DIR", raising=False)
    return tmp_path


def registered(folder: Path, early: str) -> list[str]:
    """Registers what a `prefect.yaml` says, and gives the notes on it."""
    (folder / "prefect.yaml").write_text(
        f"deployments: [{{name: early, entrypoint: flows.nightly.segment_accounts, {early}}}]"
    )
    return register(deployments(None))


def test_what_was_switched_off_in_the_ui_stays_off(client, for_the_example):
    early = "schedules: [{cron: 0 1 * * *}, {cron: 0 2 * * *}]"
    assert registered(for_the_example, early) == []
    first, _ = deployment(client, "early").schedules
    client.update_deployment_schedule(deployment(client, "early").id, first.id, active=False)
    assert registered(for_the_example, early) == [
        f"early is switched off: it does not run by itself at {first.schedule.cron}."
    ]
    assert [each.active for each in deployment(client, "early").schedules].count(False) == 1
    client.pause_deployment(deployment(client, "early").id)
    assert len(registered(for_the_example, early)) == 2
    assert deployment(client, "early").paused


def test_prefect_yaml_says_what_counts_whatever_the_ui_says(client, for_the_example):
    registered(for_the_example, "schedules: [{cron: 0 1 * * *}]")
    client.pause_deployment(deployment(client, "early").id)
    assert registered(for_the_example, "schedules: [{cron: 0 1 * * *, active: true}]") == []
    assert not deployment(client, "early").paused
    (note,) = registered(for_the_example, "schedules: [{cron: 0 1 * * *, active: false}]")
    assert note == "early is switched off: it does not run by itself at 0 1 * * *."
    assert [each.active for each in deployment(client, "early").schedules] == [False]


def test_tags_are_those_of_the_file(client, for_the_example):
    registered(for_the_example, "tags: [night]")
    assert deployment(client, "early").tags == ["night"]


def test_a_deployment_that_was_renamed_is_told(client, for_the_example):
    registered(for_the_example, "schedules: [{cron: 0 1 * * *}]")
    assert register([each.model_copy(update={"name": "late"}) for each in deployments(None)]) == [
        "early is on the server and no longer in prefect.yaml: delete it in the UI, or it goes on."
    ]


def test_a_parameter_that_the_form_does_not_take_is_told(client, for_the_example):
    with pytest.raises(ConfigurationError) as told:
        registered(for_the_example, "parameters: {as_off: 2026-02-01}")
    assert str(told.value) == (
        "prefect.yaml: parameters of the deployment early: there is no as_off. Did you mean 'as_of'? There are "
        "business, as_of, known_at, rebuild, dry_run, accept_change, wait_seconds."
    )
    with pytest.raises(ConfigurationError, match=r"of the deployment early: .*'wait_seconds'.* less than the minimum"):
        registered(for_the_example, "parameters: {wait_seconds: -1}")


def test_an_hour_that_cron_does_not_know_is_told(client, for_the_example):
    with pytest.raises(ConfigurationError, match=r"^prefect.yaml: schedules of the deployment early: .*61 3 \* \* \*"):
        registered(for_the_example, "schedules: [{cron: 61 3 * * *}]")


def test_without_a_server_there_is_a_temporary_one_and_a_fault_is_a_message_and_an_exit_code(meanwhile):
    refused, _ = meanwhile.with_a_temporary_server.result()
    # behind them the temporary server may tell that its database was locked for a moment
    assert refused.lines[0].startswith("Beginning flow run 'firm, due ")
    assert refused.lines[1].startswith("orders (source ledger): no file matches orders.csv.")
    assert refused.process.returncode == SourceError.exit_code


def test_a_run_that_is_told_to_end_takes_its_temporary_server_along(meanwhile):
    _, ended = meanwhile.with_a_temporary_server.result()  # where any process is left, this fails
    assert ended.process.returncode == 128 + signal.SIGTERM


def test_a_server_that_goes_away_does_not_keep_the_run_from_publishing(meanwhile):
    running = meanwhile.without_its_server.result()
    assert any("the Prefect server went away during the run" in line for line in running.lines)
    assert not any("Traceback" in line for line in running.lines)
    assert running.process.returncode == 1
    ledger = live(running.folder / "warehouse.duckdb")
    assert ledger
    assert ledger["as_of"] == date(2026, 2, 27)


def test_a_run_takes_what_was_entered_in_the_form(served, client, meanwhile):
    run = ended(client, meanwhile.form)
    assert run.state.name == "Completed", run.state.message
    assert run.name == "firm up to 2026-01-31"
    found = {key: each.description or "" for key, each in artifacts(client, run.id).items()}
    assert found.keys() == {
        "progress",
        "segments",
        "reasons",
        "audits",
        "quarantine",
        "stages",
        "run",
        "published",
        "transitions",
    }
    assert found["segments"].startswith("Segments by line, Small firm, 2026-01-31")
    assert found["run"] == "24 verdicts are live in warehouse.duckdb"
    assert re.fullmatch(r"\d+ passed, 0 failed, 0 broken", found["audits"])
    assert found["quarantine"] == "Refused rows by reason, 0 in all"
    assert found["progress"] == "all done"


def test_a_day_that_is_none_fails_the_run_with_a_sentence(client, meanwhile):
    run = ended(client, meanwhile.day)
    assert run.state.name == "Failed"
    assert "as_of: Input should be a valid date" in run.state.message


def test_two_deployments_do_not_run_at_the_same_time(client, meanwhile):
    runs = sorted((ended(client, run_id) for run_id in (meanwhile.form, meanwhile.day)), key=lambda run: run.start_time)
    assert {run.deployment_id for run in runs} == {deployment(client, name).id for name in ("nightly", "ad-hoc")}
    for one, after in pairwise(runs):
        assert one.end_time <= after.start_time


def test_with_a_server_serve_is_only_a_worker(served, client, meanwhile):
    meanwhile.cancelled.result()
    served.channel.told("nothing was published by 07:00")
    ours = {"PREFECT_API_URL": served.api, "FIRM_CHANNEL": served.channel.address}
    with rapport(served.folder, ["serve", "--config", "firm.yaml"], **ours) as second:
        second.line("Deployments: nightly, ad-hoc")
        assert not any(line.startswith("Prefect server") for line in second.lines)
    assert client.api_healthcheck() is None
    assert len(client.read_automations_by_name(SILENCE)) == 1
    (missed,) = client.read_automations_by_name(MISSED)
    assert missed.trigger.within == timedelta(hours=3, minutes=30), "changed by hand, it follows the file again"
