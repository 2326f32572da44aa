"""Weights of a network in the rows of the edges file that it came from."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.networks import tiny_network
from v1sim.errors import InputError, OutputError
from v1sim.model import NetworkModel, SynapseTable
from v1sim.sources import open_network
from v1sim.sources.edges_like import write_edges_like
from v1sim.sources.sonata.writer import write_circuit

#: Projections of the circuit `mini_v1`; of each the file is called NAME_edges.h5.
NAMES = ("v1_to_v1", "v1_to_lm", "lm_to_v1", "lgn_to_v1", "bkg_to_v1")


@pytest.fixture
def mini(shared_data, tmp_path) -> Path:
    """A circuit with several groups, nsyns in tables and files, weights in either."""
    shutil.copytree(shared_data / "sonata" / "mini_v1", tmp_path / "mini")
    return tmp_path / "mini"


def trained(network: NetworkModel, name: str, seed: int = 3) -> NetworkModel:
    """Other weights in one projection, of the same signs."""
    table = network.tables[name]
    factor = np.random.default_rng(seed).uniform(0.2, 3.0, len(table))
    return network.with_tables(**{name: replace(table, weight=table.weight * factor)})


def permuted(network: NetworkModel, name: str) -> NetworkModel:
    table = network.tables[name]
    order = np.random.default_rng(8).permutation(len(table))
    columns = {key: column[order] for key, column in table.columns.items()}
    return network.with_tables(**{name: SynapseTable(**columns, unit=table.unit)})


def contents(path: Path) -> dict[str, object]:
    """Every dataset but syn_weight, and every attribute but v1sim's."""
    found: dict[str, object] = {}

    def visit(name: str, item: object) -> None:
        for key, value in item.attrs.items():
            found[f"{name}@{key}"] = str(value)
        if isinstance(item, h5py.Dataset) and not name.endswith("/syn_weight"):
            found[name] = (str(item.dtype), item[()].tolist())

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("arrange", [lambda n, _: n, permuted], ids=["in order", "permuted"])
def test_the_circuit_with_the_new_file_is_the_trained_network(mini, name, arrange):
    """Row by row, read as any circuit; nothing but the weights differs from the base."""
    config = mini / "circuit_config.json"
    base = mini / "network" / f"{name}_edges.h5"
    network = trained(open_network(config), name)
    written = write_edges_like(
        arrange(network, name), base, command="tests", suffix="bio_trained", config=config
    )
    assert written.path == mini / "network" / f"{name}_edges_bio_trained.h5"
    n = len(network.tables[name])
    assert written.n_edges == {name: n}
    assert written.n_changed[name] > 0.9 * n
    assert contents(written.path) == contents(base)
    written.path.replace(base)
    read = open_network(config)
    for other in NAMES:
        mine, theirs = network.tables[other], read.tables[other]
        for key in ("pre", "post", "receptor", "delay_ms"):
            np.testing.assert_array_equal(getattr(mine, key), getattr(theirs, key))
        np.testing.assert_allclose(theirs.weight, mine.weight, rtol=4e-16)


def test_an_untrained_network_gives_the_base_again(mini):
    config = mini / "circuit_config.json"
    base = mini / "network" / "v1_to_v1_edges.h5"
    written = write_edges_like(open_network(config), base, command="tests", config=config)
    with h5py.File(base) as before, h5py.File(written.path) as after:
        for group in ("0", "1"):
            path = f"edges/v1_to_v1/{group}/syn_weight"
            if path in before:
                np.testing.assert_allclose(after[path][()], before[path][()], rtol=4e-16)


def test_what_is_not_the_same_is_refused(mini):
    config, name = mini / "circuit_config.json", "v1_to_v1"
    base = mini / "network" / "v1_to_v1_edges.h5"
    network = open_network(config)
    table = network.tables[name]

    def refused(**columns: np.ndarray) -> str:
        other = network.with_tables(**{name: replace(table, **columns)})
        with pytest.raises(InputError) as caught:
            write_edges_like(other, base, command="tests", config=config)
        return str(caught.value)

    n = len(table)
    assert f"1 of {n:,} edges are no synapses" in refused(
        **{key: column[:-1] for key, column in table.columns.items()}
    )
    post = table.post.copy()
    post[0] = post.max() - post[0]
    message = refused(post=post)
    assert f"1 of {n:,} synapses are no edges" in message
    assert f"1 of {n:,} edges are no synapses" in message
    assert "(receptor" in refused(receptor=((table.receptor + 1) % 4).astype(np.uint8))
    assert not list(base.parent.glob("*trained*"))


