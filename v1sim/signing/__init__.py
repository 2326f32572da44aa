"""Signatures of networks: who says that a network is what it is, and whether it still is.

============================ =====================================================================
`v1sim.signing.ssh`          signs and verifies bytes with OpenSSH, which holds all cryptography
`v1sim.signing.signature`    signs a network, and says who signed the one at hand
============================ =====================================================================

What is signed is an in-toto statement (`v1sim.documents.statement`): the sha256 of every array of
the network, what its weights are and by which proof, checkpoint, baseline and dynamics.
"""
