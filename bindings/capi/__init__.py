"""The C ABI: ``biqa.h`` and ``libbiqa.so``, which runs :mod:`bindings.capi.host` in an embedded Python."""
