"""What the runs of a batch share, made once: columns, passes of the gate, LGN probabilities.

The files' names are made of what is in them, and each appears under its name when it is
whole, so that any number of runs may read while nothing is ever written twice.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from v1sim import __version__, guard
from v1sim.config import BuiltInColumn, RunConfig
from v1sim.digests import file_sha256
from v1sim.documents.check import CheckDocument, PassDocument, PolicyDocument
from v1sim.errors import InputError
from v1sim.inputs.protocol import fed, policy_of
from v1sim.inputs.seal import seal, seal_holds
from v1sim.model import NetworkModel
from v1sim.output import replacing
from v1sim.sources import open_network
from v1sim.stimulus.base import Stimulus
from v1sim.stimulus.drawn import DrawnStimulus
from v1sim.verdict import Policy

__all__ = ["SharedInput"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SharedInput:
    """A folder of shared input: for its runs a `v1sim.inputs.protocol.RunInput`.

    ``*_path``, ``keep_*`` and ``admit_by_pass`` are for the one who fills it.
    """

    folder: Path

    def network(self, config: RunConfig) -> NetworkModel:
        """The configured network; a built-in column is one that the batch has written."""
        if isinstance(config.network, Path):
            return open_network(config.network)
        return open_network(self.column_path(config.network.built_in))

    def admit(self, config: RunConfig, network: NetworkModel) -> guard.CheckedNetwork:
        """The network, by the pass that it has."""
        return self.admit_by_pass(network, policy_of(config))

    def stimulus(self, config: RunConfig, network: NetworkModel) -> Stimulus:
        """The stimulus, read from what is kept where it is."""
        return fed(self.kept(config.stimulus.made_for(network)), config, network)

    def column_path(self, column: BuiltInColumn) -> Path:
        """Where the file of a built-in column is."""
        content = column.model_dump_json() + __version__
        return self.folder / f"column-{_short_sha256(content)}.h5"

    def pass_path(self, file_sha256: str, policy: Policy) -> Path:
        """Where the pass of a network file under a policy is."""
        content = file_sha256 + _policy_document(policy).model_dump_json() + __version__
        return self.folder / f"pass-{_short_sha256(content)}.json"

    def keep_pass(self, checked: guard.CheckedNetwork, policy: Policy) -> None:
        """Write down that a network passed the gate.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        path = self.pass_path(checked.network.source.sha256, policy)
        written = PassDocument(
            v1sim=__version__,
            file_sha256=checked.network.source.sha256,
            policy=_policy_document(policy),
            report=CheckDocument.of_report(checked.report),
        )
        written.model_copy(update={"seal": seal(written.unsealed)}).write(path)

    def admit_by_pass(self, network: NetworkModel, policy: Policy) -> guard.CheckedNetwork:
        """The network, by the pass that it has; checked again if this user did not write it.

        Raises
        ------
        InputError
            If it has none: this file, as it is now, was not checked for this policy.
        GuardRefusal
            If the network is refused.
        """
        path = self.pass_path(network.source.sha256, policy)
        expected = "the pass of a network file as it was when the batch was begun"
        hint = "if the network changed, run the batch again: it checks what changed"
        if not path.exists():
            raise InputError(
                f"no pass of the gate in {self.folder} for this file as it is now",
                where=network.source.path,
                expected="the file that was checked when the batch was begun",
                hint=hint,
            )
        earlier = PassDocument.read(path, expected=expected, hint=hint)
        if not seal_holds(earlier.unsealed, earlier.seal):
            _log.warning(
                "%s was not written by this user's v1sim, or was changed: the network is checked "
                "again",
                path,
            )
            return guard.admit(network, policy)
        return guard.admit_by_pass(
            network,
            policy,
            guard.Pass(
                earlier.v1sim,
                earlier.file_sha256,
                _policy(earlier.policy),
                earlier.report.to_report(),
            ),
        )

    def keep_stimulus(self, stimulus: Stimulus) -> None:
        """Make and write what takes a while of a stimulus, where it is not there yet.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        if not isinstance(stimulus, DrawnStimulus):
            return
        for number in sorted(set(stimulus.schedule.stimulus_of_trial)):
            path = self._probabilities_path(stimulus, number)
            if path is not None and _read_kept(path) is None:
                with replacing(path) as temporary:
                    np.save(temporary, stimulus.load(number))
                with replacing(_digest_path(path)) as temporary:
                    temporary.write_text(file_sha256(path), encoding="ascii")

    def kept(self, stimulus: Stimulus) -> Stimulus:
        """The same stimulus, read from what is kept where it is."""
        if isinstance(stimulus, DrawnStimulus) and stimulus.key(0) is not None:
            return _KeptStimulus(stimulus, self._probabilities_path)
        return stimulus

    def _probabilities_path(self, stimulus: DrawnStimulus, number: int) -> Path | None:
        key = stimulus.key(number)
        return None if key is None else self.folder / f"lgn-{key[:32]}.npy"


class _KeptStimulus(DrawnStimulus):
    """A stimulus whose probabilities are read where they are kept, and made where they are not."""

    def __init__(
        self, origin: DrawnStimulus, path_of: Callable[[DrawnStimulus, int], Path | None]
    ) -> None:
        super().__init__(origin.n_lgn, origin.schedule, cells=origin.cells, analog=origin.analog)
        self._origin = origin
        self._path_of = path_of

    def load(self, stimulus: int) -> NDArray[np.float32]:
        path = self._path_of(self._origin, stimulus)
        kept = None if path is None else _read_kept(path)
        return self._origin.load(stimulus) if kept is None else kept

    def key(self, stimulus: int) -> str | None:
        return self._origin.key(stimulus)

    def picture(self, stimulus: int, step: int) -> NDArray[np.float32] | None:
        return self._origin.picture(stimulus, step)

    def remarks(self) -> tuple[str, ...]:
        return self._origin.remarks()


def _digest_path(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _read_kept(path: Path) -> NDArray[np.float32] | None:
    """Kept probabilities, None where there are none, or not the ones that were written."""
    try:
        written = _digest_path(path).read_text(encoding="ascii")
        if file_sha256(path) != written:
            _log.warning("%s is damaged: what it held is made again", path)
            return None
        kept: NDArray[np.float32] = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        _log.warning("%s cannot be read and is made again: %s", path, error)
        return None
    return kept


def _policy_document(policy: Policy) -> PolicyDocument:
    return PolicyDocument(
        require=policy.require,
        strength=policy.strength,
        waivers=dict(policy.waivers),
        dt_ms=policy.dt_ms,
        checkpoint=None if policy.checkpoint is None else str(policy.checkpoint),
        baseline=None if policy.baseline is None else str(policy.baseline),
        minimum=policy.minimum,
        trusted_keys=None if policy.trusted_keys is None else str(policy.trusted_keys),
        dynamics=policy.dynamics,
        require_dynamics=policy.require_dynamics,
    )


def _policy(document: PolicyDocument) -> Policy:
    return Policy(
        require=document.require,
        strength=document.strength,
        waivers=document.waivers,
        dt_ms=document.dt_ms,
        checkpoint=None if document.checkpoint is None else Path(document.checkpoint),
        baseline=None if document.baseline is None else Path(document.baseline),
        minimum=document.minimum,
        trusted_keys=None if document.trusted_keys is None else Path(document.trusted_keys),
        dynamics=document.dynamics,
        require_dynamics=document.require_dynamics,
    )


def _short_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
