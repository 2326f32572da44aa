"""What a checkpoint's weights are, and the network file that is made of it, with its proof."""
