"""Cells of SONATA circuits: NEST's defaults, Allen's own files, what is refused."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from v1sim.cell_models import CELL_MODELS
from v1sim.errors import NetworkFileError
from v1sim.receptors import Kind
from v1sim.sources.sonata.cells import NEST_DEFAULTS, cell_type_table, read_cell
from v1sim.sources.sonata.nodes import kind_of_name
from v1sim.sources.sonata.remarks import Remarks

GLIF = {
    "C_m": 90.0,
    "g": 6.2,
    "E_L": -77.0,
    "V_m": -77.0,
    "V_th": -46.0,
    "V_reset": -77.0,
    "t_ref": 3.75,
    "asc_decay": [0.003, 0.1],
    "asc_amps": [-9.0, -200.0],
    "tau_syn": [5.5, 8.5, 2.8, 5.8],
    "after_spike_currents": True,
}
ALLEN = {
    "type": "GLIF",
    "El": 0.001,
    "El_reference": -0.0712,
    "th_inf": 0.0231,
    "dt": 5e-05,
    "R_input": 2.1e8,
    "C": 6.1e-11,
    "spike_cut_length": 55,
    "coeffs": {"th_inf": 1.02, "G": 0.98, "C": 1.01, "asc_amp_array": [1.1, 0.9], "a": 2, "b": 3},
    "init_AScurrents": [0.0, 0.0],
    "asc_tau_array": [0.333, 0.0101],
    "asc_amp_array": [-9.2e-12, -1.9e-10],
    "threshold_dynamics_method": {
        "params": {"a_spike": 0.0021, "b_spike": 310.0, "a_voltage": 5.1, "b_voltage": 90.0}
    },
    "voltage_reset_method": {"params": {"a": 0.19, "b": 0.0185}},
}


def read(tmp_path, template, content, remarks=None):
    (tmp_path / "cell.json").write_text(json.dumps(content))
    return read_cell(
        template,
        "cell.json",
        str(tmp_path),
        allowed={},
        name="a cell",
        where="types.csv",
        remarks=remarks or Remarks(),
    )


def test_defaults_are_nests():
    nest = pytest.importorskip("nest")
    assert NEST_DEFAULTS.keys() == CELL_MODELS.keys()
    for model, defaults in NEST_DEFAULTS.items():
        found = nest.GetDefaults(model)
        assert {
            name: found[name] if np.isscalar(value) else tuple(found[name])
            for name, value in defaults.items()
        } == dict(defaults), model
        # and none that an entry takes is missing
        names = {
            name
            for p in CELL_MODELS[model].parameters
            for name in ((p.nest,) if isinstance(p.nest, str) else p.nest)
        }
        assert names == set(defaults), model


@pytest.mark.parametrize(
    "model",
    [
        *("glif_lif_psc", "glif_lif_r_psc", "glif_lif_asc_psc", "glif_lif_r_asc_psc"),
        "glif_lif_r_asc_a_psc",
    ],
)
def test_allens_files_as_bmtk_converts_them(tmp_path, model):
    bmtk = pytest.importorskip("bmtk.simulator.pointnet.glif_utils")
    cell = read(tmp_path, f"nest:{model}", ALLEN)
    answer = bmtk.convert_aibs2nest(f"nest:{model}", ALLEN)
    if answer is None:
        pytest.skip("BMTK 1.2.0 forgets to return this one")
    template, expected = answer
    assert template == f"nest:{cell.model.name}"
    for name, value in expected.items():
        assert np.array_equal(cell.values[name], value), name


def test_what_is_left_out_is_nests(tmp_path):
    remarks = Remarks()
    content = {k: v for k, v in GLIF.items() if k not in ("V_m", "after_spike_currents", "g")}
    cell = read(tmp_path, "nest:glif_psc", content, remarks)
    assert (cell.values["V_m"], cell.values["g"]) == (-78.85, 9.43)
    table = cell_type_table([cell], ("a",), None, np.array([Kind.UNKNOWN], dtype=np.uint8))
    assert table.after_spike_currents.tolist() == [0.0]
    assert table.v_start_mv.tolist() == [-78.85]
    assert [remark.check for remark in remarks.all()] == [
        "sonata.default_start",
        "sonata.no_after_spike_currents",
        "sonata.default_parameter",
    ]
    whole = Remarks()
    read(tmp_path, "nest:glif_psc", GLIF, whole)
    assert whole.all() == ()


def test_nest_starts_without_after_spike_currents(tmp_path):
    """``asc_init`` changes no state of NEST's cells; ``ASCurrents`` does."""
    nest = pytest.importorskip("nest")
    for key, expected in (("asc_init", [0.0, 0.0]), ("ASCurrents", [30.0, -5.0])):
        content = {**GLIF, key: [30.0, -5.0]}
        cell = read(tmp_path, "nest:glif_psc", content)
        table = cell_type_table([cell], ("a",), None, np.array([0], dtype=np.uint8))
        assert table.asc_init_pa[0].tolist() == expected
        node = nest.Create("glif_psc", params=content)
        assert list(node.get("ASCurrents")) == expected


