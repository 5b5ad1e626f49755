// Lattice + key + sample numbers -> the engine's input: what noise.draw defines, drawn, added and cast in one pass.
//
// A block of THREADS threads makes one TILE of consecutive values of one sample at a time, in three steps:
//
//   1. cells    each thread runs Philox4x64-10 once: 16 values of stream 0, from the table into shared memory;
//   2. pool     the few residual values of the whole tile are queued, and the first threads refine them together from
//               stream 1. Refined where they were found, one lane in 150 would hold up its whole warp;
//   3. output   noise + lattice, cast, stored by adjacent threads to adjacent addresses, four values at a time where
//               rows are aligned. The engine's input is written once; the lattice is the only other traffic.
//
// Table. A direct one has 65,536 entries: too large for shared memory on most devices, and in L1 or L2 a warp's 32
// random reads touch some 32 lines, one after another. But cells are sorted by value, and the values that own whole
// cells are consecutive, so from cell to cell the value stays or grows by one. One bit a cell says which, and
//
//     value(cell) = lowest + ranks[cell / 32] + number of bits of jumps[cell / 32] up to cell % 32
//
// is the same table in 12 KiB of shared memory, read in two accesses without a search (table.py).
//
// Work is ordered sample by sample within a tile, so that the lattice is read from memory once a batch, else from L2.
//
// Limits: size + TILE and tiles x count below 2^31. Any grid will do; blocks that are not resident at once only load
// the table again.

typedef unsigned int u32;
typedef unsigned long long u64;

#define THREADS 256
#define LANES 16                // values of one Philox block in stream 0
#define TILE (THREADS * LANES)  // values
#define BUCKETS 2048            // of 32 cells
#define QUEUE 1024              // residual values refined at a time

#ifdef __CUDACC__
__device__ __forceinline__ unsigned short half_bits(float x) {  // round to nearest, ties to even
  unsigned short bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}
#endif

struct Law {                    // of one value of noise: table.py
  const u32* jumps;             // [BUCKETS]
  const unsigned short* ranks;  // [BUCKETS]
  int lowest;                   // value of cell 0
  u32 whole;                    // cells from here on are residual
  const u64* upper;             // [thresholds], ascending
  int thresholds;
  int residual_lowest;          // value below the first threshold
};

struct Draw {  // which noise: the key's two words, and the number of the batch's first sample
  u64 key0, key1, start;
};

struct Shared {
  int4 values[TILE / 4];
  u32 jumps[BUCKETS];
  unsigned short ranks[BUCKETS];
  unsigned short queue[QUEUE];
  int queued;
};

struct Block {  // of four Philox words
  u64 a, b, c, d;
};

__device__ __forceinline__ Block philox(u64 block, u64 sample, u64 stream, u64 key0, u64 key1) {
  Block x = {block, sample, stream, 0};
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const u64 high0 = __umul64hi(0xD2E7470EE14C6C93ull, x.a), low0 = 0xD2E7470EE14C6C93ull * x.a;
    const u64 high1 = __umul64hi(0xCA5A826395121157ull, x.c), low1 = 0xCA5A826395121157ull * x.c;
    x = {high1 ^ x.b ^ key0, low1, high0 ^ x.d ^ key1, low0};
    key0 += 0x9E3779B97F4A7C15ull;
    key1 += 0xBB67AE8584CAA73Bull;
  }
  return x;
}

// Where four values of a tile lie in shared memory: turned so that neither a thread's 16 values (step 1) nor a warp's
// adjacent quads (step 3) meet in one bank.
__device__ __forceinline__ int place(int quad) { return quad ^ (quad >> 3 & 3); }

__device__ __forceinline__ int& value_at(Shared& shared, int i) {
  return reinterpret_cast<int*>(shared.values)[place(i >> 2) * 4 + (i & 3)];
}

__device__ __forceinline__ int cell_value(const Shared& shared, const Law& law, u32 cell) {
  const u32 up_to = (2u << (cell & 31)) - 1;
  return law.lowest + shared.ranks[cell >> 5] + __popc(shared.jumps[cell >> 5] & up_to);
}

// Step 1 for one thread: 16 values into shared memory; returns the bits of those that are residual.
__device__ __forceinline__ u32 draw_cells(Shared& shared, const Law& law, const Draw& draw, u64 sample, int first,
                                          int size) {
  const int mine = first + LANES * (int)threadIdx.x;
  if (mine >= size) return 0;
  const Block bits = philox(1 + (u64)(mine / LANES), sample, 0, draw.key0, draw.key1);
  const u64 words[4] = {bits.a, bits.b, bits.c, bits.d};
  u32 residual = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    int values[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const u32 cell = (u32)(words[i] >> 16 * j) & 0xFFFF;
      values[j] = cell_value(shared, law, cell);
      residual |= (u32)(cell >= law.whole) << (4 * i + j);
    }
    shared.values[place(4 * (int)threadIdx.x + i)] = make_int4(values[0], values[1], values[2], values[3]);
  }
  const int inside = size - mine;
  return inside < LANES ? residual & ((1u << inside) - 1) : residual;
}

// Step 2 for one value: 64 more bits, and how many thresholds lie at or below them.
__device__ __forceinline__ int refine(const Law& law, const Draw& draw, u64 sample, int position) {
  const Block bits = philox(1 + (u64)(position / 4), sample, 1, draw.key0, draw.key1);
  const u64 even = position & 2 ? bits.c : bits.a, odd = position & 2 ? bits.d : bits.b;
  const u64 u = position & 1 ? odd : even;
  int low = 0, high = law.thresholds;
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (law.upper[middle] <= u)
      low = middle + 1;
    else
      high = middle;
  }
  return law.residual_lowest + low;
}

