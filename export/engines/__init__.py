"""What a GPU needs besides the graph: kernels and compiled plans."""
