/* libbiqa: Python in a C library. All that is done is done in host.py; here numbers and strings change hands.
 *
 * Python is started by the first biqa_create, unless the process is a Python program already, and never stopped: its
 * extension modules cannot be loaded twice. It gets no signal handlers and leaves locale and C streams alone.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>

#include "biqa.h"

#define MODULE "bindings.capi.host"
#define LARGEST_STRUCT 4096 /* a struct_size beyond was surely not set */

_Static_assert(sizeof(void *) == 8, "all fields of the structs are 8 bytes wide");
_Static_assert(sizeof(biqa_config) == 17 * 8 && sizeof(biqa_planes) == 15 * 8 && sizeof(biqa_result) == 28 * 8,
               "the structs have no padding");

struct biqa_certifier {
    PyObject *host; /* bindings.capi.host.Host */
    char *error, *record;
};

static _Thread_local char thread_error[2048];

__attribute__((format(printf, 2, 3))) static int fail(int code, const char *format, ...) {
    va_list values;
    va_start(values, format);
    vsnprintf(thread_error, sizeof thread_error, format, values);
    va_end(values);
    return -code;
}

/* A copy of the text in the slot; nothing for no text, and where there is no memory left. */
static void replace(char **slot, const char *text) {
    free(*slot);
    *slot = text[0] ? strdup(text) : NULL;
}

/* A caller's struct as this library knows it: what an older header lacks is 0, what a newer one adds must be. */
static int take(const char *name, const void *from, void *to, size_t known) {
    uint64_t size;
    memcpy(&size, from, sizeof size);
    if (size < sizeof size || size % 8 || size > LARGEST_STRUCT)
        return fail(EINVAL, "struct_size of %s is %llu: set it to sizeof(%s)", name, (unsigned long long)size, name);
    for (size_t i = known; i < size; i++)
        if (((const unsigned char *)from)[i])
            return fail(E2BIG, "%s has a field set that libbiqa %s does not know: it is older than your biqa.h", name,
                        BIQA_VERSION);
    memset(to, 0, known);
    memcpy(to, from, size < known ? size : known);
    return 0;
}

/* Why Python stopped half-way on its start. It cannot be started again in this process. */
static char broken[sizeof thread_error];

static int not_started(const char *executable, PyStatus status) {
    const char *why = status.err_msg ? status.err_msg : "it exits";
    int code = fail(ENOSYS, "Python does not start with %s: %s: check PYTHONHOME", executable, why);
    memcpy(broken, thread_error, sizeof broken);
    return code;
}

static int start_python(void) {
    const char *chosen = getenv("BIQA_PYTHON");
    const char *executable = chosen && chosen[0] ? chosen : BIQA_DEFAULT_PYTHON;
    if (access(executable, X_OK))
        return fail(ENOENT, "%s is not a Python that can be run (%s): set BIQA_PYTHON to the one, of version %d.%d, "
                    "that stochastic-biqa is installed in", executable, strerror(errno), PY_MAJOR_VERSION,
                    PY_MINOR_VERSION);
    /* Extension modules look for Python's symbols in the global scope; a host that opened us with RTLD_LOCAL has put
     * libpython, which came with us, elsewhere. */
    Dl_info self;
    if (!dladdr((void *)(intptr_t)Py_IsInitialized, &self) ||
        !dlopen(self.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE))
        return fail(ENOSYS, "libpython cannot be made visible to its modules: %s", dlerror());

    PyPreConfig before;
    PyPreConfig_InitPythonConfig(&before);
    before.parse_argv = before.configure_locale = before.coerce_c_locale = 0;
    before.utf8_mode = 1;
    PyStatus status = Py_PreInitialize(&before);
    if (PyStatus_Exception(status))
        return not_started(executable, status);

    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.parse_argv = config.install_signal_handlers = config.configure_c_stdio = config.pathconfig_warnings = 0;
    config.safe_path = 1;
    /* The first import of signal takes SIGINT, install_signal_handlers or not: so here, and it is given back. */
    struct sigaction interrupt;
    sigaction(SIGINT, NULL, &interrupt);
    status = PyConfig_SetBytesString(&config, &config.executable, executable);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status))
        return not_started(executable, status);
    Py_XDECREF(PyImport_ImportModule("signal"));
    sigaction(SIGINT, &interrupt, NULL);
    PyErr_Clear();
    PyEval_SaveThread(); /* every later call, from whichever thread, takes the lock anew */
    return 0;
}

