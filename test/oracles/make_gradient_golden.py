"""Golden values and gradients of single operators: PyTorch float64 autograd, checked by central differences.

  python test/oracles/make_gradient_golden.py      (torch 2.13, onnx 1.23)

Makes test/oracles/gradients.golden.json, a list of cases (gradient_cases.py,
imported_gradient_cases.py), one a line:
  name, op, domain    domain only when it is not ai.onnx
  attrs               ONNX's names; what opset 18 passes as an int64 input (axes, shape ...) stands here, too
  inputs              [{name, shape, dtype, data, constant: true when it is not differentiated}]
  outputs             index of the output differentiated
  yShape, y, dy       that output and its cotangent
  grads               one an input, null = it has none
A case that differentiates several outputs has a list in `outputs`, and yShapes, ys, dys.
All data are flat; numbers have 7 significant digits. Float inputs and dy are multiples of 1/64, exact in
float32 (but for the LayerNormalization of rows with spread 1e-3).

The two sides share no code: gradients come from PyTorch's operator, differences from ONNX's reference
evaluator, both in float64. Values must agree to 1e-12, gradients to 1e-6 (2-norm of a tensor).
"""

import json
import math
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from gradient_cases import FAMILIES, Case, grid
from imported_gradient_cases import IMPORTED_FAMILIES

OUT = Path(__file__).parent / "gradients.golden.json"
# Opset 18 takes these as inputs, in this order, behind the data.
AS_INPUTS = {
    "Reshape": ["shape"],
    "Expand": ["shape"],
    "Slice": ["starts", "ends", "axes"],
    "Split": ["split"],
} | {op: ["axes"] for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceLogSumExp")}
RANDOM = np.random.default_rng(1)


class Erf(OpRun):
    """ONNX's own rounds to float32."""

    op_domain = ""

    def _run(self, x):
        return (np.vectorize(math.erf, otypes=[np.float64])(x),)


class Gelu(OpRun):
    """0.5 x (1 + erf(x / sqrt 2)), written with erfc so that x = -6 keeps its digits."""

    op_domain = "com.microsoft"

    def _run(self, x, approximate="none"):  # ONNX passes ai.onnx Gelu's attribute
        return (0.5 * x * np.vectorize(math.erfc, otypes=[np.float64])(-x / math.sqrt(2)),)


def evaluator(case: Case):
    """inputs -> outputs by ONNX's reference implementation."""
    op, attrs, input_names = case.op, case.attrs, list(case.inputs)
    as_inputs = AS_INPUTS.get(op, [])
    plain = {
        k: onnx.TensorProto.DOUBLE if (op, k) == ("Cast", "to") else v
        for k, v in attrs.items()
        if k not in as_inputs
    }
    outputs = [f"out{i}" for i in range(case.output_count)]
    node = helper.make_node(
        op, input_names + [f"attr_{k}" for k in as_inputs], outputs, domain=case.domain, **plain
    )
    constants = [numpy_helper.from_array(np.array(attrs[k], np.int64), f"attr_{k}") for k in as_inputs]
    values = [helper.make_empty_tensor_value_info(n) for n in input_names + outputs]
    graph = helper.make_graph([node], op, values[: len(input_names)], values[len(input_names) :], constants)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    run = ReferenceEvaluator(helper.make_model(graph, opset_imports=opsets), new_ops=[Erf, Gelu]).run
    return lambda arrays: run(None, dict(zip(input_names, arrays)))


def central_differences(f, arrays: list[np.ndarray], i: int, h: float) -> np.ndarray:
    """d f / d arrays[i] by the five-point formula, element by element."""

    def moved(index, by: float) -> float:
        x = arrays[i].copy()
        x[index] += by
        return f(arrays[:i] + [x] + arrays[i + 1 :])

    result = np.empty(arrays[i].shape)
    for index in np.ndindex(arrays[i].shape):
        near, far = (moved(index, k * h) - moved(index, -k * h) for k in (1, 2))
        result[index] = (8 * near - far) / (12 * h)
    return result


def flat(x: np.ndarray) -> list:
    if x.dtype.kind in "biu":
        return [int(v) for v in x.ravel()]
    return [int(v) if v == int(v) else v for v in (float(f"{v:.7g}") for v in x.ravel())]


def dtype_of(x: np.ndarray) -> str:
    return "float32" if x.dtype == np.float64 else str(x.dtype)


def checked_gradients(case: Case, run, ys, dys: dict[int, np.ndarray], tensors) -> list[np.ndarray | None]:
    """PyTorch's gradients of sum(dy * y), equal to central differences of ONNX's reference."""
    variable = [i for i, t in enumerate(tensors) if t.requires_grad]
    grads = [None] * len(tensors)
    if not variable:
        return grads
    torch.autograd.backward([ys[i] for i in dys], [torch.tensor(dy) for dy in dys.values()])

    def dot_dy(arrays: list[np.ndarray]) -> float:
        values = run(arrays)
        return math.fsum(float((values[i] * dy).sum()) for i, dy in dys.items())

    for i in variable:
        grads[i] = tensors[i].grad.numpy()
        numeric = central_differences(dot_dy, list(case.inputs.values()), i, case.step)
        error = np.linalg.norm(grads[i] - numeric) / np.linalg.norm(numeric)
        assert error <= 1e-6, (case.name, list(case.inputs)[i], error)
    return grads


def golden(case: Case) -> dict:
    arrays, run = list(case.inputs.values()), evaluator(case)

    def is_constant(name: str) -> bool:
        return case.inputs[name].dtype != np.float64 or name in case.constants

    tensors = [
        torch.tensor(x, requires_grad=case.differentiable and not is_constant(name))
        for name, x in case.inputs.items()
    ]
    ys = case.formula(*tensors)
    ys = list(ys) if isinstance(ys, (tuple, list)) else [ys]
    values = [y.detach().numpy() for y in ys]
    for y, reference in zip(values, run(arrays), strict=True):
        assert y.shape == reference.shape, (case.name, y.shape, reference.shape)
        distance = np.abs(y.astype(float) - reference.astype(float)).max()
        assert distance <= 1e-12 * max(1.0, np.abs(reference).max()), (case.name, distance)

    several = isinstance(case.outputs, list)
    chosen = case.outputs if several else [case.outputs]
    dys = {i: grid(*ys[i].shape, random=RANDOM) for i in chosen}
    grads = checked_gradients(case, run, ys, dys, tensors)
    inputs = [
        {"name": name, "shape": list(x.shape), "dtype": dtype_of(x), "data": flat(x)}
        | ({"constant": True} if is_constant(name) else {})
        for name, x in case.inputs.items()
    ]
    columns = {
        "yShape": [list(values[i].shape) for i in chosen],
        "y": [flat(values[i]) for i in chosen],
        "dy": [flat(dy) for dy in dys.values()],
    }
    return (
        {"name": case.name, "op": case.op}
        | ({"domain": case.domain} if case.domain else {})
        | {"attrs": case.attrs, "inputs": inputs, "outputs": case.outputs}
        | {f"{key}s" if several else key: v if several else v[0] for key, v in columns.items()}
        | {"grads": [None if g is None else flat(g) for g in grads]}
    )


def main() -> None:
    torch.set_num_threads(1)
    cases = [golden(case) for family in (*FAMILIES, *IMPORTED_FAMILIES) for case in family()]
    assert len({case["name"] for case in cases}) == len(cases), "two cases of one name"
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    OUT.write_text(f"[\n{lines}\n]\n")
    operators = sorted({case["op"] for case in cases})
    print(f"{len(cases)} cases of {len(operators)} operators, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
