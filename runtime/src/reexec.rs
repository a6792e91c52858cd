//! Re-executes the program for work that must outlive it.
