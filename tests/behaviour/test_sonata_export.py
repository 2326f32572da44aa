"""Networks written as SONATA circuits: BMTK's spikes are v1sim's, and the way back is exact."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.behaviour.test_several_sources import several_sources
from tests.networks import DRAFT, tiny_network
from tests.sonata.bmtk import Bmtk
from v1sim import guard
from v1sim.config import BuiltInColumn, RunConfig, validate
from v1sim.errors import InputError, OutputError
from v1sim.inputs.protocol import fed
from v1sim.model import NetworkModel
from v1sim.simulation.from_config import configured_plan
from v1sim.simulation.run import run_trials
from v1sim.sources import open_network
from v1sim.sources.column import open_column
from v1sim.sources.difference import compare_networks
from v1sim.sources.hdf5 import write_network
from v1sim.sources.provenance import network_sha256, verify
from v1sim.sources.sonata.config import SonataConfig, read_config
from v1sim.sources.sonata.writer import write_circuit

pytest.importorskip("libsonata")
DURATION_MS = 200.0


def column() -> NetworkModel:
    return open_column(BuiltInColumn(neurons=300, lgn=200, seed=3), command="tests")


def trained(shared_data: Path) -> NetworkModel:
    return open_network(shared_data / "trained_a" / "net_A_trained.h5")


def sent_spikes(network: NetworkModel, folder: Path, rate: float) -> Path:
    """Spikes of all source populations but the background, on and off the grid."""
    rng = np.random.default_rng(7)
    with h5py.File(folder / "sent.h5", "w") as file:
        for name, population in network.source_populations.items():
            if population.role == "background":
                continue
            n = int(population.size * rate * DURATION_MS)
            time_ms = rng.uniform(0.01, DURATION_MS - 2.0, n)
            time_ms[::2] = np.round(time_ms[::2]) + 1.0
            ids = rng.integers(0, population.size, n)
            group = file.create_group(f"spikes/{name}")
            group["node_ids"] = ids if population.node_id is None else population.node_id[ids]
            group["timestamps"] = time_ms
    return folder / "sent.h5"


def own_spikes(
    network: NetworkModel, sent: Path, draws: Path | None, duration_ms: float = DURATION_MS
) -> list[tuple[str, int, int]]:
    """v1sim's spikes: population, node and step of each."""
    stated = {
        "network": "given",
        "stimulus": {"kind": "given_spikes", "duration_ms": duration_ms},
        "inputs": {
            name: {"file": str(sent)}
            for name, one in network.source_populations.items()
            if one.role != "background"
        },
        "simulation": {"dt_ms": network.step_ms, "dynamics": "nest"},
        "background": {"recorded": str(draws)} if draws else "none",
        "require": "any",
    }
    config = validate(RunConfig, stated, "test")
    waived = {"values.delay": "rounded as NEST does"}
    policy = guard.Policy(require="any", dt_ms=network.step_ms, waivers=waived)
    checked = guard.admit(network, policy)
    shown = fed(config.stimulus.made_for(network), config, network)
    output = run_trials(
        configured_plan(config, checked, shown),
        shown,
        threads=2,
        between_trials="rebuild",
        voltage_of=np.empty(0, dtype=np.int32),
        progress=lambda *_: None,
    )
    bounds = np.cumsum([0, *map(len, network.populations)])
    names = [p.name for p in network.populations]
    ids = np.concatenate([p.node_id for p in network.populations])
    neuron = output.spikes.neuron
    which = np.searchsorted(bounds, neuron, side="right") - 1
    step = np.rint(output.spikes.time_ms / network.step_ms).astype(int)
    return sorted(
        (names[w], int(ids[i]), int(s)) for w, i, s in zip(which, neuron, step, strict=True)
    )


def drawn(folder: Path) -> Path:
    """Draws of a background, none in the first step: SONATA has no spike at 0."""
    draws = np.random.default_rng(2).binomial(10, 0.1, int(DURATION_MS))
    draws[0] = 0
    np.save(folder / "draws.npy", draws)
    return folder / "draws.npy"


CASES = ("column", "trained", "several sources", "several sources, 0.25 ms")


def case(name: str, shared_data: Path) -> NetworkModel:
    if name == "column":
        return column()
    if name == "trained":
        return trained(shared_data)
    if name.endswith("0.25 ms"):
        return replace(several_sources(0.25), step_ms=0.25)
    return several_sources()


