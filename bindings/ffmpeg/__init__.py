"""FFmpeg: decoded frames through a pipe → the log of ``python -m runtime certify``; see docs/ffmpeg.md."""
