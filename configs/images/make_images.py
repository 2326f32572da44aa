"""Make the images of configs/images.yaml: noise whose spectrum falls like that of natural scenes.

Amplitude falls with 1 / frequency (Field 1987, doi 10.1364/JOSAA.4.002379); nothing of anybody's
photographs is in them. usage: python configs/images/make_images.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 120, 80  # one pixel a degree of the visual field


def natural_noise(seed: int) -> np.ndarray:
    """Grey values of one image, shape (HEIGHT, WIDTH), 32 levels."""
    rng = np.random.default_rng(seed)
    # Twice the size, of which a part is shown: the noise itself is periodic.
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(2 * WIDTH), np.fft.fftfreq(2 * HEIGHT)))
    frequency[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.standard_normal(frequency.shape)) / frequency
    image = np.fft.ifft2(spectrum).real[:HEIGHT, :WIDTH]
    image = (image - image.mean()) / image.std()
    return (np.clip(np.rint(image * 5 + 15.5), 0, 31) * 255 / 31).astype(np.uint8)


if __name__ == "__main__":
    for number in range(1, 7):
        file = Path(__file__).parent / f"noise_{number}.png"
        Image.fromarray(natural_noise(number)).save(file, optimize=True)
