//! The cases are in `fail/`, `warn/` and `pass/`; `tests/ui.rs` runs them.
