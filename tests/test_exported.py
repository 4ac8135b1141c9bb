"""The model as other tools see it: exported, traced, compiled, as ONNX, for batches of any size."""

import shutil

import pytest
import torch
from small_vit import compiled, images, small

KINDS = [{}, {"pool": "mean"}, {"classification": False}, {"positions": "sincos"}, {"positions": "none"}]
BATCHES = (1, 2, 5)


def test_exported_model_gives_the_same():
    model = small()
    exported = torch.export.export(model, (images(),)).module()
    assert torch.allclose(exported(images(seed=3)), model(images(seed=3)), atol=1e-6)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_exported_with_a_free_batch(options):
    model, batch = small(**options), torch.export.Dim("batch")
    exported = torch.export.export(model, (images(3),), dynamic_shapes={"images": {0: batch}}).module()
    for size in BATCHES:
        assert torch.allclose(exported(images(size)), model(images(size)), atol=1e-6)
    mask = torch.ones(6 + model.classification, 6 + model.classification, dtype=torch.bool).tril()
    shapes = {"images": {0: batch}, "mask": None}
    exported = torch.export.export(model, (images(3), mask), dynamic_shapes=shapes).module()
    for size in (2, 5):
        assert torch.allclose(exported(images(size), mask), model(images(size), mask), atol=1e-6)


@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit.*:FutureWarning")
def test_traced_with_a_free_batch(options):
    model = small(**options)
    traced = torch.jit.trace(model, images(3))
    for size in BATCHES:
        assert torch.allclose(traced(images(size)), model(images(size)), atol=1e-6)


@pytest.mark.parametrize("options", KINDS[:3], ids=str)
def test_compiled_for_any_batch(options):
    model = small(**options)
    fast = compiled(model)
    for size in BATCHES:
        assert torch.allclose(fast(images(size)), model(images(size)), atol=1e-6)


@pytest.mark.parametrize("options", KINDS[:3], ids=str)
def test_onnx_with_a_free_batch(options, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    model, path = small(**options), tmp_path / "vit.onnx"
    shapes = {"images": {0: torch.export.Dim("batch")}}
    torch.onnx.export(model, (images(3),), path, dynamo=True, dynamic_shapes=shapes, verbose=False)
    session = runtime.InferenceSession(path)
    for size in BATCHES:
        (found,) = session.run(None, {"images": images(size).numpy()})
        assert torch.allclose(torch.from_numpy(found), model(images(size)), atol=1e-5)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_model_gives_the_same(backend):
    if backend == "inductor" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("no C++ compiler, which torch.compile's own backend needs")
    model, fast = small(), compiled(small(), backend=backend, dynamic=None)
    for one in (model, fast):
        one(images(seed=3)).square().sum().backward()
    assert torch.allclose(fast(images(seed=3)), model(images(seed=3)), atol=1e-6)
    for name, parameter in model.named_parameters():
        assert torch.allclose(fast.get_parameter(f"_orig_mod.{name}").grad, parameter.grad, atol=1e-4), name
