"""Networks as HDF5 files, in the layout in use by the training code's users.

::

    attrs n_neurons, n_input, n_output                             may be absent
    neurons/node_type_ids [n], positions_x, _y, _z [n]             positions may be absent
    neurons/glif3_params/{C_m, g, E_L, V_th, V_reset, t_ref} [t], {k, asc_amps} [t, 2],
                         tau_syn [t, 4]
    recurrent/{sources, targets, weights, receptor_types, delays} [s]
    input/{sources, targets, weights, receptor_types} [si]
    input/bkg_weights [n, 4]                                       may be absent
    readout/neuron_ids [n_output * group]                          may be absent
    readout/readout_weights [cells, n_output], readout_bias [n_output]   may be absent

v1sim adds, and reads where it finds them: ``neurons/glif3_params/{name, cell_class}``
(UTF-8 texts of fixed length), the group ``lgn`` with the columns of `LgnCellTable` and
the attribute ``field_deg``, ``input/delays``, and the text dataset ``provenance`` (JSON;
see `v1sim.sources.provenance`). Anything else in a file is left alone.

What this layout has no place for is written in the general one (attribute ``v1sim_layout``): see
`v1sim.sources.hdf5.description` and docs/network_file.md.

Any integer or float type of any width and byte order is read, as long as no
value changes on the way into the model's own type; float64 weights and delays
are rounded to float32, which is what training and file use. Values that can be
held but are wrong are the business of the checks.
"""

from v1sim.sources.hdf5.reader import Hdf5Reader
from v1sim.sources.hdf5.writer import add_provenance, write_network

__all__ = ["Hdf5Reader", "add_provenance", "write_network"]