@pytest.fixture(scope="module")
def bmtk():
    pytest.importorskip("bmtk")
    with Bmtk() as service:
        yield service


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_bmtk_gives_the_spikes_of_the_network(name, bmtk, tmp_path, shared_data):
    """Each one; its times are those of the end of the step."""
    network = case(name, shared_data)
    has_background = bool(network.tables_of("background"))
    sent = sent_spikes(network, tmp_path, 0.05 if len(network.source_populations) > 2 else 0.02)
    draws = drawn(tmp_path) if has_background else None
    write_circuit(
        network, tmp_path / "circuit", command="tests", spikes=sent, background=draws,
        duration_ms=DURATION_MS,
    )  # fmt: skip
    theirs = bmtk.run(tmp_path / "circuit" / "simulation_config.json")
    ours = own_spikes(network, sent, draws)
    assert len(ours) > 100
    dt_ms = network.step_ms
    # Theirs has the last step, which begins where ours ends.
    last = round(DURATION_MS / dt_ms) - 1
    shifted = [(name, node, step - 1) for name, node, step in theirs.by_step(dt_ms)]
    assert [s for s in shifted if s[2] < last] == [s for s in ours if s[2] < last]


# --- the way back ----------------------------------------------------------------------------


def sorted_rows(network: NetworkModel, name: str) -> dict[str, np.ndarray]:
    table = network.tables[name]
    columns = {key: column for key, column in table.columns.items() if key != "weight"}
    columns["normalised"] = table.normalised(network)
    columns["weight_pa"] = table.weight_pa(network)
    return columns


def assert_same_synapses(ours: NetworkModel, theirs: NetworkModel, pairs: dict[str, str]) -> None:
    """Every synapse in its place, its weight to the last bit: in pA, and normalised."""
    for name, other in pairs.items():
        mine, read = sorted_rows(ours, name), sorted_rows(theirs, other)
        for key in mine:
            np.testing.assert_array_equal(mine[key], read[key], err_msg=f"{name}.{key}")


def test_the_way_back_is_exact(tmp_path):
    """Neurons, LGN cells with their filters, synapses; through the network file too."""
    network = column()
    write_circuit(network, tmp_path / "circuit", command="tests")
    read = open_network(tmp_path / "circuit" / "simulation_config.json")
    write_network(read, tmp_path / "back.h5")
    for found in (read, open_network(tmp_path / "back.h5")):
        assert_same_synapses(network, found, {"recurrent": "v1_to_v1", "lgn": "lgn_to_v1"})
        assert [p.name for p in found.populations] == ["v1"]
        np.testing.assert_array_equal(found.populations[0].node_id, np.arange(300))
        np.testing.assert_array_equal(found.neurons.position_um, network.neurons.position_um)
        assert found.step_ms == network.step_ms
        cells, mine = found.lgn.cells, network.lgn.cells
        assert cells.field_deg == mine.field_deg
        np.testing.assert_array_equal(cells.model_id, mine.model_id)
        for name in ("x_deg", "spatial_size_deg", "kpeak_dom_ms", "weight_non_dom", "delay_dom_ms"):
            np.testing.assert_array_equal(getattr(cells, name), getattr(mine, name))
        of = found.neurons.cell_type, network.neurons.cell_type
        for name in network.cell_types.columns:
            a, b = (
                n.cell_types.columns[name][t] for n, t in zip((found, network), of, strict=True)
            )
            np.testing.assert_array_equal(a, b, err_msg=name)
        background = found.tables["bkg_to_v1"]
        factor = float(np.float32(0.1))
        held = network.background_weight
        post, receptor = np.nonzero(held)  # its zeros are no synapses
        expected = held[post, receptor].astype(np.float64) * (
            network.voltage_scale_mv[post] * factor
        )
        np.testing.assert_array_equal(background.post, post)
        np.testing.assert_array_equal(background.receptor, receptor)
        np.testing.assert_array_equal(background.weight, expected)


