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

/* A table that is given, and one that is not trained. */
static void given_tables(void)
{
    const float v[] = {1, 2, 3, 4, 5, 6};
    const int64_t two = 2, one = 1;
    taper_tensor *table = floats(v, 3, 2), *index = NULL, *out = NULL, *weight = NULL;
    OK(taper_tensor_from_data(&two, &one, 1, TAPER_INT64, TAPER_CPU, &index));
    for (int freeze = 0; freeze < 2; ++freeze) {
        taper_nn_embedding_options o = TAPER_NN_EMBEDDING_OPTIONS_INIT;
        o.weight = table, o.freeze = freeze;
        taper_module *m = NULL;
        OK(taper_nn_embedding_create(3, 2, &o, &m));
        OK(taper_module_forward(m, &index, 1, &out));
        CHECK(at(out, 0) == 5 && at(out, 1) == 6);
        OK(taper_module_get_parameter(m, "weight", &weight));
        CHECK(taper_tensor_storage_id(weight) == taper_tensor_storage_id(table)); /* shared, as with PyTorch */
        CHECK_INT(taper_tensor_requires_grad(weight), !freeze);
        CHECK(!taper_tensor_requires_grad(table));
        CHECK(taper_tensor_free(out) && taper_tensor_free(weight) && taper_module_free(m));
    }
    taper_nn_embedding_options o = TAPER_NN_EMBEDDING_OPTIONS_INIT;
    o.weight = table;
    taper_module *none = NULL;
    FAILS(taper_nn_embedding_create(2, 2, &o, &none), TAPER_ERROR_VALUE,
          "Shape of weight does not match num_embeddings and embedding_dim");
    o.weight = index;
    FAILS(taper_nn_embedding_create(1, 1, &o, &none), TAPER_ERROR_VALUE, "Shape of weight");
    CHECK(none == NULL && taper_tensor_free(table) && taper_tensor_free(index));
}

static taper_error *count(void *user, taper_module *m, taper_tensor *const *inputs, size_t n, taper_tensor *output,
                          taper_tensor **replacement)
{
    (void)m, (void)inputs, (void)n, (void)output, (void)replacement;
    ++*(int *)user;
    return NULL;
}

/* A forward that takes more than tensors, with the module's hooks. */
static void output_sizes(void)
{
    const int64_t three[] = {3}, eight[] = {8, 8}, nine[] = {9, 9}, sizes[] = {1, 1, 3, 3};
    int runs = 0;
    taper_nn_conv_transpose_options o = TAPER_NN_CONV_TRANSPOSE_OPTIONS_INIT;
    const int64_t two[] = {2};
    o.stride = two, o.stride_len = 1;
    taper_module *m = NULL, *other = NULL;
    OK(taper_nn_conv_transpose2d_create(1, 1, three, 1, &o, &m));
    OK(taper_nn_identity_create(NULL, &other));
    taper_module_hook_vtable hook = TAPER_MODULE_HOOK_VTABLE_INIT;
    hook.after = count;
    uint64_t id = 0;
    OK(taper_module_register_forward_hook(m, &hook, &runs, &id));
    taper_tensor *x = NULL, *y = NULL;
    OK(taper_ones(sizes, 4, TAPER_FLOAT32, TAPER_CPU, &x));
    OK(taper_nn_conv_transpose2d_forward(m, x, NULL, 0, &y));
    CHECK_INT(taper_tensor_size(y, -1), 7);
    CHECK(taper_tensor_free(y));
    OK(taper_nn_conv_transpose2d_forward(m, x, eight, 2, &y));
    CHECK_INT(taper_tensor_size(y, -1), 8);
    CHECK(taper_tensor_free(y));
    y = NULL;
    FAILS(taper_nn_conv_transpose2d_forward(m, x, nine, 2, &y), TAPER_ERROR_VALUE,
          "requested an output size of [9, 9], but valid sizes range from [7, 7] to [8, 8]");
    FAILS(taper_nn_conv_transpose2d_forward(other, x, eight, 2, &y), TAPER_ERROR_TYPE,
          "Identity.forward() takes no arguments besides its inputs");
    FAILS(taper_nn_conv_transpose2d_forward(m, x, NULL, 1, &y), TAPER_ERROR_VALUE, "output_size");
    CHECK_INT(runs, 2);
    CHECK(y == NULL && taper_tensor_free(x) && taper_module_free(m) && taper_module_free(other));
}

/* Numbers that depend on their place, as in tests/attention.rs. */
static taper_tensor *numbers(int64_t batch, int64_t time, int salt)
{
    float values[64];
    const int64_t sizes[] = {batch, time, 8};
    const size_t n = (size_t)(batch * time * 8);
    for (size_t k = 0; k < n; ++k)
        values[k] = (float)((k * 37 + 11 + (size_t)salt * 13) % 101) / 50 - 1;
    taper_tensor *t = NULL;
    OK(taper_tensor_from_data(values, sizes, 3, TAPER_FLOAT32, TAPER_CPU, &t));
    return t;
}

