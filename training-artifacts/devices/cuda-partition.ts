/** @file Which nodes of a graph ONNX Runtime would leave to the CPU though the CUDA provider is asked for. */
import type { Graph, Node } from '../../graph-builder/ir/types.js';
import { cudaKernels } from './cuda-kernels.js';

/** A node without a CUDA kernel: its inputs and outputs cross the bus in every step. */
export interface CpuNode {
  readonly name: string;
  readonly op: string;
  /** e.g. 'no kernel for bool in input 2' */
  readonly why: string;
}

function refusal({ op, inputs }: Node): string | undefined {
  const kernel = cudaKernels[op];
  if (kernel === 'none') return 'no kernel';
  for (const [i, input] of inputs.entries()) {
    const dtypes = kernel[Math.min(i, kernel.length - 1)]!;
    if (input && !dtypes.includes(input.dtype)) return `no kernel for ${input.dtype} in input ${i + 1}`;
  }
  return undefined;
}

/**
 * Nodes that CUDA cannot take, by the operator tables of ONNX Runtime. What the provider decides by sizes and
 * attributes is not in the tables; `ort-train --doctor` asks the runtime itself where a card is present.
 */
export const cpuNodes = (graph: Graph): CpuNode[] =>
  graph.nodes.flatMap((node) => {
    const why = refusal(node);
    return why === undefined ? [] : [{ name: node.outputs[0]!.name, op: node.op, why }];
  });