def test_several_populations_and_ids_come_back(tmp_path):
    """What is split by pairs of populations has its rows together again by their names."""
    network = several_sources()
    sent = sent_spikes(network, tmp_path, 0.02)
    write_circuit(network, tmp_path / "circuit", command="tests", spikes=sent)
    read = open_network(tmp_path / "circuit" / "circuit_config.json")
    assert {p.name: p.node_id.tolist() for p in read.populations} == {
        p.name: p.node_id.tolist() for p in network.populations
    }
    n_before, n_after = (sum(map(len, n.tables.values())) for n in (network, read))
    assert n_before == n_after

    def rows(one: NetworkModel) -> list[tuple[float, ...]]:
        found = []
        for name, table in one.tables.items():
            source = one.projections[name].source or ""
            found += [
                (source, *row)
                for row in zip(*(c.tolist() for c in table.columns.values()), strict=True)
            ]
        return sorted(found)

    # Receptors of cells without ports are those of the weights' signs.
    ported = {i for i, m in enumerate(network.cell_types.model) if m.startswith("glif")}
    for mine, theirs in zip(rows(network), rows(read), strict=True):
        assert mine[:3] == theirs[:3]
        assert mine[4:] == theirs[4:]
        if int(network.neurons.cell_type[mine[2]]) in ported:
            assert mine[3] == theirs[3]


def test_libsonata_reads_it(tmp_path):
    import libsonata

    network = column()
    write_circuit(network, tmp_path / "circuit", command="tests")
    circuit = libsonata.CircuitConfig.from_file(str(tmp_path / "circuit" / "circuit_config.json"))
    assert circuit.node_populations == {"v1", "lgn", "bkg"}
    nodes = circuit.node_population("v1")
    assert nodes.size == 300
    edges = circuit.edge_population("v1_to_v1")
    table = network.tables["recurrent"]
    everything = libsonata.Selection([(0, len(table))])
    np.testing.assert_array_equal(edges.source_nodes(everything), table.pre)
    np.testing.assert_array_equal(
        edges.get_attribute("syn_weight", everything), table.weight_pa(network)
    )
    for neuron in (0, 17, 299):
        np.testing.assert_array_equal(
            edges.afferent_edges(neuron).flatten(), np.flatnonzero(table.post == neuron)
        )
        np.testing.assert_array_equal(
            np.sort(edges.efferent_edges(neuron).flatten()), np.flatnonzero(table.pre == neuron)
        )


def test_every_file_says_where_it_is_from(tmp_path):
    network = tiny_network()
    held = write_network(network, tmp_path / "net.h5", provenance=DRAFT)
    write_circuit(held, tmp_path / "circuit", command="v1sim export")
    files = sorted((tmp_path / "circuit" / "network").glob("*.h5"))
    assert len(files) == 6
    for path in files:
        with h5py.File(path) as file:
            about = json.loads(file.attrs["v1sim"])
            assert file.attrs["magic"] == 0x0A7A
        assert about["command"] == "v1sim export"
        assert about["file_sha256"] == held.source.sha256
        assert about["provenance"]["kind"] == "constructed"
        digest = about["provenance"]["digests"]["recurrent.weight"]
        assert digest == held.provenance.arrays["recurrent.weight"].sha256


def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path):
    network = tiny_network()
    table = network.tables["recurrent"]
    weight = table.weight.copy()
    weight[[3, 5]] = np.nan, np.inf
    broken = network.with_tables(recurrent=replace(table, weight=weight))
    with pytest.raises(OutputError, match="2 values of recurrent are NaN or infinite"):
        write_circuit(broken, tmp_path / "circuit", command="tests")
    post = table.post.copy()
    post[0] = 60
    broken = network.with_tables(recurrent=replace(table, post=post))
    with pytest.raises(OutputError, match="cells that are not there"):
        write_circuit(broken, tmp_path / "circuit", command="tests")
    (tmp_path / "spikes.h5").write_bytes(b"no HDF5")
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        write_circuit(network, tmp_path / "circuit", command="tests", spikes=tmp_path / "spikes.h5")
    (tmp_path / "spikes.h5").unlink()
    assert list(tmp_path.iterdir()) == []


def test_a_circuit_is_replaced_on_request_alone(tmp_path):
    network, folder = tiny_network(), tmp_path / "circuit"
    write_circuit(network, folder, command="tests")
    with pytest.raises(OutputError, match="not empty"):
        write_circuit(network, folder, command="tests")
    write_circuit(network, folder, command="again", force=True)
    (folder / "circuit_config.json").unlink()
    with pytest.raises(OutputError, match=r"has no circuit_config\.json"):
        write_circuit(network, folder, command="tests", force=True)


