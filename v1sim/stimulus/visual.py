"""What is seen on a screen: the keys that such kinds share, and the LGN cells that see it."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from v1sim.config_section import InputFile
from v1sim.errors import StimulusError
from v1sim.files.hdf5 import given_hdf5
from v1sim.model import LgnCellTable, NetworkModel
from v1sim.stimulus.base import Stimulus, StimulusConfig
from v1sim.stimulus.lgn import read_lgn_table

__all__ = [
    "AsSet",
    "Contrast",
    "DirectionDeg",
    "FrameRateHz",
    "Luminance",
    "NotEmpty",
    "SpatialFrequency",
    "TemporalFrequency",
    "VisualStimulus",
    "field_px",
]


def _no_repeats(values: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(values)) != len(values):
        msg = "each value once; use trials for repeats"
        raise ValueError(msg)
    return values


#: A list in which no value stands twice.
AsSet = AfterValidator(_no_repeats)
#: A list of one item or more.
NotEmpty = Field(min_length=1, strict=False)

Luminance = Annotated[float, Field(ge=-1, le=1)]
Contrast = Annotated[float, Field(ge=0, le=1)]
DirectionDeg = Annotated[float, Field(ge=0, lt=360)]
#: One pixel a degree and one frame a millisecond show no more.
SpatialFrequency = Annotated[float, Field(ge=0, le=0.5)]
TemporalFrequency = Annotated[float, Field(ge=0, le=500)]
FrameRateHz = Annotated[float, Field(gt=0, le=1000)]


class VisualStimulus(StimulusConfig):
    """What is seen on a screen by LGN cells, whose filters are the table's or the network file's.

    ``lgn_ids_from`` is an HDF5 file with ``lgn_cell_ids``: the rows of the table, by
    their id, that the network has.
    """

    lgn_table: InputFile | None = None
    lgn_ids_from: InputFile | None = None

    @model_validator(mode="after")
    def _ids_of_a_table(self) -> VisualStimulus:
        if self.lgn_ids_from is not None and self.lgn_table is None:
            msg = "lgn_ids_from chooses rows of lgn_table, which is missing"
            raise ValueError(msg)
        return self

    def made_for(self, network: NetworkModel) -> Stimulus:
        """The stimulus as the network's LGN cells see it."""
        return self.seen_by(self._cells(network))

    @abstractmethod
    def seen_by(self, cells: LgnCellTable) -> Stimulus:
        """The stimulus as LGN cells see it.

        Raises
        ------
        StimulusError
            If a file cannot be used.
        """

    def _cells(self, network: NetworkModel) -> LgnCellTable:
        """The network's LGN cells: from the named table, or from the network file."""
        if self.lgn_table is not None:
            ids = _lgn_ids(self.lgn_ids_from) if self.lgn_ids_from is not None else None
            cells, where = read_lgn_table(self.lgn_table, ids), str(self.lgn_table)
        elif network.lgn.cells is not None:
            cells, where = network.lgn.cells, network.source.path
        else:
            raise StimulusError(
                f"the file has {network.lgn.size:,} LGN cells but not their positions and filters",
                where=network.source.path,
                expected="a table of LGN cells, in the network's order",
                hint="--set stimulus.lgn_table=LGN.csv, or show a file of probabilities "
                "(stimulus.kind: probabilities)",
            )
        if len(cells) != network.lgn.size:
            raise StimulusError(
                f"the table has {len(cells):,} LGN cells, the network {network.lgn.size:,}",
                where=where,
                expected="one row for each LGN cell of the network, in its order",
                hint="where the network has some rows of the table, name a file with their ids: "
                "--set stimulus.lgn_ids_from=STIMULI.h5",
            )
        return cells


def field_px(cells: LgnCellTable) -> tuple[int, int]:
    """Width and height of the screen: one pixel a degree of the visual field."""
    return round(cells.field_deg[0]), round(cells.field_deg[1])


def _lgn_ids(path: Path) -> NDArray[np.int64]:
    """The dataset ``lgn_cell_ids`` of an HDF5 file, shape (n_lgn,)."""
    expected = "an HDF5 file with lgn_cell_ids: the id of each of the network's LGN cells"
    with given_hdf5(path, error=StimulusError, expected=expected) as file:
        ids = file.numbers("lgn_cell_ids", (None,), kinds="iu", expected=expected)
    if not ids.size:
        raise StimulusError("no ids", where=f"{path}:/lgn_cell_ids", expected=expected)
    return ids.astype(np.int64)
