"""Reads taper.h and prints test_arguments.c's body: for every function a call whose arguments are drawn by arguments.h.

A parameter's kind follows from its type and, for pointers to plain numbers, from the length that stands after it. A type
that this script does not know is an error, so that a new function cannot slip past the test.
"""

import sys

import header as taper_header

header = taper_header.read(sys.argv[1])

PLAIN = {
    "int64_t": "pick_int()",
    "int32_t": "pick_code()",
    "uint64_t": "(uint64_t)pick_int()",
    "uint32_t": "(uint32_t)pick_int()",
    "double": "pick_double()",
    "_Bool": "pick_below(2) == 1",
    "size_t": "(size_t)pick_below(4)",
    "taper_scalar": "pick_scalar()",
    "taper_device": "pick_device()",
    "taper_drop_fn": "NULL",
}
# What a function may do to a caller's buffer is its length's business: these lengths count bytes.
BYTES = {"nbytes"}


def draw(function, params, i):
    """The C expression that draws parameter i, and the one for its length when they are drawn together."""
    kind, name = params[i]
    length = i + 1 < len(params) and params[i + 1][0] == "size_t"
    if name == "stream" and kind == "uint64_t":
        return "0"  # a handle of the driver's, which checks nothing
    if kind in PLAIN:
        return PLAIN[kind]
    if kind == "const char *":
        return "pick_string()"
    if kind.endswith(" *const *"):
        return f"({kind})pick_handles(KIND_{kind[6:-8].upper().strip()}, &length_{i + 1})"
    if kind == "const taper_scalar *":
        return "pick_optional_scalar()"
    bare = kind.replace("const ", "").replace("struct ", "")
    if bare.endswith(" *") and bare[:-2] in header.opaque:
        return f"({bare})pick_handle(KIND_{bare[6:-2].upper()})"
    if bare.endswith(" *") and bare[:-2] in header.sized:
        return f"pick_struct(sizeof({bare[:-2]}))"
    if bare.endswith(" **") or (
        kind.endswith(" *") and not kind.startswith("const ") and (name in OUTS or bare[:-2] in PLAIN) and not length
    ):
        return "pick_out()"
    if bare == "taper_index_item *":
        return f"pick_items(&length_{i + 1})"
    if kind == "const int64_t *" and length:
        small = "true" if function in ("taper_tensor_from_data", "taper_tensor_from_buffer") else "false"
        return f"pick_ints(&length_{i + 1}, {small})"
    if kind == "const double *" and length:
        return f"pick_doubles(&length_{i + 1})"
    if kind == "const int64_t *" and function == "taper_tensor_from_buffer":
        return "pick_strides()"
    if length and kind in ("const double *", "double *"):
        return f"({kind})pick_buffer(&length_{i + 1}, 8)"
    if kind in ("const int64_t *", "const double *", "const _Bool *"):
        # An optional number.
        return f"pick_optional_{kind.split()[1].removesuffix('_t').lower().strip('_')}()"
    if length and params[i + 1][1] in BYTES | {"buf_len"}:
        return f"pick_buffer(&length_{i + 1}, {8 if 'int64' in kind or 'double' in kind else 1})"
    if kind in ("void *", "const void *"):
        return "pick_data()" if name == "data" else "NULL"
    if "(*" in kind or kind.startswith(("struct DLManagedTensor", "struct Arrow")):
        return "NULL"
    raise SystemExit(f"arguments.py does not know how to draw {function}({kind} {name}); teach it")


OUTS = {"out", "id", "needed", "ndim", "output_nr"}
table = []
for result, function, params in header.functions:
    print(f"static void call_{function[6:]}(void)\n{{")
    print("    outs_used = 0;")
    lengths, names = [], []
    for i, (kind, _) in enumerate(params):
        if kind == "size_t" and i and "length_%d" % i in draw(function, params, i - 1):
            lengths.append(i)
            print(f"    size_t length_{i} = 0;")
    for i, (kind, _) in enumerate(params):
        if i in lengths:
            names.append(f"length_{i}")
            continue
        names.append(f"a{i}")
        kind = "taper_error *(*a%d)(void *, taper_module *)" % i if "(*" in kind else f"{kind} a{i}"
        print(f"    {kind} = {draw(function, params, i)};")
    call = f"{function}({', '.join(names)})"
    if "taper_error *" == result and function not in ("taper_error_new", "taper_error_cause"):
        print(f"    check({call});")
        for i, (kind, _) in enumerate(params):
            # What DLPack hands out has no free function: taking it back calls its deleter.
            if kind.startswith("struct DLManagedTensor") and kind.endswith("**"):
                print(
                    f"    if (a{i} && *a{i})\n        take_back({function.replace('to_dlpack', 'from_dlpack')}(*a{i}, &back));"
                )
                print(f"    if (a{i})\n        *a{i} = NULL;")
    elif result == "taper_error *":
        print(f"    taper_error_free({call});")
    else:
        print(f"    (void){call};")
    print("}\n")
    table.append(function)

print("static const struct {\n    const char *name;\n    void (*call)(void);\n} functions[] = {")
for function in table:
    print(f'    {{"{function}", call_{function[6:]}}},')
print("};")
