/* A small Transformer reads Shakespeare's sonnets, letter by letter, and goes on in their manner:
 * scripts/example.sh c char_transformer [--quick] [PICTURE] */
#include "example.h"
#include <math.h>

enum { CONTEXT = 48, BATCH = 16, WIDTH = 64, HEADS = 4, LAYERS = 2, MOST = 100000, STEPS = 1000, SAID = 400, BEGIN = 20 };

/* The text as numbers of letters, and the letters. */
typedef struct {
    int64_t codes[MOST], n, kinds;
    char letters[256];
} text;

typedef struct {
    taper_module *letter, *place, *layers, *head, *all;
    taper_tensor *mask;
} model;

static taper_error *read_text(text *t) {
    static unsigned char bytes[MOST];
    bool used[256] = {false};
    int64_t number[256] = {0};
    FILE *file = fopen("data/sonnets/sonnets.txt", "rb");
    if (file != NULL) t->n = (int64_t)fread(bytes, 1, MOST, file);
    if (file == NULL || fclose(file) != 0) {
        return taper_error_new(TAPER_ERROR_IO, "cannot read data/sonnets (run from the root of the checkout)", NULL, NULL);
    }
    t->kinds = 0;
    for (int64_t i = 0; i < t->n; i++) used[bytes[i]] = true;
    for (int c = 0; c < 256; c++) {
        if (!used[c]) continue;
        number[c] = t->kinds;
        t->letters[t->kinds++] = (char)c;
    }
    for (int64_t i = 0; i < t->n; i++) t->codes[i] = number[bytes[i]];
    return NULL;
}

static taper_error *model_new(int64_t letters, model *m) {
    taper_module *layer = NULL;
    taper_nn_transformer_encoder_layer_options options = TAPER_NN_TRANSFORMER_ENCODER_LAYER_OPTIONS_INIT;
    const int64_t square[] = {CONTEXT, CONTEXT};
    options.dim_feedforward = 4 * WIDTH;
    options.dropout = 0;
    options.batch_first = options.norm_first = 1;
    TAPER_TRY(taper_nn_embedding_new(letters, WIDTH, NULL, &m->letter));
    TAPER_TRY(taper_nn_embedding_new(CONTEXT, WIDTH, NULL, &m->place));
    TAPER_TRY(taper_nn_transformer_encoder_layer_create(WIDTH, HEADS, &options, &layer));
    TAPER_TRY(taper_nn_transformer_encoder_create(layer, LAYERS, NULL, &m->layers)); /* copies the layer */
    taper_module_free(layer);
    TAPER_TRY(taper_nn_linear_new(WIDTH, letters, true, &m->head));
    taper_module *parts[] = {m->letter, m->place, m->layers, m->head};
    TAPER_TRY(taper_nn_sequential_new(parts, 4, &m->all)); /* for its parameters */
    /* No position sees a later one. */
    TAPER_TRY(taper_full(square, 2, taper_scalar_f64(-INFINITY), TAPER_FLOAT32, TAPER_CPU, &m->mask));
    return taper_triu(m->mask, 1, &m->mask);
}

/* Letters [batch, n] to the odds of each next letter [batch, n, letters]. */
static taper_error *odds_of(const model *m, taper_tensor *x, taper_tensor **out) {
    const int64_t n = taper_tensor_size(x, 1);
    taper_tensor *place = NULL, *h = NULL, *mask = NULL;
    TAPER_TRY(call(m->letter, x, &h));
    TAPER_TRY(taper_arange(taper_scalar_i64(n), TAPER_INT64, TAPER_CPU, &place));
    TAPER_TRY(call(m->place, place, &place));
    TAPER_TRY(taper_add(h, place, taper_scalar_i64(1), &h));
    TAPER_TRY(taper_narrow(m->mask, 0, 0, n, &mask));
    TAPER_TRY(taper_narrow(mask, 1, 0, n, &mask));
    TAPER_TRY(taper_nn_transformer_encoder_forward(m->layers, h, mask, NULL, NULL, &h));
    return call(m->head, h, out);
}

