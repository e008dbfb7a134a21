"""Small encoders from nothing, in bfloat16 on one thread: a BERT for banking77, a ViT for gtsrb.

    python bench/encoder_base.py bert --out FOLDER     # own WordPiece tokenizer, 4 layers of 256
    python bench/encoder_base.py vit --out FOLDER      # 32 px in patches of 8, 6 layers of 128

Writes FOLDER as ``save_pretrained`` does, for ``seam reengineer hf:FOLDER``, and prints accuracy.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from common import ROOT
from torch import Tensor, nn
from torch.nn import functional as F

VOCABULARY, LENGTH, SIDE, BATCH = 3000, 32, 32, 64


@dataclass
class Task:
    """A model to train, its samples, and what turns numbers of samples into logits."""

    model: nn.Module
    preparation: Any
    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    logits: Callable[[Tensor], Tensor]
    augment: Callable[[Tensor], Tensor]
    rate: float
    epochs: int


def labels_of(data: datasets.DatasetDict) -> dict[str, Any]:
    names = data["train"].features["label"].names
    return {
        "id2label": dict(enumerate(names)),
        "label2id": {name: i for i, name in enumerate(names)},
    }


def bert(data: datasets.DatasetDict) -> Task:
    """A lower-casing tokenizer trained on the texts, and a small BERT."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    trained = BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator(data["train"]["text"], vocab_size=VOCABULARY, show_progress=False)
    tokenizer = BertTokenizerFast(tokenizer_object=trained._tokenizer, model_max_length=LENGTH)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=256,
            num_hidden_layers=4,
            num_attention_heads=8,
            intermediate_size=1024,
            max_position_embeddings=LENGTH,
            pad_token_id=tokenizer.pad_token_id,
            **labels_of(data),
        )
    )

    def tensors(part: str) -> tuple[Tensor, Tensor]:
        found = tokenizer(
            list(data[part]["text"]), padding="max_length", truncation=True, max_length=LENGTH
        )
        return torch.tensor(found["input_ids"]), torch.tensor(data[part]["label"])

    def shortened(tokens: Tensor) -> Tensor:
        return tokens[:, : int((tokens != tokenizer.pad_token_id).sum(1).max())]

    def logits(tokens: Tensor) -> Tensor:
        mask = (tokens != tokenizer.pad_token_id).long()
        return model(input_ids=tokens, attention_mask=mask).logits

    return Task(
        model, tokenizer, tensors("train"), tensors("test"), logits, shortened, 5e-4, epochs=30
    )


def vit(data: datasets.DatasetDict) -> Task:
    """A small ViT; images are moved by up to 4 pixels, in brightness too, and never mirrored."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    model = ViTForImageClassification(
        ViTConfig(
            image_size=SIDE,
            patch_size=8,
            hidden_size=128,
            num_hidden_layers=6,
            num_attention_heads=4,
            intermediate_size=512,
            **labels_of(data),
        )
    )
    processor = ViTImageProcessor(
        size={"height": SIDE, "width": SIDE}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )

    def tensors(part: str) -> tuple[Tensor, Tensor]:
        pixels = np.stack([np.asarray(image.convert("RGB")) for image in data[part]["image"]])
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
        return images, torch.tensor(data[part]["label"])

    def moved(images: Tensor) -> Tensor:
        wide = F.pad(images, (4, 4, 4, 4), mode="replicate")
        across = torch.randint(9, (len(images), 1, 1)) + torch.arange(SIDE)
        down = torch.randint(9, (len(images), 1, 1)) + torch.arange(SIDE)[:, None]
        number = torch.arange(len(images))[:, None, None]
        shifted = wide.permute(0, 2, 3, 1)[number, down, across].permute(0, 3, 1, 2)
        bright = 1 + 0.4 * (torch.rand(len(images), 1, 1, 1) - 0.5)
        return ((shifted + 1) * bright - 1).clamp(-1, 1)

    def logits(images: Tensor) -> Tensor:
        return model(pixel_values=images).logits

    return Task(model, processor, tensors("train"), tensors("test"), logits, moved, 1e-3, epochs=60)


KINDS = {"bert": (bert, "banking77"), "vit": (vit, "gtsrb")}


def train(kind: str, shared: Path, out: Path, *, epochs: int, seed: int = 0) -> dict[str, Any]:
    """Train and save model and tokenizer or image processor; returns what was measured."""
    start = time.process_time()
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    build, folder = KINDS[kind]
    task = build(datasets.load_dataset(str(shared / "data" / folder)))
    epochs = epochs or task.epochs
    samples, labels = task.train
    optimizer = torch.optim.AdamW(task.model.parameters(), lr=task.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, task.rate, total_steps=epochs * -(-len(samples) // BATCH)
    )
    for epoch in range(epochs):
        task.model.train()
        for numbers in torch.randperm(len(samples)).split(BATCH):
            with torch.autocast("cpu", torch.bfloat16):
                logits = task.logits(task.augment(samples[numbers])).float()
            loss = F.cross_entropy(logits, labels[numbers], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(epoch, round(loss.item(), 3), round(time.process_time() - start), flush=True)
    task.model.eval()
    test, truth = task.test
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        answers = torch.cat([task.logits(part).argmax(1) for part in test.split(256)])
    task.model.save_pretrained(out)
    task.preparation.save_pretrained(out)
    return {
        "test_accuracy": float((answers == truth).float().mean()),
        "n": len(truth),
        "seed": seed,
        "epochs": epochs,
        "parameters": sum(each.numel() for each in task.model.parameters()),
        "cpu_seconds": round(time.process_time() - start),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=0)
    given = parser.parse_args()
    print(json.dumps(train(given.kind, given.shared, given.out, epochs=given.epochs), indent=1))
