"""One contract for every backbone: what an enhancement may rely on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from llmers_utils.data import Split
from llmers_utils.recommenders import (
    DIN,
    EASE,
    MFBPR,
    AutoInt,
    BERT4Rec,
    CTRData,
    DCNv2,
    DeepFM,
    GRU4Rec,
    IdTable,
    ItemKNN,
    LightGCN,
    Popularity,
    SASRec,
    TextTable,
    TrainingPlan,
    build_ctr_data,
    evaluate_ranking,
    fit,
    inference,
    predict,
)

DIM, LENGTH = 16, 10
PLAN = TrainingPlan(epochs=12, batch_size=16, lr=1e-2, weight_decay=1e-2, schedule="onecycle")


def sequential(cls: type) -> Callable[[Split], nn.Module]:
    return lambda split: cls(IdTable(split.dataset.n_items, DIM), max_length=LENGTH)


SEQUENTIAL = {cls.__name__: sequential(cls) for cls in (SASRec, GRU4Rec, BERT4Rec)}
COLLABORATIVE = {
    "MFBPR": lambda split: MFBPR(split.dataset.n_users, split.dataset.n_items, DIM),
    "LightGCN": lambda split: LightGCN(split, DIM),
}
TRAINED = SEQUENTIAL | COLLABORATIVE
MEMORY = {cls.__name__: cls for cls in (Popularity, ItemKNN, EASE)}
CTR = {cls.__name__: cls for cls in (DeepFM, DCNv2, DIN, AutoInt)}


def over(models: dict) -> Callable:
    return pytest.mark.parametrize("name", models)


def made(name: str, split: Split) -> nn.Module:
    torch.manual_seed(0)
    return TRAINED[name](split)


def trained(name: str, split: Split, seed: int = 0) -> nn.Module:
    model = made(name, split)
    fit(model, model.batches(split), PLAN, seed=seed)
    return model


def ctr_trained(name: str, data: CTRData, seed: int = 0) -> nn.Module:
    torch.manual_seed(0)
    model = CTR[name](data.spec, dim=8, hidden=(16,), dropout=0.1)
    plan = dataclasses.replace(PLAN, batch_size=32)
    fit(model, data.batches(), plan, seed=seed)
    return model


def all_scores(model: object, split: Split, part: str = "test") -> Tensor:
    return model.scorer(split, part)(np.arange(split.dataset.n_users))


def state(model: nn.Module) -> dict[str, list]:
    return {name: values.tolist() for name, values in model.state_dict().items()}


@over(TRAINED)
def test_training_lowers_the_loss_and_beats_chance(name: str, split: Split) -> None:
    model = made(name, split)
    before = evaluate_ranking(model.scorer(split, "valid"), split, "valid", (10,))
    history = fit(model, model.batches(split), PLAN, seed=0)
    after = evaluate_ranking(model.scorer(split, "valid"), split, "valid", (10,))
    assert history.losses[-1] < history.losses[0]
    assert after.metrics["NDCG@10"] > before.metrics["NDCG@10"] + 0.1


@over(TRAINED | MEMORY)
def test_scores_have_one_column_per_item_and_do_not_depend_on_the_batch(
    name: str, split: Split
) -> None:
    model = MEMORY[name]().fit(split) if name in MEMORY else made(name, split)
    scores = all_scores(model, split)
    assert scores.shape == (split.dataset.n_users, split.dataset.n_items)
    assert not scores.requires_grad
    some = np.array([31, 4])
    assert torch.allclose(model.scorer(split, "test")(some), scores[some], atol=1e-5)


@over(TRAINED)
def test_scores_are_products_of_user_and_item_vectors(name: str, split: Split) -> None:
    model = trained(name, split)
    assert model.item_vectors().shape == (split.dataset.n_items, DIM)
    if name in COLLABORATIVE:
        users = model.user_vectors()
        assert torch.allclose(users @ model.item_vectors().T, all_scores(model, split), atol=1e-5)


@over(TRAINED)
def test_same_seed_gives_the_same_model(name: str, split: Split) -> None:
    assert state(trained(name, split)) == state(trained(name, split))
    assert state(trained(name, split)) != state(trained(name, split, seed=1))


@over(TRAINED)
def test_future_changes_nothing_in_training(
    name: str, split: Split, poisoned: Callable[[Split], Split]
) -> None:
    assert state(trained(name, split)) == state(trained(name, poisoned(split)))


@over(TRAINED)
def test_test_part_changes_no_score(
    name: str, split: Split, poisoned: Callable[[Split], Split]
) -> None:
    model = trained(name, split)
    other = dataclasses.replace(split, test=poisoned(split).test)
    assert torch.equal(all_scores(model, split), all_scores(model, other))


@over(MEMORY)
def test_memory_models_see_no_future(
    name: str, split: Split, poisoned: Callable[[Split], Split]
) -> None:
    clean, dirty = MEMORY[name]().fit(split), MEMORY[name]().fit(poisoned(split))
    assert torch.equal(
        all_scores(clean, split, "valid"), all_scores(dirty, poisoned(split), "valid")
    )


@over(TRAINED)
def test_saved_and_loaded_scores_are_equal(name: str, split: Split, tmp_path: Path) -> None:
    model = trained(name, split)
    save_model(model, str(tmp_path / "model.safetensors"))
    torch.manual_seed(99)
    fresh = TRAINED[name](split)
    load_model(fresh, str(tmp_path / "model.safetensors"))
    assert torch.equal(all_scores(model, split), all_scores(fresh, split))


@over(TRAINED)
def test_scoring_leaves_the_mode_as_it_was(name: str, split: Split) -> None:
    model = made(name, split)
    assert torch.equal(all_scores(model, split), all_scores(model, split))  # no dropout
    assert model.training


@over(TRAINED)
def test_any_item_table_can_be_put_in(name: str, split: Split) -> None:
    torch.manual_seed(0)
    text = TextTable(torch.randn(split.dataset.n_items, 24), DIM)
    with_text = {
        "MFBPR": lambda: MFBPR(split.dataset.n_users, split.dataset.n_items, DIM, item_table=text),
        "LightGCN": lambda: LightGCN(split, DIM, item_table=text),
    } | {cls.__name__: lambda cls=cls: cls(text, LENGTH) for cls in (SASRec, GRU4Rec, BERT4Rec)}
    model = with_text[name]()
    history = fit(model, model.batches(split), PLAN, seed=0)
    assert history.losses[-1] < history.losses[0]


@over(TRAINED)
def test_deterministic_algorithms_suffice(name: str, split: Split) -> None:
    torch.use_deterministic_algorithms(True)
    try:
        model = made(name, split)
        fit(model, model.batches(split), dataclasses.replace(PLAN, epochs=1), seed=0)
        all_scores(model, split)
    finally:
        torch.use_deterministic_algorithms(False)


# --- sequential ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SASRec", "GRU4Rec"])
def test_states_do_not_see_later_items(name: str, split: Split) -> None:
    model = trained(name, split)
    sequences = torch.arange(LENGTH)[None].repeat(2, 1)
    sequences[1, 6:] = torch.tensor([20, 21, 22, 23])
    with inference(model):
        states = model.states(sequences)
    assert states.shape == (2, LENGTH, DIM)
    assert torch.allclose(states[0, :6], states[1, :6], atol=1e-6)
    assert not torch.allclose(states[0, 6:], states[1, 6:], atol=1e-2)


@over(SEQUENTIAL)
def test_padding_has_no_influence(name: str, split: Split) -> None:
    model, pad = trained(name, split), split.dataset.n_items
    short = torch.tensor([[3, 4, 5]])
    padded = torch.cat([torch.full((1, LENGTH - 3), pad), short], dim=1)
    with inference(model):
        a, b = model.states(short), model.states(padded)[:, -3:]
        if name != "BERT4Rec":  # its states follow the mask, which user_vectors puts in
            assert torch.allclose(a, b, atol=1e-5)
        once = torch.cat([torch.tensor([[pad]]), short], dim=1)
        u, v = model.user_vectors(once), model.user_vectors(padded)
    assert torch.allclose(u, v, atol=1e-5)


@over(SEQUENTIAL)
def test_padding_alone_gives_finite_states(name: str, split: Split) -> None:
    model = made(name, split)
    nothing = torch.full((2, LENGTH), split.dataset.n_items)
    with inference(model):
        assert model.states(nothing).isfinite().all()
        assert model.user_vectors(nothing).isfinite().all()


@over(SEQUENTIAL)
def test_padded_targets_have_no_loss(name: str, split: Split) -> None:
    model, pad = made(name, split), split.dataset.n_items
    model.eval()
    model.mask_share = 1.0  # BERT4Rec: nothing left to chance
    short = {
        "users": torch.zeros(1, dtype=torch.long),
        "sequences": torch.tensor([[1, 2, 3]]),
        "targets": torch.tensor([[2, 3, 4]]),
    }
    padded = {
        key: torch.cat([torch.full((1, 4), pad), values], 1) if values.dim() == 2 else values
        for key, values in short.items()
    }
    assert torch.allclose(model.loss(short), model.loss(padded), atol=1e-5)


@over(SEQUENTIAL)
def test_enrich_sees_states_sequences_and_users(name: str, split: Split) -> None:
    model = made(name, split)
    seen = []

    def enrich(states: Tensor, sequences: Tensor, users: Tensor | None) -> Tensor:
        seen.append((states.shape, sequences.max().item(), users.tolist()))
        return states

    plain = all_scores(model, split)
    model.enrich = enrich
    assert torch.equal(all_scores(model, split), plain)
    shape, largest, users = seen[0]
    assert shape == (split.dataset.n_users, 1, DIM)  # when users are scored, the last state counts
    assert largest <= split.dataset.n_items
    assert users == list(range(split.dataset.n_users))


@over(SEQUENTIAL)
def test_the_last_state_alone_is_the_last_of_all(name: str, split: Split) -> None:
    model = made(name, split).eval()
    items, batch = (
        model.item_vectors(),
        next(model.batches(split).epoch(np.random.default_rng(0), 8)),
    )
    every, last = (f(items, batch["sequences"]) for f in (model.encode, model.encode_last))
    assert last.shape == (len(every), 1, DIM)
    assert torch.allclose(every[:, -1:], last, atol=1e-6)


@over(SEQUENTIAL)
def test_enrichment_that_is_off_changes_no_bit_of_training(name: str, split: Split) -> None:
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.map = nn.Linear(DIM, DIM)

        def forward(self, states: Tensor, sequences: Tensor, users: Tensor | None) -> Tensor:
            return states + 0.0 * self.map(states)

    plain = trained(name, split)
    model = made(name, split)
    model.enrich = Gate()
    fit(model, model.batches(split), PLAN, seed=0)
    assert torch.equal(all_scores(plain, split), all_scores(model, split))
    assert any(key.startswith("enrich.") for key in model.state_dict())


# --- click-through ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(ctr_split: Split) -> CTRData:
    return build_ctr_data(ctr_split)


@over(CTR)
def test_ctr_learns_and_repeats(name: str, data: CTRData) -> None:
    torch.manual_seed(0)
    model = CTR[name](data.spec, dim=8)
    history = fit(model, data.batches(), PLAN, seed=0)
    assert history.losses[-1] < history.losses[0]
    assert state(ctr_trained(name, data)) == state(ctr_trained(name, data))
    assert state(ctr_trained(name, data)) != state(ctr_trained(name, data, seed=1))


@over(CTR)
def test_ctr_future_changes_nothing_in_training(
    name: str, data: CTRData, poisoned: Callable[[Split], Split]
) -> None:
    dirty = build_ctr_data(poisoned(data.split))
    assert not torch.equal(dirty.test["item"], data.test["item"])
    assert state(ctr_trained(name, data)) == state(ctr_trained(name, dirty))


@over(CTR)
def test_ctr_padding_has_no_influence(name: str, data: CTRData) -> None:
    model = ctr_trained(name, data)
    longer = dict(data.test)
    for key, pad in (("history", data.spec.n_items), ("history_rating", 0)):
        values = data.test[key]
        longer[key] = torch.cat([torch.full_like(values[:, :5], pad), values], dim=1)
    assert np.allclose(predict(model, data.test), predict(model, longer), atol=1e-6)


@over(CTR)
def test_ctr_saved_and_loaded_are_equal(name: str, data: CTRData, tmp_path: Path) -> None:
    model = ctr_trained(name, data)
    save_model(model, str(tmp_path / "model.safetensors"))
    fresh = CTR[name](data.spec, dim=8, hidden=(16,))
    load_model(fresh, str(tmp_path / "model.safetensors"))
    assert np.array_equal(predict(model, data.test), predict(fresh, data.test))


@over(CTR)
def test_ctr_extra_fields_matter_and_are_counted(name: str, data: CTRData) -> None:
    torch.manual_seed(0)
    model = CTR[name](data.spec, dim=8, extra_fields=2).eval()
    extra = torch.randn(len(data.test["label"]), 2, 8, requires_grad=True)
    model(data.test, extra).sum().backward()
    assert (extra.grad != 0).any(dim=(1, 2)).all()
    for wrong in (None, extra[:, :1]):
        with pytest.raises(ValueError, match="was made for 2"):
            model(data.test, wrong)


@over(CTR)
def test_ctr_vectors(name: str, data: CTRData) -> None:
    model = CTR[name](data.spec, dim=8)
    assert model.item_vectors().shape == (data.spec.n_items, 8)
    assert model.fields.user_vectors(torch.tensor([0, 1])).shape == (2, 2, 8)
