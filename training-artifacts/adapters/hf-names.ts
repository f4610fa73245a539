/** @file Reference parameter names ↔ paths in Hugging Face BLIP, each of its three modules wrapped alone. */
import { type ModuleName, moduleNames } from '../../graph-builder/models/config.js';

/** The class of each module in transformers.models.blip. */
export const hfClasses = {
  visual_encoder: { file: 'modeling_blip', name: 'BlipVisionModel' },
  text_encoder: { file: 'modeling_blip_text', name: 'BlipTextModel' },
  text_decoder: { file: 'modeling_blip_text', name: 'BlipTextLMHeadModel' },
} as const satisfies Record<ModuleName, { file: string; name: string }>;

/** Reference → HF inside a module; '#' is a layer's number. Leaves with a weight and, mostly, a bias. */
type Rows = readonly (readonly [reference: string, hf: string])[];

const same = (paths: readonly string[], prefix = ''): Rows => paths.map((p) => [prefix + p, prefix + p]);

const textLeaves = [
  ...['word_embeddings', 'position_embeddings', 'LayerNorm'].map((p) => `embeddings.${p}`),
  ...['attention', 'crossattention'].flatMap((kind) =>
    ['self.query', 'self.key', 'self.value', 'output.dense', 'output.LayerNorm'].map(
      (p) => `encoder.layer.#.${kind}.${p}`,
    ),
  ),
  ...['intermediate.dense', 'output.dense', 'output.LayerNorm'].map((p) => `encoder.layer.#.${p}`),
];

const leaves: Readonly<Record<ModuleName, Rows>> = {
  visual_encoder: [
    ['patch_embed.proj', 'embeddings.patch_embedding'],
    ['blocks.#.norm1', 'encoder.layers.#.layer_norm1'],
    ['blocks.#.attn.qkv', 'encoder.layers.#.self_attn.qkv'],
    ['blocks.#.attn.proj', 'encoder.layers.#.self_attn.projection'],
    ['blocks.#.norm2', 'encoder.layers.#.layer_norm2'],
    ['blocks.#.mlp.fc1', 'encoder.layers.#.mlp.fc1'],
    ['blocks.#.mlp.fc2', 'encoder.layers.#.mlp.fc2'],
    ['norm', 'post_layernorm'],
  ],
  text_encoder: same(textLeaves),
  text_decoder: [
    ...same(textLeaves, 'bert.'),
    ...same(['transform.dense', 'transform.LayerNorm'], 'cls.predictions.'),
  ],
};

/** Parameters that are no leaf's weight or bias. */
const roots: Readonly<Record<ModuleName, Rows>> = {
  visual_encoder: [
    ['cls_token', 'embeddings.class_embedding'],
    ['pos_embed', 'embeddings.position_embedding'],
  ],
  text_encoder: [],
  text_decoder: [['cls.predictions.bias', 'cls.predictions.bias']],
};

/** HF's second names of tied parameters, in the decoder: HF path → the path of the one that is stored. */
export const tiedPaths: ReadonlyMap<string, string> = new Map([
  ['cls.predictions.decoder.weight', 'bert.embeddings.word_embeddings.weight'],
  ['cls.predictions.decoder.bias', 'cls.predictions.bias'],
]);

const suffixes = ['weight', 'bias', 'lora_A.weight', 'lora_B.weight', 'lora_magnitude_vector', 'ia3_l'];

interface Table {
  readonly toHf: ReadonlyMap<string, string>;
  readonly fromHf: ReadonlyMap<string, string>;
}

function makeTable(module: ModuleName): Table {
  const parameters = leaves[module].flatMap(([a, b]) =>
    suffixes.map((s) => [`${a}.${s}`, `${b}.${s}`] as const),
  );
  const rows = [...leaves[module], ...parameters, ...roots[module]];
  return { toHf: new Map(rows), fromHf: new Map(rows.map(([a, b]) => [b, a])) };
}

const tables: Readonly<Record<ModuleName, Table>> = {
  visual_encoder: makeTable('visual_encoder'),
  text_encoder: makeTable('text_encoder'),
  text_decoder: makeTable('text_decoder'),
};

/** Looks a path up with its layer number taken out, and puts the number back. */
function translate(path: string, table: ReadonlyMap<string, string>): string | undefined {
  const number = /\.(0|[1-9]\d*)\./.exec(path)?.[1];
  const found = table.get(path.replace(/\.(0|[1-9]\d*)\./, '.#.'));
  return number === undefined ? found : found?.replace('#', number);
}

/**
 * The HF path of a reference parameter or module, within its wrapped module; undefined for an unknown name.
 *
 * @example hfPath('visual_encoder.blocks.3.attn.proj.lora_A.weight')
 *   // { module: 'visual_encoder', path: 'encoder.layers.3.self_attn.projection.lora_A.weight' }
 */
export function hfPath(name: string): { module: ModuleName; path: string } | undefined {
  const module = moduleNames.find((m) => name.startsWith(`${m}.`));
  const path = module && translate(name.slice(module.length + 1), tables[module].toHf);
  return path === undefined ? undefined : { module: module!, path };
}

/**
 * The reference name of an HF parameter or module path; undefined for an unknown path.
 *
 * @example referenceName('text_encoder', 'encoder.layer.0.attention.self.query')
 *   // 'text_encoder.encoder.layer.0.attention.self.query'
 */
export function referenceName(module: ModuleName, path: string): string | undefined {
  const stored = (module === 'text_decoder' && tiedPaths.get(path)) || path;
  const found = translate(stored, tables[module].fromHf);
  return found && `${module}.${found}`;
}
