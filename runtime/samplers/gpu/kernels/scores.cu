// Scores of a padded batch -> their place among the frame's scores.
//
// The first `count` scores of a batch go to scores[offset ...]; those of the padding stay behind. Words are copied, not
// numbers: a NaN arrives with its payload, and the host counts it as a failed sample.

extern "C" __global__ void gather_scores(const unsigned int* __restrict__ batch, int count, int offset,
                                         unsigned int* __restrict__ scores) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) scores[offset + i] = batch[i];
}
