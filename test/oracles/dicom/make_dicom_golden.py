"""Small DICOM files, one a way to store pixels, and the pictures that pydicom makes of them.

    pip install pydicom==3.0.2 pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg pyjpegls numpy pillow
    python make_dicom_golden.py             # writes *.dcm and *.png beside this file
    python make_dicom_golden.py FOLDER OUT  # pictures of other files, e.g. of pydicom's own test files

Windows come from pydicom.pixels.apply_modality_lut and apply_voi_lut. Where a file has no window, the picture spans
all but 0.5% of its pixels at each end (numpy.percentile, method 'lower'); 8-bit pixels stay as they are. Every file
has the patient's name "Secret^Sophie" and id "SECRET-4711", which must turn up nowhere.
"""

import copy
import io
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array
from pydicom.sequence import Sequence
from pydicom.uid import UID, generate_uid

warnings.simplefilter("ignore")
PREFIX = "1.2.840.10008.1.2"
IMPLICIT, EXPLICIT, DEFLATED, BIG = PREFIX, PREFIX + ".1", PREFIX + ".1.99", PREFIX + ".2"
SHAPE = [24, 20]
rng = np.random.default_rng(0)


# ---------------------------------------------------------------- the pictures

def of_frame(ds, frame):
    """The file with what its functional groups say of a frame at the top, where pydicom looks."""
    flat = copy.deepcopy(ds)
    for groups, index in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", frame)):
        for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for item in ds[groups][index].get(name, []) if groups in ds else []:
                flat.update(item)
    return flat


def picture(ds, frame=0):
    """uint8 [rows, columns] or [rows, columns, 3]."""
    ds = of_frame(ds, frame)
    # Pillow's JPEG decoder is the one that most viewers have; Y Cb Cr become RGB
    plugin = "pillow" if ds.file_meta.TransferSyntaxUID == PREFIX + ".4.50" else ""
    arr = pixel_array(ds, index=frame, decoding_plugin=plugin)
    kind = ds.PhotometricInterpretation
    if kind == "PALETTE COLOR":
        arr = apply_color_lut(arr, ds)
        return (arr >> 8 if arr.dtype == np.uint16 else arr).astype(np.uint8)
    if not kind.startswith("MONOCHROME"):
        most = 2 ** ds.BitsStored - 1
        return np.floor(arr / most * 255 + 0.5).astype(np.uint8)
    values = apply_modality_lut(arr, ds)
    if "VOILUTSequence" in ds:
        share = apply_voi_lut(values, ds) / (2 ** ds.VOILUTSequence[0].LUTDescriptor[2] - 1)
    elif "WindowWidth" in ds:
        low, high = output_range(ds)
        share = (apply_voi_lut(values, ds) - low) / (high - low)
    elif ds.BitsStored <= 8 and ds.PixelRepresentation == 0 and (values == arr).all():
        share = values / (2 ** ds.BitsStored - 1)
    else:
        kept = values[arr != ds.PixelPaddingValue] if "PixelPaddingValue" in ds else values
        low, high = (np.percentile(kept, p, method="lower") for p in (0.5, 99.5))
        share = np.clip((values.astype(float) - low) / (high - low), 0, 1)
    grey = np.floor(share * 255 + 0.5).astype(np.uint8)
    return 255 - grey if kind == "MONOCHROME1" else grey


def output_range(ds):
    """What apply_voi_lut maps a window to."""
    if "ModalityLUTSequence" in ds:
        return 0, 2 ** ds.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    bits = ds.BitsStored
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if ds.PixelRepresentation else (0, 2**bits - 1)
    slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
    return low * slope + intercept, high * slope + intercept


# ------------------------------------------------------------------- the files

def scene(low, high):
    """A bright ellipse on a ramp, with noise; integers from low to high."""
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]] / np.reshape(SHAPE, (2, 1, 1))
    inside = (y - 0.5) ** 2 + (x - 0.5) ** 2 < 0.1
    share = 0.1 + 0.3 * x + 0.4 * inside + 0.2 * rng.random(SHAPE)
    return np.round(low + share * (high - low)).astype(np.int64)


def dataset(syntax=EXPLICIT, modality="CT", **elements):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["mile-ort", syntax])
    ds = Dataset()
    ds.file_meta = meta
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = "Secret^Sophie", "SECRET-4711", "19010203"
    ds.Modality = modality
    ds.BurnedInAnnotation = "NO"
    for name, value in elements.items():
        setattr(ds, name, value)
    return ds


