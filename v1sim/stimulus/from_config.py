"""The presentation that a run's configuration asks for, on the network's LGN cells."""

from __future__ import annotations

from v1sim.config import RunConfig
from v1sim.config_stimulus import DriftingGratings
from v1sim.errors import StimulusError
from v1sim.model import LgnCellTable, NetworkModel
from v1sim.stimulus.gratings import Grating, grating_presentation
from v1sim.stimulus.lgn import read_lgn_table
from v1sim.stimulus.presentation import Presentation
from v1sim.stimulus.probabilities import file_presentation

__all__ = ["presentation"]


def presentation(config: RunConfig, network: NetworkModel) -> Presentation:
    """Trials and LGN spike probabilities of ``config.stimulus``.

    Raises
    ------
    StimulusError
        If the stimulus does not fit the network's LGN cells.
    """
    stimulus = config.stimulus
    if isinstance(stimulus, DriftingGratings):
        gratings = [
            Grating(
                direction,
                stimulus.temporal_frequency_hz,
                stimulus.spatial_frequency_cpd,
                stimulus.contrast,
                stimulus.grey_ms,
                stimulus.grating_ms,
            )
            for direction in stimulus.directions_deg
        ]
        cells = _lgn_cells(stimulus, network)
        return grating_presentation(cells, gratings, repeats=stimulus.trials)
    return file_presentation(
        stimulus.file,
        network.n_lgn,
        samples=stimulus.samples,
        window_ms=stimulus.response_window_ms,
    )


def _lgn_cells(stimulus: DriftingGratings, network: NetworkModel) -> LgnCellTable:
    """Filters of the network's LGN cells: from the named table, or from the network file."""
    if stimulus.lgn_table is not None:
        cells, where = read_lgn_table(stimulus.lgn_table), str(stimulus.lgn_table)
    elif network.lgn_cells is not None:
        cells, where = network.lgn_cells, network.source.path
    else:
        raise StimulusError(
            f"the file has {network.n_lgn:,} LGN cells but not their positions and filters",
            where=network.source.path,
            expected="a table of LGN cells, in the network's order",
            hint="--set stimulus.lgn_table=LGN.csv, or show a file of probabilities "
            "(stimulus.kind: probabilities)",
        )
    if len(cells) != network.n_lgn:
        raise StimulusError(
            f"the table has {len(cells):,} LGN cells, the network {network.n_lgn:,}",
            where=where,
            expected="one row for each LGN cell of the network, in its order",
        )
    return cells
