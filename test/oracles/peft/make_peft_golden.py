"""Golden folders of adapters, saved by PEFT itself: what our reader must read and our writer must write.

  python test/oracles/peft/make_peft_golden.py      (peft 0.21; after make_lora_golden.py)

The adapters are those of test/oracles/lora/. Makes test/oracles/peft/golden/{visual_encoder,text_encoder,
text_decoder}/ (LoRA, r 4) and whole.golden.json: configuration, keys and shapes of wholly trained modules.
"""

import json
import re
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import torch
from blip_model import golden_model
from make_lora_golden import ALPHA, OUT, RANK, TEXT_SITES, VIT_SITES
from names import reference_name
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file

MODULES = {"vision_model": "visual_encoder", "text_encoder": "text_encoder", "text_decoder": "text_decoder"}
# PEFT matches the end of a path; 'embeddings' would also match 'word_embeddings' inside it.
WHOLE = {
    "vision_model": ["embeddings", "encoder", "post_layernorm"],
    "text_encoder": ["word_embeddings", "position_embeddings", "embeddings.LayerNorm", "encoder"],
    "text_decoder": ["bert", "cls"],
}


def wrap(model, module_name: str, config: LoraConfig):
    """Replaces the module by the PeftModel around it, in float32 as users have it."""
    wrapped = get_peft_model(getattr(model, module_name).float(), config)
    setattr(model, module_name, wrapped)
    return wrapped


def save_lora(module_name: str, folder: Path) -> None:
    sites = VIT_SITES if module_name == "vision_model" else TEXT_SITES
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.1, target_modules=sorted(sites))
    model = golden_model()
    wrapped = wrap(model, module_name, config)
    # names without the wrapper's own part
    own = {name.replace(".base_model.model.", "."): p for name, p in model.named_parameters()}
    adapters = load_file(OUT / "adapters.safetensors")
    with torch.no_grad():
        filled = [p.copy_(adapters[reference_name(n)]) for n, p in own.items() if ".lora_" in n]
    assert len(filled) > 0
    wrapped.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    stored = json.loads(path.read_text())
    stored["target_modules"].sort()  # a set in PEFT: its order would change at every run
    text = json.dumps(stored, indent=2)
    # as the formatter of this repository writes it: short lists on one line
    text = re.sub(r"\[\s+([^\]]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)
    path.write_text(text + "\n")


def describe_whole(module_name: str) -> dict:
    config = LoraConfig(target_modules="dummy-target-modules", modules_to_save=WHOLE[module_name])
    model = golden_model()
    count = len(list(getattr(model, module_name).parameters()))
    with tempfile.TemporaryDirectory() as folder:
        wrap(model, module_name, config).save_pretrained(folder)
        tensors = load_file(f"{folder}/adapter_model.safetensors")
        stored = json.loads(Path(folder, "adapter_config.json").read_text())
    tied = sum(name.startswith("base_model.model.cls.predictions.decoder.") for name in tensors)
    assert len(tensors) - tied == count, "modules_to_save does not cover the module"
    return {
        "modules_to_save": stored["modules_to_save"],
        "target_modules": stored["target_modules"],
        "auto_mapping": stored["auto_mapping"],
        "shapes": {name: list(t.shape) for name, t in sorted(tensors.items())},
    }


def main() -> None:
    for module_name, folder in MODULES.items():
        save_lora(module_name, HERE / "golden" / folder)
    whole = {folder: describe_whole(module_name) for module_name, folder in MODULES.items()}
    (HERE / "whole.golden.json").write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
