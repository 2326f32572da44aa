"""DPointNet's networks: circuits that BMTK trains for these tests, and what v1sim makes of them."""
