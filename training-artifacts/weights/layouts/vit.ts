/** @file Vision transformers of timm and of Hugging Face. */
import type { Layout, Recipe } from './layout.js';

const HINT = "half for most of timm's and Google's ViTs, imagenet for DeiT and DINO, clip for CLIP's";

/** Query, key and value below one another, as one qkv layer has them. */
const parts = (names: readonly string[], leaf: string): Recipe => names.map((name) => `${name}.${leaf}`);

function inEncoder(target: string): string | undefined {
  return /^visual_encoder\.(.+)$/.exec(target)?.[1];
}

function timmRecipes(target: string): readonly Recipe[] {
  const name = inEncoder(target);
  if (name === undefined) return [];
  const qkv = /^(.*attn)\.qkv\.(weight|bias)$/.exec(name);
  if (!qkv) return [[name]];
  const [, attn, leaf] = qkv as unknown as [string, string, string];
  const forms = [
    ['q', 'k', 'v'],
    ['q_proj', 'k_proj', 'v_proj'],
    ['query', 'key', 'value'],
  ];
  return [
    [name],
    ...forms.map((form) =>
      parts(
        form.map((n) => `${attn}.${n}`),
        leaf,
      ),
    ),
  ];
}

export const timmVit: Layout = {
  name: 'timm ViT',
  signatures: ['patch_embed.proj.weight'],
  recipes: timmRecipes,
  tied: () => undefined,
  normalisationHint: HINT,
};

const hfRoots: Readonly<Record<string, string>> = {
  cls_token: 'embeddings.cls_token',
  pos_embed: 'embeddings.position_embeddings',
  'patch_embed.proj.weight': 'embeddings.patch_embeddings.projection.weight',
  'patch_embed.proj.bias': 'embeddings.patch_embeddings.projection.bias',
  'norm.weight': 'layernorm.weight',
  'norm.bias': 'layernorm.bias',
};

/** Within a layer, in files and in the modules of transformers 5. */
const hfLeaves: Readonly<Record<string, readonly [file: string, module: string]>> = {
  norm1: ['layernorm_before', 'layernorm_before'],
  'attn.proj': ['attention.output.dense', 'attention.o_proj'],
  norm2: ['layernorm_after', 'layernorm_after'],
  'mlp.fc1': ['intermediate.dense', 'mlp.fc1'],
  'mlp.fc2': ['output.dense', 'mlp.fc2'],
};

function plainHfRecipes(target: string): readonly Recipe[] {
  const name = inEncoder(target);
  if (name === undefined) return [];
  if (Object.hasOwn(hfRoots, name)) return [[hfRoots[name]!]];
  const [, layer, path, leaf] = /^blocks\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) ?? [];
  if (layer === undefined || path === undefined || leaf === undefined) return [];
  const old = `encoder.layer.${layer}`;
  if (path === 'attn.qkv') {
    const names = ['query', 'key', 'value'].map((n) => `${old}.attention.attention.${n}`);
    const newer = ['q_proj', 'k_proj', 'v_proj'].map((n) => `layers.${layer}.attention.${n}`);
    return [parts(names, leaf), parts(newer, leaf)];
  }
  const [file, module] = hfLeaves[path]!;
  return [[`${old}.${file}.${leaf}`], [`layers.${layer}.${module}.${leaf}`]];
}

/** ViTModel alone, and beside a classifier. */
const hfRecipes = (target: string): readonly Recipe[] => {
  const plain = plainHfRecipes(target);
  return [...plain, ...plain.map((names) => names.map((name) => `vit.${name}`))];
};

export const hfVit: Layout = {
  name: 'HF ViT',
  signatures: [hfRoots['patch_embed.proj.weight']!, `vit.${hfRoots['patch_embed.proj.weight']}`],
  recipes: hfRecipes,
  tied: () => undefined,
  normalisationHint: HINT,
};
