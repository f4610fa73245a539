/** @file Runs in the browser: trains a folder of official artifacts with onnxruntime-web 1.19.2. */
import * as ort from '/dist/ort.training.wasm.min.mjs';

ort.env.wasm.wasmPaths = '/dist/';
ort.env.wasm.numThreads = 1;

const dtypes = {
  F32: ['float32', Float32Array],
  I32: ['int32', Int32Array],
  I64: ['int64', BigInt64Array],
};

const bytesOf = async (url) => new Uint8Array(await (await fetch(url)).arrayBuffer());

/** Batches of a safetensors file: arrays named `<batch>/<input>`. */
async function readBatches(url) {
  const bytes = await bytesOf(url);
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const batches = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const [number, input] = name.split('/');
    const [begin, end] = entry.data_offsets.map((at) => at + 8 + length);
    const [type, Data] = dtypes[entry.dtype];
    batches[number] ??= {};
    batches[number][input] = new ort.Tensor(type, new Data(bytes.slice(begin, end).buffer), entry.shape);
  }
  return batches;
}

const pick = (feeds, names) => Object.fromEntries(names.map((name) => [name, feeds[name]]));

/** Losses of the steps, at the runtime's own learning rate of 1e-3, and of an evaluation of the first batch. */
globalThis.train = async (folder) => {
  const session = await ort.TrainingSession.create({
    checkpointState: await bytesOf(`${folder}/checkpoint`),
    trainModel: await bytesOf(`${folder}/training_model.onnx`),
    evalModel: await bytesOf(`${folder}/eval_model.onnx`),
    optimizerModel: await bytesOf(`${folder}/optimizer_model.onnx`),
  });
  const batches = await readBatches(`${folder}/batches.safetensors`);
  const first = await session.runEvalStep(pick(batches[0], session.evalInputNames));
  const losses = [];
  for (const batch of batches) {
    const { loss } = await session.runTrainStep(pick(batch, session.trainingInputNames));
    losses.push(loss.data[0]);
    await session.runOptimizerStep();
    await session.lazyResetGrad();
  }
  const parameters = await session.getParametersSize(true);
  await session.release();
  return { evaluated: first.loss.data[0], losses, parameters, outputs: session.trainingOutputNames };
};
