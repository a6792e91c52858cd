//! Any engine that speaks the Docker API.
