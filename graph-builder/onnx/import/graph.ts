/** @file ONNX → IR, for models that this project did not make. */
import type { onnx } from 'onnx-proto';
import { FileError, UserError } from '../../errors.js';
import { prune, verify } from '../../ir/graph.js';
import type { Dim, Graph, Input, Parameter, Value } from '../../ir/types.js';
import {
  bad,
  dimsOf,
  dtypeOf,
  externalRange,
  isExternal,
  readLiteral,
  sizeOf,
  weightBytes,
} from '../tensors.js';
import type { ExternalTensor } from '../write.js';
import { elementwiseTranslations } from './elementwise.js';
import { Emitter } from './emitter.js';
import { fold } from './fold.js';
import { indexingTranslations } from './indexing.js';
import { isKnown, type Operand } from './known.js';
import { layerTranslations } from './layers.js';
import { layoutTranslations } from './layout.js';
import { Site } from './site.js';
import type { Translation } from './translation.js';

const translations: Readonly<Record<string, Translation>> = {
  ...elementwiseTranslations,
  ...layerTranslations,
  ...layoutTranslations,
  ...indexingTranslations,
};

export interface ReadOptions {
  /** float32 initialisers of more than one element become frozen parameters, not constants */
  readonly inlineWeights?: boolean;
  /** entries that all tensors together may have which are computed while reading; default: 2^25 */
  readonly mostComputed?: number;
}

/** Entries of all tensors that are computed while a model is read: a small file must not fill the memory. */
const MOST_COMPUTED = 2 ** 25;

const CONTROL_FLOW = new Set(['If', 'Loop', 'Scan']);

/** Axis lengths of a graph input; one without a usable name gets one after the input. */
function inputShape(info: onnx.IValueInfoProto): Dim[] {
  const clean = (name: string) => name.replaceAll(/\W/g, '_').replace(/^\d/, '_$&');
  return (info.type?.tensorType?.shape?.dim ?? []).map(
    (d, i) => clean(d.dimParam ?? '') || Number(d.dimValue ?? 0) || `${clean(info.name ?? '')}_axis${i}`,
  );
}

/** Running means and variances: numbers that no gradient step changes, not weights. */
function statisticsOf(proto: onnx.IGraphProto): ReadonlySet<string> {
  const normalisations = (proto.node ?? []).filter((n) => n.opType === 'BatchNormalization');
  return new Set(normalisations.flatMap((n) => (n.input ?? []).slice(3)));
}

class Importer {
  readonly parameters: Parameter[] = [];
  readonly weights = new Map<string, ExternalTensor>();
  readonly inline = new Map<string, Uint8Array>();
  private readonly operands = new Map<string, Operand>();
  /** entries of tensors that were computed so far */
  private computed = 0;

  constructor(
    private readonly file: string,
    private readonly opset: number,
    private readonly mostComputed: number,
  ) {}

  private parameter(t: onnx.ITensorProto): void {
    const name = t.name!;
    const type = { name, dtype: dtypeOf(t.dataType, name), shape: dimsOf(t) };
    const parameter: Parameter = { kind: 'parameter', ...type, trainable: false, init: 'checkpoint' };
    this.parameters.push(parameter);
    this.operands.set(name, parameter);
  }

  readInitialisers(proto: onnx.IGraphProto, inlineWeights: boolean): void {
    const statistics = statisticsOf(proto);
    for (const t of proto.initializer ?? []) {
      const name = t.name!;
      if (isExternal(t)) {
        this.parameter(t);
        this.weights.set(name, externalRange(t));
      } else if (inlineWeights && t.dataType === 1 && sizeOf(t) > 1 && !statistics.has(name)) {
        this.parameter(t);
        this.inline.set(name, weightBytes(t));
      } else {
        this.operands.set(name, { ...readLiteral(t, name), kind: 'known' });
      }
    }
  }

