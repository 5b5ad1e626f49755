// Just enough CUDA for the kernels to run as host C++, one block after another.
//
// The threads of a block are fibers: each runs to its next barrier, then the next thread does, forwards or backwards
// as asked. A result that depends on the order is a missing barrier. Shared memory is spoilt before every block, and
// a barrier that some threads do not reach is an error, where a device would hang.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

using std::min;

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(threads)
#define __shared__ static __attribute__((section("device_shared")))

struct dim3 {
  unsigned x, y, z;
};

struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) ushort4 {
  unsigned short x, y, z, w;
};
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline ushort4 make_ushort4(unsigned short x, unsigned short y, unsigned short z, unsigned short w) {
  return {x, y, z, w};
}

inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)((unsigned __int128)a * b >> 64);
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int atomicAdd(int* at, int n) {
  const int old = *at;
  *at += n;
  return old;
}

// float32 -> the nearest half, ties to even. In double precision every step but the rounding is exact.
inline unsigned short half_bits(float x) {
  const unsigned sign = std::signbit(x) ? 0x8000 : 0;
  const double magnitude = std::fabs((double)x);
  if (std::isnan(x)) return (unsigned short)(sign | 0x7E00);
  if (magnitude >= 65536) return (unsigned short)(sign | 0x7C00);
  if (magnitude == 0) return (unsigned short)sign;
  int exponent;
  std::frexp(magnitude, &exponent);
  const int scale = std::max(exponent - 1, -14) - 10;
  const unsigned steps = (unsigned)std::nearbyint(std::ldexp(magnitude, -scale));
  return (unsigned short)(sign | (((unsigned)(scale + 24) << 10) + steps));
}

inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace shim {

extern "C" __attribute__((visibility("hidden"))) char __start_device_shared[], __stop_device_shared[];

enum Stop { BARRIER, VOTE, END };

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  Stop stop;
};

constexpr size_t STACK = 1 << 16;
inline ucontext_t scheduler;
inline std::vector<Fiber> fibers;
inline Fiber* current;
inline std::function<void()> body;
inline bool asked, answer;

inline void stop(Stop at) {
  current->stop = at;
  swapcontext(&current->context, &scheduler);
}

inline void enter() {
  body();
  stop(END);
}

// One block: rounds from barrier to barrier until every thread has ended. False where they part ways.
inline bool run_block(unsigned threads, bool backwards) {
  std::memset(__start_device_shared, 0xA5, (size_t)(__stop_device_shared - __start_device_shared));
  if (fibers.size() < threads) fibers.resize(threads);
  for (unsigned i = 0; i < threads; ++i) {
    Fiber& fiber = fibers[i];
    if (!fiber.stack) fiber.stack.reset(new char[STACK]);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
  }
  for (Stop stopped = BARRIER; stopped != END;) {
    asked = false;
    for (unsigned turn = 0; turn < threads; ++turn) {
      const unsigned i = backwards ? threads - 1 - turn : turn;
      threadIdx = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
      current = &fibers[i];
      swapcontext(&scheduler, &current->context);
      if (turn && current->stop != stopped) return false;
      stopped = current->stop;
    }
    answer = asked;
  }
  return true;
}

inline bool run(dim3 grid, dim3 block, bool backwards, std::function<void()> kernel) {
  body = kernel;
  gridDim = grid;
  blockDim = block;
  for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
      for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x)
        if (!run_block(block.x * block.y * block.z, backwards)) return false;
  return true;
}

}  // namespace shim

inline void __syncthreads() { shim::stop(shim::BARRIER); }
inline int __syncthreads_or(int predicate) {
  shim::asked |= predicate != 0;
  shim::stop(shim::VOTE);
  return shim::answer;
}
