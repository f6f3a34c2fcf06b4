-- @name is a table in the store's own schema. Times are whole milliseconds. Texts have no NUL: see
-- sql/text.rs.

CREATE TABLE @accounts (
    account     text COLLATE "C" PRIMARY KEY,
    coverage    text,                       -- ListingCoverage, as JSON
    revision    bigint NOT NULL DEFAULT 0 CHECK (revision >= 0),
    sequence    bigint NOT NULL DEFAULT 0 CHECK (sequence >= 0), -- the number of its last arrival
    cases       bigint NOT NULL DEFAULT 0 CHECK (cases >= 0),    -- how many there are
    process     text                        -- who polls it
) WITH (fillfactor = 50);

-- The processes that poll, each as long as it lives.
CREATE TABLE @processes (
    process     text COLLATE "C" PRIMARY KEY,
    since       timestamptz NOT NULL,
    until       timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE @cases (
    account     text COLLATE "C" NOT NULL REFERENCES @accounts,
    order_id    text COLLATE "C" NOT NULL,
    rx_id       text COLLATE "C",
    version     bigint NOT NULL CHECK (version > 0),
    revision    bigint NOT NULL,            -- of the account, when its record was changed last
    status      text,                       -- as the service spelled it last
    stage       text,                       -- those that are possible, joined by ' or '
    listed      boolean NOT NULL,           -- whether a complete listing should have it
    fetch_since timestamptz,                -- it waits to be fetched from then
    fetch_due   timestamptz,                -- until then
    given_up    boolean NOT NULL,           -- whether nobody follows it any more
    changed_at  timestamptz,                -- when its last arrival was seen
    state       text NOT NULL,              -- Case::to_json()
    PRIMARY KEY (account, order_id)
) WITH (fillfactor = 80);
CREATE INDEX cases_rx ON @cases (account, rx_id) WHERE rx_id IS NOT NULL;
CREATE INDEX cases_listed ON @cases (account) WHERE listed;
CREATE INDEX cases_due ON @cases (account, fetch_due) WHERE fetch_due IS NOT NULL;
CREATE INDEX cases_since ON @cases (account, fetch_since) WHERE fetch_since IS NOT NULL;
CREATE INDEX cases_given_up ON @cases (account) WHERE given_up;

-- Patient data, and in no other table. Apart from the cases, so that a new version of a case
-- does not write its order anew.
CREATE TABLE @orders (
    account     text COLLATE "C" NOT NULL,
    order_id    text COLLATE "C" NOT NULL,
    data        text NOT NULL,              -- the Order, as JSON
    PRIMARY KEY (account, order_id),
    FOREIGN KEY (account, order_id) REFERENCES @cases
);

-- The log: rows are added and never changed.
CREATE TABLE @arrivals (
    account     text COLLATE "C" NOT NULL,
    sequence    bigint NOT NULL CHECK (sequence > 0),
    order_id    text COLLATE "C" NOT NULL,
    position    bigint NOT NULL,            -- its index in the history
    ordinal     bigint,                     -- of a delivery
    status      text,
    arrived_at  timestamptz NOT NULL,       -- when it was committed
    PRIMARY KEY (account, sequence),
    FOREIGN KEY (account, order_id) REFERENCES @cases
);
CREATE INDEX arrivals_case ON @arrivals (account, order_id, sequence);

-- The deliveries of the log that are not acknowledged. What can be claimed has no due time.
-- Vacuumed by what happened and not by its size, which is small.
CREATE TABLE @deliveries (
    account     text COLLATE "C" NOT NULL,
    sequence    bigint NOT NULL,
    order_id    text COLLATE "C" NOT NULL,
    position    bigint NOT NULL,
    ordinal     bigint NOT NULL CHECK (ordinal > 0),
    arrived_at  timestamptz NOT NULL,
    since       timestamptz,                -- hidden from then
    due         timestamptz,                -- until then
    token       text,                       -- whose it is, or was
    attempts    bigint NOT NULL DEFAULT 0,
    failure     text,
    repeated    boolean NOT NULL DEFAULT false, -- by hand
    PRIMARY KEY (account, sequence),
    FOREIGN KEY (account, order_id) REFERENCES @cases,
    CHECK ((since IS NULL) = (due IS NULL))
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX deliveries_case ON @deliveries (account, order_id, sequence);
CREATE INDEX deliveries_free ON @deliveries (account, sequence) WHERE due IS NULL;
CREATE INDEX deliveries_due ON @deliveries (account, due) WHERE due IS NOT NULL;
CREATE INDEX deliveries_since ON @deliveries (account, since) WHERE since IS NOT NULL;

CREATE TABLE @tokens (
    key         text COLLATE "C" PRIMARY KEY, -- TokenKey::to_string()
    generation  bigint NOT NULL,
    tokens      text NOT NULL,              -- secrets
    holder      text,
    held_since  timestamptz,
    held_until  timestamptz
);

CREATE VIEW @open_work AS
SELECT d.account, d.order_id, d.ordinal, c.rx_id, a.status, d.arrived_at, d.due AS hidden_until,
    d.attempts, d.failure
FROM @deliveries d
JOIN @arrivals a ON a.account = d.account AND a.sequence = d.sequence
JOIN @cases c ON c.account = d.account AND c.order_id = d.order_id;

CREATE VIEW @order_history AS
SELECT a.account, a.order_id, c.rx_id, a.sequence, a.position, a.status, a.ordinal AS delivery,
    a.arrived_at, a.ordinal IS NOT NULL AND d.sequence IS NULL AS acknowledged
FROM @arrivals a
JOIN @cases c ON c.account = a.account AND c.order_id = a.order_id
LEFT JOIN @deliveries d ON d.account = a.account AND d.sequence = a.sequence;

CREATE VIEW @with_align AS
SELECT account, order_id, rx_id, status, stage, changed_at AS since
FROM @cases
WHERE stage LIKE '%in_modeling%' OR stage LIKE '%in_milling%' OR stage LIKE '%in_interpretation%'
    OR stage LIKE '%ready_to_ship%';
