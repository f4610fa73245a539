"""A whole training as a user of PyTorch + PEFT would write it: images from disk, batches, optimizer, checkpoints.

Started by epoch.ts and start.ts; takes one argument, JSON (the fields of `train`). Prints JSON lines: each step's
and each epoch's end with the time in seconds since 1970.
"""

import json
import sys
import time

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import peer_model


class Questions(Dataset):
    """`samples`: image (path), question and answer (word pieces, [ENC] or [DEC] to [SEP])."""

    def __init__(self, samples: list[dict], size: int, normalisation: dict):
        self.samples, self.size = samples, size
        self.scale = normalisation["scale"]
        self.mean = torch.tensor(normalisation["mean"]).view(3, 1, 1)
        self.std = torch.tensor(normalisation["std"]).view(3, 1, 1)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int):
        sample = self.samples[index]
        image = Image.open(sample["image"]).convert("RGB").resize((self.size, self.size), Image.BILINEAR)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) * self.scale
        return (pixels - self.mean) / self.std, sample["question"], sample["answer"]


def padded(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(row) for row in rows)
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask


def collate(parts) -> dict[str, torch.Tensor]:
    pixels, questions, answers = zip(*parts)
    input_ids, attention_mask = padded(questions)
    decoder_input_ids, decoder_mask = padded(answers)
    return {
        "pixel_values": torch.stack(pixels),
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "decoder_input_ids": decoder_input_ids,
        "decoder_attention_mask": decoder_mask,
        "labels": decoder_input_ids.masked_fill(decoder_mask == 0, -100),
    }


def tell(event: str, **facts) -> None:
    print(json.dumps({"event": event, "time": time.time()} | facts), flush=True)


def train(
    sizes, folder, samples, normalisation, variant, placement, dropout,
    batch_size, epochs, max_steps, lr, setting, threads, workers, checkpoint,
):  # fmt: skip
    peer_model.prepare_torch(threads)
    model = peer_model.saved_model(sizes, folder)
    trainable = peer_model.place(model, variant, placement, dropout)
    cast = peer_model.apply_setting(model, setting)
    optimizer = torch.optim.AdamW(trainable, lr=lr, weight_decay=0.05)
    with open(samples) as file:
        data = Questions(json.load(file), sizes["image_size"], normalisation)
    loader = DataLoader(
        data, batch_size, shuffle=True, collate_fn=collate, num_workers=workers, persistent_workers=workers > 0
    )
    step = 0
    for epoch in range(epochs):
        for batch in loader:
            answers = (batch["labels"][:, 1:] != -100).sum() / len(batch["labels"])
            optimizer.zero_grad(set_to_none=True)
            with cast():
                loss = model(**batch).loss * answers
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trainable, 1.0)
            optimizer.step()
            step += 1
            tell("step", step=step, epoch=epoch, loss=float(loss.detach()))
            if step == max_steps:
                return
        torch.save({n: p for n, p in model.named_parameters() if p.requires_grad}, checkpoint)


if __name__ == "__main__":
    train(**json.loads(sys.argv[1]))