/* Python runs in this process afterwards. Takes no Python lock, so that a host that holds it cannot deadlock here. */
static int need_python(void) {
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    int code = 0;
    pthread_mutex_lock(&once);
    if (broken[0])
        code = fail(ENOSYS, "%s", broken);
    else if (!Py_IsInitialized())
        code = start_python();
    pthread_mutex_unlock(&once);
    if (code)
        return code;
    char wanted[16];
    snprintf(wanted, sizeof wanted, "%d.%d.", PY_MAJOR_VERSION, PY_MINOR_VERSION);
    if (strncmp(Py_GetVersion(), wanted, strlen(wanted)))
        return fail(ENOSYS, "this process runs Python %.7s and libbiqa was built for %d.%d: build it again with make "
                    "PYTHON=…", Py_GetVersion(), PY_MAJOR_VERSION, PY_MINOR_VERSION);
    return 0;
}

/* What Python raised, as a message of this thread: for errors outside host.py, which catches its own. */
static int raised(int code, const char *doing) {
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyObject *text = value ? PyObject_Str(value) : NULL;
    const char *why = text ? PyUnicode_AsUTF8(text) : NULL;
    fail(code, "%s: %s", doing, why ? why : "unknown error");
    PyErr_Clear();
    Py_XDECREF(text);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    return -code;
}

static int create(const biqa_config *config, biqa_certifier *made) {
    PyObject *module = PyImport_ImportModule(MODULE);
    if (!module) {
        PyObject *executable = PySys_GetObject("executable"); /* borrowed */
        const char *where = executable && PyUnicode_Check(executable) ? PyUnicode_AsUTF8(executable) : NULL;
        char doing[1024];
        snprintf(doing, sizeof doing, "stochastic-biqa cannot be loaded in %s: pip install onnxruntime numpy scipy "
                 "there, or set BIQA_PYTHON to another Python %d.%d", where ? where : "this Python", PY_MAJOR_VERSION,
                 PY_MINOR_VERSION);
        return raised(ENOSYS, doing);
    }
    PyObject *answer = PyObject_CallMethod(
        module, "create", "iyyyddLLy#yLKdLLd", BIQA_ABI, config->model, config->device, config->scope, config->epsilon,
        config->alpha, (long long)config->samples, (long long)config->threads, (const char *)config->secret,
        (Py_ssize_t)config->secret_size, config->secret_file, (long long)config->public_seed,
        (unsigned long long)config->flags, config->levels, (long long)config->patch_width,
        (long long)config->patch_height, config->sigma);
    Py_DECREF(module);
    int code;
    const char *message;
    if (!answer || !PyArg_ParseTuple(answer, "isO", &code, &message, &made->host)) {
        made->host = NULL;
        code = raised(EIO, "unforeseen");
    } else if (code) {
        made->host = NULL;
        code = fail(code, "%s", message);
    } else {
        Py_INCREF(made->host);
    }
    Py_XDECREF(answer);
    return code;
}

int biqa_create(const biqa_config *config, biqa_certifier **certifier) {
    biqa_config taken;
    const biqa_config defaults = {.struct_size = sizeof defaults};
    thread_error[0] = '\0';
    if (!certifier)
        return fail(EINVAL, "biqa_create needs a place for the certifier, not NULL");
    *certifier = NULL;
    int code = take("biqa_config", config ? config : &defaults, &taken, sizeof taken);
    if (code)
        return code;
    if (!taken.secret != !taken.secret_size || taken.secret_size > PY_SSIZE_T_MAX)
        return fail(EINVAL, "secret and secret_size belong together: %llu bytes at %p",
                    (unsigned long long)taken.secret_size, taken.secret);
    code = need_python();
    if (code)
        return code;
    biqa_certifier *made = calloc(1, sizeof *made);
    if (!made)
        return fail(ENOMEM, "out of memory");
    PyGILState_STATE state = PyGILState_Ensure();
    code = create(&taken, made);
    PyGILState_Release(state);
    if (code)
        free(made);
    else
        *certifier = made;
    return code;
}

/* As much of a result as the caller has room for. */
static void give(biqa_result *result, biqa_result known) {
    known.struct_size = result->struct_size;
    memcpy(result, &known, known.struct_size < sizeof known ? known.struct_size : sizeof known);
}

/* An error of this file, in the handle; its code. */
static int told(biqa_certifier *certifier, int code) {
    replace(&certifier->error, thread_error);
    return code;
}

