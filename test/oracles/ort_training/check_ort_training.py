"""Trains artifacts of `build-graph --target ort-training` with the official API and compares with ours.

  python check_ort_training.py FOLDER... [--layer FOLDER] [--record]
  FOLDER: runs/X/ort-training, or a case that losses.test.ts wrote (with losses.json)
  (onnxruntime-training 1.19.2, numpy 1.26, onnx 1.17, torch: the API only needs it to be importable)

Asserts for each folder:
  names      inputs and outputs, and their order, as `generate_artifacts` names them for the same forward graph
  gradients  ONNX Runtime's own gradient builder on our forward graph, every trained tensor:
             ||ours - theirs|| <= 1e-4 ||theirs|| + 1e-6 G, G the 2-norm of all of theirs
  losses     20 steps (AdamW, decay 0.05, lr 1e-3) equal to those of losses.json, 1e-4 relative
--layer: six steps of the one-layer model, stopped, saved and loaded again after the third.
--record writes ort-training.golden.json and the layer's checkpoints beside this script.

Our Identity nodes stop gradients (DoRA's norm counts as a constant; a prefix is repeated by adding zeros).
ONNX Runtime has no such operator: for the comparison of gradients, constants of the same values stand there.
"""

import argparse
import importlib.util
import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnxruntime.training import artifacts
from onnxruntime.training.api import CheckpointState

HERE = Path(__file__).parent
STEPS, LEARNING_RATE = 20, 1e-3
LOSS_TOLERANCE = GRADIENT_TOLERANCE = 1e-4


onnxruntime.set_default_logger_severity(3)


def load_script(folder: Path):
    """train.py of the folder as a module."""
    spec = importlib.util.spec_from_file_location("train", folder / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stop_gradients(model: onnx.ModelProto, batch: dict[str, np.ndarray]) -> None:
    """Puts constants with the values of this batch where the graph has Identity."""
    stops = [node for node in model.graph.node if node.op_type == "Identity"]
    if not stops:
        return
    names = [node.output[0] for node in stops]
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    whole.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {v.name: batch[v.name] for v in session.get_inputs()}
    for node, value in zip(stops, session.run(names, feeds)):
        model.graph.node.remove(node)
        model.graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    kept = [v for v in model.graph.value_info if v.name not in names]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)


def name_all_outputs(model: onnx.ModelProto) -> None:
    """The official gradient of LayerNormalization needs its outputs mean and inverse deviation."""
    for node in model.graph.node:
        if node.op_type == "LayerNormalization":
            node.output.extend(f"{node.output[0]}.{i}" for i in range(len(node.output), 3))


def forward_with_weights(folder: Path, batch: dict[str, np.ndarray]):
    """eval_model.onnx with the checkpoint's weights in it, and the names of trained and frozen ones."""
    model = onnx.load(str(folder / "eval_model.onnx"))
    state = CheckpointState.load_checkpoint(str(folder / "checkpoint"))
    weights = dict(state.parameters)
    users = [v for v in model.graph.input if v.name not in weights]
    parameters = [v.name for v in model.graph.input if v.name in weights]
    del model.graph.input[:]
    model.graph.input.extend(users)
    model.graph.initializer.extend(numpy_helper.from_array(weights[n].data, n) for n in parameters)
    stop_gradients(model, batch)
    name_all_outputs(model)
    trained = [n for n in parameters if weights[n].requires_grad]
    return model, trained, [n for n in parameters if not weights[n].requires_grad]


def official_artifacts(folder: Path, target: Path, batch: dict[str, np.ndarray]) -> list[str]:
    """Lets the official tool differentiate our forward graph; returns the trained names."""
    model, trained, frozen = forward_with_weights(folder, batch)
    artifacts.generate_artifacts(
        model,
        requires_grad=trained,
        frozen_params=frozen,
        optimizer=artifacts.OptimType.AdamW,
        artifact_directory=str(target),
    )
    return trained


def names_of(model: Path) -> tuple[list[str], list[str]]:
    graph = onnx.load(str(model)).graph
    return [v.name for v in graph.input], [v.name for v in graph.output]


