"""The package's layout, read from its source: who imports whom, and what may not be loaded."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from v1sim.sources import READERS
from v1sim.sources.hdf5.names import DATASETS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "v1sim"

#: Imports point up this list only.
ORDER = [
    "errors",
    "printable",
    "invocation",
    "card",
    "user_paths",
    "cache",
    "cgroups",
    "cores",
    "memory",
    "files",
    "yaml_reader",
    "output",
    "paging",
    "units",
    "receptors",
    "cell_models",
    "cell_types",
    "model",
    "documents",
    "digests",
    "cell_classes",
    "config_section",
    "stimulus",
    "config_perturb",
    "config",
    "sources",
    "checkpoints",
    "signing",
    "checks",
    "verdict",
    "conversion",
    "guard",
    "signer",
    "inputs",
    "simulation",
    "recording",
    "analysis",
    "verification",
    "frames",
    "report",
    "pipeline",
    "runs",
    "comparison",
    "doctor",
    "batch",
    "api",
    "demo",
    "cli",
]

#: Libraries and the parts that may import them; `runs` names types of some that it gives back.
HOME = {
    "h5py": {"files", "sources", "checkpoints", "recording", "stimulus"},
    "neo": {"recording", "runs"},
    "pynwb": {"recording"},
    "nest": {"simulation"},
    "pyNN": {"simulation"},
    "tensorflow": {"checkpoints"},
    "typer": {"cli"},
    "matplotlib": {"comparison", "report", "runs"},
    "jinja2": {"card", "report"},
    "pandas": {"frames", "runs"},
    "xarray": {"frames", "runs"},
    "platformdirs": {"cache"},
}


def imports() -> list[tuple[str, str, str]]:
    """(file, part, imported module) of every import statement, also inside functions."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        part = relative.parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                if node.module == "v1sim":
                    names = [f"v1sim.{alias.name}" for alias in node.names]
                else:
                    names = [node.module]
            else:
                continue
            found += [(str(relative), part, name) for name in names]
    return found


def test_every_part_has_its_place():
    parts = {p.name.removesuffix(".py") for p in PACKAGE.iterdir()}
    parts -= {"__init__", "__main__", "__pycache__", "py.typed", "data"}
    assert parts <= set(ORDER)


def test_imports_point_one_way():
    wrong = []
    for file, part, name in imports():
        pieces = name.split(".")
        if pieces[0] != "v1sim" or len(pieces) < 2 or part in ("__init__", "__main__"):
            continue
        if pieces[1] == "__version__":
            continue
        if ORDER.index(pieces[1]) > ORDER.index(part):
            wrong.append(f"{file} imports {name}")
    # errors.py names types of model.py for type checkers only.
    assert [w for w in wrong if not w.startswith("errors.py")] == []


def test_given_files_are_opened_in_one_place():
    """Where their storage is looked at (`v1sim.files`); others write, or read what they wrote."""
    found = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in path.read_text().splitlines()
        if re.search(r"h5py\.File\(|np\.load\(", line) and path.parent.name != "files"
    ]
    assert all('"w"' in line or "fileobj" in line for line in found if "np.load" not in line)
    readers = {line.partition(":")[0] for line in found if "np.load" in line}
    assert readers == {
        str(Path(*parts))
        for parts in (
            ("inputs", "shared.py"),
            ("simulation", "state.py"),
            ("stimulus", "pictures.py"),
        )
    }


def test_nothing_names_a_kind_of_stimulus():
    """Kinds are found by being in their folder, so that a new one is one file."""
    kinds = "v1sim.stimulus.kinds."
    folder = str(Path("stimulus", "kinds"))
    assert [
        (f, n) for f, _, n in imports() if n.startswith(kinds) and not f.startswith(folder)
    ] == []


def test_csv_html_and_mpi_have_one_home_each():
    """One module writes csv, templates make HTML, and one module knows MPI."""
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = str(path.relative_to(PACKAGE))
        text = path.read_text(encoding="utf-8")
        if relative != "output.py" and re.search(r"csv\.(writer|DictWriter)\(", text):
            wrong.append(f"{relative} writes csv")
        if re.search(r"from html import escape", text):
            wrong.append(f"{relative} makes HTML")
        if re.search(r"\bmpi4py\b", text) and relative != "simulation/group.py":
            wrong.append(f"{relative} knows MPI")
    assert wrong == []


@pytest.mark.parametrize("library", HOME)
def test_libraries_stay_at_home(library):
    users = {part for _, part, name in imports() if name.split(".")[0] == library}
    assert users <= HOME[library]


def test_names_of_datasets_stand_in_the_reader_and_writer_of_their_format_alone():
    """Elsewhere arrays have v1sim's names; a network's source says what a file calls them."""
    paths = {dataset for dataset in DATASETS.values() if "/" in dataset}
    columns = {path.rpartition("/")[2] for path in paths if path.startswith("recurrent/")}
    forms = [
        *map(re.escape, sorted(paths)),
        rf"[\w}}]/({'|'.join(sorted(columns))})",
        "glif3_params",
    ]
    pattern = re.compile(rf"({'|'.join(forms)})\b")
    wrong = [
        f"{path.relative_to(PACKAGE)}: {found[0]}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not path.is_relative_to(PACKAGE / "sources" / "hdf5")
        for found in pattern.finditer(path.read_text())
    ]
    assert wrong == []


