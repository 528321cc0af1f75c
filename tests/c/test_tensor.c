/* Tensors: creation from memory, what a tensor is, reading back, indexing, and bad input to each. */
#include "harness.h"

static int deleted;
static void deleter(void *user)
{
    CHECK(user == &deleted);
    deleted++;
}

static void creation(void)
{
    int64_t sizes[2] = {2, 3};
    float v[6] = {1, 2, 3, 4, 5, 6}, back[6];
    taper_tensor *t = NULL, *same = NULL;
    int64_t buf[4] = {9, 9, 9, 9};
    size_t ndim = 0;
    OK(taper_tensor_from_data(v, sizes, 2, TAPER_FLOAT32, TAPER_CPU, &t));
    CHECK_INT(taper_tensor_ndim(t), 2);
    CHECK_INT(taper_tensor_numel(t), 6);
    CHECK_INT(taper_tensor_size(t, 0), 2);
    CHECK_INT(taper_tensor_size(t, -1), 3);
    CHECK_INT(taper_tensor_size(t, 2), -1);
    CHECK_INT(taper_tensor_dtype(t), TAPER_FLOAT32);
    CHECK_INT(taper_tensor_device(t).type, TAPER_DEVICE_CPU);
    CHECK_INT(taper_tensor_is_contiguous(t), 1);
    CHECK_INT(taper_tensor_storage_offset(t), 0);
    CHECK_INT(taper_tensor_storage_nbytes(t), 24);
    OK(taper_tensor_sizes(t, buf, 4, &ndim));
    CHECK(ndim == 2 && buf[0] == 2 && buf[1] == 3 && buf[2] == 9);
    OK(taper_tensor_strides(t, buf, 1, &ndim));
    CHECK(ndim == 2 && buf[0] == 3 && buf[1] == 3);
    OK(taper_tensor_sizes(t, NULL, 0, &ndim));
    CHECK_INT(ndim, 2);
    FAILS(taper_tensor_sizes(t, NULL, 2, &ndim), TAPER_ERROR_VALUE, "the array is NULL but its length is 2");
    OK(taper_tensor_copy_to_host(t, back, sizeof back));
    CHECK(memcmp(v, back, sizeof v) == 0);
    FAILS(taper_tensor_copy_to_host(t, back, 23), TAPER_ERROR_VALUE, "23 bytes");
    FAILS(taper_tensor_copy_to_host(t, NULL, 24), TAPER_ERROR_VALUE, "NULL");
    OK(taper_tensor_ref(t, &same));
    CHECK(same != t && taper_tensor_id(same) == taper_tensor_id(t));
    CHECK(taper_tensor_storage_id(same) == taper_tensor_storage_id(t));
    CHECK(taper_tensor_free(t));
    CHECK(at(same, 5) == 6);
    CHECK(taper_tensor_free(same));

    /* No dimensions, no elements. */
    OK(taper_tensor_from_data(v, NULL, 0, TAPER_FLOAT32, TAPER_DEVICE_NONE, &t));
    CHECK(taper_tensor_ndim(t) == 0 && item(t) == 1);
    CHECK(taper_tensor_free(t));
    sizes[0] = 0;
    OK(taper_tensor_from_data(NULL, sizes, 2, TAPER_INT64, TAPER_CPU, &t));
    CHECK_INT(taper_tensor_numel(t), 0);
    OK(taper_tensor_copy_to_host(t, NULL, 0));
    CHECK(taper_tensor_free(t));

    sizes[0] = 2;
    FAILS(taper_tensor_from_data(NULL, sizes, 2, TAPER_FLOAT32, TAPER_CPU, &t), TAPER_ERROR_VALUE, "'data'");
    FAILS(taper_tensor_from_data(v, NULL, 2, TAPER_FLOAT32, TAPER_CPU, &t), TAPER_ERROR_VALUE, "'sizes'");
    FAILS(taper_tensor_from_data(v, sizes, 2, 8, TAPER_CPU, &t), TAPER_ERROR_TYPE, "invalid dtype code 8; valid are");
    FAILS(taper_tensor_from_data(v, sizes, 2, -1, TAPER_CPU, &t), TAPER_ERROR_TYPE, "invalid dtype code -1");
    FAILS(taper_tensor_from_data(v, sizes, 2, TAPER_FLOAT32, taper_make_device(3, 0), &t), TAPER_ERROR_RUNTIME, "invalid device type 3");
    FAILS(taper_tensor_from_data(v, sizes, 2, TAPER_FLOAT32, taper_make_device(1, 5), &t), TAPER_ERROR_RUNTIME, "invalid device index 5 for cpu: the CPU is one device, 0");
    FAILS(taper_tensor_from_data(v, sizes, 2, TAPER_FLOAT32, TAPER_CUDA(200), &t), TAPER_ERROR_RUNTIME, "cuda");
    CHECK(t == NULL);
    sizes[0] = -2;
    FAILS(taper_tensor_from_data(v, sizes, 2, TAPER_FLOAT32, TAPER_CPU, &t), TAPER_ERROR_RUNTIME, "-2");
    sizes[0] = INT64_MAX;
    FAILS(taper_tensor_from_data(v, sizes, 2, TAPER_FLOAT32, TAPER_CPU, &t), TAPER_ERROR_RUNTIME, "9223372036854775807");
    FAILS(taper_tensor_from_data(v, sizes, (size_t)1 << 62, TAPER_FLOAT32, TAPER_CPU, &t), TAPER_ERROR_VALUE, "cannot exist");
    FAILS(taper_tensor_from_data(v, (int64_t *)((char *)sizes + 1), 1, TAPER_FLOAT32, TAPER_CPU, &t), TAPER_ERROR_VALUE, "not aligned");
}

