/* A host in plain C: certifies a PPM file, or every frame of a file of raw planes.
 *
 *     biqa-example [--model M] [--epsilon E] [--samples N] [--secret-file F] [--json] photo.ppm
 *     biqa-example --model tiles --levels 1 --patch 64x64 photo.ppm
 *     biqa-example --raw 1920x1080:4:2:0:10 --matrix bt709 --range limited --siting left clip.yuv
 *
 * Prints a line a frame, the score and its interval, or with --json the record. Exit status 0, or 2 for an error.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "biqa.h"

typedef struct {
    const char *path;
    int json;
    biqa_planes planes; /* width 0: the file is a PPM file */
} job;

static int complain(const char *path, const char *why) {
    fprintf(stderr, "biqa-example: %s: %s\n", path, why);
    return 2;
}

static int print(const job *job, long frame, const biqa_certifier *certifier, const biqa_result *result) {
    if (job->json)
        puts(biqa_record(certifier));
    else if (result->flags & BIQA_ABSTAINED)
        printf("%s frame %ld: %.17g, nothing certified: --json says how many samples would do\n", job->path, frame,
               result->score);
    else
        printf("%s frame %ld: %.17g [%.17g, %.17g]%s\n", job->path, frame, result->score, result->lower, result->upper,
               result->flags & BIQA_ASSUMED ? ", colours assumed" : "");
    return 0;
}

/* A whole number of a PPM header, after white space and comments; -1 where there is none. */
static long number(FILE *file) {
    int next = fgetc(file);
    while (next == '#' || next == ' ' || next == '\t' || next == '\r' || next == '\n') {
        if (next == '#')
            while (next != '\n' && next != EOF)
                next = fgetc(file);
        next = fgetc(file);
    }
    long value = -1;
    for (; next >= '0' && next <= '9' && value < 100000; next = fgetc(file))
        value = (value < 0 ? 0 : 10 * value) + next - '0';
    return value;
}

static int certify_ppm(const job *job, FILE *file, biqa_certifier *certifier) {
    int magic = fgetc(file) == 'P' && fgetc(file) == '6';
    long width = magic ? number(file) : -1, height = number(file), top = number(file);
    if (width < 1 || height < 1 || (top != 255 && top != 65535))
        return complain(job->path, "not a binary PPM file (P6) of 8 or 16 bits");
    size_t sample = top == 255 ? 1 : 2, size = (size_t)width * (size_t)height * 3 * sample;
    unsigned char *pixels = malloc(size);
    if (!pixels)
        return complain(job->path, strerror(ENOMEM));
    int status = 0;
    if (fread(pixels, 1, size, file) != size || fgetc(file) != EOF)
        status = complain(job->path, "is not as long as its header says");
    for (size_t i = 0; sample == 2 && i < size; i += 2) { /* stored with the high byte first */
        uint16_t value = (uint16_t)(pixels[i] << 8 | pixels[i + 1]);
        memcpy(pixels + i, &value, 2);
    }
    biqa_result result = {.struct_size = sizeof result};
    if (!status) {
        int64_t stride = (int64_t)width * 3 * (int64_t)sample;
        if (biqa_certify_rgb(certifier, pixels, stride, width, height, (int64_t)sample * 8, &result) < 0)
            status = complain(job->path, biqa_error(certifier));
        else
            print(job, 0, certifier, &result);
    }
    free(pixels);
    return status;
}

