"""v1sim's NEST extension module: the training dynamics, in-model recording, the synapse auditor."""
