"""HF BLIP (and PEFT) parameter names -> the reference model's names, which MILE-ORT uses everywhere.

Not a script: imported by the make_*.py files.
"""

import re

# Applied in order, each to the whole name.
RULES = [
    (r"\.base_layer\.", "."),  # PEFT wraps a layer; the frozen weight keeps its own name
    (r"\.(lora_[AB])\.default\.", r".\1."),
    (r"^vision_model\.embeddings\.class_embedding$", "visual_encoder.cls_token"),
    (r"^vision_model\.embeddings\.position_embedding$", "visual_encoder.pos_embed"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual_encoder.patch_embed.proj."),
    (r"^vision_model\.post_layernorm\.", "visual_encoder.norm."),
    (r"^vision_model\.encoder\.layers\.", "visual_encoder.blocks."),
    (r"\.self_attn\.qkv\.", ".attn.qkv."),
    (r"\.self_attn\.projection\.", ".attn.proj."),
    (r"\.layer_norm([12])\.", r".norm\1."),
]


def reference_name(hf_name: str) -> str:
    """text_encoder.* and text_decoder.* are the same in both; the ViT's names differ."""
    for pattern, replacement in RULES:
        hf_name = re.sub(pattern, replacement, hf_name)
    return hf_name
