"""The tutorial's notebook, executed from top to bottom in an empty folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorial.ipynb"


def test_it_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 10
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.slow
def test_it_runs_and_shows_verdicts_bars_and_figures(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    for package in ("pandas", "xarray"):
        pytest.importorskip(package)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()

    def shown(source: str, kind: str) -> str:
        (cell,) = [c for c in notebook.cells if c.source.startswith(source)]
        data = [output["data"] for output in cell.outputs if "data" in output]
        return "\n".join(one[kind] for one in data if kind in one)

    assert "NOT CHECKED" in shown("network = v1sim.build_column", "text/html")
    assert "REFUSED" in shown("v1sim.check(network)", "text/html")
    assert "PASSED" in shown("report = v1sim.check", "text/html")
    assert "values.finite" in shown("from dataclasses import replace", "text/html")
    assert "<progress" in shown("run = v1sim.run(", "text/html")
    assert "COMPLETE" in shown("run = v1sim.run(", "text/html")
    assert shown("run.figure()", "image/png").startswith("iVBORw0KGgo")
    assert "rate_hz" in shown("run.neurons()", "text/plain")
    assert "direction_deg" in shown("data = run.to_xarray()", "text/plain")
    assert "BUILT" in shown("simulation = v1sim.build", "text/html")
    assert "THE SAME NETWORK" in shown("v1sim.diff", "text/html")
    assert (tmp_path / "gratings" / "report.html").exists()
