"""The engine: what it says of code that is in no catalogue, and that nothing a candidate does can upset it."""

import math
import os
import random
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
from vit_course.checks.conditions import standard_state
from vit_course.checks.exercise import Exercise, Mistake
from vit_course.checks.judge import agree, judge, origin
from vit_course.checks.observers import Case, call, strided
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
    def candidate(*arguments):
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


def test_keyword_arguments_go_by_name():
    case = Case("", {"a": 1, "b": 2}, keyword=True)
    assert call(lambda *, b, a: b - a, case)["output"] == 1


def test_observers_load_neither_model_nor_catalogue():
    """All that a grading worker imports."""
    code = "import sys, vit_course.checks.observers; print([m for m in sys.modules if m.startswith('vit_course')])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    parts = ["vit_course", "vit_course.checks", "vit_course.checks.conditions", "vit_course.checks.observers"]
    assert printed.strip() == str(parts)


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
