"""Golden files of the whole model, from HF BlipForQuestionAnswering in float64.

  python test/oracles/make_blip_golden.py      (torch 2.13, transformers 5.23, safetensors)

Makes test/oracles/blip/:
  config.json            sizes, epsilons, special ids
  weights.safetensors    float32, reference names (names.py); LM head tied to the decoder's word embeddings
  inputs.safetensors     a batch of 4: mixed lengths, more padding than the longest question needs
  expected.safetensors   states, logits, losses, the gradient of every parameter, beams
  mutants.json           what a wrong model would answer: how far each mistake moves loss and logits
"""

import types
from contextlib import contextmanager

import numpy as np
import torch
from safetensors.torch import save_file
from transformers.models.blip import modeling_blip_text

from blip_model import (
    CONFIG,
    HERE,
    build_model,
    effect,
    float32,
    forward,
    golden_batch,
    golden_model,
    gradients,
    parameters,
    write_json,
)

OUT = HERE / "blip"
# Chosen so that beams have 3 to 10 tokens, without near ties, and the padded batch answers differently.
SEED, SEP_BIAS = 25, 2.1
QUESTION_LENGTHS, PADDED_QUESTION = [5, 9, 7, 3], 12
ANSWER_LENGTHS, PADDED_ANSWER = [3, 6, 4, 5], 7  # with [DEC] and [SEP]
MAX_LENGTH, BEAMS = 10, 3


def make_weights(generator) -> dict[str, torch.Tensor]:
    """Far from an initialisation: at std 0.02 a missing 1/sqrt(d) moves the loss by 3e-5 only."""
    weights = {}
    for name, p in sorted(parameters(build_model()).items()):
        noise = torch.randn(p.shape, generator=generator)
        is_gain = name.endswith(("LayerNorm.weight", "norm.weight", "norm1.weight", "norm2.weight"))
        std = 0.1 if name.endswith("bias") else 0.12
        weights[name] = 1 + 0.2 * noise if is_gain else std * noise
    bias = weights["text_decoder.cls.predictions.bias"]
    bias[CONFIG["sep_token_id"]] += SEP_BIAS  # or no beam ever ends
    bias[CONFIG["pad_token_id"]] -= 4  # never generated: what follows [SEP] is padding
    return weights


def padded(rows: list[torch.Tensor], width: int, fill: int) -> torch.Tensor:
    return torch.stack([torch.cat([r, r.new_full((width - len(r),), fill)]) for r in rows])


def make_batch(generator) -> dict[str, torch.Tensor]:
    pad, sep, dec, enc = (CONFIG[f"{t}_token_id"] for t in ("pad", "sep", "dec", "enc"))

    def text(first: int, length: int) -> torch.Tensor:
        words = torch.randint(3, dec, (length - 2,), generator=generator)
        return torch.cat([torch.tensor([first]), words, torch.tensor([sep])])

    questions = [text(enc, n) for n in QUESTION_LENGTHS]
    answers = [text(dec, n) for n in ANSWER_LENGTHS]
    ids, answer_ids = padded(questions, PADDED_QUESTION, pad), padded(answers, PADDED_ANSWER, pad)
    return {
        "pixel_values": torch.randn(len(questions), 3, 32, 32, generator=generator),
        "input_ids": ids,
        "attention_mask": ids != pad,
        "decoder_input_ids": answer_ids,
        "decoder_attention_mask": answer_ids != pad,
        "labels": padded(answers, PADDED_ANSWER, -100),
    }


@torch.no_grad()
def assert_padding_is_invisible(model, batch, expected) -> None:
    """Alone and without padding, each question and answer gives the logits that it gives in the batch."""
    for i, (n, m) in enumerate(zip(QUESTION_LENGTHS, ANSWER_LENGTHS)):
        width = {"pixel_values": 3, "input_ids": n, "attention_mask": n}
        alone = forward(model, {name: t[i : i + 1, : width.get(name, m)] for name, t in batch.items()})
        assert (alone["logits"][0] - expected["logits"][i, :m]).abs().max() < 1e-12


def beams(model, ids, mask, pixels) -> tuple[torch.Tensor, torch.Tensor]:
    """[questions, 3, 10] ids, padded with 0 after [SEP] (HF fills with [SEP] when pad is 0), and scores."""
    found = model.generate(
        input_ids=ids,
        attention_mask=mask,
        pixel_values=pixels,
        num_beams=BEAMS,
        num_return_sequences=BEAMS,
        max_length=MAX_LENGTH,
        min_length=1,
        length_penalty=1.0,
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
    )
    sequences = found.sequences.clone()
    for row in sequences:
        ends = (row == CONFIG["sep_token_id"]).nonzero()
        if len(ends):
            row[ends[0] + 1 :] = CONFIG["pad_token_id"]
    sequences = torch.nn.functional.pad(sequences, (0, MAX_LENGTH - sequences.shape[1]))
    return sequences.view(-1, BEAMS, MAX_LENGTH), found.sequences_scores.view(-1, BEAMS)


@torch.no_grad()
def rescore(model, ids, mask, pixels, sequences) -> torch.Tensor:
    """Sum of log probabilities / generated tokens ([SEP] counts, [DEC] does not), by teacher forcing."""
    image = model.vision_model(pixels).last_hidden_state
    states = model.text_encoder(ids, attention_mask=mask, encoder_hidden_states=image).last_hidden_state
    scores = torch.zeros(sequences.shape[:2], dtype=states.dtype)
    for i, j in np.ndindex(*scores.shape):
        tokens = sequences[i, j][sequences[i, j] != CONFIG["pad_token_id"]]
        logits = model.text_decoder(tokens[None], encoder_hidden_states=states[i : i + 1]).logits[0, :-1]
        scores[i, j] = logits.log_softmax(-1).gather(-1, tokens[1:, None]).mean()
    return scores


