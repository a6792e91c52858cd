//! The procedural macros of bowline.
#[allow(dead_code)]
mod rules;
