"""Where a run's network, its pass of the gate and its stimulus come from.

======================== ==================================================================
`v1sim.inputs.protocol`  what a run asks for, and what its configuration requires
`v1sim.inputs.fresh`     everything read, checked and computed for one run alone
`v1sim.inputs.shared`    what a batch has checked and computed once for all of its runs
======================== ==================================================================
"""
