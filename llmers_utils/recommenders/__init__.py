"""Backbones with room for enhancement, one training loop, one evaluation, one set of tests."""

from llmers_utils.recommenders.collaborative import (
    MFBPR,
    CollaborativeRecommender,
    LightGCN,
    PairBatches,
)
from llmers_utils.recommenders.ctr import DIN, AutoInt, CTRModel, DCNv2, DeepFM
from llmers_utils.recommenders.ctr_data import CTRData, CTRSpec, build_ctr_data
from llmers_utils.recommenders.dropout import Dropout
from llmers_utils.recommenders.evaluation import (
    Evaluation,
    ctr_validator,
    evaluate_ctr,
    evaluate_ranking,
    predict,
    ranking_validator,
)
from llmers_utils.recommenders.losses import catalogue_loss
from llmers_utils.recommenders.memory import EASE, ItemKNN, Popularity
from llmers_utils.recommenders.plans import backbone_plan
from llmers_utils.recommenders.scoring import Scorer, inference
from llmers_utils.recommenders.sequences import Histories, SequenceBatches
from llmers_utils.recommenders.sequential import BERT4Rec, GRU4Rec, SASRec, SequentialRecommender
from llmers_utils.recommenders.significance import (
    Difference,
    holm,
    mean_sd,
    paired_difference,
)
from llmers_utils.recommenders.slices import training_counts
from llmers_utils.recommenders.tables import IdTable, ItemTable, SumTable, TextTable
from llmers_utils.recommenders.training import BatchSource, History, TrainingPlan, fit

__all__ = [
    "DIN",
    "EASE",
    "MFBPR",
    "AutoInt",
    "BERT4Rec",
    "BatchSource",
    "CTRData",
    "CTRModel",
    "CTRSpec",
    "CollaborativeRecommender",
    "DCNv2",
    "DeepFM",
    "Difference",
    "Dropout",
    "Evaluation",
    "GRU4Rec",
    "Histories",
    "History",
    "IdTable",
    "ItemKNN",
    "ItemTable",
    "LightGCN",
    "PairBatches",
    "Popularity",
    "SASRec",
    "Scorer",
    "SequenceBatches",
    "SequentialRecommender",
    "SumTable",
    "TextTable",
    "TrainingPlan",
    "backbone_plan",
    "build_ctr_data",
    "catalogue_loss",
    "ctr_validator",
    "evaluate_ctr",
    "evaluate_ranking",
    "fit",
    "holm",
    "inference",
    "mean_sd",
    "paired_difference",
    "predict",
    "ranking_validator",
    "training_counts",
]
