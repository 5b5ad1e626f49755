/* The noise of draw.py in one pass over the output: drawn, refined and, where asked, added to the clean lattice.
 *
 *     out[i, p] = K(key, start + i, p) + clean[p]        K as draw.py defines it: the same bits as its NumPy path
 *
 * A row of the output is a sample. It is made in tiles of TILE values, whose scratch stays in the first-level cache:
 *
 *   1. cells    Philox4x64-10 block by block, 16 values each, looked up in the table of 65,536 cells, added and stored.
 *               Blocks do not depend on each other, so a processor works on several at a time by itself: taking turns
 *               by hand or drawing them in AVX registers measured no faster.
 *   2. queue    A block that has a residual cell (one in 35 at sigma = 0.12, k = 1, 8 bits) is noted in step 1, and its
 *               residual cells are found, without a branch: no processor could predict one.
 *   3. refine   64 bits of stream 1 for each, a search in the thresholds, and its output once more.
 *
 * Everything is checked before the first value is drawn, and other threads of the interpreter run while they are.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h> /* setup.py sets Py_LIMITED_API */

#include <stdint.h>
#include <string.h>

#ifndef __SIZEOF_INT128__
#error "64 x 64 -> 128 bits takes unsigned __int128: without it draw.py draws in NumPy"
#endif

#define CELLS 65536
#define LANES 16 /* values of a block in stream 0 */
#define WORDS 4  /* of a block: values of a block in stream 1 */
#define TILE 2048

#define BUCKETS 4096    /* of 2^52 numbers each */
#define BUCKET_SHIFT 52

#define ROUNDS 10
#define MULTIPLIER0 UINT64_C(0xD2E7470EE14C6C93)
#define MULTIPLIER1 UINT64_C(0xCA5A826395121157)
#define WEYL0 UINT64_C(0x9E3779B97F4A7C15)
#define WEYL1 UINT64_C(0xBB67AE8584CAA73B)

#define LANE_ONES UINT64_C(0x0001000100010001) /* a word holds four cells */
#define LANE_TOPS (LANE_ONES << 15)

#define ANY_COUNT (-1)

/* The loops are written once for floats and integers, and compiled for each. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

__extension__ typedef unsigned __int128 u128;

typedef int32_t quad __attribute__((vector_size(16)));
typedef uint32_t uquad __attribute__((vector_size(16)));
typedef float fquad __attribute__((vector_size(16)));

struct law {               /* NoiseTable: of one value */
    uint32_t whole;        /* cells from here on are residual */
    const int32_t *cells;  /* [CELLS] */
    const int32_t *values; /* [thresholds + 1] */
    const uint64_t *upper; /* [thresholds], ascending */
    size_t thresholds;
};

struct keys {
    uint64_t of[2 * ROUNDS];
};

static struct keys key_schedule(uint64_t key0, uint64_t key1) {
    struct keys keys;
    for (int round = 0; round < ROUNDS; round++, key0 += WEYL0, key1 += WEYL1) {
        keys.of[2 * round] = key0;
        keys.of[2 * round + 1] = key1;
    }
    return keys;
}

static inline void philox(uint64_t block, uint64_t sample, uint64_t stream, const struct keys *keys, uint64_t *words) {
    uint64_t a = block, b = sample, c = stream, d = 0;
#pragma GCC unroll 10
    for (int round = 0; round < ROUNDS; round++) {
        const u128 product0 = (u128)MULTIPLIER0 * a, product1 = (u128)MULTIPLIER1 * c;
        a = (uint64_t)(product1 >> 64) ^ b ^ keys->of[2 * round];
        b = (uint64_t)product1;
        c = (uint64_t)(product0 >> 64) ^ d ^ keys->of[2 * round + 1];
        d = (uint64_t)product0;
    }
    words[0] = a;
    words[1] = b;
    words[2] = c;
    words[3] = d;
}

static inline uint32_t cell_of(const uint64_t *words, size_t value) {
    return (uint32_t)(words[value / 4] >> 16 * (value % 4)) & 0xFFFF;
}

/* Whether one of a block's 16 cells may be residual. A cell at or above 2^15 has its top bit set, and is at or above
 * `whole` where its other 15 bits carry into the top bit when 2^16 - whole is added: all four cells of a word at once.
 * A law with whole < 2^15 has a residual cell in nearly every block, so all of them are looked into. */
static inline size_t may_be_residual(const uint64_t *words, uint32_t whole) {
    if (whole < CELLS / 2) return 1;
    const uint64_t add = (CELLS - whole) * LANE_ONES;
    uint64_t tops = 0;
    for (int i = 0; i < WORDS; i++) tops |= ((words[i] & ~LANE_TOPS) + add) & words[i];
    return (tops & LANE_TOPS) != 0;
}

/* below[i]: thresholds below the i-th of BUCKETS equal ranges of 64-bit numbers, where the search for one begins. */
struct guide {
    size_t below[BUCKETS + 1];
};

