"""Damaged inputs by the thousand, for everything that v1sim reads: see `tests.fuzz.__main__`.

=========== ==============================================================================
`targets`   what is read: sound inputs of each kind, and the function that reads them
`mutate`    how a sound input is damaged: bytes, text, trees, HDF5, NumPy arrays, checkpoints
`runner`    child processes that read damaged inputs within bounds of time and memory
=========== ==============================================================================

No damaged input is kept: each is made again from its target and number.
"""
