"""Runs the cases of cases.txt in one language and compares:  tests/behaviour/run.py c|cpp|go|python [DEVICE]

A program of all cases is written, compiled with warnings as errors, and run; it prints a line for each case. It makes the
device in TAPER_TEST_DEVICE its default device. TAPER_LIBRARY_DIR names the folder of libtaper.so.
"""

import os
import re
import subprocess
import sys

from suite import ROOT, DType, T, bind, read_cases, read_ops, tensors

LIB = os.path.abspath(os.environ.get("TAPER_LIBRARY_DIR", os.path.join(ROOT, "target/release")))
OUT = os.path.join(ROOT, "target/behaviour")


def camel(name):
    return "".join(p[:1].upper() + p[1:] for p in name.split("_"))


class Language:
    """Names of things, and how a value of each kind of parameter is written."""

    true, false = "true", "false"

    def number(self, v):
        if v != v:
            return self.nan
        if v in (float("inf"), float("-inf")):
            return ("-" if v < 0 else "") + self.inf
        if isinstance(v, bool):
            return self.true if v else self.false
        return repr(v)

    def numbers(self, values):
        return ", ".join(self.number(v) for v in values)

    def elements(self, t):
        floats = t.dtype in ("f32", "f64")
        return self.numbers(float(v) if floats else int(v) if t.dtype != "b" else bool(v) for v in t.flat)


