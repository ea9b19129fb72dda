//! Bytes and bits of a NAL unit without its emulation prevention.

/// Where the next `00 00 01` begins.
pub(super) fn find_start_code(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    // The third byte tells how far to jump: more than 1 cannot be part of a start code at all.
    while let Some(third) = bytes.get(from + 2) {
        match third {
            0 => from += 1,
            1 if bytes[from] == 0 && bytes[from + 1] == 0 => return Some(from),
            _ => from += 3,
        }
    }
    None
}

/// The payload bytes of a NAL unit: drops each `03` that follows two zero bytes (H.264 7.4.1, H.265 7.4.2), ends at a
/// start code.
#[derive(Clone, Debug)]
pub(super) struct Payload<'a> {
    bytes: &'a [u8],
    zeros: u8,
}

impl<'a> Payload<'a> {
    /// The payload in `bytes`, which begin after the NAL unit's header.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, zeros: 0 }
    }
}

impl Iterator for Payload<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        loop {
            let (byte, rest) = self.bytes.split_first()?;
            match (self.zeros, *byte) {
                (2, 3) => {
                    self.bytes = rest;
                    self.zeros = 0;
                    continue;
                }
                (2, 0 | 1) => return None,
                (_, 0) => self.zeros += 1,
                _ => self.zeros = 0,
            }
            self.bytes = rest;
            return Some(*byte);
        }
    }
}

/// The bits of a payload, most significant first.
#[derive(Clone, Debug)]
pub(super) struct Bits<'a> {
    payload: Payload<'a>,
    byte: u8,
    left: u8,
}

impl<'a> Bits<'a> {
    /// The bits of `payload`.
    pub(super) fn new(payload: Payload<'a>) -> Self {
        Self { payload, byte: 0, left: 0 }
    }

    fn bit(&mut self) -> Option<u32> {
        if self.left == 0 {
            self.byte = self.payload.next()?;
            self.left = 8;
        }
        self.left -= 1;
        Some(u32::from(self.byte >> self.left & 1))
    }

    /// An Exp-Golomb coded number, `ue(v)` (H.264 9.1); `None` at the end or past 32 bits.
    pub(super) fn unsigned_exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros == 32 {
                return None;
            }
        }
        let mut suffix = 0;
        for _ in 0..zeros {
            suffix = suffix << 1 | self.bit()?;
        }
        Some((1_u32 << zeros) - 1 + suffix)
    }
}

/// Whether the supplemental enhancement information in `payload` holds a recovery point. Message type 6 in both
/// standards (H.264 D.1.8, H.265 D.2.8); the message header is H.264 7.3.2.3.1, the same in H.265 7.3.5.
pub(super) fn has_recovery_point(mut payload: Payload<'_>) -> bool {
    const RECOVERY_POINT: usize = 6;
    loop {
        let (Some(kind), Some(size)) = (message_number(&mut payload), message_number(&mut payload)) else {
            return false;
        };
        if kind == RECOVERY_POINT && size > 0 {
            return true;
        }
        if size > 0 && payload.nth(size - 1).is_none() {
            return false;
        }
    }
}

/// A type or size in a message header: a run of `ff`, each worth 255, and a last byte.
fn message_number(payload: &mut Payload<'_>) -> Option<usize> {
    let mut number = 0;
    loop {
        let byte = payload.next()?;
        number += usize::from(byte);
        if byte != 0xff {
            return Some(number);
        }
    }
}