def with_pixels(ds, arr, bits, allocated, signed=False, kind="MONOCHROME2", planar=None):
    """Native pixels: arr [rows, columns], [frames, rows, columns] or [rows, columns, 3]."""
    colours = 3 if arr.shape[-1] == 3 and arr.ndim == 3 else 1
    ds.Rows, ds.Columns = arr.shape[:2] if colours == 3 else arr.shape[-2:]
    if colours == 1 and arr.ndim == 3:
        ds.NumberOfFrames = arr.shape[0]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = colours, kind
    if colours == 3:
        ds.PlanarConfiguration = planar or 0
        if planar:
            arr = np.moveaxis(arr, -1, 0)
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = allocated, bits, bits - 1
    ds.PixelRepresentation = int(signed)
    order = ">" if ds.file_meta.TransferSyntaxUID == BIG else "<"
    data = arr.astype(f"{order}{'i' if signed else 'u'}{allocated // 8}").tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OW" if allocated > 8 else "OB"
    return ds


def lut(first, bits, values):
    item = Dataset()
    item.LUTDescriptor = [len(values), first, bits]
    item["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    item.LUTData = np.asarray(values, "<u2").tobytes()
    item["LUTData"].VR = "OW"
    return Sequence([item])


def ct(syntax=EXPLICIT, **elements):
    """12 bits, unsigned, with a rescale to Hounsfield units and a window."""
    given = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": [40, 600], "WindowWidth": [401, 1500]}
    return with_pixels(dataset(syntax, **{**given, **elements}), scene(600, 1600), 12, 16)


def rgb():
    return np.stack([scene(0, 250), scene(30, 200), scene(5, 120)], -1)


def palette(bits):
    ds = dataset(modality="NM")
    with_pixels(ds, scene(0, 255), 8, 8, kind="PALETTE COLOR")
    ramp = np.arange(200)
    for name, values in (("Red", ramp), ("Green", 255 - ramp), ("Blue", ramp // 2)):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [200, 20, bits])
        data = values.astype("u1") if bits == 8 else (values * 257).astype("<u2")
        setattr(ds, f"{name}PaletteColorLookupTableData", data.tobytes())
    return ds


def ybr_422():
    """Two pixels share their colours."""
    y, cb, cr = scene(0, 255), scene(60, 200), scene(80, 180)
    pairs = np.stack([y[:, ::2], y[:, 1::2], cb[:, ::2], cr[:, ::2]], -1)
    ds = with_pixels(dataset(modality="US"), np.stack([y, cb, cr], -1), 8, 8, kind="YBR_FULL_422")
    ds.PixelData = pairs.astype("u1").tobytes()
    return ds


def jpeg_file(arr, kind, **options):
    """Pillow's JPEG in a DICOM envelope."""
    image = Image.fromarray(arr.astype("u1"))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90, **options)
    ds = with_pixels(dataset(PREFIX + ".4.50"), arr, 8, 8, kind=kind)
    ds.PixelData = encapsulate([stream.getvalue()])
    ds["PixelData"].is_undefined_length = True
    return ds


# ------------------------------------------------- JPEG lossless (ISO 10918-1, H)

def jpeg_lossless(arr, bits, predictor):
    """One component, one Huffman table: category n of the difference has the code of 5 bits that n is, but for
    the last ones, which start with ones."""
    rows, columns = arr.shape
    counts = [0, 0, 0, 0, 17] + [0] * 11
    codes = {n: (n, 5) for n in range(17)}
    out, buffer, used = bytearray(), 0, 0

    def put(value, size):
        nonlocal buffer, used
        buffer, used = (buffer << size) | value, used + size
        while used >= 8:
            byte = (buffer >> (used - 8)) & 255
            out.append(byte)
            if byte == 255:
                out.append(0)
            used -= 8
        buffer &= (1 << used) - 1

    for y in range(rows):
        for x in range(columns):
            a, b = int(arr[y, x - 1]) if x else 0, int(arr[y - 1, x]) if y else 0
            c = int(arr[y - 1, x - 1]) if x and y else 0
            if y == 0:
                guess = a if x else 1 << (bits - 1)
            elif x == 0:
                guess = b
            else:
                guess = {1: a, 4: a + b - c, 6: b + ((a - c) >> 1), 7: (a + b) >> 1}[predictor]
            difference = (int(arr[y, x]) - guess + 32768) % 65536 - 32768
            size = abs(difference).bit_length()
            put(*codes[size])
            if 0 < size < 16:
                put(difference if difference > 0 else difference + (1 << size) - 1, size)
    if used:
        put((1 << (8 - used)) - 1, 8 - used)

    def segment(marker, body):
        return bytes([255, marker]) + (len(body) + 2).to_bytes(2, "big") + bytes(body)

    frame = bytes([bits]) + rows.to_bytes(2, "big") + columns.to_bytes(2, "big") + bytes([1, 1, 0x11, 0])
    return b"".join([
        b"\xff\xd8", segment(0xC3, frame), segment(0xC4, [0, *counts, *range(17)]),
        segment(0xDA, [1, 1, 0, predictor, 0, 0]), bytes(out), b"\xff\xd9",
    ])


def lossless_file(arr, bits, predictor, syntax, **elements):
    ds = with_pixels(dataset(syntax, **elements), arr, bits, 8 if bits <= 8 else 16)
    data = jpeg_lossless(arr, bits, predictor)
    ds.PixelData = encapsulate([data + b"\0" * (len(data) % 2)])
    ds["PixelData"].is_undefined_length = True
    return ds


def enhanced():
    """Three frames that share a rescale; each has a window of its own."""
    def item(**elements):
        made = Dataset()
        for name, value in elements.items():
            setattr(made, name, value)
        return made

    ds = with_pixels(dataset(), np.stack([scene(600, 1600)] * 3), 12, 16)
    rescale = item(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
    ds.SharedFunctionalGroupsSequence = [item(PixelValueTransformationSequence=[rescale])]
    ds.PerFrameFunctionalGroupsSequence = [
        item(FrameVOILUTSequence=[item(WindowCenter=centre, WindowWidth=width)])
        for centre, width in ((40, 401), (300, 1001), (-100, 303))
    ]
    return ds


def compressed(ds, syntax, **options):
    ds.compress(UID(PREFIX + syntax), generate_instance_uid=False, **options)
    return ds


def cases():
    signed = {"RescaleSlope": 1, "RescaleIntercept": 0, "WindowCenter": 50, "WindowWidth": 352}
    hu = lambda: with_pixels(dataset(**signed), scene(-900, 1100), 16, 16, signed=True)
    yield "native-implicit", ct(IMPLICIT)
    yield "native-explicit", ct()
    yield "native-deflated", ct(DEFLATED)
    yield "native-big-endian", ct(BIG)
    yield "native-signed", hu()
    yield "native-signed-12", with_pixels(dataset(**signed), scene(-700, 900), 12, 16, signed=True)
    yield "native-32", with_pixels(dataset(modality="NM"), scene(1e6, 9e8), 32, 32)
    yield "window-exact", ct(VOILUTFunction="LINEAR_EXACT", WindowCenter="40.3", WindowWidth="333.7")
    yield "window-sigmoid", ct(VOILUTFunction="SIGMOID", WindowCenter=60, WindowWidth=350)
    yield "window-of-one", ct(WindowCenter=60, WindowWidth=1)
    yield "window-slope", ct(RescaleSlope="0.37", RescaleIntercept="-12.5", WindowCenter=400, WindowWidth=303)
    inverted = ct()
    inverted.PhotometricInterpretation = "MONOCHROME1"
    yield "monochrome1", inverted
    padded = scene(600, 1600)
    padded[:4] = 0
    yield "percentile", with_pixels(dataset(modality="MR"), scene(10, 3000), 12, 16)
    yield "percentile-padding", with_pixels(dataset(modality="MR", PixelPaddingValue=0), padded, 12, 16)
    yield "grey-8", with_pixels(dataset(modality="DX"), scene(0, 255), 8, 8)
    yield "modality-lut", with_pixels(
        dataset(modality="CR", ModalityLUTSequence=lut(20, 16, 4095 - 15 * np.arange(200)), WindowCenter=2100,
                WindowWidth=3001), scene(0, 255), 8, 8)
    yield "voi-lut", with_pixels(
        dataset(modality="CR", VOILUTSequence=lut(700, 10, np.round(1023 * np.linspace(0, 1, 500) ** 2))),
        scene(600, 1300), 12, 16)
    yield "palette-8", palette(8)
    yield "palette-16", palette(16)
    yield "rgb", with_pixels(dataset(modality="SC", BurnedInAnnotation="YES"), rgb(), 8, 8, kind="RGB")
    yield "rgb-planar", with_pixels(dataset(modality="SC"), rgb(), 8, 8, kind="RGB", planar=1)
    yield "rgb-16", with_pixels(dataset(modality="SC"), rgb() * 257, 16, 16, kind="RGB")
    yield "ybr-full", with_pixels(dataset(modality="US"), rgb(), 8, 8, kind="YBR_FULL")
    yield "ybr-full-422", ybr_422()
    yield "frames", with_pixels(dataset(modality="MR"), np.stack([scene(0, 900 * n) for n in (1, 2, 3, 4)]), 12, 16)
    yield "frames-enhanced", enhanced()
    yield "rle", compressed(ct(), ".5")
    yield "rle-8", compressed(with_pixels(dataset(), scene(0, 255), 8, 8), ".5")
    yield "rle-rgb", compressed(with_pixels(dataset(modality="SC"), rgb(), 8, 8, kind="RGB"), ".5")
    yield "jpeg-ls", compressed(ct(), ".4.80")
    yield "jpeg-ls-signed", compressed(hu(), ".4.80")
    yield "jpeg-ls-rgb", compressed(with_pixels(dataset(modality="SC"), rgb(), 8, 8, kind="RGB"), ".4.80")
    yield "jpeg-ls-near", compressed(ct(), ".4.81", jls_error=3)
    SHAPE[:] = 40, 36  # the encoder's five halvings need 32
    yield "jpeg2000", compressed(ct(), ".4.90")
    yield "jpeg2000-signed", compressed(hu(), ".4.90")
    yield "jpeg2000-rgb", compressed(with_pixels(dataset(modality="SC"), rgb(), 8, 8, kind="RGB"), ".4.90")
    yield "jpeg2000-lossy", compressed(ct(), ".4.91", j2k_cr=[4])
    yield "jpeg2000-frames", compressed(
        with_pixels(dataset(modality="MR"), np.stack([scene(0, 900 * n) for n in (1, 2, 3)]), 12, 16), ".4.90")
    SHAPE[:] = 24, 20
    yield "jpeg-grey", jpeg_file(scene(0, 255), "MONOCHROME2")
    yield "jpeg-rgb", jpeg_file(rgb(), "RGB", keep_rgb=True)
    yield "jpeg-444", jpeg_file(rgb(), "YBR_FULL", subsampling=0)
    yield "jpeg-422", jpeg_file(rgb(), "YBR_FULL_422", subsampling=1)
    yield "jpeg-lossless-16", lossless_file(scene(600, 1600), 16, 1, PREFIX + ".4.70", **signed)
    yield "jpeg-lossless-12", lossless_file(scene(600, 1600), 12, 4, PREFIX + ".4.57")
    yield "jpeg-lossless-8", lossless_file(scene(0, 255), 8, 7, PREFIX + ".4.57")


def save_picture(ds, frame, path):
    Image.fromarray(picture(ds, frame)).save(path, optimize=True)


def main():
    if len(sys.argv) > 1:
        folder, out = map(Path, sys.argv[1:])
        out.mkdir(exist_ok=True)
        for path in sorted(folder.glob("*.dcm")):
            try:
                save_picture(pydicom.dcmread(path), 0, out / f"{path.stem}.png")
            except Exception as error:  # no image in it, or none that pydicom reads here
                print(path.name, type(error).__name__, str(error)[:80])
        return
    here = Path(__file__).parent
    for old in [*here.glob("*.dcm"), *here.glob("*.png")]:
        old.unlink()
    for name, ds in cases():
        ds.save_as(here / f"{name}.dcm", enforce_file_format=True)
        ds = pydicom.dcmread(here / f"{name}.dcm")
        save_picture(ds, 0, here / f"{name}.png")
        frames = int(ds.get("NumberOfFrames", 1))
        if frames > 1:
            save_picture(ds, (frames - 1) // 2, here / f"{name}.middle.png")
            save_picture(ds, frames - 1, here / f"{name}.last.png")


main()