class C(Language):
    nan, inf = "NAN", "INFINITY"
    types = {"f32": "float", "f64": "double", "i64": "int64_t", "i32": "int32_t", "u8": "uint8_t", "b": "bool"}
    codes = {"f32": "FLOAT32", "f64": "FLOAT64", "i64": "INT64", "i32": "INT32", "u8": "UINT8", "b": "BOOL"}

    def case(self, i, case, op):
        values, _ = bind(op, case)
        body, made, args = [], iter(range(99)), []

        def tensor(t):
            k = next(made)
            data = self.elements(t) or "0"
            body.append(f"    const {self.types[t.dtype]} data{k}[] = {{{data}}};")
            body.append(f"    const int64_t sizes{k}[] = {{{self.numbers(t.sizes) or 0}}};")
            body.append(f"    taper_tensor *t{k} = NULL;")
            rank, code = len(t.sizes), self.codes[t.dtype]
            body.append(
                f"    TAPER_TRY(taper_tensor_from_data(data{k}, sizes{k}, {rank}, TAPER_{code}, TAPER_DEVICE_NONE, &t{k}));"
            )
            return f"t{k}"

        def scalar(v):
            kind = "bool" if isinstance(v, bool) else "i64" if isinstance(v, int) else "f64"
            return f"taper_scalar_{kind}({self.number(v)})"

        for kind, name, _ in op.params:
            v = values[name]
            optional = kind.endswith("?")
            kind = kind.rstrip("?")
            if kind == "Tensor":
                args.append("NULL" if v is None else tensor(v))
            elif kind == "Tensor[]":
                body.append(f"    taper_tensor *{name}[] = {{{', '.join([tensor(x) for x in v])}}};")
                args.append(f"{name}, {len(v)}")
            elif kind == "int[]":
                if v is None:
                    args.append("NULL, 0")
                else:
                    body.append(f"    const int64_t {name}[] = {{{self.numbers(v) or 0}}};")
                    args.append(f"{name}, {len(v)}")
            elif kind == "ScalarType":
                args.append(f"TAPER_{self.codes[v.name]}" if isinstance(v, DType) else "TAPER_DTYPE_NONE")
            elif kind == "Device":
                args.append("TAPER_DEVICE_NONE")
            elif kind == "str":
                args.append("NULL" if v is None else f'"{v}"')
            elif optional:
                if v is None:
                    args.append("NULL")
                else:
                    c = {"Scalar": "taper_scalar", "int": "int64_t", "float": "double", "bool": "bool"}[kind]
                    body.append(f"    const {c} {name} = {scalar(v) if kind == 'Scalar' else self.number(v)};")
                    args.append(f"&{name}")
            else:
                args.append(scalar(v) if kind == "Scalar" else self.number(v))
        if case.grad:
            leaf = next(k for k, t in enumerate(tensors(case)) if t.dtype in ("f32", "f64"))
            body.append(f"    TAPER_TRY(taper_tensor_set_requires_grad(t{leaf}, true));")
        if op.returns == "bool":
            body.append("    bool r = false;")
            outs, show = ["&r"], ['    line(r ? "True" : "False");']
        elif op.returns == "Tensor[]":
            body.append("    taper_tensor_list *list = NULL;")
            outs, show = ["&list"], ["    TAPER_TRY(show_list(list));"]
        else:
            n = op.returns.count("Tensor")
            body.append("    taper_tensor " + ", ".join(f"*r{k} = NULL" for k in range(n)) + ";")
            outs, show = [f"&r{k}" for k in range(n)], [f"    TAPER_TRY(show(r{k}));" for k in range(n)]
        body.append(f"    TAPER_TRY(taper_{op.c_name}({', '.join(args + outs)}));")
        if case.grad:
            show = [f"    TAPER_TRY(show_grad(t{leaf}, r0));"]
            body += [f"    (void)r{k};" for k in range(1, op.returns.count("Tensor"))]
        return f"static taper_error *case{i}(void)\n{{\n" + "\n".join(body + show) + "\n    return NULL;\n}\n"

    def program(self, cases, ops):
        functions = "\n".join(self.case(i, c, ops[c.op]) for i, c in enumerate(cases))
        table = ", ".join(f"case{i}" for i in range(len(cases)))
        return f"""#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <taper.h>
static const char *between = "";
static void line(const char *text)
{{
    fputs(between, stdout);
    for (; *text; text++) {{
        if (*text == '\\n')
            fputs("\\\\n", stdout);
        else
            putchar(*text);
    }}
    between = "\\\\n";
}}
static taper_error *show(taper_tensor *t)
{{
    taper_string *s = NULL;
    TAPER_TRY(taper_tensor_to_string(t, &s));
    line(taper_string_data(s));
    return NULL;
}}
static taper_error *show_list(taper_tensor_list *l)
{{
    for (size_t i = 0; i < taper_tensor_list_len(l); i++) {{
        taper_tensor *t = NULL;
        TAPER_TRY(taper_tensor_list_get(l, i, &t));
        TAPER_TRY(show(t));
    }}
    return NULL;
}}
static taper_error *show_grad(taper_tensor *leaf, taper_tensor *y)
{{
    taper_tensor *sum = NULL, *grad = NULL;
    TAPER_TRY(taper_sum(y, TAPER_DTYPE_NONE, &sum));
    TAPER_TRY(taper_backward(&sum, 1, NULL, 0, false, false, NULL, 0));
    TAPER_TRY(taper_tensor_grad(leaf, &grad));
    return show(grad);
}}
{functions}
int main(void)
{{
    taper_error *(*const cases[])(void) = {{{table}}};
    taper_device device;
    taper_error *bad = taper_device_parse(getenv("TAPER_TEST_DEVICE"), &device);
    if (!bad)
        bad = taper_set_default_device(device);
    if (bad) {{
        fputs(taper_error_message(bad), stderr);
        return 1;
    }}
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {{
        between = "= ";
        taper_scope_begin();
        taper_error *e = cases[i]();
        if (e) {{
            between = "! ";
            line(taper_error_message(e));
            taper_error_free(e);
        }}
        taper_error_free(taper_scope_end());
        putchar('\\n');
    }}
    return taper_handle_count() != 0;
}}
"""

    def build(self, source):
        flags = "-std=c11 -Wall -Wextra -pedantic -Werror".split()
        program = os.path.join(OUT, "c.out")
        link = [f"-L{LIB}", "-ltaper", f"-Wl,-rpath,{LIB}", "-lm"]
        subprocess.run(["cc", *flags, f"-I{ROOT}/include", source, "-o", program, *link], check=True)
        return [program]

    file = "cases.c"


