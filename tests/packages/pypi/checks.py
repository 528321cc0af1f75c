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
    # Networks whose batch normalisation sees few values, and those whose first gradient is large, are compared in float64.
    double = set("efficientnet_b0 mobilenetv3_small_050 tf_efficientnetv2_b0 hardcorenas_a rexnet_100 ghostnet_050 fastvit_t8 densenet121 hrnet_w18_small res2net50_26w_4s regnetx_002 repvgg_a0 resnest14d starnet_s1 edgenext_xx_small mobilevit_xxs dla34 skresnet18".split())  # fmt: skip
    names = """resnet10t resnest14d skresnet18 res2net50_26w_4s regnetx_002 densenet121 dla34 hrnet_w18_small repvgg_a0
        efficientnet_b0 tf_efficientnetv2_b0 mobilenetv3_small_050 hardcorenas_a rexnet_100 ghostnet_050 starnet_s1 nfnet_l0
        convnext_atto inception_next_atto mambaout_femto edgenext_xx_small poolformer_s12 mobilevit_xxs fastvit_t8 tiny_vit_5m_224
        vit_tiny_patch16_224 deit_tiny_patch16_224 deit_tiny_distilled_patch16_224 beit_base_patch16_224
        eva02_tiny_patch14_224 cait_xxs24_224 xcit_nano_12_p16_224 pit_ti_224 crossvit_tiny_240 tnt_s_patch16_224
        swin_tiny_patch4_window7_224 swinv2_cr_tiny_ns_224 pvt_v2_b0 twins_pcpvt_small maxvit_pico_rw_256 coatnet_nano_rw_224
        mixer_s32_224 gmlp_s16_224 resmlp_12_224"""
    for name in names.split():
        fixed = package.get_pretrained_cfg(name).fixed_input_size
        size = package.get_pretrained_cfg(name).input_size[-1] if fixed else 64
        torch.manual_seed(0)
        model = package.create_model(name, pretrained=False, num_classes=5)
        # Dropping whole paths would leave little of a small network.
        for m in model.modules():
            if type(m).__name__ == "DropPath":
                m.drop_prob = 0.0
        head = model.get_classifier()
        for h in [m for part in (head if isinstance(head, tuple) else (head,)) for m in part.modules()]:
            if isinstance(h, torch.nn.Linear) and not h.weight.any():
                torch.nn.init.normal_(h.weight, std=0.1)
        x = torch.randn(1 if fixed else 2, 3, size, size)
        if name in double:
            model, x = model.double(), x.double()
        made.update({f"{name}.{k}": v for k, v in _model(torch, model, x).items()})
    made["found"] = str(package.list_models("resnet1*"))
    x = torch.randn(2, 3, 64, 64)
    net = package.create_model("resnet10t", features_only=True).eval()
    made["features"] = str([list(f.shape) for f in net(x)])
    return made


