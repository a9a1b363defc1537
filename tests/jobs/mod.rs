//! Workers and jobs without any feature: what becomes of an operation, by how its job ends.

mod again;