def check_names(folder: Path, official: Path) -> None:
    for file in ("training_model.onnx", "eval_model.onnx"):
        ours, theirs = names_of(folder / file), names_of(official / file)
        assert ours == theirs, f"{file}: {[p for p in zip(sum(ours, []), sum(theirs, [])) if p[0] != p[1]][:3]}"
    assert names_of(folder / "optimizer_model.onnx")[0] == names_of(official / "optimizer_model.onnx")[0]


def gradients_of(script, folder: Path, trained: list[str], batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    state, module, _optimizer = script.load(folder, "cpu", folder / "checkpoint")
    module(*[batch[name] for name in module.input_names()])
    return {name: state.parameters[name].grad.astype(np.float64) for name in trained}


def check_gradients(script, folder: Path, official: Path, trained: list[str], batch) -> float:
    """The largest error in multiples of what is allowed."""
    ours = gradients_of(script, folder, trained, batch)
    theirs = gradients_of(script, official, trained, batch)
    total = np.sqrt(sum((g**2).sum() for g in theirs.values()))
    worst = 0.0
    for name in trained:
        allowed = GRADIENT_TOLERANCE * np.linalg.norm(theirs[name]) + 1e-6 * total
        worst = max(worst, np.linalg.norm(ours[name] - theirs[name]) / allowed)
        assert worst <= 1, name
    return worst


def train(script, folder: Path, batches: list[dict[str, np.ndarray]], steps: int, checkpoint="checkpoint"):
    state, module, optimizer = script.load(folder, "cpu", folder / checkpoint)
    optimizer.set_learning_rate(LEARNING_RATE)
    losses = [script.train_step(module, optimizer, batches[i % len(batches)]) for i in range(steps)]
    return state, losses


def check(folder: Path) -> dict:
    script = load_script(folder)
    batches = script.read_batches(folder / "batches.safetensors")
    with tempfile.TemporaryDirectory() as official:
        trained = official_artifacts(folder, Path(official), batches[0])
        check_names(folder, Path(official))
        gradients = check_gradients(script, folder, Path(official), trained, batches[0])
    _state, losses = train(script, folder, batches, STEPS)
    result = {"losses": losses, "gradient_error_of_allowed": round(gradients, 4), "trained_tensors": len(trained)}
    own = folder / "losses.json"
    if own.exists():
        expected = np.array(json.loads(own.read_text())["losses"])
        difference = np.abs(np.array(losses) - expected) / expected
        assert difference.max() <= LOSS_TOLERANCE, f"step {difference.argmax() + 1}: {difference.max():.2e}"
        result["largest_relative_difference"] = float(f"{difference.max():.2e}")
    return result


def check_layer(folder: Path, target: Path) -> dict:
    """Losses of six steps; saves the state after three, and asserts that the API goes on from it."""
    script = load_script(folder)
    batches = script.read_batches(folder / "batches.safetensors")
    _state, whole = train(script, folder, batches, 6)
    state, losses = train(script, folder, batches, 3)
    CheckpointState.save_checkpoint(state, str(target / "layer.checkpoint"), include_optimizer_state=True)
    CheckpointState.save_checkpoint(state, str(target / "layer-weights.checkpoint"))
    _state, rest = train(script, folder, batches[3:], 3, str(target / "layer.checkpoint"))
    assert losses + rest == whole, (losses, rest, whole)
    return {"losses": whole}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--layer", type=Path)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    cases = {}
    for folder in options.folders:
        own = folder / "losses.json"
        name = json.loads(own.read_text())["case"] if own.exists() else str(folder)
        cases[name] = check(folder)
        print(name, {k: v for k, v in cases[name].items() if k != "losses"}, flush=True)
    result = {"onnxruntime-training": onnxruntime.__version__, "cases": cases}
    if options.layer:
        with tempfile.TemporaryDirectory() as scratch:
            result["layer"] = check_layer(options.layer, HERE if options.record else Path(scratch))
    if options.record:
        text = json.dumps(result, indent=1)
        (HERE / "ort-training.golden.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
