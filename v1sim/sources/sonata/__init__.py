"""Networks as SONATA circuits: what a configuration names, read as the files say.

The format is described by Dai et al. 2020 (doi 10.1371/journal.pcbi.1007696); the rules by which
its files become a network of point neurons are those of BMTK's PointNet (Dai et al. 2020, doi
10.1371/journal.pcbi.1008386).

- `config`: configurations, with the variables of their manifests
- `types`: node and edge types, tables separated by blanks
- `nodes`, `edges`: the HDF5 files
- `weights`: functions that compute weights
- `cells`: parameters of cells, from the JSON files of node types
- `reader`: all of it as a `v1sim.model.NetworkModel`
- `remarks`: what is odd or wrong in such files, by name
"""
