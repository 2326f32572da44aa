"""BMTK's PointNet as a service: a worker process that runs circuits and hands spikes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class BmtkSpikes:
    """Spikes as BMTK has them: the time is that of NEST's stamp, the END of the step."""

    population: np.ndarray
    node_id: np.ndarray
    time_ms: np.ndarray

    def __len__(self) -> int:
        return len(self.time_ms)

    def keys(self, shift_ms: float = 0.0, dt_ms: float = 1.0) -> list[tuple[str, int, int]]:
        """Population, node and step of each spike, sorted."""
        step = np.rint((self.time_ms + shift_ms) / dt_ms).astype(int)
        return sorted(
            zip(self.population.tolist(), self.node_id.tolist(), step.tolist(), strict=True)
        )


class BmtkError(Exception):
    """What BMTK raised."""


class Bmtk:
    """A worker; started with the first circuit, started again should it die."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, config: Path) -> BmtkSpikes:
        """Spikes of a circuit.

        Raises
        ------
        BmtkError
            What BMTK said where it could not run it.
        """
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "spikes.npz"
            answer = self._ask({"config": str(config.resolve()), "spikes": str(out)})
            if "error" in answer:
                raise BmtkError(answer["error"])
            with np.load(out) as arrays:
                return BmtkSpikes(arrays["population"], arrays["node_id"], arrays["time_ms"])

    def _ask(self, task: dict[str, str]) -> dict[str, str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.sonata.bmtk_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=REPOSITORY,
                env=os.environ | {"PYNEST_QUIET": "1", "PYTHONPATH": str(REPOSITORY)},
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._process = None
            return {"error": f"BMTK's process ended with {code}"}
        answer: dict[str, str] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the worker."""
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()
            self._process.wait(60)
            self._process.stdout.close()
            self._process = None

    def __enter__(self) -> Bmtk:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