static int certify_planes(const job *job, FILE *file, biqa_certifier *certifier) {
    biqa_planes planes = job->planes;
    size_t sample = planes.bit_depth == 8 ? 1 : 2, sizes[3], whole = 0;
    int64_t right = planes.subsampling[2] == '2' ? 2 : 1, down = planes.subsampling[4] == '0' ? 2 : 1;
    for (int i = 0; i < 3; i++) {
        int64_t columns = i ? (planes.width + right - 1) / right : planes.width;
        int64_t rows = i ? (planes.height + down - 1) / down : planes.height;
        planes.stride[i] = columns * (int64_t)sample;
        sizes[i] = (size_t)(planes.stride[i] * rows);
        whole += sizes[i];
    }
    unsigned char *memory = malloc(whole);
    if (!memory)
        return complain(job->path, strerror(ENOMEM));
    planes.data[0] = memory;
    planes.data[1] = memory + sizes[0];
    planes.data[2] = memory + sizes[0] + sizes[1];
    int status = 0;
    long frame = 0;
    for (size_t got; !status && (got = fread(memory, 1, whole, file)) > 0; frame++) {
        biqa_result result = {.struct_size = sizeof result};
        if (got != whole)
            status = complain(job->path, "ends within a frame: it is cut, or --raw is not what it holds");
        else if (biqa_certify_yuv(certifier, &planes, &result) < 0)
            status = complain(job->path, biqa_error(certifier));
        else
            print(job, frame, certifier, &result);
    }
    if (!status && frame == 0)
        status = complain(job->path, "is empty");
    free(memory);
    return status;
}

/* "1920x1080:4:2:0:10" into planes; 0 where it is not that. */
static int parse_raw(const char *text, biqa_planes *planes) {
    static char subsampling[6];
    int width, height, depth, rest = 0;
    if (sscanf(text, "%5dx%5d:%5[0-9:]:%2d%n", &width, &height, subsampling, &depth, &rest) != 4 || text[rest] ||
        width < 1 || height < 1)
        return 0;
    planes->width = width;
    planes->height = height;
    planes->bit_depth = depth;
    planes->subsampling = subsampling;
    return !strcmp(subsampling, "4:2:0") || !strcmp(subsampling, "4:2:2") || !strcmp(subsampling, "4:4:4");
}

int main(int count, char **arguments) {
    static const struct option options[] = {
        {"model", required_argument, 0, 'm'},  {"epsilon", required_argument, 0, 'e'},
        {"samples", required_argument, 0, 'n'}, {"secret-file", required_argument, 0, 's'},
        {"json", no_argument, 0, 'j'},         {"raw", required_argument, 0, 'r'},
        {"matrix", required_argument, 0, 'x'}, {"range", required_argument, 0, 'g'},
        {"siting", required_argument, 0, 'c'}, {"levels", required_argument, 0, 'l'},
        {"patch", required_argument, 0, 'p'},  {0, 0, 0, 0}};
    biqa_config config = {.struct_size = sizeof config};
    job job = {.planes = {.struct_size = sizeof job.planes}};
    for (int option; (option = getopt_long(count, arguments, "", options, NULL)) != -1;) {
        char *end = "";
        switch (option) {
        case 'm': config.model = optarg; break;
        case 'e': config.epsilon = strtod(optarg, &end); break;
        case 'n': config.samples = strtol(optarg, &end, 10); break;
        case 's': config.secret_file = optarg; break;
        case 'j': job.json = 1; break;
        case 'r':
            if (!parse_raw(optarg, &job.planes))
                return complain(optarg, "is not like 1920x1080:4:2:0:10");
            break;
        case 'l': config.levels = strtod(optarg, &end); break;
        case 'p':
            config.patch_width = strtol(optarg, &end, 10);
            config.patch_height = *end == 'x' ? strtol(end + 1, &end, 10) : 0;
            break;
        case 'x': job.planes.matrix = optarg; break;
        case 'g': job.planes.range = optarg; break;
        case 'c': job.planes.chroma_location = optarg; break;
        default: return 2;
        }
        if (*end || (option != 'j' && !*optarg))
            return complain(optarg, "is not a value of that option");
    }
    if (optind != count - 1)
        return complain("usage", "biqa-example [options] FILE, see the head of example.c");
    job.path = arguments[optind];
    FILE *file = fopen(job.path, "rb");
    if (!file)
        return complain(job.path, strerror(errno));
    setvbuf(stdout, NULL, _IOLBF, 0); /* a certificate takes long: show each at once, in a pipe too */
    biqa_certifier *certifier;
    int status = 0;
    if (biqa_create(&config, &certifier) < 0)
        status = complain("no certifier", biqa_error(NULL));
    else if (job.planes.width)
        status = certify_planes(&job, file, certifier);
    else
        status = certify_ppm(&job, file, certifier);
    biqa_destroy(certifier);
    fclose(file);
    if (fflush(stdout))
        status = complain("standard output", strerror(errno));
    return status;
}
