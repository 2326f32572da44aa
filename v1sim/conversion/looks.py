"""What weights show by themselves, where no optimizer tells: the initial ones, or exact zeros."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from v1sim.checkpoints.bundle import read_index
from v1sim.checkpoints.checkpoint import VariableReader, shard_reader
from v1sim.checkpoints.claims import Claim, Looks, claim
from v1sim.checkpoints.evidence import TABLES, Evidence, Table
from v1sim.checkpoints.stored import precision
from v1sim.checkpoints.variables import LAYER_OF_TABLE, Variables, find_variables
from v1sim.errors import InputError
from v1sim.model import ArrayVerdict, NetworkModel, SynapseTable, Verdict
from v1sim.sources import open_network
from v1sim.sources.difference import match_synapses

__all__ = ["InitialWeights", "claims_of", "initial_of_table", "initial_weights", "undecided"]

Floats = NDArray[np.floating]
#: By table: its initial weights, its weights in the same order, and whose the initial ones are.
InitialWeights = dict[Table, tuple[Floats, Floats, str]]
#: The tables that decide what a network is.
_DECIDING: tuple[Table, ...] = ("recurrent", "input")
#: Share of a table's weights that differ from the initial ones from which on training changed it.
FRACTION_CHANGED = 0.5
#: Relative difference (L2) below which weights are the same but for rounding, in float32.
_ROUNDING = 1e-5
#: Spread of the ratios to the initial weights below which one factor explains all changes.
_ONE_FACTOR = 1e-4


def undecided(evidence: Evidence) -> bool:
    """Whether the weights themselves have a say, because some table's optimizer leaves it open."""
    return any(
        claim(found).origin == "undetermined" or found.faint
        for table in _DECIDING
        if (found := evidence.tables.get(table)) is not None
    )


def claims_of(
    evidence: Evidence,
    network: NetworkModel | None,
    initial: InitialWeights | None = None,
) -> dict[Table, Claim]:
    """What each table is, by the optimizers, and by the weights where they do not tell.

    Parameters
    ----------
    evidence : Evidence
        What the optimizers prove.
    network : NetworkModel, optional
        The network of the checkpoint; without it the optimizers alone are asked.
    initial : dict, optional
        The initial weights by table (`InitialWeights`).
    """
    looks: dict[Table, Looks] = {}
    if network is not None and (initial or undecided(evidence)):
        verdicts: Mapping[str, ArrayVerdict] = {}
        if undecided(evidence):
            from v1sim.verdict import judge_weights  # all checks, which few checkpoints need

            verdicts = judge_weights(network)
        looks["recurrent"] = _zeros(network.tables["recurrent"], verdicts.get("recurrent.weight"))
        looks["input"] = _zeros(network.tables["lgn"], verdicts.get("lgn.weight"))
        for table, (before, after, whose) in (initial or {}).items():
            dtype = evidence.tables[table].variable.dtype
            compared = _change(before, after, dtype, whose)
            if compared.says != "nothing":
                looks[table] = compared
    return {table: claim(found, looks.get(table)) for table, found in evidence.tables.items()}


def initial_of_table(
    before: SynapseTable, after: SynapseTable, whose: str
) -> tuple[Floats, Floats, str]:
    """Initial weights and weights of the same synapses."""
    row_before, row_after = match_synapses(before, after)
    return before.weight[row_before], after.weight[row_after], whose


