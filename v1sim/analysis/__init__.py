"""Pure functions on recorded spikes: rates, tuning, and both by class."""
