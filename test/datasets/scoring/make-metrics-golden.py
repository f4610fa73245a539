"""Golden scores from NLTK (BLEU-1), torchmetrics (SQuAD's F1, calibration error) and brute force (AURC).

    python make-metrics-golden.py <out.golden.json>      (nltk 3.10, torchmetrics 1.9, torch, numpy)

Texts are written so that this project's normalisation changes nothing that the other programs would see: no
accents, no blanks around punctuation.
"""

import itertools
import json
import sys
import warnings

import numpy as np
import torch
from nltk.translate.bleu_score import sentence_bleu
from torchmetrics.functional.classification import binary_calibration_error
from torchmetrics.functional.text import squad

warnings.filterwarnings("ignore")  # NLTK's, of a score of 0

PAIRS = [
    ("yes", "yes"),
    ("no", "yes"),
    ("the left lung", "left lung"),
    ("right lower lobe", "the right lower lobe of the lung"),
    ("right right right lobe", "right lobe"),
    ("x-ray", "chest x-ray"),
    ("a mass in the head, left of midline", "mass, left"),
    ("lung", "kidney"),
    ("mri t2 flair of an axial slice", "mri flair axial"),
    ("the", "lung"),
    ("5.6 cm", "5.6 cm focal, predominantly hypodense"),
]


def f1(prediction: str, answer: str) -> float:
    found = squad(
        [{"prediction_text": prediction, "id": "0"}],
        [{"answers": {"answer_start": [0], "text": [answer]}, "id": "0"}],
    )
    return float(found["f1"]) / 100


def bleu1(prediction: str, answer: str) -> float:
    return float(sentence_bleu([answer.split()], prediction.split(), weights=(1,)))


def calibration(n: int, seed: int) -> dict:
    draw = np.random.default_rng(seed)
    confidence = draw.beta(2, 1.3, n).astype(np.float32)
    correct = draw.random(n) < confidence**2
    ece = binary_calibration_error(
        torch.tensor(confidence, dtype=torch.float64), torch.tensor(correct).int(), n_bins=15, norm="l1"
    )
    return {
        "confidence": [float(c) for c in confidence],
        "correct": [bool(c) for c in correct],
        "ece": float(ece),
    }


def aurc(confidence: list[float], correct: list[bool]) -> float:
    """Mean over all orders that sort by confidence of the mean risk at coverages 1/n ... 1."""
    areas = []
    for order in itertools.permutations(range(len(confidence))):
        sorted_ones = [confidence[i] for i in order]
        if sorted_ones != sorted(confidence, reverse=True):
            continue
        errors = np.cumsum([not correct[i] for i in order])
        areas.append(np.mean(errors / np.arange(1, len(order) + 1)))
    return float(np.mean(areas))


AURC_CASES = [
    ([0.9, 0.8, 0.7, 0.6, 0.5], [True, False, True, True, False]),
    ([0.9, 0.9, 0.9, 0.4, 0.4, 0.1], [True, False, False, True, False, True]),
    ([0.5, 0.5, 0.5, 0.5], [True, False, False, False]),
]


def main() -> None:
    golden = {
        "pairs": [
            {"prediction": p, "answer": a, "f1": f1(p, a), "bleu1": bleu1(p, a)} for p, a in PAIRS
        ],
        "calibration": [calibration(n, seed) for n, seed in ((40, 0), (300, 1))],
        "aurc": [{"confidence": c, "correct": r, "aurc": aurc(c, r)} for c, r in AURC_CASES],
    }
    with open(sys.argv[1], "w") as file:
        json.dump(golden, file)
        file.write("\n")


main()
