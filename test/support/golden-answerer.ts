/** @file The golden model ready to answer: its images, questions and answers as the answerer takes them. */
import {
  answerDecoderGraph,
  imageEncoderGraph,
  questionEncoderGraph,
} from '../../graph-builder/models/miss.js';
import { Answerer } from '../../runtime/core/answerer.js';
import { floats, type Tensor } from '../../runtime/core/session.js';
import { goldenConfig, openGraph, readTensors } from './golden.js';

export const DEC = 95;
export const SEP = 2;

const inputs = readTensors('blip/inputs.safetensors');
const side = 3 * goldenConfig.imageSize ** 2;

export const goldenImages = [0, 1, 2, 3].map((i) =>
  floats(inputs.pixel_values).slice(i * side, (i + 1) * side),
);

/** Ids of each row where its mask is 1. */
const rows = (ids: Tensor, mask: Tensor): number[][] => {
  const [batch, tokens] = ids.dims as [number, number];
  return Array.from({ length: batch }, (_, b) =>
    Array.from(ids.data, Number)
      .slice(b * tokens, (b + 1) * tokens)
      .filter((_id, t) => Number(mask.data[b * tokens + t]) === 1),
  );
};
export const goldenQuestions = rows(inputs.input_ids!, inputs.attention_mask!);
/** tokens after [DEC], [SEP] included */
export const goldenAnswers = rows(inputs.decoder_input_ids!, inputs.decoder_attention_mask!).map((ids) =>
  ids.slice(1),
);

/** Question i is about image i. */
export const goldenAsked = goldenQuestions.map((ids, image) => ({ image, ids }));

export const openGoldenAnswerer = async (): Promise<Answerer> =>
  new Answerer(
    {
      imageEncoder: await openGraph(imageEncoderGraph(goldenConfig)),
      questionEncoder: await openGraph(questionEncoderGraph(goldenConfig)),
      answerDecoder: await openGraph(answerDecoderGraph(goldenConfig)),
    },
    goldenConfig,
    {},
    { promptId: DEC, endId: SEP },
  );