def transformers(torch):
    import os

    # Nothing is looked for on the network.
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        BertForSequenceClassification,
        DistilBertConfig,
        DistilBertForSequenceClassification,
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        T5Config,
        T5ForConditionalGeneration,
        ViTConfig,
        ViTForImageClassification,
        get_linear_schedule_with_warmup,
    )

    small = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    bert = dict(
        vocab_size=99, max_position_embeddings=40, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **small
    )
    gpt = dict(
        vocab_size=99, n_positions=40, n_embd=32, n_layer=2, n_head=4, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0
    )
    made = {}
    torch.manual_seed(0)
    ids = torch.randint(3, 99, (2, 12))
    mask = torch.ones(2, 12, dtype=torch.long)
    mask[1, 8:] = 0
    labels = ids.masked_fill(mask == 0, -100)
    pixels = torch.randn(2, 3, 32, 32)
    text = {"input_ids": ids, "attention_mask": mask}
    for name, build, inputs in (
        ("bert", lambda: BertForMaskedLM(BertConfig(**bert)), {**text, "labels": labels}),
        ("bert.eager", lambda: BertForMaskedLM(BertConfig(**bert, attn_implementation="eager")), {**text, "labels": labels}),
        ("bert.classes", lambda: BertForSequenceClassification(BertConfig(**bert, num_labels=3)), {**text, "labels": torch.tensor([0, 2])}),
        ("gpt2", lambda: GPT2LMHeadModel(GPT2Config(**gpt)), {**text, "labels": labels}),
        ("gpt2.eager", lambda: GPT2LMHeadModel(GPT2Config(**gpt, attn_implementation="eager")), {**text, "labels": labels}),
        ("distilbert", lambda: DistilBertForSequenceClassification(DistilBertConfig(vocab_size=99, dim=32, n_layers=2, n_heads=4, hidden_dim=64, dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0)), {**text, "labels": torch.tensor([1, 0])}),
        ("llama", lambda: LlamaForCausalLM(LlamaConfig(vocab_size=99, num_key_value_heads=2, **small)), {**text, "labels": labels}),
        ("t5", lambda: T5ForConditionalGeneration(T5Config(vocab_size=99, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, dropout_rate=0.0, decoder_start_token_id=0)), {**text, "labels": labels}),
        ("vit", lambda: ViTForImageClassification(ViTConfig(image_size=32, patch_size=8, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=4, **small)), {"pixel_values": pixels, "labels": torch.tensor([3, 1])}),
    ):  # fmt: skip
        torch.manual_seed(1)
        model = build()
        model.train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
        schedule = get_linear_schedule_with_warmup(optimizer, 1, 10)
        losses = []
        for _ in range(3):
            out = model(**inputs)
            optimizer.zero_grad()
            out.loss.backward()
            if not losses:
                first = next(p for p in model.parameters() if p.grad is not None)
                made[name + ".grad"] = first.grad.flatten()[:: max(1, first.numel() // 16)][:16]
                made[name + ".logits"] = out.logits.flatten()[:: max(1, out.logits.numel() // 12)]
            made[name + ".norm"] = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(out.loss.item())
        made[name + ".losses"] = losses
        made[name + ".keys"] = len(model.state_dict())
        if name in ("gpt2", "llama", "t5"):
            model.eval()
            prompt = ids[:1, :4]
            made[name + ".greedy"] = model.generate(
                prompt, max_new_tokens=6, do_sample=False, pad_token_id=0, eos_token_id=1
            )
            made[name + ".beams"] = model.generate(
                prompt, max_new_tokens=5, num_beams=3, do_sample=False, pad_token_id=0, eos_token_id=1
            )
            torch.manual_seed(7)
            made[name + ".sampled"] = model.generate(
                prompt,
                max_new_tokens=6,
                do_sample=True,
                top_k=20,
                top_p=0.9,
                temperature=0.8,
                pad_token_id=0,
                eos_token_id=1,
            )
    return made


def _trained(torch, model, loss, steps=3):
    """Losses of a few steps of Adam, and the gradient of the first."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    made = {"losses": []}
    for i in range(steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        if i == 0:
            first = next(p for p in model.parameters() if p.grad is not None)
            made["grad"] = first.grad.flatten()[:: max(1, first.numel() // 16)][:16]
        optimizer.step()
        made["losses"].append(value.item())
    return made


def x_transformers(torch):
    from x_transformers import (
        AutoregressiveWrapper,
        ContinuousTransformerWrapper,
        Decoder,
        Encoder,
        TransformerWrapper,
        ViTransformerWrapper,
        XTransformer,
    )

    made = {}
    torch.manual_seed(0)
    ids = torch.randint(0, 50, (2, 16))
    variants = {
        "plain": {},
        "rotary": {"rotary_pos_emb": True, "ff_glu": True, "use_rmsnorm": True},
        "alibi": {"alibi_pos_bias": True, "alibi_num_heads": 2},
        "t5": {"rel_pos_bias": True, "attn_qk_norm": True},
        "flash": {"attn_flash": True, "ff_swish": True, "ff_glu": True},
        "few_heads": {"attn_one_kv_head": True, "sandwich_norm": True},
        "sparse": {"attn_sparse_topk": 4, "residual_attn": True},
        "memory": {"attn_num_mem_kv": 4, "macaron": True},
    }
    for name, options in variants.items():
        torch.manual_seed(1)
        net = TransformerWrapper(
            num_tokens=50, max_seq_len=32, attn_layers=Decoder(dim=32, depth=2, heads=4, attn_dim_head=8, **options)
        )
        wrapped = AutoregressiveWrapper(net)
        made[name + ".logits"] = net(ids).flatten()[::97]
        made.update({f"{name}.{k}": v for k, v in _trained(torch, wrapped, lambda: wrapped(ids)).items()})
    made["generated"] = wrapped.generate(ids[:, :3], 6, temperature=0.0)
    torch.manual_seed(2)
    vit = ViTransformerWrapper(
        image_size=32, patch_size=8, num_classes=5, attn_layers=Encoder(dim=32, depth=2, heads=4)
    )
    image = torch.randn(2, 3, 32, 32)
    made["vit"] = vit(image)
    made.update({f"vit.{k}": v for k, v in _trained(torch, vit, lambda: vit(image).pow(2).mean()).items()})
    torch.manual_seed(3)
    both = XTransformer(
        dim=32,
        enc_num_tokens=50,
        enc_depth=1,
        enc_heads=4,
        enc_max_seq_len=32,
        dec_num_tokens=50,
        dec_depth=1,
        dec_heads=4,
        dec_max_seq_len=32,
    )
    mask = torch.ones_like(ids).bool()
    made.update({f"both.{k}": v for k, v in _trained(torch, both, lambda: both(ids, ids, mask=mask)).items()})
    torch.manual_seed(4)
    smooth = ContinuousTransformerWrapper(
        dim_in=6, dim_out=3, max_seq_len=20, attn_layers=Encoder(dim=32, depth=1, heads=4)
    )
    made["continuous"] = smooth(torch.randn(2, 9, 6)).flatten()[::5]
    return made


def tensorly(torch):
    import tensorly as tl
    from tensorly.decomposition import (
        constrained_parafac,
        non_negative_parafac,
        parafac,
        partial_tucker,
        robust_pca,
        tensor_ring,
        tensor_train,
        tucker,
    )
    from tensorly.regression import CPRegressor
    from tensorly.tenalg import khatri_rao, kronecker, mode_dot, multi_mode_dot

    tl.set_backend("pytorch")
    torch.manual_seed(0)
    x = torch.rand(5, 4, 3, dtype=torch.float64)
    m = torch.rand(6, 4, dtype=torch.float64)
    made = {
        "unfold": tl.unfold(x, 1),
        "fold": tl.fold(tl.unfold(x, 2), 2, x.shape),
        "mode_dot": mode_dot(x, m, 1),
        "multi": multi_mode_dot(x, [torch.rand(2, n, dtype=torch.float64) for n in x.shape]),
        "kronecker": kronecker([m[:2], m[2:4]]),
        "khatri_rao": khatri_rao([m, m[:3]]),
        "norm": tl.norm(x, 2),
        "svd": tl.svd_interface(tl.unfold(x, 0), n_eigenvecs=3)[1],
    }

    def error(whole):
        return (tl.norm(x - whole) / tl.norm(x)).item()

    made["cp"] = error(tl.cp_to_tensor(parafac(x, 3, init="svd", n_iter_max=40, tol=0)))
    made["cp.random"] = error(tl.cp_to_tensor(parafac(x, 2, init="random", random_state=1, n_iter_max=30, tol=0)))
    made["cp.positive"] = error(tl.cp_to_tensor(non_negative_parafac(x, 2, init="svd", n_iter_max=30)))
    made["cp.constrained"] = error(
        tl.cp_to_tensor(constrained_parafac(x, 2, non_negative=True, init="svd", n_iter_max=10))
    )
    made["tucker"] = error(tl.tucker_to_tensor(tucker(x, [3, 3, 2], init="svd", n_iter_max=20)))
    (core, factors), _ = partial_tucker(x, [2, 2], modes=[0, 1], n_iter_max=10)
    made["tucker.partial"] = error(multi_mode_dot(core, factors, modes=[0, 1]))
    made["train"] = error(tl.tt_to_tensor(tensor_train(x, [1, 3, 2, 1])))
    made["ring"] = error(tl.tr_to_tensor(tensor_ring(x, [2, 2, 2, 2])))
    low, sparse = robust_pca(x, n_iter_max=5)
    made["robust"] = low.flatten()[::7]
    factors = [torch.rand(n, 2, dtype=torch.float64, requires_grad=True) for n in x.shape]
    loss = tl.norm(x - tl.cp_to_tensor((torch.ones(2, dtype=torch.float64), factors)), 2) ** 2
    loss.backward()
    made["grad"] = factors[1].grad
    fit = CPRegressor(weight_rank=2, n_iter_max=15, verbose=0, random_state=0)
    fit.fit(x, torch.arange(5.0, dtype=torch.float64))
    made["regression"] = fit.predict(x)
    return made


def stable_baselines3(torch):
    import gymnasium
    import numpy as np
    from stable_baselines3 import A2C, DQN, PPO, SAC

    made = {}
    for name, algorithm, world, steps, options in (
        ("ppo", PPO, "CartPole-v1", 512, {"n_steps": 128, "batch_size": 64, "n_epochs": 4}),
        ("a2c", A2C, "CartPole-v1", 100, {}),
        ("dqn", DQN, "CartPole-v1", 200, {"learning_starts": 50}),
        ("sac", SAC, "Pendulum-v1", 110, {"learning_starts": 60, "batch_size": 32}),
    ):
        model = algorithm("MlpPolicy", gymnasium.make(world), seed=0, device="cpu", verbose=0, **options)
        model.learn(steps)
        parts = [p.detach().flatten()[:4] for p in model.policy.parameters()]
        made[name + ".weights"] = torch.cat(parts)
        seen = np.linspace(-0.1, 0.1, model.observation_space.shape[0], dtype=np.float32)
        made[name + ".action"] = torch.as_tensor(np.asarray(model.predict(seen, deterministic=True)[0]))
    return made
