//! Numbers of varying length (LEB128), and a reader that never goes past the end.

/// Bytes that are no entry: what is wrong with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(pub(super) &'static str);

/// Appends a number: seven bits a byte, the lowest first, the highest bit set in all but the last.
pub(super) fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends how far a number is from the one before it, up or down: near ones are short.
pub(super) fn put_step(number: u64, before: &mut u64, out: &mut Vec<u8>) {
    let step = number.wrapping_sub(*before) as i64;
    put_number(((step << 1) ^ (step >> 63)) as u64, out);
    *before = number;
}

/// Bytes that are read from the first on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'b>(pub(super) &'b [u8]);

impl<'b> Bytes<'b> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Malformed("it is cut short"))?;
        self.0 = rest;
        Ok(*array)
    }

    pub(super) fn slice(&mut self, bytes: usize) -> Result<&'b [u8], Malformed> {
        let (slice, rest) = self.0.split_at_checked(bytes).ok_or(Malformed("it is cut short"))?;
        self.0 = rest;
        Ok(slice)
    }

    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(Malformed("a number has more than 64 bits"));
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed("a number has more than 64 bits"))
    }

    pub(super) fn number_32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.number()?).map_err(|_| Malformed("a number has more than 32 bits"))
    }

    pub(super) fn step(&mut self, before: &mut u64) -> Result<u64, Malformed> {
        let folded = self.number()?;
        let step = (folded >> 1) as i64 ^ -((folded & 1) as i64);
        *before = before.wrapping_add(step as u64);
        Ok(*before)
    }

    /// How many things follow that take at least `each_bytes`, as far as that can be: never more than there are bytes
    /// for, so that it can be allocated.
    pub(super) fn length(&mut self, each_bytes: usize) -> Result<usize, Malformed> {
        let length = self.number()?;
        let fits = (self.0.len() / each_bytes) as u64;
        if length > fits { Err(Malformed("it says that it has more than it can hold")) } else { Ok(length as usize) }
    }
}
