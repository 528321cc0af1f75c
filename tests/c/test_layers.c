/* Every layer with its defaults: the printed form, the keys and the seeded values are those of Python's classes
   (tests/fixtures/layers.txt). */
#include "harness.h"

#include <stdarg.h>

#include "layers_gen.h"

static char line[1 << 14];
static size_t used;

static void add(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    used += (size_t)vsnprintf(line + used, sizeof line - used, format, arguments);
    va_end(arguments);
}

static uint64_t hash(taper_tensor *t)
{
    size_t bytes = (size_t)taper_tensor_numel(t) * (taper_tensor_dtype(t) == TAPER_INT64 ? 8 : 4);
    unsigned char *data = malloc(bytes + 1);
    OK(taper_tensor_copy_to_host(t, data, bytes));
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes; ++i)
        h = (h ^ data[i]) * 0x100000001b3u;
    free(data);
    return h;
}

/* The line of a module, as make_layers.py writes it. */
static void describe(const char *name, taper_module *m)
{
    taper_string *text;
    taper_named_tensors *state;
    used = 0;
    OK(taper_module_to_string(m, &text));
    add("%s|", name);
    for (const char *c = taper_string_data(text); *c; ++c)
        add(*c == '\n' ? "\\n" : "%c", *c);
    CHECK(taper_string_free(text));
    OK(taper_module_state_dict(m, &state));
    for (size_t i = 0; i < taper_named_tensors_len(state); ++i) {
        taper_tensor *t;
        add("|%s", taper_named_tensors_name(state, i));
        if (strncmp(name, "Lazy", 4) == 0)
            continue;
        OK(taper_named_tensors_get(state, i, &t));
        add(" %d ", (int)taper_tensor_dtype(t));
        for (int64_t d = 0; d < taper_tensor_ndim(t); ++d)
            add("%s%lld", d ? "," : "", (long long)taper_tensor_size(t, d));
        add(" %016" PRIx64, hash(t));
        CHECK(taper_tensor_free(t));
    }
    CHECK(taper_named_tensors_free(state));
    add("\n");
}

int main(void)
{
    static char wanted[1 << 14];
    FILE *f = fopen("tests/fixtures/layers.txt", "r");
    CHECK(f != NULL);
    if (!f)
        return 1;
    const char *name = "";
    int n = 0;
    for (;; ++n) {
        bool more = fgets(wanted, sizeof wanted, f) != NULL;
        for (int with_options = 0; with_options < 2; ++with_options) {
            taper_module *m = NULL;
            taper_manual_seed(0);
            bool made = make_layer(n, with_options, &name, &m);
            CHECK_INT(made, more);
            if (!made)
                continue;
            describe(name, m);
            checks_made++;
            if (strcmp(line, wanted) != 0) {
                checks_failed++;
                fprintf(stderr, "%s%s:\n  got      %s  expected %s", name, with_options ? " with options" : "", line, wanted);
            }
            CHECK(taper_module_free(m));
        }
        if (!more)
            break;
    }
    fclose(f);
    CHECK(n > 100);
    return finish("layers");
}
