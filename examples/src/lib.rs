//! The examples are in `examples/`, one program a file: `examples/run NAME` runs one.
