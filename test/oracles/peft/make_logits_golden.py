"""Logits of HF's BLIP with the adapters that PEFT loads from the golden folders, in float64.

  python test/oracles/peft/make_logits_golden.py      (peft 0.21; after make_peft_golden.py)

Makes test/oracles/peft/:
  golden-whole/        PEFT around all of BlipForQuestionAnswering at once, LoRA r 2 on query and value, saved in
                       float16: what users who do not wrap modules one by one have
  logits.safetensors   <folder> [batch, answer tokens, vocab]: the golden batch of test/oracles/blip/; base: no adapter
  logits.json          how far each adapter moves the logits: far beyond the tolerance, or the test could not fail
"""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE))

import torch
from blip_model import TOLERANCE, forward, golden_batch, golden_model
from check_adapter import loaded_model
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file

ROWS = {"golden": "PPP", "golden-ia3": "PPP", "golden-dora": "PPP", "golden-ptv2": "FFP", "golden-prefix": "FFP"}
WHOLE = HERE / "golden-whole"


def save_whole() -> None:
    torch.manual_seed(11)
    config = LoraConfig(r=2, lora_alpha=8, lora_dropout=0.0, target_modules=["query", "value"])
    wrapped = get_peft_model(golden_model().float(), config)
    for name, p in wrapped.named_parameters():
        if ".lora_" in name:
            p.data = (0.12 * torch.randn(p.shape)).half()
    wrapped.save_pretrained(WHOLE)
    (WHOLE / "README.md").unlink(missing_ok=True)
    path = WHOLE / "adapter_config.json"
    stored = json.loads(path.read_text())
    stored["target_modules"].sort()  # a set in PEFT
    # as the formatter of this repository writes it: short lists on one line
    text = re.sub(r"\[\s+([^\]]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", json.dumps(stored, indent=2))
    path.write_text(text + "\n")


def whole_model():
    return PeftModel.from_pretrained(golden_model().float(), WHOLE).double().eval().get_base_model()


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)
    save_whole()
    batch = golden_batch()
    models = {"base": golden_model(), "golden-whole": whole_model()}
    models |= {folder: loaded_model(HERE / folder, letters) for folder, letters in ROWS.items()}
    logits = {name: forward(model, batch)["logits"] for name, model in models.items()}
    seen = batch["decoder_attention_mask"].bool()
    moved = {name: float((t - logits["base"])[seen].abs().max()) for name, t in logits.items() if name != "base"}
    assert min(moved.values()) > 100 * TOLERANCE, moved
    save_file({name: t.float().contiguous() for name, t in logits.items()}, HERE / "logits.safetensors")
    (HERE / "logits.json").write_text(json.dumps({n: round(v, 4) for n, v in moved.items()}, indent=2) + "\n")
    print(moved)


if __name__ == "__main__":
    main()
