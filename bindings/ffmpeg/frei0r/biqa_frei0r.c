/* A frei0r 1.2 filter: frames pass through unchanged, and each is certified into a log, a JSON object a line.
 *
 * A frei0r filter cannot stop its host. What goes wrong ends the certifying, not the run: the log gets a line of type
 * error, its last line says "complete": false, and standard error says why. The log is appended to, a segment from
 * begin to end for each time that the host sets the filter up, because hosts do so in the middle of a stream too, where
 * its frame size changes. Every line is written whole, so that a log without an end is one of a host that was killed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <frei0r.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "biqa.h"

/* Text all of them: frei0r's numbers lie in [0, 1]. */
enum { LOG, MODEL, EPSILON, ALPHA, SAMPLES, SCOPE, SECRET_FILE, THREADS, SUBSAMPLE, LEVELS, PATCH, SIGMA, PARAMETERS };
static const char *const NAMES[PARAMETERS][2] = {
    {"log", "file that the log is appended to; without one nothing is certified"},
    {"model", "bundle, directory or .zip, or the name of one that ships; empty: the default one"},
    {"epsilon", "L2 radius on the RGB frame, values in [0, 1]; empty: the model's default"},
    {"alpha", "error of each frame's certificate; empty: the model's default"},
    {"samples", "noisy copies a frame; empty: the model's default"},
    {"scope", "smoothed or reported; empty: smoothed"},
    {"secret_file", "at least 16 random bytes, kept to replay; empty: drawn for this process"},
    {"threads", "CPU threads of the engine; empty: all cores"},
    {"subsample", "certify every N-th frame; empty: every one"},
    {"levels", "with a model of tiles, in place of epsilon: grey levels"},
    {"patch", "with a model of tiles, in place of epsilon: WIDTHxHEIGHT of a rectangle that may hold anything"},
    {"sigma", "noise level of the model; empty: the best for epsilon"},
};

typedef struct {
    unsigned width, height;
    char *values[PARAMETERS];
    int started, failed, log;
    long long subsample, frames, certified;
    biqa_certifier *certifier;
    uint8_t *rgb;
    locale_t plain; /* C's: a host's own may write numbers with a comma */
} filter;

#define EXPORT __attribute__((visibility("default")))

/* One line into the log, whole or not at all as far as the file system allows; 0 where it cannot be written. */
__attribute__((format(printf, 2, 3))) static int write_line(const filter *self, const char *format, ...) {
    char *line;
    va_list values;
    va_start(values, format);
    int length = vasprintf(&line, format, values);
    va_end(values);
    if (length < 0)
        return 0;
    ssize_t written = write(self->log, line, (size_t)length);
    free(line);
    return written == length;
}

/* Text as the inside of a JSON string. */
static void escape(const char *text, char *out, size_t room) {
    size_t used = 0;
    for (; *text && used + 7 < room; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            used += (size_t)snprintf(out + used, room - used, "\\%c", c);
        else if (c < 0x20)
            used += (size_t)snprintf(out + used, room - used, "\\u%04x", c);
        else
            out[used++] = (char)c;
    }
    out[used] = '\0';
}

/* No frame is certified after this. */
static void stop(filter *self, const char *why) {
    char escaped[4096];
    self->failed = 1;
    fprintf(stderr, "biqa (frei0r): frame %lld: %s; no more frames are certified\n", self->frames, why);
    if (self->log < 0)
        return;
    escape(why, escaped, sizeof escaped);
    if (!write_line(self, "{\"type\": \"error\", \"frameNum\": %lld, \"message\": \"%s\"}\n", self->frames, escaped))
        fprintf(stderr, "biqa (frei0r): %s: %s\n", self->values[LOG], strerror(errno));
}

/* A parameter as a number; 0 for none. Stops where it is not a number. */
static double number(filter *self, int which) {
    const char *text = self->values[which];
    if (self->failed || !text[0])
        return 0;
    char *end;
    double value = strtod(text, &end);
    int whole = which == SAMPLES || which == THREADS || which == SUBSAMPLE;
    if (*end || !(value > 0 && value < 1e15) || (whole && value != (double)(long long)value)) {
        char why[256];
        snprintf(why, sizeof why, "%s is a %s above 0, not \"%.100s\"", NAMES[which][0],
                 whole ? "whole number" : "number", text);
        stop(self, why);
        return 0;
    }
    return value;
}

/* The parameter patch into the configuration. Stops where it is not like 64x64. */
static void patch(filter *self, biqa_config *config) {
    const char *text = self->values[PATCH];
    int width, height, rest = 0;
    if (self->failed || !text[0])
        return;
    if (sscanf(text, "%9dx%9d%n", &width, &height, &rest) != 2 || text[rest] || width < 1 || height < 1) {
        char why[256];
        snprintf(why, sizeof why, "patch is WIDTHxHEIGHT in pixels, as in 64x64, not \"%.100s\"", text);
        stop(self, why);
        return;
    }
    config->patch_width = width;
    config->patch_height = height;
}

