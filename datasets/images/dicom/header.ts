/** @file The elements of a DICOM file that rendering needs; no other is read. */
import dicomParser, { type DataSet, type Element } from 'dicom-parser';
import { Inflate } from 'fflate';
import { FileError } from '../../../graph-builder/errors.js';
import { bareForm, hasPreamble, isDicom } from './is-dicom.js';
import { type Photometric, photometrics } from './photometric.js';
import { codecOf, readableUid, type SyntaxForm } from './transfer-syntax.js';
import {
  code,
  damagedRemedy,
  items,
  positiveInteger,
  refuse,
  requiredShort,
  type Source,
  short,
  type Tag,
} from './values.js';

const tag = (key: string, name: string): Tag => ({ key: `x${key}`, name });
export const tags = {
  modality: tag('00080060', 'Modality'),
  samples: tag('00280002', 'Samples per Pixel'),
  photometric: tag('00280004', 'Photometric Interpretation'),
  planar: tag('00280006', 'Planar Configuration'),
  frames: tag('00280008', 'Number of Frames'),
  rows: tag('00280010', 'Rows'),
  columns: tag('00280011', 'Columns'),
  allocated: tag('00280100', 'Bits Allocated'),
  stored: tag('00280101', 'Bits Stored'),
  high: tag('00280102', 'High Bit'),
  signed: tag('00280103', 'Pixel Representation'),
  padding: tag('00280120', 'Pixel Padding Value'),
  burnedIn: tag('00280301', 'Burned In Annotation'),
  centre: tag('00281050', 'Window Center'),
  width: tag('00281051', 'Window Width'),
  intercept: tag('00281052', 'Rescale Intercept'),
  slope: tag('00281053', 'Rescale Slope'),
  voiFunction: tag('00281056', 'VOI LUT Function'),
  modalityLut: tag('00283000', 'Modality LUT Sequence'),
  voiLut: tag('00283010', 'VOI LUT Sequence'),
  lutDescriptor: tag('00283002', 'LUT Descriptor'),
  lutData: tag('00283006', 'LUT Data'),
  frameVoi: tag('00289132', 'Frame VOI LUT Sequence'),
  frameTransform: tag('00289145', 'Pixel Value Transformation Sequence'),
  sharedGroups: tag('52009229', 'Shared Functional Groups Sequence'),
  frameGroups: tag('52009230', 'Per-Frame Functional Groups Sequence'),
  pixels: tag('7fe00010', 'Pixel Data'),
} as const;

/** As many pixels as sharp decodes at most. */
const MOST_PIXELS = 2 ** 28;
/** A deflated file may not grow beyond this. */
const MOST_INFLATED = 2 ** 30;

/** How the pixels of a file are stored. */
export interface Layout {
  readonly rows: number;
  readonly columns: number;
  readonly samples: 1 | 3;
  readonly allocated: 8 | 16 | 32;
  /** bits of a sample that count */
  readonly stored: number;
  /** of them the highest: stored - 1 but in old files */
  readonly high: number;
  readonly signed: boolean;
  readonly photometric: Photometric;
  /** colours one plane after the other */
  readonly planar: boolean;
  readonly frames: number;
}

export interface DicomFile {
  readonly set: DataSet;
  readonly where: string;
  readonly syntax: SyntaxForm;
  readonly layout: Layout;
  readonly pixels: Element;
  readonly modality: string | undefined;
  readonly burnedIn: string | undefined;
}