def initial_weights(
    network: NetworkModel,
    variables: Variables,
    read: VariableReader | None,
    where: str,
    *,
    baseline: Path | None,
    initial: Path | None,
) -> InitialWeights:
    """The weights before training, from a network file or an earlier checkpoint; empty of neither.

    Parameters
    ----------
    network : NetworkModel
        The network of the checkpoint.
    variables, read, where
        The checkpoint; its data are needed for ``initial`` only.
    baseline : Path, optional
        The network's file before training.
    initial : Path, optional
        An earlier checkpoint of the same training.

    Raises
    ------
    NetworkFileError, CheckpointError
        If one of them cannot be read.
    InputError
        If it has other synapses.
    """
    found: InitialWeights = {}
    if baseline is not None:
        first = open_network(baseline)
        for name, table in LAYER_OF_TABLE.items():
            before, after = first.tables[name], network.tables[name]
            weights = initial_of_table(before, after, baseline.name)
            if not len(before) == len(after) == len(weights[0]):
                raise InputError(
                    f"{baseline.name} has other {table} synapses than {Path(where).name}",
                    where="--baseline",
                    expected="the same network before training",
                )
            found[table] = weights
    if initial is not None:
        if read is None:
            raise InputError(
                f"the data files of {Path(where).name} are missing",
                where="--initial",
                expected="the data of both checkpoints, to compare their weights",
                hint="put them beside the index, or give --baseline UNTRAINED.h5",
            )
        found |= _earlier_weights(initial, variables, read, where)
    return found


def _earlier_weights(
    checkpoint: Path, variables: Variables, read: VariableReader, where: str
) -> InitialWeights:
    """The weights of an earlier checkpoint of the same training, and those of this one."""
    index = read_index(checkpoint)
    earlier = find_variables(index)
    read_earlier = shard_reader(index)
    found: InitialWeights = {}
    for table in _DECIDING:
        wiring = f"{table}_indices"
        if not earlier[wiring].same_as(variables[wiring]) and not np.array_equal(
            read_earlier(earlier[wiring]), read(variables[wiring])
        ):
            raise InputError(
                f"{index.prefix.name} has other {table} synapses than {Path(where).name}",
                where="--initial",
                expected="an earlier checkpoint of the same training",
            )
        role = TABLES[table]
        found[table] = (
            read_earlier(earlier[role]), read(variables[role]), index.prefix.name,
        )  # fmt: skip
    return found


def _zeros(table: SynapseTable, verdict: ArrayVerdict | None) -> Looks:
    """What the exact zeros of a table say."""
    n_zero = int(np.count_nonzero(table.weight == 0))
    share = f"{n_zero / max(len(table), 1):.1%} of them are exactly zero"
    if verdict is None or (verdict.verdict, verdict.proof) != (Verdict.TRAINED, "evidence"):
        return Looks("nothing", share, n=len(table), n_zero=n_zero)
    why = f"{share}, as training under the sign constraint leaves them"
    return Looks("zeros", why, n=len(table), n_zero=n_zero)


def _change(before: Floats, after: Floats, dtype: str, whose: str) -> Looks:
    """How weights differ from those before training."""
    a, b = before.astype(np.float64), after.astype(np.float64)
    n, n_zero = len(b), int(np.count_nonzero(b == 0))

    def looks(says: str, why: str, *, identical: bool = False) -> Looks:
        return Looks(says, why, identical, n, n_zero)  # type: ignore[arg-type]

    size, difference = float(a @ a), b - a
    if np.array_equal(a, b):
        return looks("unchanged", f"they are those of {whose}", identical=True)
    relative = float((difference @ difference / size) ** 0.5) if size else 1.0
    if relative < max(_ROUNDING, precision(dtype)):
        return looks("unchanged", f"they are those of {whose}, but for rounding", identical=True)
    if not b.any():
        return looks("nothing", "they are all zero")
    both = (a != 0) & (b != 0)
    if both.any() and not np.count_nonzero(b[a != 0] == 0):
        ratio = b[both] / a[both]
        decayed = 0 < ratio[0] < 1
        if decayed and float(np.ptp(ratio)) <= max(_ONE_FACTOR, precision(dtype)) * abs(
            float(ratio[0])
        ):
            factor = f"{ratio[0]:.4g}"
            return looks("unchanged", f"they are those of {whose} times {factor}, as by decay")
    changed = float(np.mean(a != b)) if n else 0.0
    text = f"{changed:.1%} of them differ from those of {whose}"
    return looks("changed" if changed >= FRACTION_CHANGED else "nothing", text)