static void make_guide(const struct law *law, struct guide *guide) {
    size_t threshold = 0;
    for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
        while (threshold < law->thresholds && law->upper[threshold] < (uint64_t)bucket << BUCKET_SHIFT) threshold++;
        guide->below[bucket] = threshold;
    }
    guide->below[BUCKETS] = law->thresholds;
}

/* How many thresholds lie at or below u. Most buckets hold few: the law's tails crowd into the first and the last. */
static inline size_t rank(const struct law *law, const struct guide *guide, uint64_t u) {
    size_t low = guide->below[u >> BUCKET_SHIFT], high = guide->below[(u >> BUCKET_SHIFT) + 1];
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (law->upper[middle] <= u)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Positions in a tile of the residual cells of `count` noted blocks, given the blocks' numbers and their words. Cells
 * that the last block has beyond the tile's `length` do not count. */
static size_t find_residual(const uint8_t *noted, const uint64_t *words, size_t count, uint32_t whole, size_t length,
                            uint16_t *positions) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t lane = 0; lane < LANES; lane++) {
            positions[found] = (uint16_t)(LANES * noted[i] + lane);
            found += cell_of(words + WORDS * i, lane) >= whole;
        }
    while (found && positions[found - 1] >= length) found--;
    return found;
}

ALWAYS_INLINE quad look_up(const int32_t *cells, uint64_t word) {
    return (quad){cells[word & 0xFFFF], cells[word >> 16 & 0xFFFF], cells[word >> 32 & 0xFFFF], cells[word >> 48]};
}

/* The first `count` of four values of noise plus the clean lattice at `at` into the output, in floats or integers. Both
 * sums are NumPy's: of two floats, or of two integers that wrap. */
ALWAYS_INLINE void store(int floats, char *out, const char *clean, size_t at, quad noise, size_t count) {
    const size_t bytes = count < 4 ? 4 * count : sizeof noise;
    uquad sum = {0};
    memcpy(&sum, clean + 4 * at, bytes);
    if (floats)
        sum = (uquad)((fquad)sum + __builtin_convertvector(noise, fquad));
    else
        sum += (uquad)noise;
    memcpy(out + 4 * at, &sum, bytes);
}

/* `length` values of a sample from number `first`, a multiple of TILE, on: their outputs, and what is added to them. */
ALWAYS_INLINE void draw_tile(int floats, const struct law *law, const struct guide *guide, const struct keys *keys,
                             uint64_t sample, size_t first, size_t length, char *out, const char *clean) {
    const uint32_t whole = law->whole;
    const int32_t *const cells = law->cells;
    uint8_t noted[TILE / LANES];
    uint64_t words[TILE / LANES * WORDS]; /* of the noted blocks */
    uint16_t positions[TILE];
    uint64_t refined[TILE];

    size_t count = 0;
    for (size_t at = 0; at < length; at += LANES) {
        uint64_t *const drawn = words + WORDS * count;
        philox(1 + (first + at) / LANES, sample, 0, keys, drawn);
        noted[count] = (uint8_t)(at / LANES);
        count += may_be_residual(drawn, whole);
        const size_t left = length - at;
        if (left >= LANES)
#pragma GCC unroll 4
            for (size_t i = 0; i < LANES; i += 4) store(floats, out, clean, at + i, look_up(cells, drawn[i / 4]), 4);
        else
            for (size_t i = 0; i < left; i += 4)
                store(floats, out, clean, at + i, look_up(cells, drawn[i / 4]), left - i);
    }

    count = find_residual(noted, words, count, whole, length, positions);
    uint64_t block = 0, of_block[WORDS] = {0}; /* block 0: none yet, they are numbered from 1 */
    for (size_t i = 0; i < count; i++) {
        const uint64_t its_block = 1 + (first + positions[i]) / WORDS;
        if (its_block != block) philox(block = its_block, sample, 1, keys, of_block);
        refined[i] = of_block[positions[i] % WORDS];
    }

    for (size_t i = 0; i < count; i++) {
        const quad noise = {law->values[rank(law, guide, refined[i])]};
        store(floats, out, clean, positions[i], noise, 1);
    }
}

ALWAYS_INLINE void draw_rows(int floats, const struct law *law, const struct guide *guide, const struct keys *keys,
                             uint64_t start, size_t count, size_t size, char *out, const char *clean) {
    static const uint32_t zeros[TILE]; /* 0 and 0.0 are the same bits */
    for (size_t i = 0; i < count; i++)
        for (size_t first = 0; first < size; first += TILE)
            draw_tile(floats, law, guide, keys, start + i, first, size - first < TILE ? size - first : TILE,
                      out + 4 * (i * size + first), clean ? clean + 4 * first : (const char *)zeros);
}

/* Python's side: one function, and what it asks of its arguments. */

/* A view of a contiguous array of `count` items (any number where negative), each of 4 or 8 bytes and of one of the
 * `formats` of the struct module. On failure an exception is set and nothing is held. */
