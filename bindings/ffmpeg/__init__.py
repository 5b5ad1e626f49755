"""FFmpeg: decoded frames through a pipe → the log of ``biqa certify``; see docs/ffmpeg.md."""
