//! The conformance suite: every promise of the runtime, on every engine.
