"""Independent random streams from one seed, whatever is drawn in which order by whom.

Each stream is a Philox generator (Salmon et al. 2011, doi 10.1145/2063384.2063405)
whose key is a hash of seed, purpose and trial. So any trial can be drawn alone,
and results depend neither on the number of threads nor on what was drawn before.
"""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["stream"]


def stream(seed: int, purpose: str, trial: int = 0) -> np.random.Generator:
    """The random generator of one purpose in one trial.

    Parameters
    ----------
    seed : int
        Seed of the run.
    purpose : str
        What is drawn ("lgn spikes", "background"): one stream each.
    trial : int
        Index of the trial; 0 for what belongs to no trial.
    """
    digest = hashlib.blake2b(f"{seed}\0{purpose}\0{trial}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype="<u8")))