/* Takes Python's lock, forgets what the handle said before and empties the result. After an error it is not held. */
static int begin(biqa_certifier *certifier, biqa_result *result, PyGILState_STATE *state) {
    if (!certifier)
        return fail(EINVAL, "the certifier is NULL: make one with biqa_create");
    if (!Py_IsInitialized())
        return fail(ENOSYS, "Python has ended in this process");
    *state = PyGILState_Ensure();
    replace(&certifier->error, "");
    replace(&certifier->record, "");
    uint64_t size = result ? result->struct_size : 0;
    if (size < sizeof size || size % 8 || size > LARGEST_STRUCT) {
        int code = told(certifier, fail(EINVAL, "struct_size of biqa_result is %llu: set it to sizeof(biqa_result)",
                                        (unsigned long long)size));
        PyGILState_Release(*state);
        return code;
    }
    /* Certifies nothing, for a caller who reads it without a look at the code. */
    give(result, (biqa_result){.score = NAN, .lower = -INFINITY, .upper = INFINITY, .flags = BIQA_ABSTAINED});
    return 0;
}

/* Call a method of host.py with the values, which Py_BuildValue makes a tuple of as the format says. */
static int ask(biqa_certifier *certifier, biqa_result *result, const char *method, const char *format, ...) {
    va_list values;
    va_start(values, format);
    PyObject *arguments = Py_VaBuildValue(format, values);
    va_end(values);
    PyObject *function = arguments ? PyObject_GetAttrString(certifier->host, method) : NULL;
    PyObject *answer = function ? PyObject_CallObject(function, arguments) : NULL;
    Py_XDECREF(function);
    Py_XDECREF(arguments);

    int code;
    const char *message, *record, *frame, *scores;
    long long samples, drawn, failed_samples;
    unsigned long long flags;
    biqa_result got = {0};
    if (!answer || !PyArg_ParseTuple(answer, "issdddddLLLKss", &code, &message, &record, &got.score, &got.lower,
                                     &got.upper, &got.epsilon, &got.alpha, &samples, &drawn, &failed_samples, &flags,
                                     &frame, &scores)) {
        code = told(certifier, raised(EIO, "unforeseen"));
    } else if (code) {
        code = -code;
        replace(&certifier->error, message);
    } else {
        got.samples = samples;
        got.drawn = drawn;
        got.failed_samples = failed_samples;
        got.flags = flags;
        snprintf(got.frame_sha256, sizeof got.frame_sha256, "%s", frame);
        snprintf(got.scores_sha256, sizeof got.scores_sha256, "%s", scores);
        give(result, got);
        replace(&certifier->record, record);
    }
    Py_XDECREF(answer);
    return code;
}

int biqa_certify_rgb(biqa_certifier *certifier, const void *pixels, int64_t stride, int64_t width, int64_t height,
                     int64_t bit_depth, biqa_result *result) {
    PyGILState_STATE state;
    int code = begin(certifier, result, &state);
    if (code)
        return code;
    code = ask(certifier, result, "certify_rgb", "(KLLLL)", (unsigned long long)(uintptr_t)pixels, (long long)stride,
               (long long)width, (long long)height, (long long)bit_depth);
    PyGILState_Release(state);
    return code;
}

int biqa_certify_yuv(biqa_certifier *certifier, const biqa_planes *planes, biqa_result *result) {
    PyGILState_STATE state;
    int code = begin(certifier, result, &state);
    if (code)
        return code;
    biqa_planes taken;
    code = planes ? take("biqa_planes", planes, &taken, sizeof taken) : fail(EINVAL, "planes is NULL");
    if (code)
        code = told(certifier, code);
    else
        code = ask(certifier, result, "certify_yuv", "((KKK)(LLL)LLLyyyyy)",
                   (unsigned long long)(uintptr_t)taken.data[0], (unsigned long long)(uintptr_t)taken.data[1],
                   (unsigned long long)(uintptr_t)taken.data[2], (long long)taken.stride[0],
                   (long long)taken.stride[1], (long long)taken.stride[2], (long long)taken.width,
                   (long long)taken.height, (long long)taken.bit_depth, taken.subsampling, taken.matrix, taken.range,
                   taken.chroma_location, taken.transfer);
    PyGILState_Release(state);
    return code;
}

const char *biqa_record(const biqa_certifier *certifier) {
    return certifier && certifier->record ? certifier->record : "";
}

const char *biqa_error(const biqa_certifier *certifier) {
    if (!certifier)
        return thread_error;
    return certifier->error ? certifier->error : "";
}

void biqa_destroy(biqa_certifier *certifier) {
    if (!certifier)
        return;
    if (Py_IsInitialized()) { /* a Python host may have ended before */
        PyGILState_STATE state = PyGILState_Ensure();
        PyObject *done = PyObject_CallMethod(certifier->host, "close", NULL);
        if (!done)
            PyErr_Clear();
        Py_XDECREF(done);
        Py_DECREF(certifier->host);
        PyGILState_Release(state);
    }
    free(certifier->error);
    free(certifier->record);
    free(certifier);
}

const char *biqa_version(void) { return BIQA_VERSION; }
