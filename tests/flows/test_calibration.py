"""`rapport calibrate`: labels beside the features of their day, a ruler to review, and what is said of labels that do not fit."""

import json
import shutil
from datetime import date
from pathlib import Path

import pytest
import yaml

from config.errors import ConfigurationError, RapportError, WarehouseError
from config.settings import load
from flows.calibration import Calibrated, calibrate
from flows.cli import main
from tests.end_to_end.over_time import day, night, written
from tests.ingest import csv

PAIRS = 24
LAST = 40


def orders() -> list[str]:
    """Of each pair one buys law every few days until the end, and one a form now and then; late ones come after day 10."""
    lines = []
    for pair in range(PAIRS):
        for number in range(0, 120, 3 + pair % 4):
            lines.append(f"c{pair}-{number},1,C{pair},law,{day(number - 80)} 10:00,{100 + pair},false")
        for number in range(0, 120, 50 + pair % 7):
            lines.append(f"b{pair}-{number},1,B{pair},shop,{day(number - 79)} 10:00,{10 + pair},false")
    lines += [f"two-{n},1,C0,shop,{day(n)} 10:00,5,false" for n in (-20, -10)]
    return [*lines, f"late,1,LATE,law,{day(20)} 10:00,80,false"]


@pytest.fixture(scope="module")
def firm(tmp_path_factory) -> Path:
    """A firm with two published days, and the ruler that its labels gave on the first."""
    folder = tmp_path_factory.mktemp("firm")
    written(folder, orders())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        night(0)
        labelled(folder, "account_id,line,label", *labels())
        calibrate(load(Path("firm.yaml")), Path("labels.csv"), Path("first.yaml"))
        night(LAST)
    return folder


