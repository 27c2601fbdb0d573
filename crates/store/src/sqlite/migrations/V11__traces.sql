-- The trace that an event was published in: 16 bytes of trace, 8 of span, 1 of flags, and the text of
-- its state. Null for most.
ALTER TABLE events ADD COLUMN trace BLOB;
