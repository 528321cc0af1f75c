"""What each package does with `torch`, as numbers: recorded with PyTorch, compared with Taper (run.py).

A function of a package's name takes the module torch and gives a dict of texts, numbers and tensors."""


def einops(torch):
    from einops import einsum, pack, parse_shape, rearrange, reduce, repeat, unpack
    from einops.layers.torch import EinMix, Rearrange, Reduce

    x = torch.arange(24.0).view(2, 3, 4).requires_grad_()
    torch.manual_seed(0)
    mix = EinMix("b h w -> b h c", weight_shape="w c", bias_shape="c", w=4, c=5)
    layers = torch.nn.Sequential(Rearrange("b h w -> b (h w)"), torch.nn.Linear(12, 3), Reduce("b c -> b", "max"))
    packed, shapes = pack([x, x[:, 0]], "b * w")
    y = rearrange(x, "b h (w two) -> (b h) two w", two=2)
    (reduce(x, "b h w -> h", "mean") ** 2).sum().backward()
    return {
        "rearrange": y,
        "reduce": reduce(x, "b (h h2) w -> b h", "sum", h2=3),
        "repeat": repeat(x[0, 0], "w -> w 2"),
        "einsum": einsum(x, x, "b h w, b k w -> b h k"),
        "packed": packed,
        "unpacked": unpack(packed, shapes, "b * w")[1],
        "shape": str(parse_shape(x, "b _ w")),
        "mix": mix(x),
        "layers": layers(x),
        "grad": x.grad,
    }


def safetensors(torch):
    import os
    import tempfile

    from safetensors import safe_open
    from safetensors.torch import load, load_file, load_model, save, save_file, save_model

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    tensors = {"a": torch.randn(2, 3), "b": torch.arange(4), "c": torch.ones(3, dtype=torch.bfloat16)}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.safetensors")
        save_file(tensors, path, metadata={"k": "v"})
        read = load_file(path)
        with safe_open(path, framework="pt") as f:
            keys, metadata, part = list(f.keys()), f.metadata(), f.get_slice("a")[:, 1:]
            whole = f.get_tensor("b")
        save_model(model, path)
        other = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
        missing = load_model(other, path)
    return {
        **{"read." + k: v for k, v in sorted(read.items())},
        "keys": str(sorted(keys)),
        "metadata": str(metadata),
        "slice": part,
        "whole": whole,
        "bytes": {k: v for k, v in sorted(load(save(tensors)).items())}["a"],
        "missing": str(missing),
        "same": bool((other[0].weight == model[0].weight).all()),
    }


def torchinfo(torch):
    from torchinfo import summary

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.c = torch.nn.Conv2d(1, 4, 3)
            self.seq = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4 * 36, 10))

        def forward(self, x):
            return self.seq(torch.relu(self.c(x)))

    return {"text": str(summary(Net(), (2, 1, 8, 8), verbose=0))}