static void buffers(void)
{
    int64_t sizes[2] = {2, 2}, transposed[2] = {1, 2}, negative[2] = {-2, 1}, far_[2] = {INT64_MAX / 2, INT64_MAX / 2};
    float v[4] = {1, 2, 3, 4};
    taper_tensor *t = NULL, *r = NULL;
    void *data = NULL;
    deleted = 0;
    OK(taper_tensor_from_buffer(v, sizes, 2, transposed, TAPER_FLOAT32, deleter, &deleted, &t));
    CHECK(at(t, 0) == 1 && at(t, 1) == 3 && at(t, 2) == 2 && at(t, 3) == 4);
    CHECK_INT(taper_tensor_is_contiguous(t), 0);
    v[2] = 30; /* the memory is shared */
    CHECK(at(t, 1) == 30);
    OK(taper_tensor_data(t, &data));
    CHECK(data == v);
    OK(taper_add_scalar_(t, taper_scalar_i64(1), taper_scalar_i64(1)));
    CHECK(v[0] == 2 && v[2] == 31);
    int64_t flat = 4;
    OK(taper_reshape(t, &flat, 1, &r));
    CHECK(taper_tensor_free(r));
    CHECK_INT(deleted, 0);
    OK(taper_tensor_ref(t, &r));
    CHECK(taper_tensor_free(t));
    CHECK_INT(deleted, 0);
    CHECK(taper_tensor_free(r));
    CHECK_INT(deleted, 1);

    /* The deleter runs once on failure too. */
    deleted = 0;
    FAILS(taper_tensor_from_buffer(v, sizes, 2, negative, TAPER_FLOAT32, deleter, &deleted, &t), TAPER_ERROR_VALUE, "negative strides");
    CHECK_INT(deleted, 1);
    FAILS(taper_tensor_from_buffer(v, sizes, 2, far_, TAPER_FLOAT32, deleter, &deleted, &t), TAPER_ERROR_VALUE, "reach beyond any memory");
    FAILS(taper_tensor_from_buffer(NULL, sizes, 2, NULL, TAPER_FLOAT32, deleter, &deleted, &t), TAPER_ERROR_VALUE, "NULL");
    FAILS(taper_tensor_from_buffer((char *)v + 1, sizes, 1, NULL, TAPER_FLOAT32, deleter, &deleted, &t), TAPER_ERROR_VALUE, "not aligned");
    FAILS(taper_tensor_from_buffer(v, sizes, 2, NULL, 99, deleter, &deleted, &t), TAPER_ERROR_TYPE, "99");
    FAILS(taper_tensor_from_buffer(v, sizes, 2, NULL, TAPER_FLOAT32, deleter, &deleted, NULL), TAPER_ERROR_VALUE, "place to go");
    CHECK_INT(deleted, 6);
    OK(taper_tensor_from_buffer(v, sizes, 2, NULL, TAPER_FLOAT32, NULL, NULL, &t));
    CHECK(at(t, 2) == 31);
    CHECK(taper_tensor_free(t));
}

static taper_index_item item_int(int64_t i)
{
    taper_index_item x = {TAPER_INDEX_INT, 0, 0, 0, NULL};
    x.start = i;
    return x;
}
static taper_index_item item_slice(int64_t start, int64_t stop, int64_t step)
{
    taper_index_item x = {TAPER_INDEX_SLICE, 0, 0, 0, NULL};
    x.start = start;
    x.stop = stop;
    x.step = step;
    return x;
}

