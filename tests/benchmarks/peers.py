"""The part that others do too, side by side: from single orders to how often, how recently and for how much an account bought.

lifetimes, pandas and pymc-marketing each run in an environment of their own, which uv makes; DuckDB runs the statement
of `sql/features/purchase_histories.sql`. All read the same Parquet file, and must find the same accounts.

Run: `uv run python -m tests.benchmarks.peers DIRECTORY [MILLIONS]`: so many million orders are made below the directory
where they are missing.
"""

import json
import subprocess
import sys
from pathlib import Path

from tests.benchmarks import generated

PANDAS = """
days = orders.assign(day=orders['ordered_at'].dt.floor('D')).groupby(['account_id', 'line', 'day'])['amount'].sum()
days = days[days > 0].reset_index()
found = days.groupby(['account_id', 'line']).agg(first=('day', 'min'), last=('day', 'max'), occasions=('day', 'count'))
accounts = len(found)
"""
LIFETIMES = """
from lifetimes.utils import summary_data_from_transaction_data
orders['who'] = orders['account_id'] + '|' + orders['line']
found = summary_data_from_transaction_data(
    orders, 'who', 'ordered_at', 'amount', observation_period_end=orders['ordered_at'].max())
accounts = len(found)
"""
PYMC = """
from pymc_marketing.clv.utils import rfm_summary
orders['who'] = orders['account_id'] + '|' + orders['line']
found = rfm_summary(orders, 'who', 'ordered_at', 'amount', observation_period_end=orders['ordered_at'].max())
accounts = len(found)
"""
FRAME = """
import pandas as pd
orders = pd.read_parquet(file, columns=['account_id', 'line', 'ordered_at', 'amount'])
orders['amount'] = orders['amount'].astype(float)
orders = orders[orders['amount'] > 0]
"""
DUCKDB = """
import duckdb
con = duckdb.connect()
con.execute("set TimeZone = 'UTC'")
con.execute(
    "create view order_days as select account_id, line, cast(ordered_at as date) as order_day, "
    f"cast(ordered_at as date) as booked_on, amount from '{file}' where amount > 0")
con.execute('create table found as ' + statement, {'as_of': '2999-12-31'})
accounts = con.execute('select count(*) from found').fetchall()[0][0]
"""
MEASURED = """
import json, resource, sys, time
file, statement = sys.argv[1:]
{imports}
started = time.process_time()
{part}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
print(json.dumps(dict(cpu=time.process_time() - started, peak=peak, accounts=accounts)))
"""
PEERS = {
    "DuckDB, sql/features/purchase_histories.sql": (("duckdb>=2.0,<2.1",), "import duckdb", DUCKDB),
    "pandas group-by": (("pandas", "pyarrow"), "import pandas", FRAME + PANDAS),
    "lifetimes summary_data_from_transaction_data": (
        ("lifetimes", "pandas<3", "pyarrow"),
        "import lifetimes.utils",
        FRAME + LIFETIMES,
    ),
    "pymc-marketing rfm_summary": (("pymc-marketing", "pyarrow"), "import pymc_marketing.clv.utils", FRAME + PYMC),
}


def main(directory: Path, millions: float) -> None:
    """Prints CPU seconds and peak memory of each, and both as ratios to DuckDB's."""
    file = directory / f"orders-{millions:g}.parquet"
    if not file.exists():
        generated.write_orders(file, int(millions * 1_000_000))
    statement = Path("sql/features/purchase_histories.sql").read_text()
    print(f"{millions:g} M orders{'':37} {'CPU-s':>8} {'peak GB':>8} {'x CPU':>6} {'x GB':>6} {'accounts':>10}")
    first = None
    for name, (packages, imports, part) in PEERS.items():
        command = [
            "uv",
            "run",
            "-q",
            "--isolated",
            "--no-project",
            *(f"--with={each}" for each in packages),
            "python",
            "-c",
        ]
        script = MEASURED.format(imports=imports, part=part)
        done = subprocess.run([*command, script, str(file), statement], stdout=subprocess.PIPE, check=False)
        if done.returncode:
            print(f"{name:46} did not run", flush=True)
            continue
        cost = json.loads(done.stdout.splitlines()[-1])
        first = first or cost
        cpu, peak = cost["cpu"] / first["cpu"], cost["peak"] / first["peak"]
        line = f"{name:46} {cost['cpu']:8.2f} {cost['peak']:8.2f} {cpu:6.1f} {peak:6.1f} {cost['accounts']:10,}"
        print(line, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), float(sys.argv[2]) if len(sys.argv) > 2 else 1)
