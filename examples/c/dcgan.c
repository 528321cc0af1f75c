/* Two convolutional networks learn from each other to draw digits:  scripts/example.sh c dcgan [--quick] [PICTURE]
 *
 * The generator makes an image of random numbers; the critic says how real an image looks. The critic learns to tell the
 * generator's images from the real ones, the generator to be taken for real (Radford, Metz and Chintala's DCGAN, 2015). */
#include "example.h"

enum { CODE = 16, BATCH = 64, IMAGES = 1438 };

/* A convolution with a window of size x size; 4 halves the image, with steps of 2. */
static taper_error *conv(int64_t in, int64_t out, int64_t size, bool bias, taper_module **layer) {
    taper_nn_conv_options o = TAPER_NN_CONV_OPTIONS_INIT;
    o.bias = bias;
    for (int d = 0; d < 2 && size == 4; d++) o.stride[d] = 2, o.padding[d] = 1;
    return taper_nn_conv2d_new(in, out, &size, 1, &o, layer);
}

/* Its opposite: 4 doubles the image. */
static taper_error *conv_transpose(int64_t in, int64_t out, int64_t size, bool bias, taper_module **layer) {
    taper_nn_conv_transpose_options o = TAPER_NN_CONV_TRANSPOSE_OPTIONS_INIT;
    const int64_t stride = 2, padding = 1;
    o.bias = bias;
    if (size == 4) o.stride = &stride, o.stride_len = 1, o.padding = &padding, o.padding_len = 1;
    return taper_nn_conv_transpose2d_create(in, out, &size, 1, &o, layer);
}

static taper_error *batch_norm(int64_t features, taper_module **layer) {
    return taper_nn_batch_norm2d_create(features, NULL, layer);
}

static taper_error *make_generator(taper_module **out) {
    taper_module *layers[8];
    TAPER_TRY(conv_transpose(CODE, 64, 2, false, &layers[0])); /* 1x1 to 2x2 */
    TAPER_TRY(batch_norm(64, &layers[1]));
    TAPER_TRY(taper_nn_relu_new(false, &layers[2]));
    TAPER_TRY(conv_transpose(64, 32, 4, false, &layers[3])); /* to 4x4 */
    TAPER_TRY(batch_norm(32, &layers[4]));
    TAPER_TRY(taper_nn_relu_new(false, &layers[5]));
    TAPER_TRY(conv_transpose(32, 1, 4, true, &layers[6])); /* to 8x8 */
    TAPER_TRY(taper_nn_tanh_new(&layers[7]));
    return sequential(layers, 8, out);
}

static taper_error *make_critic(taper_module **out) {
    taper_module *layers[7];
    TAPER_TRY(conv(1, 32, 4, true, &layers[0])); /* to 4x4 */
    TAPER_TRY(taper_nn_leaky_relu_new(0.2, false, &layers[1]));
    TAPER_TRY(conv(32, 64, 4, false, &layers[2])); /* to 2x2 */
    TAPER_TRY(batch_norm(64, &layers[3]));
    TAPER_TRY(taper_nn_leaky_relu_new(0.2, false, &layers[4]));
    TAPER_TRY(conv(64, 1, 2, true, &layers[5])); /* to 1x1: a number for each image */
    TAPER_TRY(taper_nn_flatten_new(0, -1, &layers[6]));
    return sequential(layers, 7, out);
}

/* How far the critic is from the answer, which is 1 for all images or 0 for all. */
static taper_error *judge(taper_module *critic, taper_tensor *images, double answer, taper_tensor **loss) {
    const int64_t size = BATCH;
    taper_tensor *said = NULL, *answers = NULL;
    TAPER_TRY(call(critic, images, &said));
    TAPER_TRY(taper_full(&size, 1, taper_scalar_f64(answer), TAPER_FLOAT32, TAPER_CPU, &answers));
    return taper_binary_cross_entropy_with_logits(said, answers, NULL, NULL, "mean", loss);
}

