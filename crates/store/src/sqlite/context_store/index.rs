//! The words of pieces, and finding pieces by them.
//!
//! What the engine's query language reads is made here of letters and digits alone: nobody's question
//! can say anything in it, or be an error.

use std::fmt::Write as _;

use angarium_domain::context::Chunk;
use angarium_domain::handle::Handle;
use angarium_domain::ids::SourceId;
use data_encoding::HEXLOWER;
use rusqlite::{Connection, params};

use super::found;
use crate::context_store::{Found, Search};
use crate::statements;

use super::super::fault::Tried;
use super::super::row;

/// What the index holds of a piece.
pub(super) struct Indexed {
    owner: String,
    words: String,
}

impl Indexed {
    pub(super) fn of(source: SourceId, generation: u32, chunk: &Chunk) -> Indexed {
        let mut words = String::with_capacity(chunk.text.len());
        for word in chunk.searched() {
            words.push_str(&word);
            words.push(' ');
        }
        Indexed { owner: owner(source, generation), words }
    }

    pub(super) fn insert(&self, db: &Connection, number: i64) -> Tried<()> {
        db.prepare_cached(statements::INSERT_WORDS)?.execute(params![number, self.owner, self.words])?;
        Ok(())
    }
}

/// One word for the pieces that a source has under a number.
fn owner(source: SourceId, generation: u32) -> String {
    format!("{}g{generation}", HEXLOWER.encode(source.as_bytes()))
}

pub(super) fn search(db: &Connection, handle: &Handle, search: &Search) -> Tried<Vec<Found>> {
    let Some(question) = question(db, handle, search)? else { return Ok(Vec::new()) };
    let mut statement = db.prepare_cached(statements::SEARCH)?;
    let page = params![question, search.limit, search.skip, handle.as_str()];
    statement.query_and_then(page, found)?.collect()
}

/// What to ask the index for: pieces that searches of the handle see, and that hold a word. None if
/// that can be nothing.
fn question(db: &Connection, handle: &Handle, search: &Search) -> Tried<Option<String>> {
    let mut statement = db.prepare_cached(statements::SEARCHABLE_SOURCES)?;
    let rows = statement.query_and_then([handle.as_str()], |row| -> Tried<(SourceId, u32)> {
        Ok((row::id(row, 0)?, row.get(1)?))
    })?;
    let seen: Vec<(SourceId, u32)> = rows.collect::<Tried<_>>()?;
    let owners: Vec<String> = seen
        .into_iter()
        .filter(|(id, _)| search.source.is_none_or(|only| only == *id))
        .map(|(id, generation)| owner(id, generation))
        .collect();
    if owners.is_empty() || search.query.is_empty() {
        return Ok(None);
    }
    let owners = any_of(owners.iter().map(String::as_str));
    Ok(Some(format!("owner : ({owners}) AND words : ({})", any_of(search.query.words()))))
}

fn any_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.enumerate().fold(String::new(), |mut all, (at, word)| {
        let or = if at > 0 { " OR " } else { "" };
        // No word has a quotation mark; a doubled one would be read as one of its own.
        let _ = write!(all, "{or}\"{}\"", word.replace('"', "\"\""));
        all
    })
}
