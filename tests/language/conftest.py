from __future__ import annotations

import pytest

from llmers_utils.data import load_dataset
from llmers_utils.data.assets import present_folder
from llmers_utils.language.causal_lm import CausalLM


@pytest.fixture(scope="session")
def ml_100k():
    if present_folder("ml-100k") is None:
        pytest.skip("ml-100k is not fetched: `llmers fetch ml-100k`")
    return load_dataset("ml-100k")


@pytest.fixture(scope="session")
def minilm():
    folder = present_folder("all-MiniLM-L6-v2")
    if folder is None:
        pytest.skip("all-MiniLM-L6-v2 is not fetched: `llmers fetch all-MiniLM-L6-v2`")
    return folder


@pytest.fixture
def tiny() -> CausalLM:
    return CausalLM("tiny")


@pytest.fixture(scope="session")
def sentence_model(tmp_path_factory):
    """A folder with a small random sentence encoder: two layers, 32 wide, mean, unit length."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("sentence_model")
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + x for x in letters)]
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder / "bert")
    BertTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder / "bert")
    words = Transformer(str(folder / "bert"), max_seq_length=32)
    pooling = Pooling(words.get_embedding_dimension(), pooling_mode="mean")
    SentenceTransformer(modules=[words, pooling, Normalize()]).save(str(folder / "model"))
    return folder / "model"
