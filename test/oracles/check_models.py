"""Checks ONNX files with ONNX's own checker and strict shape inference.

  python test/oracles/check_models.py runs/X/*.onnx

Prints one line a model; exit code 1 when one fails. External weights must lie beside the model as a regular
file (`build-graph --self-contained`).
"""

import sys
import tempfile
from pathlib import Path

import onnx


def register_gelu() -> None:
    """Without a schema for com.microsoft's Gelu, inference would be blind to all that follows the first one."""
    kind = onnx.defs.OpSchema
    schema = kind(
        "Gelu",
        "com.microsoft",
        1,
        inputs=[kind.FormalParameter("X", "T")],
        outputs=[kind.FormalParameter("Y", "T")],
        type_constraints=[("T", ["tensor(float)", "tensor(float16)"], "")],
    )
    schema.set_type_and_shape_inference_function(lambda c: c.set_output_type(0, c.get_input_type(0)))
    onnx.defs.register_schema(schema)


def unknown_operators(model: onnx.ModelProto) -> list[str]:
    """Operators without a schema: nothing is inferred behind them."""
    names = {(node.op_type, node.domain) for node in model.graph.node}
    return sorted(f"{domain}.{op}" for op, domain in names if not onnx.defs.has(op, domain))


def external_files(model: onnx.ModelProto) -> set[str]:
    return {
        entry.value
        for tensor in model.graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }


def check(path: Path) -> str:
    """One line on a good model; raises on a bad one."""
    model = onnx.load(path, load_external_data=False)
    files = external_files(model)
    missing = sorted(name for name in files if not (path.parent / name).is_file())
    if missing:
        raise FileNotFoundError(f"external data file missing next to it: {', '.join(missing)}")
    onnx.checker.check_model(str(path), full_check=True)
    with tempfile.TemporaryDirectory() as folder:  # infer_shapes_path writes over its input by default
        inferred = Path(folder) / "inferred.onnx"
        onnx.shape_inference.infer_shapes_path(str(path), str(inferred), check_type=True, strict_mode=True)
        known = len(onnx.load(inferred, load_external_data=False).graph.value_info)
    opsets = ", ".join(f"{o.domain or 'ai.onnx'} {o.version}" for o in model.opset_import)
    beside = f", external data {', '.join(sorted(files))}" if files else ""
    blind = ", ".join(unknown_operators(model))
    unknown = f", NO INFERENCE for {blind}" if blind else ""
    return f"IR {model.ir_version}, {opsets}, {len(model.graph.node)} nodes, {known} shapes{beside}{unknown}"


def main(paths: list[str]) -> int:
    if not paths:
        print(__doc__)
        return 1
    register_gelu()
    failed = 0
    for path in paths:
        try:
            print(f"ok      {path}: {check(Path(path))}")
        except Exception as error:  # whatever the checker raises is the answer
            failed += 1
            print(f"FAILED  {path}: {' '.join(str(error).split())}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
