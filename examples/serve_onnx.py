"""The face of seed 7 from generator.onnx, without torch: pip install numpy onnxruntime pillow."""

import json
import re

import numpy as np
import onnxruntime
from PIL import Image
from PIL.PngImagePlugin import PngInfo

ORDER = {}  # of weights with labels, such as {"Male": False, "Eyeglasses": True}


def latent(seed, size):
    """torch.randn(size, generator=torch.Generator().manual_seed(seed)) in NumPy: (size,)."""
    bits = np.random.RandomState(seed).randint(2**32, size=2 * size + 16, dtype=np.uint32)
    if size < 16:  # pairs of normals, from doubles of 53 bits
        high, low = bits[: (size + 1) // 2 * 4].astype(np.uint64).reshape(-1, 2).T
        u = (high << np.uint64(32) | low).reshape(-1, 2) % 2**53 / 2**53
        angle, radius = 2 * np.pi * u[:, :1], np.sqrt(-2 * np.log1p(-u[:, 1:]))
    else:  # blocks of 16 normals, from floats of 24 bits; the last block replaces 16 values
        starts = [*range(0, size - 15, 16), *([size] if size % 16 else [])]
        u = np.stack([bits[i : i + 16] for i in starts]) % 2**24 / np.float32(2**24)
        angle, radius = 2 * np.pi * u[:, 8:], np.sqrt(-2 * np.log(1 - u[:, :8]))
    z = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()
    z = z[:size] if size < 16 else np.concatenate([z[: size - 16], z[-16:]])
    return z.astype(np.float32)


def labels(seed, names, counts, order):
    """The labels of a seed: the ordered ones, and others in proportion to the counts: (A,)."""
    table = np.array([["-?+".index(sign) - 1 for sign in text] for text in counts], np.float32)
    bits = np.random.RandomState(seed ^ 0x9E3779B9).randint(2**32, size=len(table), dtype=np.uint32)
    with np.errstate(divide="ignore"):
        times = -np.log(bits % 2**24 / np.float32(2**24)) / np.float32([*counts.values()])
    columns = [names.index(name) for name in order]
    wanted = np.float32([1 if has else -1 for has in order.values()])
    missing = (table[:, columns] != wanted).sum(axis=1)
    row = table[np.where(missing == missing.min(), times, np.inf).argmin()]
    row[columns] = wanted
    return row


def face(session, seed, truncation=0.7, upscale=4, order=ORDER):
    """A Pillow image and its mark, with which `facegan.verify` draws it again."""
    about = session.get_modelmeta().custom_metadata_map
    inputs = {"latents": latent(seed, int(about["latent_dim"]))[None] * np.float32(truncation)}
    if "labels" in about:
        inputs["labels"] = labels(seed, **json.loads(about["labels"]), order=order)[None]
    (images,) = session.run(None, inputs)  # uint8 (N, H, W, C)
    picture = Image.fromarray(images[0].squeeze())
    size = (picture.width * upscale, picture.height * upscale)
    text = ",".join(name if has else f"-{name}" for name, has in order.items())
    facts = {"seeds": seed, "truncation": truncation, "upscale": upscale, "filter": "lanczos"}
    mark = about["mark"]  # an XMP packet
    for name, value in {**facts, "attributes": text, "edit": "", "motion": ""}.items():
        mark = re.sub(f'facegan:{name}="[^"]*"', f'facegan:{name}="{value}"', mark)
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", mark)
    return picture.resize(size, Image.Resampling.LANCZOS), info


options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1  # several threads are slower where other processes use the cores
session = onnxruntime.InferenceSession(
    "generator.onnx", options, providers=["CPUExecutionProvider"]
)
picture, info = face(session, 7)
picture.save("seed-7.png", pnginfo=info)
