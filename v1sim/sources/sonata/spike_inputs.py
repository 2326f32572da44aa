"""What is odd in the files of spikes that a simulation configuration names.

The stimulus reads them when a network is run; here they are looked at beside the circuit, so that a
check of the configuration tells what a run would meet, and what BMTK would make of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from v1sim.errors import NetworkFileError
from v1sim.files.hdf5 import GivenHdf5, given_hdf5
from v1sim.files.identify import printable
from v1sim.sources.sonata.config import SonataInput
from v1sim.sources.sonata.manifest import listed
from v1sim.sources.sonata.nodes import Nodes
from v1sim.sources.sonata.remarks import Remarks

__all__ = ["remark_on_spikes"]

_MODULES = ("sonata", "h5", "hdf5")
_MILLISECONDS = ("milliseconds", "millisecond", "ms", "msec")
_MOST_EXAMPLES = 5


def remark_on_spikes(given: SonataInput, nodes: Nodes, remarks: Remarks) -> None:
    """Note what is odd in the spikes of an input for a population.

    Files in SONATA's layout are looked at, new and old; of tables and NWB, whether they are there.
    """
    for path in given.input_file:
        if not path.is_file():
            remarks.add(
                "sonata.spike_file",
                str(path),
                f"inputs.{printable(given.name)} names a file that is not there",
                hint="relative paths are taken from the folder of the configuration",
            )
        elif given.module in _MODULES:
            try:
                _look(path, given, nodes, remarks)
            except NetworkFileError as error:
                remarks.add("sonata.spike_file", str(path), error.seen, hint="write it again")


def _look(path: Path, given: SonataInput, nodes: Nodes, remarks: Remarks) -> None:
    expected = "spikes: /spikes/POPULATION with node_ids and timestamps"
    with given_hdf5(path, error=NetworkFileError, expected=expected) as file:
        names = [n for n in file.names("spikes") if file.is_group(f"spikes/{n}")]
        group, ids = "spikes", "gids"
        if names:
            wanted = str(given.raw.get("population") or nodes.name)
            if wanted not in names:
                remarks.add(
                    "sonata.spike_file",
                    file.where("spikes"),
                    f"has spikes of {listed(names)}, none of {printable(wanted)}; BMTK takes "
                    f"those of {printable(names[0])}",
                    hint="name the population that is meant in the file",
                )
                return
            if wanted != names[0]:
                remarks.add(
                    "sonata.spike_population",
                    file.where("spikes"),
                    f"{printable(wanted)} is not the first of {listed(names)}: BMTK takes the "
                    f"spikes of {printable(names[0])}",
                    hint="v1sim takes those that are wanted; one file a population for BMTK",
                )
            group, ids = f"spikes/{wanted}", "node_ids"
        _look_at_spikes(file, group, ids, nodes, remarks)


def _look_at_spikes(file: GivenHdf5, group: str, ids: str, nodes: Nodes, remarks: Remarks) -> None:
    expected = "one id a timestamp"
    node = file.numbers(f"{group}/{ids}", (None,), kinds="iu", expected=expected)
    time = file.numbers(f"{group}/timestamps", (None,), expected=expected)
    unit = file.text_attribute(f"{group}/timestamps", "units")
    unit = unit or file.text_attribute(group, "units")
    if unit is not None and unit.strip().lower() not in _MILLISECONDS:
        remarks.add(
            "sonata.spike_units",
            file.where(f"{group}/timestamps"),
            f"times are in {printable(unit)}; BMTK takes them for ms",
            hint="v1sim converts them; write ms for both",
            n=len(time),
            total=len(time),
        )
    unknown = ~np.isin(node, nodes.node_id)
    if unknown.any():
        rows = np.flatnonzero(unknown)
        remarks.add(
            "sonata.spike_node_ids",
            file.where(f"{group}/{ids}"),
            f"{len(rows):,} of {len(node):,} spikes are of node ids that {printable(nodes.name)} "
            "does not have; BMTK drops them",
            hint="is this the file of another network? v1sim refuses such spikes",
            n=len(rows),
            total=len(node),
            examples=[f"spike {i:,}: node {node[i]}" for i in rows[:_MOST_EXAMPLES]],
        )
    wrong = np.flatnonzero(~(np.isfinite(time) & (time > 0)))
    if wrong.size:
        remarks.add(
            "sonata.spike_times",
            file.where(f"{group}/timestamps"),
            f"{len(wrong):,} of {len(time):,} times are not above 0 ms",
            hint="shift the times, or leave such spikes out; BMTK refuses them too",
            n=len(wrong),
            total=len(time),
            examples=[f"spike {i:,}: {time[i]:g} ms" for i in wrong[:_MOST_EXAMPLES]],
        )
