"""The small BLIP of the golden files: sizes, weights, batch, loss.

Not a script: imported by make_blip_golden.py and make_lora_golden.py. Everything is computed in float64 from
weights and inputs that are float32 numbers.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import BlipConfig, BlipForQuestionAnswering
from transformers.models.blip.modeling_blip_text import BlipTextSelfAttention

from names import reference_name

HERE = Path(__file__).parent
TOLERANCE = 1e-4  # of logits and loss; every mutant must move the loss by more than 100 times this

CONFIG = {
    "hidden_size": 64,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "image_size": 32,
    "patch_size": 8,
    "vocab_size": 97,
    "max_position_embeddings": 64,
    "vision_layer_norm_eps": 1e-6,
    "text_layer_norm_eps": 1e-12,
    "pad_token_id": 0,
    "sep_token_id": 2,
    "dec_token_id": 95,
    "enc_token_id": 96,
    "label_smoothing": 0.1,
}


def keep_cross_attention_mask(_module, args, kwargs):
    return args, kwargs | {"encoder_attention_mask": kwargs["attention_mask"]}


def repair_masks(model) -> None:
    """transformers 5.23 loses the mask of every cross-attention.

    BlipTextAttention passes it on as `attention_mask`, BlipTextSelfAttention reads `encoder_attention_mask`:
    the decoder attends to the padding of the question. BLIP's own code masks it, and so do the golden files.
    """
    for module in model.modules():
        if isinstance(module, BlipTextSelfAttention):
            module.register_forward_pre_hook(keep_cross_attention_mask, with_kwargs=True)


def build_model(dtype=torch.float64) -> BlipForQuestionAnswering:
    """HF's model with random weights, its masks repaired."""
    c = CONFIG
    body = {k: c[k] for k in ("hidden_size", "num_attention_heads", "intermediate_size", "num_hidden_layers")}
    text = body | {
        "vocab_size": c["vocab_size"],
        "max_position_embeddings": c["max_position_embeddings"],
        "layer_norm_eps": c["text_layer_norm_eps"],
        "bos_token_id": c["dec_token_id"],
        "eos_token_id": c["sep_token_id"],
        "sep_token_id": c["sep_token_id"],
        "pad_token_id": c["pad_token_id"],
        "label_smoothing": c["label_smoothing"],
    }
    vision = body | {
        "image_size": c["image_size"],
        "patch_size": c["patch_size"],
        "layer_norm_eps": c["vision_layer_norm_eps"],
        "num_hidden_layers": c.get("num_vision_layers", c["num_hidden_layers"]),
        "num_attention_heads": c.get("num_vision_heads", c["num_attention_heads"]),
    }
    model = BlipForQuestionAnswering(BlipConfig(text_config=text, vision_config=vision)).to(dtype).eval()
    repair_masks(model)
    decoder, bert = model.text_decoder.cls.predictions, model.text_decoder.bert
    assert decoder.decoder.weight is bert.embeddings.word_embeddings.weight, "LM head is not tied"
    assert decoder.decoder.bias is decoder.bias, "LM bias is not tied"
    return model


def parameters(model) -> dict[str, torch.nn.Parameter]:
    """Reference name -> parameter; a tied parameter is listed once."""
    return {reference_name(name): p for name, p in model.named_parameters()}


def load_weights(model, tensors: dict[str, torch.Tensor]) -> None:
    """Copies `tensors` (reference names) into the parameters of the same names."""
    own = parameters(model)
    with torch.no_grad():
        for name, value in tensors.items():
            assert own[name].shape == value.shape, name
            own[name].copy_(value)


def golden_model() -> BlipForQuestionAnswering:
    model = build_model()
    load_weights(model, load_file(HERE / "blip/weights.safetensors"))
    return model


def golden_batch() -> dict[str, torch.Tensor]:
    stored = load_file(HERE / "blip/inputs.safetensors")
    return {name: t.double() if t.is_floating_point() else t.long() for name, t in stored.items()}


def forward(model, batch) -> dict[str, torch.Tensor]:
    """image_embeds, question_states, logits and the two losses.

    Logits at position t predict label t+1. loss = sum over answer tokens / batch size of
    0.9 nll + 0.1/V * sum over all V entries of nll, the target included.
    """
    seen = {}
    hooks = [
        model.text_encoder.register_forward_hook(
            lambda _m, _i, out: seen.update(states=out.last_hidden_state)
        ),
        model.text_decoder.register_forward_hook(lambda _m, _i, out: seen.update(logits=out.logits)),
    ]
    output = model(**batch)
    for hook in hooks:
        hook.remove()
    targets = batch["labels"][:, 1:]
    log_p = seen["logits"][:, :-1].log_softmax(-1)
    smoothing = CONFIG["label_smoothing"]
    nll = -log_p.gather(-1, targets.clamp(min=0)[..., None]).squeeze(-1)
    per_token = ((1 - smoothing) * nll - smoothing * log_p.mean(-1)) * (targets != -100)
    loss = per_token.sum() / len(targets)
    hf_loss = output.loss * (targets != -100).sum() / len(targets)
    assert abs(loss - hf_loss) < 1e-6, (loss, hf_loss)
    return {
        "image_embeds": output.image_embeds,
        "question_states": seen["states"],
        "logits": seen["logits"],
        "per_token_loss": per_token,
        "loss": loss,
    }


def gradients(model, batch) -> dict[str, torch.Tensor]:
    """`loss`, and `grad.<reference name>` of every parameter that requires one."""
    trainable = {name: p for name, p in parameters(model).items() if p.requires_grad}
    loss = forward(model, batch)["loss"]
    grads = torch.autograd.grad(loss, list(trainable.values()))
    return {"loss": loss.detach()} | {f"grad.{name}": g for name, g in zip(trainable, grads)}


def effect(before: dict, after: dict) -> dict[str, float]:
    """How far a mutant moves loss and logits; it must be far beyond the tolerance, or tests see nothing."""
    moved = {
        "loss_moved": abs(float(after["loss"] - before["loss"])),
        "max_logit_moved": float((after["logits"] - before["logits"]).abs().max()),
    }
    assert min(moved.values()) > 100 * TOLERANCE, moved
    return {name: round(value, 4) for name, value in moved.items()}


def float32(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        n: t.detach().float().contiguous() if t.is_floating_point() else t.int() for n, t in tensors.items()
    }


def write_json(path: Path, value) -> None:
    text = json.dumps(value, indent=2).replace("e-0", "e-")  # as the formatter of this repository writes it
    path.write_text(text + "\n")
