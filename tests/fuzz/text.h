/* Text and files: what parsers read, valid, changed a little, or random. */
#ifndef TAPER_FUZZ_TEXT_H
#define TAPER_FUZZ_TEXT_H

#include "draw.h"

#include <unistd.h>

#define WORDS_OF(...) (const char *const[]){__VA_ARGS__, NULL}
enum { TEXT_PATH, TEXT_NAME, TEXT_EQUATION, TEXT_DEVICE, TEXT_REDUCTION, TEXT_MODE, TEXT_ROUNDING, TEXT_APPROXIMATE, TEXT_REDUCE,
       TEXT_NONLINEARITY, TEXT_INIT_MODE, TEXT_SIDE, TEXT_INDEXING, TEXT_PROFILE, TEXT_PRECISION, TEXT_INTERPOLATION,
       TEXT_PADDING_MODE, TEXT_FORMAT, TEXT_NORM, TEXT_ANY, TEXTS };
static const char *const words_path[] = {"a", "b", "c.safetensors", "no/such/folder/file", ".", "", "x/../a", "mutated", NULL};
static const char *const words_name[] = {"weight", "bias", "0", "1", "0.weight", "1.bias", "fc", "fc.weight", "a.b.c", ".", "x", "training", NULL};
static const char *const words_equation[] = {"ij,jk->ik", "ii->i", "ii", "bij,bjk->bik", "...ij,...jk->...ik", "i,j->ij", "ij->ji", "ij", "a,a->", "ij,ij->j", "...->...", "ab...,b...->a...", "i j -> j i", NULL};
static const char *const words_device[] = {"cpu", "cpu:0", "cuda", "cuda:1", "opencl", "opencl:0", "opencl:99999999999999999999", "cpu:-1", "cpu:", ":0", "cpu:00", "CPU", "meta", NULL};
static const char *const words_reduction[] = {"mean", "sum", "none", NULL};
static const char *const words_mode[] = {"constant", "reflect", "replicate", "circular", "bilinear", "nearest", "bicubic", "tanh", "none", NULL};
static const char *const words_rounding[] = {"floor", "trunc", NULL};
static const char *const words_approximate[] = {"none", "tanh", NULL};
static const char *const words_reduce[] = {"sum", "prod", "mean", "amax", "amin", "add", "multiply", NULL};
static const char *const words_nonlinearity[] = {"linear", "relu", "leaky_relu", "tanh", "sigmoid", "selu", "conv2d", NULL};
static const char *const words_init_mode[] = {"fan_in", "fan_out", NULL};
static const char *const words_side[] = {"left", "right", NULL};
static const char *const words_indexing[] = {"ij", "xy", NULL};
static const char *const words_profile[] = {"default", "short", "full", NULL};
static const char *const words_precision[] = {"highest", "high", "medium", NULL};
static const char *const words_interpolation[] = {"linear", "lower", "higher", "midpoint", "nearest", NULL};
static const char *const words_padding_mode[] = {"zeros", "border", "reflection", NULL};
static const char *const words_format[] = {"safetensors", "pt", "npz", "npz_compressed", "npy", NULL};
static const char *const words_norm[] = {"backward", "ortho", "forward", NULL};
static const char *const words_any[] = {"", "x", "some text", "0", "-1", "{}", "[", "\"", "\\u0000", NULL};
static const char *const *const words_of[TEXTS] = {words_path, words_name, words_equation, words_device, words_reduction, words_mode,
    words_rounding, words_approximate, words_reduce, words_nonlinearity, words_init_mode, words_side, words_indexing, words_profile,
    words_precision, words_interpolation, words_padding_mode, words_format, words_norm, words_any};

static const char *pick_word(int what)
{
    int n = 0;
    while (words_of[what][n])
        n++;
    return words_of[what][below(n)];
}
/* Changes bytes, leaves some out, doubles some. */
static size_t mutate(char *bytes, size_t n, size_t room)
{
    static const char odd[] = "0-9,.:>[]{}\"\\ \n\t\x80\xff/";
    for (int edits = 1 + (int)below(3); edits > 0; edits--) {
        size_t at = n ? (size_t)below((int64_t)n) : 0;
        switch (below(7)) {
            case 0:
                if (n)
                    bytes[at] = (char)random64();
                break;
            case 1:
                if (n)
                    bytes[at] = (char)(bytes[at] ^ 1 << below(8));
                break;
            case 2:
                if (n)
                    memmove(bytes + at, bytes + at + 1, n - at - 1), n--;
                break;
            case 3:
                if (n < room)
                    memmove(bytes + at + 1, bytes + at, n - at), bytes[at] = odd[below(sizeof odd - 1)], n++;
                break;
            case 4: n = at; break;
            case 5: {
                size_t length = n - at < 20 ? n - at : 20;
                if (n + length <= room)
                    memmove(bytes + at + length, bytes + at, n - at), n += length;
                break;
            }
            default:
                if (n >= 8)
                    memset(bytes + (at < n - 8 ? at : n - 8), one_in(2) ? 0xff : 0x7f, (size_t)below(9));
        }
    }
    return n;
}
static const char *text(int what)
{
    char *s = NULL;
    if (one_in(40)) {
        note(TAG_TEXT, 0);
        if (options.trace)
            say(" NULL");
        return NULL;
    }
    const char *word = pick_word(what == TEXT_PATH || !one_in(20) ? what : (int)below(TEXTS));
    size_t n = strlen(word);
    if (one_in(300) && what != TEXT_PATH) {
        n = (size_t)below(5000);
        s = scratch(n + 1);
        for (size_t i = 0; i < n; i++)
            s[i] = (char)(1 + below(255));
    } else {
        s = scratch(n + 64);
        memcpy(s, word, n);
        if (one_in(what == TEXT_EQUATION || what == TEXT_DEVICE || what == TEXT_NAME || what == TEXT_ANY ? 3 : 15) && what != TEXT_PATH) {
            n = mutate(s, n, 60);
            for (size_t i = 0; i < n; i++)
                if (!s[i])
                    s[i] = '?';
        }
    }
    s[n] = 0;
    uint64_t first = 0;
    memcpy(&first, s, n < 8 ? n : 8);
    note(TAG_TEXT, first);
    if (options.trace) {
        say(" \"");
        for (size_t i = 0; i < n && i < 60; i++)
            say(s[i] < 32 || s[i] == '"' || s[i] == '\\' ? "\\%03o" : "%c", (unsigned char)s[i]);
        say("\"%s", n >= 60 ? "..." : "");
    }
#ifdef FUZZ_BLOCKS
    char *exact = scratch(n + 1);
    memcpy(exact, s, n + 1);
    return exact;
#else
    return s;
#endif
}

