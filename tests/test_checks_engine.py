"""The engine: what it says of code that is in no catalogue, and that nothing a candidate does can upset it."""

import ast
import contextlib
import math
import os
import random
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from einops import rearrange
from torch import nn

from vit_course.checks import evaluate, exercises
from vit_course.checks.catalogue.cases import Draw, numbered
from vit_course.checks.comparing import agree
from vit_course.checks.conditions import standard_state
from vit_course.checks.exercise import Exercise, Mistake, universal_mistakes
from vit_course.checks.explaining import origin
from vit_course.checks.judge import judge
from vit_course.checks.observers import Case, build_and_call, call, strided
from vit_course.patches import patchify


def cut(images, size):
    return rearrange(images, "b c (h p) (w q) -> b (h w) (p q c)", p=size, q=size)


# -- nothing a candidate does upsets it


class Recursive:
    __name__ = "patchify"

    def __call__(self, *arguments):
        return self(*arguments)


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class OddTensor(torch.Tensor):
    """Says yes to every comparison."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function in (torch.allclose, torch.equal, torch.Tensor.__eq__):
            return True
        return super().__torch_function__(function, types, args, kwargs or {})


def raises(error):
    def candidate(*arguments, **named):
        raise error

    return candidate


class Outcome(BaseException):
    """Such as test runners raise."""


def leaves_mess(images, size):
    torch.manual_seed(99)
    torch.rand(3)
    random.random()
    np.random.rand()
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_num_threads(3)
    torch.set_float32_matmul_precision("medium")
    torch.autograd.set_detect_anomaly(True)
    sys.setrecursionlimit(4321)
    np.seterr(all="raise")
    warnings.simplefilter("error")
    Doubling().__enter__()
    sys.stdout = None
    return patchify(images, size)


ODD = {
    "exit": raises(SystemExit(0)),
    "error": raises(ValueError("bad")),
    "outcome": raises(Outcome()),
    "unprintable": raises(Unprintable()),
    "recursion": Recursive(),
    "too few arguments": lambda: None,
    "a string": lambda *_: "patches",
    "itself": lambda *_: patchify,
    "a generator": lambda images, size: (patch for patch in images),
    "a list": lambda images, size: list(cut(images, size).unbind(1)),
    "complex": lambda images, size: cut(images, size).to(torch.complex64),
    "sparse": lambda images, size: cut(images, size).to_sparse(),
    "meta": lambda images, size: cut(images, size).to("meta"),
    "quiet subclass": lambda images, size: (cut(images, size) * 0).as_subclass(OddTensor),
    "nan": lambda images, size: cut(images, size) * float("nan"),
    "bool": lambda *_: True,
    "empty": lambda *_: torch.empty(0),
    "scalar": lambda *_: torch.tensor(1.0),
    "a class": nn.Linear,
    "a module": nn.Identity(),
    "changes shape in place": lambda images, size: images.resize_(1),
}


@pytest.mark.parametrize("name", exercises())
@pytest.mark.parametrize("what", ODD)
def test_odd_candidates_fail_with_a_message(name, what):
    report = evaluate(name, ODD[what])
    assert not report.passed
    assert report.status in ("failed", "error")
    assert len(report.message) > 10


@pytest.mark.parametrize("candidate", [None, 3, "patchify", torch.zeros(2), [patchify]])
def test_what_cannot_be_called_is_said(candidate):
    report = evaluate("patchify", candidate)
    assert report.status == "failed"
    assert "check(patchify)" in report.message


def test_keyboard_interrupt_passes():
    with pytest.raises(KeyboardInterrupt):
        evaluate("patchify", raises(KeyboardInterrupt()))


@pytest.mark.parametrize("candidate", [leaves_mess, ODD["exit"], ODD["recursion"], patchify])
@pytest.mark.parametrize("grad", [True, False])
def test_state_is_left_as_it_was(candidate, grad):
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)

    def state():
        return (
            torch.is_grad_enabled(),
            torch.get_default_dtype(),
            torch.get_default_device(),
            torch.get_num_threads(),
            torch.get_float32_matmul_precision(),
            torch.is_anomaly_enabled(),
            sys.getrecursionlimit(),
            np.geterr(),
            warnings.filters[:],
            torch.overrides._get_current_function_mode_stack(),
            sys.stdout,
            random.getstate(),
            torch.get_rng_state().tolist(),
            np.random.get_state()[1].tolist(),
        )

    with torch.set_grad_enabled(grad):
        before = state()
        evaluate("patchify", candidate)
        assert state() == before


def test_mess_does_not_decide_the_result():
    # On the meta device the mess would spoil the candidate's own work, were it not cleared before each call.
    assert not evaluate("patchify", lambda images, size: leaves_mess(images, size) + 1).passed


def test_conditions_of_the_notebook_do_not_matter():
    with torch.inference_mode(), warnings.catch_warnings():
        torch.set_default_dtype(torch.float64)
        try:
            assert evaluate("patchify", cut).passed
            assert evaluate("PatchEmbedding", exercises()["PatchEmbedding"].reference).passed
        finally:
            torch.set_default_dtype(torch.float32)


def test_patched_torch_does_not_turn_wrong_into_right(monkeypatch):
    def candidate(images, size):
        monkeypatch.setattr(torch, "allclose", lambda *_, **__: True)
        monkeypatch.setattr(torch, "equal", lambda *_: True)
        return cut(images, size) + 1

    assert not evaluate("patchify", candidate).passed


def test_result_that_depends_on_luck_fails():
    assert not evaluate("patchify", lambda images, size: cut(images, size) + torch.rand(1)).passed


def test_unknown_exercise_names_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'patchify'"):
        evaluate("patchfy", cut)


def float_sizes(patches, patch_size, height, width):
    # Spelled as in the reference, so that einops remembers it under the same name.
    return rearrange(
        patches, "b (h w) (p1 p2 c) -> b c (h p1) (w p2)", h=height / patch_size, p1=patch_size, p2=patch_size
    )


@pytest.mark.parametrize("before", ["nothing", "the learner's own try", "a check", "two checks"])
def test_what_einops_remembers_decides_nothing(before):
    """einops takes a size of 2.0 for 2 where it has met either: right code then fails and wrong code passes."""
    reference, case = exercises()["unpatchify"].reference, exercises()["unpatchify"].notebook_cases[0]
    if before == "the learner's own try":
        with pytest.raises(TypeError):
            float_sizes(*case.inputs.values())
    if "check" in before:
        evaluate("unpatchify", float_sizes)
    if before == "two checks":
        assert evaluate("unpatchify", reference).passed
    report = evaluate("unpatchify", float_sizes)
    assert report.status == "error" and "TypeError" in report.message
    assert evaluate("unpatchify", reference).passed
    assert evaluate("PatchEmbedding", exercises()["PatchEmbedding"].reference).passed


def test_a_failed_try_does_not_spoil_the_lesson_after_the_check():
    """The lesson goes on with the reference, on images of the sizes that the learner tried."""
    cases = exercises()["unpatchify"].notebook_cases
    with pytest.raises(TypeError):
        float_sizes(*cases[0].inputs.values())
    evaluate("unpatchify", float_sizes)
    for case in cases:
        exercises()["unpatchify"].reference(*case.inputs.values())


class Doubling(torch.overrides.TorchFunctionMode):
    """A mode of the learner's: whatever torch computes with tensors comes twice as large."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        return result * 2 if isinstance(result, torch.Tensor) and result.is_floating_point() else result


