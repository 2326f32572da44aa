"""The training dynamics in other engines; each script runs in an environment of its own."""
