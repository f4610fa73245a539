"""Golden p values from scipy: McNemar's exact test is a two-sided binomial test of the discordant pairs.

    python make-compare-golden.py <out.golden.json>
"""

import json
import sys

from scipy.stats import binomtest

PAIRS = [(0, 0), (1, 0), (0, 5), (3, 3), (10, 2), (25, 40), (61, 60), (120, 90), (700, 640), (0, 1200)]


def main() -> None:
    golden = [
        {"onlyA": a, "onlyB": b, "p": 1.0 if a + b == 0 else float(binomtest(a, a + b, 0.5).pvalue)}
        for a, b in PAIRS
    ]
    with open(sys.argv[1], "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(g) for g in golden) + "\n]\n")


main()
