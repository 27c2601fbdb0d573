"""Counts anew what a stopped store keeps counts of, and says where the two differ.

Takes the store's file, the seconds of an owner's interval between two alerts, and "quiet" if nothing may be
unfinished any more. Prints a list of sentences as JSON; an empty one is what is hoped for. It knows the
tables and none of our code.
"""

import json
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

# Each finds rows that ought not to be there. What a sentence names is what the row holds.
ALWAYS = [
    (
        "inbox {0} says that it holds {1} items, and holds {2}",
        """SELECT i.handle, i.items, (SELECT COUNT(*) FROM inbox_items AS x WHERE x.handle = i.handle) AS found
           FROM inboxes AS i WHERE i.items <> found""",
    ),
    (
        "inbox {0} says that its last item is {1}, and it is {2} of {3}",
        """SELECT i.handle, i.last, COALESCE(MAX(x.number), 0), COUNT(x.number)
           FROM inboxes AS i LEFT JOIN inbox_items AS x ON x.handle = i.handle
           WHERE i.handle <> 'fading' -- where items end
             AND i.handle NOT LIKE 'leaving-%' -- of which nothing stays but these numbers
           GROUP BY i.handle, i.last HAVING i.last <> COALESCE(MAX(x.number), 0) OR i.last <> COUNT(x.number)""",
    ),
    (
        "inbox {0} has {1} items and no counts",
        """SELECT handle, COUNT(*) FROM inbox_items
           WHERE handle NOT IN (SELECT handle FROM inboxes) GROUP BY handle""",
    ),
    (
        "reader {1} of {0} has read {2} by the count, and {3} by the marks",
        """SELECT r.handle, r.reader, r.read,
             (SELECT COUNT(*) FROM inbox_marks AS m WHERE m.handle = r.handle AND m.reader = r.reader
                AND (m.read_at IS NOT NULL OR m.archived_at IS NOT NULL)) AS found
           FROM inbox_readings AS r WHERE r.handle NOT LIKE 'leaving-%' AND r.read <> found""",
    ),
    (
        "reader {1} of {0} has seen {2} by the count, and {3} by the marks",
        """SELECT r.handle, r.reader, r.seen,
             (SELECT COUNT(*) FROM inbox_marks AS m WHERE m.handle = r.handle AND m.reader = r.reader
                AND (m.seen_at IS NOT NULL OR m.read_at IS NOT NULL OR m.archived_at IS NOT NULL)) AS found
           FROM inbox_readings AS r WHERE r.handle NOT LIKE 'leaving-%' AND r.seen <> found""",
    ),
    (
        "reader {1} of {0} has {2} marks and no counts, or marks of no item",
        """SELECT m.handle, m.reader, COUNT(*) FROM inbox_marks AS m
           WHERE m.handle NOT LIKE 'leaving-%' AND (
              NOT EXISTS (SELECT 1 FROM inbox_readings AS r WHERE r.handle = m.handle AND r.reader = m.reader)
              OR NOT EXISTS (SELECT 1 FROM inbox_items AS x WHERE x.handle = m.handle AND x.number = m.number
                             UNION ALL
                             SELECT 1 FROM inbox_leaving AS l WHERE l.handle = m.handle AND l.number = m.number))
           GROUP BY m.handle, m.reader""",
    ),
    (
        "session {1} of {0} says {2} signals up to {3}, and has {4} up to {5}",
        """SELECT s.handle, s.session_id, s.signals, s.sequence, COUNT(x.sequence) AS found, MAX(x.sequence) AS last
           FROM sessions AS s LEFT JOIN signals AS x ON x.handle = s.handle AND x.session_id = s.session_id
           GROUP BY s.handle, s.session_id
           HAVING s.signals <> found OR s.sequence <> COALESCE(last, 0) OR s.sequence <> found""",
    ),
    (
        "signals of {0} are in no session: {1}",
        """SELECT x.handle, COUNT(*) FROM signals AS x
           WHERE NOT EXISTS (SELECT 1 FROM sessions AS s WHERE s.handle = x.handle AND s.session_id = x.session_id)
           GROUP BY x.handle""",
    ),
    (
        "a voice note of {0} in state {1} takes {2} bytes of the quota, and was declared with {3}",
        """SELECT handle, state, held_bytes, json_extract(CAST(note AS TEXT), '$.declared.sizeBytes') AS declared
           FROM voice_notes WHERE held_bytes <> CASE WHEN state <= 2 THEN declared ELSE 0 END""",
    ),
    (
        "a source of {0} says {1} pieces, and has {2}",
        """SELECT c.handle, json_extract(CAST(c.source AS TEXT), '$.content.chunks') AS said,
             (SELECT COUNT(*) FROM context_chunks AS x WHERE x.source_id = c.id AND x.generation = c.generation) AS found
           FROM context_sources AS c WHERE c.generation > 0 AND said <> found""",
    ),
    (
        "{1} pieces of {0} are neither seen, nor being written, nor being removed",
        """SELECT x.handle, COUNT(*) FROM context_chunks AS x
           WHERE NOT EXISTS (SELECT 1 FROM context_sources AS c
               WHERE c.handle = x.handle AND c.id = x.source_id AND x.generation IN (c.generation, c.filling))
             AND NOT EXISTS (SELECT 1 FROM context_garbage AS g WHERE g.handle = x.handle
               AND g.source_id = x.source_id AND g.generation = x.generation)
           GROUP BY x.handle""",
    ),
    (
        "{0} pieces are in the index or among the pieces, and not in both",
        """SELECT COUNT(*) AS found FROM (
             SELECT number FROM context_chunks WHERE number NOT IN (SELECT id FROM context_index_docsize)
             UNION ALL
             SELECT id FROM context_index_docsize WHERE id NOT IN (SELECT number FROM context_chunks))
           HAVING found > 0""",
    ),
    (
        "{1} events of {0} are kept for deliveries that are not there, or the other way round",
        """SELECT e.handle, COUNT(*) FROM events AS e
           WHERE e.unreferenced = EXISTS (SELECT 1 FROM deliveries AS d WHERE d.handle = e.handle AND d.event_id = e.id)
           GROUP BY e.handle""",
    ),
    (
        "of {0} {1} deliveries are dead, and its owner was told of {2} and is to be told of {3}",
        """SELECT * FROM (
             SELECT a.handle AS handle,
               (SELECT COUNT(*) FROM deliveries AS d WHERE d.handle = a.handle AND d.state IN (4, 5)
                  AND d.event_type <> 'email.owner_alert') AS dead,
               (SELECT COALESCE(SUM(json_extract(CAST(payload AS TEXT), '$.count')), 0) FROM events AS e
                  WHERE e.handle = a.handle AND e.event_type = 'email.owner_alert')
               + (SELECT COALESCE(SUM(json_extract(CAST(data AS TEXT), '$.count')), 0) FROM inbox_items AS x
                  WHERE x.handle = a.handle AND x.item_type = 'email.owner_alert') AS told,
               (SELECT COALESCE(SUM(gathered), 0) FROM alerts AS g WHERE g.handle = a.handle) AS gathered
             FROM accounts AS a)
           WHERE dead <> told + gathered""",
    ),
    (
        "{0} attempts belong to no delivery",
        """SELECT COUNT(*) AS found FROM attempts
           WHERE delivery_id NOT IN (SELECT id FROM deliveries) HAVING found > 0""",
    ),
    (
        "attempts of {0} have numbers that are not 1 to {1}",
        """SELECT hex(delivery_id), COUNT(*) FROM attempts GROUP BY delivery_id
           HAVING MIN(number) <> 1 OR MAX(number) <> COUNT(*)""",
    ),
]

