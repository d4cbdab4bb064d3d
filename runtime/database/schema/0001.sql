-- Version 1 of the configuration database. Frozen: later versions are steps of their own (0002.sql, ...).
-- A row of a configuration table is one document to the outside; its lists stand in child tables. Foreign keys are judged at the
-- end of a transaction, so that a change may bring a pool and its group in any order.

CREATE TABLE cluster (
    id TEXT PRIMARY KEY NOT NULL CHECK (id = 'cluster'),
    name TEXT NOT NULL,
    realm TEXT,
    secret TEXT
) STRICT;

CREATE TABLE node (
    name TEXT PRIMARY KEY NOT NULL,
    description TEXT,
    sip_udp INTEGER CHECK (sip_udp BETWEEN 0 AND 65535),
    sip_tcp INTEGER CHECK (sip_tcp BETWEEN 0 AND 65535),
    link TEXT
) STRICT;
CREATE TABLE node_address (
    node TEXT NOT NULL REFERENCES node (name) DEFERRABLE INITIALLY DEFERRED,
    position INTEGER NOT NULL CHECK (position BETWEEN 1 AND 4),
    address TEXT NOT NULL,
    PRIMARY KEY (node, position),
    UNIQUE (node, address)
) STRICT, WITHOUT ROWID;

CREATE TABLE callmanager_group (
    name TEXT PRIMARY KEY NOT NULL,
    description TEXT,
    failback TEXT CHECK (failback IN ('automatic', 'at-idle', 'manual'))
) STRICT;
CREATE TABLE group_member (
    callmanager_group TEXT NOT NULL REFERENCES callmanager_group (name) DEFERRABLE INITIALLY DEFERRED,
    position INTEGER NOT NULL CHECK (position BETWEEN 1 AND 3),
    node TEXT NOT NULL REFERENCES node (name) DEFERRABLE INITIALLY DEFERRED,
    PRIMARY KEY (callmanager_group, position),
    UNIQUE (callmanager_group, node)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_member_node ON group_member (node);

CREATE TABLE device_pool (
    name TEXT PRIMARY KEY NOT NULL,
    description TEXT,
    "group" TEXT NOT NULL REFERENCES callmanager_group (name) DEFERRABLE INITIALLY DEFERRED,
    connection_monitor TEXT,
    region TEXT,
    media_resource_list TEXT
) STRICT;
CREATE INDEX device_pool_group ON device_pool ("group", name);

CREATE TABLE device (
    name TEXT PRIMARY KEY NOT NULL,
    kind TEXT CHECK (kind IN ('phone', 'gateway', 'cti-port', 'cti-route-point', 'media-resource')),
    pool TEXT NOT NULL REFERENCES device_pool (name) DEFERRABLE INITIALLY DEFERRED,
    description TEXT,
    digest_user TEXT,
    password TEXT,
    ha1_md5 TEXT,
    ha1_sha256 TEXT
) STRICT;
CREATE INDEX device_by_pool ON device (pool, name);
CREATE UNIQUE INDEX device_by_digest_user ON device (digest_user) WHERE digest_user IS NOT NULL;
CREATE TABLE device_line (
    device TEXT NOT NULL REFERENCES device (name) DEFERRABLE INITIALLY DEFERRED,
    position INTEGER NOT NULL CHECK (position BETWEEN 1 AND 64),
    number TEXT NOT NULL,
    PRIMARY KEY (device, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_line_number ON device_line (number, device);

CREATE TABLE device_series (
    name TEXT PRIMARY KEY NOT NULL,
    prefix TEXT NOT NULL,
    first INTEGER CHECK (first >= 0),
    count INTEGER NOT NULL CHECK (count >= 0),
    digits INTEGER NOT NULL CHECK (digits BETWEEN 1 AND 18),
    pool TEXT NOT NULL REFERENCES device_pool (name) DEFERRABLE INITIALLY DEFERRED,
    kind TEXT CHECK (kind IN ('phone', 'gateway', 'cti-port', 'cti-route-point', 'media-resource')),
    description TEXT,
    digest_user_prefix TEXT,
    password TEXT,
    first_line TEXT
) STRICT;
CREATE INDEX device_series_pool ON device_series (pool, name);

CREATE TABLE setting (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE "user" (
    name TEXT PRIMARY KEY NOT NULL,
    description TEXT,
    role TEXT NOT NULL CHECK (role IN ('admin', 'operator', 'read-only')),
    password_hash TEXT,
    disabled INTEGER CHECK (disabled IN (0, 1))
) STRICT;
CREATE TABLE token (
    id TEXT PRIMARY KEY NOT NULL,
    description TEXT,
    "user" TEXT REFERENCES "user" (name) DEFERRABLE INITIALLY DEFERRED,
    role TEXT NOT NULL CHECK (role IN ('admin', 'operator', 'read-only')),
    token_hash TEXT NOT NULL UNIQUE,
    created INTEGER,
    expires INTEGER
) STRICT;
CREATE INDEX token_user ON token ("user", id);
CREATE TABLE token_scope (
    token TEXT NOT NULL REFERENCES token (id) DEFERRABLE INITIALLY DEFERRED,
    position INTEGER NOT NULL CHECK (position BETWEEN 1 AND 32),
    scope TEXT NOT NULL,
    PRIMARY KEY (token, position),
    UNIQUE (token, scope)
) STRICT, WITHOUT ROWID;

-- What this copy is: where it stands, and the newest epoch it has heard of.
CREATE TABLE head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL,
    digest BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    started INTEGER NOT NULL,
    publisher TEXT NOT NULL,
    setting_digest BLOB NOT NULL
) STRICT;
INSERT INTO head VALUES (1, 0, zeroblob(24), 0, 0, '', zeroblob(24));

-- Epochs whose changes are in this copy, and the revision after which each began.
CREATE TABLE epoch (
    epoch INTEGER NOT NULL,
    started INTEGER NOT NULL,
    publisher TEXT NOT NULL,
    base INTEGER NOT NULL,
    PRIMARY KEY (epoch, started, publisher)
) STRICT, WITHOUT ROWID;

-- The log: a change, and its rows before and after.
CREATE TABLE change (
    revision INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    started INTEGER NOT NULL,
    publisher TEXT NOT NULL,
    author TEXT NOT NULL,
    at INTEGER NOT NULL,
    comment TEXT NOT NULL,
    ops INTEGER NOT NULL,
    digest BLOB NOT NULL
) STRICT;
CREATE TABLE change_op (
    revision INTEGER NOT NULL,
    position INTEGER NOT NULL,
    "table" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    before TEXT,
    after TEXT,
    PRIMARY KEY (revision, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX change_op_row ON change_op ("table", "key", revision);

-- Changes of this copy that the publisher of a newer epoch never had. Shown, never applied by themselves.
CREATE TABLE unsent_change (
    id INTEGER PRIMARY KEY,
    set_aside_at INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    started INTEGER NOT NULL,
    publisher TEXT NOT NULL,
    author TEXT NOT NULL,
    at INTEGER NOT NULL,
    comment TEXT NOT NULL,
    ops INTEGER NOT NULL,
    digest BLOB NOT NULL
) STRICT;
CREATE TABLE unsent_change_op (
    change INTEGER NOT NULL REFERENCES unsent_change (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    "table" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    before TEXT,
    after TEXT,
    PRIMARY KEY (change, position)
) STRICT, WITHOUT ROWID;

-- Chunks of a snapshot until the last one is there.
CREATE TABLE incoming (
    position INTEGER PRIMARY KEY,
    items BLOB NOT NULL
) STRICT;

-- What users set themselves: written at any node, the newest per device and field stays. No foreign key: it may arrive before its device.
CREATE TABLE user_setting (
    device TEXT NOT NULL,
    field TEXT NOT NULL CHECK (field IN ('call_forward_all', 'do_not_disturb', 'message_waiting')),
    value TEXT,
    at INTEGER NOT NULL,
    author TEXT NOT NULL,
    node TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (device, field)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_setting_bucket ON user_setting (bucket, device, field);

-- Who asked this node for what. Local: never replicated.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    author TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