static size_t read_file(const char *name, char *to, size_t room)
{
    FILE *f = fopen(name, "rb");
    size_t n = f ? fread(to, 1, room, f) : 0;
    if (f)
        fclose(f);
    return n;
}
static void write_file(const char *name, const char *from, size_t n)
{
    FILE *f = fopen(name, "wb");
    if (!f)
        return;
    fwrite(from, 1, n, f);
    fclose(f);
}
enum { FILE_ROOM = 1 << 15 };
/* Damages a file that was saved, so that a later load reads it. */
static void call_damage_file(void)
{
    char *bytes = malloc(FILE_ROOM);
    size_t n = read_file(one_in(2) ? "a" : "b", bytes, FILE_ROOM / 2);
    n = mutate(bytes, n, FILE_ROOM);
    write_file("mutated", bytes, n);
    free(bytes);
}
/* JSON of the shape of a header, with anything anywhere. */
static size_t json(char *to, size_t room, int depth)
{
    size_t n = 0;
#define PUT(...) n += (size_t)snprintf(to + n, room - n, __VA_ARGS__), n = n < room ? n : room - 1
    switch (depth > 4 ? below(5) : below(9)) {
        case 0: PUT("%" PRId64, one_in(4) ? extreme() : below(100) - 3); break;
        case 1: PUT("%s", WORDS_OF("null", "true", "1e999", "-0", "0.5", "18446744073709551616", "1E2")[below(7)]); break;
        case 2: PUT("\"%s\"", WORDS_OF("F32", "I64", "BOOL", "BF16", "F8_E4M3", "\\ud800", "\\u0000", "")[below(8)]); break;
        case 3: PUT("[%" PRId64 ",%" PRId64 "]", below(9), one_in(9) ? extreme() : below(64)); break;
        case 4: PUT("[]"); break;
        case 5: case 6: {
            PUT("[");
            for (int64_t i = below(4); i > 0; i--) {
                n += json(to + n, room - n, depth + 1);
                PUT("%s", i > 1 ? "," : "");
            }
            PUT("]");
            break;
        }
        default: {
            PUT("{");
            for (int64_t i = below(5); i > 0; i--) {
                PUT("\"%s\":", WORDS_OF("dtype", "shape", "data_offsets", "__metadata__", "weight", "x", "", "dtype")[below(8)]);
                n += json(to + n, room - n, depth + 1);
                PUT("%s", i > 1 ? "," : "");
            }
            PUT("}");
        }
    }
    return n;
}
static void call_write_header(void)
{
    char *bytes = calloc(1, FILE_ROOM);
    char *to = bytes + 8;
    size_t room = FILE_ROOM / 2, n = 0;
    if (one_in(3))
        n = json(to, room, 0);
    else {
        PUT("{");
        for (int64_t i = below(4); i > 0; i--) {
            int64_t begin = below(16), end = begin + 4 * below(6);
            PUT("\"%s\":{\"dtype\":\"%s\",\"shape\":[%" PRId64 ",%" PRId64 "],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}%s",
                WORDS_OF("weight", "bias", "0.weight", "__metadata__", "")[below(5)],
                WORDS_OF("F32", "F64", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL", "F8", "f32")[below(12)],
                one_in(20) ? extreme() : below(4), one_in(20) ? extreme() : below(4), one_in(3) ? 0 : begin,
                one_in(20) ? extreme() : end, i > 1 ? "," : "");
        }
        PUT("}");
    }
    uint64_t length = one_in(12) ? random64() >> below(64) : n;
    memcpy(bytes, &length, 8);
    size_t total = 8 + n + (size_t)below(200);
    if (one_in(4))
        total = mutate(bytes, total, FILE_ROOM);
    write_file(one_in(3) ? "a" : "mutated", bytes, total);
    free(bytes);
}
#undef PUT

#endif