# What handles that were deleted leave: their names, and what was done by whom.
# Of an inbox its numbers stay: places and versions shall mean nothing else in the next one of that name.
REMAINS = ("accounts", "audit", "inboxes")

QUIET = [
    ("voice note {0} is still listened to", "SELECT hex(id) FROM voice_notes WHERE state = 1"),
    ("source {0} is still syncing", "SELECT hex(id) FROM context_sources WHERE syncing = 1"),
    ("delivery {0} of {1} is in state {2}", "SELECT hex(id), handle, state FROM deliveries WHERE state <= 1"),
    ("{0} numbers of pieces are still to be swept", "SELECT COUNT(*) AS found FROM context_garbage HAVING found > 0"),
]

# How often the owner was told of a subscription, since its first failure.
TELLINGS = """
    SELECT about, COUNT(*), MIN(CAST(strftime('%s', since) AS INTEGER)) FROM (
        SELECT json_extract(CAST(payload AS TEXT), '$.subscriptionId') AS about,
            json_extract(CAST(payload AS TEXT), '$.since') AS since
        FROM events WHERE event_type = 'email.owner_alert'
        UNION ALL
        SELECT json_extract(CAST(data AS TEXT), '$.subscriptionId'), json_extract(CAST(data AS TEXT), '$.since')
        FROM inbox_items WHERE item_type = 'email.owner_alert')
    GROUP BY about
"""

# Of ids as they are written; the five bits of each.
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def main() -> None:
    store, interval, when = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    # A copy: what is looked at stays as the process left it.
    with tempfile.TemporaryDirectory(dir=store.parent) as folder:
        for ending in ("", "-wal"):
            file = store.with_name(store.name + ending)
            if file.exists():
                shutil.copy(file, folder)
        store = sqlite3.connect(Path(folder) / store.name)
        print(json.dumps(faults(store, interval, ALWAYS + (QUIET if when == "quiet" else []))))
        store.close()


def faults(store: sqlite3.Connection, interval: int, checks: list) -> list:
    found = [sentence.format(*row) for sentence, question in checks for row in store.execute(question)]
    if checks != ALWAYS:
        found += remains(store)
    found += tellings(store, interval)
    found += [row[0] for row in store.execute("PRAGMA integrity_check") if row[0] != "ok"]
    return found


def tellings(store: sqlite3.Connection, interval: int) -> list:
    """Each telling moves the next one by an interval: so many fit between the first failure and the next."""
    due = dict(store.execute("SELECT subscription_id, due_at FROM alerts"))
    found = []
    for about, times, since in store.execute(TELLINGS):
        next_at = due.get(bytes_of(about))
        # None: nothing has failed since the last interval was over.
        if next_at is not None and times * interval * 1000 > next_at - since * 1000:
            found.append(f"the owner was told of {about} {times} times in {next_at - since * 1000} ms")
    return found


def bytes_of(written: str) -> bytes:
    """What an id such as sub_… is in the store."""
    number = 0
    for digit in written.partition("_")[2]:
        number = number * 32 + DIGITS.index(digit)
    return number.to_bytes(16, "big")


def remains(store: sqlite3.Connection) -> list:
    """Rows of handles that were deleted."""
    tables = store.execute(
        """SELECT t.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
           WHERE t.type = 'table' AND c.name = 'handle' AND t.sql NOT LIKE '%VIRTUAL%'"""
    )
    counted = [
        (table, store.execute(f"SELECT COUNT(*) FROM {table} WHERE handle LIKE 'leaving-%'").fetchone()[0])
        for (table,) in tables.fetchall()
        if table not in REMAINS
    ]
    return [f"{count} rows of deleted handles are left in {table}" for table, count in counted if count > 0]


main()
