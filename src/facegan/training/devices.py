"""What a training runs on: its devices, its precision, its memory."""

import ctypes
import os
import platform
from collections.abc import Mapping
from typing import Any

import torch

from facegan.core.errors import FaceganError

LAUNCHERS = ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS", "MASTER_ADDR")  # their variables
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def check_devices(accelerator: str, devices: Any, num_nodes: Any) -> None:
    """Raises FaceganError for more CPU processes than cores; Lightning would start them all.

    Without a launcher, the first of several nodes would wait for the others.
    """
    if num_nodes != 1 and not any(name in os.environ for name in LAUNCHERS):
        raise FaceganError(
            f"trainer.num_nodes={num_nodes} needs torchrun or SLURM, which starts the processes on "
            "the other nodes (docs/scaling.md)"
        )
    cores = os.cpu_count() or 1
    if isinstance(devices, int) and devices > cores and not uses_cuda(accelerator):
        raise FaceganError(
            f"trainer.devices={devices} is more than the {cores} of this machine; give at most "
            f"trainer.devices={cores}"
        )


def uses_cuda(accelerator: str) -> bool:
    """Whether `trainer.accelerator` means the GPUs of this machine."""
    return accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()


def one_process(options: Mapping[str, Any]) -> bool:
    """Whether the Trainer with these `options` trains in one process, on one device."""
    devices = options["devices"]
    if devices == "auto":
        devices = torch.cuda.device_count() if uses_cuda(options["accelerator"]) else 1
    count = len(devices) if isinstance(devices, list) else devices
    return count == 1 and options.get("num_nodes", 1) == 1


def describe_device(device: torch.device) -> str:
    """The device's name and, on CUDA, its memory."""
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"CPU, {threads} threads; a GPU is not used, which is fine for small models"
    if device.type != "cuda":
        return device.type.upper()
    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name}, {properties.total_memory / 2**30:.1f} GB"


def default_precision(accelerator: str) -> str:
    """bf16-mixed if the device multiplies in bf16 natively, 32-true if it would emulate it.

    On such CPUs it makes these networks' steps a fifth to a half faster (docs/speed.md).
    """
    if uses_cuda(accelerator):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif accelerator in ("auto", "cpu"):
        capabilities = torch.cpu.get_capabilities()
        native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    else:
        native = False
    return "bf16-mixed" if native else "32-true"


def check_compiler() -> None:
    """Compiles one addition. Raises FaceganError if torch.compile does not work."""
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(1))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise FaceganError(
            f"trainer.compile=true: {reason}; install a C++ compiler, or leave compile false"
        ) from error


def keep_freed_memory() -> None:
    """Makes glibc keep the memory of freed tensors for the next ones.

    By default it returns large blocks to the system, and a training step on a CPU gets them back
    page by page, thousands of times (docs/speed.md). Other C libraries are left alone.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option, size in ((M_MMAP_THRESHOLD, 2**25), (M_TRIM_THRESHOLD, 2**31 - 1)):  # largest
            libc.mallopt(option, size)
