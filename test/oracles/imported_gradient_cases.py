"""More cases of make_gradient_golden.py: operators that only models from elsewhere contain.

Not a script. A family of its own, drawn last, so that the numbers of the other cases stay as they are.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F

from gradient_cases import RANDOM, Case, grid


def apart(*shape: int, middle: float = 0.0) -> np.ndarray:
    """A shuffled row of multiples of 1/4, none nearer to `middle` than 1/8: no kink, no ties."""
    size = int(np.prod(shape))
    return RANDOM.permutation(size).reshape(shape) / 4 - size // 2 / 4 + 0.125 + middle


def activations() -> Iterator[Case]:
    yield Case("Relu", "Relu", {}, {"x": apart(3, 4)}, torch.relu)
    yield Case("LeakyRelu", "LeakyRelu", {"alpha": 0.25}, {"x": apart(3, 4)}, lambda x: F.leaky_relu(x, 0.25))
    yield Case("Sigmoid", "Sigmoid", {}, {"x": grid(2, 3)}, torch.sigmoid)
    wide = np.array([0, 1 / 64, -0.75, 2, -12, 12])
    yield Case("Sigmoid near 0 and far away", "Sigmoid", {}, {"x": wide}, torch.sigmoid)
    bounds = {"min": np.array(-1.0), "max": np.array(0.5)}
    yield Case("Clip", "Clip", {}, {"x": apart(3, 4)} | bounds, torch.clamp, constants=("min", "max"))
    powers = {"2": grid(2, 3), "3": grid(2, 3), "0.5": grid(2, 3, low=0.25), "-1": grid(2, 3, low=0.25)}
    for power, x in powers.items():
        inputs = {"x": x, "power": np.array(float(power))}
        yield Case(f"Pow {power}", "Pow", {}, inputs, torch.pow, constants=("power",))


def logic() -> Iterator[Case]:
    a, b = np.array([[1.0, 2, 3], [4, 5, 6]]), np.array([1.0, 5, 3])
    comparisons = {"LessOrEqual": torch.le, "Greater": torch.gt, "GreaterOrEqual": torch.ge}
    for op, formula in comparisons.items():
        yield Case(f"{op} with a row", op, {}, {"a": a, "b": b}, formula, differentiable=False)
    p, q = np.array([[True, False, True], [False, False, True]]), np.array([True, True, False])
    for op, formula in (("And", torch.logical_and), ("Or", torch.logical_or)):
        yield Case(f"{op} with a row", op, {}, {"a": p, "b": q}, formula)
    yield Case("Not", "Not", {}, {"a": p}, torch.logical_not)


def convolutions() -> Iterator[Case]:
    # x, w, strides, pads, dilations, group
    kinds = {
        "dilations 2 and 1": ([2, 2, 6, 5], [3, 2, 3, 2], [1, 1], [1, 0, 1, 0], [2, 1], 1),
        "stride and dilation 2, a rest": ([1, 2, 8, 8], [2, 2, 2, 2], [2, 2], [0, 0, 0, 0], [2, 2], 1),
        "two groups, stride 2": ([2, 4, 5, 5], [6, 2, 3, 3], [2, 2], [1, 1, 1, 1], [1, 1], 2),
        "a group a channel": ([2, 3, 4, 4], [3, 1, 3, 3], [1, 1], [1, 1, 1, 1], [1, 1], 3),
    }
    for kind, (x, w, strides, pads, dilations, group) in kinds.items():
        attrs = {"strides": strides, "pads": pads, "dilations": dilations, "group": group}
        top, left, bottom, right = pads

        def conv(x, w, b, s=strides, pads=(left, right, top, bottom), d=dilations, group=group):
            return F.conv2d(F.pad(x, pads), w, b, stride=s, dilation=d, groups=group)

        inputs = {"x": grid(*x), "w": grid(*w), "b": grid(w[0])}
        yield Case(f"Conv {kind}", "Conv", attrs, inputs, conv)
    attrs = {"strides": [2], "pads": [1, 1], "group": 1}
    inputs = {"x": grid(2, 3, 7), "w": grid(4, 3, 3), "b": grid(4)}
    yield Case("Conv on one axis", "Conv", attrs, inputs, lambda x, w, b: F.conv1d(x, w, b, 2, 1))


def pooling() -> Iterator[Case]:
    kinds = {
        "3, stride 2, pads 1": ([3, 3], [2, 2], [1, 1, 1, 1]),
        "2, windows apart": ([2, 2], [2, 2], [0, 0, 0, 0]),
        "3x2, stride 1": ([3, 2], [1, 1], [0, 0, 0, 0]),
    }
    for kind, (kernel, strides, pads) in kinds.items():

        def pool(x, kernel=kernel, strides=strides, pads=pads):
            return F.max_pool2d(x, kernel, strides, pads[:2])

        attrs = {"kernel_shape": kernel, "strides": strides, "pads": pads}
        yield Case(f"MaxPool {kind}", "MaxPool", attrs, {"x": apart(2, 2, 5, 4)}, pool)


def statistics() -> Iterator[Case]:
    for shape in ([4, 3], [2, 3, 2, 2]):
        channels = shape[1]
        inputs = {"x": grid(*shape), "scale": grid(channels, low=0.5), "bias": grid(channels)}
        inputs |= {"mean": grid(channels), "variance": grid(channels, low=0.5)}

        def normalise(x, scale, bias, mean, variance):
            return F.batch_norm(x, mean, variance, scale, bias, eps=float(np.float32(1e-5)))

        yield Case(
            f"BatchNormalization of {shape}",
            "BatchNormalization",
            {"epsilon": 1e-5},
            inputs,
            normalise,
            constants=("mean", "variance"),
        )


def gathering() -> Iterator[Case]:
    ids = np.array([[1, 2, 1], [0, 1, 1]], np.int64)
    inputs = {"x": grid(3, 2, 2), "indices": ids}
    yield Case("Gather blocks on axis 0", "Gather", {"axis": 0}, inputs, lambda x, i: x[i])
    inputs = {"x": grid(2, 2, 3), "indices": ids}
    yield Case("Gather on the last axis", "Gather", {"axis": -1}, inputs, lambda x, i: x[..., i])


def sums() -> Iterator[Case]:
    def sum_before(x, axis, exclusive, reverse):
        x = x.flip(axis) if reverse else x
        y = x.cumsum(axis) - (x if exclusive else 0)
        return y.flip(axis) if reverse else y

    for axis, exclusive, reverse in ((1, 0, 0), (0, 1, 0), (-1, 1, 1)):
        attrs = {"exclusive": exclusive, "reverse": reverse}
        name = f"CumSum on axis {axis}, exclusive {exclusive}, reverse {reverse}"
        inputs = {"x": grid(3, 4), "axis": np.array(axis, np.int64)}

        def formula(x, axis, exclusive=exclusive, reverse=reverse):
            return sum_before(x, int(axis), exclusive, reverse)

        yield Case(name, "CumSum", attrs, inputs, formula)


IMPORTED_FAMILIES = (activations, logic, convolutions, pooling, statistics, gathering, sums)