def test_the_index_of_many_nodes_is_that_of_numpy():
    """Ids above 16 bits are sorted digit by digit."""
    from v1sim.sources.sonata.edge_writer import _order

    rng = np.random.default_rng(1)
    for most in (10, 1 << 16, (1 << 16) + 1, 1 << 34):
        node_id = rng.integers(0, most, 5000).astype(np.uint64)
        node_id[0] = most - 1
        np.testing.assert_array_equal(_order(node_id, most), np.argsort(node_id, kind="stable"))


def test_what_is_known_by_other_names_is_compared(tmp_path):
    """`v1sim diff` of a network and its circuit: nothing differs but what SONATA cannot hold."""
    network = column()
    write_circuit(network, tmp_path / "circuit", command="tests")
    read = open_network(tmp_path / "circuit" / "simulation_config.json")
    difference = compare_networks(network, read)
    assert {name: table.equal for name, table in difference.tables.items()} == {
        "v1_to_v1": True,
        "lgn_to_v1": True,
        "bkg_to_v1": False,
    }
    assert {one.array for one in difference.arrays} == {"background.weight", "readout.neuron"}
    table = read.tables["v1_to_v1"]
    weight = table.weight.copy()
    weight[7] *= 1.01
    other = read.with_tables(v1_to_v1=replace(table, weight=weight))
    assert compare_networks(network, other).tables["v1_to_v1"].weights.n_changed == 1
    types = read.cell_types.with_columns(c_m_pf=read.cell_types.c_m_pf * 1.01)
    changed = compare_networks(network, replace(read, cell_types=types)).arrays
    assert "cell_types.c_m_pf" in {one.array for one in changed}
    ids = replace(read.neurons.populations[0], node_id=np.arange(300)[::-1].copy())
    moved = replace(read, neurons=replace(read.neurons, populations=(ids,)))
    assert [one.array for one in compare_networks(read, moved).arrays] == ["neurons.node_id"]


def test_delays_in_float64_are_checked_as_they_are(tmp_path):
    network = column()
    write_circuit(network, tmp_path / "circuit", command="tests")
    read = open_network(tmp_path / "circuit" / "simulation_config.json")
    report = guard.examine(read, guard.Policy(require="any"))
    assert [f for f in report.findings if f.check == "values.delay"] == []
    assert report.passed


