"""Networks that were really trained, each before, early in and after its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from v1sim.model import NetworkModel
from v1sim.sources import open_network

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"
DEMO = ROOT / "v1sim" / "data" / "demo"


@dataclass(frozen=True)
class Training:
    """Files of one training.

    Parameters
    ----------
    files : mapping of str to Path
        "untrained", "few_steps" (after five), "trained", and "fallback": the untrained weights in
        pA, as a converter left them that found no checkpoint.
    indices : mapping of str to Path
        Indices of the checkpoints of the first three; the data of "trained" lie beside its own.
    stimuli : Path
        What it was trained to tell apart.
    few_updates : int
        What the optimizer had counted after five steps.
    """

    files: Mapping[str, Path]
    indices: Mapping[str, Path]
    stimuli: Path
    few_updates: int

    def open(self, name: str = "trained") -> NetworkModel:
        """A network."""
        return open_network(self.files[name])

    @property
    def checkpoint(self) -> Path:
        """Prefix of the trained network's checkpoint."""
        return self.indices["trained"].with_suffix("")


#: Of `scripts.train_small`, in the repository; 300 neurons, 300 updates.
_EARLIER = Path(__file__).parent / "data" / "trained"
SHIPPED = Training(
    files={name: DEMO / f"{name}.h5" for name in ("untrained", "trained", "fallback")}
    | {"few_steps": _EARLIER / "few_steps.h5"},
    indices={
        "untrained": _EARLIER / "ckpt-0.index",
        "few_steps": _EARLIER / "ckpt-5.index",
        "trained": DEMO / "ckpt.index",
    },
    stimuli=DEMO / "stimuli.h5",
    few_updates=5,
)

#: Of another program, beside the repository; 1,000 neurons, 425 steps.
_A = SHARED_DATA / "trained_a"
NETWORK_A = Training(
    files={name: _A / f"net_A_{name}.h5" for name in ("untrained", "few_steps", "trained")}
    | {"fallback": _A / "net_A_untrained_fallback_pA.h5"},
    indices={
        name: _A / name / f"ckpt_1000-{steps}.index"
        for name, steps in (("untrained", 0), ("few_steps", 5), ("trained", 425))
    },
    stimuli=_A / "stimuli_A.h5",
    few_updates=10,
)
