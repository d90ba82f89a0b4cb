"""RecBole's side: its own configuration, loaders, trainer and evaluator."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # it loads its own pickles

import numpy as np
import torch
from protocol import Job, first, serve
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.evaluator import Collector, Evaluator
from recbole.utils import get_model, get_trainer, init_seed

SEQUENTIAL = {
    "train_neg_sample_args": None,
    "loss_type": "CE",
    "train_batch_size": 1024,
    "learning_rate": 3e-3,
    "hidden_size": 64,
    "embedding_size": 64,
    "inner_size": 64,
    "n_layers": 1,
    "n_heads": 2,
    "num_layers": 1,
    "hidden_act": "relu",
    "hidden_dropout_prob": 0.3,
    "attn_dropout_prob": 0.0,
    "dropout_prob": 0.3,
    "mask_ratio": 0.3,
    "initializer_range": 0.05,
    "MAX_ITEM_LIST_LENGTH": 50,
}
PAIRWISE = {"train_batch_size": 2048, "learning_rate": 5e-3, "embedding_size": 64, "n_layers": 2}
CTR = {
    "train_neg_sample_args": None,
    "train_batch_size": 1024,
    "learning_rate": 3e-3,
    "embedding_size": 16,
    "mlp_hidden_size": [128, 64],
    "dropout_prob": 0.3,
    "cross_layer_num": 2,
    "structure": "parallel",
    "mixed": False,
    "reg_weight": 0,
}
SETTINGS = {
    "SASRec": SEQUENTIAL,
    "GRU4Rec": SEQUENTIAL,
    "BERT4Rec": SEQUENTIAL | {"hidden_dropout_prob": 0.2},
    "LightGCN": PAIRWISE,
    "MF-BPR": PAIRWISE,
    "parity": PAIRWISE,
    "DeepFM": CTR,
    "DCNv2": CTR,
}
NAMES = {"MF-BPR": "BPR", "parity": "BPR", "DCNv2": "DCNV2"}
COLUMNS = {"genres": "token_seq", "liked": "token_seq", "disliked": "token_seq", "label": "float"}


class RecBole:
    """One model on one data set."""

    def __init__(self, job: Job, data: dict[str, np.ndarray]) -> None:
        self.job, self.data = job, data
        with tempfile.TemporaryDirectory() as folder:
            write = write_rows if job.is_ctr else write_interactions
            config = write(data, Path(folder)) | SETTINGS[job.model]
            sys.argv = sys.argv[:1]  # it would read ours
            self.config = Config(
                NAMES.get(job.model, job.model),
                "data",
                config_dict={
                    "data_path": folder,
                    "use_gpu": False,
                    "show_progress": False,
                    "seed": job.seed,
                    "metric_decimal_place": 12,
                    **config,
                },
            )
            init_seed(job.seed, reproducibility=False)
            logging.disable(logging.CRITICAL)
            dataset = create_dataset(self.config)
            self.loaders = dict(
                zip(("train", "valid", "test"), data_preparation(self.config, dataset), strict=True)
            )
        self.model = get_model(self.config["model"])(self.config, self.loaders["train"].dataset)
        self.trainer = get_trainer(self.config["MODEL_TYPE"], self.config["model"])(
            self.config, self.model
        )
        self.trainer.eval_collector.data_collect(self.loaders["train"])
        if not job.is_ctr:
            self.users, self.items = (
                np.array([-1, *map(int, dataset.field2id_token[field][1:])])
                for field in ("user_id", "item_id")
            )

    def train(self, epoch_done: Callable[[int], None]) -> None:
        """Run the trainer's own epochs."""
        for epoch in range(self.job.epochs):
            targets = 0

            def count(batch: object) -> None:
                nonlocal targets
                masked = "MASK_INDEX" in batch
                targets += int((batch["MASK_INDEX"] > 0).sum()) if masked else len(batch)

            self.trainer._train_epoch(first(self.loaders["train"], self.job.steps, count), epoch)
            epoch_done(targets)

    @torch.no_grad()
    def scores(self, part: str) -> np.ndarray:
        """Score by the model's own prediction, in our ids."""
        self.model.eval()
        if self.job.is_ctr:
            batches = [batch[0] for batch in self.loaders[part]]
            labels = torch.cat([batch["label"] for batch in batches]).numpy()
            assert (labels == self.data[f"{part}_label"]).all(), "the rows are in another order"
            return torch.cat([self.model.predict(batch) for batch in batches]).numpy()
        found = np.full((self.data["n_users"], self.data["n_items"]), -np.inf, dtype=np.float32)
        for interaction, *_ in self.loaders[part]:
            rows = self.users[interaction["user_id"].numpy()]
            scores = self.model.full_sort_predict(interaction).view(len(rows), -1).numpy()
            found[rows[:, None], self.items[1:]] = scores[:, 1 : len(self.items)]
        return found

    def evaluate(self) -> float:
        """Evaluate the valid part, or for parity the scores that are given."""
        if self.job.scores:
            return self._judge(np.load(self.job.scores))
        return self.trainer.evaluate(self.loaders["valid"], load_best_model=False)

    def _judge(self, given: np.ndarray) -> float:
        """Pass masked scores through its collector and evaluator."""
        test = self.data["part"] == 2
        collector = Collector(self.config)
        scores = torch.full((len(given), given.shape[1] + 1), -torch.inf)
        scores[:, 1:] = torch.from_numpy(given)
        target = torch.from_numpy(self.data["item"][test]) + 1
        collector.eval_batch_collect(scores, None, torch.arange(len(target)), target)
        collector.model_collect(self.model)
        return Evaluator(self.config).evaluate(collector.get_data_struct())["ndcg@10"]


