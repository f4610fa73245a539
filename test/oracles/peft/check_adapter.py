"""Loads an adapter folder written by MILE-ORT with PEFT and compares the model with the golden files.

  python test/oracles/peft/check_adapter.py FOLDER PLACEMENT      e.g. runs/lora-r8/adapter P/P/P      (peft 0.21)

PLACEMENT is one of test/oracles/lora/expected-*.safetensors, or has no P (the golden base model is expected).
The weights of T modules are noise before loading: only the folder can put the right ones in.
Asserts: PEFT finds every tensor of the file and misses none; adapts exactly the modules in the file; logits
within 1e-4 of the model that make_lora_golden.py builds; loss within 1e-4 of the stored one.
"""

import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from blip_model import HERE, TOLERANCE, forward, golden_batch, golden_model
from make_lora_golden import MODULES, placed_model
from peft import PeftModel
from safetensors.torch import load_file

FOLDERS = ["visual_encoder", "text_encoder", "text_decoder"]


def load(module, folder: Path, letter: str):
    if letter == "T":
        with torch.no_grad():
            for p in module.parameters():
                p.normal_()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
        warnings.filterwarnings("error", message=".*missing adapter keys.*")
        wrapped = PeftModel.from_pretrained(module, folder)
    stored = load_file(folder / "adapter_model.safetensors")
    loaded = wrapped.state_dict()
    inserted = {
        name.replace(".default.", ".").replace(".modules_to_save.", ".").replace(".default", ""): t
        for name, t in loaded.items()
        if ".lora_" in name or ".modules_to_save." in name
    }
    assert inserted.keys() == stored.keys(), inserted.keys() ^ stored.keys()
    for name, t in stored.items():
        assert torch.equal(inserted[name].float(), t), name
    sites = {name.removeprefix("base_model.model.").split(".lora_")[0] for name in stored if ".lora_" in name}
    targeted = set(wrapped.base_model.targeted_module_names)
    assert targeted == sites, targeted ^ sites
    return wrapped, len(stored), len(sites)


def main(folder: Path, placement: str) -> None:
    torch.set_num_threads(1)
    letters, batch = placement.replace("/", ""), golden_batch()
    adapters = load_file(HERE / "lora/adapters.safetensors")
    model = golden_model()
    for letter, module_name, sub in zip(letters, MODULES, FOLDERS):
        assert (folder / sub / "adapter_config.json").exists() == (letter != "F"), sub
        if letter != "F":
            wrapped, tensors, sites = load(getattr(model, module_name), folder / sub, letter)
            setattr(model, module_name, wrapped)
            print(f"  {sub}: {tensors} tensors, {sites} LoRA sites")
    model.double().eval()
    with torch.no_grad():
        ours, expected = forward(model, batch), forward(placed_model(letters, adapters), batch)
    file = f"lora/expected-{'-'.join(letters)}.safetensors"
    stored = load_file(HERE / (file if "P" in letters else "blip/expected.safetensors"))["loss"]
    logits = float((ours["logits"] - expected["logits"]).abs().max())
    loss = abs(float(ours["loss"]) - float(stored))
    print(f"{placement}: loss {float(ours['loss']):.6f}, differs by {loss:.2e}; logits by {logits:.2e}")
    assert max(loss, logits) <= TOLERANCE


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