/* With the first frame: hosts set the parameters after they made the filter. */
static void start(filter *self) {
    self->started = 1;
    self->log = -1;
    if (!self->values[LOG][0]) {
        stop(self, "its first parameter, log, is not set: name a file");
        return;
    }
    self->log = open(self->values[LOG], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (self->log < 0) {
        char why[4096];
        snprintf(why, sizeof why, "the log %.3000s cannot be opened: %s", self->values[LOG], strerror(errno));
        stop(self, why);
        return;
    }
    if (!write_line(self,
                    "{\"type\": \"begin\", \"version\": \"%s\", \"width\": %u, \"height\": %u, \"received\": \"RGBA of "
                    "8 bits as the host made it: matrix, range, transfer and depth before that are not known here\", "
                    "\"claimed\": \"each frame for itself\"}\n",
                    biqa_version(), self->width, self->height)) {
        stop(self, strerror(errno));
        return;
    }
    biqa_config config = {.struct_size = sizeof config};
    config.epsilon = number(self, EPSILON);
    config.sigma = number(self, SIGMA);
    config.levels = number(self, LEVELS);
    patch(self, &config);
    config.alpha = number(self, ALPHA);
    config.samples = (int64_t)number(self, SAMPLES);
    config.threads = (int64_t)number(self, THREADS);
    self->subsample = (long long)number(self, SUBSAMPLE);
    if (!self->subsample)
        self->subsample = 1;
    if (self->failed)
        return;
    config.model = self->values[MODEL][0] ? self->values[MODEL] : NULL;
    config.scope = self->values[SCOPE][0] ? self->values[SCOPE] : NULL;
    config.secret_file = self->values[SECRET_FILE][0] ? self->values[SECRET_FILE] : NULL;
    self->rgb = malloc((size_t)self->width * self->height * 3);
    if (!self->rgb)
        stop(self, strerror(ENOMEM));
    else if (biqa_create(&config, &self->certifier) < 0)
        stop(self, biqa_error(NULL));
}

static void certify(filter *self, double time, const uint8_t *rgba) {
    size_t pixels = (size_t)self->width * self->height;
    unsigned opaque = 255;
    for (size_t i = 0; i < pixels; i++) {
        memcpy(self->rgb + 3 * i, rgba + 4 * i, 3);
        opaque &= rgba[4 * i + 3];
    }
    if (opaque != 255) {
        stop(self, "the frame has transparency: compose it over a background first");
        return;
    }
    biqa_result result = {.struct_size = sizeof result};
    int64_t stride = (int64_t)self->width * 3;
    if (biqa_certify_rgb(self->certifier, self->rgb, stride, self->width, self->height, 8, &result) < 0)
        stop(self, biqa_error(self->certifier));
    else if (!write_line(self,
                         "{\"type\": \"frame\", \"frameNum\": %lld, \"hostTime\": %.17g, \"received\": \"rgba8\", "
                         "\"certificate\": %s}\n",
                         self->frames, time, biqa_record(self->certifier)))
        stop(self, strerror(errno));
    else
        self->certified++;
}

EXPORT int f0r_init(void) { return 1; }

EXPORT void f0r_deinit(void) {}

EXPORT void f0r_get_plugin_info(f0r_plugin_info_t *info) {
    *info = (f0r_plugin_info_t){
        .name = "biqa",
        .author = "stochastic-biqa",
        .plugin_type = F0R_PLUGIN_TYPE_FILTER,
        .color_model = F0R_COLOR_MODEL_RGBA8888,
        .frei0r_version = FREI0R_MAJOR_VERSION,
        .major_version = 0,
        .minor_version = 1,
        .num_params = PARAMETERS,
        .explanation = "Certified blind image quality: passes frames through and logs a certificate for each",
    };
}

EXPORT void f0r_get_param_info(f0r_param_info_t *info, int index) {
    *info = (f0r_param_info_t){.name = NAMES[index][0], .type = F0R_PARAM_STRING, .explanation = NAMES[index][1]};
}

EXPORT f0r_instance_t f0r_construct(unsigned width, unsigned height) {
    /* frei0r knows no padding, but FFmpeg aligns rows to as many as 64 bytes and does not say so: frames of other
     * widths would be read askew. */
    if (width % 16) {
        fprintf(stderr, "biqa (frei0r): a width of %u is not a multiple of 16: scale or crop before\n", width);
        return NULL;
    }
    filter *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->width = width;
    self->height = height;
    self->plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    int made = self->plain != (locale_t)0;
    for (int i = 0; i < PARAMETERS; i++)
        made &= (self->values[i] = strdup("")) != NULL;
    if (!made) {
        f0r_destruct(self);
        return NULL;
    }
    return self;
}

EXPORT void f0r_destruct(f0r_instance_t instance) {
    filter *self = instance;
    if (self->started && self->log >= 0) {
        if (!write_line(self, "{\"type\": \"end\", \"frames\": %lld, \"certified\": %lld, \"complete\": %s}\n",
                        self->frames, self->certified, self->failed ? "false" : "true"))
            fprintf(stderr, "biqa (frei0r): %s: %s\n", self->values[LOG], strerror(errno));
        close(self->log);
    }
    biqa_destroy(self->certifier);
    free(self->rgb);
    if (self->plain != (locale_t)0)
        freelocale(self->plain);
    for (int i = 0; i < PARAMETERS; i++)
        free(self->values[i]);
    free(self);
}

EXPORT void f0r_set_param_value(f0r_instance_t instance, f0r_param_t value, int index) {
    filter *self = instance;
    char *copy = strdup(*(char **)value);
    if (self->started || !copy) { /* what is certified does not change on the way */
        free(copy);
        return;
    }
    free(self->values[index]);
    self->values[index] = copy;
}

EXPORT void f0r_get_param_value(f0r_instance_t instance, f0r_param_t value, int index) {
    *(char **)value = ((filter *)instance)->values[index];
}

EXPORT void f0r_update(f0r_instance_t instance, double time, const uint32_t *in, uint32_t *out) {
    filter *self = instance;
    memcpy(out, in, (size_t)self->width * self->height * 4);
    locale_t hosts = uselocale(self->plain);
    if (!self->started)
        start(self);
    if (!self->failed && self->frames % self->subsample == 0)
        certify(self, isfinite(time) ? time : -1, (const uint8_t *)in);
    self->frames++;
    uselocale(hosts);
}
