//! The bounds that are not configuration (I6) and concern more than the place that keeps them. Units stand last in the names.

/// Longest request target (RFC 9112 §3.2) answered, in bytes; a longer one gets 414. RFC 9112 §3 asks for at
/// least 8,000.
pub const REQUEST_TARGET_BYTES: usize = 8_000;

/// Longest request head (request line and header section), in bytes; a longer one gets 431.
pub const REQUEST_HEAD_BYTES: usize = 16 * 1024;

/// Most header fields in one request; more get 431.
pub const REQUEST_HEADERS: usize = 100;

/// Longest host name in bytes (RFC 1035 §2.3.4).
pub const HOST_BYTES: usize = 255;

/// Longest link key (`host/path?query` in canonical form), in bytes. A request whose canonical form is longer
/// matches no link.
pub const LINK_KEY_BYTES: usize = 2_048;

/// Longest redirect target in its WHATWG serialisation, in bytes. A link with nothing beside it stays below the 4 KiB
/// that sled holds inline; one with a long note and a second target does not, and costs it a file access more.
pub const TARGET_BYTES: usize = 3_072;

/// Longest terms of a link, in bytes: what a cached link keeps beside its target, and counts in 16 bits.
pub const LINK_TERMS_BYTES: usize = 8_191;

/// Most commands in one record of the log.
pub const BATCH_COMMANDS: usize = 1_000;

/// Longest payload of one record of the log, in bytes.
pub const RECORD_PAYLOAD_BYTES: usize = 512 * 1024;

/// Size of a segment file of the log, in bytes; it is preallocated.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// Most requests that wait for the writer; whoever asks for more waits before that.
pub const WRITER_QUEUE: usize = 1_024;

/// Most records that one sync makes durable together.
pub const GROUP_RECORDS: usize = 1_024;

/// Most bytes of records that one sync makes durable together. More than one record may take.
pub const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// Most sets that may be open at a time.
pub const OPEN_SETS: usize = 16;

/// Most reads that wait for a reader thread; a request that needs one more gets 503.
pub const READER_QUEUE: usize = 4_096;

/// Longest method in bytes; a longer one gets 501 (RFC 9112 §3). The longest that is registered has 17.
pub const METHOD_BYTES: usize = 32;

/// Most empty lines skipped in front of a request; more get 400. RFC 9112 §2.2 asks for at least one.
pub const REQUEST_EMPTY_LINES: usize = 4;

/// Entries of a worker's own cache.
pub const LOCAL_CACHE_ENTRIES: usize = 64 * 1024;

/// What a connection's input buffer holds at first, in bytes. It grows up to [`REQUEST_HEAD_BYTES`].
pub const INPUT_BYTES: usize = 2 * 1024;

/// Once a connection has this many bytes of answers, they are written before more requests are answered.
pub const OUTPUT_BYTES: usize = 64 * 1024;

/// Most output buffers that a worker keeps for the next answers.
pub const OUTPUT_BUFFERS: usize = 256;

/// Most bytes that are read and thrown away from a client that goes on sending after its last answer.
pub const LINGER_BYTES: usize = 256 * 1024;

/// How long such a client is waited for, in ticks of a second: at least one second, and not two.
pub const LINGER_TICKS: u64 = 2;

/// Most accepts that a worker has under way.
pub const ACCEPTS: usize = 8;

/// Connections that may wait to be accepted, for each worker.
pub const BACKLOG: i32 = 4_096;

/// Longest record of a file that is imported, in bytes. Key and target are far below it: what is longer is most
/// often the rest of a file behind a quote that was never closed.
pub const IMPORT_RECORD_BYTES: usize = 64 * 1024;

/// Most connections over a worker's limit of `connections` that are told so with 503; more are closed without a
/// word.
pub const fn refusals(connections: usize) -> usize {
    let eighth = connections.div_ceil(8);
    if eighth < 1_024 { eighth } else { 1_024 }
}

/// After this many failed accepts a worker that stops gives up on those that still wait.
pub const ACCEPT_FAILURES: u32 = 64;

/// File descriptors that are kept for the log, the store and the process itself when connections are counted out.
pub const RESERVED_FILES: u64 = 128;

/// Most parts of one set that wait for the writer; whoever writes the set waits before the next one. A part is as
/// large as a record ([`RECORD_PAYLOAD_BYTES`]), so [`WRITER_QUEUE`] alone would let half a gigabyte gather in front
/// of a slow disk.
pub const SET_PARTS_WAITING: usize = 8;

