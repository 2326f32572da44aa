"""One rate for all LGN cells."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from v1sim.config_section import DurationMs
from v1sim.model import NetworkModel, Presentation
from v1sim.stimulus.base import StimulusConfig
from v1sim.stimulus.drawn import FixedProbabilities
from v1sim.stimulus.spikes import probability_of_rate
from v1sim.stimulus.trials import repeated_trials
from v1sim.units import MODEL_STEP_MS

__all__ = ["Spontaneous"]


class Spontaneous(StimulusConfig):
    """Every LGN cell at one constant rate, whatever cells they are."""

    kind: Literal["spontaneous"]
    rate_hz: Annotated[float, Field(ge=0, le=1000)] = 5.0
    duration_ms: DurationMs = 1000.0

    def made_for(self, network: NetworkModel) -> FixedProbabilities:
        """Every LGN cell a Poisson process of one rate; analyses read the whole trial."""
        schedule = repeated_trials(
            [{"rate_hz": float(self.rate_hz)}],
            repeats=self.trials,
            duration_ms=self.duration_ms,
            window_ms=(0.0, self.duration_ms),
            shown=[
                [
                    Presentation(
                        0.0, self.duration_ms, "spontaneous", {"rate_hz": float(self.rate_hz)}
                    )
                ]
            ],
            where="spontaneous",
        )
        probability = probability_of_rate(np.array(self.rate_hz), MODEL_STEP_MS)
        shape = (round(self.duration_ms / MODEL_STEP_MS), network.lgn.size)
        return FixedProbabilities(network.lgn.size, schedule, [np.broadcast_to(probability, shape)])
