-- Reports of those who showed no credential are bounded in number, and forgotten sooner.
ALTER TABLE reports ADD COLUMN stranger INTEGER NOT NULL DEFAULT 0;
UPDATE reports SET stranger = 1 WHERE json_extract(CAST(report AS TEXT), '$.reporter.actor') IS NULL;

CREATE INDEX reports_of_strangers ON reports (id) WHERE stranger = 1;
