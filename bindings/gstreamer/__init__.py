"""GStreamer: the element ``biqa``, which lets frames pass and posts a certificate of each; see docs/gstreamer.md."""
