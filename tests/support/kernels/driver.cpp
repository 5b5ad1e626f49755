// A libcuda of host memory: the calls that PyCUDA makes for the sampler, done at once, and checked.
//
// Every call but those on devices and contexts takes a current context, as on a GPU. Memory is counted, so that a leak
// or a second free is seen, and belongs to the context it was allocated in. The clock of events ticks once a launch or
// copy, a millisecond. Kernels are those of host.cpp. What PyCUDA never calls here is left out.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <string>
#include <vector>

extern "C" int launch(const char* name, const unsigned* grid, const unsigned* block, int backwards, void** arguments);

namespace {

enum Result { SUCCESS = 0, INVALID_VALUE = 1, INVALID_CONTEXT = 201 };

struct Block {
  size_t size;
  void* context;
};

int primary, retained;
unsigned clock_now;
std::vector<void*> contexts;
std::map<void*, Block> memory, handles;

bool none() { return contexts.empty(); }

Result make(std::map<void*, Block>& kind, void** out, size_t size) {
  if (none()) return INVALID_CONTEXT;
  if (size == 0) return INVALID_VALUE;
  *out = std::aligned_alloc(256, (size + 255) / 256 * 256);
  kind[*out] = {size, contexts.back()};
  return SUCCESS;
}

Result drop(std::map<void*, Block>& kind, void* one) {
  if (none()) return INVALID_CONTEXT;
  if (!kind.erase(one)) return INVALID_VALUE;
  std::free(one);
  return SUCCESS;
}

Result copy(void* to, const void* from, size_t size, void* stream) {
  if (none() || !handles.count(stream)) return INVALID_CONTEXT;
  std::memcpy(to, from, size);
  ++clock_now;
  return SUCCESS;
}

// Whether all of it lies in one block that the current context may read.
bool readable(const void* address, size_t size) {
  auto after = memory.upper_bound(const_cast<void*>(address));
  if (none() || after == memory.begin()) return false;
  const auto& [start, block] = *std::prev(after);
  return block.context == contexts.back() &&
         static_cast<const char*>(address) + size <= static_cast<const char*>(start) + block.size;
}

// CUDA_MEMCPY2D, as cuda.h lays it out.
struct Place {
  size_t x, y;
  int type;  // 1: host, 2: device
  void* host;
  void* device;
  void* array;
  size_t pitch;
};

struct Rows {
  Place from, to;
  size_t width, height;
};

Result known(void* one, void* other) {
  return none() ? INVALID_CONTEXT : handles.count(one) && handles.count(other) ? SUCCESS : INVALID_VALUE;
}

// The kernels' arguments as runtime/samplers/kernels/__init__.py names them.
std::string arguments_of(const std::string& kernel) {
  if (kernel == "noise_f32") return "PiiPPiIPiiQQQP";
  if (kernel == "noise_f16") return "PiiPPiIPiiQQQfP";
  return kernel == "gather_scores" ? "PiiP" : "PiiiiP";
}

}  // namespace

