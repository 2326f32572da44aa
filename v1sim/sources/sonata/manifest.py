"""The files of a configuration: JSON, the variables of its manifest, paths and keys."""

from __future__ import annotations

import datetime
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from v1sim.errors import NetworkFileError
from v1sim.files.identify import identify, printable
from v1sim.memory import raise_lack_of_memory
from v1sim.sources.sonata.remarks import Remarks

__all__ = ["kind_of", "listed", "look_at_keys", "nearest", "parse", "read_json", "section_of"]

#: Keys that BMTK's PointNet or v1sim know, by section; and those that others know.
_TOP = (
    *("manifest", "network", "simulation", "networks", "components", "run", "inputs", "reports"),
    *("output", "conditions", "node_sets", "node_sets_file", "target_simulator", "v1sim"),
)
_TOP_SILENT = (
    *("version", "gid_mapping_file", "metadata", "description", "comment", "comments", "name"),
    *("config_path", "config_dir"),
)
_OUTPUT_FILES = ("log_file", "spikes_file", "spikes_file_csv", "spikes_file_nwb")

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_NEAR = 0.8


def read_json(path: Path, *, expected: str) -> dict[str, Any]:
    """Read a JSON file that must hold an object.

    Raises
    ------
    NetworkFileError
        If it cannot be read, or holds something else.
    """
    return _read_json(path, expected, {})


