/** @file The configuration files of a Hugging Face BLIP model folder. */
import { type NormalisationName, normalisations } from '../../datasets/images/normalise.js';
import { padId, sepId } from '../../datasets/tokenizer.js';
import type { MissConfig } from '../../graph-builder/models/config.js';
import type { FloatType } from './convert.js';

/** config.json of BlipForQuestionAnswering with the sizes and epsilons of this model. */
export function blipConfig(config: MissConfig, dtype: FloatType): Readonly<Record<string, unknown>> {
  const { hidden, intermediate, vocab, maxPositions, labelSmoothing } = config;
  const width = { hidden_size: hidden, intermediate_size: intermediate, hidden_act: 'gelu' };
  return {
    architectures: ['BlipForQuestionAnswering'],
    model_type: 'blip',
    dtype,
    label_smoothing: labelSmoothing,
    tie_word_embeddings: true,
    text_config: {
      model_type: 'blip_text_model',
      ...width,
      num_hidden_layers: config.textLayers,
      num_attention_heads: config.textHeads,
      encoder_hidden_size: hidden,
      vocab_size: vocab,
      max_position_embeddings: maxPositions,
      layer_norm_eps: 1e-12,
      // [DEC] is the last but one of the vocabulary, [ENC] the last
      bos_token_id: vocab - 2,
      eos_token_id: sepId,
      sep_token_id: sepId,
      pad_token_id: padId,
      is_decoder: true,
      label_smoothing: labelSmoothing,
    },
    vision_config: {
      model_type: 'blip_vision_model',
      ...width,
      num_hidden_layers: config.visionLayers,
      num_attention_heads: config.visionHeads,
      image_size: config.imageSize,
      patch_size: config.patchSize,
      layer_norm_eps: 1e-6,
    },
  };
}

/** preprocessor_config.json: how this model wants its images. */
export function blipPreprocessor(
  { imageSize }: MissConfig,
  name: NormalisationName,
): Readonly<Record<string, unknown>> {
  const { scale, mean, std } = normalisations[name];
  return {
    image_processor_type: 'BlipImageProcessor',
    do_convert_rgb: true,
    do_resize: true,
    size: { height: imageSize, width: imageSize },
    resample: 2, // bilinear
    do_rescale: true,
    rescale_factor: scale,
    do_normalize: true,
    image_mean: mean,
    image_std: std,
  };
}
