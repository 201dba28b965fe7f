"""What a training runs on: its name, its precision, its memory."""

import ctypes
import os
import platform
from collections.abc import Sequence
from typing import Any

import torch

from facegan.core.errors import FaceganError

SMALL_GPU = 4 * 2**30  # bytes
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def check_devices(accelerator: str, devices: Any) -> None:
    """Raises FaceganError for what is no number or list of devices, and for more than there are.

    Lightning would start one process for each, whatever their number.
    """
    if devices == "auto":
        return
    several = isinstance(devices, Sequence) and not isinstance(devices, str)
    numbers = list(devices) if several else [devices]
    whole = all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
    if not whole or min(numbers, default=-1) < (0 if several else 1):
        raise FaceganError(
            "trainer.devices must be a whole number of at least 1, a list of GPUs such as [0,1], "
            f"or auto, got {devices}"
        )
    there, kind = available_devices(accelerator)
    if there is not None and (len(numbers) if several else devices) > there:
        raise FaceganError(
            f"trainer.devices={devices} is more than the {there} {kind} of this machine; give at "
            f"most trainer.devices={there}"
        )


def available_devices(accelerator: str) -> tuple[int | None, str]:
    """How many processes can train on this machine, and on what; None where it is not known."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.cuda.device_count(), "GPUs"
    if accelerator in ("auto", "cpu"):
        return os.cpu_count(), "CPU cores"
    return None, ""


def check_nodes(num_nodes: int) -> None:
    """Raises FaceganError for several nodes without a launcher: the first waits for the others."""
    launchers = ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS", "MASTER_ADDR", "GROUP_RANK")
    if num_nodes > 1 and not any(name in os.environ for name in launchers):
        raise FaceganError(
            f"trainer.num_nodes={num_nodes} needs torchrun or SLURM, which starts the processes on "
            "the other nodes (docs/scaling.md); leave it out on one machine"
        )


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
