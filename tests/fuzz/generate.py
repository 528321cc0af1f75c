"""Reads taper.h and prints calls.inc for fuzz.c: for every function a call whose arguments draw.h draws.

What an argument is follows from its type, its name and, where several tensors must fit together, from SHAPES. A type that
is not known here is an error, so that a new function cannot slip past.
"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "c"))
import header as taper_header  # noqa: E402

# Written by hand in special.h: what the types do not tell.
SPECIAL = """
tensor_from_data tensor_from_buffer tensor_copy_to_host tensor_sizes tensor_strides tensor_data error_new error_with_payload
tensor_register_hook tensor_register_post_accumulate_grad_hook node_register_hook node_register_prehook function_apply
gradcheck gradgradcheck set_out_of_memory_callback set_interrupt_callback module_new module_register_forward_pre_hook
module_register_forward_hook module_apply generator_get_state generator_set_state set_num_threads
file_writer_write schedule_new schedule_lambda_lr_create schedule_multiplicative_lr_create schedule_cyclic_lr_create
schedule_last_lr schedule_base_lrs set_log_callback
named_tensors_from_memory tensor_file_open_memory tensor_file_sizes
dataset_new dataset_new_stream data_loader_create
""".split()
# Functions of which only two or four together make sense, in one call of special.h.
TOGETHER = {
    "dlpack": ["tensor_to_dlpack", "tensor_from_dlpack"],
    "dlpack_legacy": ["tensor_to_dlpack_legacy", "tensor_from_dlpack_legacy"],
    "arrow": ["arrow_export", "arrow_import"],
}
# Steps that are no function of the library.
EXTRA = {"damage_file": 3, "write_header": 3}
# Left out, each with its reason.
SKIPPED = {
    "set_default_device": "moves every later tensor; drawn only where a device is asked for",
    "tensor_handle_count": "walks the table; called at the end of every episode",
    "handle_count": "walks the table; called at the end of every episode",
    "checkpoint": "takes callbacks; tests/c/test_checkpoint.c",
    "per_sample_grads": "takes callbacks; tests/c/test_checkpoint.c",
    "saved_tensors_hooks_push": "takes callbacks; tests/c/test_autograd.c",
    "saved_tensors_hooks_pop": "ends what the other begins; tests/c/test_autograd.c",
    "optimizer_step_closure": "takes a callback; tests/c/test_optim.c",
    "optimizer_own_new": "takes a callback; tests/c/test_optim.c",
    "optimizer_get_option_values": "numbers go into a buffer; tests/c/test_optim.c",
    "optimizer_set_option_values": "numbers come from a buffer; tests/c/test_optim.c",
    "arrow_import_next": "takes a stream of callbacks; tests/c/test_arrow.c",
    "optim_list_step": "lists that must fit together; the optimizers' steps are the same",
}
# How often a function is called; 10 where nothing stands here. Costly ones and those that change what follows are rare.
WEIGHTS = {
    "backward": 60, "grad": 40, "module_forward": 40, "optimizer_step": 30, "tensor_index": 30, "tensor_index_put": 20,
    "tensor_from_data": 30, "tensor_to_string": 8, "einsum": 30, "device_parse": 20, "function_apply": 30,
    "module_new": 20, "tensor_register_hook": 20, "tensor_set_requires_grad": 20, "tensor_set_data": 20,
    "set_num_threads": 1, "seed": 1, "set_inference_mode": 1, "set_grad_mode": 2, "set_detect_anomaly": 1,
    "gradcheck": 2, "gradgradcheck": 1, "set_default_dtype": 2, "graph_begin": 2, "scope_begin": 3, "scope_end": 6,
    "scope_keep": 10, "memory_empty_cache": 1, "named_tensors_save": 5, "file_writer_begin": 3, "file_writer_commit": 3, "named_tensors_load": 15,
    "named_tensors_save_as": 5, "named_tensors_save_sharded": 2, "named_tensors_from_memory": 20, "tensor_file_open": 15,
    "tensor_file_open_memory": 10, "tensor_file_get": 30, "tensor_file_get_rows": 20, "module_load_keys": 5,
    "checkpoint_save": 3, "checkpoint_load": 5, "module_save": 3,
    "module_load": 10, "optimizer_save": 3, "optimizer_load": 10, "set_out_of_memory_callback": 3, "set_log_callback": 3, "tensor_free": 8,
    "device_count": 2, "device_check": 2, "device_get_properties": 2, "device_find": 2, "cudnn_version": 1,
    "memory_get_info": 2, "autocast_begin": 3, "autocast_end": 6, "set_autocast_enabled": 1, "profiler_start": 1,
    "profiler_stop": 4, "summary_writer_create": 1, "summary_writer_flush": 1, "save_image": 3, "save_plot": 2, "progress_create": 1, "progress_update": 1,
    "progress_close": 1, "dataset_new": 5, "dataset_new_stream": 5, "data_loader_begin": 4, "data_loader_resume": 3, "batches_next": 20, "cancel_token_cancel": 1, "cancel_token_attach": 2, "set_interrupt_callback": 2,
}  # fmt: skip

TEXTS = {
    "path": "PATH", "folder": "PATH", "stem": "NAME", "prefix": "NAME", "format": "FORMAT", "name": "NAME", "key": "NAME", "equation": "EQUATION", "reduction": "REDUCTION",
    "rounding_mode": "ROUNDING", "approximate": "APPROXIMATE", "reduce": "REDUCE", "nonlinearity": "NONLINEARITY",
    "side": "SIDE", "indexing": "INDEXING", "profile": "PROFILE", "precision": "PRECISION",
    "interpolation": "INTERPOLATION", "padding_mode": "PADDING_MODE", "mode": "MODE", "pad_mode": "MODE", "norm": "NORM",
}  # fmt: skip

# Options structs that a function of special.h or options_gen.h draws.
OPTIONS = ["conv", "sgd", "adam", "conv_create", "linear"]
OPTIONS += re.findall(
    r"^static const taper_nn_(\w+)_options \*", (Path(__file__).parent / "options_gen.h").read_text(), re.M
)

FLOAT, ANY, INT64, BOOL = -2, -1, 4, 11
# Shapes of tensors that must fit, by function and parameter. F(i) and S(i): size i of the first and second tensor of the
# call; R: a small random size. A number alone: any tensor of that rank.
SHAPES = {}


def shapes(functions, **params):
    for function in functions.split():
        for name, shape in params.items():
            SHAPES[function, name] = shape


for n in (1, 2, 3):
    k = ",R" * n
    shapes(f"conv{n}d", input=n + 2, weight=f"R,F(1){k}", bias="S(0)")
    shapes(f"conv_transpose{n}d", input=n + 2, weight=f"F(1),R{k}", bias="S(1)")
    for op in ("max_pool", "avg_pool", "adaptive_avg_pool"):
        shapes(f"{op}{n}d", self=n + 2)
shapes("max_pool2d_with_indices pixel_shuffle", self=4)
shapes("linear linear_activation", weight="R,F(-1)", bias="S(0)")
shapes("mm", self=2, mat2="F(1),R")
shapes("bmm", self=3, mat2="F(0),F(2),R")
shapes("mv", self=2, vec="F(1)")
shapes("dot", self=1, tensor="F(0)")
shapes("outer", self=1, vec2="R")
shapes("matmul", other="F(-1),R")
shapes("inner", other="R,F(-1)")
shapes("addmm addmm_ addmm_activation", self=2, mat1="F(0),R", mat2="S(1),F(1)")
shapes("baddbmm baddbmm_", self=3, batch1="F(0),F(1),R", batch2="F(0),S(2),F(2)")
shapes("matrix_power", self="3,3")
shapes("trace diag t t_ tril triu fill_diagonal_", self=2)
shapes("layer_norm rms_norm", weight="F(-1)", bias="F(-1)")
shapes("batch_norm", weight="F(1)", bias="F(1)", running_mean="F(1)", running_var="F(1)")
shapes("group_norm instance_norm", weight="F(1)", bias="F(1)", input=4)
shapes("embedding", weight=2)
shapes("prelu", weight="F(1)")
shapes("grid_sample", input=4, grid="F(0),R,R,2")
shapes("affine_grid", theta="R,2,3")
shapes("cross_entropy nll_loss", input=2, weight="F(1)")
shapes("scaled_dot_product_attention", query=4, attn_mask="F(-2),F(-2)")
shapes("init_eye_", self=2)
shapes("init_dirac_", self=3)
shapes("init_orthogonal_ init_sparse_", self=2)
shapes("unique_consecutive bincount histc", self=1)
shapes("multinomial", self=2)
LIKE = """
mse_loss.target l1_loss.target smooth_l1_loss.target huber_loss.target binary_cross_entropy.target kl_div.target
binary_cross_entropy_with_logits.target scaled_dot_product_attention.key scaled_dot_product_attention.value
scatter_src.src scatter_src_.src scatter_add.src scatter_add_.src scatter_reduce.src scatter_reduce_two.src
scatter_reduce_two_.src index_add.source index_add_.source index_copy.source index_copy_.source index_put.values
index_put_.values tensor_set_grad.grad tensor_set_data.src slice_scatter.src
""".split()
INDEX_LIKE = {"gather", "scatter_src", "scatter_value", "scatter_add", "scatter_src_", "scatter_value_", "scatter_add_",
              "scatter_reduce", "scatter_value_reduce", "scatter_reduce_two", "scatter_reduce_two_"}  # fmt: skip
NOT_FLOAT = re.compile(r"bitwise|one_hot|bincount|logical")


def tensor(function, name, i):
    key = function, name
    want = FLOAT if name in ("weight", "bias", "query", "running_mean", "running_var", "grid", "theta") else ANY
    if key in SHAPES:
        shape = SHAPES[key]
        if isinstance(shape, int):
            return f"t_ndim({want}, {shape})"
        sizes = shape.replace("F(", "shape_size(me.first, ").replace("S(", "shape_size(me.second, ")
        sizes = re.sub(r"\bR\b", "1 + below(3)", sizes)
        return f"t_want({want}, {len(shape.split(','))}, (int64_t[]){{{sizes}}}, 0)"
    if f"{function}.{name}" in LIKE:
        return f"t_like({ANY if i else FLOAT})"
    if name in ("index", "indices"):
        if function in INDEX_LIKE or function == "take_along_dim":
            return "t_index_like()"
        if function in ("take",):
            return "t_index(8, 1 + (int)below(2))"
        if function == "embedding":
            return "t_index(shape_size(me.first, 0), 1 + (int)below(2))"
        return "t_index(index_limit(), 1)"
    if function in ("cross_entropy", "nll_loss") and name == "target":
        return "t_want(TAPER_INT64, 1, (int64_t[]){shape_size(me.first, 0)}, shape_size(me.first, 1))"
    if name in ("mask", "condition", "attn_mask"):
        return f"t_{'broadcast' if i else 'like'}(TAPER_BOOL)" if i else "t_ndim(TAPER_BOOL, 2)"
    if function in ("one_hot", "bincount") and name == "self":
        return "t_index(5, 1)"
    if NOT_FLOAT.search(function) and i == 0:
        return "one_in(2) ? t_any() : t_ndim(TAPER_INT64, 2)"
    if name == "repeats":
        return "t_index(3, 1)"
    return "t_broadcast(-1)" if i else "t_any()"


OPTIONAL_TENSORS = {
    "bias",
    "attn_mask",
    "running_mean",
    "running_var",
    "sorter",
    "pos_weight",
    "weights",
    "grad",
    "min",
    "max",
}
OPTIONAL_WEIGHT = re.compile(r"norm|loss|entropy|nll")


def ints(function, name):
    if name in ("dim", "dims", "source", "destination"):
        if function in ("permute",):
            return "LIST_DIMS", -2
        return ("LIST_ONES", 2) if function == "tile" else ("LIST_DIMS", 0)
    if name in ("size", "shape", "sizes"):
        if function in ("view", "reshape", "unflatten"):
            return "LIST_VIEW", 0
        if function in ("expand", "broadcast_to"):
            return "LIST_EXPAND", 0
        return "LIST_SIZES", 0
    if name == "normalized_shape":
        return "LIST_TAIL", 0
    digit = re.search(r"([123])d", function)
    n = int(digit[1]) if digit else 0
    if name in ("kernel_size", "output_size"):
        return "LIST_KERNEL", n
    if name == "stride":
        return ("LIST_STRIDES" if function == "as_strided" else "LIST_KERNEL"), n
    if name in ("padding", "output_padding"):
        return "LIST_ONES", n
    if name == "dilation":
        return ("LIST_KERNEL"), n
    if name == "pad":
        return "LIST_PAD", 0
    if name in ("repeats", "split_sizes"):
        return "LIST_KERNEL", 0
    return "LIST_ANY", 0


RANGES = {
    "groups": (1, 2), "num_groups": (1, 2), "steps": (0, 9), "n": (-1, 5), "m": (0, 5), "k": (1, 3), "chunks": (1, 4),
    "split_size": (1, 3), "size": (1, 3), "step": (1, 3), "start": (-2, 4), "end": (0, 6), "length": (0, 3),
    "decimals": (-2, 3), "num_samples": (1, 4), "num_classes": (-1, 6), "minlength": (0, 6), "bins": (1, 6),
    "upscale_factor": (1, 2), "high": (1, 9), "low": (-3, 3), "ignore_index": (-100, 3), "in_features": (1, 4),
    "out_features": (1, 4), "in_channels": (1, 4), "out_channels": (1, 4), "num_features": (1, 4), "index": (-3, 3),
    "num_embeddings": (1, 6), "embedding_dim": (1, 4), "row": (0, 4), "col": (0, 4), "padding_idx": (-2, 3),
    "diagonal": (-3, 3), "offset": (-3, 3), "repeats": (0, 3),
}  # fmt: skip
DIMS = {"dim", "dim0", "dim1", "dim2", "start_dim", "end_dim", "dimension"}
NUMBERS = {"int64_t", "int32_t", "uint64_t", "uint32_t", "double", "_Bool", "size_t"}


def integer(name):
    if name in DIMS:
        return "i_dim()"
    low, high = RANGES.get(name, (-2, 6))
    return f"i_range({low}, {high})"


def draw(function, params, i, header, tensors):
    """The C expression that draws parameter i; one of two that are drawn together mentions length_(i + 1)."""
    kind, name = params[i]
    length = i + 1 < len(params) and params[i + 1][0] == "size_t"
    bare = kind.replace("const ", "").replace("struct ", "")
    if name == "stream" and kind == "uint64_t":
        return "0"  # a handle of the driver's, which checks nothing
    if kind == "int64_t":
        return integer(name)
    if kind == "int32_t":
        return "c_dtype()" if name == "dtype" else "c_any()"
    if kind in ("uint64_t", "uint32_t", "size_t"):
        return f"({kind})i_range(0, 4)"
    if kind == "double":
        return "f_any()"
    if kind == "_Bool":
        return "b_any()"
    if kind == "taper_scalar":
        return "s_any()"
    if kind == "const taper_scalar *":
        return "s_optional()"
    if kind == "taper_device":
        return "d_any()"
    if kind == "const char *":
        what = TEXTS.get(name, "ANY")
        if function == "device_parse":
            what = "DEVICE"
        if name == "mode" and function.startswith("init_"):
            what = "INIT_MODE"
        return f"text(TEXT_{what})"
    if kind.endswith(" *const *"):
        usual = {"einsum": 2, "tensor_list_new": -1}.get(function, 1 if "forward" in function else -1)
        return f"({kind})handles(KIND_{kind[6:-8].upper().strip()}, &length_{i + 1}, {usual})"
    if kind == "const taper_index_item *":
        return f"items(&length_{i + 1})"
    if kind == "const int64_t *" and length:
        how, n = ints(function, name)
        return f"ints({how}, &length_{i + 1}, {n})"
    if kind == "const int64_t *":
        return f"i_optional({integer(name)})"
    if kind == "const double *" and length:
        return f"doubles(&length_{i + 1})"
    if kind == "const double *":
        return "f_optional()"
    if kind == "const _Bool *":
        return "b_optional()"
    if bare.startswith("taper_optim_") or kind == "const void *":
        return "NULL"  # PyTorch's defaults
    for options in OPTIONS:
        if bare.startswith(f"taper_{options}_options") or bare.startswith(f"taper_nn_{options}_options"):
            return f"{options}_options()"
    if function.startswith("schedule_") and bare.endswith("_options *"):
        return f"OPTIONS({bare[:-2]}, {bare[:-2].upper()}_INIT)"
    if bare == "taper_tensor *":
        optional = name in OPTIONAL_TENSORS or (name == "weight" and OPTIONAL_WEIGHT.search(function))
        call = tensor(function, name, tensors)
        return f"one_in(3) ? t_none() : {call}" if optional and tensors else call
    if bare.endswith(" *") and bare[:-2] in header.opaque:
        k = f"KIND_{bare[6:-2].upper()}"
        return f"h_optional(h_other, {k})" if name == "generator" else f"h_other({k})"
    raise SystemExit(f"generate.py does not know how to draw taper_{function}({kind} {name}); teach it")


MUTATES = re.compile(r"_$|^tensor_set_|^tensor_index_(put|fill)|^detach_")
OUT_NUMBERS = {"int64_t *", "uint64_t *", "int32_t *", "double *", "_Bool *", "size_t *", "void **", "taper_scalar *"}


def write(header, opencl):
    table = []
    for result, function, params in header.functions:
        function = function.removeprefix("taper_")
        if function in SPECIAL or any(function in names for names in TOGETHER.values()):
            continue
        if function in SKIPPED:
            continue
        index = len(table)
        lines = [f"static void call_{function}(void)", "{", f"    begin({index});"]
        arguments, outs, lengths, tensors = [], [], {}, 0
        for i, (kind, name) in enumerate(params):
            bare = kind.replace("const ", "").replace("struct ", "")
            if i in lengths:
                arguments.append(lengths[i])
                continue
            if kind in OUT_NUMBERS or (bare.endswith(" **") and "const" not in kind):
                base = bare[:-1].strip()
                outs.append((base, i))
                lines.append(
                    f"    {base}{'' if base.endswith('*') else ' '}o{i} = {'{0}' if base == 'taper_scalar' else '0'};"
                )
                arguments.append(f"out(&o{i})")
                continue
            if bare in ("taper_device *", "taper_memory_info *"):
                lines.append(f"    {bare[:-2]} o{i};")
                arguments.append(f"out(&o{i})")
                continue
            if bare == "taper_device_properties *":
                lines.append(f"    {bare} a{i} = sized_struct(sizeof({bare[:-2]}), NULL);")
                arguments.append(f"a{i}")
                continue
            expression = draw(function, params, i, header, tensors)
            if f"length_{i + 1}" in expression:
                lines.append(f"    size_t length_{i + 1} = 0;")
                lengths[i + 1] = f"length_{i + 1}"
            if bare == "taper_tensor *":
                tensors += 1
            lines.append(f"    {kind}{'' if kind.endswith('*') else ' '}a{i} = {expression};")
            arguments.append(f"a{i}")
        mutates = MUTATES.search(function) and tensors
        if mutates:
            lines.append("    const int seat_ = me.first_seat;")
        lines.append("    go();")
        call = f"taper_{function}({', '.join(arguments)})"
        if function.endswith("_free"):
            lines.append(f"    if ({call})")
            lines.append("        forget_handle((void *)a0);")
        elif function == "error_cause":
            lines.append(f"    keep(KIND_ERROR, {call});")
        elif result == "taper_error *":
            lines.append(f"    bool fine = done({call});")
            handles = [(base, i) for base, i in outs if base.endswith("*") and base != "void *"]
            if handles:
                lines.append(f"    if (!fine && ({' || '.join(f'o{i}' for _, i in handles)}))")
                lines.append('        unexpected("a result beside an error");')
            else:
                lines.append("    (void)fine;")
            for base, i in handles:
                lines.append(f"    keep(KIND_{base[6:-2].upper().strip()}, o{i});")
        elif result == "const char *":
            lines.append(f"    read_text({call});")
        else:
            lines.append(f"    (void){call};")
        if mutates:
            lines.append("    refresh(seat_);")
        lines.append("}\n")
        print("\n".join(lines))
        table.append((function, WEIGHTS.get(function, 10)))
    for function in [*SPECIAL, *TOGETHER, *EXTRA]:
        print(f"static void start_{function}(void)\n{{\n    begin({len(table)});\n    call_{function}();\n}}")
        table.append((f"start:{function}", WEIGHTS.get(function, EXTRA.get(function, 10))))
    known = {f for _, f, _ in header.functions}
    for name in [*SPECIAL, *SKIPPED, *(f for names in TOGETHER.values() for f in names)]:
        if f"taper_{name}" not in known:
            raise SystemExit(f"taper_{name}, which generate.py treats by itself, is not in the header")
    print("static const struct {\n    const char *name;\n    void (*call)(void);\n    int weight;\n} functions[] = {")
    for name, weight in table:
        call = f"start_{name[6:]}" if name.startswith("start:") else f"call_{name}"
        print(f'    {{"{name.removeprefix("start:")}", {call}, {weight}}},')
    print("};")


write(taper_header.read(sys.argv[1]), False)
