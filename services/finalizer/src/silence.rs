//! A silent AAC frame, to fill a hole in the sound: players and speech recognisers count frames, so one frame that
//! lasts a minute would move everything after it.

/// ISO/IEC 14496-3, 4.4.2.1 (`raw_data_block`) for AAC-LC: a channel element whose streams have no spectral band
/// (`max_sfb` 0), then ID_END. All fields before ID_END are zero but the kind of the element.
///
/// None for more than two channels.
pub(crate) fn frame(channels: u8) -> Option<&'static [u8]> {
    match channels {
        // Single channel element: 3 + 4 bits, one stream of 22 bits; ID_END (111).
        1 => Some(&[0x00, 0x00, 0x00, 0x07]),
        // Channel pair element (001): 3 + 4 + 1 bits, two streams of 22 bits; ID_END (111) and one bit to the byte.
        2 => Some(&[0x20, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0e]),
        _ => None,
    }
}

/// Samples of sound in a frame of AAC-LC.
pub(crate) const FRAME: u32 = 1024;
