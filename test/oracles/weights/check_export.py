"""transformers loads what `ort-weights export --layout hf-blip` writes, and answers as before.

  python test/oracles/weights/check_export.py FOLDER      (torch 2.13, transformers 5.24, pillow)

FOLDER holds the weights of test/oracles/weights/blip, imported and exported again. Writes export-check.json: the
keys that from_pretrained missed or did not expect, and the largest difference from blip-expected.safetensors.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoImageProcessor, BlipForQuestionAnswering

from make_weights_golden import HERE, blip_logits


def main(folder: Path) -> None:
    model, info = BlipForQuestionAnswering.from_pretrained(folder, output_loading_info=True)
    expected = load_file(HERE / "blip-expected.safetensors")
    batch = {n: t if t.is_floating_point() else t.long() for n, t in expected.items()}
    found = blip_logits(model.eval(), batch)
    tied = model.text_decoder.cls.predictions.decoder.weight
    assert tied is model.text_decoder.bert.embeddings.word_embeddings.weight
    processor = AutoImageProcessor.from_pretrained(folder)
    result = {
        "transformers": transformers.__version__,
        "missing_keys": sorted(info["missing_keys"]),
        "unexpected_keys": sorted(info["unexpected_keys"]),
        "mismatched_keys": sorted(map(str, info["mismatched_keys"])),
        "max_logit_difference": float((found["logits"].float() - expected["logits"]).abs().max()),
        "image_processor": type(processor).__name__,
        "image_size": dict(processor.size),
    }
    text = json.dumps(result, indent=2)
    (HERE / "export-check.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    with torch.no_grad():
        main(Path(sys.argv[1]))
