//! One worker's stretch (epoch) of a recording as a value: inputs in, actions out, deadlines told. Knows no clock, no
//! socket and no GStreamer.
