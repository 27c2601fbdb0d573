-- What a handle knows of a mailbox: that it takes no mail, or that whoever reads it wants none. It outlives the
-- subscriptions that it became known by. `mailbox` is the address in lower case.
CREATE TABLE mailboxes (
    handle  TEXT NOT NULL,
    mailbox TEXT NOT NULL,
    known   BLOB NOT NULL,
    PRIMARY KEY (handle, mailbox)
) STRICT, WITHOUT ROWID;
