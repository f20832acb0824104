//! Generated codes: what stands in the path of a link for which nobody chose one.
//!
//! A code is drawn uniformly from all of its length and alphabet, by bytes that nobody can foresee (RFC 9562 §6.9 asks
//! the same of random UUIDs): the links of others can't be found by counting. A code that is taken already is refused
//! when the change is applied, and another one is drawn.
//!
//! A request that has a name, an `Idempotency-Key`, must ask for the same code when it is sent again, or it would be
//! another request, and two links would be made of one. So its codes are drawn from BLAKE3, keyed with a secret of this
//! data directory, over the name of the operation: the same again tomorrow and after a restart, and not to be foreseen by those
//! who don't know the secret, even if they know all names. Nothing but these repeats hangs on the secret; if it is lost, another one is made.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::OnceLock;

use crate::link::{CodeAlphabet, CodeLength};
use crate::log::OperationId;

/// How many codes are tried for one link. At the odds of [`CODE_GUESS_ODDS`](crate::limits::CODE_GUESS_ODDS) that this many are
/// taken already will not be seen.
pub(crate) const CODE_ATTEMPTS: u32 = 8;

/// The file of the secret, in the data directory.
const SECRET_FILE: &str = "codes.key";

const SECRET_BYTES: usize = 32;

/// The secret of a data directory, read when it is first needed.
#[derive(Default)]
pub(crate) struct CodeSecret(OnceLock<[u8; SECRET_BYTES]>);

impl CodeSecret {
    /// Reads the secret, or makes it. Blocks.
    ///
    /// # Errors
    /// If the file can't be read or written.
    pub(crate) fn get(&self, data: &Path) -> io::Result<&[u8; SECRET_BYTES]> {
        if let Some(secret) = self.0.get() {
            return Ok(secret);
        }
        // Two at once may both make one. What lies there in the end is what both have, for only one can be linked.
        let secret = match read(data)? {
            Some(secret) => secret,
            None => make(data)?,
        };
        Ok(self.0.get_or_init(|| secret))
    }
}

