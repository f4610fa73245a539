"""Loads an adapter folder written by MILE-ORT with PEFT and compares the model with the golden files.

  python test/oracles/peft/check_adapter.py FOLDER PLACEMENT [VARIANT]      (peft 0.21; VARIANT: lora-r4)
  e.g. runs/ia3/adapter P/P/P ia3

VARIANT and PLACEMENT are a row of make_variant_golden.py; or PLACEMENT has no P (the golden base model is
expected). The weights of T modules are noise before loading: only the folder can put the right ones in.
Asserts: PEFT finds every tensor of the file and misses none; adapts exactly the modules in the file; logits
within 1e-4 of the model that make_variant_golden.py builds; loss within 1e-4 of the stored one.

A prefix in the decoder is PEFT's to apply. In an encoder PEFT has none (huggingface/peft#2989): there it only
loads the table, and the attention of make_variant_golden.py applies it.
"""

import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from blip_model import HERE, TOLERANCE, forward, golden_batch, golden_model
from make_lora_golden import MODULES
from make_variant_golden import TOKENS, PromptEncoder, placed_model, replace_attention, stored_adapters
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import DynamicCache, EncoderDecoderCache

FOLDERS = ["visual_encoder", "text_encoder", "text_decoder"]


def load(module, folder: Path, letter: str) -> PeftModel:
    if letter == "T":
        with torch.no_grad():
            for p in module.parameters():
                p.normal_()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
        warnings.filterwarnings("error", message=".*missing adapter keys.*")
        wrapped = PeftModel.from_pretrained(module, folder)
    stored = load_file(folder / "adapter_model.safetensors")
    loaded = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    assert loaded.keys() == stored.keys(), loaded.keys() ^ stored.keys()
    for name, t in stored.items():
        assert torch.equal(loaded[name].float(), t), name
    paths = [name.removeprefix("base_model.model.") for name in stored]
    sites = {path.split(mark)[0] for path in paths for mark in (".lora_", ".ia3_l") if mark in path}
    targeted = set(getattr(wrapped.base_model, "targeted_module_names", []))
    assert targeted == sites, targeted ^ sites
    print(f"  {folder.name}: {len(stored)} tensors, {len(sites)} sites")
    return wrapped


def prefix_by_hand(wrapped: PeftModel) -> None:
    prompt = PromptEncoder(projected=False, tokens=TOKENS)
    prompt.embedding = wrapped.prompt_encoder["default"].embedding
    replace_attention(wrapped.get_base_model(), prompt)


def prefix_by_peft(wrapped: PeftModel) -> None:
    def keep_positions(_module, args, kwargs):  # PEFT adds the number of virtual tokens
        return args, kwargs | {"position_ids": torch.arange(kwargs["input_ids"].shape[1])[None] - TOKENS}

    def split_cache(_module, args, kwargs):  # or cross-attention would find the prefix in its keys, too
        cache = EncoderDecoderCache(kwargs["past_key_values"], DynamicCache())
        return args, kwargs | {"past_key_values": cache}

    wrapped.register_forward_pre_hook(keep_positions, with_kwargs=True)
    wrapped.get_base_model().register_forward_pre_hook(split_cache, with_kwargs=True)


def loaded_model(folder: Path, letters: str):
    model = golden_model()
    for letter, module_name, sub in zip(letters, MODULES, FOLDERS):
        assert (folder / sub / "adapter_config.json").exists() == (letter != "F"), sub
        if letter == "F":
            continue
        wrapped = load(getattr(model, module_name), folder / sub, letter)
        if wrapped.active_peft_config.is_prompt_learning:
            (prefix_by_peft if sub == "text_decoder" else prefix_by_hand)(wrapped)
        setattr(model, module_name, wrapped)
    return model.double().eval()


def stored_loss(letters: str, variant: str) -> float:
    row = f"lora/expected-{'-'.join(letters)}"
    if variant != "lora-r4":
        row = f"variants/expected-{variant}-{'-'.join(letters)}"
    path = row if "P" in letters else "blip/expected"
    return float(load_file(HERE / f"{path}.safetensors")["loss"])


@torch.no_grad()
def main(folder: Path, placement: str, variant: str = "lora-r4") -> None:
    torch.set_num_threads(1)
    letters, batch = placement.replace("/", ""), golden_batch()
    ours = forward(loaded_model(folder, letters), batch)
    expected = forward(placed_model(variant, letters, stored_adapters(variant)), batch)
    logits = float((ours["logits"] - expected["logits"]).abs().max())
    loss = abs(float(ours["loss"]) - stored_loss(letters, variant))
    print(f"{variant} {placement}: loss {ours['loss']:.6f}, differs by {loss:.2e}; logits by {logits:.2e}")
    assert max(loss, logits) <= TOLERANCE


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
