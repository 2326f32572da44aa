"""LGN rates in Hz from a file: NumPy, or a dataset of an HDF5 file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from v1sim.config_section import InputFile, WindowMs
from v1sim.errors import StimulusError
from v1sim.files.hdf5 import given_hdf5
from v1sim.files.identify import printable
from v1sim.files.numpy_array import read_array
from v1sim.model import NetworkModel, Presentation
from v1sim.stimulus.base import StimulusConfig
from v1sim.stimulus.drawn import DrawnStimulus
from v1sim.stimulus.spikes import probability_of_rate
from v1sim.stimulus.trials import Schedule, repeated_trials
from v1sim.units import MODEL_STEP_MS

__all__ = ["Rates"]

F32 = NDArray[np.float32]

#: Nothing in the LGN fires faster; probabilities per ms taken for rates are far below 1 Hz.
_MAX_RATE_HZ = 1000.0


class Rates(StimulusConfig):
    """LGN rates in Hz from a file [ms, LGN cells]: NumPy, or a dataset of an HDF5 file."""

    kind: Literal["rates"]
    file: InputFile
    dataset: str = "rates_hz"
    window_ms: WindowMs | None = None

    def made_for(self, network: NetworkModel) -> DrawnStimulus:
        """The file's rates, one row a millisecond; analyses read ``window_ms``, or all of it."""
        rate_hz, where = _rates(self.file, self.dataset, network.lgn.size)
        duration_ms = len(rate_hz) * MODEL_STEP_MS
        schedule = repeated_trials(
            [{"file": self.file.name}],
            repeats=self.trials,
            duration_ms=duration_ms,
            window_ms=self.window_ms or (0.0, duration_ms),
            shown=[[Presentation(0.0, duration_ms, "rates", {"file": self.file.name})]],
            where=where,
        )
        return _GivenRates(network.lgn.size, schedule, rate_hz)


class _GivenRates(DrawnStimulus):
    """Rates (steps, n_lgn) in Hz."""

    def __init__(self, n_lgn: int, schedule: Schedule, rate_hz: NDArray[Any]) -> None:
        super().__init__(n_lgn, schedule)
        self._rate_hz = rate_hz

    def load(self, stimulus: int) -> F32:
        """Probabilities of Poisson processes of these rates."""
        return probability_of_rate(self._rate_hz, self.dt_ms)


def _rates(path: Path, dataset: str, n_lgn: int) -> tuple[NDArray[Any], str]:
    """Rates of a file, which fit the network, and where they are."""
    rate_hz = _read(path, dataset)
    where = str(path) if path.suffix == ".npy" else f"{path}:{dataset}"
    if rate_hz.ndim != 2 or rate_hz.dtype.kind not in "fiu" or not len(rate_hz):
        seen = f"shape {rate_hz.shape} of {rate_hz.dtype}"
        raise StimulusError(seen, where=where, expected="(ms, LGN cells) of numbers")
    if rate_hz.shape[1] != n_lgn:
        swapped = rate_hz.shape[0] == n_lgn
        raise StimulusError(
            f"{rate_hz.shape[1]} LGN cells",
            where=where,
            expected=f"{n_lgn}, as the network has",
            hint="its axes look swapped, as Julia and MATLAB write them: the order is "
            "(ms, LGN cells)"
            if swapped
            else None,
        )
    if not (rate_hz.min() >= 0 and rate_hz.max() <= _MAX_RATE_HZ):  # NaN fails both
        raise StimulusError(
            f"values from {rate_hz.min():g} to {rate_hz.max():g}",
            where=where,
            expected=f"rates in Hz, 0 to {_MAX_RATE_HZ:g}",
        )
    if 0 < rate_hz.max() < 1:
        raise StimulusError(
            f"no rate above {rate_hz.max():.3g} Hz: these look like probabilities per ms",
            where=where,
            expected="rates in Hz",
            hint="multiply by 1000, or write them as a stimulus file (kind: probabilities)",
        )
    return rate_hz, where


def _read(path: Path, dataset: str) -> NDArray[Any]:
    expected = "rates in Hz: a NumPy file (.npy), or a dataset of an HDF5 file"
    if path.suffix == ".npy":
        return read_array(path, error=StimulusError, expected=expected, mapped=True)
    with given_hdf5(path, error=StimulusError, expected=expected) as file:
        data = file.dataset(dataset)
        if data is None and file.is_group(dataset):
            inner = [name for name in file.datasets() if name.startswith(f"{dataset.strip('/')}/")]
            values = [name for name in inner if name.endswith("/block0_values")]
            by_pandas = ", written by pandas," if values else ""
            raise StimulusError(
                f"is a group{by_pandas} that holds {', '.join(map(printable, inner[:8]))}",
                where=file.where(dataset),
                expected=expected,
                hint=f"--set stimulus.dataset={printable((values or inner or ['NAME'])[0])}",
            )
        if data is None:
            raise file.missing(dataset, hint="--set stimulus.dataset=NAME")
        return file.read(data)
