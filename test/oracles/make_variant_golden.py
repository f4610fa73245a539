"""Golden files of every tuning method and placement of the paper's tables, on HF's BLIP in float64.

  python test/oracles/make_variant_golden.py      (after make_lora_golden.py; the same packages)

LoRA, rsLoRA, DoRA and (IA)3 by PEFT; prefix and P-tuning v2 by hand, which PEFT cannot put into BLIP's encoder,
checked against HF's attention over a cache that begins with the prefix.
Base weights, batch and loss are those of test/oracles/blip/. Makes test/oracles/variants/:
  <variant>.safetensors    the adapters of all modules that the method goes into, away from their initial values
                           (lora-r4 and rslora-r4: those of test/oracles/lora/)
  expected-<variant>-<V>-<E>-<D>.safetensors   a file a row (ViT, text encoder, text decoder; F frozen, P adapted,
                           T all weights): `loss`, `grad.<name>` of each trainable tensor
  steps.golden.json        losses of ten AdamW steps of every row, those of lora-r4 included
  mutants.json             how far a wrong method moves loss and logits
"""

import json
import math

import torch
from peft import IA3Config, LoraConfig, inject_adapter_in_model
from peft.tuners.ia3 import IA3Layer
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import pad
from transformers import DynamicCache, EncoderDecoderCache

import names
from blip_model import (
    CONFIG,
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
from make_lora_golden import ADAMW, ALPHA, MODULES, PLACEMENTS, RANK, TEXT_SITES, VIT_SITES, adamw_losses
from make_lora_golden import placed_model as lora_model

names.RULES += [
    (r"\.lora_magnitude_vector\.default\.weight$", ".lora_magnitude_vector"),
    (r"\.ia3_l\.default$", ".ia3_l"),
]

OUT = HERE / "variants"
SEED = 5  # with another, chance may let a mutant leave the loss where it was
TOKENS, WIDTH, LAYERS = 10, CONFIG["hidden_size"], CONFIG["num_hidden_layers"]
PROJECTED = {"prefix-n10": True, "ptv2-n10": False}
LORA = {
    "lora-r4": {"r": RANK},
    "lora-r8": {"r": 2 * RANK},
    "rslora-r4": {"r": RANK, "use_rslora": True},
    "dora-r4": {"r": RANK, "use_dora": True},
}
TEXT_PLACEMENTS = ["FFP", "FPP", "TPP", "TTP"]
ROWS = {
    "lora-r4": PLACEMENTS,
    "lora-r8": PLACEMENTS,
    "ia3": PLACEMENTS,
    "prefix-n10": TEXT_PLACEMENTS,
    "ptv2-n10": TEXT_PLACEMENTS,
    "rslora-r4": ["FPP"],
    "dora-r4": ["FPP", "PPP"],
}


class PromptEncoder(nn.Module):
    """Makes the table [tokens, layers * 2 * width]: column block 2l is layer l's keys, 2l+1 its values."""

    def __init__(self, projected: bool, tokens: int):
        super().__init__()
        columns = LAYERS * 2 * WIDTH
        self.embedding = nn.Embedding(tokens, WIDTH if projected else columns)
        layers = [nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, columns)] if projected else []
        self.transform = nn.Sequential(*layers)

    def forward(self) -> torch.Tensor:
        return self.transform(self.embedding.weight)

    def block(self, index: int, batch: int) -> torch.Tensor:
        """[batch, tokens, width]"""
        return self().split(WIDTH, dim=1)[index].expand(batch, -1, -1)


def prefixed_attention(attention, prompt: PromptEncoder):
    """The forward of a self-attention that has the prefix before its own keys and values, never masked."""

    def heads(x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)

    def grown(own: torch.Tensor, index: int) -> torch.Tensor:
        return heads(torch.cat([prompt.block(index, len(own)), own], dim=1))

    def attend(hidden_states, attention_mask, **_others):
        key = grown(attention.key(hidden_states), 2 * attention.layer_idx)
        value = grown(attention.value(hidden_states), 2 * attention.layer_idx + 1)
        scores = heads(attention.query(hidden_states)) @ key.mT / math.sqrt(attention.attention_head_size)
        if attention_mask is not None:  # none: nothing is padded
            scores = scores + pad(attention_mask, (prompt.embedding.num_embeddings, 0))  # 0: visible
        probabilities = scores.softmax(-1)
        return (probabilities @ value).transpose(1, 2).flatten(2), probabilities

    return attend


def text_model(module):
    return getattr(module, "bert", module)


