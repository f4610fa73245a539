"""The cases of make_gradient_golden.py, a function a family of operators.

Not a script. A case is an operator with attributes and inputs, and PyTorch's formula for the same thing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

RANDOM = np.random.default_rng(0)


@dataclass
class Case:
    name: str
    op: str
    attrs: dict
    inputs: dict[str, np.ndarray]  # floats are differentiated, all else is constant
    formula: Callable
    domain: str = ""
    outputs: int | list[int] = 0  # those differentiated
    output_count: int = 1
    differentiable: bool = True
    constants: tuple[str, ...] = ()  # floats that are not differentiated
    step: float = 1e-3  # of the central differences


def grid(*shape: int, low: float | None = None, random=RANDOM) -> np.ndarray:
    """Random multiples of 1/64: exact in float32 and in 7 digits. `low`: uniform in [low, low + 2]."""
    x = random.normal(size=shape) if low is None else random.uniform(low, low + 2, size=shape)
    return np.asarray(np.round(x * 64) / 64)  # of one number, too


def arithmetic() -> Iterator[Case]:
    operators = {"Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div}
    shapes = {
        "of equal shapes": ([2, 3], [2, 3]),
        "with a row": ([2, 3], [3]),
        "with a row in front": ([3], [2, 3]),
        "with a scalar": ([2, 3], []),
        "broadcasting middle axes": ([2, 1, 3], [4, 1]),
    }
    for op, formula in operators.items():
        for kind, (a, b) in shapes.items():
            divisor = {"low": 0.5} if op == "Div" else {}
            yield Case(f"{op} {kind}", op, {}, {"a": grid(*a), "b": grid(*b, **divisor)}, formula)
    yield Case("Div by negative numbers", "Div", {}, {"a": grid(2, 3), "b": -grid(2, 3, low=0.5)}, torch.div)


def unary() -> Iterator[Case]:
    positive = {"Log": torch.log, "Sqrt": torch.sqrt, "Reciprocal": torch.reciprocal}
    anywhere = {"Neg": torch.neg, "Exp": torch.exp, "Erf": torch.erf, "Tanh": torch.tanh}
    for op, formula in positive.items():
        yield Case(op, op, {}, {"x": grid(2, 3, low=0.25)}, formula)
    yield Case(
        "Reciprocal of negative numbers", "Reciprocal", {}, {"x": -grid(2, 3, low=0.25)}, torch.reciprocal
    )
    for op, formula in anywhere.items():
        yield Case(op, op, {}, {"x": grid(2, 4)}, formula)
    wide = np.array([0, 1 / 64, -1 / 64, 0.25, -0.75, 1.5, -2, 6, -6])
    for op, formula, domain in (
        ("Gelu", F.gelu, "com.microsoft"),
        ("Erf", torch.erf, ""),
        ("Tanh", torch.tanh, ""),
    ):
        yield Case(f"{op} near 0 and far away", op, {}, {"x": wide}, formula, domain=domain)
    yield Case("Gelu", "Gelu", {}, {"x": grid(2, 3, 4)}, F.gelu, domain="com.microsoft")
    yield Case(
        "Cast int32 to float32",
        "Cast",
        {"to": "float32"},
        {"x": np.array([3, -1, 0], np.int32)},
        lambda x: x.double(),
    )
    a, b = np.array([[1.0, 2, 3], [4, 5, 6]]), np.array([1.0, 5, 3])
    for op, formula in (("Equal", torch.eq), ("Less", torch.lt)):
        yield Case(f"{op} with a row", op, {}, {"a": a, "b": b}, formula, differentiable=False)


def products() -> Iterator[Case]:
    for a, b in (
        ([2, 3], [3, 4]),
        ([2, 2, 3, 4], [2, 2, 4, 5]),
        ([2, 3, 4], [4, 5]),
        ([3, 4], [2, 4, 5]),
        ([2, 1, 3, 4], [3, 4, 2]),
    ):
        yield Case(f"MatMul {a} {b}", "MatMul", {}, {"a": grid(*a), "b": grid(*b)}, torch.matmul)
    for trans_a in (0, 1):
        for trans_b in (0, 1):
            for bias in (False, True):
                inputs = {
                    "a": grid(*([3, 2] if trans_a else [2, 3])),
                    "b": grid(*([4, 3] if trans_b else [3, 4])),
                }
                inputs |= {"c": grid(4)} if bias else {}

                def gemm(a, b, c=0, ta=trans_a, tb=trans_b):
                    return (a.T if ta else a) @ (b.T if tb else b) + c

                name = f"Gemm transA {trans_a} transB {trans_b}{' with bias' if bias else ''}"
                yield Case(name, "Gemm", {"transA": trans_a, "transB": trans_b}, inputs, gemm)
    convolutions = {
        "patches: stride = kernel": ([2, 3, 4, 6], [4, 3, 2, 2], [2, 2], [0, 0, 0, 0], True),
        "kernel 3, stride 1, pads 1": ([1, 2, 4, 4], [3, 2, 3, 3], [1, 1], [1, 1, 1, 1], True),
        "kernel 3x2, strides 2 and 1, uneven pads": ([2, 2, 5, 4], [2, 2, 3, 2], [2, 1], [1, 0, 2, 1], True),
        "kernel 1, without bias": ([2, 3, 2, 2], [2, 3, 1, 1], [1, 1], [0, 0, 0, 0], False),
        "stride that leaves a rest": ([1, 1, 5, 5], [2, 1, 2, 2], [2, 2], [0, 0, 0, 0], True),
    }
    for kind, (x, w, strides, pads, bias) in convolutions.items():
        inputs = {"x": grid(*x), "w": grid(*w)} | ({"b": grid(w[0])} if bias else {})
        top, left, bottom, right = pads

        def conv(x, w, b=None, strides=strides, pads=(left, right, top, bottom)):
            return F.conv2d(F.pad(x, pads), w, b, stride=strides)

        yield Case(f"Conv {kind}", "Conv", {"strides": strides, "pads": pads, "group": 1}, inputs, conv)


def normalisations() -> Iterator[Case]:
    for shape in ([2, 5], [2, 2, 3, 4]):
        yield Case(
            f"Softmax of {shape}", "Softmax", {"axis": -1}, {"x": grid(*shape)}, lambda x: x.softmax(-1)
        )
    masked = grid(2, 4)
    masked[:, 2:] -= 10_000  # a masked score
    yield Case("Softmax with masked scores", "Softmax", {"axis": -1}, {"x": masked}, lambda x: x.softmax(-1))
    for epsilon in (1e-6, 1e-12):
        for kind, scale, step in (("", 1.0, 1e-3), (" of rows with spread 1e-3", 1e-3, 1e-6)):
            x = grid(2, 3, 6) if scale == 1 else np.round(RANDOM.normal(size=(2, 3, 6)), 3) * scale
            inputs = {"x": x, "scale": grid(6, low=0.5), "bias": grid(6)}
            yield Case(
                f"LayerNormalization{kind}, epsilon {epsilon:g}",
                "LayerNormalization",
                {"axis": -1, "epsilon": epsilon},
                inputs,
                lambda x, s, b, epsilon=float(np.float32(epsilon)): F.layer_norm(x, (6,), s, b, epsilon),
                step=step,
            )


def reductions() -> Iterator[Case]:
    formulas = {
        "ReduceSum": torch.sum,
        "ReduceMean": torch.mean,
        "ReduceLogSumExp": torch.logsumexp,
        "ReduceMax": torch.amax,
    }
    for op, formula in formulas.items():
        for axes, keepdims in (([1], 1), ([1], 0), ([-1], 1), ([0, 2], 1), ([0, 2], 0), ([0, 1, 2], 0)):
            x = RANDOM.permutation(24).reshape(2, 3, 4) / 8 - 1.5  # no ties
            attrs = {"axes": axes, "keepdims": keepdims}
            yield Case(
                f"{op} axes {axes} keepdims {keepdims}",
                op,
                attrs,
                {"x": x},
                lambda x, formula=formula, axes=axes, keep=bool(keepdims): formula(x, dim=axes, keepdim=keep),
            )
    large = np.array([[80, 79.5, -80, 78], [-80, -81, -79.25, -90.0], [0, 80, 80, 1]])
    yield Case(
        "ReduceLogSumExp of large values",
        "ReduceLogSumExp",
        {"axes": [1], "keepdims": 1},
        {"x": large},
        lambda x: x.logsumexp(1, keepdim=True),
    )


def layout() -> Iterator[Case]:
    for shape, result in (
        ([6, 4], [6, 4]),
        ([4, -1], [4, 6]),
        ([0, 2, -1], [2, 2, 6]),
        ([0, 0, 2, 2], [2, 3, 2, 2]),
    ):
        yield Case(
            f"Reshape to {shape}",
            "Reshape",
            {"shape": shape},
            {"x": grid(2, 3, 4)},
            lambda x, r=result: x.reshape(r),
        )
    for perm in ([1, 0, 2], [2, 0, 1], [0, 2, 1]):
        yield Case(
            f"Transpose {perm}",
            "Transpose",
            {"perm": perm},
            {"x": grid(2, 3, 4)},
            lambda x, p=perm: x.permute(p),
        )
    yield Case(
        "Transpose heads [0,2,1,3]",
        "Transpose",
        {"perm": [0, 2, 1, 3]},
        {"x": grid(2, 3, 2, 2)},
        lambda x: x.permute(0, 2, 1, 3),
    )
    for axis, shapes in (
        (0, [[1, 3], [2, 3]]),
        (1, [[2, 1, 3], [2, 3, 3], [2, 2, 3]]),
        (-1, [[2, 2], [2, 3]]),
    ):
        inputs = {f"x{i}": grid(*s) for i, s in enumerate(shapes)}
        yield Case(
            f"Concat of {len(shapes)} on axis {axis}",
            "Concat",
            {"axis": axis},
            inputs,
            lambda *x, a=axis: torch.cat(x, a),
        )
    split = {"axis": 1, "split": [1, 3, 2]}
    for outputs in (0, 1, 2, [0, 1, 2], [0, 2]):
        yield Case(
            f"Split, output {outputs} differentiated",
            "Split",
            split,
            {"x": grid(2, 6)},
            lambda x: x.split([1, 3, 2], 1),
            outputs=outputs,
            output_count=3,
        )
    slices = {
        "of one axis": ({"starts": [1], "ends": [3], "axes": [1]}, np.s_[:, 1:3]),
        "of two axes": ({"starts": [0, 1], "ends": [1, 4], "axes": [0, 2]}, np.s_[0:1, :, 1:4]),
        "from the end": ({"starts": [-2], "ends": [1000], "axes": [2]}, np.s_[:, :, -2:]),
        "without the last": ({"starts": [0], "ends": [-1], "axes": [1]}, np.s_[:, :-1]),
    }
    for kind, (attrs, index) in slices.items():
        yield Case(f"Slice {kind}", "Slice", attrs, {"x": grid(2, 4, 5)}, lambda x, index=index: x[index])
    for shape, result in (
        ([3], [2, 3]),
        ([1, 3], [2, 3]),
        ([2, 1, 3], [2, 4, 3]),
        ([], [2, 2]),
        ([3, 1], [2, 3, 4]),
    ):
        yield Case(
            f"Expand {shape} to {result}",
            "Expand",
            {"shape": result},
            {"x": grid(*shape)},
            lambda x, r=result: x.expand(r),
        )


def indexing() -> Iterator[Case]:
    def gather(x, indices, axis):
        chosen = x.index_select(axis, indices.flatten())
        return chosen.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])

    ids = np.array([[1, 6, 1], [0, 1, 3]], np.int32)  # row 1 three times, rows 2, 4 and 5 never
    for axis, shape in ((0, [7, 4]), (1, [2, 7, 2])):
        yield Case(
            f"Gather on axis {axis}, repeated indices",
            "Gather",
            {"axis": axis},
            {"x": grid(*shape), "indices": ids},
            lambda x, indices, axis=axis: gather(x, indices, axis),
        )
    yield Case(
        "Gather one row",
        "Gather",
        {"axis": 1},
        {"x": grid(2, 3, 2), "indices": np.array([0], np.int32)},
        lambda x, i: gather(x, i, 1),
    )
    yield Case(
        "GatherElements on axis 1",
        "GatherElements",
        {"axis": 1},
        {"x": grid(3, 5), "indices": np.array([[4], [0], [2]], np.int32)},
        lambda x, indices: x.gather(1, indices.long()),
    )
    yield Case(
        "GatherElements on axis 1, repeated indices",
        "GatherElements",
        {"axis": 1},
        {"x": grid(2, 4), "indices": np.array([[0, 3, 0], [2, 2, 2]], np.int32)},
        lambda x, indices: x.gather(1, indices.long()),
    )

    def scatter(data, indices, updates):
        return data.index_put(tuple(indices.unbind(-1)), updates, accumulate=True)

    rows, points = np.array([[1], [4], [1]], np.int64), np.array([[0, 2], [3, 1], [0, 2], [2, 2]], np.int64)
    add = {"reduction": "add"}
    yield Case(
        "ScatterND add of rows, one twice",
        "ScatterND",
        add,
        {"data": grid(5, 3), "indices": rows, "updates": grid(3, 3)},
        scatter,
    )
    yield Case(
        "ScatterND add of points, one twice",
        "ScatterND",
        add,
        {"data": grid(4, 3), "indices": points, "updates": grid(4)},
        scatter,
    )
    conditions = {
        "of equal shapes": ([[1, 0, 1], [0, 0, 1]], [2, 3], [2, 3]),
        "with a condition of one row and a scalar": ([1, 0, 1], [2, 3], []),
        "with everything broadcast": ([[1], [0]], [3], [2, 2, 1]),
    }
    for kind, (condition, x, y) in conditions.items():
        inputs = {"condition": np.array(condition, np.bool_), "x": grid(*x), "y": grid(*y)}
        yield Case(f"Where {kind}", "Where", {}, inputs, torch.where)


FAMILIES = (arithmetic, unary, products, normalisations, reductions, layout, indexing)
