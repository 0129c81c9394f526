"""Settings: a business file is taken whole, or every mistake in it is told in one sentence with its line."""

import json
import re
import textwrap
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from config.connections import SecretReference, secret_value
from config.errors import ConfigurationError
from config.settings import (
    Business,
    DuckdbWarehouse,
    Gates,
    PostgresWarehouse,
    config_hash,
    load,
)

BUNDLED = Path(__file__).parents[2] / "config"
KEYS = ", ".join(json.loads((BUNDLED / "business.schema.json").read_text())["properties"])

SHOP = """\
business: Corner Shop
timezone: Europe/Berlin
currency: EUR
sources:
  orders:
    - name: till
      kind: files
      path: landing/*.csv
      columns:
        order_id: receipt
        account_id: card
        ordered_at: cast(paid_at as timestamp)
        amount: cast(paid as decimal(18, 2))
scoring: scoring/retail.yaml
warehouse: {kind: duckdb, path: out/warehouse.duckdb}
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def written(text: str, name: str = "shop.yaml") -> Path:
        Path(name).write_text(text, encoding="utf-8")
        return Path(name)

    return written


def ruler_with(instead_of_base: str) -> str:
    """The bundled ruler of shops, other lines in the place of that of its base."""
    text, lines = re.subn(r"(?m)^base: .*$", instead_of_base, (BUNDLED / "scoring/retail.yaml").read_text())
    assert lines == 1
    return text


def mistakes(path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as refusal:
        load(path)
    return str(refusal.value).splitlines()


def test_a_business_file_is_read_with_its_ruler_and_its_defaults(written) -> None:
    shop = load(written(SHOP))
    assert (shop.name, shop.business, shop.timezone, shop.currency) == (
        "shop",
        "Corner Shop",
        "Europe/Berlin",
        "EUR",
    )
    assert shop.ruler.version == "retail-1"
    assert shop.warehouse == DuckdbWarehouse(kind="duckdb", path=Path("out/warehouse.duckdb"))
    assert shop.state == Path(".rapport/shop")
    assert shop.gates == Gates(quarantined_share=0.2)
    assert (shop.as_of, shop.memory, shop.threads, shop.sources.engagements) == (None, None, None, ())


def test_what_may_be_left_out_may_be_said(written) -> None:
    text = "state: elsewhere\ngates: {quarantined_share: 0}\nmemory: 4GB\nthreads: 2\nas_of: 2024-02-29\n"
    shop = load(written(SHOP + text))
    assert (shop.state, shop.gates.quarantined_share) == (Path("elsewhere"), 0)
    assert (shop.memory, shop.threads, shop.as_of) == ("4GB", 2, date(2024, 2, 29))


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("*.yaml")), ids=lambda path: path.name)
def test_every_bundled_business_is_sound(path: Path) -> None:
    assert load(path).name == path.stem


def test_a_ruler_beside_the_business_file_comes_before_a_bundled_one(written) -> None:
    path = written(SHOP)
    ruler = (BUNDLED / "scoring/retail.yaml").read_text()
    Path("scoring").mkdir()
    written(ruler.replace("retail-1", "our-own-7"), "scoring/retail.yaml")
    assert load(path).ruler.version == "our-own-7"


def test_a_configuration_cannot_be_changed(written) -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(load(written(SHOP)), "currency", "USD")  # noqa: B010 -- a type checker would refuse it


ONE_MISTAKE = {
    ("currency: EUR", "currency: EURO"): (
        3,
        "currency: 'EURO' is no currency of ISO 4217. Did you mean 'EUR'? Give a code such as EUR.",
    ),
    ("timezone: Europe/Berlin", "timezone: europe/berlin"): (
        2,
        "timezone: 'europe/berlin' is no time zone of IANA. Did you mean 'Europe/Berlin'?"
        " Give a name such as Europe/Berlin.",
    ),
    ("timezone: Europe/Berlin", "timezone: New York"): (
        2,
        "timezone: 'New York' is no time zone of IANA. Did you mean 'America/New_York'?"
        " Give a name such as Europe/Berlin.",
    ),
    ("business: Corner Shop", "business: 1984"): (
        1,
        "business: must be text, in quotes where YAML takes it for something else: the business's name, as reports"
        " show it.",
    ),
    ("business: Corner Shop", "business:"): (
        1,
        "business: this key has no value: the business's name, as reports show it. Give one, or take the key out.",
    ),
    ("currency: EUR\n", ""): (
        1,
        "currency: this key is missing: ISO 4217 code of the reporting currency. Add it.",
    ),
    ("kind: files", "kind: file"): (
        7,
        "sources.orders[0].kind: there is no such kind. Did you mean 'files'? The kinds are dataset, files, postgres.",
    ),
    ("      kind: files\n", ""): (
        6,
        "sources.orders[0]: the key kind is missing. Add kind: dataset or files or postgres.",
    ),
    ("kind: files", "kind: files\n      format: cvs"): (
        8,
        "sources.orders[0].format: must be csv or parquet or json. Did you mean 'csv'?",
    ),
    ("account_id: card", "account_id: card\n        acount_id: card"): (
        12,
        "sources.orders[0].columns.acount_id: there is no such key here. Did you mean 'account_id'? The keys are"
        " order_id, line_number, account_id, line, ordered_at, amount, currency, quantity, list_amount,"
        " product_id, category, handler, channel, is_custom, is_recurring, is_service, term_months, status,"
        " updated_at.",
    ),
    ("        amount: cast(paid as decimal(18, 2))\n", ""): (
        9,
        "sources.orders[0].columns.amount: this key is missing: net of tax and shipping; a return is negative"
        " (money). Add it.",
    ),
    ("order_id: receipt", "order_id: uper(receipt)"): (
        10,
        "sources.orders[0].columns.order_id: expression 'uper(receipt)', character 1: there is no function 'uper'"
        " here. Did you mean 'upper'?",
    ),
    ("order_id: receipt", "order_id: [receipt, 1 +]"): (
        10,
        "sources.orders[0].columns.order_id[1]: expression '1 +', character 3: this is not one SQL expression; it"
        " goes wrong at or after '+'.",
    ),
    ("scoring/retail.yaml", "scoring/retial.yaml"): (
        14,
        "scoring: there is no ruler 'scoring/retial.yaml', neither beside this file nor bundled. Did you mean"
        " 'scoring/retail.yaml'? Bundled are scoring/mixed.yaml, scoring/professional_services.yaml,"
        " scoring/retail.yaml.",
    ),
    ("currency: EUR", "currency: EUR\ncurrency: USD"): (
        4,
        "currency: this key stands here twice, first on line 3. Keep one of them.",
    ),
    ("currency: EUR", "currency: &euro EUR"): (
        3,
        "currency: anchors (&) and aliases (*) have no place here. Write the value out again.",
    ),
    ("currency: EUR", "currency: !money EUR"): (
        3,
        "currency: tags (!) have no place here. Write the plain value.",
    ),
    ("currency: EUR", "currency: EUR\ngates: {quarantined_share: 1.01}"): (
        4,
        "gates.quarantined_share: must be less than or equal to 1: largest share of all order lines, or of"
        " all events, that may be in quarantine, 0 to 1.",
    ),
    ("currency: EUR", "currency: EUR\nmemory: 4 gigs"): (
        4,
        "memory: is not of the right form: most memory for DuckDB, such as 4GB; 60 % of the machine's, or of its container's, where not"
        " given.",
    ),
    ("currency: EUR", 'currency: EUR\nthreads: "2"'): (
        4,
        "threads: must be a whole number, without quotes: most threads for DuckDB; one a processor where not given.",
    ),
    ("currency: EUR", "currency: EUR\nruler: {}"): (
        4,
        f"ruler: there is no such key here. The keys are {KEYS}.",
    ),
    ("currency: EUR", "currency: EUR\nalerts: {published_by: '07:00'}"): (
        4,
        "alerts: published_by needs somebody to tell. Add notify, or leave it out.",
    ),
    ("currency: EUR", "currency: EUR\nalerts: {notify: json://host, stale_days: 3}"): (
        4,
        "alerts.notify: a secret is not written down here. Name the one place that holds it: {env: NAME} or"
        " {prefect_block: name}.",
    ),
    ("kind: duckdb, path: out/warehouse.duckdb", "kind: duckdb, path: ''"): (
        15,
        "warehouse.path: must name a file or a directory.",
    ),
    ("currency: EUR", "currency: EUR\nstate: what?"): (
        4,
        "state: must be a directory without a question mark in its name",
    ),
    ("currency: EUR", "currency: EUR\nas_of: 20250630"): (4, "as_of: must be a day, such as 2025-06-30."),
    ("currency: EUR", "currency: EUR\nas_of: 2025-6-30"): (4, "as_of: must be a day, such as 2025-06-30."),
    ("{kind: duckdb, path: out/warehouse.duckdb}", "duckdb"): (
        15,
        "warehouse: must be keys with values: where",
    ),
}


@pytest.mark.parametrize(("change", "told"), ONE_MISTAKE.items(), ids=lambda value: str(value[0])[:40])
def test_a_mistake_is_told_with_its_line_its_key_and_what_to_do(written, change: Any, told: Any) -> None:
    assert change[0] in SHOP
    (sentence,) = mistakes(written(SHOP.replace(*change)))
    assert sentence.startswith(f"shop.yaml:{told[0]}: {told[1]}")


def test_all_mistakes_of_a_file_are_told_at_once_in_the_order_of_its_lines(written) -> None:
    till = SHOP[SHOP.index("    - name: till") : SHOP.index("scoring:")]
    text = SHOP.replace(till, till + till.replace("amount: ", "amuont: ")).replace("EUR", "XYZ")
    told = [re.sub(r": .*", "", sentence.removeprefix("shop.yaml:")) for sentence in mistakes(written(text))]
    keys = [sentence.split(": ")[1] for sentence in mistakes(written(text))]
    assert told == ["3", "14", "17", "21"]
    assert keys == [
        "currency",
        "sources.orders[1].name",
        "sources.orders[1].columns.amount",
        "sources.orders[1].columns.amuont",
    ]


def test_two_sources_never_share_a_name_orders_or_engagements(written) -> None:
    engagements = """\
      engagements:
        - name: till
          kind: files
          path: calls.jsonl
          columns: {account_id: a, occurred_at: b, kind: "'call'", direction: c}
    """
    text = SHOP.replace("scoring:", textwrap.dedent(engagements).replace("\n", "\n  ")[:-2] + "scoring:")
    text = text.replace("engagements:", "  engagements:", 1)
    assert mistakes(written(text)) == [
        "shop.yaml:15: sources.engagements[0].name: there is a source 'till' on line 6 already. Rename one."
    ]


def test_mistakes_of_the_ruler_are_told_with_its_own_file_and_line(written) -> None:
    written(ruler_with("base: low\nbsae: 1"), "ruler.yaml")
    sentences = mistakes(written(SHOP.replace("scoring/retail.yaml", "ruler.yaml").replace("EUR", "EUX")))
    assert [sentence.split(": ")[:2] for sentence in sentences] == [
        ["shop.yaml:3", "currency"],
        ["ruler.yaml:5", "base"],
        ["ruler.yaml:6", "bsae"],
    ]


def test_a_feature_that_there_is_not_is_told_with_its_line(written) -> None:
    added = "features:\n  order_day: {weight: 1, neutral: 1, scale: 1}"
    text = (BUNDLED / "scoring/retail.yaml").read_text().replace("features:", added)
    written(text, "ruler.yaml")
    (sentence,) = mistakes(written(SHOP.replace("scoring/retail.yaml", "ruler.yaml")))
    line = text.splitlines().index("  order_day: {weight: 1, neutral: 1, scale: 1}") + 1
    told = (
        f"ruler.yaml:{line}: features.order_day: there is no such feature. Did you mean 'order_days'? The features are"
    )
    assert sentence.startswith(told)


@pytest.mark.parametrize("base", ["true", "'1.5'"])
def test_a_number_of_a_ruler_is_a_number(written, base: str) -> None:
    written(ruler_with(f"base: {base}"), "ruler.yaml")
    (sentence,) = mistakes(written(SHOP.replace("scoring/retail.yaml", "ruler.yaml")))
    assert sentence.startswith("ruler.yaml:5: base: must be a number")


def test_a_home_directory_is_meant_by_a_tilde(written) -> None:
    found = load(written(SHOP.replace("out/warehouse.duckdb", "~/warehouse.duckdb"))).warehouse
    assert isinstance(found, DuckdbWarehouse)
    assert found.path == Path.home() / "warehouse.duckdb"


UNREADABLE = {
    "a: b: c": "shop.yaml:1: this is not YAML: mapping values are not allowed here.",
    "a: [1, 2": "shop.yaml:1: this is not YAML: while parsing a flow sequence, expected ',' or ']',"
    " but got '<stream end>'.",
    "a: 1\n\tb: 2": "shop.yaml:2: this is not YAML: while scanning for the next token, found character '\\t'"
    " that cannot start any token.",
    "a: 1\n---\nb: 2": "shop.yaml:2: this is not YAML: expected a single document in the stream,"
    " but found another document.",
    "a: " + "[" * 40: "shop.yaml:1: this is not YAML: it is nested deeper than 20 levels.",
    "a: \a": "shop.yaml: character 4 (code 7) has no place in YAML. Take it out.",
    "#" * 262_145: "shop.yaml: the file has 262,145 bytes; the most is 262,144.",
}


@pytest.mark.parametrize(("text", "told"), UNREADABLE.items(), ids=lambda text: text[:12])
def test_what_is_not_yaml_is_told_with_its_line(written, text: str, told: str) -> None:
    assert mistakes(written(text)) == [told]


def test_a_file_that_is_not_utf_8_is_told_so(written) -> None:
    path = written(SHOP)
    path.write_bytes(SHOP.replace("Corner", "Eck-Lädchen").encode("latin-1"))
    assert mistakes(path) == ["shop.yaml: byte 16 is not UTF-8. Save the file as UTF-8."]


def test_a_byte_order_mark_is_no_mistake(written) -> None:
    assert load(written("\ufeff" + SHOP)).name == "shop"


def test_a_key_of_several_lines_is_told_on_one(written) -> None:
    assert mistakes(written(SHOP + '"two\\nlines": 1\n')) == [
        f"shop.yaml:16: 'two\\nlines': there is no such key here. The keys are {KEYS}."
    ]


def test_a_file_that_is_not_there_is_told_with_the_nearest(written) -> None:
    written(SHOP)
    assert mistakes(Path("shp.yaml")) == ["shp.yaml: there is no such file. Did you mean 'shop.yaml'?"]


def test_a_path_that_cannot_be_read_is_told_with_the_reason(written) -> None:
    written(SHOP)
    assert mistakes(Path("../" + Path.cwd().name)) == [
        f"../{Path.cwd().name}: the file cannot be read: Is a directory."
    ]
    assert mistakes(Path("a" * 300)) == [f"{'a' * 300}: the file cannot be read: File name too long."]


def test_an_empty_file_lacks_every_required_key(written) -> None:
    keys = ["business", "currency", "scoring", "sources", "timezone", "warehouse"]
    assert [sentence.split(": ")[1] for sentence in mistakes(written("# nothing yet\n"))] == keys


@pytest.mark.parametrize(
    "word", ["no", "NO", "on", "off", "yes", "y", "True", "1:30", "0o7", "010", "2024-01-01", "1_0"]
)
def test_a_word_that_older_yaml_takes_for_something_else_stays_text(written, word: str) -> None:
    assert load(written(SHOP.replace("Corner Shop", word))).business == word


def test_true_false_and_numbers_in_a_mapping_are_sql(written) -> None:
    extra = "order_id: receipt\n        is_service: true\n        term_months: 12\n        quantity: 1.5"
    columns = load(written(SHOP.replace("order_id: receipt", extra))).sources.orders[0].columns
    assert (columns["is_service"], columns["term_months"], columns["quantity"]) == ("true", "12", "1.5")


POSTGRES = "{kind: postgres, host: db.example.org, database: dwh, user: rapport, password: PASSWORD}"


def with_password(password: str) -> str:
    return SHOP.replace("{kind: duckdb, path: out/warehouse.duckdb}", POSTGRES.replace("PASSWORD", password))


def test_a_password_is_a_reference_to_where_it_is_kept(written) -> None:
    shop = load(written(with_password("{env: DWH_PASSWORD}")))
    assert shop.warehouse == PostgresWarehouse(
        kind="postgres",
        host="db.example.org",
        port=5432,
        database="dwh",
        user="rapport",
        password=SecretReference(env="DWH_PASSWORD"),
    )


@pytest.mark.parametrize(
    "password",
    [
        "hunter2",
        "[hunter2]",
        "12345678",
        "{env: hunter2}",
        "{value: hunter2}",
        "{env: A, prefect_block: hunter2}",
        "{env: }",
        "{prefect_block: 'hunter 2'}",
        "{}",
        "&hunter2 hunter2",
        "*hunter2",
        "!hunter2 hunter2",
        "'hunter2",
        "hunter2: hunter2",
    ],
)
def test_a_password_in_the_file_is_refused_and_not_repeated(written, password: str) -> None:
    told = "\n".join(mistakes(written(with_password(password))))
    assert "hunter" not in told and "12345678" not in told


@pytest.mark.parametrize("place", ["host: db.example.org", "database: dwh", "user: rapport"])
def test_a_misplaced_password_is_not_repeated(written, place: str) -> None:
    key = place.split(":")[0]
    for misplaced in ("{hunter: 2}", "[hunter2]", "", "'hunter2@db'" if key == "host" else "2.0"):
        text = with_password("{env: A}").replace(place, f"{key}: {misplaced}")
        assert "hunter" not in "\n".join(mistakes(written(text))).replace("host.hunter", "")


def test_a_secret_is_taken_from_the_environment_and_stays_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DWH_PASSWORD", "hunter2")
    secret = secret_value(SecretReference(env="DWH_PASSWORD"))
    assert secret.get_secret_value() == "hunter2"
    assert "hunter2" not in f"{secret} {secret!r}"


@pytest.mark.parametrize("value", [None, ""])
def test_a_secret_that_is_not_set_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("DWH_PASSWORD", raising=False)
    if value is not None:
        monkeypatch.setenv("DWH_PASSWORD", value)
    with pytest.raises(ConfigurationError) as refusal:
        secret_value(SecretReference(env="DWH_PASSWORD"))
    assert str(refusal.value) == "the environment variable DWH_PASSWORD is not set. Set it to the secret."


def test_the_hash_is_that_of_the_content_and_not_of_how_it_is_written(written) -> None:
    lines = SHOP.replace("warehouse: {kind: duckdb, path: out/warehouse.duckdb}", "").splitlines()[:3]
    turned = "\n".join(reversed(lines)) + "\n" + "\n".join(SHOP.splitlines()[3:]) + "\n# a remark\n"
    assert config_hash(load(written(SHOP))) == config_hash(load(written(turned)))


def test_the_hash_does_not_depend_on_the_order_of_keys(written) -> None:
    path = written(SHOP.replace("scoring/retail.yaml", "ruler.yaml"))
    ruler = yaml.safe_load((BUNDLED / "scoring/retail.yaml").read_text())
    written(yaml.safe_dump(ruler, sort_keys=False), "ruler.yaml")
    before = config_hash(load(path))
    written(yaml.safe_dump(ruler, sort_keys=True), "ruler.yaml")
    assert config_hash(load(path)) == before


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (("EUR", "USD"), False),
        (("order_id: receipt", "order_id: lower(receipt)"), False),
        (("retail", "mixed"), False),
        (("out/warehouse", "out/other"), False),
        (("currency: EUR", "currency: EUR\nmemory: 4GB\nthreads: 2"), True),
        (("currency: EUR", "currency: EUR\nalerts: {notify: {env: X}, published_by: '07:00'}"), True),
    ],
)
def test_the_hash_follows_what_could_change_a_verdict_or_its_place(written, change: Any, same: bool) -> None:
    before, after = load(written(SHOP)), load(written(SHOP.replace(*change)))
    assert (config_hash(before) == config_hash(after)) is same


def test_the_hash_does_not_depend_on_where_the_password_is_kept(written) -> None:
    kept = [load(written(with_password(place))) for place in ("{env: A}", "{env: B}", "{prefect_block: c}")]
    assert len({config_hash(business) for business in kept}) == 1
    read = [load(written(from_table("password: {env: A}", f"password: {place}"))) for place in ("{env: A}", "{env: B}")]
    assert len({config_hash(business) for business in read}) == 1


TABLE = """kind: postgres
      host: db.example.org
      database: shop
      user: reader
      password: {env: A}
      table: sales.orders
      cursor: changed_at
      overlap: 3d"""


def from_table(part: str, instead: str) -> str:
    """The shop, its orders in a database, with a part of that source written otherwise."""
    table = TABLE.replace(part, instead)
    given = SHOP.replace("kind: files\n      path: landing/*.csv", table)
    return given.replace("order_id: receipt", "order_id: receipt\n        line_number: position")


@pytest.mark.parametrize(
    ("part", "instead", "told"),
    [
        ("password: {env: A}", "password: hunter2", "sources.orders[0].password: a secret is not written down here."),
        ("overlap: 3d", "overlap: 3w", "sources.orders[0].overlap: must be hours or days such as 12h or 3d, or for a"),
        ("cursor: changed_at\n", "timezone: UTC\n", "sources.orders[0]: cursor and overlap go together. Give both"),
        ("sales.orders", "orders; drop.b.c", "sources.orders[0].table: is not of the right form"),
        ("database: shop", "databas: shop", "sources.orders[0].databas: there is no such key here. Did you mean"),
    ],
)
def test_a_mistake_in_a_source_in_a_database_is_told(written, part: str, instead: str, told: str) -> None:
    load(written(from_table("", "")))
    assert told in "\n".join(mistakes(written(from_table(part, instead))))


def test_the_hash_follows_the_ruler(written) -> None:
    path = written(SHOP.replace("scoring/retail.yaml", "ruler.yaml"))
    written(ruler_with("base: 1.5"), "ruler.yaml")
    before = config_hash(load(path))
    written(ruler_with("base: 1.6"), "ruler.yaml")
    assert config_hash(load(path)) != before


def leaves(data: Any) -> list[list[Any]]:
    """The path to every value of a document, containers included."""
    found = []
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        found += [[key], *([key, *path] for path in leaves(value))]
    return found


DOCUMENT = yaml.safe_load(with_password("{env: A}"))
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["files", "a"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["kind", "name", "x"]), inner),
    max_leaves=4,
)


@given(place=st.sampled_from(leaves(DOCUMENT)), junk=JUNK)
def test_any_value_in_any_place_is_taken_or_told_in_one_sentence_a_line(
    tmp_path_factory: pytest.TempPathFactory, place: list[Any], junk: Any
) -> None:
    document = yaml.safe_load(with_password("{env: A}"))
    *way, last = place
    holder = document
    for key in way:
        holder = holder[key]
    holder[last] = junk
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    try:
        assert isinstance(load(path), Business)
    except ConfigurationError as error:
        sentence = re.compile(re.escape(str(path)) + r"(:\d+)?: \S.*[.?]")
        assert all(sentence.fullmatch(line) for line in str(error).splitlines())


@given(st.text(alphabet="ab:- []{}&*!|>'\"#%@`,?\n\t0.~<=\\", max_size=40) | st.text())
def test_any_text_is_told_in_sentences(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigurationError):
        load(path)