/* Ten steps of a small Transformer: the losses are PyTorch's. */
static void transformer(void)
{
    taper_nn_transformer_options o = TAPER_NN_TRANSFORMER_OPTIONS_INIT;
    o.d_model = 8, o.nhead = 2, o.num_encoder_layers = 1, o.num_decoder_layers = 1, o.dim_feedforward = 16;
    o.dropout = 0, o.batch_first = 1;
    taper_module *m = NULL;
    taper_tensor_list *parameters = NULL;
    taper_tensor *mask = NULL;
    taper_optimizer *adam = NULL;
    taper_adam_options a = TAPER_ADAM_OPTIONS_INIT;
    a.lr = 0.01;
    taper_manual_seed(2);
    OK(taper_nn_transformer_create(&o, &m));
    OK(taper_module_parameters(m, &parameters));
    OK(taper_optim_adam_new_from_list(parameters, &a, &adam));
    OK(taper_generate_square_subsequent_mask(3, TAPER_FLOAT32, TAPER_CPU, &mask));
    FILE *f = fopen("tests/fixtures/transformer.txt", "r");
    CHECK(f != NULL);
    double wanted = 0;
    int step = 0;
    for (; f && fscanf(f, "%lf", &wanted) == 1; ++step) {
        taper_tensor *x = numbers(2, 4, step), *y = numbers(2, 3, step + 1), *out = NULL, *loss = NULL;
        taper_scalar value;
        OK(taper_optimizer_zero_grad(adam, true));
        OK(taper_nn_transformer_forward(m, x, y, NULL, mask, NULL, NULL, NULL, NULL, NULL, NULL, false, &out));
        OK(taper_mse_loss(out, y, "mean", &loss));
        OK(taper_backward(&loss, 1, NULL, 0, false, false, NULL, 0));
        OK(taper_optimizer_step(adam));
        OK(taper_tensor_item(loss, &value));
        CHECK(value.f - wanted < 1e-4 && wanted - value.f < 1e-4);
        CHECK(taper_tensor_free(x) && taper_tensor_free(y) && taper_tensor_free(out) && taper_tensor_free(loss));
    }
    CHECK_INT(step, 10);
    if (f)
        fclose(f);
    CHECK(taper_optimizer_free(adam) && taper_tensor_list_free(parameters) && taper_tensor_free(mask));
    CHECK(taper_module_free(m));
}

/* Inputs and outputs that may be absent, modules among the arguments, copies. */
static void attention(void)
{
    taper_module *m = NULL, *layer = NULL, *stack = NULL, *copy = NULL, *other = NULL;
    taper_tensor *x = numbers(2, 4, 0), *y = NULL, *weights = NULL, *mask = NULL;
    OK(taper_nn_multihead_attention_create(8, 2, NULL, &m));
    OK(taper_nn_identity_create(NULL, &other));
    OK(taper_generate_square_subsequent_mask(2, TAPER_FLOAT32, TAPER_CPU, &mask));
    OK(taper_nn_multihead_attention_forward(m, x, x, x, NULL, mask, true, false, false, &y, &weights));
    CHECK(taper_tensor_size(weights, 0) == 4 && taper_tensor_size(weights, 1) == 2 && taper_tensor_size(weights, 3) == 2);
    CHECK(taper_tensor_free(y) && taper_tensor_free(weights));
    OK(taper_nn_multihead_attention_forward(m, x, x, x, NULL, NULL, false, true, false, &y, &weights));
    CHECK(weights == NULL && taper_tensor_free(y));
    OK(taper_nn_multihead_attention_forward(m, x, x, x, NULL, NULL, true, true, false, &y, NULL));
    CHECK(taper_tensor_free(y));
    FAILS(taper_nn_multihead_attention_forward(m, x, NULL, x, NULL, NULL, true, true, false, &y, NULL), TAPER_ERROR_INVALID_HANDLE,
          "key");
    FAILS(taper_nn_multihead_attention_forward(m, x, x, x, NULL, NULL, true, true, true, &y, NULL), TAPER_ERROR_RUNTIME,
          "Need attn_mask if specifying the is_causal hint");
    FAILS(taper_nn_multihead_attention_forward(other, x, x, x, NULL, NULL, true, true, false, &y, NULL), TAPER_ERROR_TYPE,
          "Identity.forward() takes no arguments besides its inputs");
    CHECK(taper_module_free(m));
    m = NULL;
    FAILS(taper_nn_multihead_attention_create(8, 3, NULL, &m), TAPER_ERROR_VALUE, "embed_dim must be divisible by num_heads");
    taper_nn_transformer_encoder_layer_options o = TAPER_NN_TRANSFORMER_ENCODER_LAYER_OPTIONS_INIT;
    o.activation = "tanh";
    FAILS(taper_nn_transformer_encoder_layer_create(8, 2, &o, &layer), TAPER_ERROR_RUNTIME,
          "activation should be relu/gelu, not tanh");
    o.activation = "gelu", o.dim_feedforward = 16;
    OK(taper_nn_transformer_encoder_layer_create(8, 2, &o, &layer));
    taper_nn_transformer_encoder_options e = TAPER_NN_TRANSFORMER_ENCODER_OPTIONS_INIT;
    const int64_t eight[] = {8};
    OK(taper_nn_layer_norm_create(eight, 1, NULL, &e.norm));
    FAILS(taper_nn_transformer_encoder_create(NULL, 2, &e, &stack), TAPER_ERROR_INVALID_HANDLE, "encoder_layer");
    OK(taper_nn_transformer_encoder_create(layer, 2, &e, &stack));
    OK(taper_module_deepcopy(stack, &copy));
    CHECK(taper_module_num_children(copy) == 2);
    OK(taper_nn_transformer_encoder_forward(copy, x, NULL, NULL, NULL, &y));
    CHECK_INT(taper_tensor_size(y, 1), 4);
    CHECK(taper_tensor_free(y) && taper_tensor_free(x) && taper_tensor_free(mask) && taper_module_free(e.norm));
    CHECK(taper_module_free(layer) && taper_module_free(stack) && taper_module_free(copy) && taper_module_free(other));
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
    given_tables();
    output_sizes();
    attention();
    transformer();
    return finish("layers");
}
