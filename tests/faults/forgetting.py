"""A process that forgets an account of the firm in a folder, and is killed on the way; Polars does not outlive a fork."""

import os
import sys
from pathlib import Path

from config.settings import load
from flows import forgetting, forgotten, publishing, warehouse
from tests.faults.killing import killed_before_operation

TRACED = {each.__file__ for each in (forgetting, forgotten, publishing, warehouse)}

if __name__ == "__main__":
    folder, account, operation = sys.argv[1:]
    os.chdir(folder)
    killed_before_operation(int(operation), TRACED)
    forgetting.forget(load(Path("firm.yaml")), [account])