def write_interactions(data: dict[str, np.ndarray], folder: Path) -> dict[str, object]:
    """One file, which RecBole cuts into the same parts: the last two of each user by time."""
    (folder / "data").mkdir()
    with (folder / "data" / "data.inter").open("w") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        rows = zip(data["user"], data["item"], strict=True)
        file.writelines(f"{u}\t{i}\t{time}\n" for time, (u, i) in enumerate(rows))
    return {
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "eval_args": {
            "split": {"LS": "valid_and_test"},
            "order": "TO",
            "group_by": "user",
            "mode": "full",
        },
        "metrics": ["NDCG"],
        "topk": [10],
        "valid_metric": "NDCG@10",
        # By default it ranks one or two users at a time.
        "eval_batch_size": 1024 * int(data["n_items"]),
    }


def write_rows(data: dict[str, np.ndarray], folder: Path) -> dict[str, object]:
    """A file for each part with every field of a row in it."""
    (folder / "data").mkdir()
    names = [name.removeprefix("train_") for name in data if name.startswith("train_")]
    fields = {("item_id" if name == "item" else name): name for name in names}
    for part in ("train", "valid", "test"):
        with (folder / "data" / f"data.{part}.inter").open("w") as file:
            header = (f"{field}:{COLUMNS.get(name, 'token')}" for field, name in fields.items())
            # It insists on a user; one and the same tells it nothing.
            file.write("\t".join(["user_id:token", *header]) + "\n")
            columns = [_texts(data[f"{part}_{name}"]) for name in fields.values()]
            file.writelines("\t".join(["0", *row]) + "\n" for row in zip(*columns, strict=True))
    return {
        "load_col": {"inter": ["user_id", *fields]},
        "benchmark_filename": ["train", "valid", "test"],
        "eval_args": {"order": "RO", "group_by": None, "mode": "labeled"},
        "metrics": ["AUC"],
        "valid_metric": "AUC",
    }


def _texts(values: np.ndarray) -> list[str]:
    if values.ndim == 1:
        return [str(value) for value in values.tolist()]
    return [" ".join(str(value) for value in row if value) for row in values.tolist()]


if __name__ == "__main__":
    serve(RecBole)
