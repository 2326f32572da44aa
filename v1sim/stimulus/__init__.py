"""What the network is shown: LGN spike probabilities, spikes, and background."""
