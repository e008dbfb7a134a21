"""A small BERT for banking77, from nothing: own WordPiece tokenizer, random start, 4 layers of 256.

    python bench/text_base.py --out FOLDER [--epochs 30]

Writes FOLDER as ``save_pretrained`` does, for ``seam reengineer hf:FOLDER``, and prints accuracy.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from common import ROOT
from torch.nn import functional as F

VOCABULARY, LENGTH = 3000, 32


def tokenizer_of(texts: list[str]) -> Any:
    """A lower-casing WordPiece tokenizer trained on ``texts``."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    trained = BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator(texts, vocab_size=VOCABULARY, show_progress=False)
    return BertTokenizerFast(tokenizer_object=trained._tokenizer, model_max_length=LENGTH)


def train(out: Path, *, epochs: int, seed: int = 0) -> dict[str, Any]:
    """Train in bfloat16 and save model and tokenizer; returns what was measured."""
    import datasets
    from transformers import BertConfig, BertForSequenceClassification

    start = time.process_time()
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    data = datasets.load_dataset(str(ROOT.parent / "shared" / "data" / "banking77"))
    names = data["train"].features["label"].names
    tokenizer = tokenizer_of(data["train"]["text"])

    def tensors(part: str) -> tuple[torch.Tensor, torch.Tensor]:
        found = tokenizer(
            list(data[part]["text"]), padding="max_length", truncation=True, max_length=LENGTH
        )
        return torch.tensor(found["input_ids"]), torch.tensor(data[part]["label"])

    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=256,
            num_hidden_layers=4,
            num_attention_heads=8,
            intermediate_size=1024,
            max_position_embeddings=LENGTH,
            pad_token_id=tokenizer.pad_token_id,
            id2label=dict(enumerate(names)),
            label2id={name: i for i, name in enumerate(names)},
        )
    )
    (tokens, labels), (test_tokens, test_labels) = tensors("train"), tensors("test")
    steps = epochs * -(-len(tokens) // 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-4, total_steps=steps)

    def logits(batch: torch.Tensor) -> torch.Tensor:
        mask = (batch != tokenizer.pad_token_id).long()
        with torch.autocast("cpu", torch.bfloat16):
            return model(input_ids=batch, attention_mask=mask).logits.float()

    for epoch in range(epochs):
        model.train()
        for numbers in torch.randperm(len(tokens)).split(64):
            longest = int((tokens[numbers] != tokenizer.pad_token_id).sum(1).max())
            loss = F.cross_entropy(
                logits(tokens[numbers, :longest]), labels[numbers], label_smoothing=0.1
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(epoch, round(loss.item(), 3), round(time.process_time() - start), flush=True)
    model.eval()
    with torch.no_grad():
        answers = torch.cat([logits(part).argmax(1) for part in test_tokens.split(256)])
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return {
        "test_accuracy": float((answers == test_labels).float().mean()),
        "n": len(test_labels),
        "seed": seed,
        "epochs": epochs,
        "parameters": sum(each.numel() for each in model.parameters()),
        "cpu_seconds": round(time.process_time() - start),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=12)
    given = parser.parse_args()
    print(json.dumps(train(given.out, epochs=given.epochs), indent=1))
