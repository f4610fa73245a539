/** @file A DICOM file as the picture that a viewer shows. Works in Node and in the browser. */
import { type RgbImage, repeatGrey } from '../resize.js';
import type { LocateFile } from './codecs.js';
import { renderColour } from './colour.js';
import { type FrameChoice, frameIndex, readFrame } from './frames.js';
import { renderGrey } from './grey.js';
import { type DicomFile, readDicom } from './header.js';
import { isGrey } from './photometric.js';

export interface DicomOptions {
  /** default: first */
  readonly frame?: FrameChoice;
  /** where a page finds the codecs' WebAssembly files */
  readonly locateFile?: LocateFile;
}

export interface DicomImage {
  readonly image: RgbImage;
  readonly frames: number;
  /** what the user should know; says nothing that the file says of the patient */
  readonly warnings: readonly string[];
}

/** Kinds of images whose pixels often show names. */
const OFTEN_LABELLED: readonly (string | undefined)[] = ['US', 'SC', 'OT'];

function warningsOf({ burnedIn, modality }: DicomFile): string[] {
  if (burnedIn === 'YES') return ['the DICOM file says that text about the patient is in its pixels'];
  if (burnedIn === 'NO' || !OFTEN_LABELLED.includes(modality)) return [];
  return [
    `DICOM images of modality ${modality} often have text about the patient in their pixels: look at it`,
  ];
}

/**
 * Reads the elements that rendering needs, and no others: nothing about the patient leaves this function.
 *
 * @param where names the file in messages
 * @returns 8-bit RGB; grey as `renderGrey` says
 * @throws {FileError} when it is no DICOM file, is damaged, or says what cannot be.
 */
export async function decodeDicom(
  bytes: Uint8Array,
  where: string,
  { frame: choice = 'first', locateFile }: DicomOptions = {},
): Promise<DicomImage> {
  const file = readDicom(bytes, where);
  const { rows: height, columns: width, frames } = file.layout;
  const index = frameIndex(choice, frames, where);
  const frame = await readFrame(file, index, locateFile);
  const data = isGrey(frame.photometric)
    ? repeatGrey(renderGrey(file, frame, index))
    : renderColour(file, frame);
  return { image: { data, width, height }, frames, warnings: warningsOf(file) };
}