// Steps 1 and 2: the noise of values first ... first + TILE - 1 of a sample, in shared memory.
__device__ __forceinline__ void draw_tile(Shared& shared, const Law& law, const Draw& draw, u64 sample, int first,
                                          int size) {
  __syncthreads();  // the table is loaded, the last tile is written out, the queue is empty
  u32 residual = draw_cells(shared, law, draw, sample, first, size);
  int more;
  do {
    for (u32 left = residual; left; left &= left - 1) {
      const int at = atomicAdd(&shared.queued, 1);
      if (at >= QUEUE) break;  // the next round takes it
      shared.queue[at] = (unsigned short)(LANES * threadIdx.x + __ffs((int)left) - 1);
      residual = left & (left - 1);
    }
    __syncthreads();  // cells and queue are written
    const int queued = min(shared.queued, QUEUE);
    for (int i = threadIdx.x; i < queued; i += THREADS)
      value_at(shared, shared.queue[i]) = refine(law, draw, sample, first + shared.queue[i]);
    more = __syncthreads_or(residual != 0);  // refined values are written, everyone has read the queue
    if (threadIdx.x == 0) shared.queued = 0;
    if (more) __syncthreads();  // the queue is empty for everyone
  } while (more);
}

__device__ __forceinline__ void load_table(Shared& shared, const Law& law) {
  for (int i = threadIdx.x; i < BUCKETS; i += THREADS) {
    shared.jumps[i] = law.jumps[i];
    shared.ranks[i] = law.ranks[i];
  }
  if (threadIdx.x == 0) shared.queued = 0;
}

// The casts of step 3. Lattice value plus noise is exact in float32 (noise.table_for). Scaled to half precision, the
// product with the lattice unit is rounded to float32, as in the graph, and then to the nearest half, ties to even.
struct Integers {
  typedef float One;
  typedef float4 Four;
  __device__ float one(int n) const { return (float)n; }
  __device__ float4 four(int4 n) const { return make_float4(one(n.x), one(n.y), one(n.z), one(n.w)); }
};

struct Halves {
  typedef unsigned short One;
  typedef ushort4 Four;
  float unit;
  __device__ unsigned short one(int n) const { return half_bits((float)n * unit); }
  __device__ ushort4 four(int4 n) const { return make_ushort4(one(n.x), one(n.y), one(n.z), one(n.w)); }
};

template <typename Cast>
__device__ __forceinline__ void write_tile(Shared& shared, const Cast& cast, const int* lattice, int first, int size,
                                           typename Cast::One* row) {
  const int length = min(TILE, size - first);
  if (size % 4 == 0) {
    const int4* clean = reinterpret_cast<const int4*>(lattice + first);
    typename Cast::Four* out = reinterpret_cast<typename Cast::Four*>(row + first);
    for (int quad = threadIdx.x; quad < length / 4; quad += THREADS) {
      const int4 v = clean[quad], k = shared.values[place(quad)];
      out[quad] = cast.four(make_int4(v.x + k.x, v.y + k.y, v.z + k.z, v.w + k.w));
    }
  } else {
    for (int i = threadIdx.x; i < length; i += THREADS)
      row[first + i] = cast.one(lattice[first + i] + value_at(shared, i));
  }
}

template <typename Cast>
__device__ __forceinline__ void noisy(Shared& shared, const Law& law, const Draw& draw, const Cast& cast,
                                      const int* lattice, int size, int count, typename Cast::One* out) {
  load_table(shared, law);
  const int tiles = (size + TILE - 1) / TILE;
  for (int work = blockIdx.x; work < tiles * count; work += gridDim.x) {
    const int first = work / count * TILE, i = work % count;
    draw_tile(shared, law, draw, draw.start + (u64)i, first, size);
    write_tile(shared, cast, lattice, first, size, out + (long long)i * size);
  }
}

// lattice int32[size], out count x size, 16-byte aligned; sample i of the batch is number start + i.
extern "C" __global__ void __launch_bounds__(THREADS)
    noise_f32(const int* __restrict__ lattice, int size, int count, const u32* __restrict__ jumps,
              const unsigned short* __restrict__ ranks, int lowest, u32 whole, const u64* __restrict__ upper,
              int thresholds, int residual_lowest, u64 key0, u64 key1, u64 start, float* __restrict__ out) {
  __shared__ Shared shared;
  const Law law = {jumps, ranks, lowest, whole, upper, thresholds, residual_lowest};
  noisy(shared, law, Draw{key0, key1, start}, Integers{}, lattice, size, count, out);
}

// The same times unit, in half precision.
extern "C" __global__ void __launch_bounds__(THREADS)
    noise_f16(const int* __restrict__ lattice, int size, int count, const u32* __restrict__ jumps,
              const unsigned short* __restrict__ ranks, int lowest, u32 whole, const u64* __restrict__ upper,
              int thresholds, int residual_lowest, u64 key0, u64 key1, u64 start, float unit,
              unsigned short* __restrict__ out) {
  __shared__ Shared shared;
  const Law law = {jumps, ranks, lowest, whole, upper, thresholds, residual_lowest};
  noisy(shared, law, Draw{key0, key1, start}, Halves{unit}, lattice, size, count, out);
}
