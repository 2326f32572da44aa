"""The training dynamics with JAX and brainevent's event-driven delivery with delays, float32.

usage: python brainevent_run.py ARRAYS MS      needs jax and brainevent 0.3 (Python 3.12 or later)

ARRAYS is the folder that benchmarks/engines.py writes. One jitted scan over all steps, compiled and
run once before it is timed. Prints one line of JSON.
"""

import json
import sys
import time
from pathlib import Path

begin = time.process_time()

import brainevent  # noqa: E402 timed
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

N_SLOTS = 8
arrays, n_steps = Path(sys.argv[1]), int(sys.argv[2])


def load(name):
    return np.load(arrays / f"{name}.npy")


imported = time.process_time()
constants, start = load("constants"), load("start")
n = len(start)


def synapses(table):
    first = np.concatenate([[0], np.cumsum(load(f"{table}_fanout"))]).astype(np.int32)
    data = (jnp.asarray(load(f"{table}_{column}")) for column in ("weight", "target"))
    return brainevent.CSR((*data, jnp.asarray(first)), shape=(len(first) - 1, 4 * n))


recurrent, lgn = synapses("recurrent"), synapses("lgn")
delay = jnp.asarray(load("recurrent_delay").astype(np.int32))
sent = np.zeros((n_steps, len(load("lgn_fanout"))), dtype=bool)
when = load("lgn_spike_step")
sent[when[when < n_steps], load("lgn_spike_source")[when < n_steps]] = True
decay, factor, reset = (jnp.asarray(constants[:, k]) for k in range(3))
syn_decay, psc_initial = jnp.asarray(constants[:, 3:7]), jnp.asarray(constants[:, 7:11])
asc_decay_1, asc_decay_2, asc_1, asc_2 = (jnp.asarray(constants[:, k]) for k in range(11, 15))
t_ref, background = jnp.asarray(load("t_ref")), jnp.asarray(load("background"))


def step(state, given):
    t, input_spikes = given
    v, z, r, a_1, a_2, rise, psc, ring = state
    slot = t % N_SLOTS
    arriving = ring[slot] + brainevent.BinaryArray(input_spikes) @ lgn
    ring = ring.at[slot].set(0.0)
    v = decay * v + factor * (psc.sum(1) + a_1 + a_2) + z * reset
    psc = syn_decay * (psc + rise)
    rise = syn_decay * rise + (arriving.reshape(n, 4) + background) * psc_initial
    a_1, a_2 = asc_decay_1 * a_1 + z * asc_1, asc_decay_2 * a_2 + z * asc_2
    r = jnp.maximum(r + z * t_ref - 1, 0)
    spiked = (v > 1) & (r <= 0)
    ring = recurrent.delay_deliver(ring, spiked, delay, t)
    return (v, spiked.astype(jnp.float32), r, a_1, a_2, rise, psc, ring), spiked


@jax.jit
def simulate(state, t, input_spikes):
    return jax.lax.scan(step, state, (t, input_spikes))[1]


zero, currents = jnp.zeros(n), jnp.zeros((n, 4))
state = (jnp.asarray(start), *[zero] * 4, *[currents] * 2, jnp.zeros((N_SLOTS, 4 * n)))
given = (state, jnp.arange(n_steps, dtype=jnp.int32), jnp.asarray(sent))
compiled = simulate.lower(*given).compile()
jax.block_until_ready(compiled(*given))  # Numba compiles in the first call
ready = time.process_time()
wall = time.perf_counter()
spikes = jax.block_until_ready(compiled(*given))
print(
    json.dumps(
        {
            "simulate_cpu": time.process_time() - ready,
            "simulate": time.perf_counter() - wall,
            "spikes": int(spikes.sum()),
            "ready_cpu": ready - imported,
            "import_cpu": imported - begin,
            "versions": {"jax": jax.__version__, "brainevent": brainevent.__version__},
        }
    )
)
