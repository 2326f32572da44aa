"""Makes docs/images/dynamics.png: one neuron in both dynamics, and the current of one spike.

    python docs/images/make_dynamics.py

The neuron is an e23 of the built-in column; it gets the same two volleys in both models. The
script also prints what docs/dynamics.md says of the synaptic current.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from v1sim.config import Dynamics
from v1sim.model import CellTypeTable
from v1sim.simulation.cells import nest_parameters
from v1sim.simulation.kernel import backend, reset_kernel
from v1sim.simulation.native.library import MODELS, native_module

#: Medians of the public GLIF3 models of layer 2/3 excitatory cells (Allen Cell Types Database).
E23 = CellTypeTable.glif3(
    *(np.array([value]) for value in (91.1, 5.75, -75.1, -47.6, -75.1, 3.8)),
    k_per_ms=np.array([[0.003, 0.1]]),
    asc_amp_pa=np.array([[-20.5, -198.7]]),
    tau_syn_ms=np.array([[5.5, 8.5, 2.8, 5.8]]),
)
#: (step, pA) of the volleys on the first receptor.
VOLLEYS = ((10, 900.0), (55, 420.0))
N_STEPS = 110


def run(
    dynamics: Dynamics, volleys: tuple[tuple[int, float], ...], what: str
) -> tuple[np.ndarray, np.ndarray]:
    """A recorded quantity at the end of each step, and the steps of the spikes."""
    nest, _ = backend()
    reset_kernel(dt_ms=1.0, threads=1, seed=1, max_delay_ms=1.0)
    native_module().install()
    model = MODELS.get(dynamics, "glif_psc")
    neuron = nest.Create(model, params=nest_parameters(E23, 0, dynamics))
    for step, weight_pa in volleys:
        source = nest.Create("spike_generator", params={"spike_times": [step + 1.0]})
        nest.Connect(source, neuron, syn_spec={"weight": weight_pa, "receptor_type": 1})
    meter = nest.Create("multimeter", params={"record_from": [what], "interval": 1.0})
    recorder = nest.Create("spike_recorder")
    nest.Connect(meter, neuron)
    nest.Connect(neuron, recorder)
    nest.Simulate(N_STEPS + 2.0)
    spikes = np.asarray(recorder.events["times"]) - 2
    return np.asarray(meter.events[what])[1 : N_STEPS + 1], spikes.astype(int)


def main() -> None:
    figure = Figure(figsize=(10, 4.6), dpi=120, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, width_ratios=(2.2, 1))
    currents = {}
    colours = {"training": "#b5179e", "glif_psc": "#2a6fdb"}
    for dynamics, colour in colours.items():
        v_mv, spikes = run(dynamics, VOLLEYS, "V_m")  # type: ignore[arg-type]
        axes[0].plot(v_mv, color=colour, linewidth=1.3, label=f"{dynamics}: {len(spikes)} spikes")
        axes[0].plot(spikes, np.full(len(spikes), -30.0 if dynamics == "training" else -33.0), "|",
                     color=colour, markersize=9)  # fmt: skip
        current_pa, _ = run(dynamics, ((10, 100.0),), "I_syn")  # type: ignore[arg-type]
        # glif_psc records the current at the start of a step, the other at its end.
        currents[dynamics] = current_pa[1:] if dynamics == "glif_psc" else current_pa[:-1]
        style = "-" if dynamics == "training" else "--"
        axes[1].plot(currents[dynamics][:60], color=colour, linewidth=1.8, linestyle=style)
        print(f"{dynamics}: spikes {spikes.tolist()}; a spike of 100 pA gives at most "
              f"{current_pa.max():.5f} pA")  # fmt: skip
    difference_pa = np.abs(currents["training"] - currents["glif_psc"]).max()
    print(f"the two currents differ by {difference_pa:.1e} pA at most")
    axes[0].axhline(E23.v_th_mv[0], color="#8b9099", linestyle=":", linewidth=1)
    axes[0].set(
        xlabel="step (1 ms)", ylabel="membrane potential, mV", title="one neuron, same input"
    )
    axes[1].set(xlabel="step (1 ms)", ylabel="pA", title="current of one 100 pA spike")
    for part in axes:
        part.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8.5, loc="upper right", bbox_to_anchor=(1.0, 0.9))
    figure.tight_layout()
    figure.savefig(Path(__file__).with_name("dynamics.png"), metadata={"Software": None})


if __name__ == "__main__":
    main()
