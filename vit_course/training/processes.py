"""Training on several GPUs or machines: what its processes tell each other."""

import atexit
import os
from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor, nn

from vit_course import profiles


def launched() -> bool:
    """Whether `torchrun` started us: only then is RANK in the environment meant for us."""
    return distributed.is_available() and distributed.is_torchelastic_launched()


class Processes:
    """The processes that train together: one, unless `torchrun` started us."""

    def __init__(self) -> None:
        self.rank, self.count = 0, 1
        if launched() and not distributed.is_initialized():
            gpus = torch.cuda.is_available() and distributed.is_nccl_available()
            distributed.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo")
            # Not at the end of `train`: a group cannot be set up twice in the same place.
            atexit.register(distributed.destroy_process_group)
        if distributed.is_available() and distributed.is_initialized():
            self.rank, self.count = distributed.get_rank(), distributed.get_world_size()

    def device(self, wanted: str | torch.device | None) -> torch.device:
        """The device to use: the one that is wanted, else the fastest; of several GPUs, one for each process.

        Raises:
            ValueError: it is not there.
        """
        try:
            device = torch.device(wanted) if wanted else profiles.device()
            if self.count > 1 and device.type == "cuda" and device.index is None:
                device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
                torch.cuda.set_device(device)
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:  # torch's words for it differ
            raise ValueError(
                f"{wanted or 'a GPU for each process'} is not to be had here ({str(error).splitlines()[0]}). "
                "Leave `device` out for the fastest there is; start no more processes than there are GPUs."
            ) from error
        return device

    def wrapped(self, model: nn.Module) -> nn.Module:
        return nn.parallel.DistributedDataParallel(model) if self.count > 1 else model

    def agreed(self, value: Any) -> Any:
        """What the first process says."""
        if self.count == 1:
            return value
        said = [value]
        distributed.broadcast_object_list(said)
        return said[0]

    def any(self, value: bool) -> bool:
        """Whether one of us says so."""
        if self.count == 1:
            return value
        said = [value] * self.count
        distributed.all_gather_object(said, value)
        return any(said)

    def mean(self, losses: list[Tensor]) -> list[float]:
        """Each loss, over the whole batch."""
        together = torch.stack(losses)
        if self.count > 1:
            distributed.all_reduce(together)
            together /= self.count
        return together.tolist()
