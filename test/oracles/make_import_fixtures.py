"""Models that this project did not make, with PyTorch's answers: what reading foreign ONNX files is tested with.

  python test/oracles/make_import_fixtures.py      (torch 2.13, onnxscript 0.7, transformers 5.24, peft 0.21)

Makes in test/oracles/imports/, for each form of each model of import_models.py:
  <form>.onnx               torch.onnx.export of the float32 model, batch axis of unknown length
  <form>.safetensors        `input.<name>`, `labels`, and from PyTorch in float64 `logits`, `loss` and
                            `grad.<initialiser of the ONNX file>`
  <model>-lora.safetensors  rank 2, alpha 4, from PEFT in float64: `<initialiser without .weight>.lora_A.weight`
                            and `.lora_B.weight`, `loss`, and the gradient of each as `grad.<name>`
The loss is the mean cross-entropy of the labels that are not -100.

Exporters rename, transpose, cut and merge weights. Which parameter an initialiser is, is found by comparing
values; the float64 model then gets the initialiser's own numbers.
"""

import copy
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from peft import LoraConfig, inject_adapter_in_model
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from import_models import FIXTURES, randomise

OUT = Path(__file__).parent / "imports"
SEED, RANK, ALPHA = 3, 2, 4
# form: model, TorchDynamo's exporter or the older one, opset
FORMS = {
    "mlp": ("mlp", True, 23),
    "mlp-torchscript": ("mlp", False, 13),  # layer normalisation in primitives, axes as attributes
    "bert": ("bert", True, 18),
    "bert-torchscript": ("bert", False, 17),  # shapes computed in the graph
    "vit": ("vit", True, 18),
    "gpt": ("gpt", True, 18),
    "resnet": ("resnet", False, 13),
    "resnet-fused": ("resnet", True, 18),  # the exporter merges BatchNormalization into Conv
}


def seeded(name: str) -> torch.Generator:
    return torch.Generator().manual_seed(SEED + list(FIXTURES).index(name))


def example(name: str) -> tuple[nn.Module, dict[str, Tensor], Tensor]:
    g, fixture = seeded(name), FIXTURES[name]
    model = fixture.build().eval()
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.padding_idx = None  # PyTorch drops this row's gradient, of which ONNX knows nothing
    randomise(model, g)
    inputs = fixture.inputs(g)
    return model, inputs, fixture.labels(inputs, g)


def export(
    model: nn.Module, inputs: dict[str, Tensor], path: Path, dynamo: bool, opset: int
) -> onnx.ModelProto:
    names = {"input_names": list(inputs), "output_names": ["logits"], "opset_version": opset}
    if dynamo:
        batch = torch.export.Dim("batch")
        shapes = {"dynamic_shapes": tuple({0: batch} for _ in inputs), "external_data": False}
    else:
        axes = {name: {0: "batch"} for name in [*inputs, "logits"]}
        # PRESERVE: EVAL would merge BatchNormalization here, too
        shapes = {"dynamic_axes": axes, "training": torch.onnx.TrainingMode.PRESERVE}
    torch.onnx.export(model, tuple(inputs.values()), str(path), dynamo=dynamo, **names, **shapes)
    exported = onnx.load(path)
    strip(exported)
    onnx.save(exported, path)
    return exported


