"""Ways to get a grade without an answer, or to harm: each is the text of a cell that claims to answer an exercise.

`{port}`, `{canary}`, `{course}` and `{secret}` stand for a listening port, another's file, the course's folder and a
folder with an answer in it.
"""

PATCHIFY, COUNT, EMBEDDING = "patchify", "num_patches", "PatchEmbedding"
HEAD = "import torch\nfrom torch import Tensor, nn\n"
WRONG = "    return images.flatten(1)\n"


def at_import(code, name=PATCHIFY):
    """Code that runs when the answer is made: a helper's default, a decorator, a class body all can."""
    body = "".join(f"    {line}\n" for line in code.splitlines())
    answer = f"def {name}(*a, **k):\n    return attack()\n"
    return f"{HEAD}def attack(*a, **k):\n{body}    return None\nhold = attack()\n{answer}    hold\n"


def when_called(code, name=PATCHIFY, ending="return torch.zeros(1)"):
    """Code that runs each time the answer is called."""
    body = "".join(f"    {line}\n" for line in [*code.splitlines(), ending])
    return f"{HEAD}def {name}(*a, **k):\n{body}"


# -- looking equal to anything

LOOKS = {
    "an object that equals all": when_called(
        "class Yes:\n    shape = dtype = layout = None\n    def __eq__(self, other): return True\n"
        "    def __ne__(self, other): return False\n    def __getattr__(self, name): return self\n"
        "    def __call__(self, *a, **k): return self\n    def __bool__(self): return True",
        ending="return Yes()",
    ),
    "an int that equals all": when_called(
        "class Yes(int):\n    def __eq__(self, other): return True\n    def __int__(self): return Yes(4)\n"
        "    __hash__ = int.__hash__\n    def __index__(self): return 4",
        COUNT,
        "return Yes(4)",
    ),
    "a float class that equals all": when_called(
        "class Yes(float):\n    def __eq__(self, other): return True",
        COUNT,
        "return Yes(4)",
    ),
    "__array__": when_called(
        "import numpy as np\nclass Array:\n    def __array__(self, *a, **k): return np.zeros(3)",
        ending="return Array()",
    ),
    "__torch_function__": when_called(
        "class Yes(torch.Tensor):\n    @classmethod\n    def __torch_function__(cls, f, t, a=(), k=None):\n"
        "        return True",
        ending="return torch.zeros(1).as_subclass(Yes)",
    ),
    "a subclass of Tensor that equals all": when_called(
        "class Yes(torch.Tensor):\n    def __eq__(self, other): return torch.ones(1, dtype=torch.bool)\n"
        "    def detach(self): return self\n    def to(self, *a, **k): return self",
        ending="return torch.zeros(1).as_subclass(Yes)",
    ),
    "a class that says it is Tensor": when_called(
        "class Yes:\n    __class__ = torch.Tensor\n    def __eq__(self, other): return True", ending="return Yes()"
    ),
    "a metaclass with a name of its own": when_called(
        "class Meta(type):\n    __name__ = property(lambda cls: 'tensor')\n    def __eq__(cls, other): return True\n"
        "    __hash__ = type.__hash__\nclass Yes(metaclass=Meta): pass",
        ending="return Yes()",
    ),
    "NaN": when_called("", ending="return a[0].flatten(1) * float('nan')"),
    "a tensor that is larger than any memory": when_called("", ending="return torch.zeros(1).expand(2**44)"),
    "half a gigabyte of zeros": when_called("", ending="return torch.zeros(2**27)"),
    "a number of a million digits": when_called("", COUNT, "return 10 ** 1_000_000"),
    "the stub's error": when_called("", ending="raise NotImplementedError"),
    "an error that asks for the credit": when_called("", ending="raise ValueError('passed')"),
    "a formula": when_called("", ending='raise RuntimeError(\'=HYPERLINK("http://x", "passed")\')'),
    "a script": when_called("", ending="raise RuntimeError('</td><script>alert(1)</script>')"),
    "a pickle that runs": when_called(
        "class Bomb:\n    def __reduce__(self):\n        import os\n"
        "        return os.system, ('touch {canary}.pickled',)",
        ending="return Bomb()",
    ),
}

# -- changing what others use

