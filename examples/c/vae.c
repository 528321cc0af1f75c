/* A variational autoencoder learns to draw digits:  scripts/example.sh c vae [--quick] [PICTURE]
 *
 * The encoder says for each image where it lies among the codes, as means and variances; the decoder draws an image from
 * a code. Both learn together: the loss is what the drawing lacks, and how far the codes are from a normal distribution,
 * from which new ones are drawn at the end. */
#include "example.h"

enum { CODE = 8, BATCH = 64, IMAGES = 1438 };

typedef struct {
    taper_module *encoder, *decoder, *both;
    taper_optimizer *optimizer;
} vae;

/* Per image: how badly it is drawn, and the divergence of its codes from the normal distribution. */
static taper_error *losses(const vae *v, taper_tensor *x, taper_tensor **drawn, taper_tensor **apart) {
    taper_tensor_list *halves = NULL;
    taper_tensor *mean = NULL, *log_var = NULL, *spread = NULL, *code = NULL, *squares = NULL;
    const int64_t n = taper_tensor_size(x, 0), size[] = {n, CODE};
    const taper_scalar one = taper_scalar_f64(1), half = taper_scalar_f64(0.5), count = taper_scalar_i64(n);
    TAPER_TRY(call(v->encoder, x, &code));
    TAPER_TRY(taper_chunk(code, 2, 1, &halves));
    TAPER_TRY(taper_tensor_list_get(halves, 0, &mean));
    TAPER_TRY(taper_tensor_list_get(halves, 1, &log_var));
    taper_tensor_list_free(halves);

    TAPER_TRY(taper_mul_scalar(log_var, half, &spread));
    TAPER_TRY(taper_exp(spread, &spread));
    TAPER_TRY(taper_randn(size, 2, NULL, TAPER_FLOAT32, TAPER_CPU, &code));
    TAPER_TRY(taper_mul(spread, code, &code));
    TAPER_TRY(taper_add(mean, code, one, &code));
    TAPER_TRY(call(v->decoder, code, drawn));
    TAPER_TRY(taper_binary_cross_entropy_with_logits(*drawn, x, NULL, NULL, "sum", drawn));
    TAPER_TRY(taper_div_scalar(*drawn, count, drawn));

    TAPER_TRY(taper_exp(log_var, apart));
    TAPER_TRY(taper_mul(mean, mean, &squares));
    TAPER_TRY(taper_add(*apart, squares, one, apart));
    TAPER_TRY(taper_sub(*apart, log_var, one, apart));
    TAPER_TRY(taper_sub_scalar(*apart, one, one, apart));
    TAPER_TRY(taper_sum(*apart, TAPER_DTYPE_NONE, apart));
    TAPER_TRY(taper_mul_scalar(*apart, half, apart));
    return taper_div_scalar(*apart, count, apart);
}

static taper_error *epoch(const vae *v, taper_tensor *images, double *loss, double *drawn, double *apart) {
    taper_tensor *order = NULL;
    *loss = 0;
    TAPER_TRY(taper_randperm(IMAGES, NULL, TAPER_INT64, TAPER_CPU, &order));
    for (int64_t start = 0; start < IMAGES; start += BATCH) {
        const int64_t n = IMAGES - start < BATCH ? IMAGES - start : BATCH;
        taper_tensor *x = NULL, *bad = NULL, *far = NULL, *both = NULL;
        double value = 0;
        taper_scope_begin(); /* what one step makes is freed at its end */
        TAPER_TRY(taper_narrow(order, 0, start, n, &x));
        TAPER_TRY(taper_index_select(images, 0, x, &x));
        TAPER_TRY(losses(v, x, &bad, &far));
        TAPER_TRY(taper_add(bad, far, taper_scalar_i64(1), &both));
        TAPER_TRY(descend(v->optimizer, both));
        TAPER_TRY(item(both, &value));
        TAPER_TRY(item(bad, drawn));
        TAPER_TRY(item(far, apart));
        *loss += value * (double)n;
        TAPER_TRY(taper_scope_end());
    }
    *loss /= IMAGES;
    return NULL;
}

static taper_error *network(int64_t in, int64_t out, taper_module **net) {
    taper_module *layers[3];
    TAPER_TRY(taper_nn_linear_new(in, 128, true, &layers[0]));
    TAPER_TRY(taper_nn_relu_new(false, &layers[1]));
    TAPER_TRY(taper_nn_linear_new(128, out, true, &layers[2]));
    return sequential(layers, 3, net);
}

static taper_error *run(const options *o) {
    vae v;
    taper_tensor *images = NULL, *samples = NULL;
    taper_adam_options adam_options = TAPER_ADAM_OPTIONS_INIT;
    const int64_t codes[] = {64, CODE}, pictures[] = {64, 1, 8, 8};
    const int epochs = o->quick ? 2 : 60;
    taper_manual_seed(0);
    TAPER_TRY(read_digits(&images));
    TAPER_TRY(network(64, 2 * CODE, &v.encoder));
    TAPER_TRY(network(CODE, 64, &v.decoder));
    TAPER_TRY(taper_nn_sequential_new((taper_module *[]){v.encoder, v.decoder}, 2, &v.both)); /* for its parameters */
    adam_options.lr = 2e-3;
    TAPER_TRY(adam(v.both, &adam_options, &v.optimizer));

    for (int i = 1; i <= epochs; i++) {
        double loss = 0, drawn = 0, apart = 0;
        TAPER_TRY(epoch(&v, images, &loss, &drawn, &apart));
        if (o->quick || i % 10 == 0) printf("epoch %2d  loss %.3f  (drawing %.3f, codes %.3f)\n", i, loss, drawn, apart);
    }

    taper_set_grad_mode(false);
    TAPER_TRY(taper_randn(codes, 2, NULL, TAPER_FLOAT32, TAPER_CPU, &samples));
    TAPER_TRY(call(v.decoder, samples, &samples));
    TAPER_TRY(taper_sigmoid(samples, &samples));
    TAPER_TRY(taper_view(samples, pictures, 4, &samples));
    TAPER_TRY(save_digits(samples, o->path));
    taper_optimizer_free(v.optimizer);
    taper_module_free(v.both);
    taper_module_free(v.encoder);
    taper_module_free(v.decoder);
    return NULL;
}

int main(int argc, char **argv) { return example_main(argc, argv, "vae.png"); }
