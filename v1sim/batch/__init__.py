"""Many runs: a sweep, its folder, and the jobs that fill it on this machine or on Slurm.

==================== ==============================================================
`v1sim.batch.sweep`    a YAML file to runs, named by what they are made of
`v1sim.batch.folder`   every path of a sweep, and the state of each of its runs
`v1sim.batch.prepare`  the gate, once for each network; shared input; what runs need
`v1sim.batch.job`      one run as a process that leaves a whole folder or none
`v1sim.batch.local`    jobs side by side on this machine
`v1sim.batch.slurm`    the same jobs as a Slurm job array
`v1sim.batch.collect`  one table of all runs, and its figure
==================== ==============================================================
"""
