"""Golden files of the weight importers: what transformers, PyTorch and NumPy write, and what their models answer.

  python test/oracles/weights/make_weights_golden.py      (torch 2.13, transformers 5.24, safetensors, numpy)

Makes in test/oracles/weights/:
  blip/            a tiny BlipForQuestionAnswering: config.json and model.safetensors of save_pretrained,
                   pytorch_model.bin (state dict in float16, tied weights twice)
  miss.pth         the same weights in the reference's names, bfloat16, under `model`, with an optimizer beside;
                   in the legacy format
  blip-expected.safetensors     a batch, image tokens and logits of the model in float64
  vit/             a tiny ViTForImageClassification, in two shards with an index
  timm-vit.npz     the same weights in timm's names
  vit-expected.safetensors      hidden states at its own size and at another one (position embeddings resized)
  bert/            a tiny BertForPreTraining
  bert-expected.safetensors     hidden states of its body
  tensors.pth, tensors-legacy.pth, tensors.json     tensors of all types, strides and sharing, in both formats
  arrays.npz, arrays-compressed.npz                 arrays of several types, one in Fortran order
  bicubic.safetensors           grids resized by torch.nn.functional.interpolate

All weights are numbers that float16 and bfloat16 hold exactly: every file says the same.
"""

import collections
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import (
    BertConfig,
    BertForPreTraining,
    BlipConfig,
    BlipForQuestionAnswering,
    ViTConfig,
    ViTForImageClassification,
)
from transformers.models.blip.modeling_blip_text import BlipTextSelfAttention

import sys

sys.path.append(str(Path(__file__).parent.parent))
from names import reference_name  # noqa: E402

HERE = Path(__file__).parent
BODY = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_hidden_layers": 1}
VOCAB, POSITIONS = 40, 12
DEC, ENC, SEP = 38, 39, 2


def exact(t: torch.Tensor) -> torch.Tensor:
    """Rounded so that float16 and bfloat16 both hold it."""
    t = torch.where(t.abs() < 2**-10, torch.zeros_like(t), t).bfloat16().float()
    assert torch.equal(t, t.half().float())
    return t


