"""What several notebooks of a batch train alike is trained once: a baseline is nobody's own.

The batch names a folder (``LLMERS_TRAINED``); a training whose content has the same hash finds its
checkpoint there. In JupyterLab and under nbval there is no such folder, and everything is trained.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from llmers_utils.recommenders import TrainingPlan

FOLDER = "LLMERS_TRAINED"
SIMPLE = (bool, int, float, str, tuple, type(None))
OUR_CODE = ("llmers_utils.", "torch.")


def plan_trained_once(
    plan: TrainingPlan, model: nn.Module, data: Mapping[str, object], seed: int
) -> TrainingPlan:
    """The plan, with a checkpoint that every equal training of the batch has in common.

    Equal are trainings with the same model (classes, settings, first weights and buffers), plan,
    seed and ``data`` (tensors or JSON values); the batch has a folder for each state of the
    package. A model with code of its own (a class of a notebook, a hook) is never shared, and a
    plan that has a checkpoint keeps it.
    """
    folder = os.environ.get(FOLDER)
    if folder is None or plan.checkpoint is not None or not _is_ours(model):
        return plan
    import torch

    digest = hashlib.sha256()
    facts = [asdict(plan), seed, torch.__version__, torch.get_num_threads()]
    for part in (*facts, *_settings(model)):
        digest.update(json.dumps(part, default=str).encode())
    named = [*model.named_parameters(), *model.named_buffers()]
    for name, value in (*named, *sorted(data.items())):
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            digest.update(_bytes(value))
        else:
            digest.update(json.dumps(value).encode())
    return replace(plan, checkpoint=Path(folder) / f"{digest.hexdigest()[:32]}.pt")


def _is_ours(model: nn.Module) -> bool:
    """Whether all that the model does is written in this package or in torch."""
    for module in model.modules():
        hooks = (v for k, v in vars(module).items() if k.endswith("_hooks"))
        own = (v for k, v in vars(module).items() if not k.startswith("_"))
        if not type(module).__module__.startswith(OUR_CODE) or any(hooks):
            return False
        if not all(isinstance(value, SIMPLE) for value in own):
            return False
    return True


def _settings(model: nn.Module) -> Iterator[tuple]:
    """Class and settings of each module: a number of heads leaves no trace in the weights."""
    for name, module in model.named_modules():
        own = {k: v for k, v in vars(module).items() if not k.startswith("_")}
        yield name, f"{type(module).__module__}.{type(module).__qualname__}", own
    yield tuple(name for name, p in model.named_parameters() if p.requires_grad)


def _bytes(tensor: Tensor) -> bytes:
    """Shape, type and content."""
    import torch

    if tensor.layout == torch.sparse_csr:
        return b"".join(map(_bytes, (tensor.crow_indices(), tensor.col_indices(), tensor.values())))
    array = tensor.detach().cpu().contiguous()
    return f"{tuple(array.shape)} {array.dtype}".encode() + array.numpy().tobytes()
