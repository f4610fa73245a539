"""Golden files of LoRA (r 4, alpha 32, dropout off), from PEFT on HF's BLIP in float64.

  python test/oracles/make_blip_golden.py && python test/oracles/make_lora_golden.py      (peft 0.21)

Base weights, batch and loss are those of test/oracles/blip/. Makes test/oracles/lora/:
  config.json                 rank, alpha, sites by module
  adapters.safetensors        `<reference module path>.lora_A.weight` and `.lora_B.weight` of every site
  expected-<V>-<E>-<D>.safetensors   a file a placement (ViT, text encoder, text decoder; F frozen, P LoRA,
                              T all weights): `loss`, `grad.<name>` of each trainable tensor
  mutants.json                how far scaling 1 moves loss and logits
  steps.golden.json           losses of ten AdamW steps
"""

import json

import torch
from peft import LoraConfig, inject_adapter_in_model
from safetensors.torch import load_file, save_file

from blip_model import (
    HERE,
    effect,
    float32,
    forward,
    golden_batch,
    golden_model,
    gradients,
    load_weights,
    parameters,
    write_json,
)

OUT = HERE / "lora"
SEED = 1
RANK, ALPHA = 4, 32
MODULES = ["vision_model", "text_encoder", "text_decoder"]
TEXT_SITES = ["query", "key"]  # of self- and cross-attention: the sites `paper`
VIT_SITES = ["qkv", "projection", "fc1", "fc2", "patch_embedding"]
PLACEMENTS = ["FPP", "PPP", "FTP", "TPP", "TTP"]
ADAMW = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.05}
STEPS = 10


def placed_model(placement: str, adapters: dict[str, torch.Tensor] | None = None):
    """The golden model with F, P or T for each of its three modules."""
    model = golden_model()
    for letter, module_name in zip(placement, MODULES):
        module = getattr(model, module_name)
        module.requires_grad_(letter == "T")
        if letter == "P":
            sites = VIT_SITES if module_name == "vision_model" else TEXT_SITES
            config = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=sites)
            inject_adapter_in_model(config, module)
    model.double().eval()
    if adapters is not None:
        own = parameters(model)
        load_weights(model, {name: t for name, t in adapters.items() if name in own})
    return model


def make_adapters() -> dict[str, torch.Tensor]:
    """Both factors away from their initial values: with B = 0 the loss would not depend on A at all."""
    generator = torch.Generator().manual_seed(SEED)
    shapes = {name: p.shape for name, p in parameters(placed_model("PPP")).items() if ".lora_" in name}
    std = {"A": 0.12, "B": 0.1}
    return {
        name: std[name.split(".lora_")[1][0]] * torch.randn(shape, generator=generator)
        for name, shape in sorted(shapes.items())
    }


def with_scaling(model, scaling: float):
    for module in model.modules():
        if hasattr(module, "scaling"):
            assert module.scaling == {"default": ALPHA / RANK}
            module.scaling = {"default": scaling}
    return model


def adamw_losses(model, batch) -> dict[str, object]:
    """`losses[k]`: after k updates, so ten are used before an update and the last is the loss after all."""
    trainable = [p for p in parameters(model).values() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, **ADAMW, foreach=False)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = forward(model, batch)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    losses.append(forward(model, batch)["loss"].detach())
    return {
        "trainable_tensors": len(trainable),
        "trainable_numbers": sum(p.numel() for p in trainable),
        "losses": [round(float(loss), 10) for loss in losses],
    }


def main() -> None:
    torch.set_num_threads(1)
    OUT.mkdir(exist_ok=True)
    save_file(make_adapters(), OUT / "adapters.safetensors")
    adapters, batch = load_file(OUT / "adapters.safetensors"), golden_batch()
    write_json(OUT / "config.json", {"rank": RANK, "alpha": ALPHA})

    moved = {}
    for placement in PLACEMENTS:
        model = placed_model(placement, adapters)
        expected = gradients(model, batch)
        save_file(float32(expected), OUT / f"expected-{'-'.join(placement)}.safetensors")
        with torch.no_grad():
            before = forward(model, batch)
            moved[f"scaling 1 in {'/'.join(placement)}"] = effect(
                before, forward(with_scaling(model, 1.0), batch)
            )
        print(placement, "loss", float(expected["loss"]), "tensors", len(expected) - 1)
    write_json(OUT / "mutants.json", moved)

    steps = {"optimizer": {"name": "AdamW", **ADAMW}}
    for key, placement in {"F/P/P": "FPP", "T/T/P": "TTP", "full": "TTT"}.items():
        steps[key] = adamw_losses(placed_model(placement, adapters), batch)
        print(key, steps[key]["losses"])
    (OUT / "steps.golden.json").write_text(json.dumps(steps, indent=1) + "\n")


if __name__ == "__main__":
    main()
