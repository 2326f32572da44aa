"""Checks of networks: one small function a check, in families; importing a family registers it."""