def test_files_of_other_circuits_are_refused(mini, tmp_path):
    config = mini / "circuit_config.json"
    network = open_network(config)
    base = mini / "network" / "lgn_to_v1_edges.h5"
    with pytest.raises(InputError, match="names no edges file lgn_to_v1_edges"):
        shutil.copy(base, tmp_path / "lgn_to_v1_edges.h5")
        write_edges_like(network, tmp_path / "lgn_to_v1_edges.h5", command="tests", config=config)
    with pytest.raises(InputError, match="no projection is from lm"):
        write_edges_like(
            replace(network, projections={"lgn_to_v1": network.projections["lgn_to_v1"]}),
            mini / "network" / "lm_to_v1_edges.h5",
            command="tests",
            config=config,
        )
    with pytest.raises(InputError, match="over the base"):
        write_edges_like(network, base, command="tests", out=base)
    (mini / "network" / "lgn_to_v1_edges_trained.h5").touch()
    with pytest.raises(OutputError, match="is there already"):
        write_edges_like(network, base, command="tests", config=config)
    write_edges_like(network, base, command="tests", config=config, force=True)


@pytest.mark.parametrize(
    ("column", "value", "seen"),
    [
        ("edge_group_id", 7, "are of the group 7, which is not there"),
        ("edge_group_index", 10**6, "a row for each edge of the group"),
        ("edge_type_id", 9999, "of the type 9999, which the table does not have"),
    ],
)
def test_damaged_bases_are_refused(mini, column, value, seen):
    config = mini / "circuit_config.json"
    network = open_network(config)
    base = mini / "network" / "v1_to_v1_edges.h5"
    with h5py.File(base, "r+") as file:
        dataset = file[f"edges/v1_to_v1/{column}"]
        values = dataset[()].astype("i8")
        values[5] = value
        del file[f"edges/v1_to_v1/{column}"]
        file[f"edges/v1_to_v1/{column}"] = values
    with pytest.raises(InputError) as caught:
        write_edges_like(network, base, command="tests", config=config)
    assert seen in str(caught.value)


# --- edges of one pair -----------------------------------------------------------------------


def twins(tmp_path: Path, *, delays: bool, types: bool) -> tuple[NetworkModel, Path, Path]:
    """A circuit in which cells have two edges onto the same cell."""
    network = replace(tiny_network(), provenance=None)
    table = network.tables["recurrent"]
    columns = {key: np.concatenate([c[:300], c[:300]]) for key, c in table.columns.items()}
    rng = np.random.default_rng(4)
    columns["weight"] = (columns["weight"] * rng.uniform(0.5, 2, 600)).astype(np.float32)
    if delays:
        columns["delay_ms"][300:] += np.float32(5.0)
    if types:
        columns["receptor"][300:] = (columns["receptor"][300:] + 1) % 4
    network = network.with_tables(recurrent=SynapseTable(**columns))
    write_circuit(network, tmp_path / "circuit", command="tests")
    config = tmp_path / "circuit" / "circuit_config.json"
    return open_network(config), config, tmp_path / "circuit" / "network" / "v1_to_v1_edges.h5"


@pytest.mark.parametrize(("delays", "types"), [(True, False), (False, True), (True, True)])
def test_edges_of_one_pair_are_told_apart(tmp_path, delays, types):
    network, config, base = twins(tmp_path, delays=delays, types=types)
    changed = permuted(trained(network, "v1_to_v1"), "v1_to_v1")
    written = write_edges_like(changed, base, command="tests", config=config)
    written.path.replace(base)
    read, wanted = open_network(config).tables["v1_to_v1"], changed.tables["v1_to_v1"]

    def rows(table: SynapseTable) -> list[tuple[float, ...]]:
        return sorted(zip(*(c.tolist() for c in table.columns.values()), strict=True))

    assert rows(read) == rows(wanted)


