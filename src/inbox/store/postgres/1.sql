-- @name is a table in the store's own schema. Times are milliseconds since 1970, so that no
-- conversion rounds them. Texts have no NUL: see text() in sql.rs.

CREATE TABLE @accounts (
    account     text COLLATE "C" PRIMARY KEY,
    epoch       text,                       -- Epoch, as JSON
    sequence    bigint NOT NULL DEFAULT 0,  -- the number of its last arrival
    cases       bigint NOT NULL DEFAULT 0,  -- how many there are
    holder      text,                       -- who polls it
    held_until  bigint
) WITH (fillfactor = 50);

CREATE TABLE @cases (
    account     text COLLATE "C" NOT NULL,
    order_id    text COLLATE "C" NOT NULL,
    rx_id       text COLLATE "C",
    version     bigint NOT NULL,
    listed      boolean NOT NULL,           -- whether a complete listing should have it
    look_at     bigint,
    changed_at  bigint,
    state       text NOT NULL,              -- Case::to_json()
    PRIMARY KEY (account, order_id)
) WITH (fillfactor = 80);
CREATE INDEX cases_rx ON @cases (account, rx_id) WHERE rx_id IS NOT NULL;
CREATE INDEX cases_listed ON @cases (account) WHERE listed;
CREATE INDEX cases_due ON @cases (account, look_at) WHERE look_at IS NOT NULL;

-- Patient data, and in no other table. Apart from the cases, so that a new version of a case
-- does not write its order anew.
CREATE TABLE @orders (
    account     text COLLATE "C" NOT NULL,
    order_id    text COLLATE "C" NOT NULL,
    data        text NOT NULL,              -- the Order, as JSON
    PRIMARY KEY (account, order_id)
);

-- The log: rows are added and never changed.
CREATE TABLE @arrivals (
    account     text COLLATE "C" NOT NULL,
    sequence    bigint NOT NULL,
    order_id    text COLLATE "C" NOT NULL,
    position    bigint NOT NULL,            -- its index in the history
    ordinal     bigint,                     -- of a delivery
    PRIMARY KEY (account, sequence)
);

-- The deliveries of the log that are not acknowledged. No index has a column that a claim
-- changes, and pages have room, so that a claim is written in its place. Vacuumed by what
-- happened and not by its size, which is small.
CREATE TABLE @deliveries (
    account     text COLLATE "C" NOT NULL,
    sequence    bigint NOT NULL,
    order_id    text COLLATE "C" NOT NULL,
    position    bigint NOT NULL,
    ordinal     bigint NOT NULL,
    arrived_at  bigint NOT NULL,
    due         bigint NOT NULL,            -- not handed out before
    token       text,                       -- whose it is, or was
    attempts    bigint NOT NULL DEFAULT 0,
    failure     text,
    PRIMARY KEY (account, sequence)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX deliveries_case ON @deliveries (account, order_id, sequence);

CREATE TABLE @tokens (
    key         text COLLATE "C" PRIMARY KEY, -- TokenKey::to_string()
    generation  bigint NOT NULL,
    tokens      text NOT NULL,              -- secrets
    holder      text,
    held_until  bigint
);
