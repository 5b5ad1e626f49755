// Noisy frames -> tiles of T x T in the engine's input: what frames.tiles cuts, on the device.
//
//     frames   float32 samples x 3 x h x w, lattice plus noise, as noise_f32 writes it
//     edges    where rows and columns of tiles begin, and the end of the last: rows + 1 and columns + 1 of them
//     out      float32 count x 3 x T x T: tiles first ... first + count - 1, sample after sample, row after row
//
// A tile that is smaller than T x T is filled with its own last rows and columns, mirrored. Behind the last tile of the
// last sample there is 0. One thread writes one value; adjacent threads write adjacent addresses and read them, but for
// mirrored columns. It moves what the engine reads once more, next to a network that works on it.

extern "C" __global__ void __launch_bounds__(256)
    cut_tiles(const float* __restrict__ frames, int samples, int h, int w, const int* __restrict__ row_edges, int rows,
              const int* __restrict__ column_edges, int columns, int T, int first, int count, float* __restrict__ out) {
  const int values = 3 * T * T;
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= values * count) return;
  const int tile = first + i / values, at = i % values;
  const int sample = tile / (rows * columns), number = tile % (rows * columns);
  if (sample >= samples) {
    out[i] = 0;
    return;
  }
  const int top = row_edges[number / columns], height = row_edges[number / columns + 1] - top;
  const int left = column_edges[number % columns], width = column_edges[number % columns + 1] - left;
  int y = at / T % T, x = at % T;
  if (y >= height) y = 2 * height - 1 - y;
  if (x >= width) x = 2 * width - 1 - x;
  const long long row = ((long long)sample * 3 + at / (T * T)) * h + top + y;
  out[i] = frames[row * w + left + x];
}
