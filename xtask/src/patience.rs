//! Awaiting a condition, with a limit and a name for what did not come about.

use std::{future::Future, time::Duration};

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Looks until there is something, or `limit` has passed.
pub(crate) async fn eventually<T, L>(what: &str, limit: Duration, look: impl Fn() -> L) -> Result<T>
where
    L: Future<Output = Result<Option<T>>>,
{
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("not within {limit:?}: {what}");
        }
        sleep(LOOK_AGAIN_AFTER).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn what_comes_about_is_handed_over_and_what_does_not_is_named() {
        let looked = Cell::new(0);
        let third = || async {
            looked.set(looked.get() + 1);
            Ok((looked.get() == 3).then_some("there"))
        };
        assert_eq!(eventually("it", Duration::from_mins(1), third).await.unwrap(), "there");
        let never = || async { Ok(None::<()>) };
        let failure = eventually("a miracle", Duration::ZERO, never).await.unwrap_err();
        assert_eq!(failure.to_string(), "not within 0ns: a miracle");
    }
}