@torch.no_grad()
def fill(model, seed: int) -> None:
    """Far from an initialisation, or a swapped pair of weights would not show."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in sorted(model.named_parameters()):
        noise = torch.randn(p.shape, generator=generator)
        gain = p.ndim == 1 and name.endswith("weight")
        p.copy_(exact(1 + 0.2 * noise if gain else 0.25 * noise))


def keep_cross_attention_mask(_module, args, kwargs):
    return args, kwargs | {"encoder_attention_mask": kwargs["attention_mask"]}


def blip_model() -> BlipForQuestionAnswering:
    text = BODY | {
        "vocab_size": VOCAB,
        "max_position_embeddings": POSITIONS,
        "layer_norm_eps": 1e-12,
        "bos_token_id": DEC,
        "sep_token_id": SEP,
        "eos_token_id": SEP,
        "pad_token_id": 0,
    }
    vision = BODY | {"image_size": 16, "patch_size": 8, "layer_norm_eps": 1e-6}
    return BlipForQuestionAnswering(BlipConfig(text_config=text, vision_config=vision)).eval()


def blip_batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(3, DEC, (2, 6), generator=generator)
    answers = torch.randint(3, DEC, (2, 4), generator=generator)
    ids[:, 0], answers[:, 0] = ENC, DEC
    ids[1, 4:] = 0
    return {
        "pixel_values": torch.randn(2, 3, 16, 16, generator=generator),
        "input_ids": ids,
        "attention_mask": (ids != 0).long(),
        "decoder_input_ids": answers,
        "decoder_attention_mask": torch.ones_like(answers),
    }


@torch.no_grad()
def blip_logits(model, batch) -> dict[str, torch.Tensor]:
    model = model.double()
    # transformers 5 loses the mask of every cross-attention (see ../blip_model.py)
    for module in model.modules():
        if isinstance(module, BlipTextSelfAttention):
            module.register_forward_pre_hook(keep_cross_attention_mask, with_kwargs=True)
    image = model.vision_model(batch["pixel_values"].double()).last_hidden_state
    states = model.text_encoder(
        batch["input_ids"], attention_mask=batch["attention_mask"], encoder_hidden_states=image
    ).last_hidden_state
    logits = model.text_decoder(
        batch["decoder_input_ids"],
        attention_mask=batch["decoder_attention_mask"],
        encoder_hidden_states=states,
        encoder_attention_mask=batch["attention_mask"],
    ).logits
    return {"image_embeds": image, "logits": logits}


def store(path: str, tensors: dict[str, torch.Tensor]) -> None:
    save_file(
        {n: (t.float() if t.is_floating_point() else t.int()).contiguous() for n, t in tensors.items()},
        HERE / path,
    )


def make_blip() -> None:
    model = blip_model()
    fill(model, 1)
    model.save_pretrained(HERE / "blip")
    (HERE / "blip/generation_config.json").unlink()
    state = model.state_dict()
    assert "text_decoder.cls.predictions.decoder.weight" in state
    torch.save({n: t.half() for n, t in state.items()}, HERE / "blip/pytorch_model.bin")
    named = {reference_name(n): t.bfloat16() for n, t in state.items()}
    named["text_encoder.embeddings.position_ids"] = torch.arange(POSITIONS)[None]
    checkpoint = {
        "model": collections.OrderedDict(named),
        "optimizer": {
            "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(4)}},
            "param_groups": [{"lr": 2e-5, "betas": (0.9, 0.999), "params": [0]}],
        },
        "config": {"image_size": 16, "vit": "base"},
        "epoch": 7,
        "best": np.float64(0.5),
    }
    torch.save(checkpoint, HERE / "miss.pth", _use_new_zipfile_serialization=False)
    batch = blip_batch()
    store("blip-expected.safetensors", batch | blip_logits(model, batch))


def timm_names(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """From transformers' file names, query, key and value fused."""
    roots = {
        "embeddings.cls_token": "cls_token",
        "embeddings.position_embeddings": "pos_embed",
        "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
        "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
        "layernorm.weight": "norm.weight",
        "layernorm.bias": "norm.bias",
    }
    inner = {
        "layernorm_before": "norm1",
        "layernorm_after": "norm2",
        "attention.o_proj": "attn.proj",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
    }
    named = {new: state[f"vit.{old}"] for old, new in roots.items()}
    for leaf in ("weight", "bias"):
        for old, new in inner.items():
            named[f"blocks.0.{new}.{leaf}"] = state[f"vit.layers.0.{old}.{leaf}"]
        qkv = [state[f"vit.layers.0.attention.{n}_proj.{leaf}"] for n in "qkv"]
        named[f"blocks.0.attn.qkv.{leaf}"] = torch.cat(qkv)
    named |= {"head.weight": state["classifier.weight"], "head.bias": state["classifier.bias"]}
    return {n: t.numpy() for n, t in named.items()}


@torch.no_grad()
def make_vit() -> None:
    model = ViTForImageClassification(
        ViTConfig(image_size=24, patch_size=8, layer_norm_eps=1e-6, **BODY)
    ).eval()
    fill(model, 2)
    shutil.rmtree(HERE / "vit", ignore_errors=True)
    model.save_pretrained(HERE / "vit", max_shard_size="10KB")
    assert len(list((HERE / "vit").glob("*.safetensors"))) >= 2
    np.savez_compressed(HERE / "timm-vit.npz", **timm_names(model.state_dict()))
    generator = torch.Generator().manual_seed(4)
    own = torch.randn(2, 3, 24, 24, generator=generator)
    larger = torch.randn(1, 3, 40, 40, generator=generator)
    vit = model.vit.double()
    store(
        "vit-expected.safetensors",
        {
            "pixel_values": own,
            "states": vit(own.double()).last_hidden_state,
            "larger.pixel_values": larger,
            "larger.states": vit(larger.double(), interpolate_pos_encoding=True).last_hidden_state,
        },
    )