/// None if it is not there, or not whole.
fn read(data: &Path) -> io::Result<Option<[u8; SECRET_BYTES]>> {
    let mut bytes = Vec::new();
    match File::open(data.join(SECRET_FILE)) {
        Ok(file) => file.take(SECRET_BYTES as u64 + 1).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(bytes.try_into().ok())
}

fn make(data: &Path) -> io::Result<[u8; SECRET_BYTES]> {
    static ONE: parking_lot::Mutex<()> = parking_lot::Mutex::new(());
    let _one = ONE.lock();
    if let Some(secret) = read(data)? {
        return Ok(secret);
    }
    let mut secret = [0; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    let new = data.join(format!("{SECRET_FILE}.new"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    std::fs::rename(&new, data.join(SECRET_FILE))?;
    File::open(data)?.sync_all()?;
    Ok(secret)
}

/// Draws codes, one after the other.
pub(crate) struct Codes {
    bytes: blake3::OutputReader,
    alphabet: CodeAlphabet,
    length: CodeLength,
}

impl Codes {
    /// Codes that are never drawn again.
    ///
    /// # Errors
    /// If the operating system has no random bytes.
    pub(crate) fn random(alphabet: CodeAlphabet, length: CodeLength) -> io::Result<Self> {
        let mut key = [0; SECRET_BYTES];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        Ok(Codes { bytes: blake3::Hasher::new_keyed(&key).finalize_xof(), alphabet, length })
    }

    /// The codes of an operation that has a name, the same whenever it is asked for them.
    pub(crate) fn of_operation(
        secret: &[u8; SECRET_BYTES],
        operation: OperationId,
        alphabet: CodeAlphabet,
        length: CodeLength,
    ) -> Self {
        let bytes = blake3::Hasher::new_keyed(secret).update(&operation.0).finalize_xof();
        Codes { bytes, alphabet, length }
    }
}

impl Iterator for Codes {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let characters = self.alphabet.as_str().as_bytes();
        // The smallest power of two that holds the alphabet: what lies behind its end is drawn again, so that no
        // character is likelier than another.
        let mask =
            u8::try_from(characters.len().next_power_of_two() - 1).expect("an alphabet has at most 64 characters");
        let mut code = String::new();
        while code.len() < usize::from(self.length.get()) {
            let mut byte = [0];
            self.bytes.fill(&mut byte);
            if let Some(&character) = characters.get(usize::from(byte[0] & mask)) {
                code.push(char::from(character));
            }
        }
        Some(code)
    }
}

/// The name under which an attempt of an operation is remembered: the first has its own, since a taken code is an
/// answer that is remembered, too.
pub(crate) fn attempt_id(operation: OperationId, attempt: u32) -> OperationId {
    if attempt == 0 {
        return operation;
    }
    let mut hasher = blake3::Hasher::new_derive_key("carom 2026 attempt of an operation");
    hasher.update(&operation.0).update(&attempt.to_le_bytes());
    OperationId(*hasher.finalize().as_bytes().first_chunk().expect("32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn length(characters: u64) -> CodeLength {
        CodeLength::new(characters).unwrap()
    }

    /// The sum of squared differences from the mean, over the mean.
    fn chi_square(counts: impl ExactSizeIterator<Item = u64> + Clone) -> f64 {
        let mean = counts.clone().sum::<u64>() as f64 / counts.len() as f64;
        counts.map(|count| (count as f64 - mean).powi(2) / mean).sum()
    }

    #[test]
    fn every_character_is_as_likely_as_any_other_in_every_place() {
        for alphabet in [CodeAlphabet::USUAL, "0123456789", "0123456789abcdefghijklmnopqrstuvw"] {
            let alphabet = CodeAlphabet::parse(alphabet).unwrap();
            // Of a fixed key, so that the test is the same in every run.
            let codes = Codes::of_operation(&[7; 32], OperationId([1; 16]), alphabet.clone(), length(6));
            let mut places: Vec<BTreeMap<char, u64>> = vec![BTreeMap::new(); 6];
            for code in codes.take(40_000) {
                assert_eq!(code.len(), 6);
                for (place, character) in code.chars().enumerate() {
                    assert!(alphabet.as_str().contains(character), "{character}");
                    *places[place].entry(character).or_default() += 1;
                }
            }
            for counts in places {
                assert_eq!(counts.len(), alphabet.as_str().len());
                // Mean and six standard deviations of the distribution; a `%` in place of drawing again is far beyond.
                let freedom = (counts.len() - 1) as f64;
                let bound = freedom + 6.0 * (2.0 * freedom).sqrt();
                let found = chi_square(counts.values().copied());
                assert!(found < bound, "{found} > {bound}");
            }
        }
    }

    #[test]
    fn a_named_operation_gets_its_codes_again_and_no_other_does() {
        let codes = |secret: u8, id: u8| -> Vec<String> {
            Codes::of_operation(&[secret; 32], OperationId([id; 16]), CodeAlphabet::default(), length(7))
                .take(8)
                .collect()
        };
        assert_eq!(codes(1, 1), codes(1, 1));
        let all: BTreeSet<String> = [codes(1, 1), codes(1, 2), codes(2, 1)].concat().into_iter().collect();
        assert_eq!(all.len(), 24);
        let random = || Codes::random(CodeAlphabet::default(), length(7)).unwrap().next();
        assert_ne!(random(), random());
        let ids: BTreeSet<[u8; 16]> = (0..CODE_ATTEMPTS).map(|n| attempt_id(OperationId([1; 16]), n).0).collect();
        assert!(ids.len() == CODE_ATTEMPTS as usize && ids.contains(&[1; 16]));
    }

    #[test]
    fn the_secret_outlives_the_process_and_nobody_else_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let data = tempfile::tempdir().unwrap();
        let secret = *CodeSecret::default().get(data.path()).unwrap();
        assert_eq!(*CodeSecret::default().get(data.path()).unwrap(), secret);
        assert_ne!(secret, [0; SECRET_BYTES]);
        let path = data.path().join(SECRET_FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, b"torn").unwrap();
        assert_ne!(*CodeSecret::default().get(data.path()).unwrap(), secret);
    }
}