/// How long an operation id is remembered, in milliseconds of record time.
pub const OPERATION_MEMORY_MS: u64 = 24 * 60 * 60 * 1_000;

/// How much longer the oldest one may stay before old ones are removed, so that not every operation has to look for
/// them.
pub const OPERATION_MEMORY_SLACK_MS: u64 = 60 * 60 * 1_000;

/// Most operations that are forgotten when one is remembered: few enough for one batch of writes, more than come in.
pub const OPERATIONS_FORGOTTEN: usize = 16;

/// Fewest writes that every store takes in one batch. A record's first command, and what is remembered with it, must fit.
pub const STORE_BATCH_WRITES_MIN: usize = 72;

/// Free space on the disk below which no change is accepted, in bytes, unless told otherwise: log and store must never
/// meet a disk that is full to the last byte.
pub const DISK_RESERVE_BYTES: u64 = 64 * 1024 * 1024;

/// Free space on the disk below which a store that failed is not opened again, in bytes: opening writes, and what
/// the log has more than the store is written then, too.
pub const STORE_OPEN_BYTES: u64 = 48 * 1024 * 1024;

/// How often it is looked whether changes that are paused can be accepted again, in milliseconds.
pub const PAUSE_MS: u64 = 1_000;

/// How much of what changes while a snapshot is taken is kept as it was, in bytes. If it gets more, the snapshot is
/// given up.
pub const SNAPSHOT_OVERLAY_BYTES: usize = 256 * 1024 * 1024;

/// Entries of the store that a snapshot reads between two looks at what has changed.
pub const SNAPSHOT_STEP_ENTRIES: usize = 1_024;

/// Longest tag, in bytes.
pub const TAG_BYTES: usize = 64;

/// Most tags of a link. Each is an entry of the store of its own.
pub const TAGS: usize = 16;

/// Longest title of a link or name of a token, in bytes.
pub const TITLE_BYTES: usize = 256;

/// Longest note of a link, in bytes.
pub const NOTE_BYTES: usize = 2_048;

/// Longest value of `X-Robots-Tag`, in bytes.
pub const ROBOTS_TAG_BYTES: usize = 256;

/// Most patterns of hosts that targets may have, or may not.
pub const TARGET_PATTERNS: usize = 256;

/// Most hosts that have settings; all of them are kept in memory.
pub const HOSTS: usize = 100_000;

/// Most tokens; all of them are kept in memory.
pub const TOKENS: usize = 10_000;

/// Most hosts that a token may be restricted to.
pub const TOKEN_HOSTS: usize = 100;

/// Longest name of who makes a change, in bytes.
pub const ACTOR_BYTES: usize = 64;

/// Fewest characters of a generated code.
pub const CODE_CHARACTERS_MIN: u8 = 4;

/// About as many bytes of payloads stand in one answer to who asks what was changed; one record does in any case.
pub const CHANGES_BYTES: usize = 1024 * 1024;

/// Most characters of a generated code.
pub const CODE_CHARACTERS_MAX: u8 = 32;

/// How many random guesses it takes on average, at least, to find a generated code: no more are generated when there
/// would be more than one in so many.
pub const CODE_GUESS_ODDS: u64 = 10_000;

/// Most links through which a target is followed to see whether it leads back.
pub const CHAIN_LINKS: usize = 8;

/// Most links whose clicks are counted because they have a limit of clicks. A click on one more is answered as if its
/// limit were reached, until links are deleted.
pub const USES_LINKS: usize = 4 * 1024 * 1024;

/// How often these counts are made durable, in milliseconds: about as much of them a crash loses.
pub const USES_SAVE_MS: u64 = 1_000;

/// Most details that a worker keeps of the clicks of half a second; of more, a sample.
pub const CLICK_DETAILS: usize = 4_096;

/// Links with clicks, or visits, of which a worker hands over what it has before half a second is over.
pub const CLICKS_PER_BATCH: usize = 64 * 1024;

/// Longest entry of the journal of clicks, in bytes; what does not fit stands in several.
pub const CLICK_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// Once a segment of the journal of clicks is this long, another one is begun, in bytes.
pub const CLICK_SEGMENT_BYTES: u64 = 32 * 1024 * 1024;

/// How often clicks are made durable, in milliseconds: five times a second. About as much of them a crash loses.
pub const CLICK_SYNC_MS: u64 = 200;

/// Most links that may be asked to be forgotten and wait for it, in the journal's memory.
pub const CLICK_FORGETS: usize = 1_024;