class Cpp(Language):
    nan, inf = "std::numeric_limits<double>::quiet_NaN()", "std::numeric_limits<double>::infinity()"
    types = C.types | {"b": "uint8_t"}
    dtypes = {"f32": "float32", "f64": "float64", "i64": "int64", "i32": "int32", "u8": "uint8", "b": "boolean"}
    file = "cases.cpp"

    def tensor(self, t):
        data = self.numbers(int(v) for v in t.flat) if t.dtype in ("b", "u8") else self.elements(t)
        c = self.types[t.dtype]
        if c == "float":
            data = ", ".join(f"float({x})" for x in data.split(", ")) if data else ""
        sizes = f"IntList(std::vector<int64_t>{{{self.numbers(t.sizes)}}})"
        return f"tensor(std::vector<{c}>{{{data}}}, {sizes}, {self.dtypes[t.dtype]})"

    def write(self, v, kind, names):
        if isinstance(v, T):
            return next(names)
        if isinstance(v, DType):
            return self.dtypes[v.name]
        if v is None:
            return "{}" if kind in ("Tensor?", "Device?") else "std::nullopt"
        if isinstance(v, list):
            if kind.startswith("Tensor"):
                return "std::vector<Tensor>{" + ", ".join(self.write(x, "", names) for x in v) + "}"
            return "IntList(std::vector<int64_t>{" + self.numbers(v) + "})"
        return f'"{v}"' if isinstance(v, str) else self.number(v)

    def case(self, case, op):
        values, given = bind(op, case)
        params = op.params
        while params and params[-1][1] not in given:
            params = params[:-1]
        made = tensors(case)
        names = iter([f"t{k}" for k in range(len(made))])
        args = ", ".join(self.write(values[name], kind, names) for kind, name, _ in params)
        body = [f"Tensor t{k} = {self.tensor(t)};" for k, t in enumerate(made)]
        if case.grad:
            leaf = next(k for k, t in enumerate(made) if t.dtype in ("f32", "f64"))
            body.append(f"t{leaf}.requires_grad_();")
        space = "nn::functional::" if op.where == "nn" else "taper::"
        name = op.name + "_" if op.name in ("eq_",) else op.name
        if op.where == "method":
            first, _, rest = args.partition(", ")
            call = f"{first}.{name}({rest})"
        else:
            call = f"{space}{name}({args})"
        body.append(f"show_grad(t{leaf}, {call});" if case.grad else f"show({call});")
        return "    run([] {\n        " + "\n        ".join(body) + "\n    });\n"

    def program(self, cases, ops):
        body = "".join(self.case(c, ops[c.op]) for c in cases)
        return f"""#include <taper.hpp>

#include <cstdlib>
#include <iostream>
#include <limits>
using namespace taper;
static const char *between = "";
static void line(const std::string &text) {{
    std::cout << between;
    for (const char c : text) {{
        c == '\\n' ? std::cout << "\\\\n" : std::cout << c;
    }}
    between = "\\\\n";
}}
static void show(const Tensor &t) {{ line(t.str()); }}
static void show(bool v) {{ line(v ? "True" : "False"); }}
static void show(const std::vector<Tensor> &list) {{
    for (const Tensor &t : list) {{
        show(t);
    }}
}}
static void show(const std::tuple<Tensor, Tensor> &two) {{
    show(std::get<0>(two));
    show(std::get<1>(two));
}}
static void show_grad(const Tensor &leaf, const Tensor &y) {{
    y.sum().backward();
    show(leaf.grad());
}}
[[maybe_unused]] static void show_grad(const Tensor &leaf, const std::tuple<Tensor, Tensor> &two) {{
    show_grad(leaf, std::get<0>(two));
}}
template <class F> static void run(F f) {{
    between = "= ";
    try {{
        f();
    }} catch (const Error &e) {{
        between = "! ";
        line(e.what());
    }}
    std::cout << '\\n';
}}
int main() {{
    set_default_device(Device(std::getenv("TAPER_TEST_DEVICE")));
{body}    return taper_handle_count() != 0;
}}
"""

    def build(self, source):
        flags = "-std=c++17 -Wall -Wextra -pedantic -Werror -O0".split()
        program = os.path.join(OUT, "cpp.out")
        link = [f"-L{LIB}", "-ltaper", f"-Wl,-rpath,{LIB}"]
        include = [f"-I{ROOT}/include", f"-I{ROOT}/bindings/cpp"]
        subprocess.run(["g++", *flags, *include, source, "-o", program, *link], check=True)
        return [program]


