"""The bundled example: Hartley & Co, a simulated law firm with a shop for documents.

`firm` holds the numbers, `accounts`, `orders` and `contacts` simulate, `dirt` spoils, `files` writes.
"""

from pathlib import Path

from flows.example import firm
from flows.example.accounts import relationships, truth
from flows.example.contacts import events
from flows.example.dirt import dirty_events, dirty_orders
from flows.example.files import write_file, write_source
from flows.example.orders import order_lines


def write_example(folder: Path) -> None:
    """Writes three years of Hartley & Co's files, the same bytes each time, over those of an earlier call.

    Args:
        folder: where to write. `orders` and `engagements` are for the pipeline to read, `truth` is not: its
            `truth.csv` says what each account x line was made to be (and each account: `line` '*'), its
            `dirt.csv` how many rows of each kind of dirt each source has.
    """
    accounts = relationships()
    lines = order_lines(accounts)
    orders = {"legal": lines.filter(line="legal"), "shop": lines.filter(line="documents")}
    for source, sound in orders.items():
        write_source(source, dirty_orders(sound, source), folder)
    for source, sound in events(accounts).items():
        write_source(source, dirty_events(sound, source), folder)
    write_file(truth(accounts), folder / "truth" / "truth.csv")
    write_file(firm.DIRT, folder / "truth" / "dirt.csv")
