/** @file DICOM files in a browser: the same pixels as in Node. */
import type { LocateFile } from '../../datasets/images/dicom/codecs.js';
import type { FrameChoice } from '../../datasets/images/dicom/frames.js';
import type { RgbImage } from '../../datasets/images/resize.js';

let locateFile: LocateFile | undefined;

/** URL of a codec's .wasm file by its name, before the first compressed DICOM file; `dicom-codecs.ts` has it for Vite. */
export function setDicomCodecs(locate: LocateFile): void {
  locateFile = locate;
}

export interface DicomNotes {
  /** of a file with several; default: first */
  readonly frame?: FrameChoice;
  /** told what the user should know, e.g. that names may be in the pixels */
  readonly onNote?: (note: string) => void;
}

/**
 * Reads only the elements that rendering needs: nothing about the patient is kept.
 *
 * @throws {FileError} when the file is damaged, has no image, or is compressed in an unsupported way.
 */
export async function decodeDicomFile(
  bytes: Uint8Array,
  name: string,
  { frame, onNote }: DicomNotes = {},
): Promise<RgbImage> {
  const { decodeDicom } = await import('../../datasets/images/dicom/decode.js'); // few pages need it
  const options = { ...(frame && { frame }), ...(locateFile && { locateFile }) };
  const { image, warnings } = await decodeDicom(bytes, name, options);
  for (const warning of warnings) onNote?.(warning);
  return image;
}
