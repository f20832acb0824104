//! From which country an address is.

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use maxminddb::{MaxMindDbError, PathElement, Reader};

use crate::clicks::batch::Country;

/// Largest database, in bytes. All of it is kept in memory.
const FILE_BYTES: u64 = 1024 * 1024 * 1024;

/// Networks that are looked at to see whether a database has countries at all.
const PROBED_NETWORKS: usize = 1_000;

/// Where an address is registered or used, by a database in the MaxMind DB format, version 2: one that has
/// `country.iso_code` or `registered_country.iso_code`, such as GeoLite2-Country or DB-IP Country Lite.
#[derive(Default)]
pub struct Countries {
    reader: Option<Reader<Vec<u8>>>,
}

/// Why a database of countries is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CountriesError {
    /// The operating system refused.
    #[error("reading the countries of {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// It is no file, or larger than any such database.
    #[error("{} is no file of at most {most} bytes; name a database in the MaxMind DB format (.mmdb)", path.display())]
    NoFile {
        /// What was named.
        path: PathBuf,
        /// Most bytes.
        most: u64,
    },
    /// It is damaged, or of another format.
    #[error(
        "{} can't be read as a database in the MaxMind DB format: {source}. Get the file again, unpacked", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the library says, with the offset where there is one.
        source: MaxMindDbError,
    },
    /// It says something else of addresses.
    #[error(
        "{} has no countries: it is of the type {kind}, and its first networks have no `country.iso_code`. Name a \
         database of countries or cities",
        path.display()
    )]
    NoCountries {
        /// The file.
        path: PathBuf,
        /// What it calls itself.
        kind: String,
    },
}

impl Countries {
    /// No database: no country is known.
    pub fn none() -> Self {
        Countries::default()
    }

    /// Reads a database into memory.
    ///
    /// The format has no checksums. What is found to be damaged is refused; a network whose entry turns out to be
    /// damaged later is of no known country.
    ///
    /// # Errors
    /// If it can't be read, has more than 1 GiB, is damaged, or none of its first 1,000 networks has a country.
    pub fn open(path: &Path) -> Result<Self, CountriesError> {
        let io = |source| CountriesError::Io { path: path.to_owned(), source };
        let metadata = std::fs::metadata(path).map_err(io)?;
        if !metadata.is_file() || metadata.len() > FILE_BYTES {
            return Err(CountriesError::NoFile { path: path.to_owned(), most: FILE_BYTES });
        }
        let damaged = |source| CountriesError::Damaged { path: path.to_owned(), source };
        let reader = Reader::from_source(std::fs::read(path).map_err(io)?).map_err(damaged)?;
        let mut has_countries = false;
        for network in reader.networks(Default::default()).map_err(damaged)?.take(PROBED_NETWORKS) {
            has_countries |= code(&network.map_err(damaged)?).map_err(damaged)?.is_some();
        }
        if !has_countries {
            let kind = reader.metadata().database_type.clone();
            return Err(CountriesError::NoCountries { path: path.to_owned(), kind });
        }
        Ok(Countries { reader: Some(reader) })
    }

    /// From which country an address is: `country`, or else `registered_country`. Not known if the database says nothing,
    /// or something else than two letters.
    ///
    /// It takes less than a microsecond, and allocates nothing unless the database is damaged.
    pub fn country(&self, address: IpAddr) -> Country {
        let found = self.reader.as_ref().and_then(|reader| reader.lookup(address.to_canonical()).ok());
        found.and_then(|found| code(&found).ok()?).unwrap_or_default()
    }
}

type Found<'a> = maxminddb::LookupResult<'a, Vec<u8>>;

fn code(found: &Found<'_>) -> Result<Option<Country>, MaxMindDbError> {
    for place in ["country", "registered_country"] {
        let path = [PathElement::Key(place), PathElement::Key("iso_code")];
        if let Some(code) = found.decode_path::<&str>(&path)?.and_then(letters) {
            return Ok(Some(code));
        }
    }
    Ok(None)
}

fn letters(code: &str) -> Option<Country> {
    let letters: [u8; 2] = code.as_bytes().try_into().ok()?;
    letters.iter().all(u8::is_ascii_alphabetic).then(|| Country(letters.map(|letter| letter.to_ascii_uppercase())))
}
