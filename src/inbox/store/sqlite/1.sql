-- Times are milliseconds since 1970. Texts have no NUL: see text() in sql.rs.

CREATE TABLE lab_connector_accounts (
    account     TEXT NOT NULL PRIMARY KEY,
    epoch       TEXT,                       -- Epoch, as JSON
    sequence    INTEGER NOT NULL DEFAULT 0, -- the number of its last arrival
    cases       INTEGER NOT NULL DEFAULT 0, -- how many there are
    holder      TEXT,                       -- who polls it
    held_until  INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE lab_connector_cases (
    account     TEXT NOT NULL,
    order_id    TEXT NOT NULL,
    rx_id       TEXT,
    version     INTEGER NOT NULL,
    listed      INTEGER NOT NULL,           -- whether a complete listing should have it
    look_at     INTEGER,
    changed_at  INTEGER,
    state       TEXT NOT NULL,              -- Case::to_json()
    PRIMARY KEY (account, order_id)
) STRICT;
CREATE INDEX lab_connector_cases_rx ON lab_connector_cases (account, rx_id) WHERE rx_id IS NOT NULL;
-- With all that a poll reads: what is listed lies together, however many cases there are.
CREATE INDEX lab_connector_cases_listed
    ON lab_connector_cases (account, order_id, rx_id, version, state, listed) WHERE listed;
CREATE INDEX lab_connector_cases_due ON lab_connector_cases (account, look_at) WHERE look_at IS NOT NULL;

-- Patient data, and in no other table. Apart from the cases, so that what is compared with every
-- listing lies close together.
CREATE TABLE lab_connector_orders (
    account     TEXT NOT NULL,
    order_id    TEXT NOT NULL,
    data        TEXT NOT NULL,              -- the Order, as JSON
    PRIMARY KEY (account, order_id)
) STRICT;

-- The log: rows are added and never changed.
CREATE TABLE lab_connector_arrivals (
    account     TEXT NOT NULL,
    sequence    INTEGER NOT NULL,
    order_id    TEXT NOT NULL,
    position    INTEGER NOT NULL,           -- its index in the history
    ordinal     INTEGER,                    -- of a delivery
    PRIMARY KEY (account, sequence)
) STRICT, WITHOUT ROWID;

-- The deliveries of the log that are not acknowledged.
CREATE TABLE lab_connector_deliveries (
    account     TEXT NOT NULL,
    sequence    INTEGER NOT NULL,
    order_id    TEXT NOT NULL,
    position    INTEGER NOT NULL,
    ordinal     INTEGER NOT NULL,
    arrived_at  INTEGER NOT NULL,
    due         INTEGER NOT NULL,           -- not handed out before
    token       TEXT,                       -- whose it is, or was
    attempts    INTEGER NOT NULL DEFAULT 0,
    failure     TEXT,
    PRIMARY KEY (account, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX lab_connector_deliveries_case ON lab_connector_deliveries (account, order_id, sequence);

CREATE TABLE lab_connector_tokens (
    key         TEXT NOT NULL PRIMARY KEY,  -- TokenKey::to_string()
    generation  INTEGER NOT NULL,
    tokens      TEXT NOT NULL,              -- secrets
    holder      TEXT,
    held_until  INTEGER
) STRICT;
