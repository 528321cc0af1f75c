"""Compares the package's layers with those of another revision: `compare_layers.py REVISION`.

Of every class: the classes that a program can name among its bases, the signature, what an instance with sample arguments
holds (attributes, keys, seeded parameters, printed form), whether a pickled copy is equal, and the syntax trees of its
methods. A method may differ where spec/layers.txt says the same in other words; every difference is printed, and
anything but a tree's is an error.
"""

import ast
import inspect
import json
import os
import pickle
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Arguments of the classes that need some; the rest is made without.
SAMPLES = {
    "Linear": "4, 3|4, 3, bias=False",
    "NonDynamicallyQuantizableLinear": "4, 3",
    "Bilinear": "2, 3, 4|2, 3, 4, False",
    "LazyLinear": "3|3, False",
    "LazyConv": "4, 3|4, (3,) * N, 2, 1, 2, 2, False, 'reflect'",
    "LazyBatchNorm": "|1e-3, None, False|affine=True, track_running_stats=False",
    "ConvTranspose": "4, 6, 3|4, 6, 3, 2, 1, 1, 2, False, 2",
    "Conv": "4, 6, 3|4, 6, 3, 2, 1, 2, 2, False, 'circular'|4, 6, (3,) * N, padding='same'|4, 6, 3, padding='valid'",
    "BatchNorm": "5|5, 1e-3, None, False|5, track_running_stats=False|5, bias=False",
    "SyncBatchNorm": "5",
    "InstanceNorm": "5|5, affine=True, track_running_stats=True",
    "LayerNorm": "4|(2, 3), 1e-3|4, elementwise_affine=False|4, bias=False",
    "RMSNorm": "4|(2, 3), 1e-3|4, elementwise_affine=False",
    "GroupNorm": "2, 4|2, 4, affine=False|2, 4, bias=False",
    "LocalResponseNorm": "2|3, 1e-3, 0.5, 2.0",
    "AdaptiveMaxPool": "2|3, True",
    "Adaptive": "2|(2,) * N|None",
    "LPPool": "2, 3|1.5, 2, 2, True",
    "MaxPool": "2|3, 1, 1, 1, True, True",
    "AvgPool": "2|3, 1, 1, True, False",
    "ConstantPad": "1, 2.5|(1, 2) * N, 0.0",
    "Pad": "1|(1, 2) * N",
    "Threshold": "0.1, 20|0.1, 20, True",
    "Embedding": "5, 3|5, 3, -1|5, 3, 2, 1.0, 1.0, True",
    "Unflatten": "1, (2, 3)",
    "Upsample": "|2|scale_factor=2|(2, 3), mode='bilinear', align_corners=True|scale_factor=(2, 1.5)",
    "Upsampling": "|2|scale_factor=2",
    "Unfold": "2|(2, 3), 1, 1, 2",
    "Fold": "(4, 5), 2|(4, 5), (2, 3), 1, 1, 2",
    "PixelShuffle": "2",
    "PixelUnshuffle": "2",
    "ChannelShuffle": "2",
    "Dropout": "|0.2, True",
    "AlphaDropout": "|0.2, True",
    "CrossEntropyLoss": "|W, None, 3, None, 'sum', 0.1|size_average=False|reduce=False",
    "NLLLoss": "|W, None, 3, None, 'sum'",
    "BCELoss": "|W, reduction='none'",
    "BCEWithLogitsLoss": "|W, reduction='none', pos_weight=W",
    "MultiMarginLoss": "|2, 0.5, W",
    "Hardtanh": "|-2.0, 3.0, True",
    "GaussianNLLLoss": "|full=True, eps=1e-3, reduction='sum'",
    "ReLU": "|True",
    "Softmax": "|1",
    "PReLU": "|3, 0.1",
    "TripletMarginWithDistanceLoss": "|margin=2.0, swap=True, reduction='sum'",
}
# What must be refused, with the error's text.
REFUSED = """Conv2d(3, 4, 1, groups=0); Conv2d(3, 4, 1, groups=2); Conv2d(4, 3, 1, groups=2); Conv2d(1, 1, 1, padding='x');
Conv2d(1, 1, 1, 2, 'same'); ConvTranspose2d(1, 1, 1, padding_mode='reflect'); Dropout(2.0); Dropout(-0.1); Hardtanh(2, 1);
GroupNorm(3, 4); MultiMarginLoss(3); TripletMarginWithDistanceLoss(margin=0); BatchNorm2d(3)(W); BatchNorm1d(3)(W);
InstanceNorm3d(3)(W); LazyConv2d(3, 1)(W); Embedding(3, 3, 3); LazyConv1d(3, 1, groups=2)(W.reshape(1, 3, 1))"""


