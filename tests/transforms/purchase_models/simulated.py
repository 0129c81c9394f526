"""Purchase histories drawn from the MBG/NBD story, the same ones each time."""

import random

import polars as pl


def histories(accounts, seed, line="all", days=700, model=(0.5, 6.0, 0.9, 1.6)):
    r, alpha, a, b = model
    draw = random.Random(seed)
    rows = []
    for account in range(accounts):
        tenure, rate, chance = draw.randrange(days), draw.gammavariate(r, 1 / alpha), draw.betavariate(a, b)
        day, order_days = 0.0, {0}
        while draw.random() > chance and (day := day + draw.expovariate(max(rate, 1e-12)) * 7) <= tenure:
            order_days.add(int(day))
        rows.append((f"{line}-{account}", line, len(order_days) - 1, max(order_days) / 7, tenure / 7))
    names = ["account_id", "line", "repeat_order_days", "first_to_last_weeks", "tenure_weeks"]
    return pl.DataFrame(rows, schema=names, orient="row")
