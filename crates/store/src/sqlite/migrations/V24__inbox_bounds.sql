-- Items that are gone, and whose marks are not all gone yet: they go in batches. Until then a reader's
-- numbers count them, and whoever reads those takes them off.
CREATE TABLE inbox_leaving (
    handle TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (handle, number)
) STRICT, WITHOUT ROWID;

-- Retention: inboxes that hold too much.
CREATE INDEX inboxes_by_items ON inboxes (items);