def _read_json(path: Path, expected: str, twice: dict[str, int]) -> dict[str, Any]:
    """As `read_json`; counts the keys that an object has twice."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in items:
            if key in found:
                twice[key] = twice.get(key, 0) + 1
            found[key] = value
        return found

    def error(seen: str, hint: str | None = None) -> NetworkFileError:
        return NetworkFileError(seen, where=str(path), expected=expected, hint=hint)

    try:
        raw = path.read_bytes()
    except (OSError, ValueError) as problem:  # a name with a zero byte is a ValueError
        reason = getattr(problem, "strerror", None) or problem
        raise error(f"cannot be read: {reason}", "check the path and its permissions") from problem
    try:
        text = raw.decode("utf-8-sig")
        content = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as problem:
        identity = identify(path)
        if identity is not None and not text.lstrip().startswith("{"):
            raise error(f"it is {identity.what}", identity.hint) from problem
        raise error(
            f"is no JSON: line {problem.lineno}, column {problem.colno}: {problem.msg}",
            "JSON has no comments, no comma before a closing bracket, and double quotes alone",
        ) from problem
    except (ValueError, RecursionError) as problem:
        raise_lack_of_memory(problem)
        raise error(f"is no JSON: {printable(problem)}") from problem
    if not isinstance(content, dict):
        raise error(f"holds {kind_of(content)}")
    return content


def parse(
    path: Path,
    remarks: Remarks,
    files: dict[Path, dict[str, Any]],
    named_by: tuple[Path, ...] = (),
) -> dict[str, Any]:
    """One file with its variables put in and its paths absolute, and those that it names.

    Parameters
    ----------
    path : Path
        A configuration.
    remarks : Remarks
        Takes what is odd.
    files : dict
        Takes the content of each file that was read.
    named_by : tuple of Path
        The files that lead to this one.

    Raises
    ------
    NetworkFileError
        If one cannot be read, names itself, or has a variable that no manifest has.
    """
    if path in named_by:
        raise NetworkFileError(
            f"names itself, through {printable(named_by[-1])}",
            where=str(path),
            expected="a circuit configuration under network, a simulation under simulation",
        )
    if path in files:
        return files[path]
    files[path] = {}
    twice: dict[str, int] = {}
    raw = _read_json(path, "a SONATA configuration", twice)
    if twice:
        remarks.add(
            "sonata.duplicate_key",
            str(path),
            f"{listed(twice)} stand{'s' if len(twice) == 1 else ''} more than once in one object",
            hint="keep one, or give the others names of their own",
            n=sum(twice.values()),
            total=sum(twice.values()),
            examples=twice,
        )
    look_at_keys(raw, _TOP, _TOP_SILENT, str(path), "", remarks)
    variables = _variables(raw, path)
    content = {
        key: _with_variables(value, variables, path, key)
        for key, value in raw.items()
        if key != "manifest"
    }
    relative: list[str] = []
    _make_paths_absolute(content, path, relative)
    if relative and path.parent.resolve() != Path.cwd().resolve():
        remarks.add(
            "sonata.relative_path",
            str(path),
            f"{len(relative)} paths are relative and taken from the folder of the configuration; "
            f"BMTK takes them from the folder that it is started in, here {Path.cwd()}",
            hint="${configdir} in the manifest means the same to both",
            n=len(relative),
            total=len(relative),
            examples=dict.fromkeys(relative),
        )
    for key in ("network", "simulation"):
        named = content.get(key)
        if not isinstance(named, str):
            continue
        child = parse((path.parent / named).absolute(), remarks, files, (*named_by, path))
        replaced = [
            k for k in child if k in content and k not in (*_TOP_SILENT, "target_simulator")
        ]
        replaced = [k for k in replaced if content[k] != child[k]]
        if replaced:
            remarks.add(
                "sonata.section_replaced",
                str(path),
                f"{listed(replaced)} of this file give way to those of {printable(named)}",
                hint="keep each section in one of the files",
                n=len(replaced),
                total=len(content),
                examples=replaced,
            )
        content.update(child)
    if "node_sets_file" in content and "node_sets" not in content:
        file = Path(str(content["node_sets_file"]))
        content["node_sets"] = read_json(file, expected="node sets by name")
    files[path] = content
    return content


def _variables(raw: Mapping[str, Any], path: Path) -> dict[str, str]:
    """The manifest and BMTK's own variables, each with its value."""
    now = datetime.datetime.now()
    known = {
        "workingdir": str(Path.cwd()),
        "configdir": str(path.parent),
        "configfname": str(path),
        "time": f"{now:%H-%M-%S}",
        "date": f"{now:%Y-%m-%d}",
        "datetime": f"{now:%Y-%m-%d_%H-%M-%S}",
    }
    open_ = {}
    for key, value in section_of(raw, "manifest", path).items():
        if not isinstance(value, str):
            raise NetworkFileError(
                f"manifest.{printable(key)} is {kind_of(value)}",
                where=str(path),
                expected="a text for each variable of the manifest",
            )
        open_[key.removeprefix("$").removeprefix("{").removesuffix("}")] = value
    while open_:
        resolved = {
            key: _substituted(value, known)
            for key, value in open_.items()
            if all(name in known for name in _names(value))
        }
        if not resolved:
            missing = sorted({n for v in open_.values() for n in _names(v)} - set(known))
            unknown = [name for name in missing if name not in open_]
            raise NetworkFileError(
                f"the manifest's {listed(open_)} cannot be resolved: "
                + (f"no variable {listed(unknown)}" if unknown else "they name each other"),
                where=str(path),
                expected=f"variables of the manifest, or {', '.join(known)}",
                hint=_nearest_hint(unknown, (*open_, *known)),
            )
        known |= resolved
        open_ = {key: value for key, value in open_.items() if key not in resolved}
    return known


def _names(text: str) -> list[str]:
    return [braced or bare for braced, bare in _VARIABLE.findall(text)]


def _substituted(text: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: variables[found[1] or found[2]], text)


