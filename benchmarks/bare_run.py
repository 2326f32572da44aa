"""One simulation in bare NEST from arrays on disk: what `benchmarks.batch` compares a run with.

usage: python benchmarks/bare_run.py RUN.npz

Imports NEST and numpy alone, creates, connects and simulates, and prints the number of spikes in
the first trial. It checks nothing and writes nothing.
"""

from __future__ import annotations

import json
import sys

import nest
import numpy as np

DT_MS, MAX_DELAY_MS = 1.0, 10.0


def main() -> None:
    run = np.load(sys.argv[1])
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.set(
        resolution=DT_MS, min_delay=DT_MS, max_delay=MAX_DELAY_MS, local_num_threads=1, rng_seed=1
    )
    for parameters, count in json.loads(str(run["cells"])):
        nest.Create("glif_psc", count, params=parameters)
    n_neurons, n_lgn = int(run["n_neurons"]), int(run["n_lgn"])
    sources = nest.Create("spike_train_injector", n_lgn)
    background = nest.Create("spike_train_injector")
    recorder = nest.Create("spike_recorder")
    for name in ("recurrent", "lgn", "background"):
        nest.Connect(
            run[f"{name}_pre"],
            run[f"{name}_post"],
            "one_to_one",
            {
                "synapse_model": "static_synapse",
                "weight": run[f"{name}_weight_pa"],
                "delay": run[f"{name}_delay_ms"],
                "receptor_type": run[f"{name}_receptor"],
            },
        )
    nest.Connect(nest.NodeCollection(np.arange(1, n_neurons + 1)), recorder)
    trains = np.split(run["lgn_time_ms"], run["lgn_first"])
    sources.set([{"spike_times": train} for train in trains])
    background.set(
        spike_times=run["background_time_ms"], spike_multiplicities=run["background_events"]
    )
    nest.Simulate(float(run["duration_ms"]) + 2 * DT_MS)
    stamps = recorder.events["times"]
    print(int((stamps <= run["first_trial_ms"] + DT_MS).sum()))


if __name__ == "__main__":
    main()