class Go(Language):
    nan, inf = "math.NaN()", "math.Inf(1)"
    types = {"f32": "float32", "f64": "float64", "i64": "int64", "i32": "int32", "u8": "uint8", "b": "bool"}
    dtypes = {"f32": "Float32", "f64": "Float64", "i64": "Int64", "i32": "Int32", "u8": "Uint8", "b": "BoolType"}
    file = "main.go"

    def number(self, v):
        if v == float("-inf"):
            return "math.Inf(-1)"
        return super().number(v)

    def tensor(self, t):
        g = self.types[t.dtype]
        data = self.elements(t)
        if g == "float32" and data:
            data = ", ".join(f"float32({x})" for x in data.split(", "))
        return f"taper.Must(taper.FromSlice([]{g}{{{data}}}, []int64{{{self.numbers(t.sizes)}}}...))"

    def write(self, v, kind, names):
        if isinstance(v, T):
            return next(names)
        if isinstance(v, DType):
            return "taper." + self.dtypes[v.name]
        if isinstance(v, list):
            if kind.startswith("Tensor"):
                return "[]*taper.Tensor{" + ", ".join(self.write(x, "", names) for x in v) + "}"
            return "[]int64{" + self.numbers(v) + "}"
        if kind.startswith("Scalar"):
            maker = "Bool" if isinstance(v, bool) else "Int" if isinstance(v, int) else "Float"
            return f"taper.{maker}({self.number(v)})"
        return f'"{v}"' if isinstance(v, str) else self.number(v)

    def option(self, v, kind, default, names):
        text = self.write(v, kind, names)
        pointer = kind in ("int?", "float?", "bool?") or (kind == "bool" and default == "True")
        pointer = pointer or (kind in ("int", "float") and float(default) != 0)
        if not pointer:
            return text
        return f"taper.Ptr({'int64' if 'int' in kind else 'float64' if 'float' in kind else 'bool'}({text}))"

    def case(self, case, op):
        values, given = bind(op, case)
        made = tensors(case)
        names = iter([f"t{k}" for k in range(len(made))])
        method = bool(op.params) and op.params[0][0] == "Tensor" and op.params[0][1] == "self"
        args, options = [], []
        for kind, name, default in op.params:
            if default is None:
                args.append(self.write(values[name], kind, names))
            elif name in given:
                options.append(f"{camel(name)}: {self.option(values[name], kind, default, names)}")
        if options:
            args.append(f"taper.{camel(op.c_name)}Options{{{', '.join(options)}}}")
        # A closed tensor would do as well: the collector takes them.
        body = [f"t{k} := {self.tensor(t)}" for k, t in enumerate(made)]
        if case.grad:
            leaf = next(k for k, t in enumerate(made) if t.dtype in ("f32", "f64"))
            body.append(f"taper.Check(t{leaf}.SetRequiresGrad(true))")
        call = (
            f"{args[0]}.{camel(op.c_name)}({', '.join(args[1:])})"
            if method
            else f"taper.{camel(op.c_name)}({', '.join(args)})"
        )
        n = 2 if op.returns.startswith("(") else 1
        results = ", ".join(f"r{k}" for k in range(n))
        body.append(f"{results}, err := {call}")
        # A device finds bad indices while it runs, and a tensor's String has no error to return.
        body.append("if err == nil {\n\t\t\terr = taper.DefaultDevice().Synchronize()\n\t\t}")
        body.append("if err != nil {\n\t\t\treturn err\n\t\t}")
        if case.grad:
            body += [f"_ = r{k}" for k in range(1, n)]
            body.append(f"return showGrad(t{leaf}, r0)")
        else:
            body += [f"show(r{k})" for k in range(n)]
            body.append("return nil")
        return "\trun(func() error {\n\t\t" + "\n\t\t".join(body) + "\n\t})\n"

    def program(self, cases, ops):
        body = "".join(self.case(c, ops[c.op]) for c in cases)
        return f"""package main

import (
	"fmt"
	"math"
	"os"
	"strings"

	taper "github.com/taper-torch/taper/bindings/go"
)

var _ = math.Pi
var between string

func line(text string) {{
	fmt.Print(between, strings.ReplaceAll(text, "\\n", "\\\\n"))
	between = "\\\\n"
}}
func show(v any) {{
	switch v := v.(type) {{
	case []*taper.Tensor:
		for _, t := range v {{
			line(t.String())
		}}
	case bool:
		line(strings.Title(fmt.Sprint(v)))
	default:
		line(fmt.Sprint(v))
	}}
}}
func showGrad(leaf, y *taper.Tensor) error {{
	sum, err := y.Sum()
	if err != nil {{
		return err
	}}
	if err := sum.Backward(); err != nil {{
		return err
	}}
	g, err := leaf.Grad()
	show(g)
	return err
}}
func run(f func() error) {{
	between = "= "
	if err := f(); err != nil {{
		between = "! "
		line(err.Error())
	}}
	fmt.Println()
}}
func main() {{
	taper.Check(taper.SetDefaultDevice(taper.Must(taper.ParseDevice(os.Getenv("TAPER_TEST_DEVICE")))))
{body}}}
"""

    def build(self, source):
        folder = os.path.dirname(source)
        with open(os.path.join(folder, "go.mod"), "w") as f:
            module = "github.com/taper-torch/taper/bindings/go"
            f.write(f"module cases\n\ngo 1.24\n\nrequire {module} v0.0.0\n\nreplace {module} => {ROOT}/bindings/go\n")
        env = os.environ | {"CGO_LDFLAGS": f"-L{LIB} -Wl,-rpath,{LIB}", "GOFLAGS": "-mod=mod -tags=taper_checkout"}
        program = os.path.join(OUT, "go.out")
        subprocess.run(["go", "build", "-o", program, "."], cwd=folder, check=True, env=env)
        return [program]