static taper_error *imagine(taper_module *generator, taper_tensor **drawn) {
    const int64_t size[] = {BATCH, CODE, 1, 1};
    TAPER_TRY(taper_randn(size, 4, NULL, TAPER_FLOAT32, TAPER_CPU, drawn));
    return call(generator, *drawn, drawn);
}

static taper_error *run(const options *o) {
    taper_module *generator = NULL, *critic = NULL;
    taper_optimizer *generator_optimizer = NULL, *critic_optimizer = NULL;
    taper_adam_options adam_options = TAPER_ADAM_OPTIONS_INIT;
    taper_tensor *images = NULL, *samples = NULL;
    const int64_t size[] = {IMAGES, 1, 8, 8};
    const int epochs = o->quick ? 1 : 60;
    taper_manual_seed(0);
    TAPER_TRY(read_digits(&images));
    TAPER_TRY(taper_view(images, size, 4, &images));
    TAPER_TRY(taper_mul_scalar(images, taper_scalar_f64(2), &images)); /* from -1 to 1, as tanh draws them */
    TAPER_TRY(taper_sub_scalar(images, taper_scalar_f64(1), taper_scalar_f64(1), &images));
    TAPER_TRY(make_generator(&generator));
    TAPER_TRY(make_critic(&critic));
    adam_options.beta1 = 0.5;
    adam_options.lr = 2e-3;
    TAPER_TRY(adam(generator, &adam_options, &generator_optimizer));
    adam_options.lr = 5e-4;
    TAPER_TRY(adam(critic, &adam_options, &critic_optimizer));

    for (int epoch = 1; epoch <= epochs; epoch++) {
        taper_tensor *order = NULL;
        double critic_loss = 0, generator_loss = 0;
        TAPER_TRY(taper_randperm(IMAGES, NULL, TAPER_INT64, TAPER_CPU, &order));
        for (int64_t start = 0; start + BATCH <= IMAGES; start += BATCH) {
            taper_tensor *x = NULL, *drawn = NULL, *fixed = NULL, *loss = NULL, *more = NULL;
            taper_scope_begin(); /* what one step makes is freed at its end */
            TAPER_TRY(taper_narrow(order, 0, start, BATCH, &x));
            TAPER_TRY(taper_index_select(images, 0, x, &x));
            TAPER_TRY(imagine(generator, &drawn));

            TAPER_TRY(taper_detach(drawn, &fixed));
            TAPER_TRY(judge(critic, x, 1, &loss));
            TAPER_TRY(judge(critic, fixed, 0, &more));
            TAPER_TRY(taper_add(loss, more, taper_scalar_i64(1), &loss));
            TAPER_TRY(descend(critic_optimizer, loss));
            TAPER_TRY(item(loss, &critic_loss));

            TAPER_TRY(judge(critic, drawn, 1, &loss));
            TAPER_TRY(descend(generator_optimizer, loss));
            TAPER_TRY(item(loss, &generator_loss));
            TAPER_TRY(taper_scope_end());
        }
        if (o->quick || epoch % 10 == 0) {
            printf("epoch %2d  critic %.3f  generator %.3f\n", epoch, critic_loss, generator_loss);
        }
    }

    TAPER_TRY(taper_module_train(generator, false));
    taper_set_grad_mode(false);
    TAPER_TRY(imagine(generator, &samples));
    TAPER_TRY(taper_div_scalar(samples, taper_scalar_f64(2), &samples));
    TAPER_TRY(taper_add_scalar(samples, taper_scalar_f64(0.5), taper_scalar_i64(1), &samples));
    TAPER_TRY(save_digits(samples, o->path));
    taper_optimizer_free(generator_optimizer);
    taper_optimizer_free(critic_optimizer);
    taper_module_free(generator);
    taper_module_free(critic);
    return NULL;
}

int main(int argc, char **argv) { return example_main(argc, argv, "dcgan.png"); }