extern "C" {

int standin_memory() { return (int)memory.size(); }
int standin_contexts() { return (int)contexts.size(); }
int standin_retained() { return retained; }

int cuInit(unsigned) { return SUCCESS; }
int cuDriverGetVersion(int* version) { return *version = 13010, SUCCESS; }
int cuGetErrorString(int, const char** text) { return *text = "refused by the stand-in", SUCCESS; }
int cuDeviceGet(int* device, int index) { return *device = index, SUCCESS; }
int cuDeviceGetCount(int* count) { return *count = 1, SUCCESS; }
int cuDeviceGetName(char* name, int size, int) { return std::snprintf(name, size, "stand-in"), SUCCESS; }
int cuDeviceComputeCapability(int* major, int* minor, int) { return *major = 8, *minor = 9, SUCCESS; }
int cuDeviceGetAttribute(int* value, int attribute, int) {
  switch (attribute) {
    case 1: return *value = 1024, SUCCESS;      // MAX_THREADS_PER_BLOCK
    case 8: return *value = 49152, SUCCESS;     // MAX_SHARED_MEMORY_PER_BLOCK
    case 10: return *value = 32, SUCCESS;       // WARP_SIZE
    case 12: return *value = 65536, SUCCESS;    // MAX_REGISTERS_PER_BLOCK
    case 16: return *value = 2, SUCCESS;        // MULTIPROCESSOR_COUNT
    case 39: return *value = 1536, SUCCESS;     // MAX_THREADS_PER_MULTIPROCESSOR
    case 75: return *value = 8, SUCCESS;        // COMPUTE_CAPABILITY_MAJOR
    case 76: return *value = 9, SUCCESS;        // COMPUTE_CAPABILITY_MINOR
    case 81: return *value = 102400, SUCCESS;   // MAX_SHARED_MEMORY_PER_MULTIPROCESSOR
    case 82: return *value = 65536, SUCCESS;    // MAX_REGISTERS_PER_MULTIPROCESSOR
  }
  return INVALID_VALUE;
}

int cuDevicePrimaryCtxRetain(void** context, int) { return *context = &primary, ++retained, SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { return --retained < 0 ? INVALID_CONTEXT : SUCCESS; }
int cuCtxPushCurrent_v2(void* context) { return contexts.push_back(context), SUCCESS; }
int cuCtxPopCurrent_v2(void** context) {
  if (none()) return INVALID_CONTEXT;
  *context = contexts.back();
  contexts.pop_back();
  return SUCCESS;
}
int cuCtxGetDevice(int* device) { return *device = 0, none() ? INVALID_CONTEXT : SUCCESS; }

int cuStreamCreate(void** stream, unsigned flags) { return flags == 1 ? make(handles, stream, 1) : INVALID_VALUE; }
int cuStreamDestroy_v2(void* stream) { return drop(handles, stream); }
int cuStreamSynchronize(void* stream) { return known(stream, stream); }
int cuStreamWaitEvent(void* stream, void* event, unsigned) { return known(stream, event); }
int cuCtxSynchronize() { return none() ? INVALID_CONTEXT : SUCCESS; }
int cuEventCreate(void** event, unsigned flags) {  // 2: without a time
  return flags == 0 || flags == 2 ? make(handles, event, sizeof clock_now) : INVALID_VALUE;
}
int cuEventDestroy_v2(void* event) { return drop(handles, event); }
int cuEventRecord(void* event, void* stream) {
  const Result found = known(event, stream);
  if (found == SUCCESS) *static_cast<unsigned*>(event) = clock_now;
  return found;
}
int cuEventSynchronize(void* event) { return known(event, event); }
int cuEventElapsedTime_v2(float* milliseconds, void* from, void* to) {
  const Result found = known(from, to);
  if (found == SUCCESS) *milliseconds = *static_cast<unsigned*>(to) - *static_cast<unsigned*>(from);
  return found;
}

int cuMemAlloc_v2(void** address, size_t size) { return make(memory, address, size); }
int cuMemFree_v2(void* address) { return drop(memory, address); }
int cuMemHostAlloc(void** address, size_t size, unsigned) { return make(memory, address, size); }
int cuMemFreeHost(void* address) { return drop(memory, address); }
int cuMemGetInfo_v2(size_t* free, size_t* total) {
  *total = *free = size_t{1} << 30;
  for (const auto& block : memory) *free -= block.second.size;
  return none() ? INVALID_CONTEXT : SUCCESS;
}
int cuPointerGetAttribute(void* data, int attribute, void* address) {  // 3: DEVICE_POINTER
  if (attribute != 3 || !readable(address, 1)) return INVALID_VALUE;
  return *static_cast<void**>(data) = address, SUCCESS;
}
int cuMemcpyHtoD_v2(void* to, const void* from, size_t size) {
  return none() ? INVALID_CONTEXT : (std::memcpy(to, from, size), SUCCESS);
}
int cuMemcpyDtoDAsync_v2(void* to, const void* from, size_t size, void* stream) { return copy(to, from, size, stream); }
int cuMemcpy2DAsync_v2(const Rows* rows, void* stream) {
  const Place &from = rows->from, &to = rows->to;
  if (from.type != 2 || to.type != 1 || from.x || from.y || to.x || to.y) return INVALID_VALUE;
  if (from.pitch < rows->width || to.pitch < rows->width) return INVALID_VALUE;
  for (size_t row = 0; row < rows->height; ++row) {
    const char* source = static_cast<char*>(from.device) + row * from.pitch;
    if (!readable(source, rows->width)) return INVALID_VALUE;
    const Result done = copy(static_cast<char*>(to.host) + row * to.pitch, source, rows->width, stream);
    if (done != SUCCESS) return done;
  }
  return SUCCESS;
}
int cuMemcpyHtoDAsync_v2(void* to, const void* from, size_t size, void* stream) { return copy(to, from, size, stream); }
int cuMemcpyDtoHAsync_v2(void* to, const void* from, size_t size, void* stream) { return copy(to, from, size, stream); }

int cuModuleLoadDataEx(void** module, const void*, unsigned, void*, void*) { return make(handles, module, 1); }
int cuModuleLoadData(void** module, const void*) { return make(handles, module, 1); }
int cuModuleUnload(void* module) { return drop(handles, module); }
int cuModuleGetFunction(void** function, void*, const char* name) { return *function = strdup(name), SUCCESS; }
int cuFuncSetBlockShape(void*, int, int, int) { return SUCCESS; }
int cuFuncGetAttribute(int* value, int attribute, void*) {  // 4: registers a thread, 1: bytes of shared memory
  return *value = attribute == 4 ? 40 : attribute == 1 ? 30736 : 0, SUCCESS;
}

// PyCUDA packs the arguments into one buffer: extra holds (1, buffer), (2, pointer to its size), 0.
int cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                   unsigned block_z, unsigned, void* stream, void**, void** extra) {
  if (none() || !handles.count(stream)) return INVALID_CONTEXT;
  if (grid_z != 1 || (uintptr_t)extra[0] != 1 || (uintptr_t)extra[2] != 2) return INVALID_VALUE;
  const char* name = static_cast<const char*>(function);
  char* buffer = static_cast<char*>(extra[1]);
  std::vector<void*> arguments;
  size_t at = 0;
  for (const char letter : arguments_of(name)) {
    const size_t size = letter == 'i' || letter == 'I' || letter == 'f' ? 4 : 8;
    at = (at + size - 1) / size * size;
    arguments.push_back(buffer + at);
    at += size;
  }
  if (at != *static_cast<size_t*>(extra[3])) return INVALID_VALUE;
  const unsigned grid[] = {grid_x, grid_y}, block[] = {block_x, block_y, block_z};
  ++clock_now;
  return launch(name, grid, block, 0, arguments.data()) == 0 ? SUCCESS : INVALID_VALUE;
}
}
