"""How the backbones are trained: tuned on the validation part of MovieLens-100K, once for all.

A baseline that each notebook trains in its own way is weak in some of them, and whatever stands
beside a weak one looks strong. So notebooks take the plan of their backbone from here, and all arms
of a comparison train by it.
"""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from llmers_utils.recommenders.collaborative import MFBPR, LightGCN
from llmers_utils.recommenders.ctr import DIN, AutoInt, DCNv2, DeepFM
from llmers_utils.recommenders.sequential import BERT4Rec, GRU4Rec, SASRec
from llmers_utils.recommenders.training import TrainingPlan

# Epochs, examples a batch (20 windows are at most 1,000 targets), rate, decay.
_SEQUENCES = TrainingPlan(8, 20, 5e-3, 1e-2, "onecycle")
_PAIRS = TrainingPlan(20, 2048, 2e-2, 0.1, "onecycle")
_CLICKS = TrainingPlan(3, 1024, 3e-3, 0.1)
PLANS: dict[type[nn.Module], TrainingPlan] = {
    SASRec: _SEQUENCES,
    GRU4Rec: _SEQUENCES,
    BERT4Rec: replace(_SEQUENCES, epochs=25),
    MFBPR: _PAIRS,
    LightGCN: _PAIRS,
    **dict.fromkeys((DeepFM, DCNv2, DIN, AutoInt), _CLICKS),
}


def backbone_plan(
    backbone: type[nn.Module], *, epochs: int | None = None, device: str = "cpu"
) -> TrainingPlan:
    """The plan of a backbone's class; ``epochs`` replaces its own number.

    KeyError where the class is none of the backbones.
    """
    plan = PLANS[backbone]
    return replace(plan, epochs=plan.epochs if epochs is None else epochs, device=device)
