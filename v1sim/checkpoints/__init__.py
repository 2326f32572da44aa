"""TensorFlow checkpoints to networks, with proof."""