/** Inflates what stands behind the meta header, up to a limit. */
function inflateFrom(bytes: Uint8Array, position: number): Uint8Array {
  const parts = [bytes.subarray(0, position)];
  let size = position;
  const inflate = new Inflate((part) => {
    size += part.length;
    if (size > MOST_INFLATED) throw new Error('too large');
    parts.push(part);
  });
  const PIECE = 2 ** 16;
  for (let at = position; at < bytes.length; at += PIECE)
    inflate.push(bytes.subarray(at, at + PIECE), at + PIECE >= bytes.length);
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const UIDS = { implicit: '1.2.840.10008.1.2', explicit: '1.2.840.10008.1.2.1' } as const;

/** The parser's own messages are left out: they may hold what the file holds. */
function parse(bytes: Uint8Array, where: string): DataSet {
  if (!isDicom(bytes))
    throw new FileError('not a DICOM file', where, 'give a file with the mark DICM at byte 128');
  try {
    const bare = hasPreamble(bytes) ? undefined : bareForm(bytes);
    return dicomParser.parseDicom(bytes, {
      ...(bare && { TransferSyntaxUID: UIDS[bare] }),
      inflater: inflateFrom,
    });
  } catch {
    throw new FileError('the DICOM file is damaged or cut off', where, damagedRemedy);
  }
}

function readLayout(source: Source): Layout {
  const { where } = source;
  const rows = requiredShort(source, tags.rows);
  const columns = requiredShort(source, tags.columns);
  if (rows === 0) refuse(tags.rows, 'is 0', where);
  if (columns === 0) refuse(tags.columns, 'is 0', where);
  if (rows * columns > MOST_PIXELS) refuse(tags.rows, 'and Columns make too large an image', where);
  const samples = short(source, tags.samples) ?? 1;
  if (samples !== 1 && samples !== 3) refuse(tags.samples, 'is neither 1 nor 3', where);
  const allocated = requiredShort(source, tags.allocated);
  if (allocated === 1) refuse(tags.allocated, 'is 1: a mask, not an image', where);
  if (allocated !== 8 && allocated !== 16 && allocated !== 32)
    refuse(tags.allocated, 'is none of 8, 16 and 32', where);
  const stored = short(source, tags.stored) ?? allocated;
  if (stored < 1 || stored > allocated) refuse(tags.stored, 'does not fit Bits Allocated', where);
  const high = short(source, tags.high) ?? stored - 1;
  if (high < stored - 1 || high >= allocated) refuse(tags.high, 'does not fit Bits Stored', where);
  const signed = short(source, tags.signed) ?? 0;
  if (signed > 1) refuse(tags.signed, 'is neither 0 nor 1', where);
  const photometric = code(source, tags.photometric) ?? refuse(tags.photometric, 'is missing', where);
  if (!(photometric in photometrics))
    refuse(tags.photometric, `is none of ${Object.keys(photometrics).join(', ')}`, where);
  const kind = photometric as Photometric;
  if (photometrics[kind] !== samples) refuse(tags.samples, 'does not fit Photometric Interpretation', where);
  if (samples === 3 && signed === 1) refuse(tags.signed, 'is signed, but the image has colours', where);
  const frames = positiveInteger(source, tags.frames, 1e6) ?? 1;
  const planar = (short(source, tags.planar) ?? 0) === 1;
  return {
    rows,
    columns,
    samples,
    allocated,
    stored,
    high,
    signed: signed === 1,
    photometric: kind,
    planar,
    frames,
  };
}

/** @throws {FileError} when it is no DICOM file, is damaged, has no image or says what cannot be. */
export function readDicom(bytes: Uint8Array, where: string): DicomFile {
  // a plain view: Node's Buffer has a slice that does not copy
  const set = parse(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length), where);
  const source = { where, sets: [set] };
  const uid = readableUid(set.string('x00020010'));
  const syntax = codecOf(uid);
  if (!syntax)
    throw new FileError(
      `DICOM transfer syntax ${uid} is not supported`,
      where,
      'convert the file, e.g. with dcmconv +te, or export the image as PNG',
    );
  const pixels = set.elements[tags.pixels.key];
  if (!pixels || (pixels.length === 0 && !pixels.fragments))
    throw new FileError(
      'the DICOM file has no image',
      where,
      'give an image, not a report, structure or plan',
    );
  const layout = readLayout(source);
  if (pixels.encapsulatedPixelData !== true && syntax.codec !== 'native')
    refuse(tags.pixels, 'is not compressed as the transfer syntax says', where);
  return {
    set,
    where,
    syntax,
    layout,
    pixels,
    modality: code(source, tags.modality),
    burnedIn: code(source, tags.burnedIn),
  };
}

/** Where the values of a frame may stand: in the file, in the groups that all frames share, in the frame's own. */
export function frameSource({ set, where }: DicomFile, frame: number, group: Tag): Source {
  const top = { where, sets: [set] };
  const shared = items(top, tags.sharedGroups).slice(0, 1);
  const own = items(top, tags.frameGroups).slice(frame, frame + 1);
  const nested = [...shared, ...own].flatMap((of) => items({ where, sets: [of] }, group).slice(0, 1));
  return { where, sets: [set, ...nested] };
}