@contextlib.contextmanager
def set_to(write, value, plain):
    write(value)
    try:
        yield
    finally:
        write(plain)


NOTEBOOKS = {
    "warnings are errors": lambda: warnings_as_errors(),
    "numpy raises": lambda: np.errstate(all="raise"),
    "low precision": lambda: set_to(torch.set_float32_matmul_precision, "medium", "highest"),
    "deterministic": lambda: set_to(torch.use_deterministic_algorithms, True, False),
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "recursion": lambda: set_to(sys.setrecursionlimit, 5000, sys.getrecursionlimit()),
    "a mode": Doubling,
    "a device": lambda: torch.device("meta"),
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "printing": lambda: set_to(lambda n: torch.set_printoptions(precision=n), 1, 4),
}


@contextlib.contextmanager
def warnings_as_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def warning(images, size):
    warnings.warn("not the best way", stacklevel=2)
    return cut(images, size)


@pytest.mark.parametrize("setting", NOTEBOOKS)
@pytest.mark.parametrize("name", exercises())
def test_what_the_notebook_has_set_decides_nothing(name, setting):
    exercise = exercises()[name]
    for cached in ("notebook_cases", "expected"):  # as for the first check of a session
        vars(exercise).pop(cached, None)
    wrong = next(iter(exercise.mistakes))
    with NOTEBOOKS[setting]():
        assert evaluate(name, exercise.reference).passed
        assert evaluate(name, exercise.mistakes[wrong].candidate).mistake == wrong
    assert evaluate(name, exercise.reference).passed


@pytest.mark.parametrize("setting", NOTEBOOKS)
def test_code_meets_the_same_conditions_whatever_is_set(setting):
    def conditions(images, size):
        seen.append((
            torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled(), np.geterr(),
            torch.is_anomaly_enabled(), sys.getrecursionlimit(), warnings.filters[0][0], torch.zeros(1).device,
            torch.is_autocast_enabled("cpu"), torch.get_default_dtype(), torch.get_num_threads(),
            torch.ones(2).sum().item(), torch.is_inference_mode_enabled(), torch.rand(1).item(), random.random(),
        ))  # fmt: skip
        return cut(images, size)

    seen = []
    evaluate("patchify", conditions)
    plain, seen = seen, []
    with NOTEBOOKS[setting]():
        evaluate("patchify", conditions)
    assert seen == plain


MODULES = [name for name, one in exercises().items() if isinstance(one.reference, type)]


