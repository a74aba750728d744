//! What every service shares: its `main`, configuration, telemetry, listening, shutdown, secrecy. Used by services only; knows none of them.

pub mod config;
pub mod listen;
pub mod secrecy;
pub mod service;
pub mod shutdown;
pub mod telemetry;

pub use config::{ConfigError, Sections};