PATCHES = {
    "torch.allclose": at_import(
        "for name in ('allclose', 'equal', 'isclose', 'eq'):\n"
        "    setattr(torch, name, lambda *a, **k: True)\nTensor.__eq__ = lambda *a: True\n"
        "Tensor.equal = lambda *a: True"
    ),
    "torch.manual_seed": at_import(
        "torch.manual_seed = lambda *a: None\ntorch.randn = lambda *a, **k: torch.zeros(a[0] if a else 1)"
    ),
    "einops": at_import(
        "import einops, einops.einops\neinops.rearrange = einops.einops.rearrange = lambda x, *a, **k: x\n"
        "einops.einops.reduce = lambda x, *a, **k: x"
    ),
    "sys.modules": at_import(
        "import sys, types\nfake = types.ModuleType('judge')\n"
        "fake.judge = fake.agree = fake.equal = lambda *a, **k: True\n"
        "for name in [n for n in sys.modules if n.startswith('vit_course')]:\n    sys.modules[name] = fake\n"
        "sys.modules['vit_course.checks.judge'] = sys.modules['vit_course.checks.comparing'] = fake"
    ),
    "builtins": at_import(
        "import builtins\nbuiltins.all = builtins.any = lambda *a: True\nbuiltins.isinstance = lambda *a: True\n"
        "builtins.len = lambda *a: 0\nbuiltins.zip = lambda *a, **k: iter(())"
    ),
    "the observers": at_import(
        "from vit_course.checks import observers\n"
        "for name in ('call', '_observe', '_guarded', '_plain', '_kind'):\n"
        "    setattr(observers, name, lambda *a, **k: {'kind': 'tensor', 'passed': True})"
    ),
    "the wire": at_import(
        "from vit_course.grading import wire\n"
        "wire.pack = lambda value: b'\\0' * 7 + b'\\2' + b'{}' + b'\\2' + b'\\0' * 7 + b'{}'"
    ),
    "json": at_import('import json\njson.dumps = lambda *a, **k: \'{"status": "passed"}\''),
    "the class of the dict": at_import(
        "import gc\nfor one in gc.get_objects():\n    if type(one) is dict and 'raised' in one: one.clear()"
    ),
}

# -- finding the answer

