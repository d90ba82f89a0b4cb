from __future__ import annotations

import pytest
from torch import nn

from llmers_utils import recommenders
from llmers_utils.recommenders import SASRec, backbone_plan
from llmers_utils.recommenders.plans import PLANS
from llmers_utils.tutorial.notebooks import all_notebooks, read_notebook
from llmers_utils.tutorial.parameters import declared_parameters

USERS = [
    notebook
    for notebook in map(read_notebook, all_notebooks())
    if any("backbone_plan(" in cell.source for _, cell in notebook.code_cells())
]


def test_epochs_and_device_are_the_notebooks_to_choose() -> None:
    plan = backbone_plan(SASRec, epochs=2, device="cuda")
    assert (plan.epochs, plan.device, plan.lr) == (2, "cuda", PLANS[SASRec].lr)
    assert backbone_plan(SASRec) == PLANS[SASRec]


def test_another_class_has_no_plan() -> None:
    with pytest.raises(KeyError, match="Linear"):
        backbone_plan(nn.Linear)


@pytest.mark.parametrize("notebook", USERS, ids=lambda notebook: notebook.slug)
def test_notebooks_train_a_backbone_for_as_long_as_each_other(notebook) -> None:
    parameters = declared_parameters(notebook)
    name = parameters["backbone"].default if "backbone" in parameters else "SASRec"
    assert parameters["epochs"].default == PLANS[getattr(recommenders, name)].epochs


def test_the_notebooks_above_are_found() -> None:
    assert {"backbones", "lane", "kar", "slim", "llmrg"} <= {notebook.slug for notebook in USERS}