def make_beams(model, batch) -> dict[str, torch.Tensor]:
    """One question at a time without padding, and the padded batch, to whose padding the decoder attends."""
    ids, mask, pixels = (batch[k] for k in ("input_ids", "attention_mask", "pixel_values"))
    alone = [
        (ids[i : i + 1, :n], mask[i : i + 1, :n], pixels[i : i + 1]) for i, n in enumerate(QUESTION_LENGTHS)
    ]
    sequences, scores = (torch.cat(x) for x in zip(*(beams(model, *a) for a in alone)))
    ref_sequences, ref_scores = beams(model, ids, mask, pixels)
    again = torch.cat([rescore(model, *a, s[None]) for a, s in zip(alone, sequences)])
    assert torch.allclose(scores.double(), again, atol=1e-5)
    assert torch.allclose(ref_scores.double(), rescore(model, ids, mask, pixels, ref_sequences), atol=1e-5)
    assert (scores - ref_scores).abs().amax(1).min() > 0.05, "the padding must matter"
    assert min(-s.diff(dim=1).max() for s in (scores, ref_scores)) > 5e-3, "near ties"
    return {
        "beams.sequences": sequences,
        "beams.scores": scores,
        "beams_reference_padding.sequences": ref_sequences,
        "beams_reference_padding.scores": ref_scores,
    }


def assert_beams_are_clear(model, batch, expected) -> None:
    """No near ties: weights off by one part in 10,000 give the same beams."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1 + 1e-4 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    noisy = make_beams(model, batch)
    for name in ("beams.sequences", "beams_reference_padding.sequences"):
        assert torch.equal(noisy[name], expected[name]), name


@contextmanager
def patched(owner, **changes):
    before = {name: getattr(owner, name) for name in changes}
    for name, value in changes.items():
        setattr(owner, name, value)
    yield
    for name, value in before.items():
        setattr(owner, name, value)


def swap_query_and_key(model, batch):
    for module in (m for m in model.modules() if hasattr(m, "query")):
        module.query, module.key = module.key, module.query
    return forward(model, batch)


def swap_query_and_key_vit(model, batch):
    for layer in model.vision_model.encoder.layers:
        for p in (layer.self_attn.qkv.weight, layer.self_attn.qkv.bias):
            q, k, v = p.data.chunk(3)
            p.data = torch.cat([k, q, v])
    return forward(model, batch)


def no_scale_vit(model, batch):
    for layer in model.vision_model.encoder.layers:
        layer.self_attn.scale = 1.0
    return forward(model, batch)


def no_scale_text(model, batch):
    with patched(modeling_blip_text, math=types.SimpleNamespace(sqrt=lambda _d: 1.0)):
        return forward(model, batch)


def no_question_mask(model, batch):
    return forward(model, batch | {"attention_mask": torch.ones_like(batch["attention_mask"])})


def no_question_mask_decoder(model, batch):
    ones = torch.ones_like(batch["attention_mask"])
    model.text_decoder.register_forward_pre_hook(
        lambda _m, args, kwargs: (args, kwargs | {"encoder_attention_mask": ones}), with_kwargs=True
    )
    return forward(model, batch)


def no_causal_mask(model, batch):
    def padding_only(past_key_values=None, cache=None, **arguments):  # as 5.23 and 5.24 call it
        return modeling_blip_text.create_bidirectional_mask(**arguments)

    with patched(modeling_blip_text, create_causal_mask=padding_only):
        return forward(model, batch)


MUTANTS = {
    "no 1/sqrt(d) in the ViT": no_scale_vit,
    "no 1/sqrt(d) in the text modules": no_scale_text,
    "question mask off": no_question_mask,
    "question mask off in the decoder's cross-attention only": no_question_mask_decoder,
    "causal mask off": no_causal_mask,
    "query and key swapped in the ViT": swap_query_and_key_vit,
    "query and key swapped in the text modules": swap_query_and_key,
}


def main() -> None:
    torch.set_num_threads(1)
    OUT.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(SEED)
    write_json(OUT / "config.json", CONFIG)
    save_file(make_weights(generator), OUT / "weights.safetensors")
    save_file(float32({k: v * 1 for k, v in make_batch(generator).items()}), OUT / "inputs.safetensors")

    model, batch = golden_model(), golden_batch()
    expected = forward(model, batch) | gradients(model, batch)
    assert_padding_is_invisible(model, batch, expected)
    with torch.no_grad():  # the layers skip their cross-attention: a plain BERT
        text_only = model.text_encoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    expected |= {"text_only_states": text_only.last_hidden_state} | make_beams(model, batch)
    save_file(float32(expected), OUT / "expected.safetensors")
    with torch.no_grad():
        moved = {name: effect(expected, mutant(golden_model(), batch)) for name, mutant in MUTANTS.items()}
    write_json(OUT / "mutants.json", moved)
    assert_beams_are_clear(model, batch, expected)
    print("loss", float(expected["loss"]), "|", *moved.items(), sep="\n  ")
    print(expected["beams.sequences"], expected["beams.scores"])


if __name__ == "__main__":
    main()
