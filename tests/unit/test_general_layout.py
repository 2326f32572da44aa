"""Files of the general layout: every network comes back exactly, and damage is told."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cell_models import mixed_network
from tests.networks import DRAFT, sealed, tiny_network
from tests.random_networks import networks
from v1sim import guard
from v1sim.errors import NetworkFileError, OutputError
from v1sim.model import (
    CellTypeTable,
    NetworkModel,
    NeuronPopulation,
    NeuronTable,
    Projection,
    SourceFile,
    SourcePopulation,
    SynapseTable,
    TrainingDynamics,
)
from v1sim.receptors import ReceptorKinds
from v1sim.sources import open_network
from v1sim.sources.hdf5 import add_provenance, write_network
from v1sim.sources.hdf5.general_names import GeneralNames
from v1sim.sources.provenance import canonical_arrays, network_sha256, verify

NET = replace(mixed_network(), provenance=None)


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal to the last bit, dtype and order of mappings included."""
    if isinstance(a, np.ndarray):
        if a.dtype.kind == "U":
            return a.shape == b.shape and bool((a == b).all())
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, SourceFile):
        return True
    if is_dataclass(a):
        return type(a) is type(b) and all(
            same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a)
        )
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b and type(a) is type(b)


@given(network=networks())
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
def test_any_network_comes_back_exactly(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("general") / "net.h5"
    held = write_network(network, path, provenance=DRAFT)
    read = open_network(path)
    for found in (held, read):
        unlike = [
            f.name
            for f in fields(NetworkModel)
            if f.name != "provenance" and not same(getattr(network, f.name), getattr(found, f.name))
        ]
        assert unlike == []
    assert read.provenance == held.provenance
    assert not verify(read)
    assert network_sha256(read) == network_sha256(network)


@given(network=networks(), other=networks())
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
def test_names_lead_back_to_the_array(network, other):
    """Also those of another network: nothing but the LGN's name is needed."""
    names = GeneralNames("any")
    for array in canonical_arrays(network):
        assert names.array_of(names.dataset_of(array)) == array


def changed(network: NetworkModel) -> dict[str, NetworkModel]:
    """The network with one thing changed that acts."""
    types = network.cell_types
    lgn = network.source_populations["lgn"]
    ids = np.arange(network.n_neurons)
    named = replace(network.neurons, populations=(NeuronPopulation("v1", ids),))
    kinds = replace(types.receptor_kinds, names=tuple("abcdef"))
    tables = network.tables
    doubled = {name: replace(t, weight=t.weight * 2, unit="pA") for name, t in tables.items()}
    renamed = {
        ("lgn_to_v1" if name == "lgn" else name): one for name, one in network.projections.items()
    }
    return {
        "populations": replace(network, neurons=named),
        "node ids": replace(
            network, neurons=replace(named, populations=(NeuronPopulation("v1", ids + 1),))
        ),
        "unit": network.with_tables(**doubled),
        "projections": replace(network, projections=renamed),
        "role": replace(
            network, source_populations={"lgn": replace(lgn, role="other")}
            | {k: v for k, v in network.source_populations.items() if k != "lgn"},
        ),
        "ids of sources": replace(
            network,
            source_populations=network.source_populations
            | {"lgn": SourcePopulation("lgn", lgn.size, np.arange(lgn.size) + 5, lgn.cells)},
        ),
        "receptors": replace(network, cell_types=replace(types, receptor_kinds=kinds)),
        "step": replace(network, step_ms=0.25),
        "dynamics": replace(network, dynamics=TrainingDynamics("hard")),
        "kind": replace(
            network, cell_types=replace(types, kind=np.zeros(len(types), dtype=np.uint8))
        ),
        "kind of sources": network.with_lgn(kind=np.zeros(lgn.size, dtype=np.uint8)),
        "receptors of types": replace(
            network, cell_types=replace(types, n_receptors=np.full(len(types), 2))
        ),
    }  # fmt: skip


@pytest.mark.parametrize("what", changed(NET))
def test_digests_see_what_acts(what):
    network = changed(NET)[what]
    assert network_sha256(network) != network_sha256(NET)
    stated = replace(network, provenance=sealed(NET).provenance)
    assert verify(stated)


def test_every_field_of_a_network_has_its_place():
    """A field that is new must be written too: then it belongs here, and in `random_networks`."""
    places = {
        NetworkModel: "neurons cell_types projections source_populations source readout "
        "readout_weight readout_bias provenance provenance_problem step_ms dynamics remarks",
        NeuronTable: "cell_type position_um populations",
        NeuronPopulation: "name node_id",
        CellTypeTable: "model columns receptor_kinds name cell_class kind n_receptors "
        "n_after_spike_currents other_models",
        ReceptorKinds: "names presynaptic postsynaptic",
        Projection: "synapses source",
        SynapseTable: "pre post receptor delay_ms weight unit",
        SourcePopulation: "role size node_id cells kind",
        TrainingDynamics: "reset step_ms trainer",
    }
    for kind, names in places.items():
        assert {f.name for f in fields(kind)} == set(names.split()), kind


def test_files_of_the_billeh_model_stay_as_they_are(tmp_path):
    write_network(tiny_network(), tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5") as file:
        assert set(file) == {"neurons", "recurrent", "input", "readout", "lgn", "provenance"}
        assert set(file.attrs) == {"n_neurons", "n_input", "n_output"}


def test_provenance_is_added_and_replaced(tmp_path):
    path = tmp_path / "net.h5"
    write_network(NET, path)
    assert open_network(path).provenance is None
    for _ in range(2):
        held = add_provenance(path, DRAFT)
        assert not verify(open_network(path))
    with h5py.File(path) as file:
        text = file["provenance"][()].decode()
    assert "projections/recurrent/weights" in json.loads(text)["arrays"]
    assert held.source.name_of("recurrent.weight") == "projections/recurrent/weights"


def test_what_does_not_fit_is_not_written(tmp_path):
    table = NET.tables["recurrent"]
    pre = table.pre.astype(np.int64)
    pre[0] = 2**40
    network = NET.with_tables(recurrent=replace(table, pre=pre))
    with pytest.raises(OutputError, match="1 of 888 values of int64 do not fit int32"):
        write_network(network, tmp_path / "net.h5")
    assert not list(tmp_path.iterdir())


# --- damage ----------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    write_network(NET, tmp_path / "net.h5")
    return tmp_path / "net.h5"


def description(file: h5py.File) -> dict[str, Any]:
    return json.loads(file["description"][()].decode())


def describe(file: h5py.File, text: str) -> None:
    del file["description"]
    kind = h5py.string_dtype("utf-8", len(text.encode()) or 1)
    file.create_dataset("description", data=np.array(text.encode(), dtype=kind))


def refused(path) -> str:
    with pytest.raises(NetworkFileError) as caught:
        open_network(path)
    assert caught.value.findings
    return str(caught.value)


def test_every_array_that_is_missing_is_named(path):
    with h5py.File(path) as file:
        arrays = list(description(file)["arrays"])
    for array in arrays:
        with h5py.File(path, "r+") as file:
            file.move(array, "aside")
        assert f"{array}: missing" in refused(path)
        with h5py.File(path, "r+") as file:
            file.move("aside", array)
    open_network(path)


def test_every_array_of_another_shape_or_type_is_named(path):
    with h5py.File(path) as file:
        arrays = [a for a in description(file)["arrays"] if not a.endswith("model_id")]
    for array in arrays:
        for damage, seen in (
            (lambda values: values[:-1], "says"),
            (lambda values: values[None], "has the shape"),
            (lambda values: np.full(values.shape, b"x"), "not numbers"),
        ):
            with h5py.File(path, "r+") as file:
                values = file[array][()]
                file.move(array, "aside")
                file[array] = damage(values)
            message = refused(path)
            assert array in message
            assert seen in message
            with h5py.File(path, "r+") as file:
                del file[array]
                file.move("aside", array)


@pytest.mark.parametrize(
    ("damage", "seen"),
    [
        (lambda f: f.attrs.__setitem__("v1sim_layout", 3), "says 3, this v1sim reads 2"),
        (lambda f: f.attrs.__setitem__("v1sim_layout", "two"), "says two"),
        (lambda f: f.attrs.__delitem__("v1sim_layout"), "attribute v1sim_layout: missing"),
        (lambda f: f.__delitem__("description"), "description: missing"),
        (lambda f: describe(f, ""), "not JSON"),
        (lambda f: describe(f, "[]"), "the text is list, not an object"),
        (lambda f: describe(f, "{}"), "cell_types is missing"),
        (lambda f: describe(f, "[" * 100_000), "not JSON"),
    ],
)
def test_a_file_that_does_not_say_what_it_is(path, damage, seen):
    with h5py.File(path, "r+") as file:
        damage(file)
    assert seen in refused(path)


def set_key(*keys: Any, to: Any) -> Any:
    def change(document: Any) -> None:
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (set_key("step_ms", to="1"), "step_ms is '1', not a number"),
        (set_key("step_ms", to=float("nan")), "NaN is no number"),
        (set_key("more", to=1), "lacks or should not have: more"),
        (set_key("dynamics", to={"reset": "soft"}), "dynamics lacks or should not have"),
        (set_key("projections", 0, "unit", to="nA"), "unit is 'nA', not one of normalised, pA"),
        (set_key("projections", 1, "source", to="LGN"), "comes from 'LGN', which is not there"),
        (set_key("projections", 1, "name", to="recurrent"), "a name stands there twice"),
        (set_key("sources", 0, "role", to="eye"), "role is 'eye', not one of lgn"),
        (set_key("sources", 0, "size", to=-1), "size is -1, not a count"),
        (set_key("sources", 0, "size", to=2**70), "not a count"),
        (set_key("sources", 0, "size", to=2**31), "not a count"),
        (set_key("cell_types", "model", 0, to="hh_psc_alpha"), "'hh_psc_alpha' cannot be built"),
        (set_key("cell_types", "name", to=["a"]), "not a list of 10 texts"),
        (set_key("cell_types", "receptors", to=[]), "there are none"),
        (set_key("cell_types", "receptors", to=["a"]), "has the shape (10, 6), expected [10, 1]"),
        (set_key("populations", to=[{"name": "v1", "size": 3}]), "populations have 3 neurons"),
        (set_key("readout", to=[4, 5]), "is not among the arrays"),
        (set_key("arrays", "neurons/node_type_ids", to=["f8", 60]), "the layout has u2"),
        (set_key("arrays", "neurons/node_type_ids", to="u2"), "is no type and shape"),
        (set_key("arrays", "more", to=["u2", 60]), "the layout has no such array"),
        (lambda d: d["arrays"].pop("projections/lgn/delays"), "is not among the arrays"),
        (lambda d: d["arrays"].pop("cell_types/parameters/c_m_pf"), "need c_m_pf"),
        (lambda d: d["remarks"].append({}), "remarks[0] lacks"),
    ],
)
def test_a_description_that_does_not_hold(path, change, seen):
    with h5py.File(path, "r+") as file:
        document = description(file)
        change(document)
        describe(file, json.dumps(document))
    assert seen in refused(path)


