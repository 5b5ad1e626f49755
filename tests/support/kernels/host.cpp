// The kernels of runtime/samplers/kernels as one host library with the driver's way of launching them.

#include "shim.h"

#include "lattice.cu"
#include "noise.cu"
#include "scores.cu"
#include "tiles.cu"

#include <map>
#include <string>
#include <utility>

namespace {

using Arguments = void**;
using Kernel = std::function<void(Arguments)>;

template <typename... P, size_t... I>
Kernel unpack(void (*kernel)(P...), std::index_sequence<I...>) {
  return [kernel](Arguments arguments) { kernel(*static_cast<P*>(arguments[I])...); };
}

template <typename... P>
Kernel entry(void (*kernel)(P...)) {
  return unpack(kernel, std::index_sequence_for<P...>{});
}

const std::map<std::string, Kernel> kernels = {
    {"lattice_u8", entry(lattice_u8)}, {"lattice_u16", entry(lattice_u16)},     {"noise_f32", entry(noise_f32)},
    {"noise_f16", entry(noise_f16)},   {"gather_scores", entry(gather_scores)}, {"cut_tiles", entry(cut_tiles)},
};

}  // namespace

// 0: done; 1: no such kernel; 2: threads of a block met different barriers.
extern "C" int launch(const char* name, const unsigned* grid, const unsigned* block, int backwards,
                      Arguments arguments) {
  const auto found = kernels.find(name);
  if (found == kernels.end()) return 1;
  const Kernel& kernel = found->second;
  const dim3 blocks = {grid[0], grid[1], 1}, threads = {block[0], block[1], block[2]};
  return shim::run(blocks, threads, backwards, [&] { kernel(arguments); }) ? 0 : 2;
}
