"""Writes golden_encoder.json and the folder encoder/: a tiny random BERT and its embeddings.

    pip install sentence-transformers==6.2.0 transformers==5.24.0 torch==2.15.0
    python crates/textgan-evaluate/tests/golden_encoder.py [FOLDER]

With the FOLDER of all-MiniLM-L6-v2 it writes golden_minilm.json instead, which a test compares with
if the environment variable TEXTGAN_MINILM names that folder.
"""

import json
import pathlib
import shutil
import sys
from importlib.metadata import version

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer, models
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from transformers import BertConfig, BertModel, BertTokenizerFast

HERE = pathlib.Path(__file__).parent
PACKAGES = ("sentence-transformers", "transformers", "tokenizers", "torch")
SENTENCES = [
    "a dog on a bed .",
    "A Dog on a bed.",
    "several people ski on a trail at night .",
    "",
    "cats",
    "two unknownwords , skiing !",
    "a plate with a burger sits next to a plate with a burger and a cat on a bed at night .",
    "naïve café",
    "  on   the\ttrail  ",
    "the man",
]
WORDS = """[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e i k n o s t ##s ##ing ##e ##a ##n ##i ##k ##o
the on of and with at in to next , . ! dog cat bed man people several two plate burger sits ski
trail night cafe red blue street table white""".split()


def golden(model, sentences, decimals):
    rows = model.encode(sentences, batch_size=3, convert_to_numpy=True)
    return [[round(float(x), decimals) for x in row] for row in rows]


def write(name, value):
    (HERE / name).write_text(json.dumps(value, separators=(",", ":")) + "\n")


def tiny():
    """Saves the folder; weights are large, so that attention looks at some tokens, not at all."""
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=32,
        max_position_embeddings=24,
        hidden_act="gelu",
        dtype="float32",
    )
    bert = BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for name, weight in bert.named_parameters():
            weight.normal_(std=0.4)
            if name.endswith("LayerNorm.weight"):
                weight += 1
    vocab = {word: i for i, word in enumerate(WORDS)}
    tokenizer = Tokenizer(WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    raw = HERE / "encoder-raw"
    bert.save_pretrained(raw)
    names = {f"{kind}_token": f"[{kind.upper()}]" for kind in ("pad", "unk", "cls", "sep", "mask")}
    BertTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(raw)
    transformer = models.Transformer(str(raw), max_seq_length=12)
    parts = [transformer, models.Pooling(16, pooling_mode="mean"), models.Normalize()]
    folder = HERE / "encoder"
    shutil.rmtree(folder, ignore_errors=True)
    SentenceTransformer(modules=parts, device="cpu").save(str(folder), create_model_card=False)
    shutil.rmtree(raw)
    # A pooler that no sentence embedding reads was added on the way.
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    save_file({k: v for k, v in tensors.items() if not k.startswith("pooler.")}, weights)
    first = [transformer, models.Pooling(16, pooling_mode="cls")]
    return SentenceTransformer(str(folder), device="cpu"), SentenceTransformer(
        modules=first, device="cpu"
    )


made_by = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
if len(sys.argv) > 1:
    model = SentenceTransformer(sys.argv[1], device="cpu")
    longest = " ".join(SENTENCES * 12)
    sentences = SENTENCES[:7] + ["A naïve café, réservé; 東京 – 42% off!", "No.", longest]
    write("golden_minilm.json", {
        "made_by": made_by, "sentences": sentences, "embeddings": golden(model, sentences, 6),
    })
else:
    mean, first = tiny()
    write("golden_encoder.json", {
        "made_by": made_by,
        "sentences": SENTENCES,
        "mean": golden(mean, SENTENCES, 7),
        "first": golden(first, SENTENCES, 7),
    })
