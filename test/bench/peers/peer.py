"""PyTorch + Hugging Face PEFT on the same work; commands arrive as JSON lines, replies leave as JSON lines.

Started by main.ts.
"""

import json
import sys
import time

import torch
from safetensors.torch import load_file

import peer_model


class Peer:
    def open(self, sizes, variant, placement, weights, adapters, dropout, batch, threads, setting, lr, work):
        peer_model.prepare_torch(threads)
        on = peer_model.SETTINGS[setting]
        self.model = peer_model.random_model(sizes, weights)
        self.trainable = peer_model.place(self.model, variant, placement, dropout)
        peer_model.blip_model.load_weights(self.model, load_file(adapters))
        self.cast = peer_model.apply_setting(self.model, setting)
        stored = load_file(batch)
        self.batch = {n: t if t.is_floating_point() else t.long() for n, t in stored.items()}
        if on.get("channels_last"):
            self.batch["pixel_values"] = self.batch["pixel_values"].to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.trainable, lr=lr, weight_decay=0.05)
        answers = (self.batch["labels"][:, 1:] != -100).sum()
        self.scale = float(answers) / len(self.batch["labels"])
        loss = self.loss_without_dropout()
        self.call = torch.compile(self.model) if on.get("compile") and work == "step" else self.model
        if on.get("compile") and work == "answer":  # generate() calls the modules one by one
            self.model.vision_model.compile()
            self.model.text_encoder.compile()
        self.measured = self.step
        if work == "answer":
            self.model.eval()
            self.measured = self.answer
        return {"loss": loss, "trainable": sum(p.numel() for p in self.trainable)}

    def loss_without_dropout(self) -> float:
        modes = {m: m.training for m in self.model.modules()}
        with torch.no_grad(), self.cast():
            self.model.eval()
            loss = float(self.model(**self.batch).loss) * self.scale
        for module, training in modes.items():
            module.training = training
        return loss

    def run(self):
        started = time.perf_counter()
        result = self.measured()
        return {"ms": 1000 * (time.perf_counter() - started)} | result

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        with self.cast():
            loss = self.call(**self.batch).loss * self.scale
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trainable, 1.0)
        self.optimizer.step()
        return {"loss": float(loss.detach())}

    def answer(self):
        """All questions of the batch in one call, as HF's users ask."""
        asked = {k: self.batch[k] for k in ("pixel_values", "input_ids", "attention_mask")}
        with torch.inference_mode(), self.cast():
            ids = self.model.generate(**asked, num_beams=3, max_new_tokens=9, min_length=1)
        return {"answers": ids.tolist()}

    def versions(self):
        return peer_model.versions()


def main() -> None:
    peer = Peer()
    for line in sys.stdin:
        command = json.loads(line)
        reply = getattr(peer, command.pop("do"))(**command)
        print(json.dumps(reply), flush=True)


main()
