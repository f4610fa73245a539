/** @file Runs in the browser: an image as the page decodes it, and as the model gets it. */
import { resizeImage, toPlanes } from '../../datasets/images/resize.js';
import { setDicomCodecs } from '../../runtime/web/decode-dicom.js';
import { decodeImage } from '../../runtime/web/decode-image.js';
import { locateCodec } from '../../runtime/web/dicom-codecs.js';

setDicomCodecs(locateCodec);

/** As text, which passes from a page to its test fastest. */
function base64(bytes: Uint8Array | Uint8ClampedArray): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 8192)
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

/** An image whole, or resized as models take it: base64 of uint8 [height, width, 3] or [3, side, side]. */
async function shown(url: string, side?: number): Promise<string> {
  const image = await decodeImage(await (await fetch(url)).blob());
  return base64(side === undefined ? image.data : toPlanes(resizeImage(image, side, side)));
}

Object.assign(globalThis, { shown });
