-- Sources of the context store. `generation` says under which number searches see a source's pieces,
-- `filling` under which number pieces are being written; 0 for none. `config` is sealed.
CREATE TABLE context_sources (
    handle     TEXT NOT NULL,
    id         BLOB NOT NULL,
    revision   INTEGER NOT NULL,
    syncing    INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    filling    INTEGER NOT NULL,
    source     BLOB NOT NULL,
    config     BLOB NOT NULL,
    PRIMARY KEY (handle, id)
) STRICT;

-- What to go on with after a restart.
CREATE INDEX context_sources_syncing ON context_sources (handle, id) WHERE syncing = 1;

-- Pieces of documents.
CREATE TABLE context_chunks (
    number     INTEGER PRIMARY KEY,
    handle     TEXT NOT NULL,
    source_id  BLOB NOT NULL,
    generation INTEGER NOT NULL,
    chunk      BLOB NOT NULL
) STRICT;

CREATE INDEX context_chunks_by_source ON context_chunks (source_id, generation, number);

-- Numbers whose pieces no search will see again, and which are being removed.
CREATE TABLE context_garbage (
    handle     TEXT NOT NULL,
    source_id  BLOB NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (handle, source_id, generation)
) STRICT, WITHOUT ROWID;

-- The words of each piece, by its number. `owner` is one word for the source and the number. The words
-- come already told apart: the tokenizer only has to split them at spaces.
CREATE VIRTUAL TABLE context_index USING fts5 (
    owner, words, content = '', contentless_delete = 1, tokenize = 'ascii'
);