def replace_attention(module, prompt: PromptEncoder) -> None:
    for layer in text_model(module).encoder.layer:
        layer.attention.self.forward = prefixed_attention(layer.attention.self, prompt)


def fill_cache(module, prompt: PromptEncoder) -> None:
    """The same by other means, as a check: HF's own attention over a cache that begins with the prefix."""

    def heads(index: int, batch: int) -> torch.Tensor:
        block = prompt.block(index, batch)
        return block.unflatten(-1, (CONFIG["num_attention_heads"], -1)).transpose(1, 2)

    def fill(_module, args, kwargs):
        batch, length = kwargs["input_ids"].shape
        cache = DynamicCache()
        for i in range(LAYERS):
            cache.update(heads(2 * i, batch), heads(2 * i + 1, batch), i)
        added = {
            "attention_mask": pad(kwargs["attention_mask"], (TOKENS, 0), value=1),
            "position_ids": torch.arange(length)[None],  # or they begin at 10
            "past_key_values": EncoderDecoderCache(cache, DynamicCache()),
        }
        return args, kwargs | added

    module.register_forward_pre_hook(fill, with_kwargs=True)


def peft_config(variant: str, module_name: str):
    in_vit = module_name == "vision_model"
    if variant == "ia3":
        sites = ["fc2"] if in_vit else ["key", "value", "output.dense"]
        return IA3Config(target_modules=sites, feedforward_modules=sites[-1:])
    sites = VIT_SITES if in_vit else TEXT_SITES
    return LoraConfig(lora_alpha=ALPHA, lora_dropout=0.0, target_modules=sites, **LORA[variant])


def adapt(module, variant: str, module_name: str, put_prefix, tokens: int) -> None:
    if variant in PROJECTED:
        module.prompt_encoder = PromptEncoder(PROJECTED[variant], tokens)
        put_prefix(module, module.prompt_encoder)
    else:
        inject_adapter_in_model(peft_config(variant, module_name), module)


def placed_model(variant: str, placement: str, adapters=None, put_prefix=replace_attention, tokens=TOKENS):
    """The golden model with F, P or T for each of its three modules."""
    model = lora_model(placement.replace("P", "F"))
    for letter, module_name in zip(placement, MODULES):
        if letter == "P":
            adapt(getattr(model, module_name), variant, module_name, put_prefix, tokens)
    model.double().eval()
    if adapters is not None:
        own = parameters(model)
        load_weights(model, {name: t for name, t in adapters.items() if name in own})
    return model


def make_adapters(variant: str) -> dict[str, torch.Tensor]:
    """Values far from the initial ones, drawn in the order of names."""
    generator = torch.Generator().manual_seed(SEED)
    model = placed_model(variant, "FPP" if variant in PROJECTED else "PPP")
    initial = {name: p.detach() for name, p in parameters(model).items() if p.requires_grad}

    def value(name: str) -> torch.Tensor:
        noise = torch.randn(initial[name].shape, generator=generator)
        if name.endswith(".lora_magnitude_vector"):  # at first the row norms of the base weight
            return initial[name] * (1 + 0.2 * noise)
        if name.endswith(".ia3_l"):
            return 1 + 0.3 * noise
        if name.endswith(".embedding.weight"):
            return noise if PROJECTED[variant] else 0.5 * noise
        return noise * (0.1 if name.endswith((".lora_B.weight", ".bias")) else 0.12)

    return float32({name: value(name) for name in sorted(initial)})


def stored_adapters(variant: str) -> dict[str, torch.Tensor]:
    shared = variant in ("lora-r4", "rslora-r4")
    return load_file(HERE / "lora/adapters.safetensors" if shared else OUT / f"{variant}.safetensors")


def hide_prefix(_model):
    return golden_model()  # a prefix that no query sees is none


def shift_positions(model):
    def shift(_module, args, kwargs):
        return args, kwargs | {"position_ids": TOKENS + torch.arange(kwargs["input_ids"].shape[1])[None]}

    for module in (model.text_encoder, model.text_decoder):
        text_model(module).embeddings.register_forward_pre_hook(shift, with_kwargs=True)
    return model


def swap_keys_and_values(model):
    for module in (model.text_encoder, model.text_decoder):
        table = module.prompt_encoder().view(-1, LAYERS, 2, WIDTH).flip(2).flatten(1)
        module.prompt_encoder.forward = lambda table=table: table
    return model


def without_tanh(model):
    for module in (model.text_encoder, model.text_decoder):
        module.prompt_encoder.transform[1] = nn.Identity()
    return model


