"""Connections that are taken again: of the same run and limits, and only where they were left in order."""

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from config.limits import MEMORY
from config.settings import Business
from flows import state
from flows.duck import reused
from tests.ingest import firm, source

OTHER_PROGRAM = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('select 1')"


@pytest.fixture
def business(tmp_path) -> Business:
    return firm(source("shop.csv"), state=str(tmp_path / "state"), memory="100MB")


@pytest.fixture
def folder(business, tmp_path) -> Path:
    """The folder of a run that has begun."""
    state.prepare(business, tmp_path / "run", [], [], "a test")
    return tmp_path / "run"


def test_a_run_takes_its_connection_again_unless_its_limits_are_others(business, folder, monkeypatch):
    with state.connected(business, folder) as first:
        first.execute("create temp table mark as select 1")
    with state.connected(business, folder) as again:
        assert again.execute("from mark").fetchall() == [(1,)]
    monkeypatch.setenv(MEMORY, "200MB")
    with state.connected(business, folder) as other, pytest.raises(duckdb.CatalogException):
        other.execute("from mark")


def test_a_connection_that_was_left_in_disorder_is_not_taken_again(business, folder):
    with pytest.raises(duckdb.BinderException), state.connected(business, folder) as con:
        con.execute("create temp table mark as select 1")
        con.execute("begin")
        con.execute("select no_column from mark")
    with state.connected(business, folder) as con, pytest.raises(duckdb.CatalogException):
        con.execute("from mark")


@pytest.mark.parametrize("in_order", [True, False])
def test_between_its_stages_a_run_holds_no_file(business, folder, in_order):
    try:
        with state.connected(business, folder) as con:
            con.execute("create table made as select 1" if in_order else "no statement")
    except duckdb.ParserException:
        assert not in_order
    for file in (state.WORK, state.FILE):
        subprocess.run([sys.executable, "-c", OTHER_PROGRAM, str(folder / file)], check=True)


def test_what_did_not_fit_in_memory_is_taken_away_with_the_rest(business, folder):
    with state.connected(business, folder) as con:
        con.execute("create temp table large as select random() as drawn from range(30_000_000)")
        assert any((folder / state.SPILLED).iterdir()), "all of it fits in memory"
    state.tidy(folder)
    assert not any(folder.iterdir())


def test_two_at_a_time_have_one_each():
    with reused("a test", 1, duckdb.connect) as one, reused("a test", 1, duckdb.connect) as two:
        assert one is not two
    with reused("a test", 1, duckdb.connect) as again:
        assert again in (one, two)
    with reused("a test", 2, duckdb.connect) as other:
        assert other not in (one, two)
