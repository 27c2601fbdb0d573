//! The promises of the ports, as a suite that every engine runs.
//!
//! Each promise is a function of a store that is empty when it begins. [`conformance_suite!`]
//! makes a test of each; [`crash`] is for engines that must outlive their process.
//!
//! [`conformance_suite!`]: crate::conformance_suite

pub mod accounts;
pub mod agreement;
pub mod alerts;
pub mod audit;
pub mod chains;
pub mod context_store;
pub mod crash;
pub mod delivery_queue;
pub mod directory;
pub mod event_log;
mod fixture;
pub mod history;
pub mod in_order;
pub mod inboxes;
pub mod mailboxes;
pub mod replays;
pub mod reports;
mod shelving;
pub mod statistics;
pub mod upkeep;
pub mod voice_notes;

/// A module of tests, one for each promise.
///
/// The expression opens an empty store: it gives something to keep while the test runs, such as a
/// folder that is removed afterwards, and the store.
///
/// ```ignore
/// angarium_store::conformance_suite!(memory, ((), MemoryStore::new()));
/// ```
#[macro_export]
macro_rules! conformance_suite {
    ($engine:ident, $open:expr) => {
        mod $engine {
            use super::*;

            $crate::conformance_suite! { @tests $open;
                event_log:
                    an_append_is_read_back_as_it_was_written
                    an_append_decided_upon_an_old_snapshot_writes_nothing
                    a_key_that_was_seen_wins_over_a_conflict
                    a_key_may_be_used_again_once_it_has_ended
                    an_id_that_is_taken_writes_nothing
                    a_delivery_of_an_event_that_is_not_in_the_log_is_refused
                    pages_of_events_have_neither_gaps_nor_duplicates
                    events_are_filtered_by_type_and_time
                    events_are_filtered_by_their_origin
                    events_of_another_handle_do_not_exist
                    a_replayed_dead_letter_leaves_the_list
                    a_delivery_that_is_born_finished_is_never_claimed
                    an_event_keeps_the_trace_that_it_was_published_in
                    a_job_moves_with_the_deliveries_that_it_made
                    a_subscription_changes_with_the_events_that_tell_of_it
                    a_job_does_not_replay_what_somebody_has_replayed_or_discarded_meanwhile
                    somebody_may_replay_one_delivery_again
                    what_a_subscription_missed_is_looked_for_from_old_to_new_in_bounded_parts
                    a_job_delivers_what_was_missed_once;
                delivery_queue:
                    lanes_with_scheduled_deliveries_are_listed
                    a_claimed_delivery_comes_with_its_event_and_its_lease
                    no_two_leases_share_a_delivery
                    those_due_longest_are_claimed_first
                    a_claim_touches_the_lanes_named_and_no_others
                    a_settlement_is_written_with_its_record
                    a_settlement_without_an_attempt_leaves_no_record
                    settling_a_void_lease_writes_nothing
                    what_follows_from_a_settlement_is_written_with_it
                    a_follow_up_that_was_seen_does_not_stop_its_settlement
                    a_release_leaves_no_trace
                    a_release_of_a_void_lease_is_skipped
                    taking_back_counts_and_records_an_interruption
                    only_void_leases_are_taken_back
                    the_settlement_of_a_claimed_delivery_needs_its_newest_lease;
                in_order:
                    deliveries_of_one_key_are_claimed_one_after_the_other
                    a_key_waits_for_nobody_elses_deliveries
                    what_waits_is_neither_due_nor_in_a_claims_way
                    the_order_is_that_of_the_commits
                    a_head_that_comes_back_is_still_the_head
                    a_key_whose_deliveries_have_ended_begins_anew
                    a_replay_waits_behind_what_is_unfinished_of_its_key
                    a_follow_up_waits_behind_the_one_that_was_brought_up
                    a_settlement_that_is_refused_brings_up_nothing
                    what_waits_is_listed_like_anything_scheduled
                    what_waits_is_cancelled_with_its_subscription;
                history:
                    pages_of_deliveries_have_neither_gaps_nor_duplicates
                    deliveries_are_filtered_by_every_condition
                    deliveries_are_filtered_by_the_words_of_the_wire
                    an_interrupted_delivery_is_retrying
                    attempts_are_listed_by_number
                    what_may_be_replayed_is_counted_and_listed_from_old_to_new
                    a_discarded_dead_letter_leaves_the_list_and_stays_in_the_log
                    the_newest_delivery_says_when_a_subscription_was_last_triggered
                    deliveries_of_another_handle_do_not_exist;
                directory:
                    a_handle_that_was_never_written_has_version_0
                    every_change_makes_a_new_version
                    a_subscription_is_read_back_with_its_keys
                    a_change_to_an_old_version_is_refused
                    removing_a_subscription_cancels_what_is_scheduled
                    a_long_backlog_is_cancelled_in_bounded_steps
                    touching_a_token_makes_no_version
                    outages_are_noted_without_a_new_version
                    an_outage_ends_with_its_subscription
                    a_token_is_found_without_its_handle
                    a_catalogue_is_read_back_by_name
                    the_version_of_a_catalogue_is_that_of_its_last_change
                    the_catalogue_of_another_handle_is_empty
                    the_directory_of_another_handle_is_empty;
                accounts:
                    an_account_belongs_to_its_handle_and_makes_a_version
                    handles_are_listed_by_name_until_they_are_gone
                    a_write_beyond_what_the_day_allows_writes_nothing
                    only_writes_that_are_made_are_paid_for
                    days_are_counted_each_for_itself
                    a_cleared_handle_leaves_nothing_to_anybody
                    what_was_begun_before_a_handle_s_life_is_not_written;
                chains:
                    signals_are_read_back_in_their_order
                    a_ledger_that_has_moved_on_takes_nothing_that_was_numbered_before
                    signals_stand_or_fall_with_the_events_that_tell_of_them
                    a_rule_rests_after_one_decision_and_not_after_two_at_once
                    signals_are_forgotten_at_their_age_and_a_session_with_its_last
                    decisions_are_forgotten_when_their_rules_rest_no_more
                    a_rulebook_is_read_back_in_a_version_of_its_handle
                    an_origin_is_found_whoever_lists_it
                    a_handle_is_known_by_anything_that_it_has
                    what_the_sessions_of_a_handle_hold_is_what_a_recount_finds
                    sessions_take_no_more_than_their_handle_has_room_for
                    chains_go_with_their_handle;
                replays:
                    a_job_is_read_back_by_its_own_handle
                    a_repeated_job_is_made_once
                    pages_of_jobs_have_neither_gaps_nor_duplicates
                    running_jobs_of_all_handles_are_listed
                    a_job_ends_once;
                context_store:
                    a_source_is_read_back_by_its_own_handle
                    pages_of_sources_have_neither_gaps_nor_duplicates
                    a_source_is_written_upon_its_last_revision_only
                    syncing_sources_of_all_handles_are_listed
                    a_search_sees_all_of_a_sync_or_nothing
                    pieces_of_a_sync_that_was_overtaken_are_refused
                    a_removed_source_is_not_found
                    a_search_finds_words_of_its_own_handle_only
                    the_best_pieces_are_found_first
                    a_source_changes_with_the_events_that_tell_of_it
                    a_cleared_handle_leaves_no_sources
                    a_source_is_changed_together_with_where_its_documents_are;
                inboxes:
                    an_item_is_read_back_as_it_was_written
                    items_are_numbered_without_gaps_as_they_are_written
                    a_mark_is_one_readers_and_moves_their_counts_alone
                    a_mark_that_was_decided_upon_old_counts_is_refused
                    pages_of_items_have_neither_gaps_nor_duplicates
                    items_are_filtered_by_every_condition
                    what_is_unread_is_found_from_old_to_new_in_bounded_parts
                    an_item_is_written_with_the_settlement_of_its_delivery_or_not_at_all
                    items_are_forgotten_by_age_and_by_their_end_and_counts_stay_right
                    forgetting_items_goes_in_bounded_batches
                    an_inbox_that_holds_too_much_loses_its_oldest_items
                    what_is_rare_is_found_in_bounded_parts
                    the_next_inbox_of_a_handle_goes_on_from_the_last
                    the_inbox_of_another_handle_is_empty;
                reports:
                    a_report_is_read_back_and_made_once
                    pages_of_reports_have_neither_gaps_nor_duplicates
                    reports_go_with_their_handle
                    old_reports_are_forgotten
                    of_strangers_only_the_newest_reports_are_kept
                    strangers_reports_are_forgotten_at_their_age
                    a_removed_report_is_gone
                    a_report_is_closed_and_opened_again
                    open_reports_are_counted_by_kind
                    reports_gather_until_somebody_is_told
                    a_second_telling_of_reports_is_refused;
                voice_notes:
                    a_note_is_read_back_by_its_own_handle
                    a_repeated_note_is_made_once
                    what_a_handle_holds_is_counted_with_every_write
                    pages_of_notes_have_neither_gaps_nor_duplicates
                    a_note_moves_on_from_the_state_that_was_decided_upon
                    a_note_is_ready_with_the_event_that_tells_of_it
                    overdue_notes_of_all_handles_are_listed
                    files_of_notes_that_ended_are_held_by_nobody
                    a_store_marks_the_place_of_its_files_once
                    notes_that_ended_long_ago_are_forgotten
                    notes_go_with_their_handle;
                audit:
                    an_audit_entry_is_read_back_as_it_was_written
                    an_audit_entry_is_written_with_its_effect_or_not_at_all
                    every_row_holds_on_to_the_one_before_it
                    a_chain_is_read_in_parts
                    pages_of_the_audit_log_have_neither_gaps_nor_duplicates
                    audit_entries_are_filtered_by_every_condition
                    audit_entries_of_another_handle_do_not_exist;
                statistics:
                    what_is_counted_adds_up_in_the_spans_that_it_falls_in
                    statistics_belong_to_one_subscription_of_one_handle
                    statistics_go_with_their_subscription
                    spans_of_each_grain_are_forgotten_at_their_age
                    a_backlog_is_counted_up_to_a_limit;
                mailboxes:
                    what_is_known_of_a_mailbox_is_of_one_handle_and_gathers
                    what_becomes_known_with_an_append_that_is_refused_does_not;
                alerts:
                    failures_gather_by_subscription
                    an_owner_is_told_once_of_each_failure
                    an_alert_with_nothing_to_tell_is_forgotten_when_its_interval_is_over;
                upkeep:
                    what_is_finished_and_old_is_forgotten_whole
                    what_is_unfinished_is_never_forgotten
                    an_event_outlives_its_deliveries
                    an_event_that_is_delivered_again_is_kept
                    dead_letters_are_kept_longer
                    keys_that_have_ended_are_forgotten
                    jobs_that_ended_long_ago_are_forgotten_and_running_ones_are_not
                    forgetting_goes_in_bounded_batches
                    the_oldest_due_delivery_of_all_lanes_is_known
                    the_backlog_of_all_lanes_is_counted_up_to_a_limit
                    the_census_counts_everything;
                agreement:
                    random_histories_look_as_they_do_in_the_reference_engine;
            }
        }
    };
    (@tests $open:expr; $($port:ident: $($promise:ident)+;)+) => {
        $($(
            #[tokio::test]
            async fn $promise() {
                let (_kept, store) = $open;
                $crate::conformance::$port::$promise(&store).await;
            }
        )+)+
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_promise_is_in_the_suite() {
        let suite = include_str!("mod.rs");
        let files = [
            include_str!("event_log.rs"),
            include_str!("delivery_queue.rs"),
            include_str!("in_order.rs"),
            include_str!("history.rs"),
            include_str!("directory.rs"),
            include_str!("accounts.rs"),
            include_str!("chains.rs"),
            include_str!("replays.rs"),
            include_str!("context_store.rs"),
            include_str!("inboxes.rs"),
            include_str!("reports.rs"),
            include_str!("voice_notes.rs"),
            include_str!("audit.rs"),
            include_str!("statistics.rs"),
            include_str!("upkeep.rs"),
            include_str!("agreement.rs"),
            include_str!("alerts.rs"),
            include_str!("mailboxes.rs"),
        ];
        let promises = files.iter().flat_map(|file| file.split("\npub async fn ").skip(1));
        for promise in promises {
            let name = promise.split('(').next().expect("split gives one part at least");
            assert!(suite.split_whitespace().any(|word| word.trim_end_matches(';') == name), "{name}");
        }
    }
}
