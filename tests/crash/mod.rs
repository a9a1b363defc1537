//! Real worker processes, killed where it hurts.

mod matrix;
mod process;