@pytest.fixture
def folder(firm, tmp_path, monkeypatch) -> Path:
    """A copy of it, to work in."""
    shutil.copytree(firm, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def labels(end: str = "") -> list[str]:
    """A label of each account; two of each kind are the other way round."""
    return [
        f"{kind}{pair},{line},{label if pair > 1 else 6 - label}{end}"
        for pair in range(PAIRS)
        for kind, line, label in (("C", "law", 5 - pair % 2), ("B", "shop", 1 + pair % 2))
    ]


def labelled(folder: Path, *lines: str) -> None:
    csv(folder, "labels.csv", *lines)


def calibrated(out: str = "new.yaml") -> Calibrated:
    return calibrate(load(Path("firm.yaml")), Path("labels.csv"), Path(out))


def fitted(file: str) -> tuple[float, dict[str, float]]:
    written_ruler = yaml.safe_load(Path(file).read_text())
    return written_ruler["base"], {name: each["weight"] for name, each in written_ruler["features"].items()}


def refusal() -> str:
    with pytest.raises(RapportError) as refused:
        calibrated()
    assert not Path("new.yaml").exists()
    return str(refused.value)


def test_the_ruler_is_one_that_a_business_file_can_name(folder):
    labelled(folder, "account_id,line,label", *labels())
    found = calibrated()
    assert (
        Path("new.yaml")
        .read_text()
        .startswith(
            "# Base and weights fitted to 48 labels of accounts of Two rooms. Review it before a business file names it.\n"
        )
    )
    told = json.loads((folder / "firm.yaml").read_text())
    (folder / "firm.yaml").write_text(json.dumps(told | {"scoring": "new.yaml"}))
    named = load(Path("firm.yaml")).ruler
    assert named == found.calibration.ruler
    assert named.origin == "calibrated"
    assert named.version.startswith(f"quick-1-calibrated-{day(LAST)}-")
    assert night(LAST, accept_change="another ruler").endswith("verdicts are live in warehouse.duckdb")


def test_a_label_is_read_beside_the_features_of_its_day(folder):
    labelled(folder, "account_id,line,label,labelled_on", *labels(f",{day(0)}"))
    found = calibrated()
    assert fitted("new.yaml") == fitted("first.yaml")
    labelled(folder, "account_id,line,label", *labels())
    calibrated("now.yaml")
    assert fitted("now.yaml") != fitted("first.yaml")
    assert (found.days, found.calibration.later_than) == (1, None)


def test_later_labels_of_other_accounts_measure_the_fit_to_earlier_ones(folder):
    rows = [f"{row},{day(0) if number < 34 else day(LAST)}" for number, row in enumerate(labels())]
    labelled(folder, "account_id,line,label,labelled_on", *rows)
    found = calibrated()
    assert (found.days, found.calibration.later_than, found.calibration.measured_on) == (2, day(0), 14)
    assert (found.calibration.labels, found.calibration.accounts) == (48, 48)


def test_nothing_is_published_or_changed(folder):
    labelled(folder, "account_id,line,label,labelled_on", *labels(f",{day(0)}"))
    before = (folder / "warehouse.duckdb").read_bytes(), (folder / "firm.yaml").read_bytes()
    calibrated()
    assert ((folder / "warehouse.duckdb").read_bytes(), (folder / "firm.yaml").read_bytes()) == before
    assert night(LAST).startswith("nothing changed: run ")


def test_a_label_without_a_line_is_of_the_only_one(folder):
    labelled(folder, "account_id,line,label", *labels())
    with_lines = calibrated("with.yaml")
    named = [row.replace(",law,", ",").replace(",shop,", ",") for row in labels() if not row.startswith("C0,")]
    labelled(folder, "account_id,label", *named)
    calibrated("without.yaml")
    labelled(
        folder, "label,line,account_id", *[f"{row.split(',')[1]},,{row.split(',')[0]}" for row in named], "2,law,C0"
    )
    calibrated("blank.yaml")
    assert fitted("blank.yaml") == fitted("with.yaml") != fitted("without.yaml")
    assert with_lines.unmet == ()


def test_labels_that_cannot_be_used_are_told(folder):
    rows = [*labels(), "LATE,law,5", "NOBODY,law,5", "C1,shop,1", "C0,,4", "B4,,1", "B4,shop,1"]
    rows = [row.replace("B3,shop,2", "B3,,3") for row in rows]
    labelled(folder, "account_id,line,label,labelled_on", *(f"{row},{day(0)}" for row in rows))
    found = calibrated()
    assert found.unmet == (
        "2 labels are of accounts that were not there on the day: LATE, NOBODY. They were left out.",
        "1 labels are of a line shop that their account had not on the day: C1. They were left out.",
        "1 labels name no line, and their account has several: C0. They were left out.",
    )
    assert (found.undecided, found.calibration.labels) == (1, 47)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["account,label", "C1,5"], "there is no column account_id. Did you mean 'account'?"),
        (["account_id,line,label"], "there are no labels."),
        (["account_id,label", ",", ","], "there are no labels."),
        (
            ["account_id,label", "C1,6", "C2,x", "C3,"],
            "3 labels are not 1, 2, 3, 4 or 5, the first with label '6': C1, C2, C3.",
        ),
        (["account_id,label", ",5"], "1 labels have no account, the first with label '5': (none)."),
        (
            ["account_id,label,labelled_on", "C1,5,30.6.2025", "C2,5,0001-01-01"],
            "2 labels have a labelled_on that is no day such as 2025-06-30, the first with labelled_on '30.6.2025': C1, C2.",
        ),
        (
            ["account_id,label,labelled_on", "C1,5,2999-01-01"],
            f"1 labels are of a day after {day(LAST)}, the last one published, the first with labelled_on '2999-01-01': C1.",
        ),
        (
            ["account_id,line,label", "C1,law,5", "C1,,2"],
            "2 labels contradict another of the same account, line and day, the first with label '5': C1.",
        ),
        (
            ["account_id,label", "C1,5", "C1,5"],
            "of 1 accounts labels say client (4 and 5), of 0 customer (1 and 2); it takes 30, and 10 of each. Nothing was written. "
            "Label more accounts.",
        ),
        (
            ["account_id,label", "1042.0,5"],
            "of 0 accounts labels say client (4 and 5), of 0 customer (1 and 2); it takes 30, and 10 of each. Nothing was written. "
            "Correct those that were left out, or label more accounts.\n1 labels are of accounts that were not there on the day: "
            "1042.0. They were left out.",
        ),
        (
            ["account_id,label,labelled_on", *(f"C1,5,{date(2025, 1 + n // 28, 1 + n % 28)}" for n in range(61))],
            "the labels are of 61 days, and each takes the time of a night.",
        ),
        (
            ["account_id,label,labelled_on", "C1,5,1999-01-01"],
            "features of 1999-01-01, for labels of that day: Two rooms:",
        ),
        (["account_id,label", "C1,5,7"], "it cannot be read as CSV ("),
        (["account_id;label", "C1;5;7"], "it cannot be read as CSV ("),
        (["Label,label,account_id", "5,5,C1"], "it cannot be read as CSV ("),
    ],
)
def test_labels_that_are_wrong_are_refused(folder, lines, told):
    labelled(folder, *lines)
    said = refusal()
    assert said.startswith(f"labels.csv: {told}")
    assert "Nothing was " in said


