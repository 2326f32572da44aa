"""Models of NEST that v1sim does not know are built where the configuration allows them."""

from __future__ import annotations

import copy
import json

import h5py
import numpy as np
import pytest

import v1sim
from tests.sonata.base import base_circuit
from tests.sonata.bmtk import Bmtk
from v1sim.errors import NetworkFileError, OutputError
from v1sim.sources import open_network
from v1sim.sources.hdf5 import write_network

#: Parameters of lm's cells, and of synapses onto them.
MODELS = {
    # a start that is not at rest: the model's own V_m, and a current from the first step on
    "iaf_cond_exp": ({"C_m": 100.0, "E_L": -75.0, "V_th": -55.0, "I_e": 800.0}, {}),
    "aeif_cond_exp": ({"C_m": 100.0, "E_L": -70.0, "V_th": -55.0}, {}),
    "iaf_psc_exp_multisynapse": (
        {"C_m": 100.0, "E_L": -75.0, "V_th": -55.0, "tau_syn": [2.0, 5.0]},
        {"receptor_type": 2},
    ),
}


@pytest.fixture
def circuit(request):
    model = request.param
    made = copy.deepcopy(base_circuit())
    cell, synapse = MODELS[model]
    lm = made.nodes[1]
    lm.types[200]["model_template"] = f"nest:{model}"
    made.cell_models["lm.json"] = cell
    for name in ("to_lm_e.json", "to_lm_i.json"):
        made.synaptic_models[name] = synapse
    for edges in made.edges:  # on the grid: rounding is not what is tested here
        for row in edges.types.values():
            row["delay"] = round(row["delay"] * 4) / 4
        if "delay" in edges.columns[0]:
            edges.columns[0]["delay"] = np.round(edges.columns[0]["delay"] * 4) / 4
    return model, made


def allow(path, names):
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "v1sim": {"allow_models": names}}))


@pytest.mark.parametrize("circuit", list(MODELS), indirect=True)
def test_bmtk_spikes(circuit, tmp_path):
    model, made = circuit
    path = made.write(tmp_path)
    with pytest.raises(NetworkFileError, match="allow_models"):
        open_network(path)
    with Bmtk() as bmtk:
        expected = bmtk.run(path)
    assert (expected.population == "lm").sum() > 5
    allow(path, [model])
    v1sim.run(path, out=tmp_path / "run")
    found = []
    with h5py.File(tmp_path / "run" / "spikes.h5") as file:
        for name in ("v1", "lm"):
            group = file["spikes"].get(name)
            if group is None:
                continue
            step = np.rint(group["timestamps"][:] / made.dt_ms).astype(int) + 1
            found += [(name, int(i), int(s)) for i, s in zip(group["node_ids"], step, strict=True)]
    stamps = np.rint(expected.time_ms / made.dt_ms).astype(int)
    assert sorted(found) == sorted(
        zip(expected.population.tolist(), expected.node_id.tolist(), stamps.tolist(), strict=True)
    )


@pytest.mark.parametrize("circuit", ["aeif_cond_exp"], indirect=True)
@pytest.mark.parametrize(
    "names", ["aeif_cond_exp", [1], {"aeif_cond_exp": 3}, {"aeif_cond_exp": {"ports": -1}}]
)
def test_an_allowance_that_cannot_be_read(circuit, tmp_path, names):
    path = circuit[1].write(tmp_path)
    allow(path, names)
    with pytest.raises(NetworkFileError, match=r"v1sim\.allow_models"):
        open_network(path)


@pytest.mark.parametrize("circuit", ["iaf_cond_exp"], indirect=True)
def test_a_network_file_has_no_place_for_them(circuit, tmp_path):
    model, made = circuit
    path = made.write(tmp_path)
    allow(path, [model])
    with pytest.raises(OutputError, match="which a SONATA configuration allows"):
        write_network(open_network(path), tmp_path / "net.h5")
    assert not (tmp_path / "net.h5").exists()
