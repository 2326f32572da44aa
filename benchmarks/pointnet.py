"""BMTK's PointNet on a SONATA network, to be run by a Python that has BMTK.

usage: BMTK_PYTHON -m benchmarks.pointnet CONFIG.json --threads 2

Prints the seconds from the files to a network that can run ("ready") and of nest.Simulate,
and peak memory, as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ["OMP_WAIT_POLICY"] = "passive"
os.environ["PYNEST_QUIET"] = "1"

import h5py

from benchmarks.measurement import Clock, TimedNest, peak_mb


class _PreparedNest(TimedNest):
    """Counts NEST's preparation of the first Simulate as part of getting ready."""

    def Simulate(self, t: float) -> None:  # noqa: N802
        self.Prepare()
        self.Cleanup()
        self.peak_ready_mb = peak_mb()
        super().Simulate(t)


def measure(config: str, threads: int) -> dict[str, Any]:
    from bmtk.simulator import pointnet
    from bmtk.simulator.pointnet import pointsimulator

    timed = _PreparedNest(pointsimulator.nest)
    pointsimulator.nest = timed
    clock = Clock()
    configuration = pointnet.Config.from_json(config)
    configuration.build_env()
    network = pointnet.PointNetwork.from_config(configuration)
    simulator = pointnet.PointSimulator.from_config(configuration, network, n_thread=threads)
    simulator.run()
    (call,) = timed.calls
    to_disk_s = call.after.wall_s()
    with h5py.File(Path(configuration.output_dir) / "spikes.h5") as file:
        n_spikes = len(file["spikes/v1/timestamps"]) if "spikes/v1" in file else 0
    return {
        "ready": clock.wall_s() - to_disk_s - call.wall_s,
        "ready_cpu": clock.cpu_s() - call.after.cpu_s() - call.cpu_s,
        "simulate": call.wall_s,
        "simulate_cpu": call.cpu_s,
        "spikes": n_spikes,
        "spikes to disk": to_disk_s,
        "peak_ready_mb": timed.peak_ready_mb,
        "peak_mb": peak_mb(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    print("\n" + json.dumps(measure(arguments.config, arguments.threads)))


if __name__ == "__main__":
    main()
