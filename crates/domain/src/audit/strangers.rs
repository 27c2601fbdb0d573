//! Which refusals are worth a row: the log grows for ever, and anybody can be refused.

use std::collections::HashMap;
use std::time::Duration;

use crate::handle::Handle;
use crate::time::Timestamp;

/// How long the same stranger at the same handle is old news.
const OLD_NEWS: Duration = Duration::from_hours(1);
/// The most refusals that are told in that time, over all handles: about ten thousand rows a day.
const TOLD_MAX: usize = 500;

/// Who was refused lately: callers with a good credential who have no role on the handle that they
/// asked for.
#[derive(Debug, Default)]
pub struct Strangers {
    told: HashMap<(Handle, String), Timestamp>,
}

impl Strangers {
    /// Whether a refusal at `now` is to be told. The first of each stranger at each handle in an
    /// hour is, up to a limit.
    pub fn is_news(&mut self, handle: &Handle, actor: &str, now: Timestamp) -> bool {
        let key = (handle.clone(), actor.to_owned());
        let known = self.told.get(&key).is_some_and(|told| now.since(*told) < OLD_NEWS);
        if known {
            return false;
        }
        if self.told.len() >= TOLD_MAX {
            self.told.retain(|_, told| now.since(*told) < OLD_NEWS);
        }
        if self.told.len() >= TOLD_MAX {
            return false;
        }
        self.told.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn handle(n: usize) -> Handle {
        format!("handle-{n}").parse().expect("a handle")
    }

    #[test]
    fn a_stranger_is_told_once_an_hour_at_each_handle() {
        let mut strangers = Strangers::default();
        assert!(strangers.is_news(&handle(1), "jwt:eve", NOON));
        assert!(!strangers.is_news(&handle(1), "jwt:eve", NOON + Duration::from_mins(59)));
        assert!(strangers.is_news(&handle(1), "jwt:mallory", NOON));
        assert!(strangers.is_news(&handle(2), "jwt:eve", NOON));
        assert!(strangers.is_news(&handle(1), "jwt:eve", NOON + OLD_NEWS));
    }

    #[test]
    fn however_many_are_refused_no_more_than_the_limit_are_told_in_an_hour() {
        let mut strangers = Strangers::default();
        let told = (0..2 * TOLD_MAX).filter(|n| strangers.is_news(&handle(*n), "jwt:eve", NOON)).count();
        assert_eq!(told, TOLD_MAX);
        assert!(!strangers.is_news(&handle(2 * TOLD_MAX), "jwt:eve", NOON + Duration::from_mins(59)));
        assert!(strangers.is_news(&handle(2 * TOLD_MAX), "jwt:eve", NOON + OLD_NEWS));
    }
}
