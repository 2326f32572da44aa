"""BMTK's PointNet as a service: a worker process that runs circuits and hands spikes back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class SpikesOf:
    """Spikes of all populations; BMTK's times are NEST's stamps, the END of the step."""

    population: np.ndarray
    node_id: np.ndarray
    time_ms: np.ndarray

    def __len__(self) -> int:
        return len(self.time_ms)

    def by_step(self, dt_ms: float) -> list[tuple[str, int, int]]:
        """Population, node and step of each spike, sorted."""
        step = np.rint(self.time_ms / dt_ms).astype(int)
        return sorted(
            zip(self.population.tolist(), self.node_id.tolist(), step.tolist(), strict=True)
        )


class BmtkError(Exception):
    """What BMTK raised."""


class Bmtk:
    """A worker; started with the first circuit, started again should it die."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._out = Path()

    def run(self, config: Path) -> SpikesOf:
        """Spikes of a circuit.

        Raises
        ------
        BmtkError
            What BMTK said where it could not run it.
        """
        self.begin(config)
        return self.result()

    def begin(self, config: Path) -> None:
        """Have a circuit run; `result` waits for it."""
        self._out = Path(tempfile.mkdtemp()) / "spikes.npz"
        self._ask({"config": str(config.resolve()), "spikes": str(self._out)})

    def result(self) -> SpikesOf:
        """Spikes of the circuit that was begun.

        Raises
        ------
        BmtkError
            What BMTK said where it could not run it.
        """
        try:
            answer = self._answer()
            if "error" in answer:
                raise BmtkError(answer["error"])
            with np.load(self._out) as arrays:
                return SpikesOf(arrays["population"], arrays["node_id"], arrays["time_ms"])
        finally:
            shutil.rmtree(self._out.parent)

    def _ask(self, task: dict[str, str]) -> None:
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
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()

    def _answer(self) -> dict[str, str]:
        assert self._process is not None
        assert self._process.stdout is not None
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
