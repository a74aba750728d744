//! What every service shares: configuration, telemetry, shutdown. Used by services only; knows none of them.

pub mod config;
pub mod shutdown;
pub mod telemetry;

pub use config::{ConfigError, Sections};