class Python(Language):
    true, false, nan, inf = "True", "False", "float('nan')", "float('inf')"
    dtypes = {"f32": "float32", "f64": "float64", "i64": "int64", "i32": "int32", "u8": "uint8", "b": "bool"}
    file = "cases.py"

    def write(self, v, names):
        if isinstance(v, T):
            return next(names)
        if isinstance(v, DType):
            return "torch." + self.dtypes[v.name]
        if isinstance(v, list):
            return "[" + ", ".join(self.write(x, names) for x in v) + "]"
        return repr(v) if isinstance(v, str) else self.number(v)

    def nested(self, v):
        return "[" + ", ".join(self.nested(x) for x in v) + "]" if isinstance(v, list) else self.number(v)

    def program(self, cases, ops):
        body = ""
        for case in cases:
            op, made = ops[case.op], tensors(case)
            names = iter([f"t{k}" for k in range(len(made))])
            args = [self.write(a, names) for a in case.args]
            args += [f"{k}={self.write(v, names)}" for k, v in case.kwargs.items()]
            lines = [
                f"t{k} = torch.tensor({self.nested(t.nested)}, dtype=torch.{self.dtypes[t.dtype]})"
                for k, t in enumerate(made)
            ]
            call = f"function({op.name!r})({', '.join(args)})"
            if case.op == "cast":
                call = f"{args[0]}.to({args[1]})"
            if case.grad:
                leaf = next(k for k, t in enumerate(made) if t.dtype in ("f32", "f64"))
                lines += [f"t{leaf}.requires_grad_()", f"show_grad(t{leaf}, {call})"]
            else:
                lines.append(f"show({call})")
            body += "@run\ndef _():\n    " + "\n    ".join(lines) + "\n\n\n"
        return f"""import os

import taper as torch
import taper.nn.functional as F

torch.set_default_device(os.environ["TAPER_TEST_DEVICE"])


def function(name):
    family, _, rest = name.partition("_")
    if family in ("linalg", "fft"):
        return getattr(getattr(torch, family), rest)
    return next(getattr(place, name) for place in (torch, F, torch.Tensor) if hasattr(place, name))


def show(result):
    results = result if isinstance(result, (tuple, list)) else [result]
    print("= " + "\\\\n".join(str(r) for r in results).replace("\\n", "\\\\n"))


def show_grad(leaf, result):
    (result[0] if isinstance(result, (tuple, list)) else result).sum().backward()
    show(leaf.grad)


def run(f):
    try:
        f()
    except Exception as e:
        print("! " + str(e).replace("\\n", "\\\\n"))


{body}"""

    def build(self, source):
        os.environ["PYTHONPATH"] = os.path.join(ROOT, "bindings/python")
        os.environ["TAPER_LIBRARY"] = os.path.join(LIB, "libtaper.so")
        return [sys.executable, source]


language = {"c": C, "cpp": Cpp, "go": Go, "python": Python}[sys.argv[1]]()
cases, ops = read_cases(), read_ops()
folder = os.path.join(OUT, sys.argv[1])
os.makedirs(folder, exist_ok=True)
source = os.path.join(folder, language.file)
with open(source, "w") as f:
    f.write(language.program(cases, ops))
device = sys.argv[2] if len(sys.argv) > 2 else "cpu"
command = language.build(source)
environment = os.environ | {"TAPER_TEST_DEVICE": device}
result = subprocess.run(command, capture_output=True, text=True, env=environment)
got = result.stdout.split("\n")[:-1]
failed = result.returncode != 0 or len(got) != len(cases)
if failed:
    print(f"the program ended with {result.returncode} after {len(got)} of {len(cases)} cases\n{result.stderr}")
for case, printed in zip(cases, got, strict=False):
    # On another device every tensor is printed with its name, and is otherwise the same. Its kernels, which find bad
    # indices, know no dimensions by number.
    line, named = re.subn(rf",(\\n)?\s+device='{device}(:\d+)?'", "", printed)
    if device != "cpu" and named != printed.count("tensor("):
        failed = True
        print(f"{case.text}\n  {printed}: not on {device}")
    expected = case.expected
    if "(found by a kernel on" in line:
        expected = re.sub(r"dimension \d+ with", "dimension with", expected)
    # An error begins in PyTorch's words and may go on in ours.
    if not (line == expected or line.startswith("! ") and line.startswith(expected)):
        failed = True
        print(f"{case.text}\n  got      {line}\n  expected {expected}")
print(f"{sys.argv[1]} on {device}: {len(cases)} cases {'FAILED' if failed else 'agree'}")
sys.exit(failed)
