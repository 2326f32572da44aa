"""A SONATA simulation configuration as the configuration of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.sonata.base import base_circuit
from v1sim.config import dump_config, load_config
from v1sim.errors import InputError
from v1sim.inputs.run_file import load_run


@pytest.fixture
def written(tmp_path) -> Path:
    return base_circuit().write(tmp_path / "circuit")


def changed(path: Path, **sections: Any) -> Path:
    """The configuration with other values in sections; ``section__key`` reaches into one."""
    values = json.loads(path.read_text())
    for key, value in sections.items():
        section, _, inner = key.partition("__")
        if inner:
            values.setdefault(section, {})[inner] = value
        else:
            values[section] = value
    path.write_text(json.dumps(values))
    return path


def refused(path: Path, *words: str, **sections: Any) -> None:
    with pytest.raises(InputError) as error:
        load_run(changed(path, **sections))
    for word in words:
        assert word in str(error.value), str(error.value)


def test_all_that_a_run_needs_is_taken(written):
    config = load_run(written)
    folder = written.parent
    assert config.network == written
    assert config.name == "circuit"
    assert config.require == "any"
    assert config.stimulus.kind == "given_spikes"
    assert config.stimulus.duration_ms == 400.0
    assert config.simulation.dt_ms == 0.25
    assert config.simulation.dynamics == "nest"
    assert config.output == folder / "output"
    assert set(config.inputs) == {"lgn", "bkg"}
    assert all(feed.file.is_file() for feed in config.inputs.values())
    assert all(feed.nodes is None for feed in config.inputs.values())


def test_it_is_the_same_run_from_its_own_yaml(written, tmp_path):
    changed(
        written,
        reports__v={"module": "membrane_report", "variable_name": "V_m", "cells": "v1"},
        inputs__clamp={
            "input_type": "current_clamp",
            "module": "IClamp",
            "node_set": "lm",
            "amp": [100, 20.5],
            "delay": [10, 50],
            "duration": [5, 20.0],
        },
    )
    config = load_run(written)
    path = tmp_path / "run.yaml"
    path.write_text(dump_config(config))
    assert load_config(path) == config
    assert config.currents[0].amp_pa == (100.0, 20.5)
    assert config.recording.reports["v"].cells == {"v1": "all"}


def test_changes_are_made_as_to_yaml(written):
    config = load_run(
        written, ["seed=7", "inputs.bkg=silent", "stimulus.trials=3", "require=trained"]
    )
    assert (config.seed, config.inputs["bkg"], config.stimulus.trials) == (7, "silent", 3)
    assert config.require == "trained"


def test_threads_and_duration_have_two_names(written):
    changed(written, run={"duration": 50, "dt": 1, "n_thread": 3})
    config = load_run(written)
    assert config.stimulus.duration_ms == 50.0
    assert (config.simulation.dt_ms, config.simulation.threads) == (1.0, 3)


def test_node_sets_are_resolved(written):
    sets = {
        "some": {"population": "lgn", "node_id": [3, 5]},
        "odd": {"population": "v1", "ei": "i"},
        "both": ["odd", "lm_cells"],
        "lm_cells": {"population": "lm"},
        "lif": {"model_template": "nest:iaf_psc_alpha"},
    }
    report = {"module": "membrane_report", "variable_name": "V_m"}
    changed(
        written,
        node_sets=sets,
        inputs__LGN={**json.loads(written.read_text())["inputs"]["LGN"], "node_set": "some"},
        reports={
            "odd": {**report, "cells": "odd"},
            "both": {**report, "cells": "both"},
            "lif": {**report, "cells": "lif", "file_name": "lif_v.h5"},
            "all": {**report, "cells": "all"},
            "off": {"module": "ecp", "enabled": False},
        },
    )
    config = load_run(written)
    assert config.inputs["lgn"].nodes == (3, 5)
    reports = config.recording.reports
    assert set(reports) == {"odd", "both", "lif_v", "all"}
    assert reports["all"].cells == {"v1": "all", "lm": "all"}
    assert reports["both"].cells == {**reports["odd"].cells, "lm": "all"}
    assert set(reports["odd"].cells) == {"v1"}
    lif = set(reports["lif_v"].cells["v1"])
    assert lif
    assert not lif & set(reports["odd"].cells["v1"])


def test_a_disabled_input_is_silent_and_one_that_is_missing_is_not_there(written):
    inputs = json.loads(written.read_text())["inputs"]
    inputs["LGN"]["enabled"] = False
    del inputs["BKG"]
    inputs["off"] = {**inputs["LGN"], "node_set": "nobody"}
    config = load_run(changed(written, inputs=inputs))
    assert config.inputs == {"lgn": "silent"}


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"run": {"dt": 0.1}}, ("neither tstop nor duration",)),
        ({"run__n_runs": 3}, ("run.n_runs is 3", "stimulus.trials")),
        ({"run__dt": 0.3}, ("simulation.dt_ms", "0.3")),
        ({"inputs__x": {"input_type": "spikes", "module": "h5"}}, ("inputs.x", "no node_set")),
        (
            {"inputs__x": {"input_type": "spikes", "module": "h5", "node_set": "lgn"}},
            ("inputs.x", "no input_file"),
        ),
        (
            {"inputs__x": {"input_type": "spikes", "module": "h5", "node_set": "v1"}},
            ("v1 is no population of virtual cells", "lgn"),
        ),
        (
            {"inputs__x": {"input_type": "current_clamp", "module": "IClamp", "amp": 1.0}},
            ("inputs.x", "no delay, duration"),
        ),
        (
            {"inputs__x": {"input_type": "syn_activity", "module": "syn_activity"}},
            ("'syn_activity'", "enabled: false"),
        ),
        (
            {"reports__r": {"module": "membrane_report", "variable_name": "I_syn", "cells": "v1"}},
            ("reports.r", "I_syn", "membrane_report of V_m"),
        ),
        (
            {
                "reports__r": {
                    "module": "membrane_report",
                    "variable_name": "V_m",
                    "cells": {"population": "v1", "node_id": [1, 99]},
                }
            },
            ("no node of the id 99",),
        ),
        (
            {"reports__r": {"module": "membrane_report", "variable_name": "V_m", "cells": "lgn"}},
            ("is no population of cells to simulate",),
        ),
    ],
)
def test_what_cannot_be_had_is_said(written, sections, words):
    refused(written, *words, **sections)


def test_a_circuit_alone_is_no_run(written):
    circuit = written.with_name("circuit_config.json")
    with pytest.raises(InputError, match=r"a circuit alone(?s:.*)network: circuit_config.json"):
        load_run(circuit)


def test_two_files_of_one_population_are_two_feeds(written):
    inputs = json.loads(written.read_text())["inputs"]
    inputs["again"] = dict(inputs["LGN"], node_set={"population": "lgn", "node_id": [1]})
    config = load_run(changed(written, inputs=inputs))
    first, second = config.inputs["lgn"]
    assert (first.nodes, second.nodes) == (None, (1,))
    assert np.array_equal(first.file, second.file)
