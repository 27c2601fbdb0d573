-- What Angarium makes itself is counted by the hour: questions and tests by mail. Nothing that is published is in
-- this index, so publishing writes nothing more.
CREATE INDEX events_of_our_own ON events (handle, event_type, id) WHERE origin = 'system' OR origin = 'test';
