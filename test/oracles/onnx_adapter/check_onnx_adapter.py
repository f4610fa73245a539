"""Runs folders of `ort-weights export-adapter --format onnx-adapter` in Python's onnxruntime.

  python check_onnx_adapter.py FOLDER... [--record]      (onnxruntime 1.20 or later, safetensors, numpy)
  FOLDER: a case that test/training-artifacts/adapters/onnx-adapter.test.ts wrote (see there)

Asserts for each folder and graph:
  file       AdapterFormat.read_adapter gives the tensors that onnxruntime-node was fed, bit by bit
  base       without an active adapter the graph answers as the base does, 1e-4
  adapter    with RunOptions.add_active_adapter it answers as onnxruntime-node with these inputs, 1e-4
and that the adapter of rank 8 works in the sessions of rank 4, which have the same sites.
--record writes onnx-adapter.golden.json, and python.onnx_adapter as ONNX Runtime itself writes one, beside this script.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
from safetensors.numpy import load_file

HERE = Path(__file__).parent
TOLERANCE = 1e-4
FILES = {
    "imageEncoder": "image_encoder",
    "questionEncoder": "question_encoder",
    "answerDecoder": "answer_decoder",
}

ort.set_default_logger_severity(3)


def calls_of(folder: Path) -> dict:
    """calls[which][role][part][name]"""
    calls: dict = {}
    for key, tensor in load_file(folder / "calls.safetensors").items():
        which, role, part, name = key.split("/", 3)
        calls.setdefault(which, {}).setdefault(role, {}).setdefault(part, {})[name] = tensor
    return calls


def loaded(path: Path) -> ort.LoraAdapter:
    adapter = ort.LoraAdapter()
    adapter.Load(str(path))
    return adapter


def run(session: ort.InferenceSession, call: dict, adapter: ort.LoraAdapter | None = None) -> dict:
    options = ort.RunOptions()
    if adapter:
        options.add_active_adapter(adapter)  # it does not keep the adapter alive: hold on to it
    feeds = {v.name: call["feeds"][v.name] for v in session.get_inputs()}
    names = [v.name for v in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, feeds, options)))
    for name, value in outputs.items():
        np.testing.assert_allclose(value, call["outputs"][name], atol=TOLERANCE, rtol=0, err_msg=name)
    return outputs


def start(outputs: dict) -> dict:
    """The first numbers of each float output: enough to tell a base from an adapter."""
    return {n: v.ravel()[:6].astype(float).round(6).tolist() for n, v in outputs.items() if v.dtype == np.float32}


def check_file(path: Path, call: dict) -> str:
    tensors = {name: v.numpy() for name, v in ort.AdapterFormat.read_adapter(str(path)).get_parameters().items()}
    for name, value in tensors.items():
        np.testing.assert_array_equal(value, call["feeds"][name], err_msg=name)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check(folder: Path) -> dict:
    calls, recorded = calls_of(folder), {}
    for role, stem in FILES.items():
        session = ort.InferenceSession(str(folder / "onnx-adapter" / f"{stem}.onnx"))
        row = {"base": start(run(session, calls["base"][role]))}
        path = folder / "onnx-adapter" / f"{stem}.onnx_adapter"
        if path.exists():
            row["sha256"] = check_file(path, calls["adapter"][role])
            row["adapter"] = start(run(session, calls["adapter"][role], loaded(path)))
            assert row["adapter"] != row["base"]
        else:
            assert not session.get_overridable_initializers()
        recorded[role] = row
    print(folder.name, {role: list(row) for role, row in recorded.items()})
    return recorded


def check_other_rank(sessions: Path, adapters: Path) -> None:
    calls = calls_of(adapters)
    for role, stem in FILES.items():
        session = ort.InferenceSession(str(sessions / "onnx-adapter" / f"{stem}.onnx"))
        run(session, calls["adapter"][role], loaded(adapters / "onnx-adapter" / f"{stem}.onnx_adapter"))
    print(f"adapters of {adapters.name} in sessions of {sessions.name}")


def write_python_adapter() -> None:
    adapter = ort.AdapterFormat()
    adapter.set_adapter_version(1)
    adapter.set_model_version(1)
    tensors = {"x.lora_A.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "y.ia3_l": np.float32([[0.5]])}
    adapter.set_parameters({n: ort.OrtValue.ortvalue_from_numpy(t) for n, t in tensors.items()})
    adapter.export_adapter(str(HERE / "python.onnx_adapter"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    cases = {folder.name: check(folder) for folder in arguments.folders}
    by_name = {folder.name: folder for folder in arguments.folders}
    if {"lora-r4-ppp", "lora-r8-ppp"} <= by_name.keys():
        check_other_rank(by_name["lora-r4-ppp"], by_name["lora-r8-ppp"])
    if arguments.record:
        write_python_adapter()
        recorded = {"onnxruntime": ort.__version__, "cases": cases}
        (HERE / "onnx-adapter.golden.json").write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()
