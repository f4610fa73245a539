"""Trains this folder with ONNX Runtime's official on-device training API.

  pip install "onnxruntime-training==1.19.2" "numpy<2" safetensors torch cerberus h5py onnx   # Python 3.8-3.11
  python train.py --steps 100 --lr 1e-4

The API needs PyTorch to be importable; it computes nothing here. `--device cuda` needs CUDA 11.8 and cuDNN 8,
for which the package on PyPI is built; it has not been run on a card. Data: batches.safetensors (or --data FILE),
arrays named `<batch>/<input>`; the model's inputs are printed by --inputs. Files that you write yourself need
the same names, with your own shapes where an axis is symbolic.

Prints one JSON line a step, {"step": 1, "loss": 3.2}, and saves the checkpoint with the optimizer's state to
--out; `ort-train --resume` goes on from it.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors.numpy import load_file

HERE = Path(__file__).parent


def read_batches(file: Path) -> list[dict[str, np.ndarray]]:
    """Batches by their numbers, each a dict of arrays by input name."""
    batches: dict[int, dict[str, np.ndarray]] = {}
    for name, array in load_file(file).items():
        number, _, key = name.partition("/")
        batches.setdefault(int(number), {})[key] = array
    return [batches[i] for i in sorted(batches)]


def session_options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # Gradients of a mostly frozen model are full of denormal numbers, which cost a factor of 100.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    return options


def load(folder: Path, device: str, checkpoint: Path):
    """(state, module, optimizer) of a folder of artifacts."""
    from onnxruntime.training.api import CheckpointState, Module, Optimizer

    state = CheckpointState.load_checkpoint(str(checkpoint))
    module = Module(
        str(folder / "training_model.onnx"),
        state,
        str(folder / "eval_model.onnx"),
        device=device,
        session_options=session_options(),
    )
    return state, module, Optimizer(str(folder / "optimizer_model.onnx"), module)


def train_step(module, optimizer, batch: dict[str, np.ndarray]) -> float:
    """One update; returns the loss before it."""
    module.train()
    loss = module(*[batch[name] for name in module.input_names()])
    optimizer.step()
    module.lazy_reset_grad()
    return float(loss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1")
    parser.add_argument("--steps", type=int, default=20, help="updates; the batches are used in turn")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate, constant")
    parser.add_argument("--data", type=Path, default=HERE / "batches.safetensors")
    parser.add_argument("--checkpoint", type=Path, default=HERE / "checkpoint", help="where to start")
    parser.add_argument("--out", type=Path, default=HERE / "trained", help="checkpoint that is written at the end")
    parser.add_argument("--inputs", action="store_true", help="print the model's inputs and end")
    options = parser.parse_args()

    from onnxruntime.training.api import CheckpointState

    state, module, optimizer = load(HERE, options.device, options.checkpoint)
    if options.inputs:
        print(json.dumps(module.input_names()))
        return
    optimizer.set_learning_rate(options.lr)
    batches = read_batches(options.data)
    for step in range(options.steps):
        loss = train_step(module, optimizer, batches[step % len(batches)])
        print(json.dumps({"step": step + 1, "loss": loss}), flush=True)
    CheckpointState.save_checkpoint(state, str(options.out), include_optimizer_state=True)


if __name__ == "__main__":
    main()
