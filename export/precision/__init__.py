"""The graph in fp32 → in fp16, in int8, each checked."""