@pytest.mark.parametrize("unset", [torch.empty_like, lambda one: torch.Tensor(*one.shape)])
@pytest.mark.parametrize("name", MODULES)
def test_a_parameter_that_was_never_set_is_named(name, unset):
    class Unset(exercises()[name].reference):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            for parameter in list(self.parameters())[:1]:
                parameter.data = unset(parameter.data)

    report = evaluate(name, Unset)
    first = report.message.partition("begins with whatever happens to be in memory")
    assert not report.passed and report.mistake is None
    assert first[1] or "at first" in report.message


def test_memory_that_was_never_written_to_is_not_right_by_luck():
    def written(images, size):
        right = cut(images, size)
        return torch.empty_like(right).copy_(right)

    def added_to(images, size):
        right = cut(images, size)
        return torch.empty_like(right).add_(right)  # right where the memory happened to be 0

    assert evaluate("patchify", written).passed
    assert not evaluate("patchify", added_to).passed


def test_a_warning_is_no_error():
    with warnings_as_errors():
        assert evaluate("patchify", warning).passed


def test_random_numbers_of_numpy_are_the_same_each_time():
    seen = []

    def candidate(images, size):
        seen.append(np.random.rand())
        return cut(images, size)

    evaluate("patchify", candidate)
    first, seen[:] = seen[:], []
    np.random.rand(3)
    evaluate("patchify", candidate)
    assert seen == first


def test_a_reference_that_fails_is_not_held_against_the_learner(monkeypatch):
    """Someone has put a function of their own in the place of torch's."""
    exercise = exercises()["prepend_cls_token"]
    vars(exercise).pop("expected", None)
    with monkeypatch.context() as patched:
        patched.setattr(torch, "cat", lambda *_, **__: 1 / 0)
        report = evaluate(
            "prepend_cls_token", lambda tokens, cls: torch.hstack([cls.expand(len(tokens), 1, -1), tokens])
        )
    assert report.status == "error"
    assert "The course's own" in report.message and "Restart the kernel" in report.message
    assert evaluate("prepend_cls_token", exercise.reference).passed


# -- unattempted


def stub(images, patch_size):
    """Cut images into patches."""
    raise NotImplementedError


class HalfDone(nn.Module):
    def __init__(self, patch_size, in_channels, dim):
        super().__init__()
        self.projection = nn.Linear(patch_size**2 * in_channels, dim)

    def forward(self, images):
        raise NotImplementedError


class MissingForward(nn.Module):
    def __init__(self, patch_size, in_channels, dim):
        super().__init__()
        self.projection = nn.Linear(patch_size**2 * in_channels, dim)

    def foward(self, images):
        return images


def test_stub_is_unattempted():
    for name in exercises():
        assert evaluate(name, raises(NotImplementedError())).status == "unattempted"
    assert evaluate("patchify", stub).status == "unattempted"
    assert evaluate("PatchEmbedding", HalfDone).status == "unattempted"


def test_not_implemented_from_torch_is_an_attempt():
    report = evaluate("PatchEmbedding", MissingForward)
    assert report.status == "error"
    assert "forward" in report.message


def test_stub_for_some_cases_is_an_attempt():
    def only_square(images, size):
        if images.shape[2] != images.shape[3]:
            raise NotImplementedError
        return cut(images, size)

    assert evaluate("patchify", only_square).status == "error"


# -- explaining what no catalogue holds


def test_shape_is_told_by_named_axes():
    report = evaluate("patchify", lambda images, size: cut(images, size)[..., :-1])
    assert report.mistake is None
    assert "patch" in report.message and "value" in report.message and "shape" in report.message


def test_axes_that_may_have_changed_places_are_told():
    report = evaluate("patchify", lambda images, size: cut(images, size).permute(2, 0, 1))
    assert "(value, image, patch)" in report.message and "changed places" in report.message


def test_the_place_a_number_came_from_is_told():
    report = evaluate("patchify", lambda images, size: cut(images, size).roll(1, dims=1))
    assert "The first is at image 0, patch 0, value 0" in report.message
    assert "row 0, column 0" in report.message
    assert "expected" in report.picture and "yours" in report.picture


def test_numbers_from_nowhere_are_told():
    report = evaluate("patchify", lambda images, size: cut(images, size) + 0.5)
    assert "stands nowhere in the input" in report.message


