"""Golden resized images from Pillow's antialiased bilinear filter.

    python make-resize-golden.py <out.golden.json>
"""

import base64
import json
import random
import sys

from PIL import Image

# (width, height) before and after: shrinking, growing, both, one axis only, extreme.
CASES = [
    ((37, 23), (16, 16)),
    ((12, 9), (30, 40)),
    ((60, 7), (13, 21)),
    ((20, 15), (20, 6)),
    ((64, 48), (5, 3)),
    ((3, 2), (1, 1)),
]


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def main() -> None:
    rng = random.Random(11)
    golden = []
    for (width, height), (new_width, new_height) in CASES:
        # Noise with black and white pixels in it: rounding and clipping both matter.
        data = bytes(rng.choice((0, 255, rng.randrange(256))) for _ in range(width * height * 3))
        image = Image.frombytes("RGB", (width, height), data)
        resized = image.resize((new_width, new_height), Image.Resampling.BILINEAR)
        golden.append(
            {
                "width": width,
                "height": height,
                "data": text(data),
                "newWidth": new_width,
                "newHeight": new_height,
                "resized": text(resized.tobytes()),
            }
        )
    with open(sys.argv[1], "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(g) for g in golden) + "\n]\n")


main()
