//! A world around the pools that keeps its own books, and compares them after each operation.

mod balance;
mod cases;
mod control;
mod desk;
mod model;
mod simulation;
mod timing;
mod world;