def test_share_of_nan_is_told():
    def candidate(images, size):
        patches = cut(images, size).clone()
        patches[:, : patches.shape[1] // 2] = float("nan")
        return patches

    report = evaluate("patchify", candidate)
    assert report.status == "failed"
    assert "50% of the numbers in the result are NaN" in report.message


def test_wrong_gradient_is_told():
    def candidate(images, size):
        patches = cut(images, size)
        return patches.detach() * 2 - patches  # the right numbers with the gradient's sign turned

    report = evaluate("patchify", candidate)
    assert report.mistake is None
    assert "gradient of `images`" in report.message


def test_the_line_that_failed_is_told():
    def candidate(images, size):
        return images.reshape(-1, 7)  # this very line

    report = evaluate("patchify", candidate)
    assert report.status == "error"
    assert "images.reshape(-1, 7)" in report.message


def test_wrong_parameters_are_told():
    class TwoLayers(nn.Module):
        def __init__(self, patch_size, in_channels, dim):
            super().__init__()
            self.patch_size = patch_size
            self.projection = nn.Linear(patch_size**2 * in_channels, dim)
            self.second = nn.Linear(dim, dim)

        def forward(self, images):
            return self.second(self.projection(cut(images, self.patch_size)))

    message = evaluate("PatchEmbedding", TwoLayers).message
    assert "not asked for: `second.bias" in message and "`second.weight" in message


def test_an_object_instead_of_the_class_is_told():
    assert "the class itself" in evaluate("PatchEmbedding", exercises()["PatchEmbedding"].reference(4, 3, 8)).message


def test_refused_pattern_is_told_in_the_words_of_einops():
    message = evaluate("corrected_pattern", lambda: "b c (x patch_x) (y patch_y) -> b (x y) (patch_x patch_y)").message
    assert "einops refuses" in message


def test_value_error_that_is_missing_is_told():
    report = evaluate("num_patches", lambda h, w, p: -7 if h % p or w % p else (h // p) * (w // p))
    assert "ValueError" in report.message and "-7" in report.message


def test_a_second_flaw_does_not_hide_the_first():
    def channel_first_and_detached(images, size):
        return rearrange(images, "b c (h p) (w q) -> b (h w) (c p q)", p=size, q=size).detach()

    assert evaluate("patchify", channel_first_and_detached).mistake == "channel-first"


def test_what_was_printed_is_kept_and_is_no_mistake():
    def candidate(images, size):
        print("shape", tuple(images.shape))
        return cut(images, size)

    report = evaluate("patchify", candidate)
    assert report.passed
    assert "shape" in report.printed


def test_endless_printing_is_cut():
    def candidate(images, size):
        for _ in range(10_000):
            print("x" * 100)
        return cut(images, size)

    assert len(evaluate("patchify", candidate).printed) <= 4000


# -- parts


def test_numbers_must_be_of_one_kind():
    assert not agree({"output": 3}, {"output": 3.0})
    assert not agree({"output": 1}, {"output": True})
    assert agree({"output": 0.1 + 0.2}, {"output": 0.3})


def test_nan_never_agrees_with_a_reference():
    nan = torch.tensor([float("nan")])
    assert not agree({"output": nan}, {"output": nan})
    assert agree({"output": nan}, {"output": nan}, nan_equals_nan=True)


def test_missing_observation_does_not_agree():
    assert not agree({"output": torch.zeros(1), "changed": ""}, {"changed": ""})
    assert agree({"changed": "", "_note": 1}, {"changed": ""})
    assert agree(
        {"changed": "", "gradient of key.bias": torch.ones(1)}, {"changed": ""}, frozenset({"gradient of key.bias"})
    )


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 5), (3, 1, 2)])
def test_strided_is_the_same_and_cannot_be_flattened_by_view(shape):
    tensor = torch.randn(shape)
    other = strided(tensor)
    assert torch.equal(tensor, other)
    with pytest.raises(RuntimeError):
        other.view(-1)


def test_origin_agrees_with_where_the_number_stands():
    tensor = numbered(2, 3, 4)
    for number in tensor.flatten().tolist():
        assert tensor[origin(number, tensor.shape)] == number
    for number in (0, 1, -1, 255, tensor[0, 0, 1] * 2, tensor[0, 0, 1] + 0.5, 10_000, 10_025, math.nan, math.inf):
        assert origin(float(number), tensor.shape) is None


def test_sizes_all_differ():
    draw = Draw(0)
    for _ in range(50):
        assert len(set(draw.sizes(a=range(4), b=range(4), c=range(4)))) == 3


def test_random_results_are_judged_by_their_properties():
    """Dropout: raw outputs come back, the judge looks at the share of zeros and at the scale of the rest."""

    def properties(case, seen):
        kept = seen["output"][seen["output"] != 0]
        share = 1 - kept.numel() / seen["output"].numel()
        return {"about the right share dropped": abs(share - 0.5) < 0.05, "scaled": bool((kept - 2).abs().max() < 1e-5)}

    def drops(x):
        return torch.nn.functional.dropout(x, 0.5)

    def forgets_to_scale(x):
        return drops(x) / 2

    exercise = Exercise(
        name="drops",
        lesson="06",
        points=1,
        reference=drops,
        cases=lambda seed: [Case("10,000 ones", {"x": torch.ones(10_000)})],
        axes={},
        hints=(),
        reasoning="",
        mistakes={"not-scaled": Mistake(forgets_to_scale, "Divide what is kept by the share that is kept.")},
        derive=properties,
    )

    def in_numpy(x):
        return x * torch.from_numpy((np.random.rand(len(x)) > 0.5).astype("float32")) * 2

    def report(candidate):
        with standard_state():
            cases = exercise.cases(0)
            seen = exercise.observations(candidate, cases)
            return judge(exercise, cases, exercise.expected, seen, lambda m: exercise.observations(m, cases))

    assert report(in_numpy).passed  # other random numbers, the same property
    assert report(forgets_to_scale).mistake == "not-scaled"
    assert not report(lambda x: torch.nn.functional.dropout(x, 0.9)).passed


