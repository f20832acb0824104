//! The caches of the read path.
