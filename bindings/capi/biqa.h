/* Certified blind image quality from C, C++ and anything with a foreign function interface.
 *
 *     biqa_certifier *certifier;
 *     biqa_config config = {sizeof config};
 *     biqa_result result = {sizeof result};
 *     config.epsilon = 0.1;
 *     if (biqa_create(&config, &certifier) < 0)
 *         fail(biqa_error(NULL));
 *     if (biqa_certify_rgb(certifier, pixels, stride, width, height, 8, &result) < 0)
 *         fail(biqa_error(certifier));
 *     printf("%f [%f, %f]\n", result.score, result.lower, result.upper);
 *     biqa_destroy(certifier);
 *
 * Every function returns 0, or a negative errno:
 *
 *     -EINVAL    a parameter, frame, plane or conversion that is not taken
 *     -E2BIG     a struct from a newer header, with a field set that this library does not know
 *     -ENOENT    the Python of BIQA_PYTHON, or of the build, is not there
 *     -ENOSYS    Python does not start, or stochastic-biqa or a package it needs is not installed in it
 *     -EBADMSG   a model that is missing, damaged or altered
 *     -ENODEV    the device asked for cannot be used
 *     -EIO       the network failed on this frame, or anything unforeseen
 *     -ENOMEM    out of memory
 *     -EINTR     Ctrl-C, where the host is a Python program
 *
 * Structs begin with struct_size, the sizeof that the caller was compiled with: zero the rest before filling it in. A
 * field that is 0 or NULL is the default, and so is one that an older header does not have. Fields are 8 bytes wide.
 *
 * Threads: different handles may be used at the same time. Calls on one handle are safe, but the strings of biqa_error
 * and biqa_record speak of the last call and live until the next: use a handle a thread, or a lock of your own.
 * Handles do not survive fork(). Linux, 64 bits. docs/capi.md has the rest.
 */
#ifndef BIQA_H
#define BIQA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define BIQA_API __attribute__((visibility("default")))
#else
#define BIQA_API
#endif

/* Of functions and structs; raised when they change in a way that struct_size does not absorb. */
#define BIQA_ABI 1

/* A model and what it certifies. */
typedef struct biqa_certifier biqa_certifier;

typedef struct biqa_config {
    uint64_t struct_size;
    const char *model;       /* bundle, directory or .zip, or the name of one that ships; NULL: the default one */
    const char *device;      /* NULL: "cpu" */
    const char *scope;       /* NULL: "smoothed"; or "reported" */
    double epsilon;          /* L2 radius on the source RGB frame, values in [0, 1]; 0: the model's default */
    double alpha;            /* total error of one certificate; 0: the model's default */
    int64_t samples;         /* noisy copies a frame; 0: the model's default */
    int64_t threads;         /* CPU threads of the engine; 0: all cores */
    const void *secret;      /* at least 16 bytes, copied; NULL: one drawn for this process */
    uint64_t secret_size;    /* bytes */
    const char *secret_file; /* instead of secret: a file that holds it */
    int64_t public_seed;     /* instead of a secret, for tests: used where flags has BIQA_PUBLIC_SEED */
    uint64_t flags;
    double levels;           /* with a model of tiles, in place of epsilon: grey levels */
    int64_t patch_width;     /* with a model of tiles, in place of epsilon: a rectangle that may hold anything */
    int64_t patch_height;
    double sigma;            /* noise level of the model; 0: the best for epsilon */
} biqa_config;

#define BIQA_PUBLIC_SEED 1u /* flags of biqa_config */

/* Decoded planes Y, U, V, or G, B, R. Samples are uint8_t at 8 bits, else native uint16_t, value in the low bits. */
typedef struct biqa_planes {
    uint64_t struct_size;
    const void *data[3];         /* the topmost row of each */
    int64_t stride[3];           /* bytes from a row to the one below; negative: stored bottom-up */
    int64_t width, height;       /* of the frame; chroma is rounded up at odd sizes */
    int64_t bit_depth;           /* 8 ... 16 */
    const char *subsampling;     /* "4:2:0", "4:2:2", "4:4:4" */
    const char *matrix;          /* "bt601", "bt709", "bt2020nc", "rgb" for G, B, R; NULL: the stream does not say */
    const char *range;           /* "limited", "full"; NULL: the stream does not say */
    const char *chroma_location; /* "left", "center", "topleft"; NULL: not said; not read at 4:4:4 */
    const char *transfer;        /* "sdr", or "pq" or "hlg", which are refused; NULL: the stream does not say */
} biqa_planes;

typedef struct biqa_result {
    uint64_t struct_size;
    double score;            /* NaN where the call failed */
    double lower, upper;     /* the certified interval; infinite where nothing is certified */
    double epsilon, alpha;   /* what was certified; epsilon is 0 where levels or a patch were: the record has them */
    int64_t samples;         /* noisy copies asked for */
    int64_t drawn;           /* noisy copies scored */
    int64_t failed_samples;  /* of which not finite; they count against both bounds */
    uint64_t flags;
    char frame_sha256[72];   /* hex, of the RGB code values that were certified */
    char scores_sha256[72];  /* hex, of the scores as little-endian float32 */
} biqa_result;

#define BIQA_ABSTAINED 1u /* flags of biqa_result: a bound is infinite, or of tiles the whole range; see the record */
#define BIQA_ASSUMED 2u   /* matrix, range or chroma location was assumed; the record says which, and what */

/* "0.1.0": of the library. Needs no Python. */
BIQA_API const char *biqa_version(void);

/* A certifier in *certifier, NULL where it fails. config may be NULL: all defaults. Starts Python the first time. */
BIQA_API int biqa_create(const biqa_config *config, biqa_certifier **certifier);

/* Certify interleaved R, G, B: uint8_t at bit_depth 8, native uint16_t at 9 ... 16. stride: bytes from a row to the one
 * below, negative where rows are stored bottom-up; pixels: the topmost row. Must not change during the call. */
BIQA_API int biqa_certify_rgb(biqa_certifier *certifier, const void *pixels, int64_t stride, int64_t width,
                              int64_t height, int64_t bit_depth, biqa_result *result);

/* Certify decoded planes; they become RGB by the project's own conversion, named in the record. */
BIQA_API int biqa_certify_yuv(biqa_certifier *certifier, const biqa_planes *planes, biqa_result *result);

/* The last certificate of this handle as JSON, "" where the last call failed. Valid until the next call on it. */
BIQA_API const char *biqa_record(const biqa_certifier *certifier);

/* Why the last call on this handle failed, "" where it did not. NULL: why the last call without a handle, biqa_create
 * above all, failed on this thread. Valid until the next call on that handle or thread. */
BIQA_API const char *biqa_error(const biqa_certifier *certifier);

/* Release a certifier; NULL is fine. Python stays until the process ends. */
BIQA_API void biqa_destroy(biqa_certifier *certifier);

#ifdef __cplusplus
}
#endif

#endif
