"""The limits of a machine and of a container on it."""

import os

import pytest

from config.errors import ConfigurationError
from config.limits import MEMORY, THREADS
from flows.duck import connect
from flows.machine import memory_bytes, processors
from tests.ingest import firm, source

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def cgroups(tmp_path):
    def limited(**limits: str):
        for name, text in limits.items():
            (tmp_path / name.replace("_", ".")).write_text(text)
        return tmp_path

    return limited


def settings(**limits) -> tuple:
    with connect(firm(source("shop.csv"), **limits)) as con:
        return con.execute("select current_setting('memory_limit'), current_setting('threads')").fetchall()[0]


def test_a_container_has_the_memory_that_it_is_given(cgroups):
    assert memory_bytes(cgroups(memory_max="1073741824\n")) == 1024**3


@pytest.mark.parametrize("limits", [{}, {"memory_max": "max\n"}, {"memory_max": f"{MACHINE * 2}\n"}])
def test_a_process_without_a_limit_has_the_machines_memory(cgroups, limits):
    assert memory_bytes(cgroups(**limits)) == MACHINE


@pytest.mark.parametrize(("quota", "most"), [("50000 100000", 1), ("100000 100000", 1), ("max 100000", None)])
def test_a_container_has_the_processors_that_it_is_given(cgroups, quota, most):
    assert processors(cgroups(cpu_max=quota)) == (most or processors(cgroups()))


def test_duckdb_gets_what_the_business_file_says_before_what_the_machine_has():
    assert settings(memory="2GiB", threads=1) == ("2.0 GiB", 1)


@pytest.mark.parametrize(("name", "value"), [(MEMORY, "lots"), (THREADS, "abc"), (THREADS, "0")])
def test_a_limit_of_the_environment_that_is_none_is_told(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(
        ConfigurationError, match=f"^{name}: it is not .* Nothing was changed. Correct it, or leave it out.$"
    ):
        settings()


def test_duckdb_gets_what_the_command_says_before_what_the_business_file_says(monkeypatch):
    monkeypatch.setenv(MEMORY, "1GiB")
    monkeypatch.setenv(THREADS, "2")
    assert settings(memory="2GiB", threads=1) == ("1.0 GiB", 2)
