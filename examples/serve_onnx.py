"""The face of seed 7 from generator.onnx, without torch: pip install numpy onnxruntime pillow."""

import numpy as np
import onnxruntime
from PIL import Image


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


session = onnxruntime.InferenceSession("generator.onnx", providers=["CPUExecutionProvider"])
z = latent(7, session.get_inputs()[0].shape[1])[None]  # of seed 7
(images,) = session.run(None, {"latents": z})  # uint8 (N, H, W, C)
Image.fromarray(images[0]).save("seed-7.png")