def test_a_file_that_is_there_is_not_written_over(folder):
    labelled(folder, "account_id,line,label", *labels())
    Path("new.yaml").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"^new\.yaml: the file exists"):
        calibrated()
    assert Path("new.yaml").read_text() == "mine"


def test_a_directory_that_is_not_there_is_told_before_anything_is_computed(folder):
    labelled(folder, "account_id,label", "nobody,0")
    with pytest.raises(ConfigurationError) as refused:
        calibrated("nowhere/new.yaml")
    assert str(refused.value) == (
        "nowhere/new.yaml: it cannot be written: there is no directory nowhere to write to. Name another file."
    )


def test_a_file_that_is_not_there_is_told(folder):
    Path("labels.csv").unlink()
    assert refusal() == "labels.csv: there is no such file. Nothing was written. Correct its path."


@pytest.mark.parametrize("separator", [";", "\t"])
def test_what_a_spreadsheet_writes_is_read(folder, separator):
    labelled(folder, "account_id,line,label", *labels())
    calibrated("plain.yaml")
    lines = ["Account_ID , line,Label", *labels(), ",,", ""]
    text = "\r\n".join(line.replace(",", separator) for line in lines)
    (folder / "labels.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    calibrated()
    assert fitted("new.yaml") == fitted("plain.yaml")


def test_another_encoding_is_told(folder):
    (folder / "labels.csv").write_bytes("account_id,label\nMüller,5\n".encode("latin-1"))
    assert "Save it as CSV in UTF-8" in refusal()


def test_what_speaks_against_the_ruler_is_told(folder):
    labelled(folder, "account_id,line,label", *labels())
    assert calibrated().doubts == ()
    reversed_labels = [",".join([*row.split(",")[:2], str(6 - int(row.split(",")[2]))]) for row in labels()]
    labelled(folder, "account_id,line,label", *reversed_labels)
    doubts = calibrated("reversed.yaml").doubts
    assert doubts[0] == "The score as it is speaks against the labels. Is 5 a client in this file, and 1 a customer?"
    assert doubts[-1].endswith("would change their sign; they count next to nothing.")
    told = json.loads((folder / "firm.yaml").read_text())
    (folder / "firm.yaml").write_text(json.dumps(told | {"scoring": "new.yaml"}))
    labelled(folder, "account_id,line,label", *labels())
    assert "The ruler was calibrated before." in " ".join(calibrated("again.yaml").doubts)


def test_before_the_first_publication_there_is_nothing_to_read_labels_beside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path)
    labelled(tmp_path, "account_id,label", "C1,5")
    with pytest.raises(WarehouseError, match=r"^warehouse warehouse\.duckdb: nothing was published yet"):
        calibrated()


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_line_tells_how_good_the_scores_are(folder, capsys, monkeypatch, as_json):
    labelled(folder, "account_id,line,label", *labels())
    options = ["--json"] if as_json else []
    monkeypatch.setattr(
        "sys.argv", ["rapport", "calibrate", "labels.csv", "new.yaml", "--config", "firm.yaml", *options]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    said = capsys.readouterr().out
    if as_json:
        told = json.loads(said)["calibration"]
        assert told["ruler"]["origin"] == "calibrated"
        assert set(told["after"]) == {"brier", "log_loss", "auc", "reliability"}
    else:
        assert "48 labels of 48 accounts and one day count: 24 clients, 24 customers" in " ".join(said.split())
        assert "log_loss" in said
