"""The peer's model: Hugging Face's BlipForQuestionAnswering with PEFT's adapters, set up as its users would.

Imported by peer.py (steps and answers in turn with this program) and peer_train.py (whole trainings). The model's
cross-attention masks are repaired (test/oracles/blip_model.py); prefixes are the golden files' hand-written module,
as PEFT cannot put them into BLIP's encoder.

  python peer_model.py SIZES_JSON WEIGHTS FOLDER      saves the model with these weights as from_pretrained reads it
"""

import json
import sys
from contextlib import nullcontext
from pathlib import Path

import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from torch.nn.functional import scaled_dot_product_attention
from transformers import BlipForQuestionAnswering

sys.path.insert(0, str(Path(__file__).parents[2] / "oracles"))
import blip_model

MODULES = ["vision_model", "text_encoder", "text_decoder"]
SETTINGS = {
    # what each setting turns on beside HF's own code; the fastest at float32 is the peer
    "eager": {},
    "sdpa": {"sdpa": True},
    "compile": {"sdpa": True, "compile": True},
    "channels-last": {"sdpa": True, "channels_last": True},
    "bf16": {"sdpa": True, "bf16": True},
}


def prepare_torch(threads: int | None) -> None:
    """Denormals are flushed in both programs; before the first operator, whose threads inherit it."""
    torch.set_flush_denormal(True)
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)


def random_model(sizes: dict, weights: str) -> BlipForQuestionAnswering:
    blip_model.CONFIG.update(sizes)
    model = blip_model.build_model(torch.float32)
    blip_model.load_weights(model, load_file(weights))
    return model


def saved_model(sizes: dict, folder: str) -> BlipForQuestionAnswering:
    blip_model.CONFIG.update(sizes)
    model = BlipForQuestionAnswering.from_pretrained(folder, dtype=torch.float32)
    blip_model.repair_masks(model)
    return model


def set_dropout(model, rate: float) -> None:
    """Where this program has it: embeddings, probabilities and sub-layers of the texts, LoRA's inputs."""
    for name in MODULES[1:]:
        for part in getattr(model, name).modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = rate
    for part in model.modules():
        if isinstance(part, LoraLayer):
            part.lora_dropout["default"] = torch.nn.Dropout(rate)


def place(model, variant: str, placement: str, dropout: float) -> list[torch.nn.Parameter]:
    """Freezes, trains or adapts each module; what is trained. A frozen module runs in evaluation mode."""
    from make_variant_golden import LORA, adapt, replace_attention  # reads the sizes when it is imported

    if variant.startswith("lora-r"):
        LORA[variant] = {"r": int(variant.removeprefix("lora-r"))}
    model.requires_grad_(False)
    for letter, name in zip(placement.replace("/", ""), MODULES):
        module = getattr(model, name)
        module.train(letter != "F")
        if letter == "T":
            module.requires_grad_(True)
        if letter == "P":
            adapt(module, variant, name, replace_attention, 10)
    set_dropout(model, dropout)
    if placement.startswith("F"):
        model.vision_model.forward = torch.no_grad()(model.vision_model.forward)
    return [p for p in model.parameters() if p.requires_grad]


def sdpa_forward(attention):
    """The ViT's attention through PyTorch's fused kernel, which HF's BLIP does not use."""

    def forward(hidden_states, **_others):
        batch, tokens, width = hidden_states.shape
        qkv = attention.qkv(hidden_states).view(batch, tokens, 3, attention.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        context = scaled_dot_product_attention(query, key, value, scale=attention.scale)
        return attention.projection(context.transpose(1, 2).reshape(batch, tokens, width)), None

    return forward


def apply_setting(model, setting: str):
    """Changes the model in place; the context of each forward pass."""
    on = SETTINGS[setting]
    if on.get("sdpa"):
        for layer in model.vision_model.encoder.layers:
            layer.self_attn.forward = sdpa_forward(layer.self_attn)
    if on.get("channels_last"):
        model.to(memory_format=torch.channels_last)
    return (lambda: torch.autocast("cpu", torch.bfloat16)) if on.get("bf16") else nullcontext


def versions() -> dict[str, object]:
    import peft
    import transformers

    return {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "torch CPU capability": torch.backends.cpu.get_cpu_capability(),
        "torch threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    random_model(json.loads(sys.argv[1]), sys.argv[2]).save_pretrained(sys.argv[3])
