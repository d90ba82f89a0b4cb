"""One plain training loop for every model: ``model.loss(batch)`` is all it asks for."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

Batch = dict[str, Tensor]


class BatchSource(Protocol):
    """Training examples that can be cut into batches anew each epoch."""

    def __len__(self) -> int:
        """Count the examples; an epoch has ``ceil(len / batch_size)`` batches."""

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[Batch]:
        """Yield the batches of one epoch; all randomness comes from ``rng``."""


def constant(progress: float) -> float:
    """Keep the learning rate as it is."""
    return 1.0


def one_cycle(progress: float) -> float:
    """Warm up over the first 30 % of the steps, then anneal to zero, both as cosines.

    Source: Smith and Topin, "Super-Convergence", 2018.
    """
    start, peak = 0.04, 0.3
    if progress < peak:
        return start + (1 - start) * (1 - math.cos(math.pi * progress / peak)) / 2
    return (1 + math.cos(math.pi * (progress - peak) / (1 - peak))) / 2


SCHEDULES: dict[str, Callable[[float], float]] = {"constant": constant, "onecycle": one_cycle}


@dataclass(frozen=True)
class TrainingPlan:
    """How to train. ``patience`` counts epochs without a better validation (None: never stop).

    ``amp`` computes in bfloat16 where it is safe; ``checkpoint`` is a file, written after each
    epoch and resumed from when it exists.
    """

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float = 0.0
    schedule: str = "constant"
    patience: int | None = None
    device: str = "cpu"
    amp: bool = False
    checkpoint: Path | None = None
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule={self.schedule!r}: must be one of {sorted(SCHEDULES)}")
        if self.epochs < 1 or self.batch_size < 1 or self.lr <= 0:
            raise ValueError(
                f"epochs={self.epochs}, batch_size={self.batch_size}, lr={self.lr}: all must be > 0"
            )


@dataclass
class History:
    """What happened: mean loss and validation value per epoch; ``best_epoch`` counts from 0."""

    losses: list[float] = field(default_factory=list)
    validations: list[float] = field(default_factory=list)
    best_epoch: int = -1
    seconds: float = 0.0


def fit(
    model: nn.Module,
    batches: BatchSource,
    plan: TrainingPlan,
    *,
    seed: int,
    validate: Callable[[], float] | None = None,
    progress: bool | None = None,
) -> History:
    """Train ``model`` in place with AdamW and leave it in evaluation mode.

    With ``validate`` (higher is better) the weights of the best epoch are restored at the end,
    else the last ones stay. The same seed gives the same weights, and a run resumed from its
    checkpoint gives the same weights as an uninterrupted one.

    Args:
        seed: seeds dropout and batches; the model's first weights are the caller's to seed.
        progress: a bar with epochs; None shows it in a terminal or JupyterLab only.

    Raises:
        ValueError: the checkpoint belongs to another plan or seed, or ``patience`` is set without
            ``validate``.
        FloatingPointError: the loss is not finite.
    """
    if plan.patience is not None and validate is None:
        raise ValueError("patience needs validate: there is nothing to wait for")
    started = time.perf_counter()
    model.to(plan.device)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=plan.lr, weight_decay=plan.weight_decay, fused=True
    )
    run = _Run(model, optimizer, plan, seed)
    run.resume()
    bar = tqdm(
        total=plan.epochs,
        initial=len(run.history.losses),
        unit="epoch",
        disable=not _show(progress),
    )
    with bar:
        while not run.finished():
            run.history.losses.append(run.train_epoch(batches, parameters))
            model.eval()
            if validate is not None:
                run.note(float(validate()))
                bar.set_postfix(validation=f"{run.history.validations[-1]:.4f}")
            run.history.seconds += time.perf_counter() - started
            started = time.perf_counter()
            run.save()
            bar.update()
    if run.best is not None:
        model.load_state_dict(run.best)
    model.eval()
    return run.history


class _Run:
    """The state of one training run: what a checkpoint has to hold."""

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, plan: TrainingPlan, seed: int
    ) -> None:
        self.model, self.optimizer, self.plan, self.seed = model, optimizer, plan, seed
        self.history = History()
        self.best: dict[str, Tensor] | None = None

    def finished(self) -> bool:
        done = len(self.history.losses)
        waited = done - 1 - self.history.best_epoch
        impatient = self.plan.patience is not None and done and waited >= self.plan.patience
        return done >= self.plan.epochs or bool(impatient)

    def train_epoch(self, batches: BatchSource, parameters: list[nn.Parameter]) -> float:
        """Run one epoch and return its mean loss."""
        plan, epoch = self.plan, len(self.history.losses)
        # Seeding each epoch by its number is what makes a resumed run equal to a whole one.
        rng = np.random.default_rng([self.seed, epoch])
        torch.manual_seed(int(rng.integers(2**62)))
        steps = math.ceil(len(batches) / plan.batch_size)
        device_type = torch.device(plan.device).type
        self.model.train()
        total = torch.zeros((), device=plan.device)
        for step, batch in enumerate(batches.epoch(rng, plan.batch_size)):
            multiplier = SCHEDULES[plan.schedule]((epoch + step / steps) / plan.epochs)
            for group in self.optimizer.param_groups:
                group["lr"] = plan.lr * multiplier
            batch = {name: values.to(plan.device) for name, values in batch.items()}
            with torch.autocast(device_type, torch.bfloat16, enabled=plan.amp):
                loss = self.model.loss(batch)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if plan.clip_norm is not None:
                nn.utils.clip_grad_norm_(parameters, plan.clip_norm)
            self.optimizer.step()
            total += loss.detach()
        mean = total.item() / steps
        if not math.isfinite(mean):
            raise FloatingPointError(
                f"loss is {mean} in epoch {epoch}: try a smaller lr than {plan.lr}"
            )
        return mean

    def note(self, value: float) -> None:
        """Keep a validation value, and the weights if they are the best so far."""
        history = self.history
        history.validations.append(value)
        if history.best_epoch < 0 or value > history.validations[history.best_epoch]:
            history.best_epoch = len(history.validations) - 1
            self.best = {name: v.detach().clone() for name, v in self.model.state_dict().items()}

    def _identity(self) -> dict:
        plan = {k: v for k, v in asdict(self.plan).items() if k not in ("checkpoint", "device")}
        return {"plan": plan, "seed": self.seed}

    def save(self) -> None:
        if self.plan.checkpoint is None:
            return
        path = Path(self.plan.checkpoint)
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "identity": self._identity(),
            "history": asdict(self.history),
            "best": self.best,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        torch.save(state, temporary)
        os.replace(temporary, path)

    def resume(self) -> None:
        if self.plan.checkpoint is None or not Path(self.plan.checkpoint).exists():
            return
        state = torch.load(self.plan.checkpoint, map_location=self.plan.device, weights_only=True)
        if state["identity"] != self._identity():
            raise ValueError(
                f"{self.plan.checkpoint}: belongs to {state['identity']}, not to this run's "
                f"{self._identity()}; delete it or name another file"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.history, self.best = History(**state["history"]), state["best"]


def _show(progress: bool | None) -> bool:
    """Show bars in a terminal and in JupyterLab; papermill and nbval are neither."""
    if progress is not None:
        return progress
    return sys.stderr.isatty() or "JPY_SESSION_NAME" in os.environ
