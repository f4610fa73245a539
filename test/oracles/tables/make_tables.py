"""Tables written by Python's csv module and pyarrow, with what Python reads in them, and perceptual hashes by Pillow and
scipy. Run from this folder: python make_tables.py (needs pyarrow, pillow, numpy, scipy).
"""
import csv
import io
import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scipy.fft import dctn

here = pathlib.Path(__file__).parent
images = here / "../../../datasets/vqa-rad/images"

# A CSV with what makes CSV hard: line ends, quotes, commas and blanks in cells, CRLF, an empty line, a column unused.
header = ["Figure_path", "Question", "Answer", "note", "split"]
rows = [
    ["a.png", "Is this, a CT?", "yes", "first\nsecond\r\nthird", "train"],
    ["b.png", 'Is it "normal"?', "no", "", "train"],
    ["c.png", "  Where\nis the mass? ", "left lobe", 'a "quoted"\n\nnote', "val"],
    ["d.png", "Größe?", "2 cm; rund", "ä", "test"],
]
with open(here / "hard.csv", "w", newline="", encoding="utf-8-sig") as file:
    writer = csv.writer(file)
    writer.writerow(header)
    writer.writerow(rows[0])
    file.write("\r\n")
    for row in rows[1:]:
        writer.writerow(row)
golden = []
with open(here / "hard.csv", newline="", encoding="utf-8-sig") as file:
    reader = csv.reader(file)
    before = 0
    for row in reader:
        if row:
            golden.append({"line": before + 1, "cells": row})
        before = reader.line_num
json.dump(golden[1:], open(here / "hard.golden.json", "w"), ensure_ascii=False, indent=1)

with open(here / "semicolon.csv", "w", newline="", encoding="utf-8") as file:
    csv.writer(file, delimiter=";").writerows([header, *rows])
text = "image,question,answer\nä.png,Größe?,2 cm\nb.png,Is it normal?,né\n"
(here / "utf16.csv").write_bytes(text.encode("utf-16"))
(here / "latin1.csv").write_bytes(text.replace("ä", "a").replace("Größe", "Size").encode("latin-1"))

names = [f"{i % 3}.png" for i in range(12)]
table = pa.table(
    {
        "image_name": names,
        "qid": pa.array(range(12), pa.int64()),
        "question": [f"Question {i}?" for i in range(12)],
        "answer": ["yes" if i % 2 else "no" for i in range(12)],
        "organ": ["CHEST", "HEAD"] * 6,
    }
)
pq.write_table(table, here / "rows.parquet", row_group_size=5)
image = pa.array([{"bytes": b"\x89PNG", "path": "a.png"}], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
pq.write_table(pa.table({"image": image, "question": ["?"], "answer": ["yes"]}), here / "embedded.parquet")

# Images within the table, in two files of a split, as Hugging Face stores a data set; one image twice.
hf = here / "hf"
hf.mkdir(exist_ok=True)


def png(shade):
    buffer = io.BytesIO()
    Image.new("L", (12, 8), shade).save(buffer, "PNG")
    return buffer.getvalue()


kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
for file, shades in {"train-00000-of-00002": [10, 20], "train-00001-of-00002": [10], "test-00000-of-00001": [30]}.items():
    column = pa.array([{"bytes": png(s), "path": None} for s in shades], kind)
    asked = [f"How bright is {s}?" for s in shades]
    table = pa.table({"image": column, "question": asked, "answer": [str(s) for s in shades], "n": pa.array(shades, pa.int64())})
    pq.write_table(table, hf / f"{file}.parquet")

hashes = {}
for path in sorted(images.iterdir())[::40]:
    grey = Image.open(path).convert("L")
    small = np.asarray(grey.resize((32, 32), Image.Resampling.BOX), dtype=float)
    low = dctn(small, type=2)[:8, :8].flatten()
    hashes[path.name] = "".join("1" if c > np.median(low[1:]) else "0" for c in low)
json.dump(hashes, open(here / "hashes.golden.json", "w"), indent=1)
