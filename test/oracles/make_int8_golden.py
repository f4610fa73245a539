"""Golden file of products in 8 bits, written in NumPy from the formulas (float64), and what they cost.

  python test/oracles/make_int8_golden.py      (numpy, safetensors)

Makes test/oracles/int8/products.safetensors:
  w [out, in], x [rows, in] with outlier channels, dy [rows, out] with one spike a row; row 0 of x and row 1 of w are 0
  y, dx                        x.W^T and dy.W
  dynamic.codes, .scale        codes of W within +-64, a scale an output channel
  dynamic.y, .dx               products of integers: rows of x, and of dy * scale, as round(v / s) + 128, s = max|v| / 127
  dynamic.bound_y, .bound_dx   ||error|| / ||result|| if each rounding is uniform and independent: s^2 / 12 a number
  blocks.codes, .scales        codes of W in blocks of 32 along `in`, zero point 128; blocks.codes_rows, .scales_rows: W^T
  blocks.y, .dx                products with the weights that these stand for
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

OUT = Path(__file__).parent / "int8"
ROWS, IN, OUTS, BLOCK = 12, 64, 64, 32
TINY = np.float32(1e-30)
rng = np.random.default_rng(7)

w = rng.standard_normal((OUTS, IN)) * np.exp(0.8 * rng.standard_normal((OUTS, 1))) * 0.05
w[1] = 0
x = rng.standard_normal((ROWS, IN)) * np.exp(0.5 * rng.standard_normal(IN))
x[:, :2] *= 6
x[0] = 0
dy = 1e-9 * rng.standard_normal((ROWS, OUTS))  # gradients are small: no absolute epsilon may hide them
dy[np.arange(ROWS), rng.integers(0, OUTS, ROWS)] *= 10
w, x, dy = (a.astype(np.float32).astype(np.float64) for a in (w, x, dy))


def codes(values, limit):
    """Codes and scales of the rows: value = code * scale. The scale is a float32."""
    scale = (np.abs(values).max(-1) / limit).astype(np.float32).astype(np.float64)
    safe = np.where(scale == 0, 1, scale)
    return np.rint(values / safe[..., None]), scale


def rows(values):
    scale = np.abs(values).max(-1) / 127 + TINY
    return np.clip(np.rint(values / scale[:, None]) + 128, 0, 255) - 128, scale


def product(a, b, column_scale):
    code, scale = rows(a)
    return (code @ b) * scale[:, None] * column_scale


def bound(a, a_scale, b, b_scale, exact):
    """a [rows, inner] . b [inner, columns] with rounding errors of scale^2 / 12 in each number of both."""
    a_error = (a_scale[:, None] ** 2 / 12) * (b**2).sum(0)[None]
    b_error = (a**2) @ np.broadcast_to(b_scale**2 / 12, b.shape)
    return np.sqrt((a_error + b_error).sum()) / np.linalg.norm(exact)


def blocks(values):
    code, scale = codes(values.reshape(len(values), -1, BLOCK), 127)
    return code, scale, (code * scale[..., None]).reshape(values.shape)


y, dx = x @ w.T, dy @ w
code, scale = codes(w, 64)
forward, forward_scale, near = blocks(w)
backward, backward_scale, near_t = blocks(w.T)

tensors = {
    "w": w,
    "x": x,
    "dy": dy,
    "y": y,
    "dx": dx,
    "dynamic.codes": code.astype(np.int8),
    "dynamic.scale": scale,
    "dynamic.y": product(x, code.T, scale),
    "dynamic.dx": product(dy * scale, code, 1),
    "dynamic.bound_y": bound(x, rows(x)[1], w.T, scale[None], y),
    # what is rounded is dy * scale, and what it multiplies are the codes
    "dynamic.bound_dx": bound(dy * scale, rows(dy * scale)[1], code, np.array(1.0), dx),
    "blocks.codes": (forward + 128).astype(np.uint8),
    "blocks.scales": forward_scale,
    "blocks.codes_rows": (backward + 128).astype(np.uint8),
    "blocks.scales_rows": backward_scale,
    "blocks.y": x @ near.T,
    "blocks.dx": dy @ near_t.T,
}
def stored(tensor):
    array = np.ascontiguousarray(tensor)
    return array if array.dtype.itemsize == 1 else array.astype(np.float32)


OUT.mkdir(exist_ok=True)
save_file({name: stored(t) for name, t in tensors.items()}, OUT / "products.safetensors")
error = lambda a, b: np.linalg.norm(a - b) / np.linalg.norm(b)
print("dynamic y", error(tensors["dynamic.y"], y), tensors["dynamic.bound_y"])
print("dynamic dx", error(tensors["dynamic.dx"], dx), tensors["dynamic.bound_dx"])
print("blocks y, dx", error(tensors["blocks.y"], y), error(tensors["blocks.dx"], dx))
