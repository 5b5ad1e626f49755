// Decoded frame -> integer lattice: what frames.lattice does, on the device.
//
//     frame    H x W x 3 code values, rows of `stride` elements, tightly packed or padded
//     lattice  int32 3 x h x w, the sum of each k x k box; rows and columns that fill no box are cropped
//
// One thread sums one box in its three channels: the lanes of a warp read adjacent pixels and write adjacent
// values of each plane. It runs once a frame, the noise hundreds of times: byte loads, which L1 gathers into
// sectors, need no alignment of the rows, so every width takes this one path.

template <typename Code>
__device__ void box_sums(const Code* frame, int stride, int k, int h, int w, int* lattice) {
  const int column = blockIdx.x * blockDim.x + threadIdx.x;
  const int row = blockIdx.y * blockDim.y + threadIdx.y;
  if (column >= w || row >= h) return;
  int red = 0, green = 0, blue = 0;
  for (int p = 0; p < k; ++p) {
    const Code* pixel = frame + (long long)(row * k + p) * stride + (long long)column * k * 3;
    for (int q = 0; q < k; ++q, pixel += 3) {
      red += pixel[0];
      green += pixel[1];
      blue += pixel[2];
    }
  }
  const long long plane = (long long)h * w;
  int* sum = lattice + (long long)row * w + column;
  sum[0] = red;
  sum[plane] = green;
  sum[2 * plane] = blue;
}

extern "C" __global__ void lattice_u8(const unsigned char* __restrict__ frame, int stride, int k, int h, int w,
                                      int* __restrict__ lattice) {
  box_sums(frame, stride, k, h, w, lattice);
}

extern "C" __global__ void lattice_u16(const unsigned short* __restrict__ frame, int stride, int k, int h, int w,
                                       int* __restrict__ lattice) {
  box_sums(frame, stride, k, h, w, lattice);
}
