//! One person of a test room: `participant --janus ws://127.0.0.1:8188 --room 1 --name N --colour be2828 --beep 9500`,
//! then `camera off`, `mic on`, `speak FILE.wav`, `leave` on standard input.

use clap::Parser;
use e2e::participants::gst;

#[derive(Debug, Parser)]
#[command(about = "Publishes test signal into a Janus VideoRoom")]
struct Arguments {
    #[command(flatten)]
    options: gst::Options,
}

fn main() -> anyhow::Result<()> {
    gst::run(&Arguments::parse().options)
}
