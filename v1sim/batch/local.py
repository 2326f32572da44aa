"""Runs side by side on this machine."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from v1sim.batch.folder import SweepFolder
from v1sim.batch.job import Job
from v1sim.batch.warm import WarmProcesses
from v1sim.simulation.cost import Need

__all__ = ["run_local"]

_POLL_S = 0.02


def run_local(
    folder: SweepFolder,
    needs: Mapping[str, Need],
    processes: WarmProcesses,
    *,
    n_jobs: int,
    threads: int,
    progress: Callable[[str, float, float], None],
) -> None:
    """Run what ``needs`` names, at most ``n_jobs`` at a time.

    What became of each stands in the folder. A run that another process is at (one whose
    driver was killed) is waited for.

    Parameters
    ----------
    folder : SweepFolder
        The sweep's folder, prepared.
    needs : mapping
        What each run that is not done is expected to need, by its name.
    processes : WarmProcesses
        Start them.
    n_jobs, threads : int
        Jobs side by side, and threads of each.
    progress : callable
        Told ``("runs", done, total)``.
    """
    waiting = deque(needs)
    active: list[Job] = []
    with ExitStack() as stack:
        while waiting or active:
            for _ in range(len(waiting)):
                if len(active) >= n_jobs:
                    break
                name = waiting.popleft()
                job = stack.enter_context(
                    Job(
                        folder,
                        name,
                        threads,
                        expected_mb=needs[name].memory_mb,
                        launch=processes.launch,
                    )
                )
                if job.start():
                    active.append(job)
                elif folder.is_held(name):
                    waiting.append(name)
            ended = [job for job in active if job.poll()]
            if ended:
                active = [job for job in active if job not in ended]
                # A run whose parent was killed goes on; it is waited for like any stranger's.
                waiting.extend(job.name for job in ended if folder.is_held(job.name))
                progress("runs", len(needs) - len(waiting) - len(active), len(needs))
            else:
                time.sleep(_POLL_S)