FINDS = {
    "the course's function": f"import vit_course\n{PATCHIFY} = vit_course.patchify\n",
    "from vit_course": "from vit_course import patchify as p\ndef patchify(images, size):\n"
    "    return p(images, size)\n",
    "from vit_course.patches": when_called("from vit_course.patches import patchify as p", ending="return p(*a)"),
    "from a later lesson": when_called("from vit_course.embeddings import patchify as p", ending="return p(*a)"),
    "a subclass of the course's": ("import vit_course\nclass PatchEmbedding(vit_course.PatchEmbedding):\n    pass\n"),
    "the catalogue": when_called(
        "from vit_course.checks import exercises\nf = exercises()['patchify'].reference", ending="return f(*a)"
    ),
    "solution()": when_called(
        "import contextlib, io\nfrom vit_course import solution\nout = io.StringIO()\n"
        "with contextlib.redirect_stdout(out): solution('patchify')\nspace = {}\n"
        "exec(out.getvalue()[out.getvalue().index('def patchify'):], space)",
        ending="return space['patchify'](*a)",
    ),
    "inspect": when_called(
        "import inspect, vit_course\nspace = {}\nexec(inspect.getsource(vit_course.patchify), space)",
        ending="return space['patchify'](*a)",
    ),
    "mine()": when_called("from vit_course import mine", ending="return mine('patchify')(*a)"),
    "check()": "from vit_course import check\ndef patchify(images, size):\n    return None\n"
    "patchify_ = check(patchify)\n"
    "patchify = (lambda f: f)(patchify_)\n",
    "importing without the stand-in": when_called(
        "import sys\nsys.meta_path = [one for one in sys.meta_path if 'StandIns' not in type(one).__name__]\n"
        "for name in [n for n in sys.modules if n.startswith('vit_course')]: del sys.modules[name]\n"
        "from vit_course.patches import patchify as p",
        ending="return p(*a)",
    ),
    "reading it from disk": when_called(
        "import glob, os, sys\nspace = {}\nplaces = ['{course}', *sys.path, '/', '/work', os.path.expanduser('~')]\n"
        "for place in places:\n"
        "    for inside in ('', '/vit_course', '/*/vit_course'):\n"
        "        for path in glob.glob(place + inside + '/patches.py'): exec(open(path).read(), space)",
        ending="return space['patchify'](*a)",
    ),
    "bytecode": when_called(
        "import glob, marshal, sys\nspace = {}\n"
        "for place in ['{course}', *sys.path]:\n"
        "    for inside in ('', '/vit_course'):\n"
        "        for path in glob.glob(place + inside + '/__pycache__/patches.*.pyc'):\n"
        "            exec(marshal.loads(open(path, 'rb').read()[16:]), space)",
        ending="return space['patchify'](*a)",
    ),
    "the wheel": when_called(
        "import glob, importlib.metadata, sys, zipfile\nspace = {}\n"
        "files = importlib.metadata.distribution('vit_course').files\n"
        "found = [str(f.locate()) for f in files if 'patches' in str(f)]\n"
        "for path in found + glob.glob('{secret}/*.py'): exec(open(path).read(), space)",
        ending="return space['patchify'](*a)",
    ),
    "the garbage collector": when_called(
        "import gc, types\nf = [o for o in gc.get_objects() if isinstance(o, types.FunctionType)\n"
        "     and o.__name__ == 'patchify' and o.__module__ != '__main__'][0]",
        ending="return f(*a)",
    ),
    "the frames": when_called(
        "import sys\nframe, found = sys._getframe(), None\nwhile frame:\n"
        "    for value in [*frame.f_locals.values(), *frame.f_globals.values()]:\n"
        "        if callable(value) and getattr(value, '__name__', '') == 'patchify' and value is not patchify:\n"
        "            found = value\n"
        "        if isinstance(value, dict) and 'expected' in value: found = lambda *a: value['expected']\n"
        "    frame = frame.f_back",
        ending="return found(*a)",
    ),
    "the memory": when_called(
        "text = open('/proc/self/mem', 'rb', buffering=0)\n"
        "maps = [line.split()[0].split('-') for line in open('/proc/self/maps') if 'heap' in line]\n"
        "text.seek(int(maps[0][0], 16))\ndata = text.read(int(maps[0][1], 16) - int(maps[0][0], 16))\n"
        "at = data.index(b'def ' + b'patchify(images: ')\nspace = {}\nexec(data[at:at + 1500].split(b'\\0')[0], space)",
        ending="return space['patchify'](*a)",
    ),
    "the parent's memory": when_called(
        "import os\ntext = open(f'/proc/{os.getppid()}/mem', 'rb')\ntext.seek(2**20)", ending="return text.read(10)"
    ),
}

# -- ending, hanging, filling up

HARMS = {
    "os._exit": at_import("import os\nos._exit(0)"),
    "os._exit when called": when_called("import os\nos._exit(0)"),
    "sys.exit": at_import("import sys\nsys.exit(0)"),
    "sys.exit when called": when_called("import sys\nsys.exit(0)"),
    "KeyboardInterrupt": when_called("raise KeyboardInterrupt"),
    "a crash": when_called("import ctypes\nctypes.string_at(0)"),
    "a recursion that crashes": when_called("import sys\nsys.setrecursionlimit(10**9)\nf = lambda: f()\nf()"),
    "kill all": at_import("import os\nos.kill(-1, 9)"),
    "kill the group": at_import("import os\nos.killpg(0, 9)"),
    "kill the parent": at_import("import os\nos.kill(os.getppid(), 9)"),
    "stop the parent": at_import("import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)"),
    "ptrace": at_import(
        "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.ptrace(16, os.getppid(), 0, 0): raise OSError('ptrace')"
    ),
    "a fork": at_import("import os\nif os.fork() == 0:\n    while True: pass"),
    "a bomb of forks": at_import("import os\nwhile True:\n    os.fork()"),
    "a bomb of threads": at_import(
        "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(1e6,)).start()"
    ),
    "a thread that outlives": at_import(
        "import threading, time\nthreading.Thread(target=lambda: [time.sleep(0.01) for _ in iter(int, 1)]).start()"
    ),
    "an endless loop": at_import("while True: pass"),
    "an endless loop that hears no signal": when_called(
        "import signal\nfor one in range(1, 65):\n    try: signal.signal(one, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\nwhile True: pass"
    ),
    "an endless sleep": when_called("import time\ntime.sleep(1e6)"),
    "an error that never ends its message": when_called(
        "class Endless(Exception):\n    def __str__(self):\n        while True: pass\nraise Endless"
    ),
    "an error that ends Python by its message": when_called(
        "import os\nclass Ending(Exception):\n    def __str__(self): os._exit(0)\nraise Ending"
    ),
    "a memory bomb": when_called("x = [bytearray(2**26) for _ in range(10**6)]"),
    "a memory bomb of tensors": when_called("x = [torch.ones(2**24) for _ in range(10**6)]"),
    "a disk bomb": at_import("for i in range(10**6):\n    open(f'{i}.bin', 'wb').write(bytes(2**20))"),
    "gigabytes of output": at_import(
        "import os, sys\nfor _ in range(2000):\n    os.write(1, b'x' * 2**20)\n    os.write(2, b'x' * 2**20)"
    ),
    "gigabytes of prints": when_called("for _ in range(2000): print('x' * 2**20)"),
    "deep brackets": f"x = {'(' * 5000}1{')' * 5000}\ndef patchify(images, size): return x",
    "a long line of signs": f"x = {'-' * 60000}1\ndef patchify(images, size): return x",
    "a cell with a null": "def patchify(images, size):\n    return '\0'\n",
    "a cell of megabytes": f"patchify = '''{'x' * 3_000_000}'''\ndef patchify(images, size): return 1\n",
    "a surrogate": "def patchify(images, size):\n    raise ValueError('\\udce4')\n",
}

