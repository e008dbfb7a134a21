"""Small models of `transformers`, as `save_pretrained` writes them, and texts to use them on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

WORDS = {
    "animal": ["fox", "hound", "otter", "heron"],
    "colour": ["red", "blue", "amber", "violet"],
    "number": ["two", "seven", "forty", "dozen"],
    "tool": ["saw", "hammer", "chisel", "drill"],
}
LABELS = tuple(WORDS)
FILLING = ["the", "a", "this", "is", "was", "of", "and", "that", "here"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LENGTH, WIDTH = 12, 32


def sentences(count: int, *, seed: int) -> tuple[list[str], list[int]]:
    """Texts in which one word tells the label, and their labels' numbers."""
    generator = torch.Generator().manual_seed(seed)

    def draw(words: Sequence[str]) -> str:
        return words[int(torch.randint(len(words), (1,), generator=generator))]

    texts, numbers = [], []
    for i in range(count):
        words = [draw(FILLING) for _ in range(4 + i % 4)]
        words[1 + i % 3] = draw(WORDS[LABELS[i % len(LABELS)]])
        texts.append(" ".join(words))
        numbers.append(i % len(LABELS))
    return texts, numbers


def text_data(train: int = 160, test: int = 80) -> DatasetDict:
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(LABELS))})
    parts = {"train": sentences(train, seed=1), "test": sentences(test, seed=2)}
    return DatasetDict(
        {
            name: Dataset.from_dict({"text": texts, "label": numbers}, features=features)
            for name, (texts, numbers) in parts.items()
        }
    )


def write_csv(folder: Path, data: DatasetDict) -> Path:
    """The same as CSV files, with labels by name."""
    folder.mkdir(parents=True)
    for name, part in data.items():
        rows = [f"{t},{LABELS[n]}" for t, n in zip(part["text"], part["label"], strict=True)]
        (folder / f"{name}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    return folder


def tokenizer() -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer as BERT's, trained on the sentences."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(
        sentences(200, seed=0)[0],
        trainers.WordPieceTrainer(vocab_size=200, special_tokens=SPECIAL, show_progress=False),
    )
    first, last = made.token_to_id("[CLS]"), made.token_to_id("[SEP]")
    made.post_processor = processors.BertProcessing(("[SEP]", last), ("[CLS]", first))
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_max_length=LENGTH,
        **{f"{each.strip('[]').lower()}_token": each for each in SPECIAL},
    )


SIZES: dict[str, Any] = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4}
ENCODER = {**SIZES, "intermediate_size": 64, "max_position_embeddings": 16}
TEXT_CONFIGS = {
    "bert": ENCODER,
    "roberta": {**ENCODER, "max_position_embeddings": 20, "type_vocab_size": 1, "pad_token_id": 0},
    "distilbert": {
        "dim": WIDTH,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 64,
        "max_position_embeddings": 16,
    },
}
VIT = {**SIZES, "intermediate_size": 64, "image_size": 8, "patch_size": 4}
STAGES: dict[str, Any] = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
IMAGE_CONFIGS = {
    "vit": VIT,
    "deit": {**VIT, "architectures": ["DeiTForImageClassification"]},
    "swin": {
        "image_size": 32,
        "patch_size": 4,
        "embed_dim": 16,
        "window_size": 2,
        "depths": [2, 2],
        "num_heads": [2, 4],
    },
    "convnext": STAGES,
    "resnet": {**STAGES, "embedding_size": 8, "layer_type": "basic"},
    "regnet": {**STAGES, "embedding_size": 8, "groups_width": 4},
    "mobilenet_v2": {"depth_multiplier": 0.35, "image_size": 32},
    "beit": VIT,
}
SIDES = {"vit": 8, "deit": 8, "swin": 32, "convnext": 32, "resnet": 32, "regnet": 32}
SIDES |= {"mobilenet_v2": 32, "beit": 8}
"""Image sizes that the configurations are for."""


def names(labels: Sequence[str]) -> dict[str, Any]:
    return {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}


def build(kind: str, task: str, values: dict[str, Any]) -> Any:
    """A model with first weights, the same each time."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **values)
    return getattr(transformers, f"AutoModelFor{task}").from_config(config).eval()


def save_text_model(
    folder: Path, kind: str = "bert", *, steps: int = 0, labels: Sequence[str] = LABELS, **more: Any
) -> Path:
    """A text classifier with its tokenizer, trained so many steps on the sentences."""
    words = tokenizer()
    values = {**TEXT_CONFIGS[kind], "vocab_size": len(words), **names(labels), **more}
    model = build(kind, "SequenceClassification", values)
    texts, numbers = sentences(256, seed=3)
    given = words(texts, padding="max_length", return_tensors="pt")
    tokens, mask, targets = given["input_ids"], given["attention_mask"], torch.tensor(numbers)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        loss = F.cross_entropy(model(input_ids=tokens, attention_mask=mask).logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def save_image_model(
    folder: Path, kind: str = "vit", *, labels: Sequence[str], **more: Any
) -> Path:
    """An image classifier with its processor."""
    build(
        kind, "ImageClassification", {**IMAGE_CONFIGS[kind], **names(labels), **more}
    ).save_pretrained(folder)
    side = {"height": SIDES[kind], "width": SIDES[kind]}
    processor = transformers.ViTImageProcessor(
        size=side, image_mean=[0.5] * 3, image_std=[0.25] * 3, resample=2
    )
    processor.save_pretrained(folder)
    return folder
