"""Checks on SONATA circuits: by class, in pA, silent on what is valid there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.sonata.base import base_circuit
from tests.sonata.circuits import Circuit, Edges
from v1sim import guard
from v1sim.model import CheckReport, Finding, Severity
from v1sim.sources import open_network

#: What is really odd in the public networks as they are shipped.
PUBLIC = {
    "mini_v1/simulation_config.json": set(),
    "300_pointneurons/config.json": {"sonata.default_start", "sonata.relative_path"},
    "point_450glifs/config.simulation.json": {"sonata.default_start", "sonata.relative_path"},
    "mini_v1_traps/group_index/simulation_config.json": {"sonata.edge_group_index"},
    "mini_v1_traps/weight_function/simulation_config.json": {"sonata.weight_function_groups"},
}


ANY = guard.Policy(require="any")


def checked(change: Callable[[Circuit], None], folder: Path) -> CheckReport:
    circuit = base_circuit()
    change(circuit)
    return guard.examine(open_network(circuit.write(folder)), guard.Policy(require="any"))


def edges(circuit: Circuit, name: str) -> Edges:
    return next(one for one in circuit.edges if one.name == name)


def of(report: CheckReport, check: str) -> list[Finding]:
    return [f for f in report.findings if f.check == check]


@pytest.mark.parametrize("path", PUBLIC)
def test_nothing_but_what_is_odd_is_found_in_public_networks(path: str, shared_data: Path) -> None:
    if not (shared_data / "sonata" / path).is_file():
        pytest.skip("no SONATA networks beside the reference data")
    report = guard.examine(open_network(shared_data / "sonata" / path), guard.Policy(require="any"))
    assert report.passed, [f.message for f in report.blocking]
    found = {f.check for f in report.findings if f.severity is not Severity.INFO}
    assert found == PUBLIC[path]


def test_signs_go_by_the_class_of_the_source_not_by_the_port(tmp_path: Path) -> None:
    def one_positive(circuit: Circuit) -> None:
        own = edges(circuit, "v1_to_v1")
        row = np.flatnonzero((own.type_id == 11) & (own.group == 0))[0]
        column = own.columns[0]["syn_weight"]
        column[np.count_nonzero(own.group[:row] == 0)] *= -1

    def other_ports(circuit: Circuit) -> None:
        """Inhibition on what is the port of excitation elsewhere, and the reverse."""
        models = circuit.synaptic_models
        circuit.synaptic_models = models | {"e2e.json": models["i2e.json"]} | {
            "i2e.json": models["e2e.json"]
        }  # fmt: skip

    (found,) = of(checked(one_positive, tmp_path / "a"), "values.weight_sign")
    assert (found.n_bad, found.severity) == (1, Severity.ERROR)
    assert of(checked(other_ports, tmp_path / "b"), "values.weight_sign") == []


def test_sizes_go_by_classes(tmp_path: Path) -> None:
    def in_na(circuit: Circuit) -> None:
        for group in (0, 1):
            columns = edges(circuit, "v1_to_v1").columns[group]
            columns["syn_weight"] = columns["syn_weight"] / 1000

    found = of(checked(in_na, tmp_path / "a"), "units.psp_by_class")
    assert {f.where for f in found} == {
        f"edges/v1_to_v1/syn_weight, {pre} onto {post}"
        for pre in ("excitatory", "inhibitory")
        for post in ("excitatory", "inhibitory")
    }
    assert all("nA" in f.hint for f in found)
    assert of(checked(lambda _: None, tmp_path / "b"), "units.psp_by_class") == []


@pytest.mark.parametrize(("delay", "n"), [(2.0, 0), (2.125, 1), (2.1, 1)])
def test_delays_between_steps_are_told_with_the_largest_change(
    delay: float, n: int, tmp_path: Path
) -> None:
    def change(circuit: Circuit) -> None:
        for row in edges(circuit, "lgn_to_v1").types.values():
            row["delay"] = 2.0
        edges(circuit, "lgn_to_v1").types[40]["delay"] = delay

    report = checked(change, tmp_path)
    found = [f for f in of(report, "values.delay_rounding") if "lgn_to_v1" in f.where]
    assert len(found) == n
    if n:
        to = 2.25 if delay == 2.125 else 2.0
        assert f"from {delay:g} to {to:g} ms" in found[0].message
        assert found[0].observed["largest_change_ms"] == pytest.approx(abs(to - delay))


@pytest.mark.parametrize(
    ("delay", "bad"), [(0.125, False), (0.124, True), (200, False), (201, True)]
)
def test_delays_that_nest_refuses_or_nobody_means(delay: float, bad: bool, tmp_path: Path) -> None:
    def change(circuit: Circuit) -> None:
        edges(circuit, "lgn_to_v1").types[40]["delay"] = delay

    assert bool(of(checked(change, tmp_path), "values.delay")) == bad


def test_several_edges_between_two_cells_are_valid_a_file_merged_twice_is_not(
    tmp_path: Path,
) -> None:
    def repeated(times: int) -> Callable[[Circuit], None]:
        def change(circuit: Circuit) -> None:
            own = edges(circuit, "bkg_to_v1")
            again = slice(None) if times == 2 else slice(0, 60)
            for name in ("source_id", "target_id", "type_id", "group"):
                values = getattr(own, name)
                setattr(own, name, np.concatenate([values, values[again]]))
            nsyns = own.columns[0]["nsyns"]
            own.columns[0]["nsyns"] = np.concatenate([nsyns, nsyns[again]])

        return change

    assert of(checked(repeated(1), tmp_path / "a"), "structure.duplicates") == []
    (found,) = of(checked(repeated(2), tmp_path / "b"), "structure.duplicates")
    assert (found.n_bad, found.severity) == (90, Severity.ERROR)


def test_one_weight_for_all_edges_of_a_type_is_valid_no_weight_at_all_is_not(
    tmp_path: Path,
) -> None:
    def weight(value: float) -> Callable[[Circuit], None]:
        def change(circuit: Circuit) -> None:
            own = edges(circuit, "v1_to_lm")
            del own.columns[0]["nsyns"]
            own.types[20]["syn_weight"], own.types[21]["syn_weight"] = value, -value

        return change

    assert of(checked(weight(5.0), tmp_path / "a"), "values.constant") == []
    assert of(checked(weight(0.0), tmp_path / "b"), "values.constant")


def test_spike_files_that_send_nothing_that_is_meant(tmp_path: Path) -> None:
    def other_population(circuit: Circuit) -> None:
        entry, spikes = circuit.inputs["LGN"]
        assert spikes is not None
        circuit.inputs["LGN"] = (entry | {"node_set": "lgn"}, replace(spikes, population="LGN"))

    (found,) = of(checked(other_population, tmp_path / "a"), "sonata.spike_file")
    assert "has spikes of LGN, none of lgn" in found.message
    path = base_circuit().write(tmp_path / "b")
    assert of(guard.examine(open_network(path), ANY), "sonata.spike_file") == []
    (tmp_path / "b" / "inputs" / "LGN.h5").unlink()
    (found,) = of(guard.examine(open_network(path), ANY), "sonata.spike_file")
    assert "not there" in found.message
    (tmp_path / "b" / "inputs" / "LGN.h5").write_bytes(b"no HDF5")
    assert len(of(guard.examine(open_network(path), ANY), "sonata.spike_file")) == 1