def scale_outputs(model):
    """Where input and output have the same width: after attention and cross-attention."""
    for module in model.modules():
        if isinstance(module, IA3Layer) and module.in_features == module.out_features:
            module.is_feedforward = False
    return model


def without_scaling(model, site: str):
    ones = {n: torch.ones_like(p) for n, p in parameters(model).items() if n.endswith(f".{site}.ia3_l")}
    load_weights(model, ones)
    return model


def as_plain_lora(model):
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.scaling = {"default": ALPHA / RANK}
            module.lora_variant.clear()
    return model


MUTANTS = {
    "prefix hidden by the mask": ("prefix-n10", "FPP", hide_prefix),
    "position ids shifted by the prefix": ("prefix-n10", "FPP", shift_positions),
    "key and value blocks swapped": ("prefix-n10", "FPP", swap_keys_and_values),
    "tanh left out": ("prefix-n10", "FPP", without_tanh),
    "P-tuning v2 hidden by the mask": ("ptv2-n10", "FPP", hide_prefix),
    "P-tuning v2, key and value blocks swapped": ("ptv2-n10", "FPP", swap_keys_and_values),
    "(IA)3 scales the output of output.dense": ("ia3", "FPP", scale_outputs),
    "(IA)3 without key scaling": ("ia3", "FPP", lambda m: without_scaling(m, "key")),
    "(IA)3 without the ViT's fc2 scaling": ("ia3", "PPP", lambda m: without_scaling(m, "fc2")),
    "rsLoRA with scaling alpha/r": ("rslora-r4", "FPP", as_plain_lora),
    "DoRA without the magnitude": ("dora-r4", "FPP", as_plain_lora),
    "DoRA without the magnitude, ViT too": ("dora-r4", "PPP", as_plain_lora),
}


@torch.no_grad()
def mutant_effect(batch, variant: str, placement: str, change) -> dict[str, float]:
    adapters = stored_adapters(variant)
    before = forward(placed_model(variant, placement, adapters), batch)
    return effect(before, forward(change(placed_model(variant, placement, adapters)), batch))


@torch.no_grad()
def assert_empty_prefix_is_hf(batch) -> None:
    ours = forward(placed_model("ptv2-n10", "FPP", tokens=0), batch)["logits"]
    assert (ours - forward(golden_model(), batch)["logits"]).abs().max() < 1e-12


def assert_cache_agrees(expected, variant: str, placement: str, batch) -> None:
    other = gradients(placed_model(variant, placement, stored_adapters(variant), fill_cache), batch)
    assert expected.keys() == other.keys()
    for name, t in expected.items():
        assert (t - other[name]).norm() <= 1e-12 * (1 + t.norm()), name


def assert_adapters_matter(expected, adapters) -> None:
    total = math.sqrt(sum(g.square().sum() for name, g in expected.items() if name != "loss"))
    for name in adapters.keys() & {name.removeprefix("grad.") for name in expected}:
        assert expected[f"grad.{name}"].norm() > 1e-4 * total, name


def write_row(variant: str, placement: str, batch) -> None:
    adapters = stored_adapters(variant)
    expected = gradients(placed_model(variant, placement, adapters), batch)
    assert_adapters_matter(expected, adapters)
    if variant in PROJECTED:
        assert_cache_agrees(expected, variant, placement, batch)
    save_file(float32(expected), OUT / f"expected-{variant}-{'-'.join(placement)}.safetensors")
    print(variant, placement, "loss", float(expected["loss"]), "tensors", len(expected) - 1)


def main() -> None:
    torch.set_num_threads(1)
    OUT.mkdir(exist_ok=True)
    batch = golden_batch()
    assert_empty_prefix_is_hf(batch)
    steps = {"optimizer": {"name": "AdamW", **ADAMW}}
    for variant, placements in ROWS.items():
        if variant not in ("lora-r4", "rslora-r4"):
            save_file(make_adapters(variant), OUT / f"{variant}.safetensors")
        for placement in placements:
            if variant != "lora-r4":
                write_row(variant, placement, batch)
            model = placed_model(variant, placement, stored_adapters(variant))
            steps[f"{variant} {'/'.join(placement)}"] = adamw_losses(model, batch)
    (OUT / "steps.golden.json").write_text(json.dumps(steps, indent=1) + "\n")
    moved = {name: mutant_effect(batch, *mutant) for name, mutant in MUTANTS.items()}
    write_json(OUT / "mutants.json", moved)
    print(*moved.items(), sep="\n")


if __name__ == "__main__":
    main()