  /** Graph inputs; up to IR version 3, initialisers were listed as such, too. */
  readInputs(proto: onnx.IGraphProto): readonly Input[] {
    const inputs = (proto.input ?? []).filter(({ name }) => !this.operands.has(name!));
    return inputs.map((info): Input => {
      const name = info.name!;
      const dtype = dtypeOf(info.type?.tensorType?.elemType, name);
      const input: Input = { kind: 'input', name, dtype, shape: inputShape(info) };
      this.operands.set(name, input);
      return input;
    });
  }

  read(name: string, where: string): Operand {
    if (name === '') return undefined;
    if (!this.operands.has(name)) throw bad(`${name} is read before it is made`, where);
    return this.operands.get(name);
  }

  readNode(n: onnx.INodeProto, emitter: Emitter): void {
    const where = `${this.file}, node ${n.name || n.output?.[0]}`;
    const operands = (n.input ?? []).map((name) => this.read(name, where));
    const site = new Site(n, operands, emitter, this.file, this.opset);
    const results = translate(site);
    this.count(site, results[0]);
    site.outputs.forEach((name, i) => {
      if (!name || !results[i]) return; // an output that nobody reads, such as Dropout's mask
      if (this.operands.has(name)) throw bad(`${name} is made twice`, where);
      this.operands.set(name, results[i]);
    });
  }

  /** Counts what a node has computed: neither numbers of the file nor another shape of the same numbers. */
  private count(site: Site, result: Operand): void {
    if (!isKnown(result) || site.op === 'Constant') return;
    if (site.inputs.some((x) => isKnown(x) && x.data === result.data)) return;
    this.computed += result.data.length;
    if (this.computed > this.mostComputed)
      throw site.bad(
        `the tensors that are computed from constants have more than ${this.mostComputed} entries in all`,
        'export them as initialisers',
      );
  }
}

function translate(c: Site): readonly Operand[] {
  try {
    const known = fold(c);
    if (known) return [known];
    const key = c.domain ? `${c.domain}.${c.op}` : c.op;
    if (CONTROL_FLOW.has(key)) {
      const remedy = 'export the model with its control flow resolved (torch.onnx.export traces it)';
      throw c.bad(`${key} decides at run time what is computed: not supported`, remedy);
    }
    if (!Object.hasOwn(translations, key)) throw c.bad(`operator ${key} is not supported`);
    const results = translations[key]!(c);
    c.checkAttributes();
    return results;
  } catch (error) {
    if (!(error instanceof UserError) || error instanceof FileError) throw error;
    throw new FileError(error.what, `${c.where}: ${error.where}`, error.remedy, { cause: error });
  }
}

/** The graph of a foreign model, the byte ranges of its external weights and the bytes of those inside. */
export function importGraph(
  proto: onnx.IGraphProto,
  file: string,
  opset: number,
  { inlineWeights = false, mostComputed = MOST_COMPUTED }: ReadOptions,
) {
  const importer = new Importer(file, opset, mostComputed);
  importer.readInitialisers(proto, inlineWeights);
  const inputs = importer.readInputs(proto);
  const emitter = new Emitter(inputs);
  for (const n of proto.node ?? []) importer.readNode(n, emitter);
  const outputs: Record<string, Value> = {};
  for (const { name } of proto.output ?? []) {
    const where = `${file}, output ${name}`;
    const operand = importer.read(name!, where);
    if (!operand) throw bad(`${name} is never made`, where);
    outputs[name!] = isKnown(operand) ? emitter.value(operand) : operand;
  }
  const { nodes, constants } = emitter;
  const whole: Graph = { inputs, parameters: importer.parameters, constants, nodes, outputs };
  const graph = verify({ ...prune(whole), inputs });
  const used = new Set(graph.parameters.map((p) => p.name));
  const kept = <T>(all: ReadonlyMap<string, T>) => new Map([...all].filter(([name]) => used.has(name)));
  return { graph, weights: kept(importer.weights), inline: kept(importer.inline) };
}
