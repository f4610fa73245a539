"""Where the golden model looks, and how it ranks: from HF BlipForQuestionAnswering in float64.

  python test/oracles/make_explain_golden.py      (torch 2.13, transformers 5.24, safetensors)

Makes test/oracles/explain/expected.safetensors from the model and batch of test/oracles/blip:
  attention.<layer>          cross-attention probabilities of the text encoder [batch, heads, tokens, image tokens]
  attention.<layer>.grad     gradient of each sample's answer log probability with respect to them
  answer_attention.<layer>   the decoder's cross-attention [batch, heads, answer tokens, question tokens]
  log_prob                   [batch], sum over the answer's tokens
  attention_map, gradient_map  [batch, patches], by the formulas of runtime/core/explain.ts
  candidates                 int32 [12, 7], padded with 0: tokens after [DEC], [SEP] among them
  candidate_log_probs        [batch, 12]

The script checks the gradient by central differences: it adds eps to one probability and runs the model again.
"""

import torch
from safetensors.torch import save_file

from blip_model import CONFIG, HERE, float32, golden_batch, golden_model

EPS = 1e-6


def watch(model, part: str, add=None) -> dict[int, torch.Tensor]:
    """Probabilities of the cross-attention of `part`, by layer; `add` = (layer, tensor) is added to them."""
    seen = {}

    def make_hook(layer):
        def hook(module, args, kwargs, out):
            context, probabilities = out
            if add is not None and layer == add[0]:
                probabilities = probabilities + add[1]
                states = kwargs["encoder_hidden_states"]
                heads = module.num_attention_heads
                value = module.value(states).view(*states.shape[:2], heads, -1).transpose(1, 2)
                context = (probabilities @ value).transpose(1, 2).flatten(2)
            seen[layer] = probabilities
            return context, probabilities

        return hook

    bert = model.text_decoder.bert if part == "decoder" else model.text_encoder
    seen["hooks"] = [
        layer.crossattention.self.register_forward_hook(make_hook(i), with_kwargs=True)
        for i, layer in enumerate(bert.encoder.layer)
    ]
    return seen


def unwatch(seen) -> dict[int, torch.Tensor]:
    for hook in seen.pop("hooks"):
        hook.remove()
    return seen


def answer_log_probs(model, batch) -> torch.Tensor:
    seen = {}
    hook = model.text_decoder.register_forward_hook(lambda _m, _i, out: seen.update(logits=out.logits))
    model(**batch)
    hook.remove()
    targets = batch["labels"][:, 1:]
    log_p = seen["logits"][:, :-1].log_softmax(-1).gather(-1, targets.clamp(min=0)[..., None]).squeeze(-1)
    return (log_p * (targets != -100)).sum(1)


def check_gradient(model, batch, grads) -> None:
    generator = torch.Generator().manual_seed(3)
    for layer, grad in grads.items():
        direction = torch.randn(grad.shape, generator=generator, dtype=grad.dtype)
        ends = []
        for sign in (1, -1):
            seen = watch(model, "encoder", (layer, sign * EPS * direction))
            ends.append(answer_log_probs(model, batch).sum().detach())
            unwatch(seen)
        numeric, exact = (ends[0] - ends[1]) / (2 * EPS), (grad * direction).sum()
        assert abs(numeric - exact) < 1e-6 * max(1, abs(exact)), (layer, numeric, exact)


def maps(batch, attention, grads, answer_attention) -> dict[str, torch.Tensor]:
    asked = batch["attention_mask"].double()
    said = (batch["labels"][:, 1:] != -100).double()  # rows of the decoder that predict a token
    weights = torch.stack(list(answer_attention.values())).mean((0, 2))[:, :-1]  # layers and heads
    weights = (weights * said[..., None]).sum(1) / said.sum(1)[:, None]
    looked = torch.stack(list(attention.values())).mean((0, 2))
    cam = sum((p * g.clamp(min=0)).mean(1) for p, g in zip(attention.values(), grads.values()))
    return {
        "attention_map": (looked * weights[..., None]).sum(1)[:, 1:],
        "gradient_map": (cam * asked[..., None]).sum(1)[:, 1:],
    }


def rank(model, batch) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(11)
    sep, dec = CONFIG["sep_token_id"], CONFIG["dec_token_id"]
    rows = [torch.randint(3, dec, (n,), generator=generator).tolist() for n in (1, 1, 2, 2, 3, 3, 4, 4, 5, 6)]
    rows += [rows[4][:2] + [50], rows[4][:1]]  # begin as another one does
    image = model.vision_model(batch["pixel_values"]).last_hidden_state
    states = model.text_encoder(
        batch["input_ids"], attention_mask=batch["attention_mask"], encoder_hidden_states=image
    ).last_hidden_state
    scores = torch.zeros(len(states), len(rows), dtype=torch.float64)
    for c, row in enumerate(rows):
        ids = torch.tensor([[dec, *row, sep]]).expand(len(states), -1)
        logits = model.text_decoder(
            ids, encoder_hidden_states=states, encoder_attention_mask=batch["attention_mask"]
        ).logits
        log_p = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
        scores[:, c] = log_p.sum(1)
    padded = torch.tensor([(row + [sep] + [0] * 7)[:7] for row in rows])
    return {"candidates": padded, "candidate_log_probs": scores}


def main() -> None:
    model, batch = golden_model(), golden_batch()
    seen, said = watch(model, "encoder"), watch(model, "decoder")
    log_probs = answer_log_probs(model, batch)
    attention, answer_attention = unwatch(seen), unwatch(said)
    found = torch.autograd.grad(log_probs.sum(), list(attention.values()))
    grads = dict(zip(attention, found))
    with torch.no_grad():
        check_gradient(model, batch, grads)
        expected = (
            {f"attention.{i}": p for i, p in attention.items()}
            | {f"attention.{i}.grad": g for i, g in grads.items()}
            | {f"answer_attention.{i}": p for i, p in answer_attention.items()}
            | {"log_prob": log_probs}
            | maps(batch, attention, grads, answer_attention)
            | rank(model, batch)
        )
    out = HERE / "explain"
    out.mkdir(exist_ok=True)
    save_file(float32(expected), out / "expected.safetensors")


main()
