-- @name is a table. Times are milliseconds since 1970; views show them as text, in UTC. Texts
-- have no NUL: see sql/text.rs.

CREATE TABLE @accounts (
    account     TEXT NOT NULL PRIMARY KEY,
    coverage    TEXT,                       -- ListingCoverage, as JSON
    revision    INTEGER NOT NULL DEFAULT 0 CHECK (revision >= 0),
    sequence    INTEGER NOT NULL DEFAULT 0 CHECK (sequence >= 0), -- the number of its last arrival
    cases       INTEGER NOT NULL DEFAULT 0 CHECK (cases >= 0),    -- how many there are
    process     TEXT                        -- who polls it
) STRICT, WITHOUT ROWID;

-- The processes that poll, each as long as it lives.
CREATE TABLE @processes (
    process     TEXT NOT NULL PRIMARY KEY,
    since       INTEGER NOT NULL,
    until       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE @cases (
    account     TEXT NOT NULL REFERENCES @accounts,
    order_id    TEXT NOT NULL,
    rx_id       TEXT,
    version     INTEGER NOT NULL CHECK (version > 0),
    revision    INTEGER NOT NULL,           -- of the account, when its record was changed last
    status      TEXT,                       -- as the service spelled it last
    stage       TEXT,                       -- those that are possible, joined by ' or '
    listed      INTEGER NOT NULL CHECK (listed IN (0, 1)), -- whether a complete listing should have it
    fetch_since INTEGER,                    -- it waits to be fetched from then
    fetch_due   INTEGER,                    -- until then
    given_up    INTEGER NOT NULL CHECK (given_up IN (0, 1)), -- whether nobody follows it any more
    changed_at  INTEGER,                    -- when its last arrival was seen
    state       TEXT NOT NULL,              -- Case::to_json()
    PRIMARY KEY (account, order_id)
) STRICT;
CREATE INDEX @cases_rx ON @cases (account, rx_id) WHERE rx_id IS NOT NULL;
-- With all that a poll reads: what is listed lies together, however many cases there are.
CREATE INDEX @cases_listed ON @cases (account, order_id, rx_id, version, revision, state, listed) WHERE listed;
CREATE INDEX @cases_due ON @cases (account, fetch_due) WHERE fetch_due IS NOT NULL;
CREATE INDEX @cases_since ON @cases (account, fetch_since) WHERE fetch_since IS NOT NULL;
CREATE INDEX @cases_given_up ON @cases (account) WHERE given_up;

-- Patient data, and in no other table. Apart from the cases, so that what is compared with every
-- listing lies close together.
CREATE TABLE @orders (
    account     TEXT NOT NULL,
    order_id    TEXT NOT NULL,
    data        TEXT NOT NULL,              -- the Order, as JSON
    PRIMARY KEY (account, order_id),
    FOREIGN KEY (account, order_id) REFERENCES @cases
) STRICT;

-- The log: rows are added and never changed.
CREATE TABLE @arrivals (
    account     TEXT NOT NULL,
    sequence    INTEGER NOT NULL CHECK (sequence > 0),
    order_id    TEXT NOT NULL,
    position    INTEGER NOT NULL,           -- its index in the history
    ordinal     INTEGER,                    -- of a delivery
    status      TEXT,
    arrived_at  INTEGER NOT NULL,           -- when it was committed
    PRIMARY KEY (account, sequence),
    FOREIGN KEY (account, order_id) REFERENCES @cases
) STRICT, WITHOUT ROWID;
CREATE INDEX @arrivals_case ON @arrivals (account, order_id, sequence);

-- The deliveries of the log that are not acknowledged. What can be claimed has no due time.
CREATE TABLE @deliveries (
    account     TEXT NOT NULL,
    sequence    INTEGER NOT NULL,
    order_id    TEXT NOT NULL,
    position    INTEGER NOT NULL,
    ordinal     INTEGER NOT NULL CHECK (ordinal > 0),
    arrived_at  INTEGER NOT NULL,
    since       INTEGER,                    -- hidden from then
    due         INTEGER,                    -- until then
    token       TEXT,                       -- whose it is, or was
    attempts    INTEGER NOT NULL DEFAULT 0,
    failure     TEXT,
    repeated    INTEGER NOT NULL DEFAULT 0 CHECK (repeated IN (0, 1)), -- by hand
    PRIMARY KEY (account, sequence),
    FOREIGN KEY (account, order_id) REFERENCES @cases,
    CHECK ((since IS NULL) = (due IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX @deliveries_case ON @deliveries (account, order_id, sequence);
CREATE INDEX @deliveries_free ON @deliveries (account, sequence) WHERE due IS NULL;
CREATE INDEX @deliveries_due ON @deliveries (account, due) WHERE due IS NOT NULL;
CREATE INDEX @deliveries_since ON @deliveries (account, since) WHERE since IS NOT NULL;

CREATE TABLE @tokens (
    key         TEXT NOT NULL PRIMARY KEY,  -- TokenKey::to_string()
    generation  INTEGER NOT NULL,
    tokens      TEXT NOT NULL,              -- secrets
    holder      TEXT,
    held_since  INTEGER,
    held_until  INTEGER
) STRICT;

CREATE VIEW @open_work AS
SELECT d.account, d.order_id, d.ordinal, c.rx_id, a.status,
    strftime('%Y-%m-%d %H:%M:%f', d.arrived_at / 1000.0, 'unixepoch') AS arrived_at,
    strftime('%Y-%m-%d %H:%M:%f', d.due / 1000.0, 'unixepoch') AS hidden_until,
    d.attempts, d.failure
FROM @deliveries d
JOIN @arrivals a ON a.account = d.account AND a.sequence = d.sequence
JOIN @cases c ON c.account = d.account AND c.order_id = d.order_id;

CREATE VIEW @order_history AS
SELECT a.account, a.order_id, c.rx_id, a.sequence, a.position, a.status, a.ordinal AS delivery,
    strftime('%Y-%m-%d %H:%M:%f', a.arrived_at / 1000.0, 'unixepoch') AS arrived_at,
    a.ordinal IS NOT NULL AND d.sequence IS NULL AS acknowledged
FROM @arrivals a
JOIN @cases c ON c.account = a.account AND c.order_id = a.order_id
LEFT JOIN @deliveries d ON d.account = a.account AND d.sequence = a.sequence;

CREATE VIEW @with_align AS
SELECT account, order_id, rx_id, status, stage,
    strftime('%Y-%m-%d %H:%M:%f', changed_at / 1000.0, 'unixepoch') AS since
FROM @cases
WHERE stage LIKE '%in_modeling%' OR stage LIKE '%in_milling%' OR stage LIKE '%in_interpretation%'
    OR stage LIKE '%ready_to_ship%';