def test_a_table_of_several_models(tmp_path):
    double = {k: v for k, v in GLIF.items() if k != "tau_syn"}
    double |= {"tau_syn_fast": [1.8], "tau_syn_slow": [5.0], "amp_slow": [0.3]}
    cells = [
        read(tmp_path, "nest:glif_psc", GLIF),
        read(tmp_path, "nest:glif_psc_double_alpha", double),
        read(tmp_path, "nest:iaf_psc_alpha", {"tau_syn_ex": 3.0, "V_m": -70.0}),
        read(tmp_path, "nest:iaf_psc_delta", {}),
    ]
    kinds = np.array([0, 1, 2, 0], dtype=np.uint8)
    table = cell_type_table(cells, ("a", "b", "c", "d"), None, kinds)
    assert table.n_receptors.tolist() == [4, 1, 2, 2]
    nan = np.nan
    np.testing.assert_array_equal(table.tau_syn_ms[2], [3.0, 2.0, nan, nan])
    np.testing.assert_array_equal(table.tau_syn_fast_ms[1], [1.8, nan, nan, nan])
    np.testing.assert_array_equal(np.isnan(table.tau_syn_ms[3]), [True] * 4)
    assert table.kind.tolist() == [0, 1, 2, 0]
    assert table.take(np.array([2, 1])).kind.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("template", "content", "message"),
    [
        ("nrn:IntFire1", {}, "model_template 'nrn:IntFire1'"),
        (None, {}, "model_template"),
        ("nest:hh_psc_alpha", {}, "nest:hh_psc_alpha, which cannot be built"),
        ("nest:glif_ps", GLIF, "did you mean glif_psc?"),
        ("nest:glif_psc", {**GLIF, "Vth": -40.0}, "Vth is no parameter of glif_psc"),
        ("nest:glif_psc", {**GLIF, "Vth": -40.0}, "did you mean V_th?"),
        ("nest:glif_psc", {**GLIF, "g": "6"}, "g is a text"),
        ("nest:glif_psc", {**GLIF, "V_m": float("nan")}, "V_m is NaN"),
        ("nest:glif_psc", {**GLIF, "tau_syn": 5.5}, "tau_syn is a number"),
        ("nest:glif_psc", {**GLIF, "asc_amps": [1.0]}, "rows differ in length"),
        ("nest:glif_psc", {**GLIF, "after_spike_currents": 1}, "after_spike_currents is a number"),
        ("nest:iaf_psc_alpha", {"V_min": -80.0}, "V_min is -80.0: v1sim leaves it at -inf"),
        ("nest:glif_lif_asc_psc", {"type": "GLIF"}, "has no coeffs"),
        ("nest:glif_psc", {"type": "GLIF"}, 'has "type": "GLIF", but is used for nest:glif_psc'),
    ],
)
def test_one_clear_message(tmp_path, template, content, message):
    with pytest.raises(NetworkFileError) as caught:
        read(tmp_path, template, content)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("e", Kind.EXCITATORY), ("i", Kind.INHIBITORY), ("exc", Kind.EXCITATORY)),
        *(("e23Cux2", Kind.EXCITATORY), ("i4Pvalb", Kind.INHIBITORY)),
        *(("LIF_exc", Kind.EXCITATORY), ("LIF_inh", Kind.INHIBITORY), ("PV1", Kind.INHIBITORY)),
        *(("Scnn1a", Kind.EXCITATORY), ("sON_TF4", Kind.EXCITATORY), ("SG_001", Kind.UNKNOWN)),
        *(("external", Kind.UNKNOWN), ("internal", Kind.UNKNOWN), (None, Kind.UNKNOWN)),
    ],
)
def test_kinds_by_name(name, kind):
    assert kind_of_name(name) is kind


def test_no_folder_of_parameters():
    given = SimpleNamespace(allowed={}, name="a cell", where="types.csv", remarks=Remarks())
    with pytest.raises(NetworkFileError, match=r"names no folder"):
        read_cell("nest:glif_psc", "cell.json", None, **vars(given))