def test_networks_are_opened_at_the_door_alone():
    """`v1sim.sources.open_network` chooses the reader; nothing else knows of one."""
    names = {type(reader).__name__ for reader in READERS} | {"read_file", "READERS"}
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.is_relative_to(PACKAGE / "sources"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("v1sim.sources"):
                wrong += [f"{path.name}: {a.name}" for a in node.names if a.name in names]
                wrong += [f"{path.name}: {node.module}"] * node.module.endswith(".reader")
    assert wrong == []


def _names_a_receptor(node: ast.AST) -> bool:
    names = (
        n.attr if isinstance(n, ast.Attribute) else getattr(n, "id", "") for n in ast.walk(node)
    )
    return any("receptor" in name.lower() for name in names)


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int


def receptors_by_number(tree: ast.AST) -> list[int]:
    """Lines that take what a receptor is from its number: ``receptor & 1``, ``N_RECEPTORS = 4``."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp):
            by_parts = isinstance(node.op, ast.BitAnd | ast.Mod | ast.FloorDiv | ast.RShift)
            sides = (node.left, node.right) if by_parts else ()
        elif isinstance(node, ast.Compare):
            # Whether an index is below 0 is a question of range.
            sides = tuple(s for s in (node.left, *node.comparators) if ast.unparse(s) != "0")
        elif isinstance(node, ast.Assign):
            sides = (node.value, *node.targets)
        elif isinstance(node, ast.Call):  # np.isin(receptor, (0, 2))
            numbers = [a for a in node.args if isinstance(a, ast.Tuple | ast.List) and a.elts]
            sides = (*node.args, *(e for a in numbers for e in a.elts if ast.unparse(e) != "0"))
            sides = sides if ast.unparse(node.func).endswith(("isin", "reduceat")) else ()
        else:
            continue
        if any(map(_is_number, sides)) and any(map(_names_a_receptor, sides)):
            lines.append(node.lineno)
    return lines


def test_only_the_scheme_knows_what_a_receptor_is():
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "receptors.py"
        for line in receptors_by_number(ast.parse(path.read_text()))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "line",
    [
        "receptor & 1",
        "table.receptor % 2 == 0",
        "np.concatenate([a.receptor]) < 2",
        "receptor // 2",
        "np.isin(table.receptor, (0, 2))",
        "np.add.reduceat(by_receptor, (0, 2), axis=1)",
        "N_RECEPTORS = 4",
    ],
)
def test_a_receptor_taken_by_its_number_is_found(line):
    assert receptors_by_number(ast.parse(line)) == [1]


def test_the_time_step_stands_once():
    """`v1sim.units.MODEL_STEP_MS`; every other step is a value that was handed over."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
            value = getattr(node, "value", None)
            names = [t.id for t in targets if isinstance(t, ast.Name)]
            if isinstance(value, ast.Constant) and isinstance(value.value, int | float):
                found += [
                    f"{path.name}: {name}"
                    for name in names
                    if re.search(r"(^|_)(dt|step|timestep|resolution)_ms$", name.lower())
                ]
    assert found == ["units.py: MODEL_STEP_MS"]


@pytest.mark.parametrize(
    "statement",
    [
        "import v1sim",
        "import v1sim.guard, v1sim.sources.hdf5, v1sim.cli, v1sim.report.terminal",
        "import v1sim.batch.command",
    ],
)
def test_checking_loads_no_simulator_and_nothing_that_is_slow(statement):
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = set(done.stdout.split())
    slow = {"nest", "pyNN", "tensorflow", "neo", "matplotlib", "pynwb", "scipy", "jinja2"}
    assert not loaded & slow
    if "batch" not in statement:  # whatever does without YAML and JSON does without these
        assert not loaded & {"pydantic", "yaml", "platformdirs"}


def test_the_compiler_is_shown_every_native_source():
    sources = PACKAGE / "simulation" / "native" / "src"
    included = re.findall(r'#include "(.+\.cpp)"', (sources / "everything.cc").read_text())
    assert included == sorted(path.name for path in sources.glob("*.cpp"))


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name
)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), target
        if anchor and linked.suffix == ".md":
            headings = re.findall(r"^#+ +(.*)$", linked.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in anchors, target


def test_the_picture_is_drawn_from_the_imports_of_now():
    from scripts.draw_architecture import PICTURE, drawing

    again = "draw it again: python -m scripts.draw_architecture"
    assert PICTURE.read_text(encoding="utf-8") == drawing(), again


def test_the_command_check_reads_no_configuration(tmp_path):
    """Its options are read by the configuration's rules only where they are given."""
    code = (
        "import sys; sys.argv = ['v1sim', 'check', 'absent.h5']\n"
        "from v1sim.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    loaded = set(done.stdout.split())
    assert "v1sim.sources.hdf5" in loaded
    assert not loaded & {"yaml", "v1sim.config", "v1sim.stimulus", "nest", "matplotlib"}