static void indexing(void)
{
    float v[6] = {0, 1, 2, 3, 4, 5};
    taper_tensor *t = floats(v, 2, 3), *out = NULL, *index = NULL, *value = NULL;
    taper_index_item items[3];
    int64_t two = 2, picks[2] = {2, 0}, bad[2] = {0, 3};

    items[0] = item_int(1);
    items[1] = item_slice(TAPER_INDEX_ABSENT, TAPER_INDEX_ABSENT, 2);
    OK(taper_tensor_index(t, items, 2, &out));
    CHECK(taper_tensor_ndim(out) == 1 && taper_tensor_numel(out) == 2 && at(out, 0) == 3 && at(out, 1) == 5);
    CHECK(taper_tensor_storage_id(out) == taper_tensor_storage_id(t));
    CHECK(taper_tensor_free(out));
    OK(taper_tensor_index_fill(t, items, 2, taper_scalar_i64(9)));
    CHECK(at(t, 3) == 9 && at(t, 4) == 4 && at(t, 5) == 9);

    OK(taper_tensor_from_data(picks, &two, 1, TAPER_INT64, TAPER_CPU, &index));
    items[0].kind = TAPER_INDEX_ELLIPSIS;
    items[1].kind = TAPER_INDEX_TENSOR;
    items[1].tensor = index;
    OK(taper_tensor_index(t, items, 2, &out));
    CHECK(taper_tensor_size(out, 0) == 2 && taper_tensor_size(out, 1) == 2);
    CHECK(at(out, 0) == 2 && at(out, 1) == 0 && at(out, 2) == 9 && at(out, 3) == 9);
    CHECK(taper_tensor_free(out));
    value = floats(v, 2, 0);
    OK(taper_tensor_index_put(t, items, 2, value));
    CHECK(at(t, 0) == 1 && at(t, 2) == 0 && at(t, 1) == 1);
    CHECK(taper_tensor_free(value) && taper_tensor_free(index));

    items[0].kind = TAPER_INDEX_NEWAXIS;
    OK(taper_tensor_index(t, items, 1, &out));
    CHECK_INT(taper_tensor_ndim(out), 3);
    CHECK(taper_tensor_free(out));

    items[0] = item_int(2);
    FAILS(taper_tensor_index(t, items, 1, &out), TAPER_ERROR_INDEX, "index 2 is out of bounds for dimension 0 with size 2");
    items[0] = items[1] = items[2] = item_int(0);
    FAILS(taper_tensor_index(t, items, 3, &out), TAPER_ERROR_INDEX, "too many indices for tensor of dimension 2");
    items[0] = item_slice(0, 1, 0);
    FAILS(taper_tensor_index(t, items, 1, &out), TAPER_ERROR_VALUE, "step");
    items[0].kind = 17;
    FAILS(taper_tensor_index(t, items, 1, &out), TAPER_ERROR_VALUE, "'items[0]'");
    items[0].kind = TAPER_INDEX_TENSOR;
    items[0].tensor = NULL;
    FAILS(taper_tensor_index(t, items, 1, &out), TAPER_ERROR_INVALID_HANDLE, "items[0].tensor");
    FAILS(taper_tensor_index(t, NULL, 1, &out), TAPER_ERROR_VALUE, "'items'");
    OK(taper_tensor_from_data(bad, &two, 1, TAPER_INT64, TAPER_CPU, &index));
    items[0].kind = TAPER_INDEX_TENSOR;
    items[0].tensor = index;
    FAILS(taper_tensor_index(t, items, 1, &out), TAPER_ERROR_INDEX, "out of");
    CHECK(taper_tensor_free(index) && taper_tensor_free(t));
}

static void text_and_items(void)
{
    float v[4] = {1, 2, 3, 4.5f};
    taper_tensor *t = floats(v, 2, 2);
    taper_string *s = NULL;
    taper_scalar x;
    int64_t precision = 2, negative = -1;
    OK(taper_tensor_to_string(t, &s));
    CHECK(strcmp(taper_string_data(s), "tensor([[1.0000, 2.0000],\n        [3.0000, 4.5000]])") == 0);
    CHECK_INT(taper_string_len(s), strlen(taper_string_data(s)));
    CHECK(taper_string_free(s));
    OK(taper_set_printoptions(&precision, NULL, NULL, NULL, NULL, NULL));
    OK(taper_tensor_to_string(t, &s));
    CHECK(strstr(taper_string_data(s), "4.50]") != NULL);
    CHECK(taper_string_free(s));
    OK(taper_set_printoptions(NULL, NULL, NULL, NULL, "default", NULL));
    FAILS(taper_set_printoptions(NULL, NULL, NULL, NULL, "fancy", NULL), TAPER_ERROR_VALUE, "fancy");
    FAILS(taper_set_printoptions(NULL, NULL, NULL, NULL, "\xff\xfe", NULL), TAPER_ERROR_VALUE, "UTF-8");
    FAILS(taper_set_printoptions(&negative, NULL, NULL, NULL, NULL, NULL), TAPER_ERROR_VALUE, "'precision'");
    FAILS(taper_tensor_item(t, &x), TAPER_ERROR_RUNTIME, "a Tensor with 4 elements cannot be converted to Scalar");
    CHECK(taper_tensor_free(t));
    OK(taper_full(NULL, 0, taper_scalar_bool(true), TAPER_DTYPE_NONE, TAPER_DEVICE_NONE, &t));
    OK(taper_tensor_item(t, &x));
    CHECK(x.kind == TAPER_SCALAR_BOOL && x.i == 1);
    CHECK(taper_tensor_free(t));
    OK(taper_full(NULL, 0, taper_scalar_i64(-7), TAPER_INT8, TAPER_DEVICE_NONE, &t));
    OK(taper_tensor_item(t, &x));
    CHECK(x.kind == TAPER_SCALAR_INT && x.i == -7);
    CHECK(taper_tensor_free(t));
}

int main(void)
{
    creation();
    buffers();
    indexing();
    text_and_items();
    return finish("tensor");
}