static int view_array(PyObject *object, Py_buffer *view, const char *name, const char *formats, Py_ssize_t itemsize,
                      Py_ssize_t count, int writable) {
    const int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, view, flags)) return -1;
    const char *const format = view->format ? view->format : "B";
    if (view->itemsize != itemsize || strlen(format) != 1 || !strchr(formats, format[0]))
        PyErr_Format(PyExc_TypeError, "%s: items of %zd bytes of format '%s', not %zd of one of '%s'", name,
                     view->itemsize, format, itemsize, formats);
    else if ((uintptr_t)view->buf % (uintptr_t)itemsize)
        PyErr_Format(PyExc_ValueError, "%s is not aligned to its items", name);
    else if (count >= 0 && view->len / itemsize != count)
        PyErr_Format(PyExc_ValueError, "%s has %zd items, not %zd", name, view->len / itemsize, count);
    else
        return 0;
    PyBuffer_Release(view);
    return -1;
}

static int overlap(const Py_buffer *a, const Py_buffer *b) {
    const uintptr_t from_a = (uintptr_t)a->buf, from_b = (uintptr_t)b->buf;
    return from_a < from_b + (size_t)b->len && from_b < from_a + (size_t)a->len;
}

PyDoc_STRVAR(fill_doc, "fill(out, clean, cells, whole, residual_values, residual_upper, key, start)\n--\n\n"
                       "Fill the rows of out with samples start, start + 1, ...: draw.py's draw.");

static PyObject *fill(PyObject *module, PyObject *arguments) {
    enum { OUT, TABLE, VALUES, UPPER, KEY, CLEAN, VIEWS };
    PyObject *objects[VIEWS], *first;
    Py_buffer views[VIEWS];
    Py_ssize_t whole;
    int held = 0;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "OOOnOOOO:fill", &objects[OUT], &objects[CLEAN], &objects[TABLE], &whole,
                          &objects[VALUES], &objects[UPPER], &objects[KEY], &first))
        return NULL;
    const uint64_t start = PyLong_AsUnsignedLongLong(first);
    if (PyErr_Occurred()) return NULL;
    if (whole < 0 || whole > CELLS) return PyErr_Format(PyExc_ValueError, "%zd whole cells of %d", whole, CELLS);

    if (view_array(objects[OUT], &views[OUT], "out", "fil", 4, ANY_COUNT, 1)) goto done;
    held++;
    if (views[OUT].ndim != 2) {
        PyErr_Format(PyExc_ValueError, "out has %d dimensions, not 2", views[OUT].ndim);
        goto done;
    }
    if (view_array(objects[TABLE], &views[TABLE], "cells", "il", 4, CELLS, 0)) goto done;
    held++;
    if (view_array(objects[VALUES], &views[VALUES], "residual_values", "il", 4, ANY_COUNT, 0)) goto done;
    held++;
    const Py_ssize_t thresholds = views[VALUES].len / 4 - 1;
    if (thresholds < 0) {
        PyErr_SetString(PyExc_ValueError, "residual_values is empty");
        goto done;
    }
    if (view_array(objects[UPPER], &views[UPPER], "residual_upper", "LQ", 8, thresholds, 0)) goto done;
    held++;
    if (view_array(objects[KEY], &views[KEY], "key", "LQ", 8, 2, 0)) goto done;
    held++;
    const int floats = views[OUT].format[0] == 'f', adds = objects[CLEAN] != Py_None;
    const size_t count = (size_t)views[OUT].shape[0], size = (size_t)views[OUT].shape[1];
    if (adds) {
        if (view_array(objects[CLEAN], &views[CLEAN], "clean", floats ? "f" : "il", 4, (Py_ssize_t)size, 0)) goto done;
        held++;
        if (overlap(&views[OUT], &views[CLEAN])) {
            PyErr_SetString(PyExc_ValueError, "clean is a part of out");
            goto done;
        }
    }

    const struct law law = {(uint32_t)whole, views[TABLE].buf, views[VALUES].buf, views[UPPER].buf, (size_t)thresholds};
    const uint64_t *const words = views[KEY].buf;
    const struct keys keys = key_schedule(words[0], words[1]);
    struct guide guide;
    make_guide(&law, &guide);
    const char *const clean = adds ? views[CLEAN].buf : NULL;
    Py_BEGIN_ALLOW_THREADS
    if (floats)
        draw_rows(1, &law, &guide, &keys, start, count, size, views[OUT].buf, clean);
    else
        draw_rows(0, &law, &guide, &keys, start, count, size, views[OUT].buf, clean);
    Py_END_ALLOW_THREADS

done:
    while (held) PyBuffer_Release(&views[--held]);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef functions[] = {{"fill", fill, METH_VARARGS, fill_doc}, {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "runtime._noise",
    .m_doc = "The compiled path of draw.py.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__noise(void) {
    return PyModuleDef_Init(&definition);
}
