"""Golden token ids from Hugging Face transformers' BertTokenizerFast.

    python make-tokenizer-golden.py <vocab.txt> <questions.json> <out.golden.json>

[ENC] takes the place of [CLS] in questions and [DEC] in answers, as BLIP and MISS do.
"""

import json
import sys

from transformers import BertTokenizerFast

ODD = [
    "Is it the common bile duct, or the cystic duct?!",
    "x-ray",
    "X - Ray.",
    "What's the patient's \u201ccondition\u201d \u2014 caf\u00e9-au-lait?",
    "na\u00efve \u00dcBERFLUTUNG \u00e9\u00e8\u00ea",
    "5.6 cm \u00d7 3.2mm, ~15%",
    "\u80ba\u90e8\u6709\u7ed3\u8282\u5417\uff1f",
    "\u03b1-fetoprotein \u2265 400 ng/mL",
    "T2-weighted/FLAIR (axial)",
    "blank\tand\nline\u00a0breaks  twice",
    "zero\u200bwidth and \ufffd and \u0000 controls\u0007",
    "emoji \U0001fac1 lungs",
    "pneumonoultramicroscopicsilicovolcanoconiosis" * 3,
    "it\u2019s pneumothorax; isn't it?",
    "\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439 \uff26\uff35\uff2c\uff2c width",
    "what about $100 <tag> a_b ^c `d` |e|?",
    "\u0639\u0638\u0645 \u00df \u0130stanbul",
    "is there any " + "very " * 60 + "large mass?",
]


def main() -> None:
    vocab, questions, out = sys.argv[1:]
    tokenizer = BertTokenizerFast(vocab=vocab, vocab_file=vocab)
    tokenizer.add_special_tokens({"bos_token": "[DEC]", "additional_special_tokens": ["[ENC]"]})
    dec, enc = tokenizer.convert_tokens_to_ids(["[DEC]", "[ENC]"])
    assert (dec, enc) == (30522, 30523)
    rows = json.load(open(questions, encoding="utf-8"))
    texts = ODD + [r["question"] for r in rows[::140]] + [r["answer"] for r in rows[70::150]]

    def encode(text: str, start: int, limit: int) -> list[int]:
        ids = tokenizer(text, truncation=True, max_length=limit).input_ids
        return [start, *ids[1:]]

    golden = [
        {
            "text": text,
            "question": encode(text, enc, 35),
            "answer": encode(text, dec, 10),
            "decoded": tokenizer.decode(encode(text, enc, 35), skip_special_tokens=True),
        }
        for text in texts
    ]
    with open(out, "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(g) for g in golden) + "\n]\n")


main()