def samples(name):
    found = [k for k in SAMPLES if name.startswith(k)] or [k for k in SAMPLES if k in name]
    n = next((c for c in "123" if name.endswith(c + "d")), "1")
    texts = SAMPLES[max(found, key=len)].split("|") if found else [""]
    return [t.replace("N", n) if "None" not in t else t.replace("* N", "* " + n) for t in texts]


def describe(package):
    sys.path.insert(0, package)
    import taper
    from taper import nn

    def plain(v):
        return v.tolist() if isinstance(v, taper.Tensor) and not nn.parameter.is_lazy(v) else repr(v).split(" at 0x")[0]

    W, out = taper.tensor([1.0, 2.0, 3.0]), {}
    for name in dir(nn):
        cls = getattr(nn, name)
        if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
            continue
        signature = str(inspect.signature(cls.__init__))
        bases = [
            b.__name__ for b in cls.__mro__ if hasattr(nn, b.__name__) or b.__name__.endswith(("Nd", "Norm", "Loss"))
        ]
        d = out[name] = {"signature": signature, "bases": bases, "doc": cls.__doc__, "made": {}}
        for text in samples(name):
            taper.manual_seed(7)
            try:
                m = eval(f"nn.{name}({text})", {"nn": nn, "W": W})
            except Exception as e:
                d["made"][text] = f"{type(e).__name__}: {e}"
                continue
            hidden = ("_parameters", "_buffers", "_modules")
            d["made"][text] = {
                "attributes": {k: plain(v) for k, v in sorted(vars(m).items()) if k not in hidden and "hook" not in k},
                "keys": list(m.state_dict()) if not name.startswith("Lazy") else sorted(m._parameters),
                "values": [plain(v) for v in (*m._parameters.values(), *m._buffers.values())],
                "text": repr(m),
                "copy": name.startswith("Lazy") or repr(pickle.loads(pickle.dumps(m))) == repr(m),
            }
    refused = out["(refused)"] = {}
    for text in REFUSED.replace("\n", " ").split("; "):
        try:
            eval("nn." + text, {"nn": nn, "W": W})
            refused[text] = "accepted"
        except Exception as e:
            refused[text] = f"{type(e).__name__}: {e}".replace("circular", "").replace("zeros", "")
    print(json.dumps(out))


class Plainer(ast.NodeTransformer):
    """Assignments one by one."""

    def visit_Assign(self, node):
        target, value = node.targets[0], node.value
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = zip(target.elts, value.elts)
            return [ast.Assign([t], v) for t, v in pairs]
        return node


def trees(package):
    out = {}
    folder = os.path.join(package, "taper/nn/modules")
    for file in sorted(os.listdir(folder)):
        if not file.endswith(".py"):
            continue
        with open(os.path.join(folder, file)) as f:
            for node in ast.parse(f.read()).body:
                if isinstance(node, ast.ClassDef):
                    members = {}
                    for part in node.body:
                        key = getattr(part, "name", None) or ast.unparse(part).split(" =")[0]
                        members[key] = ast.dump(Plainer().visit(part))
                    out[node.name] = members
    return out


def main(revision):
    with tempfile.TemporaryDirectory() as folder:
        tar = subprocess.run(
            ["git", "archive", revision, "bindings/python"], cwd=ROOT, stdout=subprocess.PIPE, check=True
        )
        subprocess.run(["tar", "x", "-C", folder], input=tar.stdout, check=True)
        packages = [os.path.join(d, "bindings/python") for d in (folder, ROOT)]
        told = []
        for package in packages:
            run = subprocess.run([sys.executable, __file__, "--describe", package], stdout=subprocess.PIPE, check=True)
            told.append(json.loads(run.stdout))
        before, now = map(trees, packages)
    faults = 0
    old, new = told
    for name in sorted(set(old) | set(new)):
        for key in sorted(set(old.get(name, {})) | set(new.get(name, {}))):
            a, b = old.get(name, {}).get(key), new.get(name, {}).get(key)
            if a != b:
                faults += 1
                print(f"{name}: {key}\n    before {json.dumps(a)}\n    now    {json.dumps(b)}")
    same = [n for n in before if before[n] == now.get(n)]
    print(f"{len(old) - 1} and {len(new) - 1} classes, {faults} differences of behaviour")
    print(f"{len(same)} of {len(before)} classes with equal trees; of the others differ:")
    for name in sorted(set(before) - set(same)):
        b, n = before[name], now.get(name, {})
        print(f"    {name}: {', '.join(k for k in sorted(set(b) | set(n)) if b.get(k) != n.get(k))}")
    return faults


if __name__ == "__main__":
    if sys.argv[1] == "--describe":
        describe(sys.argv[2])
    else:
        sys.exit(min(1, main(sys.argv[1])))