def torchdiffeq(torch):
    from torchdiffeq import odeint, odeint_adjoint

    torch.manual_seed(0)

    class F(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.l = torch.nn.Linear(2, 2)

        def forward(self, t, y):
            return torch.tanh(self.l(y)) - 0.1 * y

    f, y0, t = F(), torch.tensor([[1.0, 0.5]]), torch.linspace(0, 1, 3)
    made = {m: odeint(f, y0, t, method=m) for m in ("euler", "midpoint", "rk4", "dopri5")}
    odeint_adjoint(f, y0, t).pow(2).sum().backward()
    made["grad"] = f.l.weight.grad
    return made


def torchmetrics(torch):
    import torchmetrics as tm

    torch.manual_seed(0)
    p, y = torch.rand(40, 3).softmax(-1), torch.randint(0, 3, (40,))
    a, b = torch.randn(30), torch.randn(30)
    made = {}
    for name, metric in {
        "accuracy": tm.Accuracy(task="multiclass", num_classes=3),
        "f1": tm.F1Score(task="multiclass", num_classes=3, average="macro"),
        "confusion": tm.ConfusionMatrix(task="multiclass", num_classes=3),
        "auroc": tm.AUROC(task="multiclass", num_classes=3),
        "precision": tm.Precision(task="multiclass", num_classes=3, average="none"),
    }.items():
        metric.update(p[:20], y[:20])
        metric.update(p[20:], y[20:])
        made[name] = metric.compute()
    for name, metric in {
        "mse": tm.MeanSquaredError(),
        "mae": tm.MeanAbsoluteError(),
        "r2": tm.R2Score(),
        "pearson": tm.PearsonCorrCoef(),
        "cosine": tm.CosineSimilarity(),
    }.items():
        made[name] = metric(a.view(-1, 5), b.view(-1, 5)) if name == "cosine" else metric(a, b)
    mean = tm.MeanMetric()
    mean.update(a)
    made["mean"] = mean.compute()
    collection = tm.MetricCollection([tm.MeanSquaredError(), tm.MeanAbsoluteError()])
    made["collection"] = str(sorted(collection(a, b)))
    return made


def _model(torch, model, x):
    """Output in evaluation mode, and gradients of one step in training mode, as a few numbers."""
    model.eval()
    with torch.no_grad():
        out = model(x)
    out = out["out"] if isinstance(out, dict) else out
    model.train()
    loss = model(x)
    loss = loss["out"] if isinstance(loss, dict) else loss[0] if isinstance(loss, tuple) else loss
    loss.float().pow(2).mean().backward()
    first = next(p for p in model.parameters() if p.grad is not None)
    return {
        "shape": str(list(out.shape)),
        "out": out.flatten()[:: max(1, out.numel() // 20)][:20],
        "parameters": sum(p.numel() for p in model.parameters()),
        "keys": len(model.state_dict()),
        "grad": first.grad.flatten()[:10],
    }


def torchvision(torch):
    from torchvision import models, transforms
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names
    from torchvision.utils import make_grid

    made = {}
    for name in "resnet18 mobilenet_v3_small shufflenet_v2_x0_5 squeezenet1_1 efficientnet_b0 googlenet".split():
        torch.manual_seed(0)
        options = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
        x = torch.randn(2, 3, 64, 64)
        try:
            result = _model(torch, getattr(models, name)(weights=None, num_classes=7, **options), x)
        except Exception as error:
            result = {"error": f"{type(error).__name__}: {error}"[:200]}
        made.update({f"{name}.{k}": v for k, v in result.items()})
    torch.manual_seed(0)
    net = models.resnet18(weights=None, num_classes=5).eval()
    extractor = create_feature_extractor(net, {"layer2": "mid", "flatten": "end"})
    x = torch.randn(1, 3, 64, 64)
    found = extractor(x)
    made.update(
        {"nodes": str(get_graph_node_names(net)[1][:20]), "mid": found["mid"].mean(), "end": found["end"].flatten()[:5]}
    )
    image = torch.arange(3 * 8 * 8, dtype=torch.float32).view(3, 8, 8) / 192
    chain = transforms.Compose(
        [
            transforms.Resize(6, antialias=False),
            transforms.CenterCrop(4),
            transforms.Normalize([0.5] * 3, [0.2] * 3),
            transforms.Pad(1),
        ]
    )
    made["transforms"] = chain(image)
    made["grid"] = make_grid(torch.stack([image, image]), nrow=2).mean()
    return made


def timm(torch):
    import timm as package

    made = {}
    for name in "resnet10t convnext_atto".split():
        size = 224 if name.startswith(("vit", "mixer")) else 64
        torch.manual_seed(0)
        x = torch.randn(1 if size == 224 else 2, 3, size, size)
        try:
            result = _model(torch, package.create_model(name, pretrained=False, num_classes=5), x)
        except Exception as error:
            result = {"error": f"{type(error).__name__}: {error}"[:200]}
        made.update({f"{name}.{k}": v for k, v in result.items()})
    return made
