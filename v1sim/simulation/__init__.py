"""From a checked network to spikes: plan, PyNN objects on NEST, read-back, run."""
