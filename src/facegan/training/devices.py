"""What a training runs on: its name, its precision, its memory."""

import ctypes
import platform

import torch

from facegan.errors import FaceganError

SMALL_GPU = 4 * 2**30  # bytes
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def describe_device(device: torch.device) -> str:
    """The device's name and, on CUDA, its memory, with a warning where it is small."""
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"CPU, {threads} threads; no GPU is used, which is fine for small models"
    if device.type != "cuda":
        return device.type.upper()
    properties = torch.cuda.get_device_properties(device)
    text = f"{properties.name}, {properties.total_memory / 2**30:.1f} GB"
    if properties.total_memory < SMALL_GPU:
        text += "; under 4 GB: if it runs out of memory, use a smaller model.batch_size"
    return text


def default_precision(accelerator: str) -> str:
    """bf16-mixed where the device multiplies in bf16 itself, 32-true where it would emulate it.

    On such CPUs it makes these networks' steps a fifth to a half faster (docs/speed.md).
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif accelerator in ("auto", "cpu"):
        capabilities = torch.cpu.get_capabilities()
        native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    else:
        native = False
    return "bf16-mixed" if native else "32-true"


def check_compiler() -> None:
    """Compiles one addition. Raises FaceganError where torch.compile does not work."""
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(1))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise FaceganError(
            f"trainer.compile=true: {reason}; install a C++ compiler, or leave compile false"
        ) from error


def keep_freed_memory() -> None:
    """Has glibc keep the memory of freed tensors for the next ones.

    Of itself it returns large blocks to the system, and a training step on a CPU gets them back
    page by page, thousands of times (docs/speed.md). Elsewhere there is nothing to do.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option, size in ((M_MMAP_THRESHOLD, 2**25), (M_TRIM_THRESHOLD, 2**31 - 1)):  # largest
            libc.mallopt(option, size)
