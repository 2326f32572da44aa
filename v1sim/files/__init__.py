"""Files that v1sim is given: opened in one way, and read only where they hold what they say.

========================== ================================================================
`v1sim.files.hdf5`         HDF5: damage, unwritten parts, values kept in other files
`v1sim.files.numpy_array`  NumPy's ``.npy``
`v1sim.files.table`        tables as text
`v1sim.files.identify`     what a file is that is not what was expected
========================== ================================================================
"""
