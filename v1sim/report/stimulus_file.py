"""``v1sim stimulus``: what a run will be shown, as a file and as a picture of it."""

from __future__ import annotations

from pathlib import Path

from v1sim.config import RunConfig
from v1sim.errors import InputError
from v1sim.inputs.fresh import FreshInput
from v1sim.report import figures, stimulus_figure
from v1sim.stimulus.stimulus_file import write_stimulus_file

__all__ = ["write_stimulus"]


def write_stimulus(config: RunConfig, path: Path, *, command: str) -> str:
    """Write what a run will be shown: LGN probabilities, and a picture beside them.

    The network is read for its LGN cells and neither checked nor built.

    Parameters
    ----------
    config : RunConfig
        The run.
    path : Path
        The stimulus HDF5 to write; the picture has its name with ``.png``.
    command : str
        The command line.

    Returns
    -------
    str
        A line on what was written.

    Raises
    ------
    InputError
        If network or stimulus cannot be used, or a file cannot be written.
    """
    if path.suffix == ".png":
        raise InputError(
            f"{path} would be both the file and its picture",
            where="--out",
            expected="a name for an HDF5 file, such as stimulus.h5",
        )
    inputs = FreshInput(command)
    stimulus = inputs.stimulus(config, inputs.network(config))
    n_samples = write_stimulus_file(stimulus, path)
    figure = stimulus_figure.stimulus_figure(stimulus, seed=config.seed, title=config.name)
    figures.save_png(figure, path.with_suffix(".png"))
    first = stimulus.trials[0]
    return (
        f"{path}: {n_samples} stimuli of {first.duration_ms:g} ms for {stimulus.n_lgn:,} "
        f"LGN cells (1.3 p); {path.with_suffix('.png')}: what they look like"
    )