static taper_error *step(const model *m, taper_optimizer *optimizer, taper_tensor *codes, int64_t kinds, double *loss) {
    const int64_t column[] = {BATCH, 1}, rows[] = {-1, kinds}, flat = -1;
    taper_tensor *window = NULL, *places = NULL, *x = NULL, *next = NULL, *odds = NULL;
    TAPER_TRY(taper_randint(taper_tensor_size(codes, 0) - CONTEXT, column, 2, NULL, TAPER_INT64, TAPER_CPU, &window));
    TAPER_TRY(taper_arange(taper_scalar_i64(CONTEXT + 1), TAPER_INT64, TAPER_CPU, &places));
    TAPER_TRY(taper_add(window, places, taper_scalar_i64(1), &window));
    TAPER_TRY(taper_index(codes, &window, 1, &x)); /* each row a piece of the text, with the letter after it */
    TAPER_TRY(taper_narrow(x, 1, 1, CONTEXT, &next));
    TAPER_TRY(taper_narrow(x, 1, 0, CONTEXT, &x));
    TAPER_TRY(odds_of(m, x, &odds));
    TAPER_TRY(taper_reshape(odds, rows, 2, &odds));
    TAPER_TRY(taper_reshape(next, &flat, 1, &next));
    TAPER_TRY(taper_cross_entropy(odds, next, NULL, -100, "mean", 0, &odds));
    TAPER_TRY(descend(optimizer, odds));
    return item(odds, loss);
}

/* Draws the letter after the last ones of `said`. */
static taper_error *say(const model *m, const int64_t *said, int64_t n, int64_t *letter) {
    const int64_t seen = n < CONTEXT ? n : CONTEXT, size[] = {1, seen};
    taper_tensor *x = NULL;
    double value = 0;
    TAPER_TRY(taper_tensor_from_data(said + n - seen, size, 2, TAPER_INT64, TAPER_CPU, &x));
    TAPER_TRY(odds_of(m, x, &x));
    TAPER_TRY(taper_select(x, 0, 0, &x));
    TAPER_TRY(taper_select(x, 0, -1, &x));
    TAPER_TRY(taper_div_scalar(x, taper_scalar_f64(0.7), &x));
    TAPER_TRY(taper_softmax(x, 0, TAPER_DTYPE_NONE, &x));
    TAPER_TRY(taper_multinomial(x, 1, false, NULL, &x));
    TAPER_TRY(item(x, &value));
    *letter = (int64_t)value;
    return NULL;
}

static taper_error *run(const options *o) {
    static text t;
    static double losses[STEPS];
    model m;
    taper_adam_options adam_options = TAPER_ADAMW_OPTIONS_INIT; /* weight decay of 0.01 */
    taper_optimizer *optimizer = NULL;
    taper_tensor_list *parameters = NULL;
    taper_tensor *codes = NULL, *curve = NULL;
    const int64_t steps = o->quick ? 10 : STEPS, length = o->quick ? 40 : SAID;
    int64_t said[BEGIN + SAID], count = 0;
    taper_manual_seed(0);
    TAPER_TRY(read_text(&t));
    TAPER_TRY(taper_tensor_from_data(t.codes, &t.n, 1, TAPER_INT64, TAPER_CPU, &codes));
    TAPER_TRY(model_new(t.kinds, &m));
    adam_options.lr = 2e-3;
    TAPER_TRY(adam(m.all, &adam_options, &optimizer));
    TAPER_TRY(taper_module_parameters(m.all, &parameters));
    for (size_t i = 0; i < taper_tensor_list_len(parameters); i++) {
        TAPER_TRY(taper_tensor_list_get(parameters, i, &curve));
        count += taper_tensor_numel(curve);
    }
    taper_tensor_list_free(parameters);
    printf("%d letters of %d kinds, %d parameters\n", (int)t.n, (int)t.kinds, (int)count);

    for (int i = 1; i <= steps; i++) {
        taper_scope_begin(); /* what one step makes is freed at its end */
        TAPER_TRY(step(&m, optimizer, codes, t.kinds, &losses[i - 1]));
        TAPER_TRY(taper_scope_end());
        if (i % (o->quick ? 5 : 100) == 0) printf("step %4d  loss %.3f\n", i, losses[i - 1]);
    }

    TAPER_TRY(taper_module_train(m.all, false));
    taper_set_grad_mode(false);
    for (int64_t i = 0; i < BEGIN + length; i++) {
        said[i] = t.codes[i];
        taper_scope_begin();
        if (i >= BEGIN) TAPER_TRY(say(&m, said, i, &said[i]));
        TAPER_TRY(taper_scope_end());
        putchar(t.letters[said[i]]);
    }
    putchar('\n');
    TAPER_TRY(taper_tensor_from_data(losses, &steps, 1, TAPER_FLOAT64, TAPER_CPU, &curve));
    TAPER_TRY(taper_save_plot(&curve, 1, o->path, "loss", "Reading the sonnets, letter by letter", 0, 0));
    printf("drawn: %s\n", o->path);
    taper_optimizer_free(optimizer);
    taper_module *const parts[] = {m.letter, m.place, m.layers, m.head, m.all};
    for (int i = 0; i < 5; i++) taper_module_free(parts[i]);
    return NULL;
}

int main(int argc, char **argv) { return example_main(argc, argv, "char_transformer.png"); }
