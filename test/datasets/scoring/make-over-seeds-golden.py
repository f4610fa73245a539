"""Golden values of Student's t and of means over questions and seeds, by scipy and numpy.

Run: python test/datasets/scoring/make-over-seeds-golden.py (numpy 2, scipy 1.14 or later)
"""
import json
import pathlib

import numpy as np
from scipy import stats

rng = np.random.default_rng(0)
quantiles = [
    {"level": level, "df": df, "t": float(stats.t.ppf(0.5 + level / 2, df))}
    for level in (0.5, 0.9, 0.95, 0.99)
    for df in (1, 1.5, 2, 3.7, 10, 49.3, 450, 1e6)
]
p_values = [
    {"t": t, "df": df, "p": float(2 * stats.t.sf(t, df))} for t in (0, 0.5, 2, 7) for df in (1, 2.5, 30, 1000)
]
tables = []
for seeds, questions, p, wobble in ((1, 40, 0.4, 0), (2, 60, 0.6, 0.2), (3, 100, 0.2, 0.02), (5, 30, 0.9, 0.05)):
    table = (rng.random((seeds, questions)) < p + wobble * rng.standard_normal((seeds, 1))).astype(float)
    parts = [stats.sem(table.mean(0)) ** 2, stats.sem(table.mean(1)) ** 2 if seeds > 1 else 0.0]
    dfs = [questions - 1, max(1, seeds - 1)]
    v = sum(parts)
    df = v**2 / sum(x**2 / d for x, d in zip(parts, dfs))
    low, high = stats.t.interval(0.95, df, table.mean(), np.sqrt(v))
    # Wilson's interval is where (p - pi)^2 = t^2 pi (1 - pi) / n: solved as a polynomial in pi
    mean = table.mean()
    n = min(questions * seeds, mean * (1 - mean) / v)
    t2 = stats.t.ppf(0.975, df) ** 2
    wilson = sorted(np.roots([1 + t2 / n, -(2 * mean + t2 / n), mean**2]).real)
    tables.append({
        "table": table.astype(int).tolist(), "mean": mean, "df": df,
        "low": low, "high": high, "wilson": [float(w) for w in wilson],
    })
paired = []
for n, only_a, only_b in ((451, 4, 0), (451, 40, 22), (100, 0, 0), (60, 3, 9)):
    # Bonett and Price 2012, equation 5
    a, b, z = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2), stats.norm.ppf(0.975)
    half = z * np.sqrt((a + b - (a - b) ** 2) / (n + 2))
    paired.append({"n": n, "onlyA": only_a, "onlyB": only_b, "low": a - b - half, "high": a - b + half})
path = pathlib.Path(__file__).with_name("over-seeds.golden.json")
path.write_text(json.dumps({"quantiles": quantiles, "pValues": p_values, "tables": tables, "paired": paired}))