def _with_variables(value: Any, variables: Mapping[str, str], path: Path, key: str) -> Any:
    if isinstance(value, str):
        unknown = [name for name in _names(value) if name not in variables]
        if unknown:
            raise NetworkFileError(
                f"{printable(key)}: no variable {listed(unknown)} for {printable(value)!r}",
                where=str(path),
                expected="variables of the manifest",
                hint=_nearest_hint(unknown, variables),
            )
        return _substituted(value, variables)
    if isinstance(value, list):
        return [_with_variables(v, variables, path, f"{key}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, dict):
        return {k: _with_variables(v, variables, path, f"{key}.{k}") for k, v in value.items()}
    return value


def _make_paths_absolute(content: dict[str, Any], path: Path, relative: list[str]) -> None:
    """Change what is a path, and note those that were relative."""

    def absolute(value: Any, folder: Path = path.parent, *, note: bool = True) -> Any:
        if isinstance(value, list):
            return [absolute(v, folder, note=note) for v in value]
        if not isinstance(value, str) or not value:
            return value
        if not Path(value).is_absolute() and note:
            relative.append(value)
        return str((folder / value).absolute())

    for kind in ("nodes", "edges", "gap_juncs"):
        entries = content.get("networks", {})
        entries = entries.get(kind, []) if isinstance(entries, dict) else []
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict):
                entry |= {k: absolute(v) for k, v in entry.items() if str(k).endswith("_file")}
    components = content.get("components")
    if isinstance(components, dict):
        components |= {
            k: absolute(v)
            for k, v in components.items()
            if str(k).endswith(("_dir", "_path", "_models"))
        }
    for section in ("inputs", "reports"):
        entries = content.get(section)
        for entry in entries.values() if isinstance(entries, dict) else ():
            if isinstance(entry, dict) and "input_file" in entry:
                entry["input_file"] = absolute(entry["input_file"])
    output = content.get("output")
    if isinstance(output, dict):
        folder = absolute(output.get("output_dir", "."), note=False)
        output["output_dir"] = folder
        for key in _OUTPUT_FILES:
            if isinstance(output.get(key), str) and isinstance(folder, str):
                output[key] = absolute(output[key], Path(folder), note=False)
    if "node_sets_file" in content:
        content["node_sets_file"] = absolute(content["node_sets_file"])


def look_at_keys(
    section: Mapping[str, Any],
    known: Iterable[str],
    silent: Iterable[str] | None,
    where: str,
    prefix: str,
    remarks: Remarks,
) -> None:
    """Note keys that nobody reads, and those that look like one that somebody does.

    ``silent`` are keys of others; None where any may be.
    """
    for key in section:
        if key in known or key.startswith("_") or (silent is not None and key in silent):
            continue
        near = nearest(key, [name for name in known if name not in section])
        if near:
            remarks.add(
                "sonata.misspelt_key",
                where,
                f"{printable(prefix + key)} is not read: {near} is",
                hint=f"write {near}, or take it out",
            )
        elif silent is not None:
            remarks.add(
                "sonata.unknown_key",
                where,
                f"{printable(prefix + key)} is read by nobody",
                hint=f"known are {', '.join(known)}",
            )


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a name is most like; None where it is like none."""
    by_lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=_NEAR)
    return by_lower[near[0]] if near else None


def _nearest_hint(names: Iterable[str], known: Iterable[str]) -> str | None:
    near = [found for name in names if (found := nearest(name, known))]
    return f"did you mean ${near[0]}?" if near else None


def listed(names: Iterable[str]) -> str:
    """Names for a message, the first eight of them."""
    return ", ".join(printable(name) for name in list(names)[:8])


def kind_of(value: Any) -> str:
    """What a value of JSON is, for people."""
    if value is None:
        return "null"
    for kind, name in (
        (bool, "true or false"),
        (int | float, "a number"),
        (str, "a text"),
        (list, "a list"),
        (dict, "an object"),
    ):
        if isinstance(value, kind):
            return name
    return type(value).__name__


def section_of(content: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    """A section that must be an object; empty where there is none."""
    section = content.get(name)
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise NetworkFileError(
            f"{name} is {kind_of(section)}", where=str(path), expected=f"an object under {name}"
        )
    return section