def halves(x):
    """Two results, of which the second has a gradient of its own."""
    return x + x, x * x


PAIR = Exercise(
    name="halves",
    lesson="05",
    points=1,
    reference=halves,
    cases=lambda seed: [
        Case(
            f"case {number}",
            {"x": torch.randn(2 + number, 3, dtype=dtype, generator=torch.Generator().manual_seed(seed))},
            returns=("output", "weights"),
            strided=number == 2,
        )
        for number, dtype in enumerate((torch.float32, torch.float64, torch.float32))
    ],
    mistakes=universal_mistakes(halves, tuples=True)
    | {"second-is-sum": Mistake(lambda x: (x + x, x + x), "The second result is a sum. Multiply.")},
    axes={"x": "row column", "output": "row column", "weights": "row column"},
    hints=(),
    reasoning="",
)


def judged(exercise, candidate):
    cases = exercise.drawn(0)
    got = exercise.observations(candidate, cases)
    return judge(exercise, cases, exercise.expected_on(cases), got, lambda wrong: exercise.observations(wrong, cases))


@pytest.mark.parametrize("right", [halves, lambda x: [2 * x, x**2], lambda x: (x.mul(2), torch.square(x))])
def test_several_results_are_compared_each(right):
    assert judged(PAIR, right).passed


@pytest.mark.parametrize(
    ("wrong", "slug", "said"),
    [
        (lambda x: (x + x).detach(), None, "2 tensors are asked for, .* gives back `tensor`"),
        (lambda x: (x + x, None), None, "gives back \\(tensor, None\\)"),
        (lambda x: (x + x, x * x, x), None, "gives back `tuple of 3`"),
        (lambda x: (x * x, x + x), None, "numbers in the result are not"),
        (lambda x: (x + x, x * x + 1), None, "numbers in `weights` are not"),
        (lambda x: (x + x, x + x), "second-is-sum", "Multiply"),
        (lambda x: (x + x, (x + x).detach()), "second-is-sum", "Multiply"),
        (lambda x: (x + x, (x * x).detach()), None, "gradient of `x through weights` is cut off"),
        (lambda x: ((x + x).detach(), (x * x).detach()), "detaches", "no gradient"),
        (lambda x: ((x + x).float(), (x * x).float()), "loses-dtype", "float32"),
        (lambda x: ((x + x).detach().numpy(), (x * x).detach().numpy()), "returns-numpy", "numpy"),
    ],
)
def test_what_is_wrong_with_one_of_several_results_is_said(wrong, slug, said):
    report = judged(PAIR, wrong)
    assert not report.passed and report.mistake == slug
    assert re.search(said, report.message), report.message
    assert "returns-tuple" not in PAIR.mistakes


def test_parameters_as_they_are_made_can_be_observed():
    def made(weight):
        module = nn.Linear(2, 3)
        module.weight.data.fill_(weight)
        return module

    case = Case("made", {"weight": 0.5}, state={"weight": torch.zeros(3, 2)}, at_first=True)
    seen = build_and_call(made, case)
    assert torch.equal(seen["weight at first"], torch.full((3, 2), 0.5)), "not the case's own, copied in later"
    assert "bias at first" in seen and "output" not in seen


def test_keyword_arguments_go_by_name():
    case = Case("", {"a": 1, "b": 2}, keyword=True)
    assert call(lambda *, b, a: b - a, case)["output"] == 1


@pytest.mark.parametrize("module", ["observers", "training_observers", "finetuning_observers"])
def test_observers_load_neither_model_nor_catalogue(module):
    """All that a grading worker imports."""
    code = f"import sys, vit_course.checks.{module}; print([m for m in sys.modules if m.startswith('vit_course')])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    parts = ["vit_course", "vit_course.checks", "vit_course.checks.conditions", "vit_course.checks.observers"]
    own = [f"vit_course.checks.{module}"] if module != "observers" else []
    assert sorted(ast.literal_eval(printed)) == sorted(parts + own)


@pytest.mark.parametrize("name", exercises())
def test_a_wrong_answer_looks_through_the_catalogue_once(name, monkeypatch):
    """A learner who tries again does not wait for the catalogue again."""
    exercise = exercises()[name]
    evaluate(name, lambda *_: 0)
    seen = []
    original = exercise.observe
    monkeypatch.setitem(exercise.__dict__, "observe", lambda *args: seen.append(args[0]) or original(*args))
    candidate = lambda *_: 0  # noqa: E731
    evaluate(name, candidate)
    assert set(seen) == {candidate}
    assert exercise.mistakes


def test_import_is_light():
    code = "import sys, vit_course; print('torch' in sys.modules, 'matplotlib' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert printed.stdout.split() == ["False", "False"]


def test_a_check_does_not_import_the_compiler():
    """Some of PyTorch's switches do, for four seconds."""
    code = "import sys; from vit_course.checks import evaluate; evaluate('patchify', None); "
    code += "print('torch._inductor' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert printed.stdout.split()[-1] == "False"


