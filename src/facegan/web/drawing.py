"""Draws for all requests in one thread, since each drawing uses all cores."""

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import NamedTuple

import torch
from torch import Tensor

from facegan.networks.base import Generator


class Request(NamedTuple):
    """Latents that wait to be drawn."""

    generator: Generator
    z: Tensor  # (N, latent_dim)
    images: "Future[Tensor]"


class Drawing:
    """Draws one batch of latents at a time; those that wait for one generator become one batch.

    A generator draws batches of a fixed size, which a single request does not fill.
    """

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(1)
        self.waiting: list[Request] = []
        self.lock = Lock()

    def __call__(self, generator: Generator, z: Tensor) -> Tensor:
        """`generator.draw(z)`."""
        request = Request(generator, z, Future())
        with self.lock:
            self.waiting.append(request)
        self.thread.submit(self._draw_next)
        return request.images.result()

    def _draw_next(self) -> None:
        requests = self._take()
        if not requests:
            return  # an earlier call has drawn them
        try:
            z = torch.cat([request.z for request in requests])
            images = requests[0].generator.draw(z).split([len(request.z) for request in requests])
        except BaseException as error:  # is raised where the images are waited for
            for request in requests:
                request.images.set_exception(error)
        else:
            for request, own in zip(requests, images, strict=True):
                request.images.set_result(own)

    def _take(self) -> list[Request]:
        """The requests for the generator of the first one that waits."""
        with self.lock:
            if not self.waiting:
                return []
            generator = self.waiting[0].generator
            taken = [request for request in self.waiting if request.generator is generator]
            self.waiting = [r for r in self.waiting if r.generator is not generator]
        return taken
