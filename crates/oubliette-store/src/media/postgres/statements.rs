//! The statements. Those that write begin with the fence: without its row they change nothing and give no row.

/// `$1`: the number, `$2`: the serial before.
macro_rules! fenced {
    ($rest:literal) => {
        concat!(
            "WITH mine AS (UPDATE fence SET serial = serial + 1 WHERE number = $1 AND serial = $2 RETURNING serial) ",
            $rest,
            " SELECT serial FROM mine"
        )
    };
}

/// File, name.
pub(super) const CREATE: &str =
    fenced!(", made AS (INSERT INTO files (file, name, len) SELECT $3::bigint, $4::text, 0 FROM mine)");

/// File, length, offsets, bytes.
pub(super) const PUT: &str = fenced!(
    ", sized AS (UPDATE files SET len = $4::bigint FROM mine WHERE file = $3::bigint),
    put AS (INSERT INTO extents (file, at, serial, bytes)
        SELECT $3::bigint, piece.at, mine.serial, piece.bytes
        FROM mine, unnest($5::bigint[], $6::bytea[]) AS piece (at, bytes))"
);

/// File, length. What begins behind the end goes, what reaches over it is cut.
pub(super) const CUT: &str = fenced!(
    ", sized AS (UPDATE files SET len = $4::bigint FROM mine WHERE file = $3::bigint),
    gone AS (DELETE FROM extents USING mine WHERE file = $3::bigint AND at >= $4::bigint),
    shorter AS (UPDATE extents SET bytes = substring(bytes FROM 1 FOR ($4::bigint - at)::integer) FROM mine
        WHERE file = $3::bigint AND at < $4::bigint AND at + octet_length(bytes) > $4::bigint)"
);

/// File.
pub(super) const REMOVE: &str = fenced!(
    ", gone AS (DELETE FROM files USING mine WHERE file = $3::bigint),
    emptied AS (DELETE FROM extents USING mine WHERE file = $3::bigint)"
);

/// Name, bytes.
pub(super) const PUT_VALUE: &str = fenced!(
    ", put AS (INSERT INTO named (name, bytes) SELECT $3::text, $4::bytea FROM mine
        ON CONFLICT (name) DO UPDATE SET bytes = excluded.bytes)"
);

/// Changes nothing but is a commit of its own: when it comes without a warning, so are all before it. `$1`: the number.
pub(super) const CONFIRM: &str = "UPDATE fence SET serial = serial WHERE number = $1 RETURNING serial";

/// Takes the fence over. `$1`: the new owner.
pub(super) const TAKE_OVER: &str =
    "INSERT INTO fence (owner, number, serial, backend) VALUES ($1, 1, 0, pg_backend_pid())
    ON CONFLICT (only_row) DO UPDATE
        SET owner = excluded.owner, number = fence.number + 1, backend = excluded.backend
    RETURNING number, serial";

/// Goes on in a new session. `$1`: the owner. Waits for what an earlier session still has under way.
pub(super) const RESUME: &str = "UPDATE fence SET number = number + 1, backend = pg_backend_pid() WHERE owner = $1
    RETURNING number, serial";

/// The number, one that it must be above, how far that may be above it, and how high at all. The number has to stay one that
/// every later claim and every later session can be counted up from, whoever says that it is too low.
pub(super) const RAISE_ABOVE: &str = "UPDATE fence SET number = greatest(number, $2::bigint) + 1
    WHERE number = $1 AND $2::bigint <= $4::bigint AND $2::bigint - number <= $3::bigint
    RETURNING number";

/// The session that the owner wrote with last. `$1`: the owner.
pub(super) const BACKEND: &str = "SELECT backend FROM fence WHERE owner = $1";

/// Keys of the lock.
pub(super) const TRY_LOCK: &str = "SELECT pg_try_advisory_lock($1, $2)";

/// Keys of the lock: the session that holds it.
pub(super) const HOLDER: &str = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid::bigint = $1::integer::bigint AND objid::bigint = $2::integer::bigint";

/// Keys of the lock, milliseconds: the session that holds it, when it has asked for nothing for as long.
pub(super) const SILENT_HOLDER: &str = "SELECT l.pid FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.classid::bigint = $1::integer::bigint AND l.objid::bigint = $2::integer::bigint
    AND greatest(a.state_change, a.query_start, a.backend_start) < clock_timestamp() - make_interval(secs => $3::bigint / 1000.0)";

/// A session's number.
pub(super) const END_SESSION: &str = "SELECT pg_terminate_backend($1)";

pub(super) const FILES: &str = "SELECT file, name, len FROM files ORDER BY name";

/// File, first and last offset, the longest row. Bytes are not looked at to find out where a row ends.
pub(super) const READ: &str = "SELECT at, bytes FROM extents
    WHERE file = $1 AND at > $2::bigint - $4::bigint AND at < $3::bigint AND at + octet_length(bytes) > $2::bigint
    ORDER BY serial, at";

/// File.
pub(super) const HELD: &str =
    "SELECT at, at + octet_length(bytes) AS upto FROM extents WHERE file = $1 ORDER BY at, serial";

/// Name.
pub(super) const GET_VALUE: &str = "SELECT bytes FROM named WHERE name = $1";

/// On the primary: how far its log is durable, and whether commits wait for a standby.
pub(super) const PRIMARY: &str =
    "SELECT pg_current_wal_flush_lsn()::text, current_setting('synchronous_standby_names') <> ''";

/// On a standby: whether it is one, whether it has replayed up to `$1`, and the fence it shows.
pub(super) const STANDBY: &str = "SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn() >= $1::text::pg_lsn,
    (SELECT number FROM fence), (SELECT serial FROM fence)";
