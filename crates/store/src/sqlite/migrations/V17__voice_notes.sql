-- Voice notes. `state` is 0 pending upload, 1 processing, 2 ready, 3 failed, 4 expired.
-- `held_bytes` is what a note takes of its handle's quota; 0 for those without a file.
-- `ends_at` is when a pending one expires, or when a failed or expired one ended.
CREATE TABLE voice_notes (
    handle     TEXT NOT NULL,
    id         BLOB NOT NULL,
    state      INTEGER NOT NULL,
    held_bytes INTEGER NOT NULL,
    ends_at    INTEGER,
    note       BLOB NOT NULL,
    PRIMARY KEY (handle, id)
) STRICT, WITHOUT ROWID;

-- What a handle holds is counted here, without looking at notes.
CREATE INDEX voice_notes_held ON voice_notes (handle, held_bytes) WHERE state <= 2;
-- What to go on with after a restart, what expires, and what is forgotten.
CREATE INDEX voice_notes_processing ON voice_notes (id) WHERE state = 1;
CREATE INDEX voice_notes_pending ON voice_notes (ends_at) WHERE state = 0;
CREATE INDEX voice_notes_ended ON voice_notes (ends_at) WHERE state >= 3;
-- A file names its note, and no handle.
CREATE INDEX voice_notes_by_id ON voice_notes (id, state);
