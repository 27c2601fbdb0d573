//! `angarium demo`: its ledger balances, also when it goes on with the data of another one.

use std::path::Path;

use angarium_server::cli::demo::{Ledger, Settings, perform};

/// Waits of a hundredth: the flaky receiver's deliveries end within a second.
fn shortened() -> Settings {
    Settings { retry_waits_percent: 1, ..Settings::default() }
}

async fn demo(settings: &Settings) -> Ledger {
    let ledger = perform(settings).await.expect("the demo runs to its end");
    ledger.verdict().expect("nothing is lost or stuck");
    ledger
}

async fn in_folder(folder: &Path, events: u64) -> Ledger {
    demo(&Settings { data: Some(folder.to_owned()), events, ..shortened() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_events_are_delivered_retried_or_dead_and_none_is_lost() {
    let ledger = demo(&shortened()).await;
    // Of twenty events the healthy receiver wants all, the flaky and the broken one five each, the
    // slow one ten; and the healthy one is told of the five deaths.
    let expected = Ledger {
        accepted: 20,
        promised: 40,
        delivered: 40,
        dead: [("terminal_status", 5)].into(),
        retried: 5,
        retries: 10,
        own: 5,
        ..Ledger::default()
    };
    assert_eq!(ledger, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_demo_goes_on_with_the_data_of_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = in_folder(folder.path(), 4).await;
    assert_eq!((first.accepted, first.accepted_earlier, first.promised), (4, 0, 8));
    let second = in_folder(folder.path(), 4).await;
    assert_eq!((second.accepted, second.accepted_earlier, second.promised), (4, 4, 16));
    assert_eq!((second.delivered, second.open, second.taken_up), (2 * first.delivered, 0, 0));
}