# -- outside

OUTSIDE = {
    "read another's work": when_called("text = open('{canary}').read()", ending="raise RuntimeError(text)"),
    "delete another's work": at_import("import os\nos.remove('{canary}')"),
    "edit another's work": at_import("open('{canary}', 'w').write('forged')"),
    "remove a whole folder": at_import("import shutil, os\nshutil.rmtree(os.path.dirname('{canary}'))"),
    "write a result file": at_import(
        "import os\nfor place in ('.', '/tmp', os.path.dirname('{canary}')):\n"
        "    open(place + '/grades.csv', 'w').write('passed')\n    open(place + '/results.json', 'w').write('{}')"
    ),
    "leave something for the next": at_import(
        "for place in ('/tmp', '/dev/shm', '/var/tmp', '/'):\n"
        "    try: open(place + '/left-behind', 'w').write('x')\n    except OSError: pass"
    ),
    "take what another left": when_called(
        "import os\nfound = [p for p in ('/tmp', '/dev/shm', '/var/tmp', '/') if os.path.exists(p + '/left-behind')]",
        ending="raise RuntimeError(f'found {found}')",
    ),
    "the network": when_called(
        "import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=3).sendall(b'stolen')"
    ),
    "the network by C": when_called(
        "import ctypes, struct\nlibc = ctypes.CDLL(None, use_errno=True)\ns = libc.socket(2, 1, 0)\n"
        "libc.connect(s, struct.pack('>HHI8x', 0x0200, {port}, 0x7f000001), 16)\nlibc.send(s, b'stolen', 6, 0)"
    ),
    "a program": when_called("import subprocess\nsubprocess.run(['touch', '{canary}.touched'], check=True)"),
    "a shell": when_called("import os\nif os.system('touch {canary}.touched'): raise OSError('no shell')"),
    "environment variables": when_called("import os", ending="raise RuntimeError(repr(dict(os.environ)))"),
    "the pipes": at_import(
        "import os\nfor fd in range(0, 64):\n    try: os.write(fd, b'\\0' * 7 + b'\\1' + b'{}passed')\n"
        "    except OSError: pass"
    ),
    "a result of one's own down the pipe": at_import(
        "import os\nfrom vit_course.grading import wire\n"
        "made = wire.pack({'seen': [{'kind': 'tensor', 'passed': True, 'status': 'passed'}] * 17, 'notes': []})\n"
        "for fd in range(3, 64):\n    try: os.write(fd, made)\n    except OSError: pass\nos._exit(0)"
    ),
    "an object down the pipe": at_import(
        "import os\nfrom vit_course.grading import wire\n"
        'made = b\'{"of": ["vit_course.checks.observers", "Case"], "dict": []}\'\n'
        "made = len(made).to_bytes(8, 'big') + made + b'\\2' + b'\\0' * 7 + b'{}'\n"
        "os.write(3, made)\nos._exit(0)"
    ),
}

ATTACKS = {**LOOKS, **PATCHES, **FINDS, **HARMS, **OUTSIDE}