def test_edges_that_nothing_tells_apart_are_refused_where_it_matters(tmp_path):
    """Of one type, delay and nsyns any of the two may have either weight; otherwise not."""
    network, config, base = twins(tmp_path, delays=False, types=False)
    changed = permuted(trained(network, "v1_to_v1"), "v1_to_v1")
    write_edges_like(changed, base, command="tests", config=config)
    with h5py.File(base, "r+") as file:
        file["edges/v1_to_v1/0/nsyns"] = np.repeat([1, 2], 300)
    network = open_network(config)
    changed = permuted(trained(network, "v1_to_v1"), "v1_to_v1")
    with pytest.raises(InputError, match="edges cannot be told apart"):
        write_edges_like(changed, base, command="tests", config=config, force=True)


def test_without_a_configuration_receptors_are_not_known(tmp_path):
    network, config, base = twins(tmp_path, delays=False, types=True)
    changed = permuted(trained(network, "v1_to_v1"), "v1_to_v1")
    with pytest.raises(InputError, match="cannot be told apart") as caught:
        write_edges_like(changed, base, command="tests")
    assert "--config" in str(caught.value)
    assert write_edges_like(changed, base, command="tests", config=config).n_edges


# --- DPointNet -------------------------------------------------------------------------------


@pytest.fixture
def sample(shared_data, tmp_path) -> Path:
    """A circuit that DPointNet trained."""
    shutil.copytree(shared_data / "dpointnet", tmp_path / "sample")
    return tmp_path / "sample"


FACTORS = {
    "one": "1,0,0,0",
    "half": "0.5,0,0,0",
    "several": "0.7,0,-0.25,1.5",
}


@pytest.mark.parametrize("factors", FACTORS.values(), ids=FACTORS)
def test_weights_of_dpointnet_go_back_into_its_files(sample, factors):
    """Rows that are split over basis functions become one edge again."""
    from v1sim.sources.dpointnet import read_circuit
    from v1sim.sources.dpointnet.remarks import Remarks
    from v1sim.sources.dpointnet.trained import from_folder

    table = sample / "components" / "basis_weights.csv"
    table.write_text(table.read_text().replace("e2e,1,0,0,0", f"e2e,{factors}"))
    config = sample / "config.json"
    circuit = read_circuit(config)
    weights = from_folder(circuit, sample / "training" / "trained_weights", Remarks())
    network = circuit.network(weights.internal, open_network_source())
    for population, edges in circuit.edges.items():
        base = sample / "network" / f"{population}_v1_edges.h5"
        written = write_edges_like(network, base, command="tests", config=config)
        expected = weights.internal[population] * circuit.export_factor(population)
        with h5py.File(written.path) as file:
            found = file[f"edges/{edges.name}/0/syn_weight"][()]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert contents(written.path) == contents(base)
        assert any("PointNet" in note for note in written.notes)
    # Some cells have two edges onto the same cell: in another order nothing tells them apart.
    shuffled = permuted(network, circuit.recurrent.name)
    with pytest.raises(InputError, match="stand in another order than the edges"):
        write_edges_like(
            shuffled, sample / "network" / "v1_v1_edges.h5", command="tests", config=config,
            force=True,
        )  # fmt: skip
    shuffled = permuted(network, "lgn_to_v1")
    lgn = sample / "network" / "lgn_v1_edges.h5"
    write_edges_like(shuffled, lgn, command="tests", config=config, out=sample / "again.h5")
    with (
        h5py.File(sample / "again.h5") as file,
        h5py.File(lgn.with_stem("lgn_v1_edges_trained")) as one,
    ):
        path = "edges/lgn_to_v1/0/syn_weight"
        np.testing.assert_array_equal(file[path][()], one[path][()])


def open_network_source():
    from v1sim.model import SourceFile

    return SourceFile("sample", "", "dpointnet")


def test_networks_of_dpointnet_need_its_configuration(sample):
    from v1sim.sources.dpointnet import read_circuit

    circuit = read_circuit(sample / "config.json")
    internal = {name: circuit.internal(name) for name in circuit.edges}
    network = circuit.network(internal, open_network_source())
    with pytest.raises(InputError, match="basis functions") as caught:
        write_edges_like(network, sample / "network" / "v1_v1_edges.h5", command="tests")
    assert "--config" in str(caught.value)
    table = network.tables[circuit.recurrent.name]
    broken = network.with_tables(
        **{circuit.recurrent.name: replace(table, pre=np.roll(table.pre, 1))}
    )
    with pytest.raises(InputError, match="are no edges"):
        write_edges_like(
            broken, sample / "network" / "v1_v1_edges.h5", command="tests",
            config=sample / "config.json",
        )  # fmt: skip
