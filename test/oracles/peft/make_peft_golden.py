"""Golden folders of adapters, saved by PEFT itself: what our reader must read and our writer must write.

  python test/oracles/peft/make_peft_golden.py      (peft 0.21; after make_variant_golden.py)

The adapters are those of test/oracles/lora/ and test/oracles/variants/. Makes test/oracles/peft/:
  golden/, golden-ia3/, golden-dora/   visual_encoder/, text_encoder/, text_decoder/: LoRA, (IA)3, DoRA
  golden-ptv2/, golden-prefix/         text_decoder/ alone (none in encoders: huggingface/peft#2989)
  whole.golden.json                    configuration, keys and shapes of wholly trained modules
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
from make_variant_golden import PROJECTED, TOKENS, peft_config, stored_adapters
from names import reference_name
from peft import LoraConfig, PrefixTuningConfig, get_peft_model
from safetensors.torch import load_file

VARIANTS = {
    "golden": "lora-r4",
    "golden-ia3": "ia3",
    "golden-dora": "dora-r4",
    "golden-ptv2": "ptv2-n10",
    "golden-prefix": "prefix-n10",
}
MODULES = {"vision_model": "visual_encoder", "text_encoder": "text_encoder", "text_decoder": "text_decoder"}
# PEFT matches the end of a path; 'embeddings' would also match 'word_embeddings' inside it.
WHOLE = {
    "vision_model": ["embeddings", "encoder", "post_layernorm"],
    "text_encoder": ["word_embeddings", "position_embeddings", "embeddings.LayerNorm", "encoder"],
    "text_decoder": ["bert", "cls"],
}


def wrap(model, module_name: str, config):
    """Replaces the module by the PeftModel around it, in float32 as users have it."""
    wrapped = get_peft_model(getattr(model, module_name).float(), config)
    setattr(model, module_name, wrapped)
    return wrapped


def config_of(variant: str, module_name: str):
    if variant in PROJECTED:
        return PrefixTuningConfig(
            task_type="CAUSAL_LM", num_virtual_tokens=TOKENS, prefix_projection=PROJECTED[variant]
        )
    config = peft_config(variant, module_name)
    if isinstance(config, LoraConfig):
        config.lora_dropout = 0.1
    return config


def save_adapter(variant: str, module_name: str, folder: Path) -> None:
    model = golden_model()
    wrapped = wrap(model, module_name, config_of(variant, module_name))
    # names without the wrapper's own parts
    own = {
        reference_name(re.sub(r"\.base_model\.model\.|(?<=prompt_encoder)\.default\.", ".", name)): p
        for name, p in model.named_parameters()
    }
    adapters = {name: t for name, t in stored_adapters(variant).items() if name.startswith(f"{folder.name}.")}
    trainable = {name for name, p in own.items() if name.startswith(f"{folder.name}.") and p.requires_grad}
    assert trainable == adapters.keys(), trainable ^ adapters.keys()
    with torch.no_grad():
        for name, t in adapters.items():
            own[name].copy_(t)
    wrapped.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    stored = json.loads(path.read_text())
    for key in stored.keys() & {"target_modules", "feedforward_modules"}:
        stored[key].sort()  # a set in PEFT: its order would change at every run
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
    torch.set_num_threads(1)
    for golden, variant in VARIANTS.items():
        for module_name, folder in MODULES.items():
            if variant not in PROJECTED or module_name == "text_decoder":
                save_adapter(variant, module_name, HERE / golden / folder)
    whole = {folder: describe_whole(module_name) for module_name, folder in MODULES.items()}
    (HERE / "whole.golden.json").write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