# -- found by trying to break it


class StringException(Exception):
    def __str__(self):
        raise SystemExit


class tensor(str):
    """A class that is called as a kind of result is."""

    def __repr__(self):
        raise RuntimeError


class NamelessMeta(type):
    @property
    def __name__(cls):
        raise RuntimeError("no name")


class Nameless(metaclass=NamelessMeta):
    pass


class Stateful:
    """Right the first time, wrong the second."""

    def __init__(self):
        self.calls = 0

    def __call__(self, images, size):
        self.calls += 1
        return cut(images, size) + (self.calls % 2 == 0)


def kept_from_the_first_call():
    kept = {}

    def candidate(images, size):
        key = (images.shape, images.requires_grad, size)
        if key not in kept:
            kept[key] = cut(images, size)
        return kept[key]

    return candidate


@pytest.mark.parametrize(
    "candidate",
    [raises(StringException()), lambda *_: tensor("x"), lambda *_: Nameless(), Nameless(), Nameless],
    ids=["its message", "its type", "its result's type", "an object", "a class"],
)
@pytest.mark.parametrize("name", ["patchify", "num_patches", "corrected_pattern", "PatchEmbedding", "linear_to_conv"])
def test_what_raises_when_looked_at(name, candidate):
    assert not evaluate(name, candidate).passed


@pytest.mark.parametrize(
    "candidate",
    [
        Stateful(),
        kept_from_the_first_call(),
        lambda images, size: cut(images, size) + images.requires_grad,
        lambda images, size: cut(images, size) + (not torch.is_grad_enabled()),
        lambda images, size: cut(images, size) if images.shape[1] in (1, 3) else cut(images, size).flip(1),
        lambda images, size: cut(images, size).squeeze(1),
        lambda images, size: cut(images, size)[:8],
    ],
)
def test_right_only_sometimes_fails(candidate):
    assert not evaluate("patchify", candidate).passed