@torch.no_grad()
def make_bert() -> None:
    """Two words fewer than the model: [DEC] and [ENC] are missing."""
    model = BertForPreTraining(
        BertConfig(vocab_size=VOCAB - 2, max_position_embeddings=POSITIONS, **BODY)
    ).eval()
    fill(model, 5)
    model.save_pretrained(HERE / "bert")
    generator = torch.Generator().manual_seed(6)
    ids = torch.randint(3, VOCAB - 2, (2, 7), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    bert = model.double().bert
    states = bert(ids, attention_mask=mask).last_hidden_state
    logits = model.cls.predictions(states)
    store(
        "bert-expected.safetensors",
        {"input_ids": ids, "attention_mask": mask, "states": states, "head_logits": logits},
    )


def make_tensors() -> None:
    torch.manual_seed(0)
    base = torch.randn(6, 5)
    tensors = collections.OrderedDict(
        base=base,
        slice=base[1:4, 2:],
        transposed=base.t(),
        permuted=torch.randn(2, 3, 4).permute(2, 0, 1),
        strided=torch.arange(20.0)[3::4],
        column=base[:, 1],
        half=torch.randn(3, 4).half(),
        bfloat=torch.randn(7).bfloat16(),
        bfloat_transposed=torch.randn(3, 2).bfloat16().t(),
        double=torch.randn(2, 2).double(),
        long=torch.tensor([1, -2, 2**40]),
        int=torch.arange(3, dtype=torch.int32),
        short=torch.tensor([-3], dtype=torch.int16),
        byte=torch.tensor([200, 1], dtype=torch.uint8),
        flags=torch.tensor([True, False]),
        scalar=torch.tensor(3.5),
        empty=torch.zeros(0, 4),
        parameter=torch.nn.Parameter(torch.ones(3)),
    )
    whole = {
        "state_dict": tensors,
        "epoch": 3,
        "big": 2**70,
        "negative": -5,
        "nothing": None,
        "list": [1, 2.5, "three", (True, b"bytes")],
        "shape": torch.Size([2, 3]),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "accuracy": np.float32(0.25),
    }
    torch.save(whole, HERE / "tensors.pth")
    torch.save(whole, HERE / "tensors-legacy.pth", _use_new_zipfile_serialization=False)
    expected = {
        f"state_dict.{n}": {"shape": list(t.shape), "numbers": t.detach().double().flatten().tolist()}
        for n, t in tensors.items()
    }
    (HERE / "tensors.json").write_text(json.dumps(expected, indent=2) + "\n")


def make_arrays() -> None:
    arrays = {
        "plain": np.arange(6, dtype="<f4").reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6, dtype="<f8").reshape(2, 3)),
        "half": np.array([0.5, -2], "<f2"),
        "scalar": np.float32(7),
        "whole": np.array([[1, -2]], "<i8"),
    }
    np.savez(HERE / "arrays.npz", **arrays)
    arrays.pop("fortran")
    np.savez_compressed(HERE / "arrays-compressed.npz", **arrays, long=np.tile(np.arange(50, dtype="<f4"), 400))


def make_bicubic() -> None:
    generator = torch.Generator().manual_seed(9)
    tensors = {}
    for a, b in ((3, 5), (14, 30), (6, 4), (2, 2), (1, 3)):
        grid = torch.randn(a, a, 3, generator=generator)
        resized = torch.nn.functional.interpolate(
            grid.permute(2, 0, 1)[None], size=(b, b), mode="bicubic", align_corners=False
        )
        tensors[f"{a}-{b}.from"] = grid
        tensors[f"{a}-{b}.to"] = resized[0].permute(1, 2, 0)
    store("bicubic.safetensors", tensors)


if __name__ == "__main__":
    for make in (make_blip, make_vit, make_bert, make_tensors, make_arrays, make_bicubic):
        make()
