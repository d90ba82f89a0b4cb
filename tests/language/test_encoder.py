from __future__ import annotations

import json
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from llmers_utils.language.embedding_cache import EmbeddingCache, text_key
from llmers_utils.language.encoder import TextEncoder

TEXTS = ["a warm film", "a cold film", "space", "a warm film", "trains and love in the rain"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMERS_CACHE", str(tmp_path))


def shards(tmp_path):
    return sorted((tmp_path / "embeddings").rglob("*.safetensors"))


def test_rows_follow_the_texts(sentence_model):
    encoder = TextEncoder(str(sentence_model))
    rows = encoder.encode(TEXTS)
    assert rows.shape == (5, encoder.dim)
    assert rows.dtype == np.float32
    assert encoder.encoded == 4  # one text stands twice
    np.testing.assert_array_equal(rows[0], rows[3])
    direct = encoder.model.encode(TEXTS)
    np.testing.assert_allclose(rows, direct, atol=1e-6)


def test_a_vector_does_not_depend_on_its_company(sentence_model, tmp_path, monkeypatch):
    """Bit for bit, or what was encoded before would move what is trained after."""
    texts = [
        " ".join(["film", "rain", "space"][: n % 3 + 1] * (n % 9 + 1)) + str(n) for n in range(60)
    ]
    together = TextEncoder(str(sentence_model)).encode(texts)
    monkeypatch.setenv("LLMERS_CACHE", str(tmp_path / "other"))
    encoder = TextEncoder(str(sentence_model))
    alone = np.concatenate([encoder.encode(texts[n : n + 7][::-1])[::-1] for n in range(0, 60, 7)])
    np.testing.assert_array_equal(together, alone)


def test_cache_serves_any_order_without_the_network(sentence_model):
    rows = TextEncoder(str(sentence_model)).encode(TEXTS)
    fresh = TextEncoder(str(sentence_model))
    np.testing.assert_array_equal(fresh.encode(TEXTS[::-1]), rows[::-1])
    assert fresh.encoded == 0
    assert "model" not in vars(fresh)
    assert fresh.dim == rows.shape[1]


def test_only_new_texts_are_encoded(sentence_model):
    TextEncoder(str(sentence_model)).encode(TEXTS)
    fresh = TextEncoder(str(sentence_model))
    fresh.encode([*TEXTS, "new", "newer"])
    assert fresh.encoded == 2


def test_cache_does_not_import_the_libraries(sentence_model, tmp_path):
    TextEncoder(str(sentence_model)).encode(TEXTS)
    code = (
        "import sys; from llmers_utils.language import TextEncoder\n"
        f"print(TextEncoder({str(sentence_model)!r}).encode({TEXTS!r}).shape)\n"
        "print([m for m in ('torch', 'sentence_transformers', 'transformers') if m in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert output.splitlines() == ["(5, 32)", "[]"]


@pytest.mark.parametrize("damage", ["truncate", "flip", "sidecar", "missing"])
def test_damaged_cache_is_rebuilt(damage, sentence_model, tmp_path):
    rows = TextEncoder(str(sentence_model)).encode(TEXTS)
    [shard] = shards(tmp_path)
    body = bytearray(shard.read_bytes())
    if damage == "truncate":
        shard.write_bytes(body[:-7])
    elif damage == "flip":
        body[-1] ^= 1
        shard.write_bytes(body)
    elif damage == "sidecar":
        shard.with_suffix(".json").write_text('{"texts": [')
    else:
        shard.unlink()
    fresh = TextEncoder(str(sentence_model))
    np.testing.assert_allclose(fresh.encode(TEXTS), rows, atol=1e-6)
    assert fresh.encoded == 4
    last = TextEncoder(str(sentence_model))
    last.encode(TEXTS)
    assert last.encoded == 0


def test_sidecar_names_the_encoder(sentence_model, tmp_path):
    TextEncoder(str(sentence_model)).encode(TEXTS)
    [shard] = shards(tmp_path)
    facts = json.loads(shard.with_suffix(".json").read_text())
    assert facts["encoder"] == "model"
    assert facts["dim"] == 32
    assert len(facts["texts"]) == 4


def test_other_weights_have_another_cache(sentence_model, tmp_path):
    import shutil

    import safetensors.numpy

    TextEncoder(str(sentence_model)).encode(TEXTS)
    other = tmp_path / "elsewhere" / "model"
    shutil.copytree(sentence_model, other)
    [weights] = other.rglob("model.safetensors")
    tensors = safetensors.numpy.load_file(weights)
    safetensors.numpy.save_file({k: v * 1.1 for k, v in tensors.items()}, weights)
    changed = TextEncoder(str(other))
    changed.encode(TEXTS)
    assert changed.encoded == 4


def _write_shards(folder: Path, start: int) -> None:
    cache = EmbeddingCache(folder, {"encoder": "fake"})
    for number in range(start, start + 30):
        keys = [text_key(f"text {number} {place}") for place in range(5)]
        cache.add(keys, np.full((5, 3), number, dtype=np.float32))


def test_two_processes_at_once(tmp_path):
    context = get_context("spawn")
    writers = [context.Process(target=_write_shards, args=(tmp_path, s)) for s in (0, 15)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    rows = EmbeddingCache(tmp_path, {}).lookup(
        text_key(f"text {number} {place}") for number in range(45) for place in range(5)
    )
    assert [float(row[0]) for row in rows.values()] == [n for n in range(45) for _ in range(5)]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_token_states_pool_to_the_vector(sentence_model):
    encoder = TextEncoder(str(sentence_model))
    states, mask = encoder.token_states(TEXTS)
    assert states.shape[:2] == mask.shape
    assert not states[~mask].any()
    pooled = states.sum(axis=1) / mask.sum(axis=1, keepdims=True)
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    np.testing.assert_allclose(pooled, encoder.encode(TEXTS), atol=1e-5)
    short, _ = encoder.token_states(TEXTS, max_length=6)
    assert short.shape[1] == 6


def test_wrong_texts(sentence_model):
    encoder = TextEncoder(str(sentence_model))
    with pytest.raises(TypeError, match="not one string"):
        encoder.encode("a warm film")
    with pytest.raises(TypeError, match=r"texts\[1\]"):
        encoder.encode(["a", None])
    assert encoder.encode([]).shape == (0, 32)


def test_real_encoder_knows_meaning(minilm):
    encoder = TextEncoder(str(minilm))
    a, b, c = encoder.encode(["a film about space travel", "astronauts in orbit", "bread recipes"])
    assert encoder.dim == 384
    assert a @ b > a @ c + 0.2
    assert np.linalg.norm(a) == pytest.approx(1, abs=1e-5)
