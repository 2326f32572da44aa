"""Small SONATA circuits: made by hand or at random, run by BMTK, compared with v1sim."""
