"""The embedder with the real ONNX Runtime: the committed sample, and a sentence encoder with a tokenizer of its own."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from recsys_finetune.embedder.onnx_export import write_embedder
from recsys_gateway.catalog.embedding import Embedder, EmbedderError
from recsys_gateway.catalog.records import Item
from recsys_gateway.catalog.subword_hashing import SubwordHashing
from tokenizers import Tokenizer, models, pre_tokenizers

SAMPLES = Path(str(files("recsys_operator"))) / "samples"
SAMPLE = SAMPLES / "models" / "embedder"


@pytest.fixture(scope="module")
def sample() -> Embedder:
    return Embedder.load(SAMPLE)


@pytest.fixture(scope="module")
def shop() -> list[Item]:
    with (SAMPLES / "shop" / "items.csv").open(encoding="utf-8", newline="") as file:
        return [
            Item(
                id=row["id"],
                title=row["title"],
                description=row["description"],
                categories=tuple(row["categories"].split("|")),
                attributes={name: row[name] for name in ("feature", "use", "material", "brand", "colour", "kind")},
            )
            for row in csv.DictReader(file)
        ]


def nearest(embedder: Embedder, query: str, documents: list[str], count: int = 1) -> list[str]:
    scores = embedder.embed(documents) @ embedder.embed([query])[0]
    return [documents[index] for index in np.argsort(-scores)[:count]]


def test_vectors_are_finite_and_of_unit_length_whatever_the_text(sample: Embedder) -> None:
    texts = ["a light jacket", "", " ", "🏕️", "방수 재킷", "\x00\x07", "\ud800", "zxqv", "!?", "rain " * 20_000]
    vectors = sample.embed(texts)
    assert vectors.shape == (len(texts), sample.dimension)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-5)


def test_no_texts_give_no_vectors(sample: Embedder) -> None:
    assert sample.embed([]).shape == (0, sample.dimension)


def test_a_text_has_the_same_vector_alone_and_in_a_batch(sample: Embedder) -> None:
    texts = [f"{'warm ' * (index % 7)}thing {index}" for index in range(70)]
    alone = np.concatenate([sample.embed([text]) for text in texts])
    assert np.abs(sample.embed(texts) - alone).max() < 1e-5


def test_100_kb_are_cheap(sample: Embedder) -> None:
    text = "something waterproof for hiking " * 3_200
    started = time.perf_counter()
    sample.embed([text])
    assert len(text) > 100_000
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(
    ("query", "category"),
    [
        ("a light jacket for rainy hikes", "Jackets"),
        ("something to keep my tea hot", "Bottles"),
        ("I want to block out the noise on the train", "Headphones"),
        ("raincoat", "Jackets"),
        ("slepeing bag", "Sleeping"),
        ("가벼운 방수 재킷", "Jackets"),
        ("커피 그라인더 추천해 주세요", "Coffee"),
        ("캠핑에서 쓸 침낭", "Sleeping"),
    ],
)
def test_a_query_finds_its_category(sample: Embedder, shop: list[Item], query: str, category: str) -> None:
    categories = {item.document: item.categories[0] for item in shop}
    found = nearest(sample, query, list(categories), count=3)
    assert [categories[document] for document in found] == [category] * 3


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("star harbour", "Star Harbour (1977)"),
        ("the glass orchard", "Glass Orchard, The (1950)"),
        ("quiet amelie of lyon", "Quiet Amélie of Lyon (2001)"),
        ("vexhollow", "Vexhollow: The Return (1988)"),
        ("vexholow", "Vexhollow: The Return (1988)"),
        ("서울의 달", "서울의 달 (1994)"),
    ],
)
def test_a_title_that_training_never_saw_is_found(sample: Embedder, query: str, title: str) -> None:
    titles = ["Star Harbour (1977)", "Glass Orchard, The (1950)", "Quiet Amélie of Lyon (2001)", "서울의 달 (1994)"]
    titles += [
        "Vexhollow: The Return (1988)",
        "Harbour Lights (1977)",
        "Starlight Orchestra (1950)",
        "부산의 봄 (1994)",
    ]
    documents = {f"{each}. Drama, Romance": each for each in titles}
    assert documents[nearest(sample, query, list(documents))[0]] == title


def test_unlike_words_that_nobody_knows_are_far_apart(sample: Embedder) -> None:
    one, other, like = sample.embed(["blorvik", "quanteszu", "blorviks"])
    assert one @ other < 0.4
    assert one @ like > 0.6


def test_importing_the_gateways_embedding_does_not_load_the_runtime() -> None:
    code = "import sys, recsys_gateway.catalog.embedding; sys.exit('onnxruntime' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_telemetry_is_off_before_the_runtime_is_loaded() -> None:
    code = (
        "import os, sys, pathlib\n"
        "from recsys_gateway.catalog.embedding import Embedder\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'onnxruntime': assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'\n"
        "sys.meta_path.insert(0, Watch())\n"
        f"Embedder.load(pathlib.Path({str(SAMPLE)!r}))\n"
        "assert 'onnxruntime' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PATH": "/usr/bin"})


# A real sentence encoder in small: tokenizer.json, token_type_ids, last_hidden_state.

WORDS = ["[PAD]", "[UNK]", "warm", "coat", "cold", "beer"]


def sentence_encoder(folder: Path, *, output: str = "last_hidden_state", inputs: int = 3) -> Path:
    """A model that looks words up in a table of unit rows; ``inputs`` 3 takes token_type_ids as well."""
    folder.mkdir()
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_padding(length=16)
    tokenizer.enable_truncation(4)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = ["input_ids", "attention_mask", "token_type_ids"][:inputs]
    table = numpy_helper.from_array(np.eye(len(WORDS), dtype=np.float32), "table")
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], [output])],
        "encoder",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in names],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", "length", len(WORDS)])],
        [table],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, str(folder / "model.onnx"))
    return folder


def test_a_model_with_a_tokenizer_is_averaged_over_its_mask(tmp_path: Path) -> None:
    embedder = Embedder.load(sentence_encoder(tmp_path / "encoder"))
    short, long = embedder.embed(["warm coat", "cold beer cold beer warm warm warm"])
    assert embedder.dimension == len(WORDS)
    # No padding counts, although the tokenizer pads to 16; and what lies beyond its four tokens does not either.
    assert short == pytest.approx(np.array([0, 0, 1, 1, 0, 0]) / np.sqrt(2), abs=1e-6)
    assert long == pytest.approx(np.array([0, 0, 0, 0, 1, 1]) / np.sqrt(2), abs=1e-6)


def test_a_text_without_tokens_has_a_defined_vector(tmp_path: Path) -> None:
    embedder = Embedder.load(sentence_encoder(tmp_path / "encoder"))
    assert embedder.embed([""])[0] == pytest.approx(np.full(len(WORDS), 1 / np.sqrt(len(WORDS))), abs=1e-6)


def test_the_hubs_layout_is_read_too(tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path / "encoder", inputs=2)
    (folder / "onnx").mkdir()
    shutil.move(folder / "model.onnx", folder / "onnx" / "model.onnx")
    assert Embedder.load(folder).dimension == len(WORDS)


def test_without_truncation_the_models_own_length_counts(tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path / "encoder")
    document = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**document, "truncation": None}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 2}))
    assert Embedder.load(folder).embed(["warm coat cold"])[0] @ np.eye(len(WORDS))[WORDS.index("cold")] == 0


def test_numbers_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    table = np.full((16, 4), np.nan, np.float32)
    write_embedder(tmp_path / "broken", table, SubwordHashing(buckets=16))
    with pytest.raises(EmbedderError, match="not all finite"):
        Embedder.load(tmp_path / "broken")


def test_a_hash_that_is_wider_than_the_table_is_an_error(tmp_path: Path) -> None:
    write_embedder(tmp_path / "broken", np.ones((16, 4), np.float32), SubwordHashing(buckets=100_000))
    with pytest.raises(EmbedderError, match="the model failed"):
        Embedder.load(tmp_path / "broken")


@pytest.mark.parametrize(
    ("missing", "message"),
    [("model.onnx", r"model\.onnx: no such file"), ("hashing.json", "neither tokenizer.json nor hashing.json")],
)
def test_a_missing_file_is_named(tmp_path: Path, missing: str, message: str) -> None:
    folder = shutil.copytree(SAMPLE, tmp_path / "embedder")
    (folder / missing).unlink()
    with pytest.raises(EmbedderError, match=message):
        Embedder.load(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.onnx", "not an ONNX model"),
        ("hashing.json", r"hashing\.json"),
        ("tokenizer.json", "not a tokenizer"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, message: str) -> None:
    folder = shutil.copytree(SAMPLE, tmp_path / "embedder")
    (folder / name).write_text("{")
    with pytest.raises(EmbedderError, match=message) as caught:
        Embedder.load(folder)
    assert str(folder / name) in str(caught.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="nowhere: no such folder"):
        Embedder.load(tmp_path / "nowhere")


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="gives logits"):
        Embedder.load(sentence_encoder(tmp_path / "encoder", output="logits"))