def v1sim(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line, in a process."""
    command = [sys.executable, "-m", "v1sim", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_verbs_there_and_back(tmp_path):
    """A network that passes as trained does so when it comes back; edited weights do not."""
    net, circuit, back = (tmp_path / name for name in ("net.h5", "circuit", "back.h5"))
    write_network(tiny_network(zeros=0.2), net)
    done = v1sim("export", net, "--sonata", circuit)
    assert done.returncode == 0, done.stderr
    assert "edges v1_to_v1" in done.stdout
    assert "inputs/lgn_spikes.h5 is to hold the spikes of lgn" in done.stdout
    config = circuit / "simulation_config.json"
    assert v1sim("import", config, "--out", back).returncode == 0
    again = v1sim("import", config, "--out", back)
    assert again.returncode == 2
    assert "is there already" in again.stderr
    assert v1sim("import", config, "--out", back, "--force").returncode == 0
    checked = v1sim("check", back)
    assert checked.returncode == 0, checked.stdout
    assert "trained" in checked.stdout
    assert open_network(back).provenance.kind == "trained"
    with h5py.File(circuit / "network" / "v1_to_v1_edges.h5", "r+") as file:
        file["edges/v1_to_v1/0/syn_weight"][0] *= 1.001
    assert v1sim("import", config, "--out", back, "--force").returncode == 0
    assert open_network(back).provenance is None
    wrong = v1sim("export", net)
    assert wrong.returncode == 2
    assert "--sonata FOLDER or --edges-like" in wrong.stderr
    base = circuit / "network" / "v1_to_v1_edges.h5"
    done = v1sim("export", net, "--edges-like", base, "--config", config, "--suffix", "bio_trained")
    assert done.returncode == 0, done.stderr
    assert "1 with another weight" in done.stdout
    assert (circuit / "network" / "v1_to_v1_edges_bio_trained.h5").is_file()


def test_a_circuit_that_came_back_is_stamped_by_its_checkpoint(shared_data, tmp_path):
    """Without the background, whose weights a circuit has as those of one spike."""
    prefix = shared_data / "trained_a" / "trained" / "ckpt_1000-425"
    net = shared_data / "trained_a" / "net_A_trained.h5"
    write_circuit(open_network(net), tmp_path / "circuit", command="tests")
    read = open_network(tmp_path / "circuit" / "simulation_config.json")
    write_network(read, tmp_path / "back.h5")
    done = v1sim("stamp", tmp_path / "back.h5", "--checkpoint", prefix)
    assert done.returncode == 1, done.stderr
    assert "background" in done.stdout
    without = replace(
        read,
        projections={k: v for k, v in read.projections.items() if k != "bkg_to_v1"},
        source_populations={"lgn": read.source_populations["lgn"]},
    ).with_background(open_network(net).background_weight)
    write_network(without, tmp_path / "back.h5")
    done = v1sim("stamp", tmp_path / "back.h5", "--checkpoint", prefix)
    assert done.returncode == 0, done.stdout + done.stderr
    held = open_network(tmp_path / "back.h5")
    assert held.provenance.kind == "trained"
    assert held.provenance.arrays["v1_to_v1.weight"].origin == "trained variable"
    assert not verify(held)


def sent_by(config: SonataConfig, path: Path) -> Path:
    """The spikes that a simulation's inputs name, in one file: the old and the new layout."""
    with h5py.File(path, "w") as out:
        for given in config.inputs:
            population = config.node_set(given.node_set)["population"]
            with h5py.File(given.input_file[0]) as file:
                held = file["spikes"]
                if population in held:
                    held = held[population]
                names = ("gids", "timestamps") if "gids" in held else ("node_ids", "timestamps")
                ids, time_ms = (held[name][()] for name in names)
            out[f"spikes/{population}/node_ids"] = ids
            out[f"spikes/{population}/timestamps"] = time_ms
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "config", "dt_ms", "duration_ms", "n_spikes"),
    [
        ("mini_v1", "simulation_config.json", 0.25, 500.0, 1200),
        ("point_450glifs", "config.simulation.json", 0.1, 1000.0, 19263),
        ("300_pointneurons", "simulation_config.json", 0.1, 1500.0, 18777),
    ],
)
def test_circuits_of_others_come_through_both_formats(
    name, config, dt_ms, duration_ms, n_spikes, bmtk, tmp_path, shared_data
):
    """Read, written as a network file, read, written as SONATA: BMTK gives its own spikes again."""
    folder = shared_data / "sonata" / name
    network = open_network(folder / config)
    write_network(network, tmp_path / "net.h5")
    back = open_network(tmp_path / "net.h5")
    assert network_sha256(back) == network_sha256(network)
    assert back.remarks == network.remarks
    sent = sent_by(read_config(folder / config), tmp_path / "sent.h5")
    circuit = tmp_path / "circuit"
    write_circuit(
        replace(back, step_ms=dt_ms), circuit, command="tests", spikes=sent, duration_ms=duration_ms
    )
    theirs = bmtk.run(circuit / "simulation_config.json")
    with h5py.File(folder / "bmtk_spikes.h5") as file:
        truth = [
            (population, int(i), round(t / dt_ms))
            for population, held in file["spikes"].items()
            for i, t in zip(held["node_ids"][()], held["timestamps"][()], strict=True)
        ]
    assert len(truth) == n_spikes
    assert theirs.by_step(dt_ms) == sorted(truth)
    # v1sim on the imported network file; its times are the start of each step, and it has the last.
    ours = own_spikes(replace(back, step_ms=dt_ms), sent, None, duration_ms)
    last = round(duration_ms / dt_ms) - 1
    assert [s for s in ours if s[2] < last] == sorted(
        (population, node, step - 1) for population, node, step in truth if step - 1 < last
    )


@pytest.mark.parametrize("verb", ["--sonata", "--edges-like"])
def test_a_full_disk_is_one_clear_error(verb, tmp_path):
    """The size limit of the process makes the system refuse bytes as a full disk does."""
    write_network(tiny_network(), tmp_path / "net.h5")
    write_circuit(tiny_network(), tmp_path / "circuit", command="tests")
    edges = tmp_path / "circuit" / "network" / "v1_to_v1_edges.h5"
    what = tmp_path / "new" if verb == "--sonata" else edges
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "from v1sim.cli import main\n"
        "sys.argv[0] = 'v1sim'\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, "export", str(tmp_path / "net.h5"), verb, str(what)]
    before = sorted(tmp_path.rglob("*"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "cannot be written" in done.stderr
    assert ".part" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before