@pytest.mark.parametrize(
    "misfit",
    [
        lambda h, w, p: h % p != w % p,
        lambda h, w, p: (h + w) % p,
        lambda h, w, p: (h - w) % p,
        lambda h, w, p: (h % p + w % p) % p,
        lambda h, w, p: h < p or w < p,
        lambda h, w, p: (h > p and h % p) or (w > p and w % p),
        lambda h, w, p: h % p or w % p or h <= p,
        lambda h, w, p: h * w % p,
    ],
)
def test_other_conditions_than_the_one_asked_for_fail(misfit):
    def candidate(h, w, p):
        if misfit(h, w, p):
            raise ValueError
        return (h // p) * (w // p)

    assert not evaluate("num_patches", candidate).passed


@pytest.mark.parametrize("error", [Exception, RuntimeError, KeyError, SystemExit, ZeroDivisionError])
def test_another_exception_is_not_taken_for_an_assert(error):
    def candidate(h, w, p):
        if h % p or w % p:
            raise error
        return (h // p) * (w // p)

    report = evaluate("num_patches", candidate)
    assert not report.passed
    assert report.mistake in (None, "other-exception")


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_default_device_of_the_notebook_does_not_spoil_the_session(device):
    code = (
        "import torch; from vit_course.checks import evaluate, exercises;"
        f"torch.set_default_device({device!r});"
        "right, wrong = exercises()['patchify'].reference, lambda images, size: images * 0;"
        "print([evaluate('patchify', one).passed for one in (wrong, right, wrong)]);"
        "torch.set_default_device('cpu');"
        "print([evaluate('patchify', one).passed for one in (wrong, right, lambda *_: None)])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split("\n")[:2] == ["[False, True, False]"] * 2


@pytest.mark.parametrize("name", ["PatchEmbedding", "linear_to_conv", "average_pool_2x2"])
def test_autocast_of_the_notebook_does_not_matter(name):
    reference = exercises()[name].reference
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert evaluate(name, reference).passed
    assert evaluate(name, reference).passed


def test_torch_that_cannot_is_no_stub():
    report = evaluate("average_pool_2x2", lambda x: torch.nn.functional.avg_pool2d(x.to(torch.uint8), 2))
    assert report.status == "error"
    assert "not implemented for" in report.message


def test_a_parameter_may_have_a_second_name():
    class Twice(nn.Module):
        def __init__(self, patch_size, in_channels, dim):
            super().__init__()
            self.size = patch_size
            self.net = nn.Sequential(nn.Identity(), nn.Linear(patch_size**2 * in_channels, dim))
            self.projection = self.net[1]

        def forward(self, images):
            return self.net(cut(images, self.size))

    report = evaluate("PatchEmbedding", Twice)
    assert report.passed, report.message


def test_einops_reason_is_kept():
    report = evaluate(
        "patchify", lambda images, size: rearrange(images, "b c (h p) (w q) -> b (h w) (p q)", p=size, q=size)
    )
    assert "Identifiers only on one side" in report.message


def test_sizes_written_into_the_code_are_told():
    report = evaluate("patchify", lambda images, size: images.reshape(-1, 3, 8, 4, 8, 4))
    assert "Is a size written into the code" in report.message


def test_the_line_is_the_learners_own():
    report = evaluate("patchify", lambda images, size: patchify(images, 16))  # the learner's line
    assert "num_patches(" not in report.message


@pytest.mark.parametrize("returned", [None, -1, False, "no"])
def test_returning_instead_of_raising_is_told(returned):
    report = evaluate("num_patches", lambda h, w, p: returned if h % p or w % p else (h // p) * (w // p))
    assert report.mistake == "returns-instead-of-raising" or "raise ValueError" in report.message


def test_wrong_numbers_come_before_wrong_gradients():
    """On the numbered case the mean of a diagonal is right by chance; the card must not say that the numbers are."""
    report = evaluate("average_pool_2x2", lambda x: (x[:, :, ::2, ::2] + x[:, :, 1::2, 1::2]) / 2)
    assert "numbers are right" not in report.message


def test_a_missing_gradient_is_told_with_its_reason():
    report = evaluate("patchify", lambda images, size: torch.from_numpy(cut(images, size).numpy()))
    assert report.mistake == "detaches" or "Can't call numpy()" in report.message


def test_a_class_that_is_no_module_is_told():
    class PatchEmbedding:
        def __init__(self, *_):
            pass

    assert "class PatchEmbedding(nn.Module)" in evaluate("PatchEmbedding", PatchEmbedding).message


@pytest.mark.parametrize(
    ("pattern", "sizes", "said"),
    [
        ("b c (h p) (w p) -> b (h w) (p p c)", {"p": 2}, "use a name only once"),
        ("b c (h 2) (w 2) -> b (h w) (2 2 c)", {}, "a plain number cannot stand for an axis"),
        ("b c (h p) (w q) -> b (h w) (p q c)", {}, "Give the size of all names in it but one"),
        ("b c (h p) (w q) -> b (h w) (p q c)", {"p": 1000, "q": 1000}, "h counts patches"),
    ],
)
def test_what_einops_says_is_put_plainly(pattern, sizes, said):
    report = evaluate("patchify", lambda images, size: rearrange(images, pattern, **sizes))
    assert said in report.message, report.message


def test_a_forgotten_super_is_told():
    class Forgets(nn.Module):
        def __init__(self, patch_size, in_channels, dim):
            self.projection = nn.Linear(patch_size**2 * in_channels, dim)

    message = evaluate("PatchEmbedding", Forgets).message
    assert "super().__init__()" in message and "nn.Parameter(" not in message


# -- small changes that passed, or were called by another's name


def narrow(x):
    return x.float().to(x.dtype)


@pytest.mark.parametrize(
    "name", ["to_channels_first", "average_pool_2x2", "patchify", "unpatchify", "prepend_cls_token", "pool"]
)
def test_a_detour_through_float32_does_not_pass(name):
    reference = exercises()[name].reference
    for way in (
        lambda *arguments: narrow(reference(*arguments)),
        lambda *arguments: reference(*[narrow(a) if isinstance(a, torch.Tensor) else a for a in arguments]),
    ):
        report = evaluate(name, way)
        assert report.mistake == "detours-through-float32" or "int64" in report.message
    nearly = evaluate(name, lambda *arguments: reference(*arguments) * (1 + 1e-7))
    assert not nearly.passed


def test_numbers_that_are_nearly_right_are_told():
    report = evaluate("pool", lambda tokens, mode: exercises()["pool"].reference(tokens, mode) * (1 + 2e-7))
    assert report.mistake is None
    assert "right to about 7 digits, while float64 holds 16" in report.message


def test_whole_numbers_are_right_to_the_last_digit():
    report = evaluate("to_channels_first", lambda x: x.permute(0, 3, 1, 2).double().to(x.dtype))
    assert not report.passed
    assert "int64" in report.message
    assert not agree({"output": torch.tensor(2**60)}, {"output": torch.tensor(2**60 + 1)})


def test_half_precision_that_is_refused_does_not_pass():
    def candidate(images, size):
        return cut(images.float() if images.dtype == torch.bfloat16 else images, size)

    assert "bfloat16" in evaluate("patchify", candidate).message


def made_conv(weight=None, bias=None, **settings):
    def candidate(projection, size, channels):
        conv = exercises()["linear_to_conv"].reference(projection, size, channels)
        for name, change in (("weight", weight), ("bias", bias)):
            if change is not None:
                change(conv, getattr(projection, name), (size, size, channels))
        return conv

    return candidate


def as_filters(weight, shape):
    return weight.unflatten(1, shape).movedim(-1, 1)


def tie(conv, weight, shape):
    """A weight that is computed from the Linear's: no parameter of its own."""
    del conv.weight
    conv.weight = as_filters(weight, shape)


def parameter_of_its_memory(conv, weight, shape):
    conv.weight = nn.Parameter(as_filters(weight.detach(), shape))


@pytest.mark.parametrize(
    ("candidate", "mistake"),
    [
        (made_conv(bias=lambda conv, bias, _: setattr(conv, "bias", bias)), "shares-the-weights"),
        (made_conv(bias=lambda conv, bias, _: setattr(conv.bias, "data", bias.data)), "shares-the-weights"),
        (made_conv(weight=parameter_of_its_memory), "shares-the-weights"),
        (made_conv(weight=tie), None),
        (made_conv(bias=lambda conv, bias, _: conv.bias.requires_grad_(False)), "frozen"),
        (made_conv(bias=lambda conv, *_: conv.requires_grad_(False)), "frozen"),
        (torch.inference_mode()(made_conv()), "frozen"),
    ],
)
def test_a_convolution_has_weights_of_its_own_that_learn(candidate, mistake):
    report = evaluate("linear_to_conv", candidate)
    assert not report.passed
    assert report.mistake == mistake or mistake is None
    assert evaluate("linear_to_conv", made_conv()).passed


@pytest.mark.parametrize(
    ("name", "candidate", "mistake"),
    [
        ("to_channels_first", lambda x: x.transpose(1, 2), "sides-swapped-only"),
        ("to_channels_first", lambda x: x.transpose(2, 3), "stops-halfway"),
        ("num_patches", lambda h, w, p: counted(h % w or w % p, h, w, p), "compares-the-sides"),
        ("num_patches", lambda h, w, p: counted(h != w or h % p, h, w, p), "square-only"),
        ("prepend_cls_token", lambda one, other: joined([one.expand(len(other), -1, -1), other]), "arguments-swapped"),
        ("prepend_cls_token", lambda one, other: joined([one, other.expand(len(one), -1, -1)]), "cls-last"),
    ],
)
def test_what_looks_alike_is_told_apart(name, candidate, mistake):
    assert evaluate(name, candidate).mistake == mistake


def joined(parts):
    return torch.cat(parts, dim=1)


def counted(misfit, h, w, p):
    if misfit:
        raise ValueError
    return (h // p) * (w // p)


@pytest.mark.parametrize(
    "change", [lambda x: x.clamp(-1, 1), torch.sign, torch.zeros_like, torch.ones_like, lambda x: x * 2]
)
@pytest.mark.parametrize("name", ["to_channels_first", "patchify", "unpatchify", "prepend_cls_token"])
def test_a_number_that_code_made_is_not_taken_for_a_place(name, change):
    reference = exercises()[name].reference
    message = evaluate(name, lambda *arguments: change(reference(*arguments))).message
    assert "yours is the number at" not in message
    assert "stands nowhere in the input" in message or name == "prepend_cls_token"  # its CLS token is not numbered


@pytest.mark.parametrize(
    "candidate",
    [
        lambda tokens, mode: tokens[:, 0] if mode == "cls" else tokens[:, :1].mean(1),
        lambda tokens, mode: tokens[:, 0] if mode in ("cls", "mean") else tokens[:, 1:].mean(1),
        lambda tokens, mode: tokens[:, 1:].mean(1) if mode == "avg" else tokens[:, 0],
    ],
)
def test_what_is_said_is_true_of_all_that_do_the_same(candidate):
    """What comes out does not tell why: the card names each of the ways."""
    message = evaluate("pool", candidate).message
    assert all(part in message for part in ("spelled just so", "ever reached", "`tokens[:, 1:]`"))


def test_a_word_is_compared_by_its_letters():
    word, other = "cls", "mean"
    for candidate in (
        lambda tokens, mode: tokens[:, 0] if mode is word else tokens[:, 1:].mean(1),
        lambda tokens, mode: tokens[:, 1:].mean(1) if mode is not word else tokens[:, 0],
        lambda tokens, mode: tokens[:, 1:].mean(1) if mode is other else tokens[:, 0],
    ):
        report = evaluate("pool", candidate)
        assert not report.passed
        assert "`==`" in report.message or report.mistake is None


def test_a_layer_of_another_size_is_another_mistake():
    def embedding(values):
        class PatchEmbedding(nn.Module):
            def __init__(self, patch_size, in_channels, dim):
                super().__init__()
                self.patch_size = patch_size
                self.projection = nn.Linear(values(patch_size, in_channels), dim)

            def forward(self, images):
                return self.projection(cut(images, self.patch_size))

        return PatchEmbedding

    assert evaluate("PatchEmbedding", embedding(lambda p, c: p * p)).mistake == "fixed-channels"
    assert evaluate("PatchEmbedding", embedding(lambda p, c: p * p * 3)).mistake == "fixed-channels"
    for values in (lambda p, c: min(p * p, 9) ** c, lambda p, c: p * p + c - 1, lambda p, c: p * p * max(c, 2)):
        report = evaluate("PatchEmbedding", embedding(values))
        assert report.mistake is None
        assert "P·P·C" in report.message


def test_wrong_numbers_are_not_called_right_where_the_gradient_fails():
    report = evaluate("patchify", lambda images, size: cut(images, size) // 1)
    assert "the numbers in the result are not" in report.message