def strip(model: onnx.ModelProto) -> None:
    """Without stack traces: two thirds of the file, and paths of the machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


def answer(model: nn.Module, inputs: dict[str, Tensor], labels: Tensor) -> tuple[Tensor, Tensor]:
    result = model(*(x.double() if x.is_floating_point() else x for x in inputs.values()))
    logits = result if isinstance(result, Tensor) else result.logits
    return logits, F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=-100)


def untied(model: nn.Module) -> nn.Module:
    """The exported graph reads a tied table in two places, the second time transposed: as two initialisers."""
    if hasattr(model, "lm_head"):
        model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
    return model


def fused(module: nn.Module) -> nn.Module:
    """BatchNormalization merged into the convolution before it."""
    children = dict(module.named_children())
    for (name, conv), (bn_name, bn) in zip(list(children.items()), list(children.items())[1:]):
        if isinstance(conv, nn.Conv2d) and isinstance(bn, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(conv, bn))
            setattr(module, bn_name, nn.Identity())
    for child in module.children():
        fused(child)
    return module


View = Callable[[Tensor], Tensor]


def views(shape: tuple[int, ...]) -> list[View]:
    """How an initialiser of this shape may come from a parameter: as it is, transposed, or its first rows."""
    return [lambda p: p, lambda p: p.T, lambda p: p[: shape[-2]][None]]


def find(value: Tensor, parameters: dict[str, Tensor], taken: set[str]) -> tuple[str, View] | None:
    for i, view in enumerate(views(value.shape)):
        for name, p in parameters.items():
            if name in taken or (i == 1 and p.ndim != 2) or (i == 2 and (p.ndim != 2 or value.ndim != 3)):
                continue
            candidate = view(p)
            is_same = candidate.shape == value.shape
            if is_same and torch.allclose(candidate, value.double(), rtol=1e-5, atol=1e-6):
                taken.add(name)
                return name, view
    return None


def correspondence(exported: onnx.ModelProto, model: nn.Module) -> dict[str, tuple[str, View]]:
    """Initialiser -> parameter of `model` (float64), which gets the initialiser's numbers."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    found, taken = {}, set()
    normalisations = [node for node in exported.graph.node if node.op_type == "BatchNormalization"]
    statistics = {name for node in normalisations for name in node.input[3:]}
    for t in exported.graph.initializer:
        if t.data_type != onnx.TensorProto.FLOAT or np.prod(t.dims) <= 1 or t.name in statistics:
            continue
        value = torch.tensor(numpy_helper.to_array(t))
        match = find(value, parameters, taken)
        assert match, f"{t.name} {list(t.dims)} is no parameter"
        found[t.name] = match
        name, view = match
        view(parameters[name]).copy_(value)
    return found


def save(tensors: dict[str, Tensor], path: Path) -> None:
    plain = {name: (t.float() if t.is_floating_point() else t).detach() for name, t in tensors.items()}
    save_file({name: t.contiguous().clone() for name, t in plain.items()}, path)
    path.chmod(0o644)


def check_mutant(model: nn.Module, inputs: dict[str, Tensor], labels: Tensor, loss: Tensor) -> None:
    """A reader that loses the attention mask must not pass: the loss moves by more than 100 times 1e-4."""
    if "attention_mask" in inputs:
        without = inputs | {"attention_mask": torch.ones_like(inputs["attention_mask"])}
        assert abs(answer(model, without, labels)[1] - loss) > 1e-2


def make_form(form: str) -> dict[str, tuple[str, View]]:
    name, dynamo, opset = FORMS[form]
    model, inputs, labels = example(name)
    exported = export(model, inputs, OUT / f"{form}.onnx", dynamo, opset)
    reference = untied(copy.deepcopy(model).double())
    if form.endswith("fused"):
        reference = fused(reference).requires_grad_()
    found = correspondence(exported, reference)
    logits, loss = answer(reference, inputs, labels)
    check_mutant(reference, inputs, labels, loss)
    loss.backward()
    parameters = dict(reference.named_parameters())
    grads = {f"grad.{init}": view(parameters[p].grad) for init, (p, view) in found.items()}
    batch = {f"input.{k}": v for k, v in inputs.items()} | {"labels": labels.int()}
    save(batch | {"logits": logits, "loss": loss} | grads, OUT / f"{form}.safetensors")
    print(f"{form}: loss {loss:.4f}, {len(grads)} gradients, {(OUT / f'{form}.onnx').stat().st_size} bytes")
    return found


def make_lora(name: str, found: dict[str, tuple[str, View]]) -> None:
    model, inputs, labels = example(name)
    without = answer(copy.deepcopy(model).double(), inputs, labels)[1]
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=FIXTURES[name].lora)
    inject_adapter_in_model(config, model)
    g = seeded(name)
    initialisers = {parameter: init for init, (parameter, _) in found.items()}
    adapters: dict[str, Tensor] = {}
    for module_name, module in model.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        site = initialisers[f"{module_name}.weight"].removesuffix(".weight")
        for kind in ("lora_A", "lora_B"):
            p = getattr(module, kind)["default"].weight
            p.data = torch.randn(p.shape, generator=g) * (0.5 if kind == "lora_B" else p[0].numel() ** -0.5)
            adapters[f"{site}.{kind}.weight"] = p
    model.double().eval()
    _, loss = answer(model, inputs, labels)
    loss.backward()
    assert abs(loss - without) > 1e-2, (name, loss, without)
    grads = {f"grad.{n}": p.grad for n, p in adapters.items()}
    save(adapters | {"loss": loss} | grads, OUT / f"{name}-lora.safetensors")
    print(f"{name}: LoRA moves the loss by {loss - without:.4f}, {len(adapters)} factors")


def main() -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    OUT.mkdir(exist_ok=True)
    found = {form: make_form(form) for form in FORMS}
    for name in FIXTURES:
        make_lora(name, found[name])


if __name__ == "__main__":
    main()
