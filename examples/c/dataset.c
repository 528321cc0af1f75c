/* A data set of one's own, read in shuffled batches that two threads make:  scripts/example.sh c dataset */
#include "example.h"

#include <math.h>

/* Points of the plane, and on which of two rings around the origin each lies. */
typedef struct {
    int64_t n;
    taper_tensor *angle, *ring, *radius;
} rings;

static taper_error *draw(rings *r) {
    taper_tensor *noise = NULL;
    TAPER_TRY(taper_rand(&r->n, 1, NULL, -1, TAPER_DEVICE_NONE, &r->angle));
    TAPER_TRY(taper_mul_scalar(r->angle, taper_scalar_i64(2), &r->angle));
    TAPER_TRY(taper_mul_scalar(r->angle, taper_scalar_f64(acos(-1)), &r->angle));
    TAPER_TRY(taper_randint(2, &r->n, 1, NULL, -1, TAPER_DEVICE_NONE, &r->ring));
    TAPER_TRY(taper_randn(&r->n, 1, NULL, -1, TAPER_DEVICE_NONE, &noise));
    TAPER_TRY(taper_add_scalar(r->ring, taper_scalar_i64(1), taper_scalar_i64(1), &r->radius));
    return taper_add(r->radius, noise, taper_scalar_f64(0.2), &r->radius);
}
static taper_error *length(void *user, int64_t *out) {
    *out = ((rings *)user)->n;
    return NULL;
}
static taper_error *point(rings *r, int64_t i, taper_tensor **sample) {
    taper_tensor *angle = NULL, *radius = NULL, *xy[2];
    TAPER_TRY(taper_select(r->angle, 0, i, &angle));
    TAPER_TRY(taper_select(r->radius, 0, i, &radius));
    TAPER_TRY(taper_cos(angle, &xy[0]));
    TAPER_TRY(taper_sin(angle, &xy[1]));
    for (int k = 0; k < 2; k++) TAPER_TRY(taper_mul(radius, xy[k], &xy[k]));
    TAPER_TRY(taper_stack(xy, 2, 0, &sample[0]));
    TAPER_TRY(taper_select(r->ring, 0, i, &sample[1]));
    TAPER_TRY(taper_scope_keep(sample[0]));
    return taper_scope_keep(sample[1]);
}
/* Sample i, on any thread. */
static taper_error *get(void *user, int64_t i, uint64_t seed, taper_tensor_list **out) {
    taper_tensor *sample[2] = {NULL, NULL};
    (void)seed; /* for samples that draw */
    taper_scope_begin();
    taper_error *error = point(user, i, sample);
    taper_error_free(taper_scope_end());
    if (error == NULL) error = taper_tensor_list_new(sample, 2, out);
    taper_tensor_free(sample[0]);
    taper_tensor_free(sample[1]);
    return error;
}
/* Parts at random. */
static taper_error *split(taper_dataset *d, taper_dataset **parts) {
    const double sizes[] = {800, 200};
    taper_tensor_list *indices = NULL;
    TAPER_TRY(taper_dataset_random_split(d, sizes, 2, NULL, &indices));
    for (size_t i = 0; i < 2; i++) {
        taper_tensor *of = NULL;
        TAPER_TRY(taper_tensor_list_get(indices, i, &of));
        TAPER_TRY(taper_dataset_subset_tensor(d, of, &parts[i]));
    }
    return NULL;
}
/* The next batch of a pass; *more says whether there was one. */
static taper_error *next(taper_batches *pass, taper_tensor **x, taper_tensor **y, bool *more) {
    taper_tensor_list *batch = NULL;
    TAPER_TRY(taper_batches_next(pass, &batch));
    *more = batch != NULL;
    if (!*more) return NULL;
    TAPER_TRY(taper_tensor_list_get(batch, 0, x));
    return taper_tensor_list_get(batch, 1, y);
}

static taper_error *run(const options *o) {
    rings r = {1000, NULL, NULL, NULL};
    taper_dataset_vtable own = TAPER_DATASET_VTABLE_INIT;
    taper_data_loader_options few = TAPER_DATA_LOADER_OPTIONS_INIT, all = TAPER_DATA_LOADER_OPTIONS_INIT;
    taper_dataset *d = NULL, *parts[2];
    taper_data_loader *train = NULL, *test = NULL;
    taper_batches *pass = NULL;
    taper_module *layers[3], *net = NULL;
    taper_optimizer *optimizer = NULL;
    taper_tensor *x = NULL, *y = NULL, *said = NULL, *loss = NULL;
    bool more = true;
    (void)o;
    taper_manual_seed(0);
    TAPER_TRY(draw(&r));
    own.len = length, own.get = get;
    TAPER_TRY(taper_dataset_new(&own, &r, &d));
    TAPER_TRY(split(d, parts));
    few.batch_size = 32, few.shuffle = 1, few.num_workers = 2, all.batch_size = 200;
    TAPER_TRY(taper_data_loader_create(parts[0], NULL, NULL, &few, NULL, NULL, &train));
    TAPER_TRY(taper_data_loader_create(parts[1], NULL, NULL, &all, NULL, NULL, &test));
    TAPER_TRY(taper_nn_linear_new(2, 16, true, &layers[0]));
    TAPER_TRY(taper_nn_relu_new(false, &layers[1]));
    TAPER_TRY(taper_nn_linear_new(16, 2, true, &layers[2]));
    TAPER_TRY(sequential(layers, 3, &net));
    taper_adam_options options = TAPER_ADAM_OPTIONS_INIT;
    options.lr = 0.02;
    TAPER_TRY(adam(net, &options, &optimizer));

    for (int epoch = 1; epoch <= 5; epoch++) {
        double total = 0, value = 0;
        TAPER_TRY(taper_data_loader_begin(train, &pass));
        for (;;) {
            TAPER_TRY(next(pass, &x, &y, &more));
            if (!more) break;
            TAPER_TRY(call(net, x, &said));
            TAPER_TRY(taper_cross_entropy(said, y, NULL, -100, "mean", 0, &loss));
            TAPER_TRY(descend(optimizer, loss));
            TAPER_TRY(item(loss, &value));
            total += value * (double)taper_tensor_size(x, 0);
        }
        taper_batches_free(pass);
        printf("epoch %d  loss %.4f\n", epoch, total / 800);
    }

    double right = 0;
    taper_set_grad_mode(false);
    TAPER_TRY(taper_data_loader_begin(test, &pass));
    TAPER_TRY(next(pass, &x, &y, &more));
    TAPER_TRY(call(net, x, &said));
    TAPER_TRY(taper_argmax(said, (int64_t[]){1}, false, &said));
    TAPER_TRY(taper_eq(said, y, &said));
    TAPER_TRY(taper_to(said, TAPER_FLOAT32, TAPER_DEVICE_NONE, false, &said));
    TAPER_TRY(taper_mean(said, -1, &said));
    TAPER_TRY(item(said, &right));
    printf("on the right ring: %.1f%% of %d other points\n", 100 * right, 200);
    taper_batches_free(pass);
    taper_data_loader_free(train);
    taper_data_loader_free(test);
    taper_dataset_free(parts[0]);
    taper_dataset_free(parts[1]);
    taper_dataset_free(d);
    taper_optimizer_free(optimizer);
    taper_module_free(net);
    return NULL;
}

int main(int argc, char **argv) { return example_main(argc, argv, ""); }
