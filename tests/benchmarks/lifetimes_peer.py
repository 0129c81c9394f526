"""The fits of `lifetimes` on the histories of a CSV file, for `tests.benchmarks.purchase_models`, which gives it an environment of its own.

Prints JSON: per model the CPU seconds of its fit and its parameters.
"""

import json
import sys
import time
import warnings
from typing import Any

import pandas as pd
from lifetimes import GammaGammaFitter, ModifiedBetaGeoFitter


def main(file: str) -> None:
    """Fits both models."""
    warnings.simplefilter("ignore")
    every = pd.read_csv(file)
    repeated = every[every["repeat_order_days"] > 0]
    occasions = (every["repeat_order_days"], every["first_to_last_weeks"], every["tenure_weeks"])
    values = (repeated["repeat_order_days"], repeated["mean_repeat_value"])
    fits = {
        "MBG/NBD": _fitted(ModifiedBetaGeoFitter(), *occasions),
        "Gamma-Gamma": _fitted(GammaGammaFitter(), *values),
    }
    print(json.dumps(fits))


def _fitted(model: Any, *history: pd.Series) -> dict[str, Any]:
    began = time.process_time()
    model.fit(*history)
    return {
        "cpu_seconds": time.process_time() - began,
        "parameters": [float(value) for value in model.params_],
    }


if __name__ == "__main__":
    main(sys.argv[1])
