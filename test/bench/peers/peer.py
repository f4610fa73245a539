"""PyTorch + Hugging Face PEFT on the same work; commands arrive as JSON lines, replies leave as JSON lines.

Started by main.ts. HF's BlipForQuestionAnswering (with the repair of its cross-attention masks, see
test/oracles/blip_model.py), adapters by PEFT, prefixes by the hand-written module of the golden files.
"""

import json
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn.functional import scaled_dot_product_attention

sys.path.insert(0, str(Path(__file__).parents[2] / "oracles"))
import blip_model

SETTINGS = {
    # what each setting turns on beside HF's own code; the fastest at float32 is the peer
    "eager": {},
    "sdpa": {"sdpa": True},
    "compile": {"sdpa": True, "compile": True},
    "channels-last": {"sdpa": True, "channels_last": True},
    "bf16": {"sdpa": True, "bf16": True},
}


def sdpa_forward(attention):
    """The ViT's attention through PyTorch's fused kernel, which HF's BLIP does not use."""

    def forward(hidden_states, **_others):
        batch, tokens, width = hidden_states.shape
        qkv = attention.qkv(hidden_states).view(batch, tokens, 3, attention.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        context = scaled_dot_product_attention(query, key, value, scale=attention.scale)
        return attention.projection(context.transpose(1, 2).reshape(batch, tokens, width)), None

    return forward


class Peer:
    def open(self, sizes, variant, placement, weights, batch, threads, setting, lr, work):
        if threads:
            torch.set_num_threads(threads)
        torch.manual_seed(0)
        blip_model.CONFIG.update(sizes)
        from make_lora_golden import MODULES
        from make_variant_golden import LORA, adapt, replace_attention

        LORA.setdefault("lora-r8", {"r": 8})
        on = SETTINGS[setting]
        model = blip_model.build_model().float()
        blip_model.load_weights(model, load_file(weights))
        model.requires_grad_(False)
        for letter, name in zip(placement.replace("/", ""), MODULES):
            module = getattr(model, name)
            module.train(letter != "F")
            if letter == "T":
                module.requires_grad_(True)
            if letter == "P":
                adapt(module, variant, name, replace_attention, 10)
        if on.get("sdpa"):
            for layer in model.vision_model.encoder.layers:
                layer.self_attn.forward = sdpa_forward(layer.self_attn)
        self.model = model.float()
        stored = load_file(batch)
        self.batch = {n: t if t.is_floating_point() else t.long() for n, t in stored.items()}
        if on.get("channels_last"):
            self.model = self.model.to(memory_format=torch.channels_last)
            self.batch["pixel_values"] = self.batch["pixel_values"].to(memory_format=torch.channels_last)
        self.cast = (lambda: torch.autocast("cpu", torch.bfloat16)) if on.get("bf16") else nullcontext
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trainable, lr=lr, weight_decay=0.05) if trainable else None
        self.trainable = trainable
        answers = (self.batch["labels"][:, 1:] != -100).sum()
        self.scale = float(answers) / len(self.batch["labels"])
        self.call = torch.compile(self.model) if on.get("compile") else self.model
        modes = {m: m.training for m in self.model.modules()}
        with torch.inference_mode(), self.cast():
            self.model.eval()
            loss = float(self.model(**self.batch).loss) * self.scale
        for module, training in modes.items():
            module.training = training
        self.measured = self.step if work == "step" else self.answer
        return {"loss": loss, "trainable": sum(p.numel() for p in trainable)}

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
        import peft
        import transformers

        return {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}


def main() -> None:
    peer = Peer()
    for line in sys.stdin:
        command = json.loads(line)
        reply = getattr(peer, command.pop("do"))(**command)
        print(json.dumps(reply), flush=True)


main()
