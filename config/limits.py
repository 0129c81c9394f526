"""Names of the limits that the environment may set for every run on a machine, and what an amount of memory looks like."""

MEMORY = "RAPPORT_MEMORY"
THREADS = "RAPPORT_THREADS"
AMOUNT = "^[1-9][0-9]{0,5}(MB|GB|TB|MiB|GiB|TiB)$"
