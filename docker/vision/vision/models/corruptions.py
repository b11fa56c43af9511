"""What cameras and tools do to images on their way, done on purpose: to learn from, and to be measured on.

After Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations" (2019):
the kinds that files bring with them, in the strengths that are met.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

import strandline_contract as contract

SUBSAMPLING = {False: 0, True: 2}  # Pillow's numbers of 4:4:4 and 4:2:0


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian, sigma in pixels."""
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))


def brighten(image: np.ndarray, factor: float) -> np.ndarray:
    scaled: np.ndarray = np.clip(image * np.float32(factor) + np.float32(0.5), 0, 255).astype(np.uint8)
    return scaled


def jpeg(image: np.ndarray, quality: int, subsampled: bool) -> np.ndarray:
    """Saved and opened again; `subsampled` halves the resolution of its colours (4:2:0), as most tools do."""
    return _saved(image, "JPEG", quality=quality, subsampling=SUBSAMPLING[subsampled])


def webp(image: np.ndarray, quality: int) -> np.ndarray:
    return _saved(image, "WEBP", quality=quality, method=0)


def _saved(image: np.ndarray, encoder: str, **settings: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, encoder, **settings)
    with Image.open(file) as opened:
        return np.asarray(opened.convert("RGB"))


# What a model is measured on, beside the images as they are.
MEASURED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "JPEG, quality 95, 4:2:0": lambda image: jpeg(image, 95, subsampled=True),
    "JPEG, quality 75, 4:4:4": lambda image: jpeg(image, 75, subsampled=False),
    "JPEG, quality 75, 4:2:0": lambda image: jpeg(image, 75, subsampled=True),
    "JPEG, quality 50, 4:2:0": lambda image: jpeg(image, 50, subsampled=True),
    "JPEG, quality 30, 4:2:0": lambda image: jpeg(image, 30, subsampled=True),
    "WebP, quality 75": lambda image: webp(image, 75),
    "blur, 0.5 pixels": lambda image: blur(image, 0.5),
    "blur, 1 pixel": lambda image: blur(image, 1.0),
    "brightness x 0.6": lambda image: brighten(image, 0.6),
    "brightness x 1.4": lambda image: brighten(image, 1.4),
}


def corrupt(images: np.ndarray, how: contract.Corruption, random: np.random.Generator) -> np.ndarray:
    """Some of the images uint8 [n, h, w, 3] as cameras and tools might have made them, by chance; the others as they
    are.
    """
    changed = images.copy()
    for i, image in enumerate(images):
        draws = random.random(7).tolist()  # as many for each image, so that one share does not move the others' chances
        if draws[0] < how.brightness:
            image = brighten(image, 1 + how.factor * (2 * draws[1] - 1))
        if draws[2] < how.blur:
            image = blur(image, how.sigma * draws[3])
        quality = round(how.quality[0] + draws[4] * (how.quality[1] - how.quality[0]))
        if draws[5] < how.jpeg:
            image = jpeg(image, quality, subsampled=draws[6] < how.subsampled)
        elif draws[5] < how.jpeg + how.webp:
            image = webp(image, quality)
        changed[i] = image
    return changed