def test_values_that_stand_for_something_are_looked_at(path):
    with h5py.File(path, "r+") as file:
        file["cell_types/presynaptic_kind"][0, 0] = 9
        file["neurons/node_type_ids"][3] = 70
    assert "1 of 60 neurons have a type outside" in refused(path)
    with h5py.File(path, "r+") as file:
        file["neurons/node_type_ids"][3] = 0
    assert f"1 of {6 * len(NET.cell_types)} values are no kind of a cell" in refused(path)


def test_weights_in_another_type_are_read_where_no_value_changes(path):
    with h5py.File(path, "r+") as file:
        values = file["projections/recurrent/weights"][()]
        del file["projections/recurrent/weights"]
        file["projections/recurrent/weights"] = values.astype(">f8")
        targets = file["projections/recurrent/targets"][()].astype("i8")
        del file["projections/recurrent/targets"]
        targets[0] = 2**40
        file["projections/recurrent/targets"] = targets
    assert "1 of 888 values of type int64 do not fit int32" in refused(path)
    with h5py.File(path, "r+") as file:
        file["projections/recurrent/targets"][0] = NET.tables["recurrent"].post[0]
    read = open_network(path).tables["recurrent"]
    assert same(read, NET.tables["recurrent"])


@settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused(path, data):
    """Flipped bytes, more often where the description and the names stand."""
    whole = getattr(test_damaged_bytes_are_read_or_refused, "whole", None) or path.read_bytes()
    test_damaged_bytes_are_read_or_refused.whole = whole
    content = bytearray(whole)
    text = content.find(b'"step_ms"')
    assert text > 0
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(
            st.integers(0, len(whole) - 1) | st.integers(0, 8000) | st.integers(text, text + 4000)
        )
        content[min(at, len(whole) - 1)] = data.draw(st.integers(0, 255))
    target = path.with_name("damaged.h5")
    target.write_bytes(content)
    try:
        network = open_network(target)
    except NetworkFileError:
        return
    guard.examine(network, guard.Policy("any"))
    network_sha256(network)
